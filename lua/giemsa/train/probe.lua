--- Two short trainings that answer a question and leave no trace: how large a learning rate the net
--- bears (lr_find), and whether it can learn at all (overfit_one). Both return a figure that has
--- the numbers as fields; weights, statistics and the optimiser are afterwards what they were.
local core = require "giemsa.core"
local feed = require "giemsa.train.feed"
local grad = require "giemsa.grad"
local lines = require "giemsa.plot.lines"
local optim = require "giemsa.optim"
local options = require "giemsa.options"
local plan = require "giemsa.nn.plan"
local plot = require "giemsa.plot.figure"
local progress = require "giemsa.progress"
local score = require "giemsa.train.score"
local step = require "giemsa.train.step"

local probe = {}

local finite, say = step.finite, plot.say

-- ---- a training without a trace

-- Runs f with a fresh optimiser of the model's kind; all is put back, whatever happens.
local function without_trace(who, model, f)
  local optimizer, draws, weights = model.optimizer, model.draws, model:get_weights()
  model.optimizer = optim.from_config(optimizer:get_config())
  local results = table.pack(pcall(score.with_interrupts, f))
  model:zero_grad()
  model:set_weights(weights)
  model.optimizer, model.draws = optimizer, draws
  if results[1] then return table.unpack(results, 2, results.n) end
  if score.is_interrupt(results[2]) then error(who .. ": interrupted!", 0) end
  error(results[2], 0)
end

-- A step; its loss without the L2 term, which says nothing about the data.
local function data_step(model, x, y)
  if core.interrupted() then error(plan.INTERRUPTED, 0) end
  if not y then error("the data have no labels", 0) end
  local penalty = grad.no_grad(function()
    local value = model:penalty()
    return core.is_tensor(value) and value:item() or value
  end)
  local loss, metrics = step.run(model, x, y, { poll = true })
  return loss - penalty, metrics
end

-- Batches without an end: pass after pass, each in an order of its own.
local function endless(source)
  local pass, next_batch, closing = 0, function() end, nil
  return function()
    local x, y = next_batch()
    if x then return x, y end
    if closing then closing:close() end
    pass = pass + 1
    next_batch, _, _, closing = source:batches{ epoch = pass, shuffle_batches = true }
    return next_batch()
  end, function() if closing then closing:close() end end
end

local function need_trainable(who, model)
  if type(model) ~= "table" or not model.forward then
    error(("%s: expected a model, got %s"):format(who, type(model)), 0)
  end
  if not model.objective then error(who .. ": compile the model first", 0) end
end

-- ---- lr_find

-- Shares of the points: the width of the bell that smooths, the half width of a slope, the first
-- points, which tell the batches' noise more than anything else.
local BELL, SLOPE, NOISE = 0.03, 0.1, 0.1
local LAG = 0.9      -- of the running mean that sees the loss run away,
local DIVERGED = 1.5 -- times its lowest

-- The mean of the neighbours, weighted by a bell: unlike a running mean it does not lag behind.
local function smoothed(raw, points)
  local width, out = BELL * points, {}
  local reach = math.ceil(3 * width)
  for i = 1, #raw do
    local sum, total = 0, 0
    for k = math.max(1, i - reach), math.min(#raw, i + reach) do
      local weight = math.exp(-0.5 * ((k - i) / width) ^ 2)
      sum, total = sum + weight * raw[k], total + weight
    end
    out[i] = sum / total
  end
  return out
end

-- Least-squares slope of y around i.
local function slope(y, i, reach)
  local from, to = math.max(1, i - reach), math.min(#y, i + reach)
  local n, sx, sy, sxx, sxy = to - from + 1, 0, 0, 0, 0
  for k = from, to do sx, sy, sxx, sxy = sx + k, sy + y[k], sxx + k * k, sxy + k * y[k] end
  return (n * sxy - sx * sy) / (n * sxx - sx * sx)
end

local function place_of_lowest(y)
  local lowest = 1
  for i, v in ipairs(y) do if v < y[lowest] then lowest = i end end
  return lowest
end

-- Where the smoothed loss falls fastest, before its lowest place; nil when it never falls.
local function steepest(y, points)
  local reach, best, place = math.max(2, SLOPE * points // 1 | 0), 0, nil
  for i = (NOISE * points // 1 | 0) + 1, place_of_lowest(y) do
    local s = slope(y, i, reach)
    if s < best then best, place = s, i end
  end
  return place
end

-- Rates and losses, until the loss runs away.
local function sweep(model, next_batch, o)
  local rates, losses, mean, lowest = {}, {}, 0, math.huge
  local bar = progress.bar{ total = o.steps, label = "lr_find", quiet = o.verbose == 0 }
  model.optimizer.decay = 0
  for i = 1, o.steps do
    local rate = o.low * (o.high / o.low) ^ ((i - 1) / (o.steps - 1))
    model.optimizer.lr = rate
    local loss = data_step(model, next_batch())
    if not finite(loss) then break end
    rates[i], losses[i], mean = rate, loss, LAG * mean + (1 - LAG) * loss
    local now = mean / (1 - LAG ^ i)
    lowest = math.min(lowest, now)
    bar:update(i, { { "loss", loss }, ("lr: %.2g"):format(rate) })
    if i > 10 and now > DIVERGED * lowest then break end
  end
  bar:finish()
  return rates, losses
end

local function lr_figure(rates, raw, smooth, place)
  local lowest, first = smooth[place_of_lowest(smooth)], smooth[1]
  local margin = 0.4 * math.max(first - lowest, 0.1 * math.abs(first))
  local bottom, top = lowest - margin, math.max(first, lowest) + 2 * margin
  local suggestion = place and rates[place]
  local says = suggestion and say("learning rate: try %.2g", suggestion)
    or say "the loss never falls: look at the data, the labels, the net"
  local spec = { title = says, log = "x", xlabel = say "learning rate", ylabel = say "loss (without L2)",
    yrange = { bottom, top }, legend = "top left",
    xrange = { rates[1], rates[#rates] },
    { x = rates, y = raw, title = say "each batch", color = "grey", width = 0.8 },
    { x = rates, y = smooth, title = say "smoothed", color = "blue", width = 2.4 } }
  if suggestion then
    spec[3] = { x = { suggestion, suggestion }, y = { bottom, top }, dash = true, width = 1.6,
      color = "vermillion", title = say("falls fastest at %.2g", suggestion) }
  end
  local figure = lines.lines(spec)
  figure.says, figure.suggestion = says, suggestion
  figure.rates, figure.losses, figure.smoothed = rates, raw, smooth
  return figure
end

local FIND = { steps = "integer", low = "number", high = "number", batch_size = "integer",
  verbose = "integer" }

local function lr_find(model, data, opts)
  local o = options.check("lr_find", opts, FIND, 0)
  need_trainable("lr_find", model)
  o = { steps = o.steps or 100, low = o.low or 1e-5, high = o.high or 10, batch_size = o.batch_size,
    verbose = o.verbose or 1 }
  if not (0 < o.low and o.low < o.high) or o.steps < 20 then
    error("lr_find: needs 0 < low < high, and 20 steps at least", 0)
  end
  local source = feed.source("lr_find", data, nil, { batch_size = o.batch_size, shuffle = true }, 0)
  local next_batch, close = endless(source)
  local rates, raw = without_trace("lr_find", model, function()
    return sweep(model, next_batch, o)
  end)
  close()
  if #raw < 5 then
    error("lr_find: the loss is nan or inf from the first batches on: look at the data", 0)
  end
  local smooth = smoothed(raw, o.steps)
  return lr_figure(rates, raw, smooth, steepest(smooth, o.steps))
end

--- Raises the learning rate from batch to batch and watches the loss (Smith 2015): too small and it
--- stands still, too large and it runs away; where it falls fastest is a good first rate. The model
--- is afterwards as it was.
---@param model giemsa.Model compiled
---@param data giemsa.Source|table a generator, or tensors {x, y}
---@param opts? {steps?: integer, low?: number, high?: number, batch_size?: integer,
---  verbose?: integer} steps (100) batches, from the rate low (1e-5) to high (10)
---@return giemsa.figure figure with suggestion (nil when the loss never falls), rates, losses,
---  smoothed
function probe.lr_find(model, data, opts) return plot.at_caller(lr_find, model, data, opts) end

-- ---- overfit_one

local LEARNT, STUCK = 0.1, 0.8 -- of the first loss

local function verdict(losses, accuracy, model, failed_at)
  local first, last = losses[1], losses[#losses]
  local rate = model.optimizer:current_lr()
  if failed_at then
    return false, say("the loss is not a number from step %d on: the learning rate %.2g is too large", failed_at, rate)
  end
  local numbers = say("loss %.3g -> %.3g in %d steps", first, last, #losses)
  if accuracy[1] then numbers = numbers .. say(", accuracy %.2f", accuracy[#accuracy]) end
  if last <= LEARNT * first and (accuracy[#accuracy] or 1) >= 0.999 then
    return true, say("it learns: %s", numbers)
  end
  if last > STUCK * first then
    return false, say("it does not learn: %s; is the rate %.2g too small or too large, "
      .. "are layers frozen, do the labels fit?", numbers, rate)
  end
  return false, say("it learns slowly: %s; more steps, another rate (lr_find), less dropout or L2?", numbers)
end

local function repeat_batch(model, x, y, o)
  local losses, accuracy, which = {}, {}, nil
  for i, metric in ipairs(model.metrics) do
    if metric.name:find("^acc") or metric.name:find("accuracy$") then which = which or i end
  end
  local bar = progress.bar{ total = o.steps, label = "overfit_one", quiet = o.verbose == 0 }
  for i = 1, o.steps do
    local loss, metrics = data_step(model, x, y)
    if not finite(loss) then
      bar:abandon()
      return losses, accuracy, i
    end
    losses[i], accuracy[i] = loss, which and metrics[which] or nil
    bar:update(i, { { "loss", loss } })
    if loss <= 0.01 * losses[1] and (accuracy[i] or 1) >= 0.999 then break end
  end
  bar:finish()
  return losses, accuracy
end

-- The first batch of whatever was given.
local function one_batch(data, y)
  if core.is_tensor(data) and core.is_tensor(y) then return data, y end
  if type(data) == "table" and core.is_tensor(data[1]) then return data[1], data[2] end
  if feed.is_source(data) and data.batch then return data:batch(1) end
  error("overfit_one: expected a batch {x, y} or a generator", 0)
end

-- In lines that a title has room for.
local function broken(text)
  if #text <= 70 then return text end
  return (text:gsub("; ", ";\n", 1):gsub("；", "；\n", 1))
end

local OVERFIT = { steps = "integer", verbose = "integer" }

local function overfit_one(model, data, y, opts)
  if not core.is_tensor(y) then opts = y end
  local o = options.check("overfit_one", opts, OVERFIT, 0)
  need_trainable("overfit_one", model)
  local x, truth = one_batch(data, y)
  o = { steps = o.steps or 100, verbose = o.verbose or 1 }
  local losses, accuracy, failed_at = without_trace("overfit_one", model, function()
    return repeat_batch(model, x, truth, o)
  end)
  local learns, says = verdict(losses, accuracy, model, failed_at)
  if #losses == 0 then error("overfit_one: " .. says, 0) end
  local spec = { title = broken(says), xlabel = say("step, always the same batch of %d", #x),
    ylabel = say(accuracy[1] and "loss, accuracy" or "loss"), yrange = { 0, false }, legend = "above",
    { y = losses, title = say "loss (without L2)", color = "vermillion",
      style = #losses < 4 and "both" or "line" } }
  if accuracy[1] then spec[2] = { y = accuracy, title = say "accuracy", color = "blue" } end
  local figure = lines.lines(spec)
  figure.says, figure.learns, figure.losses, figure.accuracy = says, learns, losses, accuracy
  return figure
end

--- Trains on one batch again and again: a net that cannot learn even that by heart will learn
--- nothing, and something is broken (labels, learning rate, loss, a frozen layer). The model is
--- afterwards as it was.
---@param model giemsa.Model compiled
---@param data giemsa.Source|table a generator (its first batch), {x, y}, or x
---@param y? giemsa.Tensor|table the labels when data is x; else the options
---@param opts? {steps?: integer, verbose?: integer} steps (100) at most
---@return giemsa.figure figure with learns, losses, accuracy; its title is the verdict
function probe.overfit_one(model, data, y, opts)
  return plot.at_caller(overfit_one, model, data, y, opts)
end

return probe
