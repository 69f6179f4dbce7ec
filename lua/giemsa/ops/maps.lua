--- Differentiable ops on pictures, (batch, height, width, channels): convolution, pooling,
--- upsampling, padding.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local options = require "giemsa.options"
local arithmetic = require "giemsa.ops.arithmetic"
local base = require "giemsa.ops.base"
local grouped = require "giemsa.ops.grouped"
local layers = require "giemsa.ops.layers"
local window = require "giemsa.ops.window"

local ops = {}

local accumulate, record, target = grad.accumulate, grad.op, grad.target
local result, check, pair = base.result, base.check, base.pair
local dims_of, padding_of, geometry = window.dims_of, window.padding_of, window.geometry

-- ---- convolution --------------------------------------------------------------------------------

---@class giemsa.ops.ConvOptions
---@field strides (integer|integer[])? default 1
---@field padding ("same"|"valid"|integer[])? default "valid"; or {top, bottom, left, right}
---@field dilation (integer|integer[])? default 1
---@field groups integer? default 1; each output sees the in / groups channels of its own group
local conv_options = base.options {
  strides = "integer|table", padding = "string|table", dilation = "integer|table",
  groups = "integer",
}

--- Convolution (cross-correlation, as everywhere in deep learning).
---@param x tensor (n, h, w, in)
---@param w tensor (kernel_h, kernel_w, in / groups, out)
---@param b tensor? (out)
---@param opts giemsa.ops.ConvOptions?
---@return tensor y (n, out_h, out_w, out)
function ops.conv2d(x, w, b, opts)
  opts = check("conv2d", opts, conv_options)
  if (opts.groups or 1) ~= 1 then return grouped.conv2d(x, w, b, opts) end
  local _, height, width = dims_of("conv2d", x)
  local kh, kw, sh, sw, top, bottom, left, right, dh, dw = geometry("conv2d", x, w, opts)
  local y = result("conv2d", pcall(core.conv2d, x, w, sh, sw, top, bottom, left, right, dh, dw, b))
  local to_x, to_w, to_b = target(x), target(w), target(b)
  if not (to_x or to_w or to_b) then return y end
  local for_x, for_w = to_x and w, to_w and x -- each gradient reads the other operand
  return record(y, { to_x, to_w, to_b }, function(dy)
    if to_b then accumulate(to_b, core.sum_to(dy, to_b.shape)) end
    if to_w then
      accumulate(to_w, core.conv2d_dw(dy, for_w, kh, kw, sh, sw, top, bottom, left, right, dh, dw))
    end
    if to_x then
      accumulate(to_x, core.conv2d_dx(dy, for_x, height, width,
        sh, sw, top, bottom, left, right, dh, dw))
    end
  end, "conv2d")
end

ops.depthwise_conv2d = grouped.depthwise_conv2d

local norm_conv_options = base.options {
  strides = "integer|table", padding = "string|table", dilation = "integer|table",
  training = "boolean", momentum = "number", epsilon = "number",
}

-- The gradients of norm_conv2d's w, gamma and beta. With u the normalised input, the convolution's
-- input is gamma u + beta inside the picture and 0 outside. Let G be the weight gradient that u
-- itself would have, and G1 that of a channel of ones (it knows where the border cuts). Then
--   dw = gamma G + beta G1,   dgamma = sum w G,   dbeta = sum w G1   (over kernel places, outputs),
-- and the gradient of the convolution's input, the dearest of all in a net's first layer, is never
-- computed.
local function norm_conv_gradients(dy, x, gamma, beta, w, epsilon, kh, kw, ...)
  local _, height, width, channels = core.dims(x)
  local u = core.batch_norm(x, nil, nil, nil, nil, 0, epsilon, false)
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
---@param norm {[1]: tensor, [2]: tensor, [3]: tensor, [4]: tensor} gamma, beta, moving mean and variance
---@param w tensor (kernel_h, kernel_w, in, out)
---@param b tensor? (out)
---@param opts table? as batch_norm and conv2d
---@return tensor y (n, out_h, out_w, out)
function ops.norm_conv2d(x, norm, w, b, opts)
  opts = check("norm_conv2d", opts, norm_conv_options)
  local gamma, beta, mean, variance = table.unpack(norm)
  local epsilon = opts.epsilon or 1e-3
  local between = { training = opts.training, momentum = opts.momentum, epsilon = epsilon }
  if target(x) or not opts.training then
    return ops.conv2d(layers.batch_norm(x, gamma, beta, mean, variance, between), w, b,
      { strides = opts.strides, padding = opts.padding, dilation = opts.dilation })
  end
  local kh, kw, sh, sw, top, bottom, left, right, dh, dw = geometry("norm_conv2d", x, w, opts)
  local z = result("norm_conv2d", pcall(core.batch_norm, x, gamma, beta, mean, variance,
    opts.momentum or 0.99, epsilon, false))
  local y = result("norm_conv2d",
    pcall(core.conv2d, z, w, sh, sw, top, bottom, left, right, dh, dw, b))
  z:release()
  local to_gamma, to_beta, to_w, to_b = target(gamma), target(beta), target(w), target(b)
  return record(y, { to_gamma, to_beta, to_w, to_b }, function(dy)
    if to_b then accumulate(to_b, core.sum_to(dy, to_b.shape)) end
    local d_w, d_gamma, d_beta = norm_conv_gradients(dy, x, gamma, beta, w, epsilon, kh, kw,
      sh, sw, top, bottom, left, right, dh, dw)
    accumulate(to_w, d_w)
    accumulate(to_gamma, d_gamma)
    accumulate(to_beta, d_beta)
  end, "norm_conv2d")
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
