--- Differentiable ops on pictures, (batch, height, width, channels): pooling, upsampling, padding.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local options = require "giemsa.options"
local arithmetic = require "giemsa.ops.arithmetic"
local base = require "giemsa.ops.base"
local norm = require "giemsa.ops.norm"
local window = require "giemsa.ops.window"

local ops = {}

local accumulate, record, target = grad.accumulate, grad.op, grad.target
local result, check, pair = base.result, base.check, base.pair
local dims_of, padding_of = window.dims_of, window.padding_of

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
  record(y, { to_x }, function(dy)
    accumulate(to_x, core.max_pool2d_dx(dy, taps, height, width, table.unpack(window)))
  end, "max_pool2d")
  if y.node then y.node.owns = { taps } end
  return y
end

--- max_pool2d(relu(batch_norm(x))), with relu and batch norm done on what the pool chose only: both
--- keep the order of numbers (or turn it round, where batch norm's scale is negative).
---@param x giemsa.Normalised with relu
---@param opts giemsa.ops.PoolOptions?
---@return tensor y (n, out_h, out_w, c)
function ops.norm_max_pool2d(x, opts)
  opts = check("max_pool2d", opts, pool_options)
  local raw, to_x = x.x, norm.read(x)
  local _, height, width = dims_of("max_pool2d", raw)
  local window = window_of("max_pool2d", height, width, opts)
  window[9] = false -- zeros around the picture never win: after relu nothing is below 0
  local given = { table.unpack(window) }
  given[10] = x.rows
  local chosen, taps = result("max_pool2d", pcall(core.max_pool2d, raw, table.unpack(given)))
  local y = core.norm_apply(chosen, x.rows, true)
  if not to_x then
    chosen:release()
    return y
  end
  record(y, { to_x }, function(dy)
    local g = core.relu_dx(dy, y)
    if norm.is_last(to_x) and not to_x.grad then
      norm.finish(to_x, g, core.norm_sums(g, chosen, x.rows, false),
        { taps, table.unpack(window, 1, 8) })
    else
      accumulate(to_x, core.max_pool2d_dx(g, taps, height, width, table.unpack(window)))
      g:release()
    end
  end, "max_pool2d")
  y.node.owns = { chosen }
  return y
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
