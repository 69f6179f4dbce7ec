--- A model is a table of layer rows, run by one flat loop.
--
--   model.rows[i] = { class =, name =, config = <plain table>, inputs = { row numbers }, ... }
--
-- Rows stand in the order they were made; a row reads only rows above it. Everything else in a row
-- (weights, shapes, prepared options) follows from those four, which is why get_config /
-- from_config is all that saving needs.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local infer = require "giemsa.nn.infer"
local initializers = require "giemsa.nn.initializers"
local layers = require "giemsa.nn.layers"
local ops = require "giemsa.ops"
local options = require "giemsa.options"
local plan = require "giemsa.nn.plan"
local random = require "giemsa.random"

local classes, shape_text = layers.classes, layers.shape_text

---@class giemsa.Model
---@field rows table[] the layers: { class, name, config, inputs, index, shape, input_shape,
---  weights, variables }
---@field name string
---@field optimizer table? after compile; likewise loss_name and metric_names
---@field history table? of the last fit: name -> array, a value an epoch
---@field epoch integer epochs trained so far, over all calls of fit
---@field class_names string[]?
---@field preprocessing table? what was done to the pictures, as plain values
---@field data_sha256 string?
local Model = {}

-- Methods that stand in other parts; each part adds its own to Model when it is loaded.
local later = {
  summary = "nn.summary", summary_text = "nn.summary",
  compile = "train.step", train_on_batch = "train.step",
  fit = "train.fit", fit_generator = "train.fit",
  evaluate = "train.score", evaluate_generator = "train.score",
  predict = "train.score", predict_generator = "train.score",
  save = "save", save_weights = "save", load_weights = "save",
}

local metatable = {
  __name = "giemsa.Model",
  __index = function(_, key)
    local value = Model[key]
    if value == nil and later[key] then
      require("giemsa." .. later[key])
      value = Model[key]
    end
    return value
  end,
  __call = function(self, x, opts) return self:forward(x, opts) end,
  __tostring = function(self) return self:summary_text() end,
}

-- ---- rows ---------------------------------------------------------------------------------------

--- A model without layers; append() adds them.
---@param name string?
---@param given? table<string, userdata> weights that need not be drawn, by their names
---@return giemsa.Model
function Model.empty(name, given)
  return setmetatable({
    given = given,
    name = name or "model", rows = {}, outputs = {}, counts = {}, by_name = {}, epoch = 0,
      draws = 0,
    seed = random.get_seed(), number = random.consumer(),
  }, metatable)
end

-- Keras 2.2.4: conv2d_1, conv2d_2, batch_normalization_1, ... counted from 1 in each model.
local function snake_case(class)
  if class == "Input" then return "input" end
  return (class:gsub("(.)(%u%l+)", "%1_%2"):gsub("(%l)(%u)", "%1_%2"):lower())
end

local function name_of(model, class, config)
  local name = config.name
  if not name then
    local base = snake_case(class)
    repeat
      model.counts[base] = (model.counts[base] or 0) + 1
      name = base .. "_" .. model.counts[base]
    until not model.by_name[name]
  end
  if model.by_name[name] then
    error(("two layers are named '%s'; names are one of a kind"):format(name), 0)
  end
  return name
end

local function input_shape_of(model, class, inputs)
  if class.merges then
    local shapes = {}
    for i, from in ipairs(inputs) do shapes[i] = model.rows[from].shape end
    return shapes
  end
  return inputs[1] and model.rows[inputs[1]].shape
end

-- The weight that from_config was given; nothing is drawn then, so that a foreign file cannot make
-- a layer of any size.
local function given_weight(model, name, shape)
  local tensor = model.given[name]
  if not tensor then return core.empty{ 0 } end -- whoever gave the others says so
  local has, needs = shape_text(tensor.shape), shape_text(shape)
  if has == needs then return tensor end
  error(("weight '%s' has shape %s in the file, but the architecture needs %s")
    :format(name, has, needs), 0)
end

-- The layer's weights, each drawn from its own random stream (seed, model, row, weight).
local function make_weights(model, row, class)
  for i, weight in ipairs(class.weights and class.weights(row.config, row.input_shape) or {}) do
    local name, shape, initializer = row.name .. "/" .. weight[1], weight[2], weight[3]
    local tensor = model.given and given_weight(model, name, shape)
      or initializers.make(initializer, shape, { model.seed, model.number, row.index, i })
    local regularizer = weight.regularizer
    tensor.name = name
    row.weights[weight[1]] = tensor
    row.variables[i] = {
      name = tensor.name, tensor = tensor, l2 = regularizer and regularizer.l2 or 0,
        trainable = weight.trainable ~= false,
    }
  end
end

local function mark_trainable(row)
  local layer_trains = row.config.trainable ~= false
  for _, weight in ipairs(row.variables) do
    if weight.statistic == nil then weight.statistic = not weight.trainable end
    weight.trainable = layer_trains and not weight.statistic
    weight.tensor.requires_grad = weight.trainable
  end
end

local function forget_plans(model)
  model.plans, model.programs, model.all_weights, model.trainable_weights = {}, nil, nil, nil
end

--- Adds a layer row. Raises (level 0) when the shapes do not fit.
---@param class_name string a name in nn, such as "Conv2D"
---@param config table the plain, checked options of the layer
---@param inputs integer[] row numbers
---@return table row
function Model:append(class_name, config, inputs)
  local class = classes[class_name]
  local row = {
    class = class_name, config = config, inputs = setmetatable(inputs, { __jsontype = "array" }),
    index = #self.rows + 1, weights = {}, variables = {},
  }
  row.name = name_of(self, class_name, config)
  row.input_shape = input_shape_of(self, class, inputs)
  row.shape = class.shape(config, row.input_shape)
  self.rows[row.index], self.by_name[row.name] = row, row
  make_weights(self, row, class)
  mark_trainable(row)
  if class.prepare then class.prepare(row) end
  forget_plans(self)
  return row
end

--- The row of a layer by its name or number.
---@param key string|integer
---@return table row
function Model:get_layer(key)
  local row = self.by_name[key] or self.rows[key]
  if row then return row end
  error(("the model has no layer '%s'%s"):format(key, options.hint(key, self.by_name)), 2)
end

--- Freezes layers (trainable = false) or thaws them. A frozen BatchNormalization keeps its
--- statistics.
---@param trainable boolean
---@param pattern string? a Lua pattern for layer names; all layers when absent
function Model:set_trainable(trainable, pattern)
  local found = false
  for _, row in ipairs(self.rows) do
    if not pattern or row.name:find(pattern) then
      row.config.trainable, found = trainable and nil, true
      if not trainable then row.config.trainable = false end
      mark_trainable(row)
    end
  end
  if not found then error(("set_trainable: no layer name matches '%s'"):format(pattern), 2) end
  forget_plans(self)
end

-- ---- running ------------------------------------------------------------------------------------

--- What the net ends in: "softmax", "sigmoid", or nil; a loss can then work on what comes before
--- it.
---@return string?
function Model:final_activation() return plan.final_activation(self) end

-- Says in which layer an error happened, and what went in.
local function name_the_layer(model)
  return function(problem)
    local row = model.running
    if problem == plan.INTERRUPTED or not row or type(problem) ~= "string" then return problem end
    if problem:find("interrupted!", 1, true) then return problem end
    local shape = row.input_shape or row.shape
    local text = type(shape[1]) == "table" and {} or shape_text(shape, true)
    if type(text) == "table" then
      for i, one in ipairs(shape) do text[i] = shape_text(one, true) end
      text = table.concat(text, " and ")
    end
    return ("layer %d '%s' (%s), input %s: %s"):format(row.index, row.name, row.class, text,
      problem)
  end
end

local function check_input(row, x, level)
  if not core.is_tensor(x) then
    error(("the model needs a tensor, got %s"):format(type(x)), level)
  end
  local shape, want = x.shape, row.shape
  local fits = #shape == #want + 1
  for i = 1, #want do fits = fits and shape[i + 1] == want[i] end
  if fits then return end
  local hint = ""
  if #shape == #want then hint = "; a single sample needs a batch axis: x:reshape(1, ...)" end
  error(("the model ('%s') takes input %s, got %s%s"):format(row.name, shape_text(want, true),
    shape_text(shape), hint), level)
end

-- row number -> input tensor; x is one tensor, or a list for several inputs.
local function place_inputs(model, x, level)
  local values = {}
  local list = type(x) == "table" and x or { x }
  if #model.input_rows ~= #list then
    error(("the model has %d inputs, got %d tensors"):format(#model.input_rows, #list), level)
  end
  for i, index in ipairs(model.input_rows) do
    check_input(model.rows[index], list[i], level + 1)
    values[index] = list[i]
  end
  return values
end

local function collect(values, indices)
  local list = {}
  for i, index in ipairs(indices) do list[i] = values[index] end
  return list
end

local forward_options = { training = "boolean", logits = "boolean", keep = "table",
  poll = "boolean" }

--- Runs the net. The tape records it while grad.enabled(), so a gradient of the output with respect
--- to x or to the weights can follow.
---
--- - training: batch norm uses the batch's statistics (and updates the moving ones), dropout drops.
---   Default false.
--- - logits: stop before a final softmax or sigmoid. Default false.
--- - keep: names of layers whose values are wanted as well; they come as a second result, a table
---   name -> tensor.
---@param x userdata|table (N, ...) a tensor, or a list of them for a model with several inputs
---@param opts {training: boolean?, logits: boolean?, keep: string[]?}?
---@return userdata|table y a tensor, or a list for a model with several outputs
---@return table<string, userdata>? kept
function Model:forward(x, opts)
  opts = options.check("forward", opts, forward_options, 3)
  local keep = {}
  for i, name in ipairs(opts.keep or {}) do keep[i] = self:get_layer(name).index end
  if not (opts.training or keep[1] or grad.enabled()) and core.is_tensor(x) then
    if opts.poll then plan.poll() end
    check_input(self.rows[self.input_rows[1]], x, 3)
    local y = infer.run(self, x, opts.logits)
    if y then return y end
  end
  local steps = plan.of(self, opts.logits, keep)
  local values = place_inputs(self, x, 3)
  self.running = nil
  local ok, problem = xpcall(plan.run, name_the_layer(self), self, steps.list, values, opts.training
    or false, opts.poll)
  self.running = nil
  if not ok then error(problem, 0) end
  local out = collect(values, steps.out)
  if #keep == 0 then return #out == 1 and out[1] or out end
  local kept = {}
  for i, index in ipairs(keep) do kept[opts.keep[i]] = values[index] end
  return #out == 1 and out[1] or out, kept
end

--- A fresh number for each random mask of this model, in the order they are drawn. A training step
--- sets model.draws from the number of updates done, so that training that goes on after a load
--- draws what it would have drawn.
---@return integer
function Model:draw_number()
  self.draws = self.draws + 1
  return self.draws
end

-- ---- weights ------------------------------------------------------------------------------------

--- All weights in order of the layers: kernel and bias; gamma, beta, moving_mean, moving_variance.
---@return {name: string, tensor: userdata, trainable: boolean, l2: number}[] list not to be changed
function Model:weights()
  if self.all_weights then return self.all_weights end
  local list = {}
  for _, row in ipairs(self.rows) do
    table.move(row.variables, 1, #row.variables, #list + 1, list)
  end
  self.all_weights = list
  return list
end

--- Those the optimiser changes.
---@return {name: string, tensor: userdata, trainable: boolean, l2: number}[]
function Model:trainable()
  if self.trainable_weights then return self.trainable_weights end
  local list = {}
  for _, weight in ipairs(self:weights()) do
    if weight.trainable then list[#list + 1] = weight end
  end
  self.trainable_weights = list
  return list
end

--- Copies of all weights, in the order of weights().
---@return userdata[]
function Model:get_weights()
  local copies = {}
  for i, weight in ipairs(self:weights()) do copies[i] = weight.tensor:copy() end
  return copies
end

--- Sets all weights, from tensors in the order of weights() or from a table name -> tensor.
---@param given userdata[]|table<string, userdata>
function Model:set_weights(given)
  for i, weight in ipairs(self:weights()) do
    local value = given[weight.name] or given[i]
    if not value then error(("set_weights: nothing given for '%s'"):format(weight.name), 2) end
    local have, want = shape_text(value.shape), shape_text(weight.tensor.shape)
    if have ~= want then
      error(("set_weights: '%s' has shape %s, got %s"):format(weight.name, want, have), 2)
    end
    weight.tensor:copy_from(value)
  end
end

--- How many numbers the model holds.
---@return integer total
---@return integer trainable
function Model:count_params()
  local total, trainable = 0, 0
  for _, weight in ipairs(self:weights()) do
    total = total + weight.tensor.size
    if weight.trainable then trainable = trainable + weight.tensor.size end
  end
  return total, trainable
end

--- The regularisation term: the sum of l2 * sum(w^2) over the weights that have one (no 1/2, as in
--- Keras).
---@return userdata|number scalar tensor, or 0 when no weight has one
function Model:penalty()
  local list = {}
  for _, weight in ipairs(self:weights()) do
    if weight.l2 > 0 then list[#list + 1] = { weight.tensor, weight.l2 } end
  end
  return #list > 0 and ops.l2(list) or 0
end

--- Forgets all gradients, and gives their memory back at once.
function Model:zero_grad()
  for _, weight in ipairs(self:weights()) do
    local gradient = weight.tensor.grad
    if gradient then
      weight.tensor.grad = nil
      gradient:release()
    end
  end
end

-- ---- plain form ---------------------------------------------------------------------------------

local function plain_copy(value, where)
  if type(value) == "function" then
    error(("%s holds a Lua function, which cannot be written down; use named layers, or save the "
      .. "weights alone (model:save_weights) and build the net by its code"):format(where), 0)
  end
  if type(value) ~= "table" then return value end
  local copy = {}
  for k, v in pairs(value) do copy[k] = plain_copy(v, where) end
  return setmetatable(copy, getmetatable(value))
end

--- The architecture as a plain table that JSON can hold. Raises when a layer holds a Lua function.
---@return {class_name: string, name: string, layers: table[], outputs: integer[]}
function Model:get_config()
  local array = { __jsontype = "array" }
  local list = setmetatable({}, array)
  for i, row in ipairs(self.rows) do
    local where = ("layer %d '%s' (%s)"):format(i, row.name, row.class)
    local ok, config = pcall(plain_copy, row.config, where)
    if not ok then error(config, 2) end
    config.name = nil
    list[i] = {
      class = row.class, name = row.name, config = setmetatable(config, { __jsontype = "object" }),
      inputs = setmetatable({ table.unpack(row.inputs) }, array),
    }
  end
  return { class_name = "Model", name = self.name, layers = list,
    outputs = setmetatable({ table.unpack(self.outputs) }, array) }
end

--- Sets which rows go in and come out; the last step of building.
---@param outputs integer[] row numbers
function Model:finish(outputs)
  self.outputs, self.input_rows, self.given = outputs, {}, nil
  for i, row in ipairs(self.rows) do
    if row.class == "Input" then self.input_rows[#self.input_rows + 1] = i end
  end
  forget_plans(self)
  return self
end

return Model
