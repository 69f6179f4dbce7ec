--- Differentiable ops on pictures, (batch, height, width, channels): convolution, pooling,
--- upsampling, padding.
-- "same" padding is TensorFlow's: output = ceil(size / stride), and what is missing is padded with
-- zeros, the smaller half before; so a 3x3 window with stride 2 over an even size pads nothing
-- before and 1 after.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local options = require "giemsa.options"
local arithmetic = require "giemsa.ops.arithmetic"
local base = require "giemsa.ops.base"
local mapped = require "giemsa.grad.mapped"
local norm = require "giemsa.ops.norm"

local ops = {}

local accumulate, record, target = grad.accumulate, grad.op, grad.target
local result, check, pair = base.result, base.check, base.pair

-- Padding before and after, along one direction.
local function same(size, window, stride)
  local outputs = (size + stride - 1) // stride
  local missing = math.max((outputs - 1) * stride + window - size, 0)
  return missing // 2, missing - missing // 2
end

-- top, bottom, left, right for a picture of height x width; h and w are the extents of the window
-- (of a dilated kernel as a whole).
local function padding_of(who, padding, height, width, h, w, sh, sw, below)
  if padding == "valid" or padding == nil then return 0, 0, 0, 0 end
  if padding == "same" then
    local top, bottom = same(height, h, sh)
    return top, bottom, same(width, w, sw)
  end
  if type(padding) == "table" and #padding == 4 then return table.unpack(padding) end
  options.one_of(who, "padding", padding, { "same", "valid", "{top, bottom, left, right}" },
    4 + (below or 0))
end

-- The four dimensions of a picture (or kernel).
local function dims_of(who, x, name, below)
  if core.is_tensor(x) and x.ndim == 4 then return core.dims(x) end
  local got = core.is_tensor(x) and "shape (" .. table.concat(x.shape, ", ") .. ")" or type(x)
  error(who .. ": " .. (name or "x") .. " must be (batch, height, width, channels), got " .. got,
    3 + (below or 0))
end

-- ---- convolution --------------------------------------------------------------------------------

---@class giemsa.ops.ConvOptions
---@field strides (integer|integer[])? default 1
---@field padding ("same"|"valid"|integer[])? default "valid"; or {top, bottom, left, right}
---@field dilation (integer|integer[])? default 1
---@field add tensor? added to the result, whose shape it has: a shortcut past this convolution
---@field moments boolean? also give the moments of the result by channel, for a batch norm of it
local conv_options = base.options {
  strides = "integer|table", padding = "string|table", dilation = "integer|table",
  add = "userdata", moments = "boolean",
}

-- Kernel sides, then what the core wants: strides, padding, dilation.
local function geometry(who, x, w, opts)
  local sh, sw = pair(who, "strides", opts.strides, 1, 1, 1)
  local dh, dw = pair(who, "dilation", opts.dilation, 1, 1, 1)
  local _, height, width = dims_of(who, x, "x", 1)
  local kh, kw = dims_of(who, w, "w", 1)
  local top, bottom, left, right =
    padding_of(who, opts.padding, height, width, (kh - 1) * dh + 1, (kw - 1) * dw + 1, sh, sw, 1)
  return kh, kw, sh, sw, top, bottom, left, right, dh, dw
end

-- What the backward pass of a convolution leaves: gradients of x and w, and of what was added.
-- `x` is a tensor, or what stands for the batch normalisation of one (see ops/norm.lua).
local function conv_gradient(dy, x, w, geometry, targets)
  local lazy, normalised = mapped.is(dy), norm.is_normalised(x)
  local to_x = targets.x
  local last = normalised and to_x and norm.is_last(to_x)
  local dx, dw, sums, dense = core.conv2d_grad(lazy and dy.g or dy, normalised and x.x or x, w,
    geometry[1], geometry[2], geometry[3], geometry[4], geometry[5], geometry[6], geometry[7],
    geometry[8], {
      want_dx = to_x and true, want_dw = targets.w and true, want_sums = last,
      want_dy = lazy and (targets.add or targets.b) and true,
      norm = normalised and x.rows or nil, norm_relu = normalised and x.relu,
      before = last and to_x.grad or nil,
      map = lazy and dy.map or nil, map_x = lazy and dy.x or nil, map_add = lazy and dy.add or nil,
    })
  if targets.b then accumulate(targets.b, core.sum_to(dense or dy, targets.b.shape)) end
  if targets.w then accumulate(targets.w, dw) end
  if last then norm.finish(to_x, dx, sums)
  elseif to_x then accumulate(to_x, dx) end
  if targets.add then accumulate(targets.add, dense or dy) end
end

--- Convolution (cross-correlation, as everywhere in deep learning).
---@param x tensor (n, h, w, in), or a giemsa.Normalised: then relu(batch norm) is done on the way
---@param w tensor (kernel_h, kernel_w, in, out)
---@param b tensor? (out)
---@param opts giemsa.ops.ConvOptions?
---@return tensor y (n, out_h, out_w, out)
---@return tensor? moments (3, out), with opts.moments
function ops.conv2d(x, w, b, opts)
  opts = check("conv2d", opts, conv_options)
  local normalised = norm.is_normalised(x)
  local picture = normalised and x.x or x
  dims_of("conv2d", picture)
  local _, _, sh, sw, top, bottom, left, right, dh, dw = geometry("conv2d", picture, w, opts)
  local add = opts.add
  local extras = (normalised or add or opts.moments) and { norm = normalised and x.rows or nil,
    norm_relu = normalised and x.relu, add = add, moments = opts.moments } or nil
  local y, moments = result("conv2d",
    pcall(core.conv2d, picture, w, sh, sw, top, bottom, left, right, dh, dw, b, extras))
  local to_x = not normalised and target(x) or normalised and norm.read(x)
  local targets = { x = to_x or false, w = target(w), b = target(b), add = target(add) }
  if not (targets.x or targets.w or targets.b or targets.add) then return y, moments end
  local numbers = { sh, sw, top, bottom, left, right, dh, dw }
  record(y, { targets.x, targets.w, targets.b, targets.add }, function(dy)
    conv_gradient(dy, x, w, numbers, targets)
  end, "conv2d")
  y.node.takes_mapped = true
  return y, moments
end

local norm_conv_options = base.options {
  strides = "integer|table", padding = "string|table", dilation = "integer|table",
  training = "boolean", momentum = "number", epsilon = "number", moments = "boolean",
}

-- The gradients of norm_conv2d's w, gamma and beta. With u the normalised input, the convolution's
-- input is gamma u + beta inside the picture and 0 outside. Let G be the weight gradient that u
-- itself would have, and G1 that of a channel of ones (it knows where the border cuts). Then
--   dw = gamma G + beta G1,   dgamma = sum w G,   dbeta = sum w G1   (over kernel places, outputs),
-- and the gradient of the convolution's input, the dearest of all in a net's first layer, is never
-- computed.
local function norm_conv_gradients(dy, x, gamma, beta, w, epsilon, kh, kw, ...)
  local _, height, width, channels = core.dims(x)
  local u = core.norm_apply(x, core.norm(core.moments(x), #x * height * width, nil, nil, epsilon))
  local ones = core.full({ #x, height, width, 1 }, 1)
  local g = core.conv2d_dw(dy, core.concat({ u, ones }, 4), kh, kw, ...)
  local g_u, g_1 = core.slice(g, 3, 1, channels), core.slice(g, 3, channels + 1, channels + 1)
  local column = { channels, 1 }
  local dw = core.add(core.mul(g_u, gamma:reshape(column)), core.mul(g_1, beta:reshape(column)))
  local function over_places(t) return core.sum_to(core.mul(w, t), column):reshape(channels) end
  return dw, over_places(g_u), over_places(g_1)
end

--- conv2d(batch_norm(x)), in training without the gradient of what stands between, where nobody
--- needs the gradient of x: the first two layers of a net.
---@param x tensor (n, h, w, in)
---@param weights {[1]: tensor, [2]: tensor, [3]: tensor, [4]: tensor} gamma, beta, moving mean and variance
---@param w tensor (kernel_h, kernel_w, in, out)
---@param b tensor? (out)
---@param opts table? as batch_norm and conv2d
---@return tensor y (n, out_h, out_w, out)
---@return tensor? moments (3, out), with opts.moments
function ops.norm_conv2d(x, weights, w, b, opts)
  opts = check("norm_conv2d", opts, norm_conv_options)
  local gamma, beta, mean, variance = table.unpack(weights)
  local epsilon = opts.epsilon or 1e-3
  local between = { training = opts.training, momentum = opts.momentum, epsilon = epsilon }
  if target(x) or not opts.training then
    return ops.conv2d(norm.batch_norm(x, gamma, beta, mean, variance, between), w, b,
      { strides = opts.strides, padding = opts.padding, dilation = opts.dilation,
        moments = opts.moments })
  end
  local kh, kw, sh, sw, top, bottom, left, right, dh, dw = geometry("norm_conv2d", x, w, opts)
  local z = norm.batch_norm(x, gamma, beta, mean, variance, between):detach()
  local y, moments = result("norm_conv2d",
    pcall(core.conv2d, z, w, sh, sw, top, bottom, left, right, dh, dw, b,
      { moments = opts.moments }))
  z:release()
  local to_gamma, to_beta, to_w, to_b = target(gamma), target(beta), target(w), target(b)
  record(y, { to_gamma, to_beta, to_w, to_b }, function(dy)
    if to_b then accumulate(to_b, core.sum_to(dy, to_b.shape)) end
    local d_w, d_gamma, d_beta = norm_conv_gradients(dy, x, gamma, beta, w, epsilon, kh, kw,
      sh, sw, top, bottom, left, right, dh, dw)
    accumulate(to_w, d_w)
    accumulate(to_gamma, d_gamma)
    accumulate(to_beta, d_beta)
  end, "norm_conv2d")
  return y, moments
end

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

-- ---- pooling ------------------------------------------------------------------------------------

---@class giemsa.ops.PoolOptions
---@field pool (integer|integer[])? the window; default 2
---@field strides (integer|integer[])? default: pool
---@field padding ("same"|"valid"|integer[])? default "valid"; or {top, bottom, left, right}
local pool_options = base.options {
  pool = "integer|table", strides = "integer|table", padding = "string|table",
}

-- The nine numbers of a window that the core takes, and whether padding counts as zeros (when it is
-- given in numbers).
local function window_of(who, height, width, opts)
  local h, w = pair(who, "pool", opts.pool, 2)
  local sh, sw = pair(who, "strides", opts.strides, h, w)
  local top, bottom, left, right = padding_of(who, opts.padding, height, width, h, w, sh, sw)
  return { h, w, sh, sw, top, bottom, left, right, type(opts.padding) == "table" }
end

--- The largest value of each window. Padding of "same" is left out; padding given as {top, bottom,
--- left, right} counts as zeros (as zero_pad2d before it would). Of equal values the first in
--- row-major order gets the gradient.
---@param x tensor (n, h, w, c)
---@param opts giemsa.ops.PoolOptions?
---@return tensor y (n, out_h, out_w, c)
function ops.max_pool2d(x, opts)
  opts = check("max_pool2d", opts, pool_options)
  local _, height, width = dims_of("max_pool2d", x)
  local window, to_x = window_of("max_pool2d", height, width, opts), target(x)
  local y, taps = result("max_pool2d", pcall(core.max_pool2d, x, table.unpack(window)))
  return record(y, { to_x }, function(dy)
    accumulate(to_x, core.max_pool2d_dx(dy, taps, height, width, table.unpack(window)))
  end, "max_pool2d")
end

--- The mean of each window; padding of "same" is not counted. Options as for max_pool2d.
---@param x tensor (n, h, w, c)
---@param opts giemsa.ops.PoolOptions?
---@return tensor y (n, out_h, out_w, c)
function ops.avg_pool2d(x, opts)
  opts = check("avg_pool2d", opts, pool_options)
  local _, height, width = dims_of("avg_pool2d", x)
  local window, to_x = window_of("avg_pool2d", height, width, opts), target(x)
  local y = result("avg_pool2d", pcall(core.avg_pool2d, x, table.unpack(window)))
  return record(y, { to_x }, function(dy)
    accumulate(to_x, core.avg_pool2d_dx(dy, height, width, table.unpack(window)))
  end, "avg_pool2d")
end

-- One window as large as the picture, and (n, 1, 1, c) -> (n, c).
local function global(who, pool)
  return function(x)
    local n, height, width, channels = dims_of(who, x)
    if height * width == 0 then error(who .. ": the picture is empty", 2) end
    return (arithmetic.reshape(pool(x, { pool = { height, width } }), n, channels))
  end
end

--- The largest value of each channel: (n, h, w, c) -> (n, c).
---@type fun(x: tensor): tensor
ops.global_max_pool2d = global("global_max_pool2d", ops.max_pool2d)

--- The mean of each channel: (n, h, w, c) -> (n, c).
---@type fun(x: tensor): tensor
ops.global_avg_pool2d = global("global_avg_pool2d", ops.avg_pool2d)

-- ---- size ---------------------------------------------------------------------------------------

local upsample_options = base.options { interpolation = "string" }

--- Larger by whole factors. "nearest" repeats pixels; "bilinear" goes straight from one pixel
--- centre to the next and repeats the edge (half-pixel centres, as tf.image.resize).
---@param x tensor (n, h, w, c)
---@param size integer|integer[]? {rows, columns}, default 2
---@param opts {interpolation: "nearest"|"bilinear"?}?
---@return tensor y (n, h * rows, w * columns, c)
function ops.upsample(x, size, opts)
  opts = check("upsample", opts, upsample_options)
  dims_of("upsample", x)
  local fy, fx = pair("upsample", "size", size, 2)
  local how = opts.interpolation or "nearest"
  options.one_of("upsample", "interpolation", how, { "nearest", "bilinear" })
  local y, to_x = result("upsample", pcall(core.upsample, x, fy, fx, how == "bilinear")), target(x)
  return record(y, { to_x }, function(dy)
    accumulate(to_x, core.upsample_dx(dy, fy, fx, how == "bilinear"))
  end, "upsample")
end

--- Zeros around each picture.
---@param x tensor (n, h, w, c)
---@param padding (integer|integer[]|integer[][])? n (default 1), {rows, columns}, or
---  {{top, bottom}, {left, right}}
---@return tensor
function ops.zero_pad2d(x, padding)
  dims_of("zero_pad2d", x)
  local sides = type(padding) == "table" and padding or { padding or 1, padding or 1 }
  local pads = { { 0, 0 } }
  for i = 1, 2 do
    local side = sides[i]
    pads[i + 1] = type(side) == "table" and side or { side, side }
    for j = 1, 2 do
      if math.type(pads[i + 1][j]) ~= "integer" or pads[i + 1][j] < 0 then
        error("zero_pad2d: padding must be n, {rows, columns} or {{top, bottom}, {left, right}},"
          .. " of whole numbers", 2)
      end
    end
  end
  pads[4] = { 0, 0 }
  return (arithmetic.pad(x, pads))
end

return ops
