--- What all plots share: the figure (a gnuplot script and a size), the house style, and the small
-- pieces scripts are made of. Helpers here raise plain messages (level 0); plot.at_caller puts the
-- lesson's line before them.
local core = require "giemsa.core"
local gnuplot = require "giemsa.gnuplot"
local options = require "giemsa.options"
local words = require "giemsa.words"

local quote, number = gnuplot.quote, gnuplot.number

local base = { quote = quote, number = number }

-- Okabe and Ito's palette, which colour-blind readers can tell apart, and a few plain ones.
local COLORS = {
  blue = "#0072b2", vermillion = "#d55e00", green = "#009e73", purple = "#cc79a7",
  orange = "#e69f00", sky = "#56b4e9", grey = "#777777", black = "#222222", red = "#c0392b",
}
local ORDER = { "blue", "vermillion", "green", "purple", "orange", "sky", "grey" }
-- Of classes, by their numbers, wherever they are drawn: the first of the course's is the infected one.
local CLASSES = { "vermillion", "blue", "green", "purple", "orange", "sky", "grey" }
local INK, SOFT, GRID = "#222222", "#555555", "#e4e4e4"
base.colors, base.color_order, base.class_colors, base.ink = COLORS, ORDER, CLASSES, INK

-- ---- the figure

---@class giemsa.figure
---@field kind string
---@field width integer pixels
---@field height integer pixels
---@field path string? where it was saved last
---@field says string? what it shows, in a line: what tostring gives
local Figure = {}
Figure.__index = Figure

--- A figure. parts: strings and {binary = string}; o.width and o.height in pixels.
---@return giemsa.figure
function base.figure(parts, o, kind)
  return setmetatable({ parts = parts, kind = kind, width = o.width or 760,
    height = o.height or 480 }, Figure)
end

function base.is_figure(x) return getmetatable(x) == Figure end

function Figure:__tostring()
  return self.says or ("plot: %s, %d x %d"):format(self.kind, self.width, self.height)
end

--- The gnuplot script, to learn from or to go on with by hand.
---@return string
function Figure:script()
  local out = {}
  for i, part in ipairs(self.parts) do
    out[i] = type(part) == "string" and part or "# (the bytes of the pictures)\n"
  end
  return table.concat(out)
end

local function render(self, format, scale)
  return gnuplot.render(self.parts,
    { format = format, width = self.width, height = self.height, scale = scale })
end

--- The bytes of a PNG file. Raises when gnuplot is missing or fails.
---@param scale? number 2: twice the pixels
---@return string
function Figure:png(scale)
  local bytes, message = render(self, "png", scale)
  return bytes or error(message, 2)
end

--- The text of an SVG file.
---@return string
function Figure:svg()
  local bytes, message = render(self, "svg")
  return bytes or error(message, 2)
end

--- The bytes of a PDF file.
---@return string
function Figure:pdf()
  local bytes, message = render(self, "pdf")
  return bytes or error(message, 2)
end

--- The figure in characters, for a terminal that shows no pictures.
---@param columns integer
---@param rows integer
---@return string
function Figure:text(columns, rows)
  local parts = {}
  for i, part in ipairs(self.parts) do
    parts[i] = part
    if type(part) == "string" then -- no grid, and ink that any background shows
      parts[i] = part:gsub("\nset grid[^\n]*", "\nunset grid"):gsub(" textcolor rgb '#%x+'", "")
    end
  end
  local text, message = gnuplot.render(parts, { format = "text", width = columns, height = rows })
  return text or error(message, 2)
end

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
  local bytes, message = render(self, format, o.scale)
  if not bytes then error(message, 2) end
  local ok, problem = core.write_file(path, bytes)
  if not ok then error("save: " .. problem, 2) end
  self.path = path
  return self
end

--- Shows it in the terminal where that is possible (see giemsa.show).
---@return giemsa.figure self
function Figure:show()
  return base.at_caller(function()
    require("giemsa.show").write(self)
    return self
  end)
end

-- ---- words

--- A plot's own word in the reader's language, as `giemsa run` has found it out; English where no font has its letters.
---@param text string
---@param ... any for its %s and %d
---@return string
function base.say(text, ...)
  local lang = os.getenv "GIEMSA_LANG"
  return words(lang == "zh" and gnuplot.writes_chinese() and lang or nil, text, ...)
end

-- ---- options

local COMMON = { title = "string", xlabel = "string", ylabel = "string", xrange = "table",
  yrange = "table", log = "string", legend = "string|boolean", grid = "boolean",
  width = "integer", height = "integer" }

--- The options a plot knows: its own and the common ones.
function base.known(own)
  for key, expected in pairs(COMMON) do own[key] = own[key] or expected end
  return own
end

--- The given options with others laid over them (false hides one).
function base.with(given, over) return setmetatable(over, { __index = given }) end

--- "#rrggbb" of a colour's name; the series' own colour when none is given.
function base.color(who, value, index)
  value = value or ORDER[(index - 1) % #ORDER + 1]
  local color = COLORS[value] or value:match("^#%x%x%x%x%x%x$")
  if color then return color end
  local names = {}
  for name in pairs(COLORS) do names[#names + 1] = name end
  table.sort(names)
  error(("%s: color '%s' is neither '#rrggbb' nor one of %s")
    :format(who, value, table.concat(names, ", ")), 0)
end

function base.is_list(x)
  return core.is_tensor(x) or type(x) == "table" and type(x[1]) == "number"
end

--- An array of numbers from an array or a tensor.
function base.list(who, what, values)
  if core.is_tensor(values) then return values:reshape(-1):totable() end
  if type(values) ~= "table" then
    error(("%s: %s must be an array or a tensor, got %s"):format(who, what, type(values)), 0)
  end
  for i, v in ipairs(values) do
    if type(v) ~= "number" then
      error(("%s: %s[%d] is a %s, not a number"):format(who, what, i, type(v)), 0)
    end
  end
  return values
end

--- Calls f; its plain message is raised at the line that called the plot. Only for tail calls:
--- `return base.at_caller(f, ...)`, so that level 2 is the lesson.
function base.at_caller(f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  error(results[2], 2)
end

-- ---- pieces of a script

local LEGENDS = { "top left", "top right", "bottom left", "bottom right", "top center",
  "bottom center", "above", "outside" }

local function legend_line(who, legend)
  if legend == false then return "unset key\n" end
  local place = options.one_of(who, "legend", legend or "top right", LEGENDS, 0)
  if place == "outside" then place = "outside right top" end
  if place == "above" then place = "at graph 0.5,1.02 center bottom horizontal maxrows 1" end
  return ("set key %s Left reverse samplen 2.4 spacing 1.15 width 1 opaque fillcolor rgb '#28ffffff' "
    .. "noautotitle textcolor rgb '%s'\n"):format(place, INK)
end

local function range_line(who, axis, range)
  if not range then return ("set %srange [*:*]\n"):format(axis) end
  local low, high = range[1] or nil, range[2] or nil
  if low and high and low >= high then
    error(("%s: %srange must go from low to high, got {%g, %g}"):format(who, axis, low, high), 0)
  end
  return ("set %srange [%s:%s]\n"):format(axis, low and number(low) or "*",
    high and number(high) or "*")
end

local function label_line(axis, text)
  if not text then return "" end
  return ("set %slabel %s textcolor rgb '%s'\n"):format(axis, quote(text), SOFT)
end

local function title_lines(o)
  local above = o.legend == "above" -- the legend stands between title and plot
  local margin = above and ("set tmargin %g\n"):format(o.title and 5.2 or 3) or ""
  if not o.title then return margin end
  return margin .. ("set title %s%s font ',13' textcolor rgb '%s'\n")
    :format(quote(o.title), above and " offset 0,1" or "", INK)
end

--- Axes, grid, titles: the house style. Little ink that is not data.
function base.frame(who, o)
  local log = o.log and options.one_of(who, "log", o.log, { "x", "y", "xy" }, 0)
  return table.concat {
    "set border 3 linecolor rgb '#9a9a9a'\n",
    ("set tics nomirror out scale 0.5 textcolor rgb '%s'\n"):format(SOFT),
    ("set grid back linetype 1 linewidth 1 linecolor rgb '%s'\n"):format(GRID),
    o.grid == false and "unset grid\n" or "",
    "set style fill solid noborder\n",
    legend_line(who, o.legend), title_lines(o),
    range_line(who, "x", o.xrange), range_line(who, "y", o.yrange),
    label_line("x", o.xlabel), label_line("y", o.ylabel),
    log and ("set logscale %s\nset format %s '%%g'\n"):format(log, log) or "",
  }
end

--- $name << EOD ... EOD with a row for each number of the columns.
function base.data(name, columns)
  local rows = {}
  for i = 1, #columns[1] do
    local row = {}
    for c, column in ipairs(columns) do row[c] = number(column[i]) end
    rows[i] = table.concat(row, " ")
  end
  return ("$%s << EOD\n%s\nEOD\n"):format(name, table.concat(rows, "\n"))
end

function base.titled(title) return title and "title " .. quote(title) or "notitle" end

--- The plot command of all series.
function base.plot_command(commands)
  return "plot " .. table.concat(commands, ", \\\n     ") .. "\n"
end

--- "set xtics ('a' 1, 'b' 2)"; a name is a format to gnuplot.
function base.name_tics(axis, names)
  local out = {}
  for i, name in ipairs(names) do
    out[i] = quote((tostring(name):gsub("%%", "%%%%"))) .. " " .. i
  end
  return ("set %stics (%s) scale 0\n"):format(axis, table.concat(out, ", "))
end

return base
