--- What layer classes check their options and shapes with. Everything raises plain text (level 0);
--- the caller adds the layer's name. Shapes are without the batch axis.
local initializers = require "giemsa.nn.initializers"

local checks = {}

local function fail(message, ...) error(message:format(...), 0) end
checks.fail = fail

-- ---- values -------------------------------------------------------------------------------------

function checks.whole(value, what, low)
  local n = math.tointeger(value)
  if not n or n < low then
    fail("%s must be a whole number from %d up, got %s", what, low, tostring(value))
  end
  return n
end

-- n or {n, m} -> {n, m}
function checks.pair(config, key)
  local value = config[key]
  if type(value) ~= "table" then value = { checks.whole(value, key, 1), value } end
  if #value ~= 2 then fail("%s must be a number or two of them, got %d values", key, #value) end
  config[key] = { checks.whole(value[1], key, 1), checks.whole(value[2], key, 1) }
end

function checks.padding(config)
  if config.padding == "same" or config.padding == "valid" then return end
  fail("padding must be \"same\" or \"valid\", got '%s'", tostring(config.padding))
end

local activations = { linear = true, relu = true, sigmoid = true, tanh = true, softmax = true }

function checks.activation(config)
  local name = config.activation
  if name == nil or type(name) == "function" or activations[name] then return end
  fail("activation must be linear, relu, sigmoid, softmax, tanh or a function, got '%s'",
    tostring(name))
end

function checks.regularizer(config, key)
  local value = config[key]
  if value == nil then return end
  if value == "l2" then value = { l2 = 0.01 } end
  if type(value) ~= "table" or type(value.l2) ~= "number" then
    fail("%s must be nn.l2(factor)", key)
  end
  config[key] = { l2 = value.l2 }
end

-- Layers with kernels and a bias. `kernels` names what their options begin with, as in Keras:
-- {"kernel"} (when absent) has kernel_initializer and kernel_regularizer for a weight "kernel",
-- {"depthwise"} has depthwise_initializer and so on for "depthwise_kernel".
local one_kernel = { "kernel" }

local function parts_of(kernels) return { "bias", table.unpack(kernels or one_kernel) } end

function checks.kernel_and_bias(config, kernels)
  checks.activation(config)
  for _, part in ipairs(parts_of(kernels)) do
    checks.regularizer(config, part .. "_regularizer")
    local key = part .. "_initializer"
    config[key] = initializers.plain(config[key])
  end
end

local function weight(config, part, name, shape)
  return { name, shape, config[part .. "_initializer"],
    regularizer = config[part .. "_regularizer"] }
end

function checks.kernel_weights(config, kernel_shape, units)
  return checks.with_bias(config, { weight(config, "kernel", "kernel", kernel_shape) }, units)
end

-- The weight "depthwise_kernel" of a layer whose kernels are { "depthwise", ... }.
function checks.named_kernel(config, kernel, shape)
  return weight(config, kernel, kernel .. "_kernel", shape)
end

-- Adds the bias of so many units, when there is one.
function checks.with_bias(config, weights, units)
  if config.use_bias then weights[#weights + 1] = weight(config, "bias", "bias", { units }) end
  return weights
end

---@class giemsa.KernelOptions
---@field use_bias boolean add a learned number to each output
---@field activation string|function of the output: "relu", "sigmoid", "tanh", "softmax", "linear"
---@field kernel_initializer string|table the first weights: "he_normal", "zeros", ... or {"constant", value = 0.1}
---@field bias_initializer string|table
---@field kernel_regularizer table weight decay: nn.l2(factor)
---@field bias_regularizer table

-- A table of options: `more` and what kernel layers share.
function checks.kernel_options(more, kernels)
  local known = { use_bias = "boolean", activation = "string|function" }
  for _, part in ipairs(parts_of(kernels)) do
    known[part .. "_initializer"], known[part .. "_regularizer"] = "string|table", "string|table"
  end
  for key, kind in pairs(more) do known[key] = kind end
  return known
end

function checks.kernel_defaults(more, kernels)
  local defaults = { use_bias = true }
  for _, part in ipairs(parts_of(kernels)) do
    defaults[part .. "_initializer"] = part == "bias" and "zeros" or "glorot_uniform"
  end
  for key, value in pairs(more) do defaults[key] = value end
  return defaults
end

-- How many equal groups of channels there are: `what` says whose channels.
function checks.divides(channels, groups, what)
  if channels % groups == 0 then return end
  fail("%d %s do not divide into %d groups", channels, what, groups)
end

-- ---- shapes -------------------------------------------------------------------------------------

function checks.need_map(input)
  if #input ~= 3 then
    fail("the input must be (height, width, channels), got %s", checks.shape_text(input))
  end
  return input[1], input[2], input[3]
end

-- How many windows of k pixels, s apart, d between their taps, go over n pixels.
function checks.windows(config, input, window, strides, dilation)
  local out = {}
  for i = 1, 2 do
    local reach = (window[i] - 1) * (dilation and dilation[i] or 1) + 1
    if config.padding == "same" then out[i] = (input[i] + strides[i] - 1) // strides[i]
    elseif input[i] < reach then
      fail("its %dx%d window does not fit into the %dx%d map it gets "
        .. "(a smaller window, padding = \"same\", or larger images)",
        window[1], window[2], input[1], input[2])
    else out[i] = (input[i] - reach) // strides[i] + 1 end
  end
  return out[1], out[2]
end

function checks.size_of(shape)
  local size = 1
  for _, n in ipairs(shape) do size = size * n end
  return size
end

--- "(32, 32, 3)"; with batch = true "(None, 32, 32, 3)".
---@param shape integer[]
---@param batch boolean?
---@return string
function checks.shape_text(shape, batch)
  local parts = { table.unpack(shape) }
  if batch then table.insert(parts, 1, "None") end
  return "(" .. table.concat(parts, ", ") .. (#parts == 1 and ",)" or ")")
end

return checks
