--- Training: the step is five lines, and fit is those lines with a history.
--
--   output = model:forward(x); loss = objective(y, output) + penalty; loss:backward(); optimizer:step(); zero_grad()
--
-- As in tf.keras: every epoch is a new pass over the source with its batches in random order; validation takes the first
-- validation_steps batches in order; an epoch's loss is the mean over its samples of what each step saw before its own
-- update, L2 included; the learning rate decays with updates, not epochs. Passes are numbered by model.epoch, so
-- training that goes on after a load sees what it would have seen.
local callbacks = require "giemsa.callbacks"
local core = require "giemsa.core"
local feed = require "giemsa.train.feed"
local grad = require "giemsa.grad"
local Model = require "giemsa.nn.model"
local objective = require "giemsa.train.objective"
local ops = require "giemsa.ops"
local optim = require "giemsa.optim"
local options = require "giemsa.options"
local progress = require "giemsa.progress"

local train = {}

local function note(message, ...) io.stderr:write("note: ", message:format(...), "\n") end

local function finite(x) return x == x and x ~= math.huge and x ~= -math.huge end

-- ---- compile -----------------------------------------------------------------------------------------------

--- Chooses loss, optimiser and metrics. With a softmax or sigmoid at the end and a cross-entropy, the loss is worked out from
--- the logits (see train/objective.lua).
---@param opts {loss: string|function, optimizer: string|giemsa.Optimizer?, metrics: table?} loss: binary_crossentropy,
--- categorical_crossentropy, sparse_categorical_crossentropy, mse, dice or a function (y_true, y_pred) -> scalar tensor; optimizer:
--- a name or an object, default "rmsprop" as in Keras; metrics: {"accuracy"}, {name = function(y_true, y_pred) -> number}
---@return giemsa.Model self
function Model:compile(opts)
  opts = options.check("compile", opts, { loss = "string|function", optimizer = "string|table", metrics = "table" }, 3)
  if not opts.loss then error("compile: give a loss, for example loss = \"categorical_crossentropy\"", 2) end
  if #self.outputs ~= 1 then
    error(("compile: the model has %d outputs; training needs one (join them, or write the five lines of train.step yourself)"):format(#self.outputs), 2)
  end
  local ok, problem = pcall(function()
    self.objective = objective.loss(self, opts.loss)
    self.metrics = objective.metrics(opts.metrics)
    self.optimizer = optim.get(opts.optimizer or "rmsprop")
  end)
  if not ok then error("compile: " .. tostring(problem), 2) end
  local metric_names = setmetatable({}, { __jsontype = "array" })
  for i, metric in ipairs(self.metrics) do metric_names[i] = metric.name end
  self.compiled = { loss = self.objective.name, metrics = metric_names }
  return self
end

local function need_compiled(model, who, level)
  if not model.objective then
    error(("%s: compile the model first: model:compile{loss = ..., optimizer = ..., metrics = {\"accuracy\"}}"):format(who), level + 1)
  end
end

-- ---- one step ----------------------------------------------------------------------------------------------

-- The metrics of a batch, in the order of model.metrics.
local function metric_values(model, own, y, output)
  if #model.metrics == 0 then return {} end
  return grad.no_grad(function()
    local values, activated = {}, not own.on_logits and output or nil
    for i, metric in ipairs(model.metrics) do
      if metric.on_output then
        activated = activated or ops[model:final_activation()](output)
        values[i] = metric.value(y, activated, false)
      else
        values[i] = metric.value(y, output, own.on_logits)
      end
    end
    return values
  end)
end

--- One update of the model from one batch. Returns loss (with L2) and metrics as they were before the update. When the loss
--- is not finite nothing is changed.
---@param model giemsa.Model compiled
---@param x userdata (N, ...)
---@param y userdata labels
---@param opts {objective: giemsa.Objective?, poll: boolean?}? what fit passes: another objective, whether Ctrl-C counts
---@return number loss
---@return number[] metrics in the order of compile's
function train.step(model, x, y, opts)
  need_compiled(model, "train.step", 2)
  local own, optimizer = opts and opts.objective or model.objective, model.optimizer
  model.draws = optimizer.iterations
  local output = model:forward(x, { training = true, logits = own.on_logits, poll = opts and opts.poll }) -- 1
  local loss = own.value(y, output) + model:penalty()                                                    -- 2
  local value, metrics = loss:item(), metric_values(model, own, y, output)
  if not finite(value) then return value, metrics end
  loss:backward{ free = true }                                                                           -- 3
  optimizer:step(model:trainable())                                                                      -- 4
  model:zero_grad()                                                                                      -- 5
  return value, metrics
end

--- Keras's name for a step by hand.
---@return number loss, number ... metrics
function Model:train_on_batch(x, y)
  need_compiled(self, "train_on_batch", 2)
  local loss, metrics = train.step(self, x, y)
  return loss, table.unpack(metrics)
end

-- ---- sums over batches -------------------------------------------------------------------------------------

local function new_totals() return { n = 0, loss = 0 } end

local function add_batch(totals, n, loss, metrics)
  totals.n, totals.loss = totals.n + n, totals.loss + n * loss
  for i, value in ipairs(metrics) do totals[i] = (totals[i] or 0) + n * value end
end

-- name -> mean over the samples so far
local function means(model, totals, prefix)
  local logs = { [prefix .. "loss"] = totals.loss / totals.n }
  for i, metric in ipairs(model.metrics) do logs[prefix .. metric.name] = totals[i] / totals.n end
  return logs
end

-- For the progress line: by name, validation last (as Keras sorts them).
local function shown(logs, ...)
  local names, list = {}, {}
  for name, value in pairs(logs) do
    if type(value) == "number" and name ~= "lr" then names[#names + 1] = name end
  end
  table.sort(names, function(a, b)
    local va, vb = a:find("^val_") ~= nil, b:find("^val_") ~= nil
    if va ~= vb then return vb end
    return a < b
  end)
  for i, name in ipairs(names) do list[i] = { name, logs[name] } end
  for i = 1, select("#", ...) do list[#list + 1] = (select(i, ...)) end
  return list
end

local function rate_text(n, seconds)
  local rate = n / math.max(seconds, 1e-9)
  return (rate < 10 and "%.1f images/s" or "%.0f images/s"):format(rate)
end

-- ---- evaluate ----------------------------------------------------------------------------------------------

-- Loss and metrics of a model in inference mode; the L2 term as it is now.
local function measure(model, source, steps, pass, bar)
  local own, totals, started = model.objective, new_totals(), core.now()
  local how = { training = false, logits = own.on_logits, poll = true }
  local done = 0
  for x, y in source:batches{ epoch = pass, steps = steps, shuffle_batches = false } do
    local output = model:forward(x, how)
    add_batch(totals, #x, own.value(y, output):item(), metric_values(model, own, y, output))
    done = done + 1
    if bar then bar:update(done, shown(means(model, totals, ""), rate_text(totals.n, core.now() - started))) end
  end
  if totals.n == 0 then error("the data source gave no batches", 0) end
  local penalty = model:penalty()
  totals.loss = totals.loss + totals.n * (core.is_tensor(penalty) and penalty:item() or penalty)
  if bar then bar:finish(shown(means(model, totals, ""), rate_text(totals.n, core.now() - started))) end
  return totals
end

-- Runs f with Ctrl-C as a flag that loops poll; the host's own meaning of it comes back in any case.
local function with_interrupts(f, ...)
  local guard <close> = setmetatable({}, { __close = core.interrupt_end })
  core.interrupt_begin()
  return f(...)
end

local function is_interrupt(problem)
  return problem == Model.INTERRUPTED or type(problem) == "string" and problem:find("interrupted!", 1, true) ~= nil
end

-- A raise out of a long call: plain text, with the caller's name when it was Ctrl-C.
local function pass_on(who, problem)
  if is_interrupt(problem) then error(who .. ": interrupted!", 0) end
  error(problem, 0)
end

--- Loss and metrics on data, in inference mode.
---
--- Takes (source, opts), ({x, y}, opts) or (x, y, opts). A source that shuffles is fine here: the means do not mind.
---@param data giemsa.Source|table|userdata
---@param opts {steps: integer?, batch_size: integer?, verbose: integer?}? steps: only so many batches; verbose: 1 shows a bar
---@return table<string, number> result {loss = , accuracy = , ...}
---@return number loss
---@return number ... metrics, in the order of compile's
function Model:evaluate(data, opts, more)
  need_compiled(self, "evaluate", 2)
  local y
  data, y, opts = feed.arguments(data, opts, more)
  opts = options.check("evaluate", opts, { steps = "integer", batch_size = "integer", verbose = "integer" }, 3)
  local source = feed.source("evaluate", data, y, { batch_size = opts.batch_size }, 2)
  local steps, remark = feed.steps("evaluate", "steps", source, opts.steps, 2)
  if remark then note("evaluate: %s", remark) end
  local bar = progress.bar{ total = steps, label = "evaluate", quiet = (opts.verbose or 0) == 0 }
  local ok, totals = pcall(with_interrupts, grad.no_grad, measure, self, source, steps, 1, bar)
  if not ok then
    bar:abandon()
    pass_on("evaluate", totals)
  end
  local result = means(self, totals, "")
  local list = { result.loss }
  for i, metric in ipairs(self.metrics) do list[i + 1] = result[metric.name] end
  return result, table.unpack(list)
end
Model.evaluate_generator = Model.evaluate

-- ---- predict -----------------------------------------------------------------------------------------------

-- Row by row in file order into one tensor of n rows.
local function predict_rows(model, source, steps, n, bar)
  local how, out, at, done = { poll = true }, nil, 0, 0
  for x in source:batches{ epoch = 1, steps = steps, shuffle_batches = false } do
    local y = model:forward(x, how)
    local shape = y.shape
    if not out then
      shape[1] = n
      out = core.empty(shape)
    end
    local count = math.min(#x, n - at)
    out:rows(at + 1, at + count):copy_from(count == #y and y or y:rows(1, count))
    at, done = at + count, done + 1
    bar:update(done)
  end
  bar:finish()
  if not out then error("predict: the data source gave no batches", 0) end
  return at == n and out or out:rows(1, at)
end

--- The model's output for every sample, in file order: exactly n rows, also when steps asks for a batch too many.
---
--- A source that shuffles is refused: nobody could say which row belongs to which file.
---@param data giemsa.Source|userdata a source, or a tensor (N, ...)
---@param opts {steps: integer?, batch_size: integer?, verbose: integer?}?
---@return userdata predictions (n, ...)
function Model:predict(data, opts)
  opts = options.check("predict", opts, { steps = "integer", batch_size = "integer", verbose = "integer" }, 3)
  if #self.outputs ~= 1 then error("predict: the model has several outputs; call model(x), which gives them all", 2) end
  local source = feed.source("predict", data, nil, { batch_size = opts.batch_size }, 2)
  if not source.n then error("predict: needs a tensor or a data source, got a function", 2) end
  if source.shuffle then
    error("predict: this source shuffles, so the rows would come in an order nobody knows; make it with shuffle = false", 2)
  end
  local steps = feed.steps("predict", "steps", source, opts.steps, 2)
  local n = math.min(source.n, steps * source.batch_size)
  local bar = progress.bar{ total = steps, label = "predict", quiet = (opts.verbose or 0) == 0 }
  local ok, result = pcall(with_interrupts, grad.no_grad, predict_rows, self, source, steps, n, bar)
  if ok then return result end
  bar:abandon()
  return pass_on("predict", result)
end
Model.predict_generator = Model.predict

-- ---- fit ---------------------------------------------------------------------------------------------------

---@class giemsa.History
---@field loss number[] a value an epoch; likewise accuracy, val_loss, val_accuracy, ...
---@field epoch integer[] the epochs' numbers, from 1
---@field interrupted boolean? Ctrl-C ended it
---@field partial table? of the epoch that Ctrl-C ended: {epoch =, step =, loss =, ...}
local History = {}
History.__index = function(self, key) if key == "history" then return self end end -- H.history.loss, as in Keras

local function call(run, event, ...)
  for _, callback in ipairs(run.callbacks) do
    local f = callback[event]
    if f then f(callback, ...) end
  end
end

local function lr_text(model) return ("lr: %.4g"):format(model.optimizer:current_lr()) end

-- Why the training cannot go on, and what to try.
local function not_finite_message(run, epoch, step, loss, x)
  local parts = { ("fit: the loss is %s since epoch %d, step %d (update %d)"):format(
    loss ~= loss and "nan" or "inf", epoch, step, run.model.optimizer.iterations + 1) }
  if run.last_loss then
    parts[#parts + 1] = ("; one step before it was %.4g, the lowest so far %.4g"):format(run.last_loss, run.lowest_loss)
  end
  if not finite(core.sum(x):item()) then
    parts[#parts + 1] = ". The batch itself holds nan or inf: look at the data and what is done to it"
  else
    parts[#parts + 1] = (". Try a smaller learning rate (it is %.3g now; divide by 10), look whether the inputs are scaled "
      .. "(rescale = 1/255) and the labels right"):format(run.model.optimizer:current_lr())
  end
  return table.concat(parts) .. ". The weights are those before this step; the history so far is in model.history"
end

-- A source whose batches are nobody else's gets their memory back at once (a metric of one's own may have kept them).
local function spend(run, x, y)
  if not run.spends then return end
  x:release()
  y:release()
end

local function one_batch(run, epoch, x, y)
  local model = run.model
  run.step = run.step + 1
  call(run, "on_batch_begin", run.step)
  local loss, metrics = train.step(model, x, y, run.step_options)
  if not finite(loss) then error(not_finite_message(run, epoch, run.step, loss, x), 0) end
  run.last_loss, run.lowest_loss = loss, math.min(run.lowest_loss or loss, loss)
  add_batch(run.totals, #x, loss, metrics)
  if run.hears_batches then call(run, "on_batch_end", run.step, means(model, run.totals, "")) end
end

local function train_pass(run, epoch)
  local model, started = run.model, core.now()
  run.totals, run.step = new_totals(), 0
  for x, y in run.source:batches{ epoch = model.epoch + 1, steps = run.steps, shuffle_batches = run.shuffle_batches,
    seed = run.seed } do
    if core.interrupted() then error(Model.INTERRUPTED, 0) end
    one_batch(run, epoch, x, y)
    spend(run, x, y)
    run.rate = rate_text(run.totals.n, core.now() - started)
    run.bar:update(run.step, shown(means(model, run.totals, ""), run.rate, lr_text(model)))
  end
  if core.interrupted() then error(Model.INTERRUPTED, 0) end
  if run.step == 0 then error("fit: the data source gave no batches", 0) end
  return means(model, run.totals, "")
end

local function validate(run, logs)
  if not run.validation then return end
  local totals = grad.no_grad(measure, run.model, run.validation, run.validation_steps, run.model.epoch + 1)
  for name, value in pairs(means(run.model, totals, "val_")) do logs[name] = value end
end

local function remember(run, epoch, logs)
  local model, history = run.model, run.history
  history.epoch[#history.epoch + 1] = epoch
  for name, value in pairs(logs) do
    if type(value) == "number" then
      history[name] = history[name] or {}
      history[name][#history.epoch] = value
      model.history[name] = model.history[name] or {}
      model.history[name][epoch] = value
    end
  end
  model.epoch = model.epoch + 1
end

local function one_epoch(run, epoch)
  local model = run.model
  run.epoch = epoch
  call(run, "on_epoch_begin", epoch)
  run.bar = progress.bar{ total = run.steps, label = ("Epoch %d/%d"):format(epoch, run.epochs), quiet = run.verbose == 0,
    plain = run.verbose == 2 }
  local logs = train_pass(run, epoch)
  validate(run, logs)
  run.bar:finish(shown(logs, run.rate, lr_text(model)))
  call(run, "on_epoch_end", epoch, logs)
  remember(run, epoch, logs)
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
  if run.epoch and run.totals and run.totals.n > 0 and history.epoch[#history.epoch] ~= run.epoch then
    history.partial = means(run.model, run.totals, "")
    history.partial.epoch, history.partial.step = run.epoch, run.step
  end
  io.write(("interrupted in epoch %s, step %s: %d whole epochs are in the history; the model keeps its last update\n"):format(
    run.epoch or 1, run.step or 0, #history.epoch))
  call(run, "on_train_end")
end

local fit_options = {
  steps_per_epoch = "integer", epochs = "integer", validation_data = "any", validation_steps = "integer", callbacks = "table|function",
  verbose = "integer", initial_epoch = "integer", shuffle = "boolean", batch_size = "integer", class_weight = "table",
  validation_split = "number", seed = "integer",
}

-- The last part of the tensors, before any shuffling (as Keras).
local function split(data, y, part, level)
  if type(data) == "table" and not feed.is_source(data) then data, y = data[1], data[2] end
  if not (core.is_tensor(data) and core.is_tensor(y)) then
    error("fit: validation_split needs tensors; with a generator give ImageDataGenerator its validation_split", level + 1)
  end
  local at = #data * (1 - part) // 1 | 0
  if not (part > 0 and part < 1) or at < 1 or at >= #data then
    error(("fit: validation_split = %g leaves no samples on one side of %d"):format(part, #data), level + 1)
  end
  return data:rows(1, at), y:rows(1, at), { data:rows(at + 1, #data), y:rows(at + 1, #y) }
end

local function prepare_validation(run, given, opts, level)
  if not given then return end
  if feed.is_source(given) then run.validation = given
  else run.validation = feed.source("fit: validation_data", given, nil, { batch_size = opts.batch_size }, level + 1) end
  local remark
  run.validation_steps, remark = feed.steps("fit", "validation_steps", run.validation, opts.validation_steps, level + 1)
  if remark then note("fit: %s", remark) end
end

local function prepare_training(run, data, y, opts, level)
  local model = run.model
  run.source = feed.source("fit", data, y, { batch_size = opts.batch_size, shuffle = opts.shuffle ~= false,
    seed = model.seed ~ model.number << 32 }, level + 1)
  run.shuffle_batches = opts.shuffle ~= false and not run.source.tensors
  run.spends = run.source.fresh
  for _, metric in ipairs(model.metrics) do run.spends = run.spends and not metric.on_output end
  local remark
  if opts.steps_per_epoch == 0 then
    error(("fit: steps_per_epoch = 0: fewer samples (%s) than a batch (%s)?"):format(tostring(run.source.n),
      tostring(run.source.batch_size)), level + 1)
  end
  run.steps, remark = feed.steps("fit", "steps_per_epoch", run.source, opts.steps_per_epoch, level + 1)
  if remark then note("fit: %s", remark) end
end

local function prepare(model, data, y, opts, level)
  local run = { model = model, epochs = opts.epochs or 1, initial_epoch = opts.initial_epoch or 0, seed = opts.seed,
    verbose = opts.verbose or 1, history = setmetatable({ epoch = {} }, History) }
  local validation = opts.validation_data
  if opts.validation_split and not validation then data, y, validation = split(data, y, opts.validation_split, level + 1) end
  prepare_training(run, data, y, opts, level + 1)
  prepare_validation(run, validation, opts, level + 1)
  local ok, problem = pcall(function()
    run.callbacks = callbacks.list(opts.callbacks)
    local weighted = opts.class_weight
      and objective.weighted(model.objective, opts.class_weight, run.source.class_names or model.class_names)
    run.step_options = { poll = true, objective = weighted }
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
    if type(values) == "table" and initial_epoch > 0 then kept[name] = { table.unpack(values, 1, initial_epoch) } end
  end
  model.history = kept
end

--- Trains the model; as Keras's fit and fit_generator.
---
--- Takes (source, opts), ({x, y}, opts), (x, y, opts), or a function that returns the next x, y. Ctrl-C ends it within the batch and
--- still returns the history, with interrupted = true. A loss that is nan or inf raises, and says since when.
---
--- - epochs (1) is the number of the last epoch, initial_epoch (0) how many were done before
--- - steps_per_epoch (all): batches an epoch; the rest of the pass is dropped
--- - validation_data: a source or {x, y}; validation_steps (all): always the first so many batches. validation_split (tensors
---   only): the last part of the data
--- - callbacks: a list of giemsa.callbacks, tables or functions (epoch, logs, model)
--- - verbose: 0 silent, 1 (default) a progress line, 2 one line an epoch
--- - shuffle (true): samples of tensors, or the order of a generator's batches. seed: of that order
--- - batch_size (32) for tensors. class_weight: {class = weight}, classes from 1 or by name
---@param data giemsa.Source|table|userdata|function
---@param opts table?
---@return giemsa.History history name -> array with a value an epoch: loss, accuracy, val_loss, val_accuracy
function Model:fit(data, opts, more)
  need_compiled(self, "fit", 2)
  local y
  data, y, opts = feed.arguments(data, opts, more)
  opts = options.check("fit", opts, fit_options, 3)
  local run = prepare(self, data, y, opts, 2)
  keep_history(self, run.initial_epoch)
  local ok, problem = pcall(with_interrupts, all_epochs, run)
  if ok then return run.history end
  if is_interrupt(problem) then
    stopped_by_hand(run)
    return run.history
  end
  if run.bar then run.bar:abandon() end
  self:zero_grad()
  error(problem, 0)
end
Model.fit_generator = Model.fit

return train
