--- fit: the training step with a history. As in tf.keras, every epoch is a new pass over the source
--- with its batches in random order; validation takes the first validation_steps batches in order;
--- an epoch's loss is the mean over its samples of what each step saw before its own update, L2
--- included; the learning rate decays with updates, not epochs. Passes are numbered by model.epoch,
--- so training that goes on after a load sees what it would have seen.
local callbacks = require "giemsa.callbacks"
local core = require "giemsa.core"
local feed = require "giemsa.train.feed"
local grad = require "giemsa.grad"
local Model = require "giemsa.nn.model"
local objective = require "giemsa.train.objective"
local options = require "giemsa.options"
local plan = require "giemsa.nn.plan"
local progress = require "giemsa.progress"
local score = require "giemsa.train.score"
local step = require "giemsa.train.step"

local add_batch, finite = step.add_batch, step.finite
local means, new_totals = step.means, step.new_totals
local shown, rate_text = score.shown, score.rate_text

local function note(message, ...) io.stderr:write("note: ", message:format(...), "\n") end

---@class giemsa.History
---@field loss number[] a value an epoch; likewise accuracy, val_loss, val_accuracy, ...
---@field epoch integer[] the epochs' numbers, from 1
---@field interrupted boolean? Ctrl-C ended it
---@field partial table? of the epoch that Ctrl-C ended: {epoch =, step =, loss =, ...}
local History = {}
-- H.history.loss, as in Keras
History.__index = function(self, key) if key == "history" then return self end end

local function call(run, event, ...)
  for _, callback in ipairs(run.callbacks) do
    local f = callback[event]
    if f then f(callback, ...) end
  end
end

local function lr_text(model) return ("lr: %.4g"):format(model.optimizer:current_lr()) end

-- Why the training cannot go on, and what to try.
local function not_finite_message(run, epoch, number, loss, x)
  local parts = { ("fit: the loss is %s since epoch %d, step %d (update %d)")
    :format(loss ~= loss and "nan" or "inf", epoch, number, run.model.optimizer.iterations + 1) }
  if run.last_loss then
    parts[#parts + 1] = ("; one step before it was %.4g, the lowest so far %.4g")
      :format(run.last_loss, run.lowest_loss)
  end
  if not finite(core.sum(x):item()) then
    parts[#parts + 1] = ". The batch itself holds nan or inf: look at the data"
  else
    parts[#parts + 1] = (". Try a smaller learning rate (it is %.3g now; divide by 10), look "
      .. "whether the inputs are scaled (rescale = 1/255) and the labels right")
      :format(run.model.optimizer:current_lr())
  end
  return table.concat(parts)
    .. ". The weights are those before this step; the history so far is in model.history"
end

-- A source whose batches are nobody else's gets their memory back at once (a metric of one's own
-- may have kept them).
local function spend(run, x, y)
  if not run.spends then return end
  x:release()
  y:release()
end

local function one_batch(run, epoch, x, y)
  local model = run.model
  run.step = run.step + 1
  call(run, "on_batch_begin", run.step)
  if not y then error("fit: the data source gives no labels (class_mode?)", 0) end
  local loss, metrics = step.run(model, x, y, run.step_options)
  if not finite(loss) then error(not_finite_message(run, epoch, run.step, loss, x), 0) end
  run.last_loss, run.lowest_loss = loss, math.min(run.lowest_loss or loss, loss)
  add_batch(run.totals, #x, loss, metrics)
  if run.hears_batches then call(run, "on_batch_end", run.step, means(model, run.totals, "")) end
end

local function train_pass(run, epoch)
  local model, started = run.model, core.now()
  run.totals, run.step = new_totals(), 0
  for x, y in run.source:batches{ epoch = model.epoch + 1, steps = run.steps,
    shuffle_batches = run.shuffle_batches,
    seed = run.seed } do
    if core.interrupted() then error(plan.INTERRUPTED, 0) end
    one_batch(run, epoch, x, y)
    spend(run, x, y)
    run.rate = rate_text(run.totals.n, core.now() - started)
    run.bar:update(run.step, shown(means(model, run.totals, ""), run.rate, lr_text(model)))
  end
  if core.interrupted() then error(plan.INTERRUPTED, 0) end
  if run.step == 0 then error("fit: the data source gave no batches", 0) end
  return means(model, run.totals, "")
end

local function validate(run, logs)
  if not run.validation then return end
  local totals = grad.no_grad(score.measure, run.model, run.validation, run.validation_steps,
    run.model.epoch + 1)
  for name, value in pairs(means(run.model, totals, "val_")) do logs[name] = value end
end

-- An epoch's values, in this call's history and in the model's.
local function remember(run, epoch, logs)
  local model, history = run.model, run.history
  history.epoch[epoch - run.initial_epoch] = epoch
  for name, value in pairs(logs) do
    if type(value) == "number" then
      history[name] = history[name] or {}
      history[name][#history.epoch] = value
      model.history[name] = model.history[name] or {}
      model.history[name][epoch] = value
    end
  end
end

-- "best" when this epoch's val_loss is the lowest so far.
local function best_mark(run, logs)
  if not logs.val_loss or logs.val_loss >= (run.best or math.huge) then return end
  run.best = logs.val_loss
  return "best"
end

-- What somebody who loads the model must know: the classes, how a picture becomes an input, and the
-- sum that tells whether it was these data.
local function learn_about_data(model, source)
  model.class_names = source.class_names or model.class_names
  model.preprocessing = source.preprocessing or model.preprocessing
  if source.data_sha256 then model.data_sha256 = source:data_sha256() end
end

local function one_epoch(run, epoch)
  local model = run.model
  run.epoch = epoch
  call(run, "on_epoch_begin", epoch)
  run.bar = progress.bar{ total = run.steps, label = ("Epoch %d/%d"):format(epoch, run.epochs),
    quiet = run.verbose == 0, plain = run.verbose == 2 }
  local logs = train_pass(run, epoch)
  validate(run, logs)
  run.bar:finish(shown(logs, run.rate, lr_text(model), best_mark(run, logs)))
  model.epoch = model.epoch + 1
  learn_about_data(model, run.source)
  remember(run, epoch, logs) -- before the callbacks: one that saves the model saves this epoch too
  call(run, "on_epoch_end", epoch, logs)
  remember(run, epoch, logs) -- and what they wrote into logs
end

local function all_epochs(run)
  local model = run.model
  model.stop_training = false
  call(run, "on_train_begin")
  for epoch = run.initial_epoch + 1, run.epochs do
    one_epoch(run, epoch)
    if model.stop_training then break end
  end
  call(run, "on_train_end")
end

-- After Ctrl-C: the history says so, the line too; callbacks may still put things right.
local function stopped_by_hand(run)
  local history = run.history
  history.interrupted = true
  if run.bar then run.bar:abandon() end
  run.model:zero_grad()
  local begun = run.totals and run.totals.n > 0
  if begun and history.epoch[#history.epoch] ~= run.epoch then
    history.partial = means(run.model, run.totals, "")
    history.partial.epoch, history.partial.step = run.epoch, run.step
  end
  io.write(("interrupted in epoch %s, step %s: %d whole epochs are in the history; "
    .. "the model keeps its last update\n"):format(run.epoch or 1, run.step or 0, #history.epoch))
  call(run, "on_train_end")
end

local fit_options = {
  epochs = "integer", initial_epoch = "integer", steps_per_epoch = "integer",
  batch_size = "integer", validation_data = "any", validation_steps = "integer",
  validation_split = "number",
  shuffle = "boolean", seed = "integer", class_weight = "table", callbacks = "table|function",
  verbose = "integer",
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

local function prepare(model, data, y, opts, level)
  local run = { model = model, epochs = opts.epochs or 1, initial_epoch = opts.initial_epoch or 0,
    seed = opts.seed, verbose = opts.verbose or 1,
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
  return run
end

-- The model's own history: kept up to initial_epoch, so that it stays whole over a save and a load.
local function keep_history(model, initial_epoch)
  local kept = {}
  for name, values in pairs(model.history or {}) do
    if type(values) == "table" and initial_epoch > 0 then
      kept[name] = { table.unpack(values, 1, initial_epoch) }
    end
  end
  model.history = kept
end

--- Trains the model; as Keras's fit and fit_generator.
---
--- Takes (source, opts), ({x, y}, opts), (x, y, opts), or a function that returns the next x, y.
--- Ctrl-C ends it within the batch and still returns the history, with interrupted = true. A loss
--- that is nan or inf raises, and says since when.
---
--- - epochs (1) is the number of the last epoch, initial_epoch (0) how many were done before
--- - steps_per_epoch (all): batches an epoch; the rest of the pass is dropped
--- - validation_data: a source or {x, y}; validation_steps (all): always the first so many batches.
---   validation_split (tensors only): the last part of the data
--- - callbacks: a list of giemsa.callbacks, tables or functions (epoch, logs, model)
--- - verbose: 0 silent, 1 (default) a progress line, 2 one line an epoch
--- - shuffle (true): samples of tensors, or the order of a generator's batches. seed: of that order
--- - batch_size (32) for tensors. class_weight: {class = weight}, classes from 1 or by name
---@param data giemsa.Source|table|userdata|function
---@param opts table?
---@return giemsa.History history name -> array with a value an epoch: loss, accuracy, val_loss,
---  val_accuracy
function Model:fit(data, opts, more)
  step.need_compiled(self, "fit", 2)
  local y
  data, y, opts = feed.arguments(data, opts, more)
  opts = options.check("fit", opts, fit_options, 3)
  local run = prepare(self, data, y, opts, 2)
  keep_history(self, run.initial_epoch)
  local ok, problem = pcall(score.with_interrupts, all_epochs, run)
  if ok then return run.history end
  if score.is_interrupt(problem) then
    stopped_by_hand(run)
    return run.history
  end
  if run.bar then run.bar:abandon() end
  self:zero_grad()
  error(problem, 0)
end
Model.fit_generator = Model.fit
