--- The layer classes with a kernel for each channel (their entries are as in nn/layers.lua).
local checks = require "giemsa.nn.checks"
local ops = require "giemsa.ops"

local pair, size_of, whole = checks.pair, checks.size_of, checks.whole

local classes = {}

-- ---- what the two share -------------------------------------------------------------------------

local function options(filters)
  return { filters = filters, kernel_size = "integer|table", strides = "integer|table",
    padding = "string", dilation_rate = "integer|table", depth_multiplier = "integer" }
end
local defaults = { strides = 1, padding = "valid", dilation_rate = 1, depth_multiplier = 1 }

local function prepare(row)
  local config = row.config
  row.options = { strides = config.strides, padding = config.padding,
    dilation = config.dilation_rate }
end

local function depthwise_kernel(config, input)
  local k = config.kernel_size
  return checks.named_kernel(config, "depthwise",
    { k[1], k[2], input[3], config.depth_multiplier })
end

local function check(config)
  pair(config, "kernel_size")
  pair(config, "strides")
  pair(config, "dilation_rate")
  config.depth_multiplier = whole(config.depth_multiplier, "depth_multiplier", 1)
  checks.padding(config)
end

local function size_after(config, input)
  checks.need_map(input)
  return checks.windows(config, input, config.kernel_size, config.strides, config.dilation_rate)
end

-- ---- the layers ---------------------------------------------------------------------------------

local depthwise = { "depthwise" }

--- A convolution of each channel by itself. (h, w, c) -> (h', w', c * depth_multiplier).
---@class giemsa.DepthwiseConv2D : giemsa.KernelOptions
---@field kernel_size integer|integer[] side of the window, or {height, width}
---@field strides integer|integer[] how far the window moves
---@field padding "valid"|"same"
---@field dilation_rate integer|integer[] distance between the window's taps
---@field depth_multiplier integer how many kernels each channel has
classes.DepthwiseConv2D = {
  order = { "kernel_size" },
  options = checks.kernel_options(options(), depthwise),
  defaults = checks.kernel_defaults(defaults, depthwise),
  check = function(config)
    check(config)
    checks.kernel_and_bias(config, depthwise)
  end,
  shape = function(config, input)
    local h, w = size_after(config, input)
    return { h, w, input[3] * config.depth_multiplier }
  end,
  weights = function(config, input)
    return checks.with_bias(config, { depthwise_kernel(config, input) },
      input[3] * config.depth_multiplier)
  end,
  prepare = prepare,
  forward = function(row, x)
    local w = row.weights
    return ops.depthwise_conv2d(x, w.depthwise_kernel, w.bias, row.options)
  end,
  macs = function(config, _, output)
    return size_of(output) * config.kernel_size[1] * config.kernel_size[2]
  end,
}

local separable = { "depthwise", "pointwise" }

--- A depthwise convolution, then one of 1x1 over its channels: far fewer weights than Conv2D.
--- (h, w, c) -> (h', w', filters).
---@class giemsa.SeparableConv2D : giemsa.KernelOptions
---@field filters integer how many maps come out
---@field kernel_size integer|integer[] side of the window, or {height, width}
---@field strides integer|integer[] how far the window moves
---@field padding "valid"|"same"
---@field dilation_rate integer|integer[] distance between the window's taps
---@field depth_multiplier integer how many kernels each channel has
classes.SeparableConv2D = {
  order = { "filters", "kernel_size" },
  options = checks.kernel_options(options("integer"), separable),
  defaults = checks.kernel_defaults(defaults, separable),
  check = function(config)
    config.filters = whole(config.filters, "filters", 1)
    check(config)
    checks.kernel_and_bias(config, separable)
  end,
  shape = function(config, input)
    local h, w = size_after(config, input)
    return { h, w, config.filters }
  end,
  weights = function(config, input)
    local pointwise = { 1, 1, input[3] * config.depth_multiplier, config.filters }
    return checks.with_bias(config, { depthwise_kernel(config, input),
      checks.named_kernel(config, "pointwise", pointwise) }, config.filters)
  end,
  prepare = prepare,
  forward = function(row, x)
    local w = row.weights
    x = ops.depthwise_conv2d(x, w.depthwise_kernel, nil, row.options)
    return ops.conv2d(x, w.pointwise_kernel, w.bias)
  end,
  macs = function(config, input, output)
    local between = output[1] * output[2] * input[3] * config.depth_multiplier
    return between * (config.kernel_size[1] * config.kernel_size[2] + config.filters)
  end,
}

return classes
