--- Bars, standing or lying, and histograms.
local base = require "giemsa.plot.figure"
local options = require "giemsa.options"

local plot = {}

local at_caller, known, number = base.at_caller, base.known, base.number

-- ---- bars: place i is at i on the axis; the bars of a place share a width of 0.72

local BARS = known { labels = "table", values = "table|tensor", series = "table",
  errors = "table", horizontal = "boolean", stacked = "boolean",
  format = "string|boolean", color = "string" }

local function bar_series(o)
  local series = o.series or { { values = o.values, errors = o.errors, color = o.color } }
  if not o.labels or not series[1] or not series[1].values then
    error("bars: needs labels and values (or series)", 0)
  end
  local out = {}
  for k, s in ipairs(series) do
    local values = base.list("bars", "values", s.values)
    if #values ~= #o.labels then
      error(("bars: %d labels but %d values"):format(#o.labels, #values), 0)
    end
    out[k] = { values = values, errors = s.errors, title = s.title,
      color = base.color("bars", s.color, k) }
    local width = o.stacked and 0.72 or 0.72 / #series
    out[k].width, out[k].offset = width, o.stacked and -0.36 or (k - 1) * width - 0.36
  end
  return out
end

-- Each series begins where those before it end.
local function stack(series)
  local ends = {}
  for _, s in ipairs(series) do
    if s.errors then error("bars: stacked bars have no errors", 0) end
    s.base = {}
    for i, v in ipairs(s.values) do
      if not (v >= 0) then error(("bars: stacked values are >= 0, got %g"):format(v), 0) end
      s.base[i] = ends[i] or 0
      ends[i] = s.base[i] + v
    end
  end
  return { { values = ends, width = series[1].width, offset = series[1].offset } }
end

-- Columns 1-6: x y xlow xhigh ylow yhigh of the box from 0 to the value; 7: the middle of its
-- width; 8, 9: the ends of the error bar.
local function bar_data(name, s, horizontal)
  local columns = {}
  for c = 1, 9 do columns[c] = {} end
  for i, v in ipairs(s.values) do
    local near, far = math.min(0, v), math.max(0, v)
    if s.base then near, far = s.base[i], s.base[i] + v end
    local left, right = i + s.offset, i + s.offset + s.width
    local e = s.errors and s.errors[i] or { v, v }
    local row = horizontal and { far, left, near, far, left, right }
      or { left, far, left, right, near, far }
    row[7], row[8], row[9] = (left + right) / 2, e[1], e[2]
    for c = 1, 9 do columns[c][i] = row[c] end
  end
  return base.data(name, columns)
end

local function add_commands(commands, s, name, horizontal)
  commands[#commands + 1] = ("$%s using 1:2:3:4:5:6 with boxxyerror fillcolor rgb '%s' "
    .. "fillstyle solid 0.9 noborder %s"):format(name, s.color, base.titled(s.title))
  if s.errors then
    commands[#commands + 1] = ("$%s using %s with vectors heads size screen 0.006,90 "
      .. "linecolor rgb '%s' linewidth 1.2 notitle")
      :format(name, horizontal and "8:7:($9-$8):(0)" or "7:8:(0):($9-$8)", base.ink)
  end
end

-- The value stands at the end of its bar, beyond the error bar.
local function value_labels(s, format, horizontal)
  local out = {}
  for i, v in ipairs(s.values) do
    local across, e = number(i + s.offset + s.width / 2), s.errors and s.errors[i] or { v, v }
    local up = v >= 0
    local tip = number(up and math.max(v, e[2]) or math.min(v, e[1]))
    local place
    if horizontal then
      place = ("%s,%s %s offset character %s,0"):format(tip, across,
        up and "left" or "right", up and "0.6" or "-0.6")
    else
      place = ("%s,%s center offset character 0,%s"):format(across, tip, up and "0.6" or "-0.8")
    end
    out[i] = ("set label %s at %s textcolor rgb '%s' front\n")
      :format(base.quote(format:format(v)), place, base.ink)
  end
  return table.concat(out)
end

-- From the lowest to the highest end of a bar, 0 included, with room for the values.
local function extent_line(series, axis, room)
  local low, high = 0, 0
  for _, s in ipairs(series) do
    for i, v in ipairs(s.values) do
      local e = s.errors and s.errors[i] or { v, v }
      low, high = math.min(low, v, e[1]), math.max(high, v, e[2])
    end
  end
  if low == high then high = 1 end
  return ("set %srange [%s:%s]\n"):format(axis, number(low * room), number(high * room))
end

local function bars(spec)
  local o = options.check("bars", spec, BARS, 0)
  local series, horizontal = bar_series(o), o.horizontal
  local whole = o.stacked and stack(series) or series -- what the values at the bars say
  local along, across = horizontal and "x" or "y", horizontal and "y" or "x"
  local legend = o.legend
  if legend == nil then legend = #series > 1 and "above" or false end
  local first, last = 0.4, #o.labels + 0.6
  if horizontal then first, last = last, first end -- the first bar is the uppermost
  local parts, commands = {
    base.frame("bars", base.with(o, { legend = legend })), base.name_tics(across, o.labels),
    ("set grid no%stics %stics\n"):format(across, along),
    ("set %srange [%g:%g]\n"):format(across, first, last),
    o[along .. "range"] and "" or extent_line(whole, along, horizontal and 1.14 or 1.1),
  }, {}
  local format = o.format == nil and "%g" or o.format
  for k, s in ipairs(series) do
    parts[#parts + 1] = bar_data("d" .. k, s, horizontal)
    add_commands(commands, s, "d" .. k, horizontal)
  end
  for _, s in ipairs(type(format) == "string" and whole or {}) do
    parts[#parts + 1] = value_labels(s, format, horizontal)
  end
  parts[#parts + 1] = base.plot_command(commands)
  return base.figure(parts, o, "bars")
end

--- Bars: plot.bars{ labels = {"Africa", ...}, values = {94, ...}, horizontal = true }.
---
--- Several side by side, or with stacked = true one on the other: series = { {title, values,
--- errors?, color?}, ... }. errors is {{low, high}, ...}. format (of string.format, "%g" when
--- absent) writes each value (of stacked bars, the sum) at its bar; false leaves it out. Common
--- options: see plot.lines.
---@param spec table
---@return giemsa.figure
function plot.bars(spec) return at_caller(bars, spec) end

-- ---- histograms

local HISTOGRAM = known { bins = "integer", range = "table", density = "boolean",
  values = "table|tensor" }

local function extent(all)
  local low, high = math.huge, -math.huge
  for _, s in ipairs(all) do
    for _, v in ipairs(s.values) do
      if v == v and v > -math.huge and v < math.huge then
        low, high = math.min(low, v), math.max(high, v)
      end
    end
  end
  if low > high then error("histogram: there is no number to count", 0) end
  if low == high then return low - 0.5, high + 0.5 end
  return low, high
end

-- Middles and heights of the bins; the last bin includes the upper end.
local function binned(values, low, high, bins, density)
  local middles, counts, total = {}, {}, 0
  local width = (high - low) / bins
  for b = 1, bins do middles[b], counts[b] = low + (b - 0.5) * width, 0 end
  for _, v in ipairs(values) do
    if v >= low and v <= high then
      local b = math.min(bins, math.floor((v - low) / width) + 1)
      counts[b], total = counts[b] + 1, total + 1
    end
  end
  if density then
    for b = 1, bins do counts[b] = counts[b] / (math.max(total, 1) * width) end
  end
  return middles, counts
end

local function groups_of(o)
  local groups = {}
  for i, given in ipairs(o.values and { { values = o.values } } or o) do
    if base.is_list(given) then given = { values = given } end
    groups[i] = { values = base.list("histogram", "values", given.values), title = given.title,
      color = base.color("histogram", given.color, i) }
  end
  return groups
end

local function histogram(spec)
  if base.is_list(spec) then spec = { { values = spec } } end
  local o = options.check("histogram", spec, HISTOGRAM, 0)
  local groups, bins = groups_of(o), o.bins or 30
  local low, high = table.unpack(o.range or { extent(groups) })
  if bins < 1 or not (low < high) then
    error("histogram: bins must be 1 or more and range {low, high}", 0)
  end
  local parts, commands, named = { "" }, {}, false
  for i, s in ipairs(groups) do
    parts[#parts + 1] = base.data("d" .. i, { binned(s.values, low, high, bins, o.density) })
    named = named or s.title ~= nil
    local alone = #groups == 1
    commands[i] = ("$d%d using 1:2 with boxes fillcolor rgb '%s' fillstyle transparent solid %g "
      .. "border linecolor rgb '%s' linewidth 0.5 %s"):format(i, s.color, alone and 0.85 or 0.5,
      alone and "#ffffff" or s.color, base.titled(s.title))
  end
  parts[1] = base.frame("histogram", base.with(o, { xrange = o.xrange or { low, high },
    yrange = o.yrange or { 0, false }, ylabel = o.ylabel or base.say(o.density and "density" or "count"),
  })) .. (named and "" or "unset key\n") .. ("set boxwidth %s\n")
    :format(number((high - low) / bins))
  parts[#parts + 1] = base.plot_command(commands)
  return base.figure(parts, o, "histogram")
end

--- How often values fall into equal bins: plot.histogram(values), or several groups:
--- plot.histogram{ {values =, title =}, ..., bins = 30 }.
---
--- Options: bins (30), range = {low, high} (of all values when absent), density (each group's area
--- is 1, for groups of different size).
---@param spec table|giemsa.tensor
---@return giemsa.figure
function plot.histogram(spec) return at_caller(histogram, spec) end

return plot
