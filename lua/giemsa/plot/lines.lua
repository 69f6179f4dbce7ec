--- Curves and points, and the two the course needs most: the history of a training, and the ROC.
local base = require "giemsa.plot.figure"
local metrics = require "giemsa.metrics"
local options = require "giemsa.options"

local plot = {}

local at_caller, known, say = base.at_caller, base.known, base.say

-- ---- series

local SERIES = { x = "table|tensor", y = "table|tensor", title = "string", color = "string",
  dash = "boolean", width = "number", size = "number", style = "string", low = "table|tensor",
  high = "table|tensor" }
local STYLES = { "line", "points", "both", "steps" }
local WITH = { line = "lines", points = "points", both = "linespoints", steps = "steps" }
local POINTS = { points = 0.7, both = 0.6 } -- the size of points when a series says none

local function counted(n)
  local x = {}
  for i = 1, n do x[i] = i end
  return x
end

local function series_of(who, given, i, style)
  if base.is_list(given) then given = { y = given } end
  local place = ("%s: series %d"):format(who, i)
  options.check(place, given, SERIES, 0)
  if not given.y then error(place .. " has no y", 0) end
  local s = {
    y = base.list(place, "y", given.y), title = given.title, dash = given.dash,
    width = given.width or 2, size = given.size, color = base.color(place, given.color, i),
    style = options.one_of(place, "style", given.style or style, STYLES, 0),
  }
  s.x = given.x and base.list(place, "x", given.x) or counted(#s.y)
  for _, key in ipairs { "low", "high" } do
    s[key] = given[key] and base.list(place, key, given[key])
  end
  for _, key in ipairs { "x", "low", "high" } do
    if s[key] and #s[key] ~= #s.y then
      error(("%s has %d values of %s for %d of y"):format(place, #s[key], key, #s.y), 0)
    end
  end
  return s
end

-- The commands of one series: the band first, so that the line lies on it.
local function add_commands(commands, s, name)
  if s.low and s.high then
    commands[#commands + 1] = ("$%s using 1:3:4 with filledcurves fillcolor rgb '%s' "
      .. "fillstyle transparent solid 0.18 noborder notitle"):format(name, s.color)
  end
  local line = ""
  if POINTS[s.style] then line = (" pointtype 7 pointsize %g"):format(s.size or POINTS[s.style]) end
  if s.style ~= "points" then
    line = line .. (" linewidth %g%s"):format(s.width, s.dash and " dashtype (6,4)" or "")
  end
  commands[#commands + 1] = ("$%s using 1:2 with %s linecolor rgb '%s'%s %s")
    :format(name, WITH[s.style], s.color, line, base.titled(s.title))
end

local function any_finite(values)
  for _, v in ipairs(values) do
    if v == v and v ~= math.huge and v ~= -math.huge then return true end
  end
  return false
end

-- extra: lines of script after the frame. style: what series have that name none.
local function lines(who, spec, extra, style)
  local o = options.check(who, spec, known {}, 0)
  local parts, commands, finite, named = { "" }, {}, false, false
  for i, given in ipairs(o) do
    local s, name = series_of(who, given, i, style or "line"), "d" .. i
    finite, named = finite or any_finite(s.y), named or s.title ~= nil
    parts[#parts + 1] = base.data(name, { s.x, s.y, s.low, s.high })
    add_commands(commands, s, name)
  end
  if not finite then
    error(who .. ": there is no number to draw (no series, empty, or all NaN)", 0)
  end
  parts[1] = base.frame(who, o) .. (named and "" or "unset key\n") .. (extra or "")
  parts[#parts + 1] = base.plot_command(commands)
  return base.figure(parts, o, who)
end

--- Curves: plot.lines{ {y = losses, title = "loss"}, {x = ..., y = ...}, title = "Loss" }.
---
--- A series is an array or a tensor of numbers, or a table: x (1, 2, ... when absent), y, title,
--- color (a name of plot.colors or "#rrggbb"), dash, width, style = "line"|"points"|"both"|"steps",
--- size (of points, 0.7 when absent), low and high (a shaded band). NaN leaves a gap. Options of
--- all plots: title, xlabel, ylabel, xrange = {low, high} (either may be false), yrange,
--- log = "x"|"y"|"xy", legend = "top right", "bottom left", ..., "above", "outside" or false, grid,
--- width, height (pixels).
---@param spec table
---@return giemsa.figure
function plot.lines(spec) return at_caller(lines, "lines", spec) end

--- Points: as plot.lines, but a series that names no style is drawn as points.
---@param spec table
---@return giemsa.figure
function plot.points(spec) return at_caller(lines, "points", spec, nil, "points") end

-- ---- the history of a training

local CURVES = { -- the course's four, under Keras's old and new names
  { keys = { "loss" }, title = "train_loss", color = "vermillion" },
  { keys = { "val_loss" }, title = "val_loss", color = "orange", dash = true },
  { keys = { "accuracy", "acc" }, title = "train_acc", color = "blue" },
  { keys = { "val_accuracy", "val_acc" }, title = "val_acc", color = "sky", dash = true },
}

-- The largest epoch of any curve; epochs without a value are gaps.
local function last_epoch(values)
  local last = 0
  for i in pairs(values) do last = math.max(last, math.tointeger(i) or 0) end
  return last
end

local function with_gaps(values, epochs)
  local out = {}
  for i = 1, epochs do out[i] = values[i] or 0 / 0 end
  return out
end

local function training(history, opts)
  local o = options.check("training", opts, known {}, 0)
  if type(history) ~= "table" then
    error("training: expected the history that fit returned, got " .. type(history), 0)
  end
  local columns, spec, epochs = history.history or history, {}, 0
  for _, curve in ipairs(CURVES) do
    local values = columns[curve.keys[1]] or columns[curve.keys[2]]
    if values and last_epoch(values) > 0 then
      epochs = math.max(epochs, last_epoch(values))
      spec[#spec + 1] = { y = values, title = say(curve.title), color = curve.color, dash = curve.dash }
    end
  end
  if epochs == 0 then
    error("training: the history has no epochs (no loss, accuracy, val_loss or val_accuracy)", 0)
  end
  for _, series in ipairs(spec) do
    series.y, series.style = with_gaps(series.y, epochs), epochs <= 3 and "both" or "line"
  end
  local margin = epochs > 1 and 0.015 * (epochs - 1) or 0.5
  local defaults = { title = say "Training Loss and Accuracy on Dataset", xlabel = say "Epoch #",
    ylabel = say "Loss/Accuracy", legend = "above", yrange = { 0, false },
    xrange = { 1 - margin, epochs + margin } }
  for key, value in pairs(defaults) do spec[key] = value end
  for key, value in pairs(o) do spec[key] = value end
  return lines("training", spec, epochs <= 12 and "set xtics 1\n" or "")
end

--- The course's picture of a training: loss and accuracy of training and validation by epoch.
---@param history table what fit returned: arrays loss, accuracy, val_loss, val_accuracy (those
--- that are missing are left out)
---@param opts? table title, xlabel, yrange, ... as plot.lines
---@return giemsa.figure
function plot.training(history, opts) return at_caller(training, history, opts) end

-- ---- ROC

local ROC = known { positive = "integer" }

local function roc_series(given, positive)
  if type(given) ~= "table" or not given.y_true or not given.scores then
    error("roc: a curve needs y_true and scores", 0)
  end
  local fpr, tpr = metrics.roc_curve(given.y_true, given.scores, { positive = positive })
  local name = given.title and given.title .. ", " or ""
  return { x = fpr, y = tpr, color = given.color, width = 2.4,
    title = ("%sAUC %.3f"):format(name, metrics.auc(fpr, tpr)) }
end

local function roc(given, opts)
  local o = options.check("roc", opts, ROC, 0)
  local spec = { title = say "ROC curve", xlabel = say "1 - specificity (false positive rate)",
    ylabel = say "sensitivity (true positive rate)", xrange = { -0.01, 1.01 }, yrange = { 0, 1.01 },
    legend = "bottom right", width = 520, height = 520 }
  for key, value in pairs(o) do
    if type(key) == "string" and key ~= "positive" then spec[key] = value end
  end
  for i, curve in ipairs(given) do spec[i] = roc_series(curve, curve.positive or o.positive) end
  if #spec == 0 then error("roc: there is no curve to draw", 0) end
  spec[#spec + 1] = { x = { 0, 1 }, y = { 0, 1 }, dash = true, width = 1.2, color = "grey",
    title = say "guessing" }
  return lines("roc", spec, "set size square\n")
end

--- The ROC curve with its area: plot.roc(y_true, scores, {positive = 1}), or several curves:
--- plot.roc{ {y_true =, scores =, title =}, ... }.
---@param y_true table|giemsa.tensor classes; or the table of curves and options
---@param scores? number[]|giemsa.tensor the probability of the positive class
---@param opts? table positive (1), title, legend, ...
---@return giemsa.figure
function plot.roc(y_true, scores, opts)
  if not scores then return at_caller(roc, y_true, y_true) end
  return at_caller(roc, { { y_true = y_true, scores = scores } }, opts)
end

return plot
