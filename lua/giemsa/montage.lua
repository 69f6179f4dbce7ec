--- Montages: many small pictures in one, as imutils' build_montages; and the course's, with what a
--- model says of each cell.
local image = require "giemsa.image"
local options = require "giemsa.options"

---@class giemsa.montage
local montage = {}

--- The course's colours of labels; others are taken from montage.palette in the order of the class
--- names.
montage.colors = { Parasitized = { 255, 0, 0 }, Uninfected = { 0, 255, 0 } }
montage.palette = { { 255, 160, 0 }, { 0, 160, 255 }, { 255, 255, 0 }, { 255, 0, 255 },
  { 0, 255, 255 }, { 255, 255, 255 } }

-- A pair of whole numbers from 1 on.
local function pair(who, key, value)
  local a, b = math.tointeger(value[1]), math.tointeger(value[2])
  if #value ~= 2 or not a or not b or a < 1 or b < 1 then
    local names = key == "tile" and "width, height" or "columns, rows"
    error(("%s: %s must be {%s} of whole numbers from 1 on"):format(who, key, names), 3)
  end
  return a, b
end

local function check_pictures(who, pictures)
  if type(pictures) ~= "table" then
    error(who .. ": expected an array of pictures, got " .. type(pictures), 3)
  end
  for i, p in ipairs(pictures) do
    if not image.is_picture(p) then
      error(("%s: element %d is no picture but a %s"):format(who, i, type(p)), 3)
    end
  end
end

local function fit(p, width, height)
  if p.channels ~= 3 then p = p:convert(3) end
  return p:resize(width, height, "bilinear")
end

---@class giemsa.montage.options
---@field tile? integer[] {width, height} of each picture; {128, 128} when absent
---@field grid? integer[] {columns, rows}; {4, 4} when absent

--- Lays pictures out on a grid, row by row. When it is full a new one is begun; places without a
--- picture stay black. Sizes are width first, as in imutils and unlike Keras's target_size.
--- Pictures of another size are resized as OpenCV does ("bilinear").
---@param pictures giemsa.picture[]
---@param given? giemsa.montage.options
---@return giemsa.picture[] montages one for each grid begun; for no pictures a black one
function montage.build(pictures, given)
  local how = options.check("montage.build", given, { tile = "table", grid = "table" })
  local width, height = pair("montage.build", "tile", how.tile or { 128, 128 })
  local columns, rows = pair("montage.build", "grid", how.grid or { 4, 4 })
  check_pictures("montage.build", pictures)
  local montages = {}
  for i = 1, math.max(#pictures, 1) do
    local place = (i - 1) % (columns * rows)
    if place == 0 then montages[#montages + 1] = image.new(columns * width, rows * height) end
    if pictures[i] then
      local x, y = place % columns * width, place // columns * height
      montages[#montages]:paste(x, y, fit(pictures[i], width, height))
    end
  end
  return montages
end

-- label -> colour: given ones, the course's, then the palette.
local function colors_of(labels, given)
  local colors, unknown, seen = {}, {}, {}
  for _, label in ipairs(labels) do
    colors[label] = given and given[label] or montage.colors[label]
    if not colors[label] and not seen[label] then
      seen[label] = true
      unknown[#unknown + 1] = label
    end
  end
  table.sort(unknown)
  for i, label in ipairs(unknown) do
    colors[label] = montage.palette[(i - 1) % #montage.palette + 1]
  end
  return colors
end

---@class giemsa.montage.predictions_options : giemsa.montage.options
---@field pictures (giemsa.picture|string)[] pictures or paths of files
---@field labels string[] what to write on each
---@field colors? table<string, integer[]> label -> {r, g, b}; for others montage.colors, then
--- montage.palette
---@field at? number[] {x, y} of the text's baseline in the tile; {3, 20} when absent
---@field scale? number of the text; 0.5 when absent
---@field thickness? number of the text; 2 when absent

--- The course's montage of predictions: every picture at 128 x 128 in a grid of 4 x 4, its label
--- written on it in the class's colour: red for Parasitized, green for Uninfected.
---@param given giemsa.montage.predictions_options
---@return giemsa.picture[] montages as montage.build
function montage.predictions(given)
  local how = options.check("montage.predictions", given, {
    pictures = "table", labels = "table", colors = "table", tile = "table",
    grid = "table", at = "table", scale = "number", thickness = "number" })
  if not how.pictures or not how.labels then
    error("montage.predictions: pictures and labels are needed", 2)
  end
  if #how.pictures ~= #how.labels then
    error(("montage.predictions: %d pictures but %d labels"):format(#how.pictures, #how.labels), 2)
  end
  local width, height = pair("montage.predictions", "tile", how.tile or { 128, 128 })
  local at, tiles = how.at or { 3, 20 }, {}
  local colors = colors_of(how.labels, how.colors)
  for i, p in ipairs(how.pictures) do
    if type(p) == "string" then p = image.load(p) end
    check_pictures("montage.predictions", { p })
    tiles[i] = fit(p, width, height)
    local label = how.labels[i]
    tiles[i]:draw_text(at[1], at[2], label,
      { color = colors[label], scale = how.scale or 0.5, thickness = how.thickness or 2 })
  end
  return montage.build(tiles, { tile = { width, height }, grid = how.grid })
end

return montage
