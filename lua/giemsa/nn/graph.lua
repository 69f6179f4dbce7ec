--- Graphs while they are built: a layer is { class, config }; called on what others give (refs), it
--- gives a ref. Shapes are worked out at the call, so a mistake is told at the line that made it.
local core = require "giemsa.core"
local layers = require "giemsa.nn.layers"
local options = require "giemsa.options"

local classes, shape_text = layers.classes, layers.shape_text

local graph = {}

-- What a layer gives while a graph is built: { layer =, inputs = refs, shape =, sequence = }.
---@class giemsa.Ref
local Ref = { __name = "giemsa.Ref" }
Ref.__tostring = function(ref)
  return ("%s -> %s"):format(ref.layer.class, shape_text(ref.shape, true))
end

local sequence = 0 -- rows stand in the order the layers were called

-- ---- layers -------------------------------------------------------------------------------------

---@class giemsa.Layer
local Layer = { __name = "giemsa.Layer" }

-- "Conv2D 'stem'"
function graph.title(layer)
  return layer.config.name and ("%s '%s'"):format(layer.class, layer.config.name) or layer.class
end

function graph.is_ref(value) return getmetatable(value) == Ref end

function graph.is_layer(value) return getmetatable(value) == Layer end

local function check_inputs(layer, inputs, level)
  for i, ref in ipairs(inputs) do
    if not graph.is_ref(ref) then
      local got = core.is_tensor(ref) and "a tensor; build an nn.Model first" or type(ref)
      error(("%s: input %d must be what another layer gives (start from nn.Input), got %s")
        :format(graph.title(layer), i, got), level + 1)
    end
  end
  if classes[layer.class].merges then
    if #inputs < 2 then
      error(("%s: takes a list of at least two layers, nn.%s{}{a, b}")
        :format(graph.title(layer), layer.class), level + 1)
    end
  elseif #inputs ~= 1 then
    error(("%s: takes one input, got %d"):format(graph.title(layer), #inputs), level + 1)
  end
end

function graph.new_ref(layer, inputs, shape)
  sequence = sequence + 1
  return setmetatable({ layer = layer, inputs = inputs, shape = shape, sequence = sequence }, Ref)
end

function Layer.__call(layer, given)
  local inputs = (type(given) == "table" and not graph.is_ref(given)) and given or { given }
  check_inputs(layer, inputs, 2)
  if layer.used then
    error(("%s: this layer already stands in a graph; make a new one for each place "
      .. "(weights are not shared)"):format(graph.title(layer)), 2)
  end
  local shapes = {}
  for i, ref in ipairs(inputs) do shapes[i] = ref.shape end
  local class = classes[layer.class]
  local ok, shape = pcall(class.shape, layer.config, class.merges and shapes or shapes[1])
  if not ok then error(("%s: %s"):format(graph.title(layer), shape), 2) end
  layer.used = true
  return graph.new_ref(layer, inputs, shape)
end

local common = { name = "string", trainable = "boolean", input_shape = "table" }
local known_options = {} -- class -> its options and the common ones

for name, class in pairs(classes) do
  local known = {}
  for key, kind in pairs(class.options) do known[key] = kind end
  for key, kind in pairs(common) do known[key] = kind end
  known_options[name] = known
end

-- Positional values get their names: Conv2D{32, 5} is {filters = 32, kernel_size = 5}.
local function named(class_name, given, level)
  local config, order = {}, classes[class_name].order
  for key, value in pairs(given) do
    local name = key
    if math.type(key) == "integer" then
      name = order[key]
      if not name then
        local takes = #order == 0 and "no positional values"
          or "only " .. table.concat(order, ", ") .. " by position"
        error(("%s: takes %s, got %d positional values"):format(class_name, takes, #given),
          level + 1)
      end
      if given[name] ~= nil then
        error(("%s: %s is given twice"):format(class_name, name), level + 1)
      end
    end
    config[name] = value
  end
  return config
end

-- nn.Conv2D{32, 5, padding = "same"}, nn.Conv2D(32, 5, {padding = "same"}) and nn.Dense(10) are all
-- understood.
local function options_of(first, ...)
  if type(first) == "table" and select("#", ...) == 0 then return first end
  local given = { first, ... }
  local last = given[#given]
  if type(last) == "table" and #last == 0 then
    table.remove(given)
    for key, value in pairs(last) do given[key] = value end
  end
  return given
end

-- Checks and completes a layer's options; level is that of the caller to blame.
function graph.configure(class_name, given, level)
  local class = classes[class_name]
  local config = named(class_name, given, level + 1)
  options.check(class_name, config, known_options[class_name], level + 2)
  for key, value in pairs(class.defaults or {}) do
    if config[key] == nil then config[key] = value end
  end
  if class.check then
    local ok, problem = pcall(class.check, config)
    if not ok then
      error(("%s: %s"):format(graph.title{ class = class_name, config = config }, problem),
        level + 1)
    end
  end
  return config
end

function graph.new_layer(class_name, level, ...)
  local config = graph.configure(class_name, options_of(...), level + 1)
  local input_shape = config.input_shape
  config.input_shape = nil
  return setmetatable({ class = class_name, config = config, input_shape = input_shape }, Layer)
end

return graph
