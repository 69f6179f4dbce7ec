--- Checkpoints: all that a training consists of, in one file, so that one that was interrupted,
--- killed or lost its power goes on to the same bits as one that never stopped.
--
--   the model as model:save writes it   weights, optimiser (slots, updates), epoch, history
--   "checkpoint" in the metadata        the state below, and what it belongs to
--   "checkpoint/..." tensors            what callbacks keep (EarlyStopping's best weights)
--
-- Everything random is drawn by counters, so a position is a few numbers: the source's seed, the
-- pass, the batches delivered; the global stream's place. A file is written beside the old one,
-- synced and renamed; the one before it stays as PATH.previous.
local core = require "giemsa.core"
local file = require "giemsa.save.file"
local json = require "giemsa.json"
local random = require "giemsa.random"
local save = require "giemsa.save"

local checkpoint = {}

local PREFIX = "checkpoint"

local function exists(path) return core.file_info(path) ~= nil end

-- ---- the files

-- PATH.new is whole once it bears that name: the last becomes the one before, the new one the last.
-- Also finishes what a killed process left half done.
local function settle(path)
  if not exists(path .. ".new") then return end
  if exists(path) then os.rename(path, path .. ".previous") end
  os.rename(path .. ".new", path)
end

-- Files that a process killed while writing left behind.
local function sweep(path)
  local folder, name = path:match("^(.*)/([^/]*)$")
  if not folder then folder, name = ".", path end
  for _, entry in ipairs(core.list_folder(folder == "" and "/" or folder) or {}) do
    local rest = entry[1]:sub(#name + 1)
    if entry[1]:sub(1, #name) == name and rest:find("^%.new%.%w%w%w%w%w%w$") then
      os.remove(folder .. "/" .. entry[1])
    end
  end
end

-- ---- what a training is, and how far it is

-- What must be the same for the same bits: the data, how they are taken, and the recipe.
local function identity_of(source)
  if not source then return nil end
  if source.identity then return source:identity() end
  return { samples = source.n, batch_size = source.batch_size, shuffle = source.shuffle }
end

local function weights_by_name(given)
  local out = {}
  for class, weight in pairs(given or {}) do out[tostring(class)] = weight end
  return out
end

--- What this call of fit trains, as plain values; taken before the first step.
---@param run table
---@param opts table fit's options
---@return table<string, table>
function checkpoint.belongs_to(run, opts)
  local model = run.model
  local compiled = model.compiled or {}
  return {
    ["the training data"] = identity_of(run.source),
    ["the validation data"] = identity_of(run.validation) or { samples = 0 },
    optimizer = model.optimizer:get_config(),
    compile = { loss = compiled.loss or "a function",
      metrics = { table.unpack(compiled.metrics or {}) } },
    ["the options of fit"] = { steps_per_epoch = run.steps, validation_steps = run.validation_steps,
      initial_epoch = run.initial_epoch, shuffle = opts.shuffle ~= false, seed = opts.seed,
      class_weight = weights_by_name(opts.class_weight) },
  }
end

local function callback_states(run, entries)
  local states = setmetatable({}, { __jsontype = "array" })
  for i, callback in ipairs(run.callbacks) do
    local state = callback.get_state and callback:get_state() or nil
    states[i] = { class = callback.class or "",
      state = file.pack(state, entries, ("%s/callbacks/%d"):format(PREFIX, i)) }
  end
  return states
end

local function state_of(run, done, step, entries)
  local totals = step > 0 and run.totals or { n = 0, loss = 0 }
  local state = file.pack({
    done = done, step = step, stopped = run.model.stop_training or false,
    n = totals.n, loss = totals.loss, metrics = { table.unpack(totals) },
    best = run.best, best_epoch = run.best_epoch, last_loss = run.last_loss, lowest_loss = run.lowest_loss,
    source_seed = run.seed or run.source.seed,
    validation_seed = run.validation and run.validation.seed,
    random = random.get_state(), belongs_to = run.belongs_to,
  }, entries, PREFIX)
  state.history = file.history_to_json(run.history)
  state.callbacks = callback_states(run, entries)
  return state
end

-- ---- saving

-- "epoch 3", "epoch 3, step 5"
local function place_text(done, step)
  if step == 0 then return ("epoch %d"):format(done) end
  return ("epoch %d, step %d of the next"):format(done, step)
end

local function write(run, done, step)
  local path = run.checkpoint
  local entries, metadata = save.contents(run.model)
  metadata.checkpoint = json.encode(state_of(run, done, step, entries))
  file.write(path .. ".new", entries, metadata)
  settle(path)
end

--- Writes where the training stands: after `done` epochs and `step` steps of the next one. A disk
--- that fails does not end the training; it is said, and the last checkpoint stays.
---@param run table
---@param done integer
---@param step integer
function checkpoint.save(run, done, step)
  if not run.checkpoint then return end
  local ok, problem = pcall(write, run, done, step)
  if ok then
    run.saved = { done, step }
    return
  end
  local last = run.saved and "; the last good one is after " .. place_text(table.unpack(run.saved))
    or ""
  io.stderr:write(("warning: fit: no checkpoint could be written: %s%s. The training goes on\n")
    :format(tostring(problem), last))
end

--- Remembers what a step changes before its update, so that a step that Ctrl-C breaks off leaves no
--- trace in the checkpoint: the statistics of batch normalisation, the global stream.
---@param run table
function checkpoint.before_step(run)
  if not run.checkpoint then return end
  local mark = run.mark or { statistics = {} }
  for _, weight in ipairs(run.model:weights()) do
    if weight.statistic then
      local kept = mark.statistics[weight.name]
      if kept then kept:copy_from(weight.tensor)
      else mark.statistics[weight.name] = weight.tensor:copy() end
    end
  end
  mark.step, mark.iterations = run.step, run.model.optimizer.iterations
  mark.random, run.mark = random.get_state(), mark
end

--- After Ctrl-C: the state after the last whole step.
---@param run table
function checkpoint.save_interrupted(run)
  local mark, model = run.mark, run.model
  if not run.checkpoint or not mark or run.phase == "epoch end" then return end
  local step = run.step
  if run.phase == "steps" and model.optimizer.iterations == mark.iterations then
    for _, weight in ipairs(model:weights()) do
      local kept = mark.statistics[weight.name]
      if kept then weight.tensor:copy_from(kept) end
    end
    random.set_state(mark.random)
    step = mark.step
  end
  checkpoint.save(run, run.epoch - 1, step)
end

-- ---- is it the same training?

local function text_of(value)
  if type(value) == "string" and #value == 64 then return value:sub(1, 8) .. "…" end
  if type(value) == "string" then return value end
  return value == nil and "not there" or json.encode(value)
end

-- "batch_size was 32 and is 16"
local function differences(was, is)
  local names, list = {}, {}
  for name in pairs(was) do names[name] = true end
  for name in pairs(is) do names[name] = true end
  for _, name in ipairs(file.sorted_keys(names)) do
    local before, now = text_of(was[name]), text_of(is[name])
    if before ~= now and name == "data" then
      list[#list + 1] = ("they are not the same pictures or numbers (SHA-256 %s there, %s here)")
        :format(before, now)
    elseif before ~= now then
      list[#list + 1] = ("%s was %s and is %s"):format(name, before, now)
    end
  end
  return list
end

local ADVICE = "; an exact resume needs the same again. Put it back, or begin anew with "
  .. "resume = false (nn.load_model reads the model itself)"

local PARTS = { "the training data", "the validation data", "optimizer", "compile",
  "the options of fit" }

local function check_recipe(was, is)
  is = json.decode(json.encode(file.pack(is, {}, PREFIX)))
  for _, part in ipairs(PARTS) do
    local list = differences(was[part] or {}, is[part])
    if #list > 0 then
      error(("it is of another training: %s: %s%s"):format(part,
        table.concat(list, "; ", 1, math.min(#list, 3)), ADVICE), 0)
    end
  end
end

local function layer_text(layer)
  return layer and ("'%s' (%s)"):format(layer.name, layer.class) or "none"
end

local function check_architecture(metadata, model)
  local was = file.json_field(metadata, "architecture") or { layers = {} }
  local is = json.decode(json.encode(model:get_config()))
  for i = 1, math.max(#was.layers, #is.layers) do
    local a, b = was.layers[i], is.layers[i]
    if json.encode(a) ~= json.encode(b) then
      local what = a and b and a.name == b.name and differences(a.config or {}, b.config or {})[1]
        or ("it was %s"):format(layer_text(a))
      error(("it is of another net: layer %d is %s, %s%s")
        :format(i, layer_text(b), what, ADVICE), 0)
    end
  end
end

local function check_callbacks(was, callbacks)
  local function names(list)
    local out = {}
    for i, one in ipairs(list) do
      out[i] = (one.class or "") == "" and "one of your own" or one.class
    end
    return #out == 0 and "none" or table.concat(out, ", ")
  end
  local before, now = names(was), names(callbacks)
  if before ~= now then
    error(("it is of another training: the callbacks were: %s; they are: %s%s")
      :format(before, now, ADVICE), 0)
  end
end

-- ---- going on

local function restore_callbacks(run, states, tensors)
  for i, callback in ipairs(run.callbacks) do
    local state = file.unpack(states[i].state, tensors)
    if callback.set_state and state ~= nil then
      callback:set_state(state)
    elseif callback.on_train_begin then
      callback:on_train_begin()
    end
  end
end

local function read(path)
  local tensors, metadata = file.read(path)
  file.check_format(metadata)
  local packed = file.json_field(metadata, "checkpoint")
  if not packed then
    error("it is a saved model and no checkpoint of fit; nn.load_model reads it", 0)
  end
  return tensors, metadata, packed
end

local function restore(run, tensors, metadata, packed)
  local state = file.unpack(packed, tensors)
  check_architecture(metadata, run.model)
  check_callbacks(packed.callbacks, run.callbacks)
  check_recipe(packed.belongs_to, run.belongs_to)
  if state.done > run.epochs then
    error(("it holds %d epochs already, epochs = %d asks for fewer")
      :format(state.done, run.epochs), 0)
  end
  save.put_back(run.model, tensors, metadata)
  random.set_state(state.random)
  run.done, run.step = state.done, state.step
  run.totals = { n = state.n, loss = state.loss, table.unpack(state.metrics) }
  run.best, run.best_epoch = state.best, state.best_epoch
  run.last_loss, run.lowest_loss = state.last_loss, state.lowest_loss
  run.seed, run.validation_seed = state.source_seed, state.validation_seed
  run.model.stop_training = state.stopped
  for name, values in pairs(file.history_from_json(state.history)) do run.history[name] = values end
  restore_callbacks(run, packed.callbacks, tensors)
  run.saved, run.resumed = { state.done, state.step }, true
end

-- What can be said of the checkpoint before a damaged one.
local function about_previous(path)
  local previous = path .. ".previous"
  if not exists(previous) then return "; resume = false begins anew" end
  local ok, _, _, packed = pcall(read, previous)
  if not ok then
    return ("; so is the one before it, %s; resume = false begins anew"):format(previous)
  end
  return ("; the one before it, %s, is whole (after %s): resume = \"previous\" goes on from there")
    :format(previous, place_text(packed.done, packed.step))
end

local function tell(run)
  local path = run.checkpoint
  if run.done >= run.epochs or run.model.stop_training then
    local how = run.model.stop_training and "a callback ended it" or "all it was to do"
    return ("%s is of a finished training (%d epochs, %s): its weights and history are back; "
      .. "resume = false begins anew%s"):format(path, run.done, how,
      run.model.stop_training and "" or ", a larger epochs goes on")
  end
  return ("going on from %s, after %s"):format(path, place_text(run.done, run.step))
end

-- Reads and restores; the path stands in front of what goes wrong.
local function go_on_from(run, path)
  local whole, tensors, metadata, packed = pcall(read, path)
  if not whole then
    local instead = path == run.checkpoint and about_previous(path) or ""
    error(("checkpoint %s: %s%s"):format(path, tensors, instead), 0)
  end
  local ok, problem = pcall(restore, run, tensors, metadata, packed)
  if not ok then error(("checkpoint %s: %s"):format(path, problem), 0) end
end

local function begin(run, resume)
  local path = run.checkpoint
  settle(path)
  sweep(path)
  local there = exists(path)
  if resume == "previous" then
    go_on_from(run, path .. ".previous")
    if there then os.rename(path, path .. ".rejected") end
    os.rename(path .. ".previous", path)
  elseif there and resume == true then
    go_on_from(run, path)
  elseif there and resume == nil then
    error(("checkpoint %s is there already: resume = true goes on from it, resume = false begins "
      .. "anew and replaces it"):format(path), 0)
  end
  return run.resumed and tell(run) or nil
end

--- Sets a run to where its checkpoint stands, when there is one and `resume` says so.
---@param run table prepared
---@param opts table fit's options: checkpoint, checkpoint_every, resume
---@return string? remark what was done, for the reader
function checkpoint.open(run, opts)
  if opts.resume and not opts.checkpoint then
    error("resume needs to know from where: checkpoint = \"out/NAME.ckpt\"", 0)
  end
  if opts.resume ~= nil and opts.resume ~= "previous" and type(opts.resume) ~= "boolean" then
    error(("resume must be true, false or \"previous\", got '%s'"):format(tostring(opts.resume)), 0)
  end
  if not opts.checkpoint then return end
  if not run.source.n then
    error("a checkpoint needs data whose place can be found again: a generator or tensors, "
      .. "not a function", 0)
  end
  run.model:get_config() -- a net that cannot be saved is told so now, not after the first epoch
  run.checkpoint, run.checkpoint_every = opts.checkpoint, opts.checkpoint_every
  run.belongs_to = checkpoint.belongs_to(run, opts)
  return begin(run, opts.resume)
end

return checkpoint
