--- compile, and one training step: the five lines that fit is made of.
--
--   output = model:forward(x);  loss = objective(y, output) + penalty
--   loss:backward();  optimizer:step();  zero_grad()
local grad = require "giemsa.grad"
local Model = require "giemsa.nn.model"
local objective = require "giemsa.train.objective"
local ops = require "giemsa.ops"
local optim = require "giemsa.optim"
local options = require "giemsa.options"
local plan = require "giemsa.nn.plan"

local step = {}

--- Whether a number is neither nan nor infinite.
function step.finite(x) return x == x and x ~= math.huge and x ~= -math.huge end

-- ---- compile ------------------------------------------------------------------------------------

--- Chooses loss, optimiser and metrics. With a softmax or sigmoid at the end and a cross-entropy,
--- the loss is worked out from the logits (see train/objective.lua).
---@param opts {loss: string|function, optimizer: string|giemsa.Optimizer?, metrics: table?} loss:
---  binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy, mse, dice or a
---  function (y_true, y_pred) -> scalar tensor; optimizer: a name or an object, default "rmsprop"
---  as in Keras; metrics: {"accuracy"}, {name = function(y_true, y_pred) -> number}
---@return giemsa.Model self
function Model:compile(opts)
  opts = options.check("compile", opts, { loss = "string|function", optimizer = "string|table",
    metrics = "table" }, 3)
  if not opts.loss then
    error("compile: give a loss, for example loss = \"categorical_crossentropy\"", 2)
  end
  if #self.outputs ~= 1 then
    error(("compile: the model has %d outputs; training needs one (join them, or write the five "
      .. "lines of train.step yourself)"):format(#self.outputs), 2)
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

--- Raises, at the caller that `level` says, unless the model was compiled.
function step.need_compiled(model, who, level)
  if not model.objective then
    error(("%s: compile the model first: "
      .. "model:compile{loss = ..., optimizer = ..., metrics = {\"accuracy\"}}"):format(who),
      level + 1)
  end
end

-- ---- one step -----------------------------------------------------------------------------------

-- The metrics of a batch, in the order of model.metrics.
function step.metric_values(model, own, y, output)
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

-- Of a step that was broken off: no gradients that the next one would add to.
local function forget_gradients(model)
  return setmetatable({}, { __close = function(_, problem)
    if problem then model:zero_grad() end
  end })
end

--- One update of the model from one batch. Returns loss (with L2) and metrics as they were before
--- the update. When the loss is not finite nothing is changed.
---@param model giemsa.Model compiled
---@param x userdata (N, ...)
---@param y userdata labels
---@param opts {objective: giemsa.Objective?, poll: boolean?}? what fit passes: another objective,
---  whether Ctrl-C counts
---@return number loss
---@return number[] metrics in the order of compile's
function step.run(model, x, y, opts)
  step.need_compiled(model, "train.step", 2)
  local own, optimizer = opts and opts.objective or model.objective, model.optimizer
  model.draws = optimizer.iterations
  local _ <close> = forget_gradients(model)
  local how = { training = true, logits = own.on_logits, poll = opts and opts.poll }

  local output = model:forward(x, how)                 -- 1
  local loss = own.value(y, output) + model:penalty()  -- 2
  local value, metrics = loss:item(), step.metric_values(model, own, y, output)
  if not step.finite(value) then return value, metrics end
  loss:backward{ free = true, poll = how.poll and plan.poll or nil } -- 3
  optimizer:step(model:trainable())                    -- 4
  model:zero_grad()                                    -- 5
  return value, metrics
end

--- Keras's name for a step by hand.
---@return number loss, number ... metrics
function Model:train_on_batch(x, y)
  step.need_compiled(self, "train_on_batch", 2)
  local loss, metrics = step.run(self, x, y)
  return loss, table.unpack(metrics)
end

-- ---- sums over batches --------------------------------------------------------------------------

function step.new_totals() return { n = 0, loss = 0 } end

function step.add_batch(totals, n, loss, metrics)
  totals.n, totals.loss = totals.n + n, totals.loss + n * loss
  for i, value in ipairs(metrics) do totals[i] = (totals[i] or 0) + n * value end
end

-- name -> mean over the samples so far
function step.means(model, totals, prefix)
  local logs = { [prefix .. "loss"] = totals.loss / totals.n }
  for i, metric in ipairs(model.metrics) do logs[prefix .. metric.name] = totals[i] / totals.n end
  return logs
end

return step
