--- Differentiable convolutions on pictures, (batch, height, width, channels).
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local mapped = require "giemsa.grad.mapped"
local base = require "giemsa.ops.base"
local grouped = require "giemsa.ops.grouped"
local norm = require "giemsa.ops.norm"
local window = require "giemsa.ops.window"

local ops = {}

local accumulate, record, target = grad.accumulate, grad.op, grad.target
local result, check, pair = base.result, base.check, base.pair
local dims_of, padding_of = window.dims_of, window.padding_of

---@class giemsa.ops.ConvOptions
---@field strides (integer|integer[])? default 1
---@field padding ("same"|"valid"|integer[])? default "valid"; or {top, bottom, left, right}
---@field dilation (integer|integer[])? default 1
---@field groups integer? default 1; each output sees the in / groups channels of its own group; not
---  with the next two
---@field add tensor? added to the result, whose shape it has: a shortcut past this convolution
---@field moments boolean? also give the moments of the result by channel, for a batch norm of it
local conv_options = base.options {
  strides = "integer|table", padding = "string|table", dilation = "integer|table",
  groups = "integer", add = "userdata", moments = "boolean",
}

-- ---- convolution --------------------------------------------------------------------------------

-- y and moments. x is a tensor, or what stands for the batch normalisation of one (ops/norm.lua).
local function forward(x, w, b, geometry, opts)
  local normalised, g = norm.is_normalised(x), geometry
  local extras = (normalised or opts.add or opts.moments) and { norm = normalised and x.rows or nil,
    norm_relu = normalised and x.relu, add = opts.add, moments = opts.moments } or nil
  return core.conv2d(normalised and x.x or x, w, g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], b,
    extras)
end

-- One convolution of x on its way back; `dy` may be a mapped gradient.
local function branch(dy, w, geometry, targets)
  local lazy = mapped.is(dy)
  return { dy = lazy and dy.g or dy, w = w, geometry = geometry,
    want_dw = (targets.w or targets.b) and true, want_db = targets.b and true,
    want_dy = lazy and targets.add and true,
    map = lazy and dy.map or nil, map_x = lazy and dy.x or nil, map_add = lazy and dy.add or nil,
    map_pool = lazy and dy.pool or nil }
end

-- Gives what came of a branch to its weights, bias and shortcut.
local function give(targets, dy, dw, dense, db)
  if targets.b then accumulate(targets.b, db) end
  if targets.w then accumulate(targets.w, dw) end
  if targets.add then accumulate(targets.add, dense or dy) end
end

-- The gradients of one or two convolutions of x: giemsa.core's conv2d_grad, which adds what x's
-- other readers gave, with the last reader of a normalised x also cutting off and summing.
local function gradients(x, to_x, ...)
  local normalised = norm.is_normalised(x)
  local last, before = normalised and to_x and norm.is_last(to_x), grad.take(to_x)
  local results = table.pack(core.conv2d_grad(normalised and x.x or x, {
    norm = normalised and x.rows or nil, norm_relu = normalised and x.relu,
    before = before, want_dx = to_x and true, want_sums = last }, ...))
  if last then norm.finish(to_x, results[1], results[2])
  elseif to_x then accumulate(to_x, results[1]) end
  if before then before:release() end
  return table.unpack(results, 3, results.n)
end

--- Convolution (cross-correlation, as everywhere in deep learning).
---@param x tensor (n, h, w, in), or a giemsa.Normalised: then relu(batch norm) is done on the way
---@param w tensor (kernel_h, kernel_w, in / groups, out)
---@param b tensor? (out)
---@param opts giemsa.ops.ConvOptions?
---@return tensor y (n, out_h, out_w, out)
---@return tensor? moments (3, out), with opts.moments
function ops.conv2d(x, w, b, opts)
  opts = check("conv2d", opts, conv_options)
  if (opts.groups or 1) ~= 1 then
    if opts.add or opts.moments then error("conv2d: add and moments are not for groups", 2) end
    return grouped.conv2d(x, w, b, opts)
  end
  local normalised = norm.is_normalised(x)
  dims_of("conv2d", normalised and x.x or x)
  -- Strides, padding, dilation.
  local geometry = { select(3, window.geometry("conv2d", normalised and x.x or x, w, opts)) }
  local y, moments = result("conv2d", pcall(forward, x, w, b, geometry, opts))
  local to_x
  if normalised then to_x = norm.read(x) else to_x = target(x) end
  local targets = { w = target(w), b = target(b), add = target(opts.add) }
  if not (to_x or targets.w or targets.b or targets.add) then return y, moments end
  local for_w = (to_x or targets.w) and w
  record(y, { to_x or false, targets.w, targets.b, targets.add }, function(dy)
    give(targets, dy, gradients(x, to_x, branch(dy, for_w, geometry, targets)))
  end, "conv2d")
  y.node.takes_mapped = true
  return y, moments
end

ops.depthwise_conv2d = grouped.depthwise_conv2d

--- Two convolutions of one normalised picture, whose gradients come back in one pass over it. The
--- second has no moments, no shortcut and no bias; else as ops.conv2d.
---@param x giemsa.Normalised
---@param w1 tensor
---@param opts1 giemsa.ops.ConvOptions
---@param w2 tensor
---@param opts2 giemsa.ops.ConvOptions
---@return tensor y1
---@return tensor y2
---@return tensor? moments of y1
function ops.conv2d_pair(x, w1, opts1, w2, opts2)
  opts1, opts2 = check("conv2d", opts1, conv_options), check("conv2d", opts2, conv_options)
  local g1 = { select(3, window.geometry("conv2d", x.x, w1, opts1)) }
  local g2 = { select(3, window.geometry("conv2d", x.x, w2, opts2)) }
  local y1, moments = result("conv2d", pcall(forward, x, w1, nil, g1, opts1))
  local y2 = result("conv2d", pcall(forward, x, w2, nil, g2, opts2))
  local to_x = norm.read(x)
  local to1, to2 = { w = target(w1) }, { w = target(w2) }
  if not (to_x or to1.w or to2.w) then return y1, y2, moments end
  -- y2's node only keeps its gradient for that of y1, which comes later in the pass.
  local second, shape2 = nil, y2.shape
  record(y1, { to_x or false, to1.w, to2.w }, function(dy)
    local dy2 = second or core.zeros(shape2)
    second = nil
    local dw1, _, _, _, dw2 =
      gradients(x, to_x, branch(dy, w1, g1, to1), branch(dy2, w2, g2, to2))
    give(to1, dy, dw1)
    give(to2, dy2, dw2)
    dy2:release()
  end, "conv2d")
  y1.node.takes_mapped = true
  record(y2, { y1.node }, function(dy)
    second = core.reshape(dy, dy.shape)
    y1.node.grad = y1.node.grad or core.zeros(y1.shape) -- so that it is visited in any case
  end, "conv2d")
  return y1, y2, moments
end

-- ---- the first convolution of a net, behind a batch normalisation of the input ------------------

local norm_conv_options = base.options {
  strides = "integer|table", padding = "string|table", dilation = "integer|table",
  training = "boolean", momentum = "number", epsilon = "number", moments = "boolean",
}

-- With u the normalised input, the convolution's input is gamma u + beta inside the picture and 0
-- outside. Let G be the weight gradient that u itself would have, and G1 that of a channel of ones
-- (it knows where the border cuts). Then
--   dw = gamma G + beta G1,   dgamma = sum w G,   dbeta = sum w G1   (over kernel places, outputs),
-- and the gradient of the convolution's input, the dearest of all, is never computed.
local function norm_conv_gradients(dy, x, plain, gamma, beta, w, geometry, to_b)
  local piece = branch(dy, w, geometry, { w = true, b = to_b })
  piece.want_ones = true
  local _, _, g, _, db, ones = core.conv2d_grad(x, { norm = plain }, piece)
  local channels = x.shape[4]
  local column = { channels, 1 }
  local kh, kw, out = core.dims(ones)
  local wide = ones:reshape(kh, kw, 1, out)
  local dw = core.add(core.mul(g, gamma:reshape(column)), core.mul(wide, beta:reshape(column)))
  local function over_places(t) return core.sum_to(core.mul(w, t), column):reshape(channels) end
  return dw, over_places(g), over_places(wide), db
end

--- conv2d(batch_norm(x)), in training without the gradient of what stands between, where nobody
--- needs the gradient of x: the first two layers of a net.
---@param x tensor (n, h, w, in)
---@param weights tensor[] gamma, beta, moving mean and variance
---@param w tensor (kernel_h, kernel_w, in, out)
---@param b tensor? (out)
---@param opts table? as batch_norm and conv2d
---@return tensor y (n, out_h, out_w, out)
---@return tensor? moments (3, out), with opts.moments
function ops.norm_conv2d(x, weights, w, b, opts)
  opts = check("norm_conv2d", opts, norm_conv_options)
  local gamma, beta, mean, variance = table.unpack(weights)
  local between = { training = opts.training, momentum = opts.momentum, epsilon = opts.epsilon }
  local how = { strides = opts.strides, padding = opts.padding, dilation = opts.dilation,
    moments = opts.moments }
  local moments_of_x = opts.training and not target(x) and core.moments(x)
  local lazy = norm.normalised(x, gamma, beta, mean, variance, between, moments_of_x)
  if target(x) or not opts.training then return ops.conv2d(lazy, w, b, how) end
  local geometry = { select(3, window.geometry("norm_conv2d", x, w, opts)) }
  local y, moments = result("norm_conv2d", pcall(forward, lazy, w, b, geometry, how))
  local to_gamma, to_beta, to_w, to_b = target(gamma), target(beta), target(w), target(b)
  local plain = core.norm(moments_of_x, x.size // x.shape[4], nil, nil, opts.epsilon or 1e-3)
  record(y, { to_gamma, to_beta, to_w, to_b }, function(dy)
    local d_w, d_gamma, d_beta, d_b =
      norm_conv_gradients(dy, x, plain, gamma, beta, w, geometry, to_b)
    if to_b then accumulate(to_b, d_b) end
    accumulate(to_w, d_w)
    accumulate(to_gamma, d_gamma)
    accumulate(to_beta, d_beta)
  end, "norm_conv2d")
  if y.node then y.node.takes_mapped = true end
  return y, moments
end

-- ---- transposed ---------------------------------------------------------------------------------

local transpose_options = base.options { strides = "integer|table", padding = "string" }

--- Transposed convolution: the gradient of conv2d as a forward op; strides make the picture larger.
---@param x tensor (n, h, w, in)
---@param w tensor (kernel_h, kernel_w, out, in): of the convolution that leads from y to x
---@param b tensor? (out)
---@param opts giemsa.ops.ConvOptions? strides, and padding "same" or "valid"
---@return tensor y (n, h * stride, w * stride, out); max(kernel - stride, 0) more with "valid"
function ops.conv2d_transpose(x, w, b, opts)
  opts = check("conv2d_transpose", opts, transpose_options)
  local sh, sw = pair("conv2d_transpose", "strides", opts.strides, 1)
  local _, h, width = dims_of("conv2d_transpose", x)
  local kh, kw = dims_of("conv2d_transpose", w, "w")
  local height = h * sh
  width = width * sw
  if opts.padding ~= "same" then
    height, width = height + math.max(kh - sh, 0), width + math.max(kw - sw, 0)
  end
  local top, bottom, left, right =
    padding_of("conv2d_transpose", opts.padding, height, width, kh, kw, sh, sw)
  local y = result("conv2d_transpose", pcall(core.conv2d_dx, x, w, height, width,
    sh, sw, top, bottom, left, right))
  if b then result("conv2d_transpose", pcall(core.add_, y, b)) end
  local to_x, to_w, to_b = target(x), target(w), target(b)
  local for_x, for_w = to_x and w, to_w and x
  return record(y, { to_x, to_w, to_b }, function(dy)
    if to_b then accumulate(to_b, core.sum_to(dy, to_b.shape)) end
    if to_w then
      accumulate(to_w, core.conv2d_dw(for_w, dy, kh, kw, sh, sw, top, bottom, left, right))
    end
    if to_x then accumulate(to_x, core.conv2d(dy, for_x, sh, sw, top, bottom, left, right)) end
  end, "conv2d_transpose")
end

return ops
