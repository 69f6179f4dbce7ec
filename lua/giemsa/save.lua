--- Models on disk: a safetensors file that holds all a model is and knows, so that prediction needs
-- nothing else and training goes on where it stopped. Weights stand under their names in the order
-- of the layers, optimiser slots behind them under "optimizer/...", the rest as JSON in the
-- metadata. What the file itself is, stands in save/file.lua.
local file = require "giemsa.save.file"
local json = require "giemsa.json"
local Model = require "giemsa.nn.model"
local nn = require "giemsa.nn"
local optim = require "giemsa.optim"
local options = require "giemsa.options"
local safetensors = require "giemsa.safetensors"

local save = {}

local SLOT = "optimizer/"
local CHECKPOINT = "checkpoint/" -- what a checkpoint of fit holds besides (train/checkpoint.lua)

local json_field, plain, shape_text, sorted_keys = file.json_field, file.plain, file.shape_text,
  file.sorted_keys

-- Any failure below is raised at the lesson's line, the path in front.
local function at_caller(who, path, f, ...)
  if type(path) ~= "string" then
    error(("%s: expected a path, got %s"):format(who, type(path)), 3)
  end
  local results = table.pack(pcall(f, path, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local message = tostring(results[2])
  if not message:find(path, 1, true) then message = path .. ": " .. message end
  error(("%s: %s"):format(who, message), 3)
end

-- ---- saving

local function weight_entries(model)
  local entries = {}
  for i, weight in ipairs(model:weights()) do
    entries[i] = { name = weight.name, tensor = weight.tensor }
  end
  return entries
end

-- What compile was given, and how far training has come.
local function training_to_json(model)
  local optimizer, compiled = model.optimizer, model.compiled or {}
  local own = {}
  for _, name in ipairs(compiled.metrics or {}) do own[#own + 1] = name end
  return json.encode {
    compiled = model.compiled ~= nil, epoch = model.epoch or 0,
    loss = compiled.loss, metrics = setmetatable(own, { __jsontype = "array" }),
    optimizer = optimizer and optimizer:get_config(),
    iterations = optimizer and optimizer:get_state().iterations,
    seed = model.seed, number = model.number,
  }
end

--- What save writes of a model: its tensors in order, and the metadata.
---@param model giemsa.Model
---@return {name: string, tensor: userdata}[] entries, table<string, string> metadata
function save.contents(model)
  local entries = weight_entries(model)
  local slots = model.optimizer and model.optimizer:get_state().slots or {}
  for _, name in ipairs(sorted_keys(slots)) do
    entries[#entries + 1] = { name = SLOT .. name, tensor = slots[name] }
  end
  return entries, {
    content = "model",
    architecture = plain("the architecture", model:get_config()),
    training = training_to_json(model),
    history = file.history_to_json(model.history),
    class_names = model.class_names and plain("class_names", model.class_names),
    preprocessing = model.preprocessing and plain("preprocessing", model.preprocessing),
    data_sha256 = model.data_sha256,
  }
end

local function save_model(path, model) file.write(path, save.contents(model)) end

--- Saves everything: architecture, weights, class names, preprocessing, optimiser, epoch, history.
--- The old file stays until the new one is complete. Raises when a layer holds a Lua function, or
--- when the disk fails.
---@param model giemsa.Model
---@param path string by custom ending in .safetensors
---@return giemsa.Model model
function save.save_model(model, path)
  at_caller("save", path, save_model, model)
  return model
end

local function save_weights(path, model)
  file.write(path, weight_entries(model), { content = "weights" })
end

--- Saves the weights alone, for a net that the reader's code builds again.
---@param model giemsa.Model
---@param path string
---@return giemsa.Model model
function save.save_weights(model, path)
  at_caller("save_weights", path, save_weights, model)
  return model
end

-- ---- loading

-- Every weight of the model must be there in its shape; nothing is changed unless all are.
local function check_weights(model, tensors, strict)
  local missing, expected = {}, {}
  for _, weight in ipairs(model:weights()) do
    local tensor = tensors[weight.name]
    expected[weight.name] = true
    if not tensor then missing[#missing + 1] = weight.name
    elseif shape_text(tensor.shape) ~= shape_text(weight.tensor.shape) then
      error(("weight '%s' has shape %s in the file, but the architecture needs %s")
        :format(weight.name, shape_text(tensor.shape), shape_text(weight.tensor.shape)), 0)
    end
  end
  if not strict then return end
  local extra = {}
  for _, name in ipairs(sorted_keys(tensors)) do
    local not_a_weight = name:sub(1, #SLOT) == SLOT or name:sub(1, #CHECKPOINT) == CHECKPOINT
    if not expected[name] and not not_a_weight then extra[#extra + 1] = name end
  end
  if #missing > 0 then
    local instead = extra[1] and (" (the file has '%s' instead)"):format(extra[1]) or ""
    error(("%d weights of the net are not in the file, the first is '%s'%s")
      :format(#missing, missing[1], instead), 0)
  end
  if #extra > 0 then
    error(("the file has %d weights that the net has not, the first is '%s'")
      :format(#extra, extra[1]), 0)
  end
end

local function copy_weights(model, tensors)
  local count = 0
  for _, weight in ipairs(model:weights()) do
    if tensors[weight.name] then
      weight.tensor:copy_from(tensors[weight.name])
      count = count + 1
    end
  end
  return count
end

-- Each slot must belong to a weight and have its shape.
local function slots_of(model, tensors)
  local shapes, slots = {}, {}
  for _, weight in ipairs(model:weights()) do
    shapes[weight.name] = shape_text(weight.tensor.shape)
  end
  for name, tensor in pairs(tensors) do
    if name:sub(1, #SLOT) == SLOT then
      local slot = name:sub(#SLOT + 1)
      if shapes[slot:match("^(.*)/[^/]*$")] ~= shape_text(tensor.shape) then
        error(("the optimiser's '%s' belongs to no weight of that shape"):format(slot), 0)
      end
      slots[slot] = tensor
    end
  end
  return slots
end

-- The names of compile's metrics, those of a lesson's own with their functions.
local function metrics_of(names, custom)
  local metrics = {}
  if type(names) ~= "table" then error("its list of metrics is damaged", 0) end
  for _, name in ipairs(names) do
    if custom[name] then metrics[name] = custom[name] else metrics[#metrics + 1] = name end
  end
  return metrics
end

local function compile(model, training, custom)
  local loss = training.loss or custom.loss
  if not loss then
    error("it was trained with a loss of the lesson's own; give it again: "
      .. "load_model(path, {custom = {loss = f}}), or load without training: {compile = false}", 0)
  end
  local ok, problem = pcall(model.compile, model, {
    loss = loss, metrics = metrics_of(training.metrics or {}, custom.metrics or {}),
    optimizer = model.optimizer,
  })
  if not ok then
    error(tostring(problem)
      .. "; functions of the lesson's own are given as {custom = {metrics = {name = f}}}", 0)
  end
end

--- Puts a file's weights, optimiser state, counts and history into a compiled model of the same
--- net. Nothing is changed unless all fits.
---@param model giemsa.Model
---@param tensors table<string, userdata>
---@param metadata table<string, string>
function save.put_back(model, tensors, metadata)
  check_weights(model, tensors, true)
  local training, slots = json_field(metadata, "training") or {}, slots_of(model, tensors)
  local history = file.history_from_json(metadata.history or "{}")
  copy_weights(model, tensors)
  for key, value in pairs(training.optimizer or {}) do
    if key ~= "class_name" then model.optimizer[key] = value end
  end
  model.optimizer:set_state { iterations = training.iterations, slots = slots }
  model.epoch, model.seed, model.number = training.epoch, training.seed, training.number
  model.class_names = json_field(metadata, "class_names")
  model.preprocessing = json_field(metadata, "preprocessing")
  model.history, model.data_sha256 = history, metadata.data_sha256
end

local function restore_training(model, training, tensors, o)
  model.epoch = math.tointeger(training.epoch) or 0
  model.seed = math.tointeger(training.seed) or model.seed
  model.number = math.tointeger(training.number) or model.number
  if not training.optimizer or o.compile == false then return end
  local ok, optimizer = pcall(optim.from_config, training.optimizer)
  if not ok then error("its optimizer cannot be restored: " .. tostring(optimizer), 0) end
  model.optimizer = optimizer
  if training.compiled then compile(model, training, o.custom or {}) end
  local slots = slots_of(model, tensors)
  local iterations = math.tointeger(training.iterations) or 0
  model.optimizer:set_state { iterations = iterations, slots = slots }
end

local function load_model(path, o)
  local tensors, metadata = file.read(path)
  file.check_format(metadata, "model")
  local architecture = json_field(metadata, "architecture") or error("it has no architecture", 0)
  local ok, model = pcall(nn.Model.from_config, architecture, tensors)
  if not ok then error("its architecture cannot be built: " .. tostring(model), 0) end
  check_weights(model, tensors, true)
  restore_training(model, json_field(metadata, "training") or {}, tensors, o)
  model.class_names = json_field(metadata, "class_names")
  model.preprocessing = json_field(metadata, "preprocessing")
  model.history = metadata.history and file.history_from_json(metadata.history)
  model.data_sha256 = metadata.data_sha256
  return model
end

--- Loads what save wrote: the model predicts as before, and fit goes on with the next epoch, the
--- decayed learning rate and the velocities it had.
---@param path string
---@param opts? {custom?: {loss?: function, metrics?: table<string, function>}, compile?: boolean}
--- custom: a lesson's own functions; compile = false: without optimiser, for prediction only
---@return giemsa.Model
function save.load_model(path, opts)
  local o = options.check("load_model", opts, { custom = "table", compile = "boolean" })
  local model = at_caller("load_model", path, load_model, o)
  return model
end

--- Fills a net's weights from a file by their names.
---@param model giemsa.Model
---@param path string of save or save_weights
---@param opts? {strict?: boolean} strict = false: take what fits by name, leave the rest
---@return integer count weights that were filled
function save.load_weights(model, path, opts)
  local o = options.check("load_weights", opts, { strict = "boolean" })
  local count = at_caller("load_weights", path, function()
    local tensors = file.read(path)
    check_weights(model, tensors, o.strict ~= false)
    return copy_weights(model, tensors)
  end)
  return count
end

--- The tensors of any safetensors file, by name, as float32 (F16, BF16, F64, I64, I32 and U8 are
--- converted).
---@param path string
---@return table<string, userdata>? tensors nil and why when the file cannot be read
---@return table|string info {metadata: table<string, string>, names: string[],
--- dtypes: table<string, string>}
function save.read_safetensors(path) return safetensors.read(path) end

-- ---- methods of a model

function Model:save(path)
  at_caller("save", path, save_model, self)
  return self
end

function Model:save_weights(path)
  at_caller("save_weights", path, save_weights, self)
  return self
end

function Model:load_weights(path, opts) return save.load_weights(self, path, opts) end

return save
