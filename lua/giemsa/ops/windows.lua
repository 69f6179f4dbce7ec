--- Windows over pictures: what padding means, in numbers.
-- "same" padding is TensorFlow's: output = ceil(size / stride), and what is missing is padded with
-- zeros, the smaller half before; so a 3x3 window with stride 2 over an even size pads nothing
-- before and 1 after.
local core = require "giemsa.core"
local options = require "giemsa.options"

local windows = {}

-- Padding before and after, along one direction.
local function same(size, window, stride)
  local outputs = (size + stride - 1) // stride
  local missing = math.max((outputs - 1) * stride + window - size, 0)
  return missing // 2, missing - missing // 2
end

-- top, bottom, left, right for a picture of height x width; h and w are the extents of the window
-- (of a dilated kernel as a whole).
function windows.padding(who, padding, height, width, h, w, sh, sw, below)
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
function windows.dims(who, x, name, below)
  if core.is_tensor(x) and x.ndim == 4 then return core.dims(x) end
  local got = core.is_tensor(x) and "shape (" .. table.concat(x.shape, ", ") .. ")" or type(x)
  error(who .. ": " .. (name or "x") .. " must be (batch, height, width, channels), got " .. got,
    3 + (below or 0))
end

return windows
