--- What fit was given, checked and brought into one table, the run.
local callbacks = require "giemsa.callbacks"
local core = require "giemsa.core"
local feed = require "giemsa.train.feed"
local guards = require "giemsa.train.guards"
local objective = require "giemsa.train.objective"
local options = require "giemsa.options"

local prepare = {}

local function note(message, ...) io.stderr:write("note: ", message:format(...), "\n") end

---@class giemsa.History
---@field loss number[] a value an epoch; likewise accuracy, val_loss, val_accuracy, ...
---@field epoch integer[] the epochs' numbers, from 1
---@field interrupted boolean? Ctrl-C ended it
---@field partial table? of the epoch that Ctrl-C ended: {epoch =, step =, loss =, ...}
local History = {}
-- H.history.loss, as in Keras
History.__index = function(self, key) if key == "history" then return self end end

local FIT = {
  epochs = "integer", initial_epoch = "integer", steps_per_epoch = "integer",
  batch_size = "integer", validation_data = "any", validation_steps = "integer", warnings = "boolean",
  validation_split = "number",
  shuffle = "boolean", seed = "integer", class_weight = "table", callbacks = "table|function",
  verbose = "integer", checkpoint = "string", checkpoint_every = "integer", resume = "any",
}

-- The last part of the tensors, before any shuffling (as Keras).
local function split(data, y, part, level)
  if type(data) == "table" and not feed.is_source(data) then data, y = data[1], data[2] end
  if not (core.is_tensor(data) and core.is_tensor(y)) then
    error("fit: validation_split needs tensors; with a generator give ImageDataGenerator its own",
      level + 1)
  end
  local at = #data * (1 - part) // 1 | 0
  if not (part > 0 and part < 1) or at < 1 or at >= #data then
    error(("fit: validation_split = %g leaves no samples on one side of %d"):format(part, #data),
      level + 1)
  end
  return data:rows(1, at), y:rows(1, at), { data:rows(at + 1, #data), y:rows(at + 1, #y) }
end

local function prepare_validation(run, given, opts, level)
  if not given then return end
  local size = not feed.is_source(given) and opts.batch_size or nil
  run.validation = feed.source("fit: validation_data", given, nil, { batch_size = size }, level + 1)
  local remark
  run.validation_steps, remark = feed.steps("fit", "validation_steps", run.validation,
    opts.validation_steps, level + 1)
  if remark then note("fit: %s", remark) end
  if opts.warnings == false then return end
  guards.warn_of_variations("fit: validation_data", run.validation)
  guards.warn_of_shuffled_part("fit: validation_data", run.validation, run.validation_steps)
  guards.warn_of_leakage(run.source, run.validation)
end

local function prepare_training(run, data, y, opts, level)
  local model = run.model
  run.source = feed.source("fit", data, y, { batch_size = opts.batch_size,
    shuffle = opts.shuffle ~= false, seed = model.seed ~ model.number << 32 }, level + 1)
  run.shuffle_batches = opts.shuffle ~= false and not run.source.tensors
  run.spends = run.source.fresh
  for _, metric in ipairs(model.metrics) do run.spends = run.spends and not metric.on_output end
  local remark
  if opts.steps_per_epoch == 0 then
    error(("fit: steps_per_epoch = 0: fewer samples (%s) than a batch (%s)?")
      :format(tostring(run.source.n), tostring(run.source.batch_size)), level + 1)
  end
  run.steps, remark = feed.steps("fit", "steps_per_epoch", run.source, opts.steps_per_epoch,
    level + 1)
  if remark then note("fit: %s", remark) end
end

--- The run of a call of fit: model, source, steps, callbacks, ... Raises at the caller that `level`
--- says.
---@return table run, table opts
function prepare.run(model, data, second, third, level)
  local y, opts
  data, y, opts = feed.arguments(data, second, third)
  opts = options.check("fit", opts, FIT, level + 2)
  local run = { model = model, epochs = opts.epochs or 1, initial_epoch = opts.initial_epoch or 0,
    seed = opts.seed, verbose = opts.verbose or 1,
    done = opts.initial_epoch or 0, step = 0,
    history = setmetatable({ epoch = {} }, History) }
  local validation = opts.validation_data
  if opts.validation_split and not validation then
    data, y, validation = split(data, y, opts.validation_split, level + 1)
  end
  prepare_training(run, data, y, opts, level + 1)
  prepare_validation(run, validation, opts, level + 1)
  local ok, problem = pcall(function()
    run.callbacks = callbacks.list(opts.callbacks)
    local names = run.source.class_names or model.class_names
    run.step_options = { poll = true, objective = opts.class_weight
      and objective.weighted(model.objective, opts.class_weight, names) or nil }
  end)
  if not ok then error("fit: " .. tostring(problem), level + 1) end
  for _, callback in ipairs(run.callbacks) do
    callback.model = model
    run.hears_batches = run.hears_batches or callback.on_batch_end ~= nil
  end
  if opts.checkpoint_every and opts.checkpoint_every < 1 then
    error(("fit: checkpoint_every counts steps, from 1 up; got %d"):format(opts.checkpoint_every),
      level + 1)
  end
  return run, opts
end

return prepare
