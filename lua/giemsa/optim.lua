--- Optimisers. Each keeps slots (velocities, moments) by weight name and the number of updates
-- done; the learning rate is the base rate, and decay takes effect through that number (as Keras
-- does, so it survives saving):
--
--   rate = lr / (1 + decay * iterations),  iterations = updates done before this one
--   SGD       v = momentum * v - rate * g;  w += v              (nesterov: w += momentum * v - rate
--   * g) RMSprop   s = rho * s + (1 - rho) * g^2;  w -= rate * g / (sqrt(s) + epsilon)
--   Adam      m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;  t = iterations + 1
--             w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)
--
-- The rate multiplies inside SGD's velocity; PyTorch multiplies outside, and differs as soon as the
-- rate changes.
local core = require "giemsa.core"
local options = require "giemsa.options"

local optim = {}

---@class giemsa.Optimizer
---@field lr number base learning rate; may be set at any time
---@field decay number
---@field iterations integer updates done
---@field slots table<string, userdata> "conv2d_1/kernel/velocity" -> tensor
local Optimizer = {}

--- The learning rate of the next update.
---@return number
function Optimizer:current_lr() return self.lr / (1 + self.decay * self.iterations) end

--- One update of all weights from their gradients, in place. A weight without a gradient is left
--- alone.
---@param weights {name: string, tensor: userdata}[] model:trainable()
function Optimizer:step(weights)
  local rate = self:current_lr()
  for _, weight in ipairs(weights) do
    local gradient = weight.tensor.grad
    if gradient then self:update(weight.name, weight.tensor, gradient, rate) end
  end
  self.iterations = self.iterations + 1
end

-- A slot, made of zeros when first asked for.
function Optimizer:slot(name, which, tensor)
  local key = name .. "/" .. which
  local slot = self.slots[key]
  if not slot then
    slot = core.zeros(tensor.shape)
    self.slots[key] = slot
  end
  return slot
end

--- The settings, as a plain table; optim.from_config makes an equal optimiser of them.
---@return {class_name: string}
function Optimizer:get_config()
  local config = { class_name = self.class_name }
  for key in pairs(self.known) do config[key] = self[key] end
  return config
end

--- What training has made of it: the number of updates and the slots (the tensors themselves, not
--- copies).
---@return {iterations: integer, slots: table<string, userdata>}
function Optimizer:get_state()
  local slots = {}
  for key, tensor in pairs(self.slots) do slots[key] = tensor end
  return { iterations = self.iterations, slots = slots }
end

--- Goes on where a state of get_state() was.
---@param state {iterations: integer, slots: table<string, userdata>}
function Optimizer:set_state(state)
  self.iterations = math.tointeger(state.iterations)
    or error("set_state: iterations must be a whole number", 2)
  self.slots = {}
  for key, tensor in pairs(state.slots or {}) do self.slots[key] = tensor:copy() end
end

local function check_range(who, config, key, low, high, level)
  local value = config[key]
  if value and not (value >= low and value <= high) then
    error(("%s: %s must be from %g to %s, got %g"):format(who, key, low, high == math.huge
      and "any size" or tostring(high),
      value), level + 1)
  end
end

-- A class: optim.NAME{...} checks the options against `defaults` (key -> default value) and fills
-- them in.
local function class(name, defaults)
  local methods = setmetatable({ class_name = name, known = defaults }, { __index = Optimizer })
  local metatable = {
    __name = "giemsa." .. name, __index = methods,
    __tostring = function(self) return ("%s(lr = %g, %d updates done)")
      :format(name, self.lr, self.iterations) end,
  }
  local known = { learning_rate = "number", class_name = "string" }
  for key, value in pairs(defaults) do known[key] = type(value) end
  optim[name] = function(given)
    if type(given) == "number" then given = { lr = given } end
    local config = {}
    for key, value in pairs(options.check(name, given, known, 3)) do
      if key == 1 then key = "lr" end
      if type(key) == "number" then
        error(("%s: takes named options, for example %s{lr = 0.01}"):format(name, name), 2)
      end
      config[key] = value
    end
    if config.lr and config.learning_rate then
      error(name .. ": lr and learning_rate are the same; give one", 2)
    end
    config.lr, config.learning_rate, config.class_name = config.lr or config.learning_rate, nil, nil
    for key, value in pairs(defaults) do
      if config[key] == nil then config[key] = value end
    end
    check_range(name, config, "lr", 0, math.huge, 2)
    check_range(name, config, "decay", 0, math.huge, 2)
    for _, key in ipairs{ "momentum", "rho", "beta_1", "beta_2" } do
      check_range(name, config, key, 0, 1, 2)
    end
    config.iterations, config.slots = 0, {}
    return setmetatable(config, metatable)
  end
  return methods
end

--- Stochastic gradient descent with momentum.
---@param opts {lr: number?, learning_rate: number?, momentum: number?, decay: number?, nesterov:
---  boolean?}?
---@return giemsa.Optimizer
local SGD = class("SGD", { lr = 0.01, momentum = 0.0, decay = 0.0, nesterov = false })
function SGD:update(name, w, g, rate)
  local velocity = self.momentum ~= 0 and self:slot(name, "velocity", w) or nil
  core.sgd_step(w, g, velocity, rate, self.momentum, self.nesterov, 0)
end

--- Adam (Kingma and Ba 2015), with Keras's place for epsilon.
---@param opts {lr: number?, beta_1: number?, beta_2: number?, epsilon: number?, decay: number?}?
---@return giemsa.Optimizer
local Adam = class("Adam", { lr = 0.001, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7,
  decay = 0.0 })
function Adam:update(name, w, g, rate)
  local t = self.iterations + 1
  local corrected = rate * math.sqrt(1 - self.beta_2 ^ t) / (1 - self.beta_1 ^ t)
  core.adam_step(w, g, self:slot(name, "m", w), self:slot(name, "v", w), corrected, self.beta_1,
    self.beta_2, self.epsilon, 0)
end

--- RMSprop (Hinton).
---@param opts {lr: number?, rho: number?, epsilon: number?, decay: number?}?
---@return giemsa.Optimizer
local RMSprop = class("RMSprop", { lr = 0.001, rho = 0.9, epsilon = 1e-7, decay = 0.0 })
function RMSprop:update(name, w, g, rate)
  core.rmsprop_step(w, g, self:slot(name, "rms", w), rate, self.rho, self.epsilon, 0)
end

local classes = { "SGD", "Adam", "RMSprop" }

--- An optimiser from what get_config() gave.
---@param config {class_name: string}
---@return giemsa.Optimizer
function optim.from_config(config)
  if type(config) ~= "table" then
    error("optim.from_config: expected a table, as get_config() gives, got " .. type(config), 2)
  end
  local name = options.one_of("optim.from_config", "class_name", config.class_name, classes)
  return optim[name](config)
end

--- What compile accepts: an optimiser, or its name in any case ("sgd", "adam", "rmsprop").
---@param value giemsa.Optimizer|string
---@return giemsa.Optimizer
function optim.get(value)
  if type(value) == "table" and value.step and value.current_lr then return value end
  for _, name in ipairs(classes) do
    if type(value) == "string" and value:lower() == name:lower() then return optim[name]() end
  end
  error(("optimizer must be one of %s or made by optim.SGD{...}, got '%s'")
    :format(table.concat(classes, ", "), tostring(value)), 0)
end

return optim
