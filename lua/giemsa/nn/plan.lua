--- How a model runs: a plan is the flat loop's own form of the rows, with what goes into each step,
--- whose value is used there for the last time, and what is fused.
local core = require "giemsa.core"
local fuse = require "giemsa.nn.fuse"
local grad = require "giemsa.grad"
local layers = require "giemsa.nn.layers"
local ops = require "giemsa.ops"

local classes = layers.classes

local plan = {}

--- Raised (as the error value itself) when Ctrl-C arrives while a model runs inside fit, evaluate
--- or predict.
plan.INTERRUPTED = setmetatable({}, { __tostring = function() return "interrupted!" end })

--- Raises it then.
function plan.poll()
  if core.interrupted() then error(plan.INTERRUPTED, 0) end
end

local with_logits = { softmax = true, sigmoid = true }

-- A row's own activation, as a function of a tensor, and its name.
local function activation_of(row)
  local name = row.config.activation
  if name == nil or name == "linear" then return nil, "linear" end
  if type(name) == "function" then return name, "function" end
  return ops[name], name
end

--- What the net ends in: "softmax", "sigmoid", or nil.
---@param model giemsa.Model
---@return string?
function plan.final_activation(model)
  if #model.outputs ~= 1 then return nil end
  local row = model.rows[model.outputs[1]]
  if row.class == "Softmax" then return "softmax" end
  local _, name = activation_of(row)
  return with_logits[name] and name or nil
end

--- Which rows are needed for the rows `last`, and who reads each.
---@return table<integer, boolean> needed
---@return table<integer, integer[]> readers
function plan.reading(model, last)
  local needed, readers = {}, {}
  for _, index in ipairs(last) do needed[index] = true end
  for index = #model.rows, 1, -1 do
    readers[index] = readers[index] or {}
    if needed[index] then
      for _, from in ipairs(model.rows[index].inputs) do
        needed[from] = true
        readers[from] = readers[from] or {}
        table.insert(readers[from], 1, index)
      end
    end
  end
  return needed, readers
end

-- May the storage of row i's value be given back by hand once its last reader ran? Not when it may
-- be another's too.
local function owns_value(model, i, readers, lends)
  local row = model.rows[i]
  if lends[i] then return false end
  local function aliases(r)
    return classes[r.class].aliases or type(r.config.activation) == "function"
  end
  if row.class == "Input" or aliases(row) then return false end
  for _, reader in ipairs(readers[i]) do
    if aliases(model.rows[reader]) then return false end
  end
  return true
end

-- Fills in, for each step, whose values are used there for the last time.
local function mark_last_use(model, steps, readers, kept)
  local last_step, lends = {}, {} -- lends: row -> the row whose value its own stands for
  for number, step in ipairs(steps) do
    if step.lends then lends[step.to] = step.row.inputs[1] end
    for _, from in ipairs(step.row.inputs) do
      last_step[from] = number
      if lends[from] then last_step[lends[from]] = number end
    end
    for _, from in ipairs(step.reads) do last_step[from] = number end
  end
  for from, number in pairs(last_step) do
    if not kept[from] then
      local list = owns_value(model, from, readers, lends) and "release" or "forget"
      table.insert(steps[number][list], from)
    end
  end
end

local function step_of(row)
  local class = classes[row.class]
  local activation, name = activation_of(row)
  return {
    name = row.name, row = row, to = row.index, from = not class.merges and row.inputs[1],
    forward = class.forward, activation = activation, forget = {}, release = {}, reads = {},
    spends = not class.aliases and name ~= "function", -- what the activation reads is nobody else's
  }
end

--- The row whose value is the output; with logits, of a model that ends in softmax or sigmoid, the
--- one before that, and the row whose own activation is to be left out.
---@return integer row
---@return integer? skip
function plan.last_row(model, logits)
  local last = model.outputs[1]
  if not logits or not plan.final_activation(model) then return last end
  local row = model.rows[last]
  if row.class == "Softmax" or row.class == "Activation" then return row.inputs[1] end
  return last, row.index
end

-- The steps of a run. logits: stop before the final activation. keep: row numbers whose values are
-- wanted too.
local function make_plan(model, logits, keep)
  local out = { table.unpack(model.outputs) }
  local skip_activation
  if logits then out[1], skip_activation = plan.last_row(model, logits) end
  local kept = {}
  for _, index in ipairs(out) do kept[index] = true end
  for _, index in ipairs(keep) do kept[index] = true end
  local wanted = { table.unpack(out) }
  table.move(keep, 1, #keep, #wanted + 1, wanted)
  local needed, readers = plan.reading(model, wanted)
  local around = { rows = model.rows, readers = readers, kept = kept, pairs = {}, early = {} }
  local steps, done = {}, {}
  for index, row in ipairs(model.rows) do
    if needed[index] and row.class ~= "Input" and not done[index] then
      local step = step_of(row)
      if index == skip_activation then step.activation = nil end
      local fused = fuse.rows(row, around)
      if fused then
        step.forward, step.to = fused.forward, fused.last.index
        if fused.last ~= row then step.name = row.name .. " + " .. fused.last.name end
        step.reads, step.lends = fused.reads or step.reads, fused.lends
        done[step.to] = true
        for _, covered in ipairs(fused.covers or {}) do done[covered] = true end
      end
      steps[#steps + 1] = step
    end
  end
  mark_last_use(model, steps, readers, kept)
  return { list = steps, out = out }
end

--- The plan of a run; the usual ones are made once.
---@param model giemsa.Model
---@param logits boolean? stop before a final softmax or sigmoid
---@param keep integer[] rows whose values are wanted as well
---@return table
function plan.of(model, logits, keep)
  if #keep > 0 then return make_plan(model, logits, keep) end
  local which = logits and "logits" or "all"
  local made = model.plans[which] or make_plan(model, logits, keep)
  model.plans[which] = made
  return made
end

local function gather(row, values)
  local list = {}
  for i, from in ipairs(row.inputs) do list[i] = values[from] end
  return list
end

-- After a run, also one that raised, ops are no layer's.
local leave = setmetatable({}, { __close = function() grad.layer = nil end })

--- The loop. While gradients are recorded the tape decides what stays alive; else values go
--- as soon as they were read.
---@param model giemsa.Model
---@param steps table[]
---@param values table<integer, userdata> row number -> tensor; inputs come in, outputs stay
---@param training boolean
---@param poll boolean? raise plan.INTERRUPTED between layers after Ctrl-C
function plan.run(model, steps, values, training, poll)
  local recording = grad.enabled()
  local _ <close> = leave
  values.moments = {} -- of rows whose maker summed them on the way
  for _, step in ipairs(steps) do
    if poll then plan.poll() end
    local row = step.row
    model.running, grad.layer = row, step
    local y = step.forward(row, step.from and values[step.from] or gather(row, values), training,
      model, values)
    if step.activation then
      local before = y
      y = step.activation(before)
      if step.spends and not recording then before:release() end
    end
    for _, from in ipairs(step.release) do
      if not recording then values[from]:release() end
      values[from] = nil
    end
    for _, from in ipairs(step.forget) do values[from] = nil end
    values[step.to] = y
  end
end

return plan
