--- ResNet-50 (He et al. 2015, "Deep residual learning for image recognition") in the form everybody
--- uses today, "v1.5": post-activation bottlenecks, and the 3x3 convolution does the halving.
--
--   input -> Conv7x7/2 -> BN -> ReLU -> MaxPool 3x3/2 -> stages of blocks -> global average ->
--         Dense -> softmax
--   block(x):  y = ReLU(BN(Conv1x1(f)(x)));  y = ReLU(BN(Conv3x3(f, stride)(y)));  y =
--              BN(Conv1x1(4f)(y));  out = ReLU(y + shortcut),  shortcut = x, or
--              BN(Conv1x1(4f, stride)(x)) where the shape changes
--
-- Windows with stride 2 are padded alike on both sides (not as "same" does), so weights trained
-- elsewhere fit. 25,557,032 trainable parameters for 1000 classes.
local nn = require "giemsa.nn"
local options = require "giemsa.options"

local EXPANSION = 4 -- what comes out of a block, over what its 3x3 convolution works on

local function conv(x, filters, size, strides)
  local padding = strides == 1 and "same" or "valid"
  if size > 1 and strides > 1 then x = nn.ZeroPadding2D{ size // 2 }(x) end
  return (nn.Conv2D{ filters, size, strides = strides, padding = padding, use_bias = false,
    kernel_initializer = "he_normal" }(x))
end

local function norm(x) return (nn.BatchNormalization{ momentum = 0.9, epsilon = 1e-5 }(x)) end
local function relu(x) return (nn.ReLU{}(x)) end

local function block(x, filters, stride, changes_shape)
  local y = relu(norm(conv(x, filters, 1, 1)))
  y = relu(norm(conv(y, filters, 3, stride)))
  y = norm(conv(y, EXPANSION * filters, 1, 1))
  local shortcut = x
  if changes_shape then shortcut = norm(conv(x, EXPANSION * filters, 1, stride)) end
  return relu(nn.add{ y, shortcut })
end

local known = { input_shape = "table", classes = "integer", blocks = "table", width = "integer",
  include_top = "boolean" }

--- Builds the net.
---@param opts {input_shape: integer[]?, classes: integer?, blocks: integer[]?, width: integer?,
---  include_top: boolean?}? input_shape {height, width, channels}, default {224, 224, 3};
---  classes 1000; blocks in each stage {3, 4, 6, 3} ({3, 4, 23, 3} is ResNet-101); width: channels
---  of the stem, 64, doubled from stage to stage; include_top = false ends in the last map, before
---  the global average
---@return giemsa.Model
local function resnet50(opts)
  opts = options.check("ResNet50", opts, known, 3)
  local width, classes = opts.width or 64, opts.classes or 1000
  local inputs = nn.Input{ shape = opts.input_shape or { 224, 224, 3 } }
  local x = relu(norm(conv(inputs, width, 7, 2)))
  x = nn.MaxPooling2D{ 3, strides = 2 }(nn.ZeroPadding2D{ 1 }(x))
  for stage, count in ipairs(opts.blocks or { 3, 4, 6, 3 }) do
    for i = 1, count do
      x = block(x, width << (stage - 1), i == 1 and stage > 1 and 2 or 1, i == 1)
    end
  end
  if opts.include_top ~= false then
    x = nn.Dense{ classes }(nn.GlobalAveragePooling2D{}(x))
    x = nn.Activation{ "softmax" }(x)
  end
  return nn.Model(inputs, x, { name = "resnet50" })
end

return resnet50
