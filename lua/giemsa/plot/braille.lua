--- Curves in characters: a cell of braille is 2 x 4 dots, so a few lines of text show a curve while
--- it grows.
--
--    0.72 ┤⢣
--         │ ⠑⢄⡀   ⡠⢄
--    0.11 ┤   ⠈⠉⠉⠉⠀⠀⠉⠉⠒⠒⠤⠤
--         └1              25
local braille = {}

local BITS = { { 0x01, 0x02, 0x04, 0x40 }, { 0x08, 0x10, 0x20, 0x80 } } -- column, then row of dots
local LOG_FROM = 8 -- largest / smallest value from which the axis is logarithmic
local GREY, RESET = "\27[90m", "\27[0m"

local function is_finite(v) return v == v and v ~= math.huge and v ~= -math.huge end

-- The lowest and the highest value that can be drawn; nil when there is none.
local function extent(series)
  local low, high = math.huge, -math.huge
  for _, s in ipairs(series) do
    for i = 1, #s.x do
      local v = s.y[i]
      if v and is_finite(v) then low, high = math.min(low, v), math.max(high, v) end
    end
  end
  if low > high then return nil end
  return low, high
end

-- 0..1 for low..high, by logarithms when they are far apart.
local function scale_of(low, high)
  local is_log = low > 0 and high / low > LOG_FROM
  local f = is_log and math.log or function(v) return v end
  local span = f(high) - f(low)
  return function(v) return span > 0 and (f(v) - f(low)) / span or 0.5 end, is_log
end

local function set_dot(canvas, x, y, color)
  local cell = canvas.rows[y // 4 + 1]
  local column = x // 2 + 1
  cell[column] = (cell[column] or 0) | BITS[x % 2 + 1][y % 4 + 1]
  canvas.colors[y // 4 + 1][column] = color
end

-- A line of dots from one point to the next.
local function draw_line(canvas, x0, y0, x1, y1, color)
  local steps = math.max(math.abs(x1 - x0), math.abs(y1 - y0), 1)
  for i = 0, steps do
    local share = i / steps
    set_dot(canvas, math.floor(x0 + (x1 - x0) * share + 0.5),
      math.floor(y0 + (y1 - y0) * share + 0.5), color)
  end
end

local function draw_series(canvas, s, place_x, place_y)
  local before_x, before_y
  for i, x in ipairs(s.x) do
    local v = s.y[i]
    local dot_x, dot_y
    if v and is_finite(v) then
      dot_x, dot_y = place_x(x), place_y(v)
      draw_line(canvas, before_x or dot_x, before_y or dot_y, dot_x, dot_y, s.color)
    end
    before_x, before_y = dot_x, dot_y
  end
end

-- A row of cells as text, with a colour wherever it changes.
local function row_text(canvas, r, columns)
  local parts, color = {}, nil
  for c = 1, columns do
    local bits = canvas.rows[r][c]
    local wanted = bits and canvas.colors[r][c] or nil
    if wanted ~= color then
      parts[#parts + 1] = (color and RESET or "") .. (wanted and ("\27[%sm"):format(wanted) or "")
      color = wanted
    end
    parts[#parts + 1] = bits and utf8.char(0x2800 + bits) or " "
  end
  return table.concat(parts):gsub(" +$", "") .. (color and RESET or "")
end

local function number_text(v)
  local size = math.abs(v)
  return (size >= 100 and "%.0f" or (size >= 0.01 or size == 0) and "%.2f" or "%.0e"):format(v)
end

-- "└1        25"
local function axis_text(low, high, columns)
  local left, right = ("%g"):format(low), ("%g"):format(high)
  return left .. (" "):rep(math.max(1, columns - #left - #right)) .. right
end

---@class giemsa.braille.series
---@field x number[] rising
---@field y (number|nil)[] a gap where it is not a number
---@field color string SGR parameters, such as "34"

--- The curves as lines of text; nil when there is nothing to draw.
---@param series giemsa.braille.series[] later ones lie above
---@param o {columns: integer, rows: integer, low: number, high: number, colour: boolean?} of the
---  field; low and high are the ends of the x axis
---@return string?
function braille.curves(series, o)
  local low, high = extent(series)
  if not low then return nil end
  local scale, is_log = scale_of(low, high)
  local wide, tall = 2 * o.columns - 1, 4 * o.rows - 1
  local span = math.max(o.high - o.low, 1e-9)
  local function place_x(x) return math.floor((x - o.low) / span * wide + 0.5) end
  local function place_y(v) return math.floor((1 - scale(v)) * tall + 0.5) end
  local canvas = { rows = {}, colors = {} }
  for r = 1, o.rows do canvas.rows[r], canvas.colors[r] = {}, {} end
  for _, s in ipairs(series) do draw_series(canvas, s, place_x, place_y) end
  local lines = {}
  for r = 1, o.rows do
    local label = r == 1 and number_text(high) or r == o.rows and number_text(low) or ""
    lines[r] = ("%s%7s %s%s%s"):format(GREY, label, label == "" and "│" or "┤", RESET,
      row_text(canvas, r, o.columns))
  end
  lines[#lines + 1] = ("%s%7s └%s%s"):format(GREY, is_log and "log" or "",
    axis_text(o.low, o.high, o.columns), RESET)
  local text = table.concat(lines, "\n")
  return o.colour and text or (text:gsub("\27%[[%d;]*m", ""))
end

return braille
