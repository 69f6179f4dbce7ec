--- From names to functions: which loss and metrics a model is trained with. A cross-entropy after
--- softmax or sigmoid is worked out from the logits (its gradient is then p - y: no logarithm of a
--- rounded 0, no flat spot where the net is most wrong), so training stops before that activation:
--
--   net ends in   loss                        worked out as
--   softmax       categorical_crossentropy    softmax + CE on logits (sparse_ likewise)
--   softmax, 2    binary_crossentropy         the same: of two classes, both outputs' BCE is -log p
--   softmax, n    binary_crossentropy         Keras's mean of n one-against-all BCEs (not CE!)
--   sigmoid       binary_crossentropy, dice   from logits
--   anything      mse, dice, a function       on the net's output
local core = require "giemsa.core"
local loss = require "giemsa.loss"
local ops = require "giemsa.ops"
local options = require "giemsa.options"

local objective = {}

local aliases = { bce = "binary_crossentropy", mean_squared_error = "mse",
  cce = "categorical_crossentropy" }
local names = { "binary_crossentropy", "categorical_crossentropy",
  "sparse_categorical_crossentropy", "mse", "dice" }
local entropies = { binary_crossentropy = "sigmoid", categorical_crossentropy = "softmax",
  sparse_categorical_crossentropy = "softmax" }

-- The name of a loss given by name, or as the function giemsa.loss.NAME; nil for a student's own
-- function.
local function name_of(given)
  if type(given) == "string" then
    local name = aliases[given] or given
    for _, known in ipairs(names) do if name == known then return name end end
    local known = {}
    for _, one in ipairs(names) do known[one] = true end
    error(("unknown loss '%s'%s; there are %s, or give a function (y_true, y_pred) -> scalar")
      :format(given, options.hint(name, known), table.concat(names, ", ")), 0)
  end
  for _, known in ipairs(names) do if given == loss[known] then return known end end
end

local function last_row(model) return model.rows[model.outputs[1]] end

---@class giemsa.Objective
---@field name string? nil for a student's function
---@field on_logits boolean whether value() takes logits
---@field value fun(y: userdata, output: userdata): userdata scalar tensor

local function on_output(name) return { name = name, on_logits = false, value = loss[name] } end

local function on_logits(name, shown, activation)
  local f, how = loss[name], { from_logits = true, activation = activation }
  return { name = shown or name, on_logits = true, value = function(y, logits)
    return (f(y, logits, how))
  end }
end

--- The loss of a model.
---@param model giemsa.Model
---@param given string|function
---@return giemsa.Objective
function objective.loss(model, given)
  local name = name_of(given)
  if not name then return { on_logits = false, value = given } end
  local final, row = model:final_activation(), last_row(model)
  if name == "binary_crossentropy" and final == "softmax" then
    if row.shape[#row.shape] == 2 then return on_logits("categorical_crossentropy", name) end
    return on_logits(name, name, "softmax")
  end
  local wanted = entropies[name]
  if final and (final == wanted or name == "dice" and final == "sigmoid") then
    return on_logits(name)
  end
  local trusted = row.class == "Lambda" or type(row.config.activation) == "function" -- to give p
  if not wanted or trusted then return on_output(name) end
  error(("%s needs a net that ends in %s, but '%s' (%s) ends in %s; add nn.Activation{\"%s\"}, "
    .. "or choose another loss")
    :format(name, wanted, row.name, row.class, final or "no activation", wanted), 0)
end

-- ---- class weights ------------------------------------------------------------------------------

-- A table class number -> weight, from numbers or names.
local function weight_list(given, class_names)
  local list = {}
  for key, weight in pairs(given) do
    local class = math.tointeger(key)
    for i, name in ipairs(class_names or {}) do if name == key then class = i end end
    if not class or type(weight) ~= "number" or not (weight >= 0) then
      error(("class_weight must map classes (numbers from 1, or names) to weights >= 0, "
        .. "got %s = %s"):format(tostring(key), tostring(weight)), 0)
    end
    list[class] = weight
  end
  return list
end

-- sum of w (z+ - y z + log(1 + e^-|z|)) / size: BCE on logits with a weight for each of them.
local function weighted_binary(y, logits, weights)
  local plain = ops.relu(logits) - logits * y + ops.log(ops.exp(-ops.abs(logits)) + 1)
  return ops.mean(plain * weights)
end

--- The same loss with each sample counting by its class: sum of weight * loss / batch size, as in
--- tf.keras.
---@param own giemsa.Objective
---@param given table class number (from 1) or name -> weight; 1 for a class not named
---@param class_names string[]?
---@return giemsa.Objective
function objective.weighted(own, given, class_names)
  local list = weight_list(given, class_names)
  local function of_class(class) return list[class] or 1 end
  if own.on_logits and own.name == "binary_crossentropy" then
    return { name = own.name, on_logits = true, value = function(y, logits)
      if logits.ndim == 2 and logits.shape[2] == 2 then
        return own.value(objective.scaled(y, of_class), logits)
      end
      y = y:reshape(logits.shape)
      -- labels 0 and 1: classes 1 and 2
      return weighted_binary(y, logits, y * (of_class(2) - of_class(1)) + of_class(1))
    end }
  end
  if not (own.on_logits and own.name) then
    error("class_weight needs a cross-entropy on a net that ends in softmax or sigmoid", 0)
  end
  local categorical = on_logits("categorical_crossentropy", own.name)
  return { name = own.name, on_logits = true, value = function(y, logits)
    if y.ndim == 1 then y = core.one_hot(y, logits.shape[2]) end
    return categorical.value(objective.scaled(y, of_class), logits) -- CE is linear in y
  end }
end

--- One-hot rows times the weight of their class.
function objective.scaled(y, of_class)
  local weights = {}
  for class = 1, y.shape[y.ndim] do weights[class] = of_class(class) end
  return y * core.from_table(weights)
end

-- ---- metrics ------------------------------------------------------------------------------------

-- The share of places where a and b are equal. Nobody else holds them: their memory goes back at
-- once.
local function fraction_equal(a, b)
  local equal = core.eq(a, b)
  local sum = core.sum(equal)
  local fraction = sum:item() / equal.size
  for _, spent in ipairs{ a, b, equal, sum } do spent:release() end
  return fraction
end

local metrics = {}

-- Logits and probabilities have the same largest entry, so these take either.
function metrics.categorical_accuracy(y, output)
  return fraction_equal(core.argmax(y, y.ndim), core.argmax(output, output.ndim))
end

function metrics.sparse_categorical_accuracy(y, output)
  local guess = core.argmax(output, output.ndim)
  return fraction_equal(y:reshape(guess.shape), guess)
end

function metrics.binary_accuracy(y, output, is_logits)
  return fraction_equal(y:reshape(output.shape), core.gt(output, is_logits and 0 or 0.5))
end

-- tf.keras chooses by the shapes: one output is binary, a label column is sparse, else one-hot.
function metrics.accuracy(y, output, is_logits)
  local outputs = output.shape[output.ndim]
  if outputs == 1 then return metrics.binary_accuracy(y, output, is_logits) end
  if y.ndim < output.ndim or y.shape[y.ndim] == 1 then
    return metrics.sparse_categorical_accuracy(y, output)
  end
  return metrics.categorical_accuracy(y, output)
end
metrics.acc = metrics.accuracy

local own_metrics = { mse = "mse", dice_loss = "dice" } -- losses as metrics: on probabilities

--- The metrics to report, in order: { name =, value = function(y, output, is_logits) -> number,
--- on_output = boolean }.
---@param given string[]|table<string, function>|nil names, or name = f(y_true, y_pred) -> number
---@return table[]
function objective.metrics(given)
  local list = {}
  for _, name in ipairs(given or {}) do
    if type(name) ~= "string" then
      error("a metric of your own needs a name: "
        .. "metrics = {\"accuracy\", my_metric = function(y_true, y_pred) ... end}", 0)
    end
    local value = metrics[name]
    if own_metrics[name] then
      value = function(y, p) return loss[own_metrics[name]](y, p):item() end
    elseif not value then
      error(("unknown metric '%s'%s"):format(name, options.hint(name, metrics)), 0)
    end
    list[#list + 1] = { name = name, value = value, on_output = own_metrics[name] ~= nil }
  end
  local own = {}
  for name, f in pairs(given or {}) do
    if type(name) == "string" then
      if type(f) ~= "function" then
        error(("metric '%s' must be a function (y_true, y_pred) -> number"):format(name), 0)
      end
      own[#own + 1] = { name = name, on_output = true, value = function(y, p)
        local v = f(y, p)
        return core.is_tensor(v) and v:item() or v
      end }
    end
  end
  table.sort(own, function(a, b) return a.name < b.name end)
  table.move(own, 1, #own, #list + 1, list)
  return list
end

return objective
