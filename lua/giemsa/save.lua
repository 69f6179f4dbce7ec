--- Models on disk: a safetensors file that holds all a model is and knows, so that prediction needs
-- nothing else and training goes on where it stopped. Weights stand under their names in the order
-- of the layers, optimiser slots behind them under "optimizer/...", the rest as JSON in the
-- metadata. SHA-256 sums of both show whether a file is still what was written.
local core = require "giemsa.core"
local json = require "giemsa.json"
local Model = require "giemsa.nn.model"
local nn = require "giemsa.nn"
local optim = require "giemsa.optim"
local options = require "giemsa.options"
local safetensors = require "giemsa.safetensors"

local save = {}

local FORMAT_VERSION = "1"
local SLOT = "optimizer/"

local function sha256()
  local ok, hash = pcall(require, "giemsa.hash")
  if ok then return hash.new() end
  error("giemsa was built without its hash module, which saving and loading need; "
    .. "install nettle (sudo apt install nettle-dev) and build again", 0)
end

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

-- ---- numbers that JSON has not

local NOT_FINITE = { ["nan"] = 0 / 0, ["inf"] = math.huge, ["-inf"] = -math.huge }

local function number_to_json(x)
  if x == nil then return json.null end
  if x ~= x then return "nan" end
  if x == math.huge or x == -math.huge then return x > 0 and "inf" or "-inf" end
  return x
end

-- name -> array with a value an epoch; an epoch may lack one.
local function history_to_json(history)
  local out = setmetatable({}, { __jsontype = "object" })
  for name, values in pairs(history or {}) do
    if type(values) == "table" then
      local last = 0
      for i in pairs(values) do last = math.max(last, math.tointeger(i) or 0) end
      out[name] = setmetatable({}, { __jsontype = "array" })
      for i = 1, last do out[name][i] = number_to_json(values[i]) end
    end
  end
  return json.encode(out)
end

local function history_from_json(text)
  local history, problem = json.decode(text, json.null)
  if type(history) ~= "table" then problem = problem or "it is not an object" end
  if problem then error("its history is damaged: " .. problem, 0) end
  for name, values in pairs(history) do
    if type(values) ~= "table" then error(("its history of '%s' is no array"):format(name), 0) end
    for i = #values, 1, -1 do
      local value = values[i]
      if value == json.null then values[i] = nil else values[i] = NOT_FINITE[value] or value end
    end
  end
  return history
end

-- ---- saving

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function weight_entries(model)
  local entries = {}
  for i, weight in ipairs(model:weights()) do
    entries[i] = { name = weight.name, tensor = weight.tensor }
  end
  return entries
end

local function sum_of_tensors(entries)
  local sum = sha256()
  for _, entry in ipairs(entries) do sum:update(core.to_bytes(entry.tensor)) end
  return sum:hex()
end

local function shape_text(shape)
  return "(" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")")
end

-- Over the other metadata and the tensors' names and shapes, so that nothing of the header changes
-- unnoticed.
local function sum_of_header(metadata, entries)
  local sum = sha256()
  for _, key in ipairs(sorted_keys(metadata)) do
    if key ~= "header_sha256" then
      sum:update(("%d:%s=%d:%s;"):format(#key, key, #metadata[key], metadata[key]))
    end
  end
  for _, entry in ipairs(entries) do
    sum:update(("%d:%s %s;")
      :format(#entry.name, entry.name, shape_text(entry.shape or entry.tensor.shape)))
  end
  return sum:hex()
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

local function plain(what, value)
  local ok, text = pcall(json.encode, value)
  if not ok then error(("%s cannot be saved: %s"):format(what, text), 0) end
  return text
end

local function write(path, entries, metadata)
  metadata.format, metadata.format_version = "giemsa", FORMAT_VERSION
  metadata.giemsa_version = require "giemsa.version"
  metadata.tensors_sha256 = sum_of_tensors(entries)
  metadata.header_sha256 = sum_of_header(metadata, entries)
  local ok, message = safetensors.write(path, entries, metadata)
  if not ok then error(message, 0) end
end

local function save_model(path, model)
  local entries = weight_entries(model)
  local slots = model.optimizer and model.optimizer:get_state().slots or {}
  for _, name in ipairs(sorted_keys(slots)) do
    entries[#entries + 1] = { name = SLOT .. name, tensor = slots[name] }
  end
  write(path, entries, {
    content = "model",
    architecture = plain("the architecture", model:get_config()),
    training = training_to_json(model),
    history = history_to_json(model.history),
    class_names = model.class_names and plain("class_names", model.class_names),
    preprocessing = model.preprocessing and plain("preprocessing", model.preprocessing),
    data_sha256 = model.data_sha256,
  })
end

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
  write(path, weight_entries(model), { content = "weights" })
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

local function check_sum(metadata, key, found, what)
  if metadata[key] and metadata[key] ~= found then
    error(("its %s altered (the SHA-256 sum does not fit); take another copy of the file")
      :format(what), 0)
  end
end

-- All tensors of a file, checked against the sums if it is one of ours.
local function read(path)
  local reader, message = safetensors.open(path)
  if not reader then error(message, 0) end
  local to_close <close> = reader
  local metadata, tensors, sum = reader.metadata, {}, sha256()
  check_sum(metadata, "header_sha256", sum_of_header(metadata, reader.entries), "header was")
  for _, entry in ipairs(reader.entries) do
    local tensor, bytes = reader:tensor(entry)
    sum:update(bytes)
    tensors[entry.name] = tensor
  end
  check_sum(metadata, "tensors_sha256", sum:hex(), "weights were")
  return tensors, metadata
end

local function check_format(metadata, content)
  if metadata.format ~= "giemsa" then
    error(("it holds tensors, but no giemsa model (format '%s'); save.read_safetensors reads it")
      :format(metadata.format or "unknown"), 0)
  end
  if tonumber(metadata.format_version or "?") ~= tonumber(FORMAT_VERSION) then
    error(("it has format version %s, this giemsa (%s) reads version %s; giemsa %s wrote it")
      :format(metadata.format_version or "?", require "giemsa.version", FORMAT_VERSION,
        metadata.giemsa_version or "?"), 0)
  end
  if content and metadata.content ~= content then
    error(("it holds a model's %s only, not the %s; build the net and use load_weights")
      :format(metadata.content or "?", content), 0)
  end
end

-- A table that stands in the metadata as JSON, nil when it is not there.
local function json_field(metadata, key)
  if not metadata[key] then return nil end
  local value, problem = json.decode(metadata[key])
  if type(value) ~= "table" then problem = problem or "it is not an object" end
  if problem then error(("its %s is damaged: %s"):format(key, problem), 0) end
  return value
end

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
    if not expected[name] and name:sub(1, #SLOT) ~= SLOT then extra[#extra + 1] = name end
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
  local tensors, metadata = read(path)
  check_format(metadata, "model")
  local architecture = json_field(metadata, "architecture") or error("it has no architecture", 0)
  local ok, model = pcall(nn.Model.from_config, architecture)
  if not ok then error("its architecture cannot be built: " .. tostring(model), 0) end
  check_weights(model, tensors, true)
  copy_weights(model, tensors)
  restore_training(model, json_field(metadata, "training") or {}, tensors, o)
  model.class_names = json_field(metadata, "class_names")
  model.preprocessing = json_field(metadata, "preprocessing")
  model.history = metadata.history and history_from_json(metadata.history)
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
    local tensors = read(path)
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
