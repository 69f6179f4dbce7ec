--- fit: the training step with a history. As in tf.keras, every epoch is a new pass over the source
--- with its batches in random order; validation takes the first validation_steps batches in order;
--- an epoch's loss is the mean over its samples of what each step saw before its own update, L2
--- included; the learning rate decays with updates, not epochs. Passes are numbered by model.epoch,
--- so training that goes on after a load sees what it would have seen.
local checkpoint = require "giemsa.train.checkpoint"
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local Model = require "giemsa.nn.model"
local plan = require "giemsa.nn.plan"
local prepare = require "giemsa.train.prepare"
local report = require "giemsa.train.report"
local score = require "giemsa.train.score"
local step = require "giemsa.train.step"

local add_batch, finite = step.add_batch, step.finite
local means, new_totals = step.means, step.new_totals
local rate_text = score.rate_text

local function note(message, ...) io.stderr:write("note: ", message:format(...), "\n") end

local function call(run, event, ...)
  for _, callback in ipairs(run.callbacks) do
    local f = callback[event]
    if f then f(callback, ...) end
  end
end

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
  checkpoint.before_step(run)
  run.step = run.step + 1
  call(run, "on_batch_begin", run.step)
  if not y then error("fit: the data source gives no labels (class_mode?)", 0) end
  local loss, metrics = step.run(model, x, y, run.step_options)
  if not finite(loss) then error(not_finite_message(run, epoch, run.step, loss, x), 0) end
  run.last_loss, run.lowest_loss = loss, math.min(run.lowest_loss or loss, loss)
  add_batch(run.totals, #x, loss, metrics)
  if run.hears_batches then call(run, "on_batch_end", run.step, means(model, run.totals, "")) end
end

-- The batches of a pass from the first that was not trained on yet.
local function batches_left(run)
  local source, done = run.source, run.step
  local next_batch, state, control, closing = source:batches{ epoch = run.model.epoch + 1,
    steps = run.steps, first = source.seeks and done > 0 and done + 1 or nil,
    shuffle_batches = run.shuffle_batches, seed = run.seed }
  for _ = 1, source.seeks and 0 or done do next_batch(state, control) end
  return next_batch, state, control, closing
end

local function train_pass(run, epoch)
  local model, started, before = run.model, core.now(), run.totals.n
  for x, y in batches_left(run) do
    if core.interrupted() then error(plan.INTERRUPTED, 0) end
    one_batch(run, epoch, x, y)
    spend(run, x, y)
    run.rate = rate_text(run.totals.n - before, core.now() - started)
    report.step(run, means(model, run.totals, ""))
    if run.checkpoint_every and run.step % run.checkpoint_every == 0 and run.step < run.steps then
      checkpoint.save(run, epoch - 1, run.step)
    end
  end
  if core.interrupted() then error(plan.INTERRUPTED, 0) end
  if run.step == 0 then error("fit: the data source gave no batches", 0) end
  return means(model, run.totals, "")
end

local function validate(run, logs)
  if not run.validation then return end
  run.phase = "validation"
  local totals = grad.no_grad(score.measure, run.model, run.validation,
    { steps = run.validation_steps, pass = run.model.epoch + 1, seed = run.validation_seed })
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

-- What somebody who loads the model must know: the classes, how a picture becomes an input, and the
-- sum that tells whether it was these data.
local function learn_about_data(model, source)
  model.class_names = source.class_names or model.class_names
  model.preprocessing = source.preprocessing or model.preprocessing
  if source.data_sha256 then model.data_sha256 = source:data_sha256() end
end

local function one_epoch(run, epoch)
  local model = run.model
  run.epoch, run.phase = epoch, "steps"
  if run.step == 0 then -- else a checkpoint was made in the middle of it
    run.totals = new_totals()
    call(run, "on_epoch_begin", epoch)
  end
  report.epoch(run, epoch)
  local logs = train_pass(run, epoch)
  validate(run, logs)
  run.phase = "epoch end"
  report.finish(run, epoch, logs)
  model.epoch = model.epoch + 1
  learn_about_data(model, run.source)
  remember(run, epoch, logs) -- before the callbacks: one that saves the model saves this epoch too
  call(run, "on_epoch_end", epoch, logs)
  remember(run, epoch, logs) -- and what they wrote into logs
  report.remembered(run)
  run.step = 0
  checkpoint.save(run, epoch, 0)
end

local function all_epochs(run)
  local model = run.model
  if not run.resumed then
    model.stop_training = false
    call(run, "on_train_begin")
  end
  report.begin(run)
  for epoch = run.done + 1, run.epochs do
    if model.stop_training then break end
    one_epoch(run, epoch)
  end
  report.close(run)
  call(run, "on_train_end")
end

-- Ctrl-C is answered by the end of this training; what comes after it is to go on.
local function until_interrupted(run)
  local ok, problem = pcall(all_epochs, run)
  if ok then return end
  if score.is_interrupt(problem) then core.interrupt_clear() end
  error(problem, 0)
end

-- After Ctrl-C: the history says so, the line too; callbacks may still put things right.
local function stopped_by_hand(run)
  local history = run.history
  history.interrupted = true
  report.close(run)
  run.model:zero_grad()
  checkpoint.save_interrupted(run)
  local begun = run.totals and run.totals.n > 0
  if begun and history.epoch[#history.epoch] ~= run.epoch then
    history.partial = means(run.model, run.totals, "")
    history.partial.epoch, history.partial.step = run.epoch, run.step
  end
  io.write(("interrupted in epoch %s, step %s: %d whole epochs are in the history; "
    .. "the model keeps its last update\n"):format(run.epoch or 1, run.step or 0, #history.epoch))
  call(run, "on_train_end")
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
--- - verbose: 0 no progress, 1 (default) a progress line, 2 one line an epoch
--- - warnings (true): say on stderr, once, what makes the validation no fair judgement: pictures
---   varied at random, another part each time, patients that are in the training too
--- - shuffle (true): samples of tensors, or the order of a generator's batches. seed: of that order
--- - batch_size (32) for tensors. class_weight: {class = weight}, classes from 1 or by name
--- - checkpoint: a file that keeps all of the training after every epoch, at Ctrl-C, and every
---   checkpoint_every steps; the one before stays as FILE.previous. nn.load_model reads it too.
---   resume: true goes on from it if it is there, to the same bits as a training that never
---   stopped; false begins anew; "previous" goes back by one. epochs may be raised; data, net, optimiser and
---   the other options must be those of the beginning
---@param data giemsa.Source|table|userdata|function
---@param opts table?
---@return giemsa.History history name -> array with a value an epoch: loss, accuracy, val_loss,
---  val_accuracy
function Model:fit(data, opts, more)
  step.need_compiled(self, "fit", 2)
  local run
  run, opts = prepare.run(self, data, opts, more, 2)
  keep_history(self, run.initial_epoch)
  local opened, remark = pcall(checkpoint.open, run, opts)
  if not opened then error("fit: " .. remark, 2) end
  if remark then note("fit: %s", remark) end
  local ok, problem = pcall(score.with_interrupts, until_interrupted, run)
  if ok then return run.history end
  if score.is_interrupt(problem) then
    stopped_by_hand(run)
    return run.history
  end
  report.close(run)
  self:zero_grad()
  error(problem, 0)
end
Model.fit_generator = Model.fit
