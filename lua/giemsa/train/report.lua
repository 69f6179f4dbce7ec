--- What fit shows while it works: a line an epoch and, at a terminal, below it the loss so far as a
--- curve that grows. Pages and notebooks get the curve as one figure, updated in place.
local base = require "giemsa.plot.figure"
local braille = require "giemsa.plot.braille"
local core = require "giemsa.core"
local display = require "giemsa.display"
local lines = require "giemsa.plot.lines"
local progress = require "giemsa.progress"
local score = require "giemsa.train.score"
local show = require "giemsa.show"

local report = {}

local ROWS, WIDEST, NARROWEST, LOWEST = 6, 60, 24, 14 -- of the curve; of a terminal that has room
local CURVES = { { "loss", "31" }, { "val_loss", "36" } }

local function lr_text(model) return ("lr: %.4g"):format(model.optimizer:current_lr()) end

-- ---- the curve

-- Epochs done so far, in this call's history.
local function done(run) return #run.history.epoch end

-- The points of a curve; of the loss also that of the epoch under way, once it means something.
local function points(run, name)
  local x, y = {}, {}
  for i = 1, done(run) do x[i], y[i] = run.initial_epoch + i, run.history[name][i] end
  local is_under_way = run.bar and not run.bar.closed and run.steps
  if name == "loss" and is_under_way and run.step >= math.max(1, run.steps / 5) then
    x[#x + 1] = run.initial_epoch + done(run) + run.step / run.steps
    y[#x] = run.totals.loss / run.totals.n
  end
  return x, y
end

-- "● loss  ● val_loss, best 0.3241 in epoch 12  about 1:40 left"
local function legend(run)
  local parts = {}
  for _, curve in ipairs(CURVES) do
    if run.history[curve[1]] or curve[1] == "loss" then
      parts[#parts + 1] = ("\27[%sm●\27[0m %s"):format(curve[2], curve[1])
    end
  end
  local text = table.concat(parts, "  ")
  if run.best_epoch then
    text = ("%s, best %.4g in epoch %d"):format(text, run.best, run.best_epoch)
  end
  local left = run.epochs - run.initial_epoch - done(run)
  if run.seconds and left > 0 and run.bar and not run.bar.closed then
    text = ("%s  about %s left"):format(text, progress.time_text(run.seconds * left))
  end
  return text
end

-- The curve as text for the terminal; nil where there is no room for it, or nothing to see.
local function curve_text(run)
  local columns = display.columns()
  local _, rows = core.terminal_size()
  if not columns or not run.has_curve or columns < NARROWEST + 12 or (rows or 24) < LOWEST then
    return nil
  end
  local series = {}
  for _, curve in ipairs(CURVES) do
    if curve[1] == "loss" or run.history[curve[1]] then
      local x, y = points(run, curve[1])
      series[#series + 1] = { x = x, y = y, color = curve[2] }
    end
  end
  local text = braille.curves(series, { columns = math.min(columns - 12, WIDEST), rows = ROWS,
    low = run.initial_epoch + 1 - (done(run) < 2 and 1 or 0), high = run.epochs, colour = true })
  if not text then return nil end
  return text .. "\n" .. (" "):rep(9) .. legend(run)
end

-- The figure for sinks that show pictures; drawn only where one asks for it.
local function update_figure(run)
  if not run.figure or done(run) == 0 then return end
  run.figure:update{ svg = lines.training(run.history, { title = base.say "Training so far" }), live = true }
end

-- ---- the lines

--- Before the first epoch.
---@param run table
function report.begin(run)
  run.has_curve = run.verbose == 1 and run.epochs - run.initial_epoch > 1 and show.speaks_utf8()
  if run.has_curve then run.figure = display{ live = true } end -- its place is above the lines
end

--- A new epoch: its bar.
---@param run table
---@param epoch integer
function report.epoch(run, epoch)
  run.epoch_started = core.now()
  run.bar = progress.bar{ total = run.steps, label = ("Epoch %d/%d"):format(epoch, run.epochs),
    quiet = run.verbose == 0, plain = run.verbose == 2, after = run.bar,
    below = function() return curve_text(run) end }
end

--- A step is done.
---@param run table
---@param means table<string, number>
function report.step(run, means)
  run.bar:update(run.step, score.shown(means, run.rate, lr_text(run.model)))
end

-- "best" when this epoch's val_loss is the lowest so far.
local function best_mark(run, epoch, logs)
  if not logs.val_loss or logs.val_loss >= (run.best or math.huge) then return end
  run.best, run.best_epoch = logs.val_loss, epoch
  return "best"
end

--- An epoch is done: its line stays.
---@param run table
---@param epoch integer
---@param logs table<string, number>
function report.finish(run, epoch, logs)
  run.seconds = core.now() - run.epoch_started
  run.bar:finish(score.shown(logs, run.rate, lr_text(run.model), best_mark(run, epoch, logs)))
end

--- An epoch is in the history.
---@param run table
function report.remembered(run) update_figure(run) end

--- The training is over, or was interrupted: the curve stays.
---@param run table
function report.close(run)
  if run.bar then run.bar:abandon() end
  if not run.figure then return end
  run.figure:close{ svg = done(run) > 0 and lines.training(run.history) or nil,
    ansi = curve_text(run), live = true }
end

return report
