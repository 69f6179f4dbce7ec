--- Pictures of numbers: thin helpers over gnuplot. Every helper returns a figure; a figure is a
-- gnuplot script and a size:
--   plot.training(history):save "out/plot.png"     figure:show()     print(figure:script())
-- .png, .svg and .pdf; the same figure gives the same bytes. The palette is one that colour-blind
-- readers can tell apart, and what differs in colour differs in dash as well.
local base = require "giemsa.plot.figure"
local options = require "giemsa.options"

---@class giemsa.plot
---@field colors table<string, string> name -> "#rrggbb"
---@field color_order string[] names, of series in the order in which they come
---@field class_colors string[] names, of classes by their numbers: a class has one colour everywhere
local plot = { colors = base.colors, color_order = base.color_order,
  class_colors = base.class_colors }

-- Which file holds which helper; the grid of pictures is loaded only when it is used.
for _, part in ipairs { "lines", "bars", "matrix" } do
  for name, helper in pairs(require("giemsa.plot." .. part)) do plot[name] = helper end
end

--- Pictures in a grid, see plot/pictures.lua.
---@return giemsa.figure
function plot.images(...) return require("giemsa.plot.pictures").images(...) end

local function widest_and_highest(figures)
  local width, height = 0, 0
  for i, one in ipairs(figures) do
    if not base.is_figure(one) then
      error(("figure: part %d is not a figure (got %s)"):format(i, type(one)), 3)
    end
    if one.kind == "figure" then
      error(("figure: part %d is itself made of figures; give those instead"):format(i), 3)
    end
    width, height = math.max(width, one.width), math.max(height, one.height)
  end
  return width, height
end

--- Figures side by side in one: plot.figure{ a, b, c, columns = 2, title = "..." }.
---@param spec table figures; columns (as square as possible), title, width, height
---@return giemsa.figure
function plot.figure(spec)
  local o = options.check("figure", spec,
    { columns = "integer", title = "string", width = "integer", height = "integer" })
  if #o == 0 then error("figure: needs at least one figure", 2) end
  local width, height = widest_and_highest(o)
  local columns = math.min(#o, o.columns or math.ceil(math.sqrt(#o)))
  local rows = math.ceil(#o / columns)
  local title = o.title and (" title %s font ',14' textcolor rgb '%s'")
    :format(base.quote(o.title), base.ink) or ""
  local parts, pictures = { ("set multiplot layout %d,%d%s\n"):format(rows, columns, title) }, false
  for _, one in ipairs(o) do
    parts[#parts + 1] = one.pictures and "reset\nset size ratio -1\n" or "reset\n"
    table.move(one.parts, 1, #one.parts, #parts + 1, parts)
    pictures = pictures or one.pictures
  end
  parts[#parts + 1] = "unset multiplot\n"
  local figure = base.figure(parts, { width = o.width or math.min(1600, columns * width * 3 // 4),
    height = o.height or math.min(1600, rows * height * 3 // 4 + (o.title and 30 or 0)) }, "figure")
  figure.pictures = pictures
  return figure
end

--- gnuplot as it is: the script draws (no `set terminal`, no `set output`).
---@param script string
---@param opts? {width?: integer, height?: integer} pixels
---@return giemsa.figure
function plot.raw(script, opts)
  local o = options.check("raw", opts, { width = "integer", height = "integer" })
  if type(script) ~= "string" then
    error("raw: expected a gnuplot script, got " .. type(script), 2)
  end
  return base.figure({ script, "\n" }, o, "raw")
end

return plot
