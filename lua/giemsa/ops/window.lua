--- The geometry of windows that move over pictures: sizes, strides, padding.
-- "same" padding is TensorFlow's: output = ceil(size / stride), and what is missing is padded with
-- zeros, the smaller half before; so a 3x3 window with stride 2 over an even size pads nothing
-- before and 1 after. All raise as the caller of the op, which calls them itself; `below` counts
-- the functions in between.
local core = require "giemsa.core"
local options = require "giemsa.options"
local base = require "giemsa.ops.base"

local window = {}

-- Padding before and after, along one direction.
local function same(size, extent, stride)
  local outputs = (size + stride - 1) // stride
  local missing = math.max((outputs - 1) * stride + extent - size, 0)
  return missing // 2, missing - missing // 2
end

-- top, bottom, left, right for a picture of height x width; h and w are the extents of the window
-- (of a dilated kernel as a whole).
function window.padding_of(who, padding, height, width, h, w, sh, sw, below)
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
function window.dims_of(who, x, name, below)
  if core.is_tensor(x) and x.ndim == 4 then return core.dims(x) end
  local got = core.is_tensor(x) and "shape (" .. table.concat(x.shape, ", ") .. ")" or type(x)
  local want = name == "w" and "(kernel_h, kernel_w, in, out)" or "(batch, height, width, channels)"
  error(("%s: %s must be %s, got %s"):format(who, name or "x", want, got), 3 + (below or 0))
end

-- Kernel sides, then what the core wants: strides, padding, dilation.
function window.geometry(who, x, w, opts)
  local sh, sw = base.pair(who, "strides", opts.strides, 1, 1, 1)
  local dh, dw = base.pair(who, "dilation", opts.dilation, 1, 1, 1)
  local _, height, width = window.dims_of(who, x, "x", 1)
  local kh, kw = window.dims_of(who, w, "w", 1)
  local top, bottom, left, right = window.padding_of(who, opts.padding, height, width,
    (kh - 1) * dh + 1, (kw - 1) * dw + 1, sh, sw, 1)
  return kh, kw, sh, sw, top, bottom, left, right, dh, dw
end

return window
