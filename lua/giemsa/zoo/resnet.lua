--- The course's ResNet: pre-activation bottleneck modules (He et al. 2016, "Identity mappings in
--- deep residual networks").
--
--   input -> BN -> Conv5x5 -> BN -> ReLU -> ZeroPad -> MaxPool 3x3/2 -> stages of modules -> BN ->
--   ReLU -> AvgPool 8x8
--         -> Flatten -> Dense -> softmax
--   module(x):  a = ReLU(BN(x));  y = Conv1x1(K/4)(a);  y = Conv3x3(K/4)(ReLU(BN(y)));  y =
--   Conv1x1(K)(ReLU(BN(y)))
--               out = y + shortcut,  shortcut = x, or Conv1x1(K)(a) where the shape changes; no
--               ReLU after the sum
--
-- nn.ResNet.build(64, 64, 3, 2, {2, 2, 3}, {32, 64, 128, 256}, {reg = 0.0005}) has 294,766
-- parameters.
local nn = require "giemsa.nn"
local options = require "giemsa.options"

local resnet = {}

-- The reg quirk: the course's build() takes `reg` but never hands it to its modules, so every
-- convolution inside a module keeps the default below, and only the stem and the classifier obey
-- `reg`. With reg = 0.0005 the penalty at the start is 0.153 instead of 0.744. The course's printed
-- losses are only possible this way, so the numbers are kept.
local MODULE_REG = 0.0001

local function batch_norm(x, cfg)
  return (nn.BatchNormalization{ axis = -1, epsilon = cfg.bn_eps, momentum = cfg.bn_mom }(x))
end

local function bn_relu(x, cfg) return (nn.Activation{ "relu" }(batch_norm(x, cfg))) end

local function conv(x, filters, size, strides, padding, reg)
  return (nn.Conv2D{ filters, size, strides = strides, padding = padding, use_bias = false,
    kernel_regularizer = nn.l2(reg) }(x))
end

--- One residual module.
---@param x giemsa.Ref (h, w, c)
---@param filters integer K, the channels that come out; a multiple of 4
---@param stride integer 1, or 2 to halve the map
---@param cfg {bn_eps: number, bn_mom: number, reduce: boolean?} reduce: the shortcut is a
---  convolution of its own
---@return giemsa.Ref
function resnet.module(x, filters, stride, cfg)
  local narrow = filters // 4
  local activated = bn_relu(x, cfg)
  local y = conv(activated, narrow, 1, 1, "valid", MODULE_REG)
  y = conv(bn_relu(y, cfg), narrow, 3, stride, "same", MODULE_REG)
  y = conv(bn_relu(y, cfg), filters, 1, 1, "valid", MODULE_REG)
  local shortcut = x
  if cfg.reduce then shortcut = conv(activated, filters, 1, stride, "valid", MODULE_REG) end
  return nn.add{ y, shortcut }
end

local function stage(x, count, filters, stride, cfg)
  for i = 1, count do
    local first = i == 1
    x = resnet.module(x, filters, first and stride or 1,
      { bn_eps = cfg.bn_eps, bn_mom = cfg.bn_mom, reduce = first })
  end
  return x
end

local function check_sizes(stages, filters)
  if #filters ~= #stages + 1 then
    error(("ResNet.build: %d stages need %d filters (the first is the stem's), got %d")
      :format(#stages, #stages + 1, #filters), 3)
  end
  for i = 2, #filters do
    if filters[i] % 4 ~= 0 then
      error(("ResNet.build: filters[%d] must be a multiple of 4 (a module narrows to a quarter), "
        .. "got %d"):format(i, filters[i]), 3)
    end
  end
end

-- Pixels of a side before the last pool: halved, rounded up, by the stem's pool and by every stage
-- but the first.
local function left_before_pool(pixels, stages)
  for _ = 1, stages do pixels = (pixels + 1) // 2 end
  return pixels
end

--- Builds the net; arguments as in the course.
---@param width integer of the images
---@param height integer at least 8 pixels must be left before the 8x8 pool: 64 does for three
---  stages, 32 for two
---@param depth integer channels
---@param classes integer
---@param stages integer[] modules in each stage
---@param filters integer[] channels: of the stem, then of each stage
---@param opts {reg: number?, bn_eps: number?, bn_mom: number?}? l2 of stem and classifier (0.0001;
---  see the quirk above), batch norm's epsilon (2e-5) and momentum (0.9); the course's spellings
---  bnEps and bnMom are understood
---@return giemsa.Model
function resnet.build(width, height, depth, classes, stages, filters, opts)
  opts = options.check("ResNet.build", opts, { reg = "number", bn_eps = "number", bn_mom = "number",
    bnEps = "number",
    bnMom = "number" }, 3)
  check_sizes(stages, filters)
  local reg = opts.reg or 0.0001
  local cfg = { bn_eps = opts.bn_eps or opts.bnEps or 2e-5, bn_mom = opts.bn_mom or opts.bnMom
    or 0.9 }
  if left_before_pool(width, #stages) < 8 or left_before_pool(height, #stages) < 8 then
    error(("ResNet.build: %d stages leave less than the last pool's 8x8 of a %dx%d image; "
      .. "use at least %d pixels, or fewer stages")
      :format(#stages, width, height, 8 << #stages), 2)
  end

  local inputs = nn.Input{ shape = { height, width, depth } }
  local x = batch_norm(inputs, cfg)
  x = conv(x, filters[1], 5, 1, "same", reg)
  x = bn_relu(x, cfg)
  x = nn.ZeroPadding2D{ 1 }(x)
  x = nn.MaxPooling2D{ 3, strides = 2 }(x)
  for i, count in ipairs(stages) do
    x = stage(x, count, filters[i + 1], i == 1 and 1 or 2, cfg)
  end
  x = bn_relu(x, cfg)
  x = nn.AveragePooling2D{ 8 }(x)
  x = nn.Flatten{}(x)
  x = nn.Dense{ classes, kernel_regularizer = nn.l2(reg) }(x)
  x = nn.Activation{ "softmax" }(x)
  return nn.Model(inputs, x, { name = "resnet" })
end

return resnet
