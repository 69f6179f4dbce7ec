--- Pictures as sixels (DEC's VT340; xterm, foot, mlterm, mintty, Windows Terminal and others).
--
--   ESC P q " 1;1;W;H  {# register ; 2 ; r ; g ; b}  {band -}  ESC \
--
-- A band is six rows, drawn once for each colour in it: a byte 63 + bits is a column of six pixels
-- (the lowest bit is the top one), "!n" repeats it, "$" goes back to the band's start. Colours are
-- percent.
local sixel = {}

local REGISTERS = 256

-- Colours fall into 32 x 32 x 32 boxes: how often each is met, and the sum of what is in it.
local function count_boxes(rgb, size)
  local boxes, of_pixel = {}, {}
  for i = 1, size do
    local r, g, b = rgb:byte(3 * i - 2, 3 * i)
    local key = (r >> 3) << 10 | (g >> 3) << 5 | b >> 3
    of_pixel[i] = key
    local box = boxes[key]
    if not box then
      box = { n = 0, r = 0, g = 0, b = 0 }
      boxes[key] = box
    end
    box.n, box.r, box.g, box.b = box.n + 1, box.r + r, box.g + g, box.b + b
  end
  return boxes, of_pixel
end

local CHANNELS = { "r", "g", "b" }

-- A group of boxes with its mean colour, and the channel in which it spreads most.
local function new_group(members)
  local group = { members = members, n = 0, r = 0, g = 0, b = 0, spread = 0 }
  for _, box in ipairs(members) do
    group.n = group.n + box.n
    for _, c in ipairs(CHANNELS) do group[c] = group[c] + box.n * box[c] end
  end
  for _, c in ipairs(CHANNELS) do
    group[c] = group[c] / group.n
    local low, high = math.huge, -math.huge
    for _, box in ipairs(members) do low, high = math.min(low, box[c]), math.max(high, box[c]) end
    if high - low > group.spread then group.spread, group.channel = high - low, c end
  end
  group.weight = group.spread * math.sqrt(group.n)
  return group
end

-- The heaviest group in two, at its mean; false when every colour is alone.
local function split_one(groups)
  local at = 1
  for i, group in ipairs(groups) do if group.weight > groups[at].weight then at = i end end
  local group = groups[at]
  if group.spread == 0 then return false end
  local c, below, above = group.channel, {}, {}
  for _, box in ipairs(group.members) do
    table.insert(box[c] <= group[c] and below or above, box)
  end
  if #above == 0 then return false end
  groups[at], groups[#groups + 1] = new_group(below), new_group(above)
  return true
end

-- The colours, at most one a register, and the register of each pixel.
local function quantise(rgb, size)
  local boxes, of_pixel = count_boxes(rgb, size)
  local list, register = {}, {}
  for key, box in pairs(boxes) do
    box.key, box.r, box.g, box.b = key, box.r / box.n, box.g / box.n, box.b / box.n
    list[#list + 1] = box
  end
  table.sort(list, function(p, q) return p.key < q.key end)
  local groups = { new_group(list) }
  while #groups < REGISTERS and split_one(groups) do end
  for i, group in ipairs(groups) do
    for _, box in ipairs(group.members) do register[box.key] = i end
  end
  for i = 1, size do of_pixel[i] = register[of_pixel[i]] end
  return groups, of_pixel
end

-- "AAAA" -> "!4A"
local function packed(columns)
  local out, i = {}, 1
  while i <= #columns do
    local n = 1
    while columns[i + n] == columns[i] do n = n + 1 end
    local sign = string.char(63 + columns[i])
    out[#out + 1] = n > 3 and ("!%d%s"):format(n, sign) or sign:rep(n)
    i = i + n
  end
  return table.concat(out)
end

-- register -> the six-pixel columns of the band in that colour
local function band_of(pixels, width, first_row, rows)
  local planes = {}
  for y = 0, rows - 1 do
    local bit, start = 1 << y, (first_row + y) * width
    for x = 1, width do
      local register = pixels[start + x]
      local plane = planes[register]
      if not plane then
        plane = {}
        for i = 1, width do plane[i] = 0 end
        planes[register] = plane
      end
      plane[x] = plane[x] | bit
    end
  end
  return planes
end

--- A picture's bytes (height x width x 3) as sixels.
---@param rgb string
---@param width integer
---@param height integer
---@return string
function sixel.encode(rgb, width, height)
  local colours, pixels = quantise(rgb, width * height)
  local out = { ('\27P0;1q"1;1;%d;%d'):format(width, height) }
  for i, colour in ipairs(colours) do
    out[#out + 1] = ("#%d;2;%.0f;%.0f;%.0f"):format(i - 1, colour.r / 2.55, colour.g / 2.55,
      colour.b / 2.55)
  end
  for row = 0, height - 1, 6 do
    local lines = {}
    for register, columns in pairs(band_of(pixels, width, row, math.min(6, height - row))) do
      lines[#lines + 1] = ("#%d%s"):format(register - 1, packed(columns))
    end
    table.sort(lines)
    out[#out + 1] = table.concat(lines, "$") .. "-"
  end
  return table.concat(out) .. "\27\\"
end

return sixel
