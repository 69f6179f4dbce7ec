--- Matrices in colours: heat maps and confusion matrices.
local base = require "giemsa.plot.figure"
local core = require "giemsa.core"
local options = require "giemsa.options"

local plot = {}

local at_caller, known, number = base.at_caller, base.known, base.number

local HEATMAP = known { rows = "table", columns = "table", format = "string|boolean",
  palette = "string", values = "table|tensor" }
local CONFUSION = known { names = "table" }
-- Lightness falls or rises evenly; `dark` says from which share on a label must be white.
local PALETTES = {
  blues = { dark = function(share) return share > 0.55 end,
    "0 '#f7fbff', 0.25 '#c6dbef', 0.5 '#6baed6', 0.75 '#2171b5', 1 '#08306b'" },
  viridis = { dark = function(share) return share < 0.6 end,
    "0 '#440154', 0.25 '#3b528b', 0.5 '#21918c', 0.75 '#5ec962', 1 '#fde725'" },
  diverging = { dark = function(share) return math.abs(share - 0.5) > 0.35 end,
    "0 '#2166ac', 0.25 '#92c5de', 0.5 '#f7f7f7', 0.75 '#f4a582', 1 '#b2182b'" },
}

-- Names, or numbers in round steps, few enough for a small part of a figure.
local function tics(axis, names, count)
  if names then return base.name_tics(axis, names) end
  local step, power = 1, 1
  while count / step > 12 do
    step = step // power == 2 and 5 * power or 2 * step
    if step == 10 * power then power = step end
  end
  return ("set %stics %d,%d,%d scale 0\n"):format(axis, step, step, count)
end

-- All cells as columns x, y, value, and the values' range.
local function cells(who, matrix)
  local x, y, z, low, high = {}, {}, {}, math.huge, -math.huge
  for i, row in ipairs(matrix) do
    if #row ~= #matrix[1] then
      error(("%s: row %d has %d values, row 1 has %d"):format(who, i, #row, #matrix[1]), 0)
    end
    for j, v in ipairs(row) do
      x[#x + 1], y[#y + 1], z[#z + 1] = j, i, v
      if v == v then low, high = math.min(low, v), math.max(high, v) end
    end
  end
  if low > high then error(who .. ": there is no number to draw", 0) end
  return { x, y, z }, low, high > low and high or low + 1
end

local function labels(texts, columns, low, high, palette)
  local large, out = #columns[1] <= 25 and " font ',13'" or "", {}
  for k, text in ipairs(texts) do
    local share = (columns[3][k] - low) / (high - low)
    out[k] = ("set label %s at %d,%d center front%s textcolor rgb '%s'\n"):format(base.quote(text),
      columns[1][k], columns[2][k], large, palette.dark(share) and "#ffffff" or base.ink)
  end
  return table.concat(out)
end

-- o: the options; texts: what is written in the cells, row by row, if anything.
local function heatmap(who, o, matrix, range, texts)
  local columns, low, high = cells(who, matrix)
  if range then low, high = range[1], range[2] end
  if o.palette == "diverging" and low < 0 and high > 0 then -- white is 0
    low, high = math.min(low, -high), math.max(high, -low)
  end
  local choices = { "blues", "viridis", "diverging" }
  local palette = PALETTES[options.one_of(who, "palette", o.palette or "blues", choices, 0)]
  local n, m = #matrix, #matrix[1]
  return base.figure({
    base.frame(who, base.with(o, { legend = false, grid = false, xrange = { 0.5, m + 0.5 } })),
    ("set yrange [%g:0.5]\nset palette defined (%s)\nset cbrange [%s:%s]\n"):format(n + 0.5,
      palette[1], number(low), number(high)),
    tics("x", o.columns, m), tics("y", o.rows, n),
    "unset border\nset size ratio -1\n",
    range and "unset colorbox\n" or "set colorbox noborder\nset format cb '%g'\n",
    texts and labels(texts, columns, low, high, palette) or "",
    base.data("d1", columns), "plot $d1 using 1:2:3 with image notitle\n",
  }, o, who)
end

-- Whole numbers as they are; others with three figures at most of the largest, and the same number
-- of decimals in every cell, so that columns can be compared at a glance.
local function common_format(matrix)
  local largest, whole = 0, true
  for _, row in ipairs(matrix) do
    for _, v in ipairs(row) do
      if math.abs(v) < math.huge then -- not NaN
        largest, whole = math.max(largest, math.abs(v)), whole and v % 1 == 0
      end
    end
  end
  if largest >= 1e6 or largest > 0 and largest < 0.01 then return "%.2g" end
  if whole then return "%.0f" end
  return ("%%.%df"):format(largest < 10 and 2 or largest < 100 and 1 or 0)
end

-- Every value as text, row by row.
local function texts_of(matrix, format)
  local out = {}
  for _, row in ipairs(matrix) do
    for _, v in ipairs(row) do out[#out + 1] = format:format(v) end
  end
  return out
end

local function any_heatmap(spec)
  local o = options.check("heatmap", spec, HEATMAP, 0)
  local values = o.values
  if core.is_tensor(values) then values = values:totable() end
  if type(values) ~= "table" or type(values[1]) ~= "table" then
    error("heatmap: values must be rows of numbers or a 2-d tensor", 0)
  end
  local format = o.format
  if format == nil then format = #values * #values[1] <= 144 and common_format(values) end
  local texts = type(format) == "string" and texts_of(values, format) or nil
  return heatmap("heatmap", o, values, nil, texts)
end

--- A matrix in colours: plot.heatmap{ values = {{...}, ...} }.
---
--- Options: values (rows of numbers, or a tensor of shape (rows, columns)), rows and columns
--- (names), format (of the numbers in the cells, as "%.2f"; when absent and they are few: what fits
--- the largest; false for none),
--- palette = "blues"|"viridis"|"diverging", and the common ones, see plot.lines.
---@param spec table
---@return giemsa.figure
function plot.heatmap(spec) return at_caller(any_heatmap, spec) end

local function confusion(matrix, opts)
  local o = options.check("confusion", opts, CONFUSION, 0)
  if type(matrix) ~= "table" or type(matrix[1]) ~= "table" then
    error("confusion: expected the rows of metrics.confusion_matrix, got " .. type(matrix), 0)
  end
  local names, shares = o.names or (getmetatable(matrix) or {}).names, {}
  for i, row in ipairs(matrix) do
    local total = 0
    for _, v in ipairs(row) do total = total + v end
    shares[i] = {}
    for j, v in ipairs(row) do shares[i][j] = total > 0 and v / total or 0 end
  end
  local look = base.with(o, { rows = names, columns = names, title = o.title or base.say "Confusion matrix",
    xlabel = o.xlabel or base.say "predicted", ylabel = o.ylabel or base.say "true", width = o.width or 480,
    height = o.height or 440 })
  return heatmap("confusion", look, shares, { 0, 1 }, texts_of(matrix, "%d"))
end

--- A confusion matrix: rows are the true classes; the number is the count, the colour its share
--- of the row.
---@param matrix integer[][] of metrics.confusion_matrix
---@param opts? table names (those of the matrix when absent), title, width, height
---@return giemsa.figure
function plot.confusion(matrix, opts) return at_caller(confusion, matrix, opts) end

return plot
