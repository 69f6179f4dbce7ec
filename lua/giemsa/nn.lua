--- Nets. Layers carry their Keras names; a layer called on what another gives builds the graph:
--
--   local x = nn.Input{ shape = {64, 64, 3} }
--   local y = nn.Conv2D{ 32, 5, padding = "same", kernel_regularizer = nn.l2(0.0005) }(x)
--   local model = nn.Model(x, nn.Dense{ 2, activation = "softmax" }(nn.Flatten{}(y)))
--
-- What a layer is, stands in nn/layers.lua, one entry a class; what a model is, in nn/model.lua.
-- The batch axis is never written: a shape {64, 64, 3} is a picture (height, width, channels).
local graph = require "giemsa.nn.graph"
local layers = require "giemsa.nn.layers"
local Model = require "giemsa.nn.model"
local options = require "giemsa.options"

local classes = layers.classes
local configure, title = graph.configure, graph.title
local is_layer, is_ref = graph.is_layer, graph.is_ref

---@class giemsa.nn
---@field Conv2D fun(opts: table): giemsa.Layer (h, w, c) -> (h', w', filters)
---@field Conv2DTranspose fun(opts: table): giemsa.Layer
---@field DepthwiseConv2D fun(opts: table): giemsa.Layer (h, w, c) -> (h', w', c * depth_multiplier)
---@field SeparableConv2D fun(opts: table): giemsa.Layer (h, w, c) -> (h', w', filters)
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
---@field ResNet50 fun(opts: table?): giemsa.Model see zoo/resnet50.lua
---@field UNet fun(opts: table?): giemsa.Model see zoo/unet.lua
---@field load_model fun(path: string, opts: table?): giemsa.Model what model:save(path) wrote
local nn = {}

for class_name in pairs(classes) do
  nn[class_name] = function(...)
    local layer = graph.new_layer(class_name, 2, ...)
    return layer
  end
end

--- The input of a net. nn.Input{shape = {64, 64, 3}} or nn.Input{64, 64, 3}; the batch axis comes
--- by itself.
---@param given table
---@return giemsa.Ref
function nn.Input(given)
  if type(given) == "table" and type(given[1]) == "number" then
    local shape, rest = {}, {}
    for key, value in pairs(given) do (type(key) == "string" and rest or shape)[key] = value end
    rest.shape = shape
    given = rest
  end
  local layer = graph.new_layer("Input", 2, given or {})
  layer.used = true
  return graph.new_ref(layer, {}, layer.config.shape)
end

--- Weight decay: the loss gains factor * sum(w^2) (no 1/2, as in Keras; the gradient gains 2 *
--- factor * w).
---@param factor number? >= 0, default 0.01
---@return table regularizer
function nn.l2(factor)
  factor = factor or 0.01
  if type(factor) ~= "number" or not (factor >= 0) then
    error("l2: the factor must be a number >= 0, got " .. tostring(factor), 2)
  end
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

-- ---- models -------------------------------------------------------------------------------------

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
      local got = is_layer(ref) and "a layer that was not called: nn." .. ref.class .. "{...}(x)"
      error(("Model: %s must be what layers give (nn.Input{...}, a called layer), got %s")
        :format(what, got or type(ref)), 4)
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

--- A model from its inputs to its outputs: nn.Model(x, y), or nn.Model{inputs = x, outputs = y,
--- name = "..."}. First weights are keyed by (seed, how many models were made since random.seed,
--- layer), so a lesson repeats.
---@overload fun(opts: table): giemsa.Model
---@param inputs giemsa.Ref|giemsa.Ref[]
---@param outputs giemsa.Ref|giemsa.Ref[]
---@param opts {name: string?}?
---@return giemsa.Model
local function new_model(inputs, outputs, opts)
  if outputs == nil and type(inputs) == "table" and not is_ref(inputs) then
    local given = options.check("Model", inputs, { inputs = "table", outputs = "table",
      name = "string" }, 4)
    inputs, outputs, opts = given.inputs, given.outputs, given
  end
  if inputs == nil or outputs == nil then
    error("Model: needs inputs and outputs, nn.Model(x, y)", 3)
  end
  local function list(value)
    return is_ref(value) and { value } or type(value) == "table" and #value > 0 and value
      or { value }
  end
  return (build(list(inputs), list(outputs), opts and opts.name))
end

-- nn.Model is called to make a model, and is the table of its methods (parts add theirs:
-- nn.Model.save = ...).
nn.Model = setmetatable({}, {
  __call = function(_, ...)
    local model = new_model(...)
    return model
  end,
  __index = Model, __newindex = Model,
})

-- The rows that a layer of a saved configuration reads, row i being its own. Raises plain messages.
local function checked_inputs(layer, i)
  local inputs, class = {}, classes[layer.class]
  for k, from in ipairs(type(layer.inputs) == "table" and layer.inputs or {}) do
    inputs[k] = math.tointeger(from)
    if not inputs[k] or inputs[k] < 1 or inputs[k] >= i then
      error("its inputs must be rows above it", 0)
    end
  end
  local least = layer.class == "Input" and 0 or class.merges and 2 or 1
  if #inputs < least or #inputs > least and not class.merges then
    error(("takes %s of the rows above it as input, got %d"):format(least == 0 and "none"
      or least == 1 and "one" or "at least two", #inputs), 0)
  end
  return inputs
end

--- A model from what model:get_config() gave.
---@param config table
---@param weights? table<string, userdata> become the model's own, by their names, and none is drawn
---@return giemsa.Model
function nn.Model.from_config(config, weights)
  local outputs_fit = type(config) == "table" and type(config.outputs or {}) == "table"
  if not outputs_fit or type(config.layers) ~= "table" then
    error("from_config: expected a table with layers, as model:get_config() gives", 2)
  end
  local model = Model.empty(config.name, weights)
  for i, layer in ipairs(config.layers) do
    if type(layer) ~= "table" then
      error(("from_config: layer %d is a %s, not a table"):format(i, type(layer)), 2)
    end
    local class = classes[layer.class]
    if not class then
      error(("from_config: layer %d has the unknown class '%s'%s")
        :format(i, tostring(layer.class), options.hint(layer.class, classes)), 2)
    end
    if type(layer.config or {}) ~= "table" then
      error(("from_config: the config of layer %d is a %s, not a table")
        :format(i, type(layer.config)), 2)
    end
    local given = copy_config(layer.config or {})
    given.name = layer.name
    local ok, problem = pcall(function()
      model:append(layer.class, configure(layer.class, given, 0), checked_inputs(layer, i))
    end)
    if not ok then
      error(("from_config: layer %d '%s': %s"):format(i, tostring(layer.name), problem), 2)
    end
  end
  local outputs = {}
  for i, index in ipairs(config.outputs or { #model.rows }) do
    outputs[i] = math.tointeger(index)
    if not model.rows[outputs[i]] then
      error(("from_config: there is no layer %s to be an output"):format(tostring(index)), 2)
    end
  end
  if #outputs == 0 then error("from_config: a model needs at least one layer", 2) end
  return model:finish(outputs)
end

-- Puts a layer behind the last row of a sequential model; the first one brings its input_shape.
local function add_layer(model, layer, level)
  if is_ref(layer) then layer = layer.layer end -- nn.Input gives a ref
  if not is_layer(layer) then
    error(("Sequential: expected a layer such as nn.Dense{10}, got %s"):format(type(layer)),
      level + 1)
  end
  if classes[layer.class].merges then
    error(("Sequential: %s needs several inputs; use nn.Model"):format(layer.class), level + 1)
  end
  local ok, problem = pcall(function()
    if #model.rows == 0 and layer.class ~= "Input" then
      local shape = layer.input_shape
        or error("the first layer needs input_shape = {...}, or put nn.Input{...} first", 0)
      model:append("Input", configure("Input", { shape = shape }, 0), {})
    end
    model:append(layer.class, copy_config(layer.config), { #model.rows > 0 and #model.rows or nil })
  end)
  if not ok then error(("Sequential: %s: %s"):format(title(layer), problem), level + 1) end
  model:finish{ #model.rows }
end

--- A model whose layers stand in a row: nn.Sequential{ nn.Dense{8, input_shape = {2}}, nn.ReLU{} };
--- more by model:add(layer).
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

-- Names that stand in other parts, loaded when first asked for.
local later = {
  ResNet = function() return require "giemsa.zoo.resnet" end,
  ResNet50 = function() return require "giemsa.zoo.resnet50" end,
  UNet = function() return require "giemsa.zoo.unet" end,
  load_model = function() return require("giemsa." .. "save").load_model end, -- of a higher stratum
}

return setmetatable(nn, {
  __index = function(self, key)
    if later[key] then
      self[key] = later[key]()
      return self[key]
    end
    error(("nn has nothing named '%s'%s"):format(tostring(key), options.hint(key, self)), 2)
  end,
})
