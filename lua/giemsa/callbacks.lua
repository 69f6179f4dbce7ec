--- What may happen between epochs. A callback is a table with any of
--
--   on_train_begin(self)    on_epoch_begin(self, epoch)        on_batch_begin(self, step)
--   on_train_end(self)      on_epoch_end(self, epoch, logs)    on_batch_end(self, step, logs)
--
-- or a plain function (epoch, logs, model), called at each epoch's end. `self.model` is the model;
-- logs holds loss, accuracy, val_loss, ...; epochs and steps count from 1. model.stop_training =
-- true ends the training after the epoch. What a callback writes into logs goes into the history
-- (ReduceLROnPlateau and LearningRateScheduler write lr).
--
-- A checkpoint of fit asks get_state(self) -> plain values and tensors, or nil. When a training goes
-- on, set_state(self, state) is called in place of on_train_begin.
local core = require "giemsa.core"
local options = require "giemsa.options"

local callbacks = {}

-- ---- shared -------------------------------------------------------------------------------------

-- The names of the classes, and how each is made: class(options table or positional values).
local function class(name, order, known, defaults)
  local methods = { class = name }
  methods.__index = methods
  methods.__name = "giemsa." .. name
  callbacks[name] = function(given)
    if type(given) ~= "table" then given = { given } end
    local config = {}
    for key, value in pairs(given) do
      if math.type(key) == "integer" then
        key = order[key] or error(("%s: too many positional values"):format(name), 2)
      end
      config[key] = value
    end
    options.check(name, config, known, 3)
    for key, value in pairs(defaults) do
      if config[key] == nil then config[key] = value end
    end
    local self = setmetatable(config, methods)
    if self.check then
      local ok, problem = pcall(self.check, self)
      if not ok then error(("%s: %s"):format(name, problem), 2) end
    end
    return self
  end
  return methods
end

-- Is more better? By the name, unless mode says so.
local function higher_is_better(self)
  options.one_of("callback", "mode", self.mode, { "auto", "min", "max" }, 0)
  if self.mode ~= "auto" then return self.mode == "max" end
  for _, part in ipairs{ "acc", "auc", "dice_coef", "precision", "recall", "f1" } do
    if self.monitor:find(part, 1, true) then return true end
  end
  return false
end

local function start_watching(self)
  self.higher = higher_is_better(self)
  self.best, self.wait = self.higher and -math.huge or math.huge, 0
end

local function better(self, value, by)
  if self.higher then return value > self.best + by end
  return value < self.best - by
end

-- The watched value, or a message that lists what there is.
local function watched(self, logs)
  local value = logs[self.monitor]
  if value then return value end
  local names = {}
  for name, v in pairs(logs) do if type(v) == "number" then names[#names + 1] = name end end
  table.sort(names)
  local advice = self.monitor:find("^val_") and "; give fit validation_data" or ""
  error(("%s watches '%s', but an epoch gives only %s%s")
    :format(self.class, self.monitor, table.concat(names, ", "), advice), 0)
end

-- The fields that a checkpoint keeps.
local function keeps(methods, names)
  function methods:get_state()
    local state = { kept = true } -- never an empty table
    for _, name in ipairs(names) do state[name] = self[name] end
    return state
  end
  function methods:set_state(state)
    for _, name in ipairs(names) do self[name] = state[name] end
  end
end

local function say(self, message, ...)
  if (self.verbose or 0) > 0 then io.write(message:format(...), "\n") end
end

-- ---- EarlyStopping ------------------------------------------------------------------------------

--- Ends the training when the watched value has not got better for `patience` epochs.
---@class giemsa.EarlyStopping
---@field monitor string default "val_loss"
---@field min_delta number less than this is no progress; default 0
---@field patience integer default 0
---@field mode "auto"|"min"|"max" auto: more is better for names with acc, auc, recall, ...
---@field baseline number? the value to beat
---@field restore_best_weights boolean default false: keep the last epoch's weights
---@field stopped_epoch integer? where it stopped
local EarlyStopping = class("EarlyStopping", { "monitor" },
  { monitor = "string", min_delta = "number", patience = "integer", mode = "string",
    baseline = "number", restore_best_weights = "boolean", verbose = "integer" },
  { monitor = "val_loss", min_delta = 0, patience = 0, mode = "auto" })
EarlyStopping.check = start_watching
keeps(EarlyStopping, { "best", "wait", "stopped_epoch", "best_epoch", "best_weights" })

function EarlyStopping:on_train_begin()
  start_watching(self)
  if self.baseline then self.best = self.baseline end
  self.stopped_epoch, self.best_epoch, self.best_weights = nil, nil, nil
end

function EarlyStopping:on_epoch_end(epoch, logs)
  local value = watched(self, logs)
  if better(self, value, self.min_delta) then
    self.best, self.best_epoch, self.wait = value, epoch, 0
    if self.restore_best_weights then self.best_weights = self.model:get_weights() end
    return
  end
  self.wait = self.wait + 1
  if self.wait < self.patience then return end
  self.stopped_epoch, self.model.stop_training = epoch, true
end

function EarlyStopping:on_train_end()
  if not self.stopped_epoch then return end
  say(self, "Epoch %d: early stopping, %s was best in epoch %s", self.stopped_epoch, self.monitor,
    self.best_epoch or "-")
  if self.best_weights then self.model:set_weights(self.best_weights) end
  self.best_weights = nil
end

-- ---- ModelCheckpoint ----------------------------------------------------------------------------

--- Saves the model after each epoch, or only when the watched value got better.
---@class giemsa.ModelCheckpoint
---@field filepath string may name values: "model-{epoch:02d}-{val_loss:.2f}.safetensors"
---@field monitor string default "val_loss"
---@field save_best_only boolean default false
---@field mode "auto"|"min"|"max"
local ModelCheckpoint = class("ModelCheckpoint", { "filepath", "monitor" },
  { filepath = "string", monitor = "string", save_best_only = "boolean", mode = "string",
    verbose = "integer" },
  { monitor = "val_loss", mode = "auto" })

keeps(ModelCheckpoint, { "best", "last_path" })

function ModelCheckpoint:check()
  if not self.filepath then error("needs a filepath", 0) end
  start_watching(self)
end

-- {name:.2f} -> the value in C's format of the same meaning.
local function fill_in(path, values)
  return (path:gsub("{([%w_]+):?([%w.]*)}", function(name, format)
    local value = values[name]
    if not value then
      error(("ModelCheckpoint: the path names {%s}, which an epoch does not give"):format(name), 0)
    end
    if format == "" then return tostring(value) end
    if format:sub(-1) == "d" then value = math.tointeger(value) end
    return ("%" .. format):format(value)
  end))
end

function ModelCheckpoint:on_epoch_end(epoch, logs)
  if self.save_best_only then
    local value = watched(self, logs)
    if not better(self, value, 0) then return end
    say(self, "Epoch %d: %s got better, from %.5f to %.5f", epoch, self.monitor, self.best, value)
    self.best = value
  end
  local values = { epoch = epoch }
  for name, value in pairs(logs) do values[name] = value end
  self.last_path = fill_in(self.filepath, values)
  self.model:save(self.last_path)
end

-- ---- learning rates -----------------------------------------------------------------------------

--- Multiplies the learning rate by `factor` when the watched value has not got better for
--- `patience` epochs.
---@class giemsa.ReduceLROnPlateau
---@field monitor string default "val_loss"
---@field factor number default 0.1
---@field patience integer default 10
---@field min_delta number default 1e-4
---@field cooldown integer epochs to wait after a cut; default 0
---@field min_lr number default 0
local ReduceLROnPlateau = class("ReduceLROnPlateau", { "monitor" },
  { monitor = "string", factor = "number", patience = "integer", min_delta = "number",
    cooldown = "integer", min_lr = "number", mode = "string", verbose = "integer" },
  { monitor = "val_loss", factor = 0.1, patience = 10, min_delta = 1e-4, cooldown = 0, min_lr = 0,
    mode = "auto" })

keeps(ReduceLROnPlateau, { "best", "wait", "cooling" })

function ReduceLROnPlateau:check()
  if not (self.factor > 0 and self.factor < 1) then error("factor must be between 0 and 1", 0) end
  start_watching(self)
end

function ReduceLROnPlateau:on_train_begin()
  start_watching(self)
  self.cooling = 0
end

function ReduceLROnPlateau:on_epoch_end(epoch, logs)
  local optimizer = self.model.optimizer
  logs.lr = optimizer.lr
  local value = watched(self, logs)
  if self.cooling > 0 then self.cooling, self.wait = self.cooling - 1, 0 end
  if better(self, value, self.min_delta) then
    self.best, self.wait = value, 0
  elseif self.cooling == 0 then
    self.wait = self.wait + 1
    if self.wait >= self.patience and optimizer.lr > self.min_lr then
      optimizer.lr = math.max(optimizer.lr * self.factor, self.min_lr)
      self.cooling, self.wait = self.cooldown, 0
      say(self, "Epoch %d: learning rate is now %g", epoch, optimizer.lr)
    end
  end
end

--- Sets the learning rate before each epoch: schedule(epoch, lr) -> lr, epochs from 1.
---@class giemsa.LearningRateScheduler
---@field schedule fun(epoch: integer, lr: number): number
local LearningRateScheduler = class("LearningRateScheduler", { "schedule" },
  { schedule = "callable", verbose = "integer" }, {})

function LearningRateScheduler:check()
  if not self.schedule then error("needs a function schedule(epoch, lr) -> lr", 0) end
end

function LearningRateScheduler:on_epoch_begin(epoch)
  local optimizer = self.model.optimizer
  local lr = self.schedule(epoch, optimizer.lr)
  if type(lr) ~= "number" then
    error(("LearningRateScheduler: schedule must return a number, got %s"):format(type(lr)), 0)
  end
  optimizer.lr = lr
  say(self, "Epoch %d: learning rate is %g", epoch, lr)
end

function LearningRateScheduler:on_epoch_end(_, logs) logs.lr = self.model.optimizer.lr end

-- ---- CSVLogger ----------------------------------------------------------------------------------

--- Writes a line an epoch: epoch and the values, by name. The file is whole after every epoch.
---@class giemsa.CSVLogger
---@field filename string
---@field separator string default ","
---@field append boolean go on in an existing file; default false
local CSVLogger = class("CSVLogger", { "filename" },
  { filename = "string", separator = "string", append = "boolean" }, { separator = "," })

function CSVLogger:check()
  if not self.filename then error("needs a filename", 0) end
end

function CSVLogger:on_train_begin()
  self.names = nil
  local old = self.append and io.open(self.filename)
  if old then
    local header = old:read("l")
    old:close()
    if header and header ~= "" then
      self.names = {}
      for name in (header .. self.separator):gmatch("(.-)" .. self.separator:gsub("%p", "%%%0")) do
        self.names[#self.names + 1] = name
      end
      table.remove(self.names, 1) -- epoch
      return
    end
  end
  local file, problem = io.open(self.filename, "w")
  if not file then error("CSVLogger: cannot write " .. problem, 0) end
  file:close()
end

function CSVLogger:on_epoch_end(epoch, logs)
  local file, problem = io.open(self.filename, "a")
  if not file then error("CSVLogger: cannot write " .. problem, 0) end
  if not self.names then
    self.names = {}
    for name, value in pairs(logs) do
      if type(value) == "number" then self.names[#self.names + 1] = name end
    end
    table.sort(self.names)
    file:write("epoch", self.separator, table.concat(self.names, self.separator), "\n")
  end
  local cells = { tostring(epoch) }
  for _, name in ipairs(self.names) do
    cells[#cells + 1] = logs[name] and ("%.9g"):format(logs[name]) or ""
  end
  file:write(table.concat(cells, self.separator), "\n")
  file:close()
end

function CSVLogger:get_state()
  local info = core.file_info(self.filename)
  return { names = self.names or {}, size = info and info.size or 0 }
end

-- What was written after the checkpoint is trained, and written, again.
function CSVLogger:set_state(state)
  self.names = #state.names > 0 and state.names or nil
  local old = io.open(self.filename, "rb")
  local text = old and old:read(state.size) or ""
  if old then old:close() end
  local ok, problem = core.write_file(self.filename, text)
  if not ok then error("CSVLogger: " .. problem, 0) end
end

-- ---- for fit ------------------------------------------------------------------------------------

--- Brings what a student gave (a callback, a list, functions) into a list of callback tables.
---@param given table|function|nil
---@return table[]
function callbacks.list(given)
  if given == nil then return {} end
  local one = type(given) == "function" or type(given) == "table" and #given == 0 and next(given)
  if one then given = { given } end
  if type(given) ~= "table" then
    error("callbacks must be a list of callbacks, got " .. type(given), 0)
  end
  local list = {}
  for i, one in ipairs(given) do
    if type(one) == "function" then
      local f = one
      one = { on_epoch_end = function(self, epoch, logs) f(epoch, logs, self.model) end }
    elseif type(one) ~= "table" then
      error(("callbacks[%d] must be a callback or a function, got %s"):format(i, type(one)), 0)
    end
    list[i] = one
  end
  return list
end

return setmetatable(callbacks, {
  __index = function(self, key)
    error(("callbacks has nothing named '%s'%s")
      :format(tostring(key), options.hint(key, self)), 2)
  end,
})
