--- U-Net (Ronneberger, Fischer, Brox 2015, "U-Net: convolutional networks for biomedical image
--- segmentation"): a class for every pixel.
--
--   down, `depth` times:  two Conv3x3 + ReLU, kept for the way up;  MaxPool 2x2, channels doubled
--   bottom:               two Conv3x3 + ReLU
--   up, `depth` times:    twice the size, half the channels;  beside it what was kept at this size;
--                         two Conv3x3 + ReLU
--   output:               Conv1x1, sigmoid (one class) or softmax
--
-- Pictures keep their size ("same" padding), where the paper's lost their borders.
local nn = require "giemsa.nn"
local options = require "giemsa.options"

local function conv_relu(x, filters, batch_norm)
  x = nn.Conv2D{ filters, 3, padding = "same", use_bias = not batch_norm,
    kernel_initializer = "he_normal" }(x)
  if batch_norm then x = nn.BatchNormalization{ momentum = 0.9, epsilon = 1e-5 }(x) end
  return (nn.ReLU{}(x))
end

local function two(x, filters, cfg)
  x = conv_relu(conv_relu(x, filters, cfg.batch_norm), filters, cfg.batch_norm)
  return x
end

local enlarge = {
  transpose = function(x, filters) return (nn.Conv2DTranspose{ filters, 2, strides = 2 }(x)) end,
  upsample = function(x, filters)
    return (nn.Conv2D{ filters, 2, padding = "same" }(nn.UpSampling2D{ 2 }(x)))
  end,
}

local function check_shape(shape, depth)
  local step = 1 << depth
  for i, side in ipairs{ "height", "width" } do
    local n = math.tointeger(shape[i])
    if #shape ~= 3 or not n then
      error("UNet: input_shape must be {height, width, channels}, for example {256, 256, 3}", 3)
    end
    if n < step or n % step ~= 0 then
      error(("UNet: the %s must be a multiple of %d (it is halved %d times), got %d; resize or pad "
        .. "the pictures, or take a smaller depth"):format(side, step, depth, n), 3)
    end
  end
end

local known = { input_shape = "table", classes = "integer", width = "integer", depth = "integer",
  batch_norm = "boolean", up = "string", dropout = "number" }

--- Builds the net.
---@param opts {input_shape: integer[]?, classes: integer?, width: integer?, depth: integer?,
---  batch_norm: boolean?, up: ("transpose"|"upsample")?, dropout: number?}? input_shape {height,
---  width, channels}, sides multiples of 2^depth, default {256, 256, 3}; classes 1: one map and a
---  sigmoid, more: a softmax over as many maps; width: channels at full size, 64; depth 4;
---  batch_norm after every Conv3x3, false; up: a transposed 2x2 convolution (default), or nearest
---  upsampling and a 2x2 convolution; dropout: rate at the bottom, 0
---@return giemsa.Model
local function unet(opts)
  opts = options.check("UNet", opts, known, 3)
  local shape, width, depth = opts.input_shape or { 256, 256, 3 }, opts.width or 64, opts.depth or 4
  local classes = opts.classes or 1
  if depth < 1 then error("UNet: depth must be 1 or more, got " .. depth, 2) end
  check_shape(shape, depth)
  options.one_of("UNet", "up", opts.up or "transpose", { "transpose", "upsample" })
  local up = enlarge[opts.up or "transpose"]

  local inputs, kept = nn.Input{ shape = shape }, {}
  local x = inputs
  for level = 1, depth do
    kept[level] = two(x, width << (level - 1), opts)
    x = nn.MaxPooling2D{ 2 }(kept[level])
  end
  x = two(x, width << depth, opts)
  if opts.dropout then x = nn.Dropout{ opts.dropout }(x) end
  for level = depth, 1, -1 do
    local filters = width << (level - 1)
    x = two(nn.concatenate({ kept[level], up(x, filters) }), filters, opts)
  end
  x = nn.Conv2D{ classes, 1 }(x)
  x = nn.Activation{ classes == 1 and "sigmoid" or "softmax" }(x)
  return nn.Model(inputs, x, { name = "unet" })
end

return unet
