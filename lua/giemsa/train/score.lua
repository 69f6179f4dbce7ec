--- evaluate and predict: a compiled model on data, in inference mode, nothing recorded.
local answers = require "giemsa.train.answers"
local core = require "giemsa.core"
local feed = require "giemsa.train.feed"
local grad = require "giemsa.grad"
local guards = require "giemsa.train.guards"
local Model = require "giemsa.nn.model"
local options = require "giemsa.options"
local plan = require "giemsa.nn.plan"
local progress = require "giemsa.progress"
local step = require "giemsa.train.step"

local score = {}

local add_batch, means, new_totals = step.add_batch, step.means, step.new_totals

local function note(message, ...) io.stderr:write("note: ", message:format(...), "\n") end

--- For the progress line: by name, validation last (as Keras sorts them).
function score.shown(logs, ...)
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

--- "325 images/s"
function score.rate_text(n, seconds)
  local rate = n / math.max(seconds, 1e-9)
  return (rate < 10 and "%.1f images/s" or "%.0f images/s"):format(rate)
end

-- ---- evaluate -----------------------------------------------------------------------------------

--- Sums of loss and metrics over batches, in inference mode; the L2 term as it is now.
---@param how {steps: integer?, pass: integer, bar: giemsa.ProgressBar?, seed: integer?} seed: in
---  place of the source's own
function score.measure(model, source, how)
  local own, totals, started = model.objective, new_totals(), core.now()
  local inference = { training = false, logits = own.on_logits, poll = true }
  local done, bar = 0, how.bar
  for x, y in source:batches{ epoch = how.pass, steps = how.steps, shuffle_batches = false,
    seed = how.seed } do
    if not y then error("the data source gives no labels (class_mode?)", 0) end
    local output = model:forward(x, inference)
    add_batch(totals, #x, own.value(y, output):item(), step.metric_values(model, own, y, output))
    done = done + 1
    if bar then
      bar:update(done, score.shown(means(model, totals, ""),
        score.rate_text(totals.n, core.now() - started)))
    end
  end
  if totals.n == 0 then error("the data source gave no batches", 0) end
  local penalty = model:penalty()
  totals.loss = totals.loss + totals.n * (core.is_tensor(penalty) and penalty:item() or penalty)
  if bar then
    bar:finish(score.shown(means(model, totals, ""),
      score.rate_text(totals.n, core.now() - started)))
  end
  return totals
end

--- Runs f with Ctrl-C as a flag that loops poll; the host's own meaning of it comes back in any
--- case, and the host hears of one that nobody has cleared, so that code around f stops too.
function score.with_interrupts(f, ...)
  local guard <close> = setmetatable({}, { __close = core.interrupt_end })
  core.interrupt_begin()
  return f(...)
end

function score.is_interrupt(problem)
  return problem == plan.INTERRUPTED or type(problem) == "string"
    and problem:find("interrupted!", 1, true) ~= nil
end

-- A raise out of a long call: plain text, with the caller's name when it was Ctrl-C.
local function pass_on(who, problem)
  if score.is_interrupt(problem) then error(who .. ": interrupted!", 0) end
  error(problem, 0)
end

--- Loss and metrics on data, in inference mode.
---
--- Takes (source, opts), ({x, y}, opts) or (x, y, opts). A source that shuffles is fine here: the
--- means do not mind; one that shuffles and is cut short by steps, or varies its pictures, is told.
---@param data giemsa.Source|table|userdata
---@param opts {steps: integer?, batch_size: integer?, verbose: integer?}? steps: only so many
---  batches; verbose: 1 shows a bar
---@return table<string, number> result {loss = , accuracy = , ...}
---@return number loss
---@return number ... metrics, in the order of compile's
function Model:evaluate(data, opts, more)
  step.need_compiled(self, "evaluate", 2)
  local y
  data, y, opts = feed.arguments(data, opts, more)
  opts = options.check("evaluate", opts, { steps = "integer", batch_size = "integer",
    verbose = "integer" }, 3)
  local source = feed.source("evaluate", data, y, { batch_size = opts.batch_size }, 2)
  local steps, remark = feed.steps("evaluate", "steps", source, opts.steps, 2)
  if remark then note("evaluate: %s", remark) end
  guards.warn_of_variations("evaluate", source)
  guards.warn_of_shuffled_part("evaluate", source, steps)
  local bar = progress.bar{ total = steps, label = "evaluate", quiet = (opts.verbose or 0) == 0 }
  local ok, totals = pcall(score.with_interrupts, grad.no_grad, score.measure, self, source,
    { steps = steps, pass = 1, bar = bar })
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

-- ---- predict ------------------------------------------------------------------------------------

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

--- The model's output for every sample, in file order: exactly n rows, also when steps asks for a
--- batch too many.
---
--- A source that shuffles is refused: nobody could say which row belongs to which file.
---@param data giemsa.Source|userdata a source, or a tensor (N, ...)
---@param opts {steps: integer?, batch_size: integer?, verbose: integer?, details: boolean?}?
---  details: the second result says for each row its index, file, true and predicted label
---@return userdata predictions (n, ...)
---@return giemsa.Answer[]? answers with details = true
function Model:predict(data, opts)
  opts = options.check("predict", opts, { steps = "integer", batch_size = "integer",
    verbose = "integer", details = "boolean" }, 3)
  if #self.outputs ~= 1 then
    error("predict: the model has several outputs; call model(x), which gives them all", 2)
  end
  local source = feed.source("predict", data, nil, { batch_size = opts.batch_size }, 2)
  if not source.n then error("predict: needs a tensor or a data source, got a function", 2) end
  guards.refuse_shuffle("predict", source, 2)
  guards.warn_of_variations("predict", source)
  local steps = feed.steps("predict", "steps", source, opts.steps, 2)
  local n = math.min(source.n, steps * source.batch_size)
  local bar = progress.bar{ total = steps, label = "predict", quiet = (opts.verbose or 0) == 0 }
  local ok, result = pcall(score.with_interrupts, grad.no_grad, predict_rows, self, source, steps,
    n, bar)
  if not ok then
    bar:abandon()
    pass_on("predict", result)
  end
  if opts.details then return result, answers.of(source, result) end
  return result
end
Model.predict_generator = Model.predict

return score
