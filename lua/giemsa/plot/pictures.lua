--- A grid of pictures with captions. All places are pixels: the axes run over the figure's size,
-- so every picture is drawn one pixel to one.
local base = require "giemsa.plot.figure"
local core = require "giemsa.core"
local gnuplot = require "giemsa.gnuplot"
local image = require "giemsa.image"
local options = require "giemsa.options"

local plot = {}

local IMAGES = { captions = "table", colors = "table", columns = "integer", tile = "integer|table",
  title = "string" }
-- Pixels; the widths of a caption's and of a title's letter.
local GAP, LINE, TITLE, LETTER, TITLE_LETTER = 8, 16, 34, 7.2, 9

-- ---- what can be drawn

--- {low, high} of the values that are drawn black and white: 0..255 or 0..1, told apart by the largest
--- value; anything else is stretched to its own range.
function plot.range_of(x)
  local low, high = core.min(x):item(), core.max(x):item()
  if low >= 0 and high <= 1 then return { 0, 1 } end
  if low >= 0 and high <= 255 then return { 0, 255 } end
  return { low, high > low and high or low + 1 }
end

--- A picture of a picture, a tensor (h, w, c) or a path. Raises plain messages, `who` in front.
---@return giemsa.picture
function plot.picture_of(given, who)
  if image.is_picture(given) then return given end
  if core.is_tensor(given) then return image.from_tensor(given, { range = plot.range_of(given) }) end
  if type(given) == "string" then
    local picture, why = image.read(given)
    return picture or error(("%s: %s"):format(who, why), 0)
  end
  error(("%s: expected a picture, a tensor or a path, got %s"):format(who, type(given)), 0)
end

-- A batch of shape (n, h, w, c) is its rows; they share one range.
local function pictures_of(given)
  local list = {}
  if core.is_tensor(given) and given.ndim == 4 then
    local range = plot.range_of(given)
    for i = 1, #given do list[i] = image.from_tensor(given[i], { range = range }) end
  else
    for i, one in ipairs(type(given) == "table" and given or { given }) do
      list[i] = plot.picture_of(one, "images: picture " .. i)
    end
  end
  if #list == 0 then error("images: there is no picture to draw", 0) end
  return list
end

-- ---- layout

-- Whole steps when a picture grows (its pixels stay square), the mean of an area when it shrinks.
local function fitted(picture, width, height)
  local scale = math.min(width / picture.width, height / picture.height)
  if scale >= 1 then scale = math.floor(scale) end
  local w = math.max(1, math.floor(picture.width * scale + 0.5))
  local h = math.max(1, math.floor(picture.height * scale + 0.5))
  if w == picture.width and h == picture.height then return picture end
  return picture:resize(w, h, scale >= 1 and "nearest" or "area")
end

-- The tile's size: what is asked for; else the largest picture, from 64 to 160 pixels.
local function tile_size(o, pictures)
  if type(o.tile) == "table" then return o.tile[1], o.tile[2] end
  local width, height = 0, 0
  for _, p in ipairs(pictures) do
    width, height = math.max(width, p.width), math.max(height, p.height)
  end
  local largest = math.max(width, height)
  local wanted = o.tile or (largest < 64 and largest * math.ceil(64 / largest))
    or math.min(largest, 160)
  return math.ceil(width * wanted / largest), math.ceil(height * wanted / largest)
end

local function lines_of(caption)
  local lines = {}
  for line in (tostring(caption or "") .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  return lines
end

-- A caption may be wider than its picture, up to twice; a longer one is cut.
local function layout_of(o, pictures)
  local width, height = tile_size(o, pictures)
  local longest, most_lines = 0, 0
  for i = 1, o.captions and #pictures or 0 do
    local lines = lines_of(o.captions[i])
    most_lines = math.max(most_lines, #lines)
    for _, line in ipairs(lines) do
      longest = math.max(longest, (utf8.len(line) or #line) * LETTER + 4)
    end
  end
  local columns = math.min(#pictures, o.columns or math.ceil(math.sqrt(#pictures)))
  local title = o.title and lines_of(o.title) or {}
  local l = { tile_width = width, tile_height = height, columns = columns,
    cell_width = math.ceil(math.max(width, math.min(longest, math.max(2 * width, 150)))) + GAP,
    cell_height = height + (most_lines > 0 and most_lines * LINE + 4 or 0) + GAP,
    title = title, top = #title > 0 and TITLE + (#title - 1) * LINE + 4 or 0 }
  local widest = 0
  for i, line in ipairs(title) do
    widest = math.max(widest, (utf8.len(line) or #line) * (i == 1 and TITLE_LETTER or LETTER))
  end
  l.width = math.max(columns * l.cell_width + GAP, math.ceil(widest) + 2 * GAP)
  l.left = GAP + (l.width - GAP - columns * l.cell_width) // 2
  l.height = math.ceil(#pictures / columns) * l.cell_height + GAP + l.top
  return l
end

local function shortened(text, width)
  local most = math.floor(width / LETTER)
  local length = utf8.len(text)
  if not length or length <= most then return text end
  return text:sub(1, utf8.offset(text, most) - 1) .. "…"
end

-- ---- the script

local function label(text, x, y, font, color)
  return ("set label %s at %g,%g center font ',%g' textcolor rgb '%s'\n")
    :format(gnuplot.quote(text), x, y, font, color)
end

local function images(given, opts)
  local o = options.check("images", opts, IMAGES, 0)
  local pictures = pictures_of(given)
  local l = layout_of(o, pictures)
  local parts = {
    "set margins 0,0,0,0\nunset border\nunset tics\nunset key\n",
    ("set xrange [0:%d]\nset yrange [%d:0]\n"):format(l.width, l.height),
  }
  for i, line in ipairs(l.title) do
    parts[#parts + 1] = label(line, l.width / 2, TITLE / 2 + (i - 1) * LINE + (i > 1 and 6 or 0), i == 1 and 13 or 10,
      base.ink)
  end
  local commands, bytes = {}, {}
  for i, picture in ipairs(pictures) do
    local left = l.left + (i - 1) % l.columns * l.cell_width
    local top = l.top + GAP + (i - 1) // l.columns * l.cell_height
    local p = fitted(picture, l.tile_width, l.tile_height)
    local middle = left + (l.cell_width - GAP) / 2
    local x = left + (l.cell_width - GAP - p.width) // 2
    local y = top + (l.tile_height - p.height) // 2
    commands[i] = ("'-' binary array=(%d,%d) origin=(%g,%g) dx=1 dy=1 format='%%uchar' using 1:2:3 "
      .. "with rgbimage"):format(p.width, p.height, x + 0.5, y + 0.5)
    bytes[i] = p:convert(3):bytes()
    for number, line in ipairs(o.captions and lines_of(o.captions[i]) or {}) do
      parts[#parts + 1] = label(shortened(line, l.cell_width - GAP), middle,
        top + l.tile_height + 2 + (number - 0.5) * LINE, 10,
        base.color("images", o.colors and o.colors[i] or base.ink))
    end
  end
  parts[#parts + 1] = "plot " .. table.concat(commands, ", \\\n     ") .. "\n"
  parts[#parts + 1] = { binary = table.concat(bytes) .. "\n" }
  local figure = base.figure(parts, l, "images")
  figure.pictures = true
  return figure
end

--- Pictures in a grid: plot.images(list, {captions = {...}, title = "..."}).
---
--- The list holds pictures (giemsa.image), tensors (h, w, c) or paths; a batch (n, h, w, c) does as
--- well. Tensors hold 0..255 or 0..1; others are stretched from their lowest to their highest.
--- A caption may have several lines, a title too (the first is the larger). colors: of the captions, "#rrggbb" or a name of plot.colors. tile: pixels of the longer side, or
--- {width, height}. Small pictures are enlarged with square pixels.
---@param list any
---@param opts? {captions?: string[], colors?: string[], columns?: integer, tile?: any,
--- title?: string}
---@return giemsa.figure
function plot.images(list, opts) return base.at_caller(images, list, opts) end

return plot
