--- Nets. Layers carry their Keras names; a layer called on what another gives builds the graph:
--
--   local x = nn.Input{ shape = {64, 64, 3} }
--   local y = nn.Conv2D{ 32, 5, padding = "same", use_bias = false, kernel_regularizer = nn.l2(0.0005) }(x)
--   local model = nn.Model(x, nn.Dense{ 2, activation = "softmax" }(nn.Flatten{}(y)))
--
-- What a layer is, stands in nn/layers.lua, one entry a class; what a model is, in nn/model.lua.
-- The batch axis is never written: a shape {64, 64, 3} is a picture (height, width, channels).
local core = require "giemsa.core"
local layers = require "giemsa.nn.layers"
local Model = require "giemsa.nn.model"
local options = require "giemsa.options"

local classes, shape_text = layers.classes, layers.shape_text

---@class giemsa.nn
---@field Conv2D fun(opts: table): giemsa.Layer (h, w, c) -> (h', w', filters)
---@field Conv2DTranspose fun(opts: table): giemsa.Layer
---@field Dense fun(opts: table): giemsa.Layer (..., n) -> (..., units)
---@field BatchNormalization fun(opts: table?): giemsa.Layer
---@field Activation fun(opts: table|string): giemsa.Layer
---@field ReLU fun(): giemsa.Layer
---@field Softmax fun(): giemsa.Layer
---@field Dropout fun(opts: table|number): giemsa.Layer
---@field MaxPooling2D fun(opts: table?): giemsa.Layer
---@field AveragePooling2D fun(opts: table?): giemsa.Layer
---@field GlobalAveragePooling2D fun(): giemsa.Layer
---@field GlobalMaxPooling2D fun(): giemsa.Layer
---@field UpSampling2D fun(opts: table?): giemsa.Layer
---@field ZeroPadding2D fun(opts: table?): giemsa.Layer
---@field Flatten fun(): giemsa.Layer
---@field Reshape fun(opts: table): giemsa.Layer
---@field Add fun(): giemsa.Layer
---@field Concatenate fun(opts: table?): giemsa.Layer
---@field Lambda fun(fn: function): giemsa.Layer
---@field ResNet table nn.ResNet.build(...), see zoo/resnet.lua
local nn = {}

-- What a layer gives while a graph is built: { layer =, inputs = refs, shape =, sequence = }.
---@class giemsa.Ref
local Ref = { __name = "giemsa.Ref" }
Ref.__tostring = function(ref) return ("%s -> %s"):format(ref.layer.class, shape_text(ref.shape, true)) end

local sequence = 0 -- rows stand in the order the layers were called

-- ---- layers ------------------------------------------------------------------------------------------------

---@class giemsa.Layer
local Layer = { __name = "giemsa.Layer" }

-- "Conv2D 'stem'"
local function title(layer)
  return layer.config.name and ("%s '%s'"):format(layer.class, layer.config.name) or layer.class
end

local function is_ref(value) return getmetatable(value) == Ref end

local function check_inputs(layer, inputs, level)
  for i, ref in ipairs(inputs) do
    if not is_ref(ref) then
      error(("%s: input %d must be what another layer gives (start from nn.Input), got %s"):format(title(layer), i,
        core.is_tensor(ref) and "a tensor; build an nn.Model first" or type(ref)), level + 1)
    end
  end
  if classes[layer.class].merges then
    if #inputs < 2 then error(("%s: takes a list of at least two layers, nn.%s{}{a, b}"):format(title(layer), layer.class), level + 1) end
  elseif #inputs ~= 1 then
    error(("%s: takes one input, got %d"):format(title(layer), #inputs), level + 1)
  end
end

local function new_ref(layer, inputs, shape)
  sequence = sequence + 1
  return setmetatable({ layer = layer, inputs = inputs, shape = shape, sequence = sequence }, Ref)
end

function Layer.__call(layer, given)
  local inputs = (type(given) == "table" and not is_ref(given)) and given or { given }
  check_inputs(layer, inputs, 2)
  if layer.used then
    error(("%s: this layer already stands in a graph; make a new one for each place (weights are not shared)"):format(title(layer)), 2)
  end
  local shapes = {}
  for i, ref in ipairs(inputs) do shapes[i] = ref.shape end
  local class = classes[layer.class]
  local ok, shape = pcall(class.shape, layer.config, class.merges and shapes or shapes[1])
  if not ok then error(("%s: %s"):format(title(layer), shape), 2) end
  layer.used = true
  return new_ref(layer, inputs, shape)
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
        error(("%s: takes %s, got %d positional values"):format(class_name,
          #order == 0 and "no positional values" or "only " .. table.concat(order, ", ") .. " by position", #given), level + 1)
      end
      if given[name] ~= nil then error(("%s: %s is given twice"):format(class_name, name), level + 1) end
    end
    config[name] = value
  end
  return config
end

-- nn.Conv2D{32, 5, padding = "same"}, nn.Conv2D(32, 5, {padding = "same"}) and nn.Dense(10) are all understood.
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
local function configure(class_name, given, level)
  local class = classes[class_name]
  local config = named(class_name, given, level + 1)
  options.check(class_name, config, known_options[class_name], level + 2)
  for key, value in pairs(class.defaults or {}) do
    if config[key] == nil then config[key] = value end
  end
  if class.check then
    local ok, problem = pcall(class.check, config)
    if not ok then error(("%s: %s"):format(title{ class = class_name, config = config }, problem), level + 1) end
  end
  return config
end

local function new_layer(class_name, level, ...)
  local config = configure(class_name, options_of(...), level + 1)
  local input_shape = config.input_shape
  config.input_shape = nil
  return setmetatable({ class = class_name, config = config, input_shape = input_shape }, Layer)
end

for class_name in pairs(classes) do
  nn[class_name] = function(...)
    local layer = new_layer(class_name, 2, ...)
    return layer
  end
end

--- The input of a net. nn.Input{shape = {64, 64, 3}} or nn.Input{64, 64, 3}; the batch axis comes by itself.
---@param given table
---@return giemsa.Ref
function nn.Input(given)
  if type(given) == "table" and type(given[1]) == "number" then
    local shape, rest = {}, {}
    for key, value in pairs(given) do (type(key) == "string" and rest or shape)[key] = value end
    rest.shape = shape
    given = rest
  end
  local layer = new_layer("Input", 2, given or {})
  layer.used = true
  return new_ref(layer, {}, layer.config.shape)
end

--- Weight decay: the loss gains factor * sum(w^2) (no 1/2, as in Keras; the gradient gains 2 * factor * w).
---@param factor number? >= 0, default 0.01
---@return table regularizer
function nn.l2(factor)
  factor = factor or 0.01
  if type(factor) ~= "number" or not (factor >= 0) then error("l2: the factor must be a number >= 0, got " .. tostring(factor), 2) end
  return { l2 = factor }
end

--- The sum of layers of one shape: nn.add{a, b} is nn.Add{}{a, b}.
---@param list giemsa.Ref[]
---@return giemsa.Ref
function nn.add(list)
  local ref = nn.Add{}(list)
  return ref
end

--- Layers side by side: nn.concatenate({a, b}, {axis = -1}).
---@param list giemsa.Ref[]
---@param opts {axis: integer?, name: string?}?
---@return giemsa.Ref
function nn.concatenate(list, opts)
  local ref = nn.Concatenate(opts or {})(list)
  return ref
end

-- ---- models ------------------------------------------------------------------------------------------------

local function copy_config(config)
  local copy = {}
  for key, value in pairs(config) do copy[key] = value end
  return copy
end

-- All refs the outputs are made of, in the order they were made.
local function ancestors(outputs)
  local seen, list, waiting = {}, {}, { table.unpack(outputs) }
  while #waiting > 0 do
    local ref = table.remove(waiting)
    if not seen[ref] then
      seen[ref] = true
      list[#list + 1] = ref
      table.move(ref.inputs, 1, #ref.inputs, #waiting + 1, waiting)
    end
  end
  table.sort(list, function(a, b) return a.sequence < b.sequence end)
  return list
end

local function append_ref(model, ref, row_of)
  local inputs = {}
  for i, input in ipairs(ref.inputs) do inputs[i] = row_of[input] end
  local row = model:append(ref.layer.class, copy_config(ref.layer.config), inputs)
  row_of[ref] = row.index
end

local function check_refs(list, what)
  for _, ref in ipairs(list) do
    if not is_ref(ref) then
      error(("Model: %s must be what layers give (nn.Input{...}, a called layer), got %s"):format(what,
        getmetatable(ref) == Layer and "a layer that was not called on anything: nn." .. ref.class .. "{...}(x)" or type(ref)), 4)
    end
  end
end

local function build(inputs, outputs, name)
  check_refs(inputs, "inputs")
  check_refs(outputs, "outputs")
  local given, row_of = {}, {}
  for _, ref in ipairs(inputs) do given[ref] = true end
  local model = Model.empty(name)
  for _, ref in ipairs(ancestors(outputs)) do
    if ref.layer.class == "Input" and not given[ref] then
      error("Model: the outputs need an nn.Input that is not among the inputs given", 3)
    end
    local ok, problem = pcall(append_ref, model, ref, row_of)
    if not ok then error("Model: " .. tostring(problem), 3) end
    given[ref] = nil
  end
  if next(given) then error("Model: an input leads to none of the outputs", 3) end
  local rows, input_rows = {}, {}
  for i, ref in ipairs(outputs) do rows[i] = row_of[ref] end
  model:finish(rows)
  for i, ref in ipairs(inputs) do input_rows[i] = row_of[ref] end
  model.input_rows = input_rows
  return model
end

--- A model from its inputs to its outputs: nn.Model(x, y), or nn.Model{inputs = x, outputs = y, name = "..."}.
--- First weights are keyed by (seed, how many models were made since random.seed, layer), so a lesson repeats.
---@overload fun(opts: table): giemsa.Model
---@param inputs giemsa.Ref|giemsa.Ref[]
---@param outputs giemsa.Ref|giemsa.Ref[]
---@param opts {name: string?}?
---@return giemsa.Model
local function new_model(inputs, outputs, opts)
  if outputs == nil and type(inputs) == "table" and not is_ref(inputs) then
    local given = options.check("Model", inputs, { inputs = "table", outputs = "table", name = "string" }, 4)
    inputs, outputs, opts = given.inputs, given.outputs, given
  end
  if inputs == nil or outputs == nil then error("Model: needs inputs and outputs, nn.Model(x, y)", 3) end
  local function list(value) return is_ref(value) and { value } or type(value) == "table" and #value > 0 and value or { value } end
  return (build(list(inputs), list(outputs), opts and opts.name))
end

-- nn.Model is called to make a model, and is the table of its methods (parts add theirs: nn.Model.save = ...).
nn.Model = setmetatable({}, {
  __call = function(_, ...)
    local model = new_model(...)
    return model
  end,
  __index = Model, __newindex = Model,
})

--- A model from what model:get_config() gave. Weights are fresh.
---@param config table
---@return giemsa.Model
function nn.Model.from_config(config)
  if type(config) ~= "table" or type(config.layers) ~= "table" then
    error("from_config: expected a table with layers, as model:get_config() gives", 2)
  end
  local model = Model.empty(config.name)
  for i, layer in ipairs(config.layers) do
    local class = classes[layer.class]
    if not class then
      local near = options.nearest(tostring(layer.class), classes)
      error(("from_config: layer %d has the unknown class '%s'%s"):format(i, tostring(layer.class),
        near and (" (did you mean '%s'?)"):format(near) or ""), 2)
    end
    local given = copy_config(layer.config or {})
    given.name = layer.name
    local ok, problem = pcall(function()
      local inputs = {}
      for k, from in ipairs(layer.inputs or {}) do
        inputs[k] = math.tointeger(from)
        if not inputs[k] or inputs[k] < 1 or inputs[k] >= i then error("its inputs must be rows above it", 0) end
      end
      model:append(layer.class, configure(layer.class, given, 0), inputs)
    end)
    if not ok then error(("from_config: layer %d '%s': %s"):format(i, tostring(layer.name), problem), 2) end
  end
  local outputs = {}
  for i, index in ipairs(config.outputs or { #model.rows }) do
    outputs[i] = math.tointeger(index)
    if not model.rows[outputs[i]] then error(("from_config: there is no layer %s to be an output"):format(tostring(index)), 2) end
  end
  if #outputs == 0 then error("from_config: a model needs at least one layer", 2) end
  return model:finish(outputs)
end

-- Puts a layer behind the last row of a sequential model; the first one brings its input_shape.
local function add_layer(model, layer, level)
  if is_ref(layer) then layer = layer.layer end -- nn.Input gives a ref
  if getmetatable(layer) ~= Layer then
    error(("Sequential: expected a layer such as nn.Dense{10}, got %s"):format(type(layer)), level + 1)
  end
  if classes[layer.class].merges then error(("Sequential: %s needs several inputs; use nn.Model"):format(layer.class), level + 1) end
  local ok, problem = pcall(function()
    if #model.rows == 0 and layer.class ~= "Input" then
      local shape = layer.input_shape or error("the first layer needs input_shape = {...}, or put nn.Input{...} first", 0)
      model:append("Input", configure("Input", { shape = shape }, 0), {})
    end
    model:append(layer.class, copy_config(layer.config), { #model.rows > 0 and #model.rows or nil })
  end)
  if not ok then error(("Sequential: %s: %s"):format(title(layer), problem), level + 1) end
  model:finish{ #model.rows }
end

--- A model whose layers stand in a row: nn.Sequential{ nn.Dense{8, input_shape = {2}}, nn.Dense{1} }; more by
--- model:add(layer).
---@param list giemsa.Layer[]?
---@return giemsa.Model
function nn.Sequential(list)
  local model = Model.empty("sequential")
  model.add = function(self, layer)
    add_layer(self, layer, 2)
    return self
  end
  model:finish{}
  for _, layer in ipairs(list or {}) do add_layer(model, layer, 2) end
  return model
end

--- A model from a file that model:save(path) wrote.
---@param path string
---@param ... any passed on to giemsa.save.load_model
---@return giemsa.Model
function nn.load_model(path, ...) return require("giemsa.save").load_model(path, ...) end

return setmetatable(nn, {
  __index = function(self, key)
    if key == "ResNet" then
      self.ResNet = require "giemsa.zoo.resnet"
      return self.ResNet
    end
    local near = options.nearest(tostring(key), self)
    error(("nn has nothing named '%s'%s"):format(tostring(key), near and (" (did you mean '%s'?)"):format(near) or ""), 2)
  end,
})
