--- Pictures of numbers: thin helpers over gnuplot. Every helper returns a figure; a figure is a gnuplot script and a size.
--   plot.training(history):save "out/plot.png"      figure:show()      print(figure:script())
-- The palette is Okabe and Ito's, which colour-blind readers can tell apart; what differs in colour differs in dash as well.
local core = require "giemsa.core"
local gnuplot = require "giemsa.gnuplot"
local metrics = require "giemsa.metrics"
local options = require "giemsa.options"

local plot = {}

local quote, number = gnuplot.quote, gnuplot.number

local COLORS = {
  blue = "#0072b2", vermillion = "#d55e00", green = "#009e73", purple = "#cc79a7", orange = "#e69f00", sky = "#56b4e9",
  grey = "#777777", black = "#222222", red = "#c0392b",
}
local ORDER = { "blue", "vermillion", "green", "purple", "orange", "sky", "grey" }
--- The colours by name, and the order in which series take them.
plot.colors, plot.color_order = COLORS, ORDER

local INK, SOFT, GRID = "#222222", "#555555", "#e4e4e4"

-- ---- figures

---@class giemsa.figure
---@field width integer pixels
---@field height integer pixels
local Figure = {}
Figure.__index = Figure

local function figure(parts, o, kind)
  return setmetatable({ parts = parts, kind = kind, width = o.width or 760, height = o.height or 480 }, Figure)
end

function Figure:__tostring() return ("plot: %s, %d x %d"):format(self.kind, self.width, self.height) end

--- The gnuplot script, to learn from or to go on with by hand.
---@return string
function Figure:script()
  local out = {}
  for i, part in ipairs(self.parts) do out[i] = type(part) == "string" and part or "# (the bytes of the pictures)\n" end
  return table.concat(out)
end

local function drawn(self, format, scale, level)
  local bytes, message = gnuplot.render(self.parts, { format = format, width = self.width, height = self.height, scale = scale })
  if not bytes then error(message, level + 1) end
  return bytes
end

--- The figure as bytes of a file. `scale` makes a PNG finer (2: twice the pixels).
---@param scale? number
---@return string
function Figure:png(scale) return drawn(self, "png", scale, 2) end
---@return string
function Figure:svg() return drawn(self, "svg", nil, 2) end
---@return string
function Figure:pdf() return drawn(self, "pdf", nil, 2) end

--- Writes .png, .svg or .pdf, by the name's ending. Raises when gnuplot or the disk fails.
---@param path string
---@param opts? {scale?: number} scale: finer PNG (2: twice the pixels)
---@return giemsa.figure self
function Figure:save(path, opts)
  local o = options.check("save", opts, { scale = "number" })
  local format = type(path) == "string" and path:lower():match("%.(%w+)$")
  if format ~= "png" and format ~= "svg" and format ~= "pdf" then
    error(("save: a figure is saved as .png, .svg or .pdf; got '%s'"):format(tostring(path)), 2)
  end
  local ok, message = core.write_file(path, drawn(self, format, o.scale, 2))
  if not ok then error("save: " .. message, 2) end
  return self
end

--- Shows it in the terminal where that is possible (see giemsa.show).
---@return giemsa.figure self
function Figure:show()
  require "giemsa.show"(self)
  return self
end

-- ---- what all plots share

local COMMON = { title = "string", xlabel = "string", ylabel = "string", xrange = "table", yrange = "table", log = "string",
  legend = "string|boolean", grid = "boolean", width = "integer", height = "integer" }
local LEGENDS = { "top left", "top right", "bottom left", "bottom right", "top center", "bottom center", "above", "outside" }

local function with_common(own)
  for key, expected in pairs(COMMON) do own[key] = own[key] or expected end
  return own
end

local function color_of(who, value, index)
  value = value or ORDER[(index - 1) % #ORDER + 1]
  local color = COLORS[value] or value:match("^#%x%x%x%x%x%x$")
  if not color then
    local names = {}
    for name in pairs(COLORS) do names[#names + 1] = name end
    table.sort(names)
    error(("%s: color '%s' is neither '#rrggbb' nor one of %s"):format(who, value, table.concat(names, ", ")), 0)
  end
  return color
end

local function range_text(who, key, range)
  if not range then return "[*:*]" end
  local function side(v) return v and number(v) or "*" end
  if range[1] and range[2] and range[1] >= range[2] then
    error(("%s: %s must go from low to high, got {%g, %g}"):format(who, key, range[1], range[2]), 0)
  end
  return ("[%s:%s]"):format(side(range[1]), side(range[2]))
end

local function legend_lines(who, legend)
  if legend == false then return "unset key\n" end
  local place = options.one_of(who, "legend", legend or "top right", LEGENDS, 4)
  if place == "outside" then place = "outside right top" end
  if place == "above" then place = "at graph 0.5,1.02 center bottom horizontal maxrows 1" end
  return ("set key %s Left reverse samplen 2.4 spacing 1.15 opaque fillcolor rgb '#28ffffff' noautotitle textcolor rgb '%s'\n")
    :format(place, INK)
end

-- Axes, grid, titles: the house style. Little ink that is not data.
local function frame(who, o)
  local out = {
    ("set border 3 linecolor rgb '#9a9a9a'\nset tics nomirror out scale 0.5 textcolor rgb '%s'\n"):format(SOFT),
    o.grid == false and "unset grid\n" or ("set grid back linetype 1 linewidth 1 linecolor rgb '%s'\n"):format(GRID),
    "set style fill solid noborder\nset boxwidth 1\nset errorbars small\n",
    legend_lines(who, o.legend),
    ("set xrange %s\nset yrange %s\n"):format(range_text(who, "xrange", o.xrange), range_text(who, "yrange", o.yrange)),
  }
  if o.title then out[#out + 1] = ("set title %s%s font ',13' textcolor rgb '%s'\n")
    :format(quote(o.title), o.legend == "above" and " offset 0,1" or "", INK) end
  if o.legend == "above" then out[#out + 1] = ("set tmargin %g\n"):format(o.title and 5.2 or 3) end
  if o.xlabel then out[#out + 1] = ("set xlabel %s textcolor rgb '%s'\n"):format(quote(o.xlabel), SOFT) end
  if o.ylabel then out[#out + 1] = ("set ylabel %s textcolor rgb '%s'\n"):format(quote(o.ylabel), SOFT) end
  if o.log then out[#out + 1] = ("set logscale %s\n"):format(options.one_of(who, "log", o.log, { "x", "y", "xy" }, 4)) end
  return table.concat(out)
end

-- An array of numbers from an array or a tensor with one row of numbers.
local function list_of(who, what, values)
  if core.is_tensor(values) then return values:reshape(-1):totable() end
  if type(values) ~= "table" then error(("%s: %s must be an array or a tensor, got %s"):format(who, what, type(values)), 0) end
  for i, v in ipairs(values) do
    if type(v) ~= "number" then error(("%s: %s[%d] is a %s, not a number"):format(who, what, i, type(v)), 0) end
  end
  return values
end

-- $name << EOD ... EOD with a row for each i of the columns.
local function data_block(name, columns)
  local rows, n = {}, #columns[1]
  for i = 1, n do
    local row = {}
    for c, column in ipairs(columns) do row[c] = number(column[i]) end
    rows[i] = table.concat(row, " ")
  end
  return ("$%s << EOD\n%s\nEOD\n"):format(name, table.concat(rows, "\n"))
end

local function any_finite(values)
  for _, v in ipairs(values) do
    if v == v and v ~= math.huge and v ~= -math.huge then return true end
  end
  return false
end

-- Helpers raise without a place (level 0); here the place of the lesson's line is put before the message.
local function at_caller(level, f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  error(results[2], level + 1)
end

-- ---- lines and points

local SERIES = { x = "table|tensor", y = "table|tensor", title = "string", color = "string", dash = "boolean", width = "number",
  style = "string", low = "table|tensor", high = "table|tensor", step = "boolean" }
local STYLES = { "line", "points", "both", "steps" }

local function counted(n)
  local x = {}
  for i = 1, n do x[i] = i end
  return x
end

local function series_of(who, given, i)
  if core.is_tensor(given) or type(given) == "table" and type(given[1]) == "number" then given = { y = given } end
  options.check(("%s: series %d"):format(who, i), given, SERIES, 0)
  if not given.y then error(("%s: series %d has no y"):format(who, i), 0) end
  local s = { y = list_of(who, ("y of series %d"):format(i), given.y), title = given.title, dash = given.dash,
    width = given.width or 2, color = color_of(who, given.color, i),
    style = options.one_of(who, "style", given.style or "line", STYLES, 0) }
  s.x = given.x and list_of(who, ("x of series %d"):format(i), given.x) or counted(#s.y)
  for _, key in ipairs { "low", "high" } do
    s[key] = given[key] and list_of(who, ("%s of series %d"):format(key, i), given[key])
  end
  for _, key in ipairs { "x", "low", "high" } do
    if s[key] and #s[key] ~= #s.y then
      error(("%s: series %d has %d values of %s for %d of y"):format(who, i, #s[key], key, #s.y), 0)
    end
  end
  return s
end

local WITH = { line = "lines", points = "points pointtype 7 pointsize 0.7", both = "linespoints pointtype 7 pointsize 0.6", steps = "steps" }

-- The plot commands of one series: the band first, so that the line lies on it.
local function series_commands(s, name)
  local out = {}
  if s.low and s.high then
    out[1] = ("$%s using 1:3:4 with filledcurves fillcolor rgb '%s' fillstyle transparent solid 0.18 noborder notitle")
      :format(name, s.color)
  end
  local dash = s.dash and s.style ~= "points" and " dashtype (6,4)" or ""
  local width = s.style ~= "points" and (" linewidth %g"):format(s.width) or ""
  out[#out + 1] = ("$%s using 1:2 with %s linecolor rgb '%s'%s%s %s"):format(name, WITH[s.style], s.color, width, dash,
    s.title and "title " .. quote(s.title) or "notitle")
  return out
end

local function lines(who, spec, extra)
  local o = options.check(who, spec, with_common {}, 0)
  local all, finite, named = {}, false, false
  for i, given in ipairs(o) do
    all[i] = series_of(who, given, i)
    finite = finite or any_finite(all[i].y)
    named = named or all[i].title ~= nil
  end
  if not finite then error(who .. ": there is no number to draw (no series, empty, or all NaN)", 0) end
  local parts, commands = { frame(who, o), named and "" or "unset key\n", extra or "" }, {}
  for i, s in ipairs(all) do
    local name = "d" .. i
    parts[#parts + 1] = data_block(name, { s.x, s.y, s.low, s.high })
    for _, command in ipairs(series_commands(s, name)) do commands[#commands + 1] = command end
  end
  parts[#parts + 1] = "plot " .. table.concat(commands, ", \\\n     ") .. "\n"
  return figure(parts, o, who)
end

--- Curves: plot.lines{ {y = losses, title = "loss"}, {x = ..., y = ..., style = "points"}, title = "...", xlabel = "..." }.
---
--- A series is an array or tensor of numbers, or {x?, y, title?, color?, dash?, width?, style?: "line"|"points"|"both"|"steps",
--- low?, high? (a shaded band)}. NaN leaves a gap. Common to all plots: title, xlabel, ylabel, xrange = {low, high} (either may
--- be false), yrange, log = "x"|"y"|"xy", legend = "top right"|...|"outside"|false, grid, width, height (pixels).
---@param spec table
---@return giemsa.figure
function plot.lines(spec) return at_caller(2, lines, "lines", spec) end

--- Points: as plot.lines, every series drawn as points unless it says otherwise.
---@param spec table
---@return giemsa.figure
function plot.points(spec)
  return at_caller(2, function()
    local copy = {}
    for k, v in pairs(options.check("points", spec, with_common {}, 0)) do
      local is_list = core.is_tensor(v) or type(v) == "table" and type(v[1]) == "number"
      if math.type(k) ~= "integer" then copy[k] = v
      else
        copy[k] = is_list and { y = v } or setmetatable({}, { __index = v })
        if not is_list and type(v) == "table" then for key, value in pairs(v) do copy[k][key] = value end end
        copy[k].style = copy[k].style or "points"
      end
    end
    return lines("points", copy)
  end)
end

local CURVES = { -- the course's four, under Keras's old and new names
  { keys = { "loss" }, title = "train_loss", color = "vermillion" },
  { keys = { "val_loss" }, title = "val_loss", color = "orange", dash = true },
  { keys = { "accuracy", "acc" }, title = "train_acc", color = "blue" },
  { keys = { "val_accuracy", "val_acc" }, title = "val_acc", color = "sky", dash = true },
}

local function training(history, opts)
  local o = options.check("training", opts, with_common {}, 0)
  if type(history) ~= "table" then error("training: expected the history that fit returned, got " .. type(history), 0) end
  local columns = history.history or history
  local spec = { title = "Training Loss and Accuracy on Dataset", xlabel = "Epoch #", ylabel = "Loss/Accuracy", legend = "bottom left" }
  for k, v in pairs(o) do spec[k] = v end
  local epochs = 0
  for _, curve in ipairs(CURVES) do
    for _, key in ipairs(curve.keys) do
      local values = columns[key]
      if values and #values > 0 then
        epochs = math.max(epochs, #values)
        spec[#spec + 1] = { y = values, title = curve.title, color = curve.color, dash = curve.dash,
          style = #values <= 3 and "both" or "line" }
      end
    end
  end
  if epochs == 0 then error("training: the history has no epochs (no loss, accuracy, val_loss or val_accuracy)", 0) end
  local margin = epochs > 1 and 0.015 * (epochs - 1) or 0.5
  spec.yrange = spec.yrange or { 0, false }
  spec.xrange = spec.xrange or { 1 - margin, epochs + margin }
  return lines("training", spec, epochs <= 12 and "set xtics 1\n" or "")
end

--- The course's picture of a training: loss and accuracy of the training and the validation data by epoch.
---@param history table what fit returned (arrays loss, accuracy, val_loss, val_accuracy; missing ones are left out)
---@param opts? table title, xlabel, yrange, ... as plot.lines
---@return giemsa.figure
function plot.training(history, opts) return at_caller(2, training, history, opts) end

-- ---- bars and histograms

local BARS = with_common { labels = "table", values = "table|tensor", series = "table", errors = "table", horizontal = "boolean",
  format = "string|boolean", color = "string" }

local function bar_series(o)
  local series = o.series or { { values = o.values, errors = o.errors, color = o.color } }
  if not o.labels or not series[1] or not series[1].values then error("bars: needs labels and values (or series)", 0) end
  local out = {}
  for k, s in ipairs(series) do
    out[k] = { values = list_of("bars", "values", s.values), errors = s.errors, title = s.title, color = color_of("bars", s.color, k) }
    if #out[k].values ~= #o.labels then
      error(("bars: %d labels but %d values"):format(#o.labels, #out[k].values), 0)
    end
  end
  return out
end

-- Columns of boxxyerror (x y xlow xhigh ylow yhigh) for bars from 0 to a value, standing or lying.
local function bar_block(name, s, k, count, horizontal)
  local columns = { {}, {}, {}, {}, {}, {} }
  local width = 0.72 / count
  for i, v in ipairs(s.values) do
    local low = i - 0.36 + (k - 1) * width
    local error_of = s.errors and s.errors[i]
    local along = { v, math.min(0, v), math.max(0, v), error_of and error_of[1] or v, error_of and error_of[2] or v }
    local across = { low + width / 2, low, low + width }
    local row = horizontal and { along[3], across[1], along[2], along[3], across[2], across[3] }
      or { across[1], along[3], across[2], across[3], along[2], along[3] }
    for c = 1, 6 do columns[c][i] = row[c] end
    for c, extra in ipairs { v, along[4], along[5], across[1] } do
      columns[6 + c] = columns[6 + c] or {}
      columns[6 + c][i] = extra
    end
  end
  return data_block(name, columns)
end

local function bar_commands(s, name, horizontal)
  local out = { ("$%s using 1:2:3:4:5:6 with boxxyerror fillcolor rgb '%s' fillstyle solid 0.9 noborder %s")
    :format(name, s.color, s.title and "title " .. quote(s.title) or "notitle") }
  if s.errors then
    out[2] = ("$%s using %s with vectors heads size screen 0.006,90 linecolor rgb '%s' linewidth 1.2 notitle")
      :format(name, horizontal and "8:10:($9-$8):(0)" or "10:8:(0):($9-$8)", INK)
  end
  return out
end

-- The value stands at the end of its bar, beyond the error bar.
local function value_labels(s, k, count, format, horizontal)
  local out = {}
  for i, v in ipairs(s.values) do
    local across = i - 0.36 + (k - 0.5) * 0.72 / count
    local e = s.errors and s.errors[i]
    local tip = v >= 0 and math.max(v, e and e[2] or v) or math.min(v, e and e[1] or v)
    local place = horizontal and ("%s,%s %s offset character %s,0"):format(number(tip), number(across), v >= 0 and "left" or "right", v >= 0 and "0.6" or "-0.6")
      or ("%s,%s center offset character 0,%s"):format(number(across), number(tip), v >= 0 and "0.6" or "-0.8")
    out[i] = ("set label %s at %s textcolor rgb '%s' front\n"):format(quote(format:format(v)), place, INK)
  end
  return table.concat(out)
end

-- From the lowest to the highest end of a bar, 0 included, with room for the values.
local function bar_extent(series, room)
  local low, high = 0, 0
  for _, s in ipairs(series) do
    for i, v in ipairs(s.values) do
      local e = s.errors and s.errors[i] or { v, v }
      low, high = math.min(low, v, e[1]), math.max(high, v, e[2])
    end
  end
  if low == high then high = 1 end
  return number(low * room), number(high * room)
end

local function bars(spec)
  local o = options.check("bars", spec, BARS, 0)
  local series, horizontal = bar_series(o), o.horizontal
  local tics = {}
  for i, label in ipairs(o.labels) do tics[i] = quote(label) .. " " .. i end
  local lengthwise, crosswise = horizontal and "x" or "y", horizontal and "y" or "x"
  local copy = setmetatable({ legend = o.legend == nil and (#series > 1 and "above") or o.legend or false }, { __index = o })
  local parts = { frame("bars", copy),
    ("set %stics (%s) scale 0\n"):format(crosswise, table.concat(tics, ", ")),
    ("set grid no%stics %stics\n"):format(crosswise, lengthwise),
    ("set %srange [%s]\n"):format(crosswise, horizontal and ("%g:0.4"):format(#o.labels + 0.6) or ("0.4:%g"):format(#o.labels + 0.6)) }
  if not o[lengthwise .. "range"] then
    parts[#parts + 1] = ("set %srange [%s:%s]\n"):format(lengthwise, bar_extent(series, horizontal and 1.14 or 1.1))
  end
  local commands = {}
  for k, s in ipairs(series) do
    local name = "d" .. k
    parts[#parts + 1] = bar_block(name, s, k, #series, horizontal)
    if o.format ~= false then
      parts[#parts + 1] = value_labels(s, k, #series, type(o.format) == "string" and o.format or "%g", horizontal)
    end
    for _, command in ipairs(bar_commands(s, name, horizontal)) do commands[#commands + 1] = command end
  end
  parts[#parts + 1] = "plot " .. table.concat(commands, ", \\\n     ") .. "\n"
  return figure(parts, o, "bars")
end

--- Bars: plot.bars{ labels = {"Africa", ...}, values = {94, ...}, horizontal = true, format = "%g %%" }.
---
--- Several side by side: series = { {title, values, errors?, color?}, ... }. `errors` is {{low, high}, ...}. `format` (of
--- string.format) writes each value at its bar, false leaves it out.
---@param spec table
---@return giemsa.figure
function plot.bars(spec) return at_caller(2, bars, spec) end

local HISTOGRAM = with_common { bins = "integer", range = "table", density = "boolean", values = "table|tensor" }

local function extent(all)
  local low, high = math.huge, -math.huge
  for _, s in ipairs(all) do
    for _, v in ipairs(s.values) do
      if v == v and v > -math.huge and v < math.huge then low, high = math.min(low, v), math.max(high, v) end
    end
  end
  if low > high then error("histogram: there is no number to count", 0) end
  if low == high then return low - 0.5, high + 0.5 end
  return low, high
end

-- Counts per bin; the last bin includes the upper end.
local function binned(values, low, high, bins)
  local counts, total = {}, 0
  for b = 1, bins do counts[b] = 0 end
  for _, v in ipairs(values) do
    if v >= low and v <= high then
      local b = math.min(bins, (v - low) / (high - low) * bins // 1 + 1)
      counts[math.tointeger(b)] = counts[math.tointeger(b)] + 1
      total = total + 1
    end
  end
  return counts, total
end

local function histogram(spec)
  if core.is_tensor(spec) or type(spec) == "table" and type(spec[1]) == "number" then spec = { { values = spec } } end
  local o = options.check("histogram", spec, HISTOGRAM, 0)
  local all = {}
  for i, given in ipairs(o.values and { { values = o.values } } or o) do
    if core.is_tensor(given) or type(given[1]) == "number" then given = { values = given } end
    all[i] = { values = list_of("histogram", "values", given.values), title = given.title, color = color_of("histogram", given.color, i) }
  end
  local low, high
  if o.range then low, high = o.range[1], o.range[2] else low, high = extent(all) end
  local bins, commands = o.bins or 30, {}
  if bins < 1 or not (low < high) then error("histogram: bins must be 1 or more and range {low, high}", 0) end
  local copy = setmetatable({ xrange = o.xrange or { low, high }, yrange = o.yrange or { 0, false },
    ylabel = o.ylabel or (o.density and "density" or "count") }, { __index = o })
  local named, parts, width = false, { frame("histogram", copy) }, (high - low) / bins
  for i, s in ipairs(all) do
    local counts, total = binned(s.values, low, high, bins)
    local left, heights = {}, {}
    for b = 1, bins do
      left[b] = low + (b - 0.5) * width
      heights[b] = o.density and counts[b] / (math.max(total, 1) * width) or counts[b]
    end
    parts[#parts + 1] = data_block("d" .. i, { left, heights })
    named = named or s.title ~= nil
    commands[i] = ("$d%d using 1:2 with boxes fillcolor rgb '%s' fillstyle transparent solid %g border linecolor rgb '%s' linewidth 0.5 %s")
      :format(i, s.color, #all > 1 and 0.5 or 0.85, #all > 1 and s.color or "#ffffff", s.title and "title " .. quote(s.title) or "notitle")
  end
  parts[#parts + 1] = ("set boxwidth %s\n%splot "):format(number(width), named and "" or "unset key\n") .. table.concat(commands, ", \\\n     ") .. "\n"
  return figure(parts, o, "histogram")
end

--- How often values fall into equal bins: plot.histogram(values) or plot.histogram{ {values =, title =}, ..., bins = 30 }.
---
--- Options: bins (30), range = {low, high} (all values), density (area 1, for groups of different size).
---@param spec table|giemsa.tensor
---@return giemsa.figure
function plot.histogram(spec) return at_caller(2, histogram, spec) end

-- ---- ROC, confusion, heat maps

local ROC = with_common { positive = "integer" }

local function roc(spec)
  local o = options.check("roc", spec, ROC, 0)
  local curves = { title = o.title or "ROC curve", xlabel = o.xlabel or "1 - specificity (false positive rate)",
    ylabel = o.ylabel or "sensitivity (true positive rate)", xrange = o.xrange or { -0.01, 1.01 }, yrange = o.yrange or { 0, 1.01 },
    legend = o.legend == nil and "bottom right" or o.legend, width = o.width or 520, height = o.height or 520, grid = o.grid }
  for i, given in ipairs(o) do
    local fpr, tpr = metrics.roc_curve(given.y_true, given.scores, { positive = given.positive or o.positive })
    local label = ("%sAUC %.3f"):format(given.title and given.title .. ", " or "", metrics.auc(fpr, tpr))
    curves[i] = { x = fpr, y = tpr, title = label, color = given.color, width = 2.4 }
  end
  if #curves == 0 then error("roc: nothing to draw", 0) end
  curves[#curves + 1] = { x = { 0, 1 }, y = { 0, 1 }, dash = true, width = 1.2, color = "grey", title = "guessing" }
  return lines("roc", curves, "set size square\n")
end

--- The ROC curve with its area: plot.roc(y_true, scores, {positive = 1}) or plot.roc{ {y_true =, scores =, title =}, ... }.
---@param y_true table|giemsa.tensor classes, or the table of curves and options
---@param scores? number[]|giemsa.tensor the probability of the positive class
---@param opts? table positive (1), title, legend, ...
---@return giemsa.figure
function plot.roc(y_true, scores, opts)
  return at_caller(2, function()
    if not scores then return roc(y_true) end
    local spec = { { y_true = y_true, scores = scores } }
    for k, v in pairs(options.check("roc", opts, ROC, 0)) do spec[k] = v end
    return roc(spec)
  end)
end

local HEATMAP = with_common { rows = "table", columns = "table", format = "string|boolean", palette = "string", values = "table|tensor" }
local PALETTES = { -- light to dark, lightness falling evenly
  blues = "0 '#f7fbff', 0.25 '#c6dbef', 0.5 '#6baed6', 0.75 '#2171b5', 1 '#08306b'",
  viridis = "0 '#440154', 0.25 '#3b528b', 0.5 '#21918c', 0.75 '#5ec962', 1 '#fde725'",
  diverging = "0 '#2166ac', 0.25 '#92c5de', 0.5 '#f7f7f7', 0.75 '#f4a582', 1 '#b2182b'",
}

local function axis_tics(axis, names, count)
  if not names then return ("set %stics 1,1,%d scale 0\n"):format(axis, count) end
  local out = {}
  for i, name in ipairs(names) do out[i] = quote(name) .. " " .. i end
  return ("set %stics (%s) scale 0\n"):format(axis, table.concat(out, ", "))
end

-- A label's colour must stand out from its cell: dark on the light half of the palette, white on the dark half.
local function cell_labels(matrix, low, high, format, shade)
  local large = #matrix * #matrix[1] <= 25
  local out = {}
  for i, row in ipairs(matrix) do
    for j, v in ipairs(row) do
      local level = high > low and ((shade and shade[i][j] or v) - low) / (high - low) or 0
      out[#out + 1] = ("set label %s at %d,%d center front%s textcolor rgb '%s'\n")
        :format(quote(format:format(v)), j, i, large and " font ',13'" or "", level > 0.55 and "#ffffff" or INK)
    end
  end
  return table.concat(out)
end

-- shade: the numbers behind the colours when they are not those written in the cells.
local function heatmap(who, o, matrix, shade)
  local rows, columns, x, y, z = #matrix, #matrix[1], {}, {}, {}
  local low, high = math.huge, -math.huge
  for i, row in ipairs(matrix) do
    if #row ~= columns then error(("%s: row %d has %d values, row 1 has %d"):format(who, i, #row, columns), 0) end
    for j = 1, columns do
      local v = (shade or matrix)[i][j]
      x[#x + 1], y[#y + 1], z[#z + 1] = j, i, v
      low, high = math.min(low, v), math.max(high, v)
    end
  end
  if shade then low, high = 0, 1 end
  local palette = PALETTES[options.one_of(who, "palette", o.palette or "blues", { "blues", "viridis", "diverging" }, 0)]
  local format = o.format == nil and rows * columns <= 144 and "%g" or o.format
  local copy = setmetatable({ legend = false, grid = false, xrange = { 0.5, columns + 0.5 } }, { __index = o })
  local parts = { frame(who, copy),
    ("set yrange [%g:0.5]\nset palette defined (%s)\nset cbrange [%s:%s]\n"):format(rows + 0.5, palette, number(low), number(high > low and high or low + 1)),
    axis_tics("x", o.columns, columns), axis_tics("y", o.rows, rows), "unset border\nset size ratio -1\n",
    shade and "unset colorbox\n" or "set colorbox noborder\n",
    type(format) == "string" and cell_labels(matrix, low, high, format, shade) or "",
    data_block("d1", { x, y, z }), "plot $d1 using 1:2:3 with image notitle\n" }
  return figure(parts, o, who)
end

--- A matrix in colours: plot.heatmap{ values = {{...}, ...}, rows = {names}, columns = {names}, format = "%.2f" | false,
--- palette = "blues"|"viridis"|"diverging" }. values may be a tensor of shape (rows, columns).
---@param spec table
---@return giemsa.figure
function plot.heatmap(spec)
  return at_caller(2, function()
    local o = options.check("heatmap", spec, HEATMAP, 0)
    local values = o.values
    if core.is_tensor(values) then values = values:totable() end
    if not values or type(values[1]) ~= "table" then error("heatmap: values must be rows of numbers or a 2-d tensor", 0) end
    return heatmap("heatmap", o, values)
  end)
end

--- A confusion matrix: rows are the true classes; the colour is the share of the row, the number the count.
---@param matrix integer[][] of metrics.confusion_matrix
---@param opts? table names (class names; those of the matrix when absent), title, width, height
---@return giemsa.figure
function plot.confusion(matrix, opts)
  return at_caller(2, function()
    local o = options.check("confusion", opts, with_common { names = "table" }, 0)
    local names = o.names or (getmetatable(matrix) or {}).names
    local shade = {}
    for i, row in ipairs(matrix) do
      local total = 0
      for _, v in ipairs(row) do total = total + v end
      shade[i] = {}
      for j, v in ipairs(row) do shade[i][j] = total > 0 and v / total or 0 end
    end
    local spec = setmetatable({ rows = names, columns = names, format = "%d", xlabel = o.xlabel or "predicted",
      ylabel = o.ylabel or "true", title = o.title or "Confusion matrix", width = o.width or 480, height = o.height or 440 }, { __index = o })
    return heatmap("confusion", spec, matrix, shade)
  end)
end

-- ---- several figures, raw scripts

--- Figures side by side in one: plot.figure{ a, b, c, columns = 2, title = "..." }.
---@param spec table figures; columns (as square as possible), title, width, height
---@return giemsa.figure
function plot.figure(spec)
  local o = options.check("figure", spec, { columns = "integer", title = "string", width = "integer", height = "integer" })
  if #o == 0 then error("figure: needs at least one figure", 2) end
  local columns = math.min(#o, o.columns or math.ceil(math.sqrt(#o)))
  local rows, widest, highest = math.ceil(#o / columns), 0, 0
  for i, part in ipairs(o) do
    if getmetatable(part) ~= Figure then error(("figure: part %d is not a figure (got %s)"):format(i, type(part)), 2) end
    widest, highest = math.max(widest, part.width), math.max(highest, part.height)
  end
  local parts = { ("set multiplot layout %d,%d%s\n"):format(rows, columns,
    o.title and (" title %s font ',14' textcolor rgb '%s'"):format(quote(o.title), INK) or "") }
  for _, part in ipairs(o) do
    parts[#parts + 1] = "reset\n"
    for _, piece in ipairs(part.parts) do parts[#parts + 1] = piece end
  end
  parts[#parts + 1] = "unset multiplot\n"
  return figure(parts, { width = o.width or math.min(1600, columns * widest * 3 // 4),
    height = o.height or math.min(1600, rows * highest * 3 // 4 + (o.title and 30 or 0)) }, "figure")
end

--- gnuplot as it is: the script draws (no `set terminal`, no `set output`); width, height in pixels.
---@param script string
---@param opts? {width?: integer, height?: integer}
---@return giemsa.figure
function plot.raw(script, opts)
  local o = options.check("raw", opts, { width = "integer", height = "integer" })
  if type(script) ~= "string" then error("raw: expected a gnuplot script, got " .. type(script), 2) end
  return figure({ script, "\n" }, o, "raw")
end

return plot
