--- Bends what is whole: texts byte by byte, and values as JSON has them. All chance is math.random's, so that a seed
--- repeats it.
local json = require "giemsa.json"

local bend = {}

local random = math.random

---@generic T
---@param list T[]
---@return T
function bend.one_of(list) return list[random(#list)] end
local one_of = bend.one_of

-- ---- texts

-- A run of bytes of a text: mostly short.
local function stretch(text)
  local first = random(#text + 1)
  return first, math.min(#text, first + random(0, one_of { 0, 4, 12, 60 }) - 1)
end

-- The first and last byte of one of a text's lines, its line break included.
local function line_of(text)
  local at = random(#text + 1)
  local before = text:sub(1, at - 1):match ".*\n()" or 1
  return before, text:find("\n", at, true) or #text
end

local function replaced(text, first, last, new) return text:sub(1, first - 1) .. new .. text:sub(last + 1) end

local ways = {
  function(text) -- a byte
    local at = random(#text + 1)
    return replaced(text, at, at, string.char(random(0, 255)))
  end,
  function(text) -- a piece gone
    local first, last = stretch(text)
    return replaced(text, first, last, "")
  end,
  function(text) -- a piece twice, or very often
    local first, last = stretch(text)
    local piece = text:sub(first, last)
    return replaced(text, first, last, piece:rep(one_of { 2, 2, 2, 3, 50 }))
  end,
  function(text, words) -- a word put in, or in place of something
    local first, last = stretch(text)
    return replaced(text, first, one_of { first - 1, last }, one_of(words))
  end,
  function(text) -- a line gone, or twice
    local first, last = line_of(text)
    return replaced(text, first, last, text:sub(first, last):rep(one_of { 0, 2 }))
  end,
  function(text) -- a piece elsewhere
    local first, last = stretch(text)
    local piece, rest = text:sub(first, last), replaced(text, first, last, "")
    local at = random(#rest + 1)
    return replaced(rest, at, at - 1, piece)
  end,
  function(text, _, others) -- another input's end
    local other = one_of(others)
    return text:sub(1, random(0, #text)) .. other:sub(random(#other + 1))
  end,
}

--- A text with one to five things done to it.
---@param text string
---@param words string[] what such texts are made of
---@param others? string[] inputs whose ends may be taken
---@return string
function bend.text(text, words, others)
  for _ = 1, one_of { 1, 1, 2, 3, 5 } do text = one_of(ways)(text, words, others or { text }) end
  return text
end

-- ---- values

-- Every place of a value that holds another: {table, key}, in an order that does not change.
local function places(value, list)
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    list[#list + 1] = { value, key }
    if type(value[key]) == "table" then places(value[key], list) end
  end
  return list
end

--- A copy that shares nothing; null stays null.
---@generic T
---@param value T
---@return T
function bend.copy(value)
  if type(value) ~= "table" or value == json.null then return value end
  local new = setmetatable({}, getmetatable(value))
  for key, inner in pairs(value) do new[key] = bend.copy(inner) end
  return new
end

--- Puts another value into a place of a table: one of those given, or one from elsewhere in it, or none.
---@param value table changed in place
---@param values any[]
function bend.value(value, values)
  local list = places(value, {})
  if #list == 0 then return end
  local place, other = one_of(list), one_of(list)
  local new
  if random(4) > 1 then new = bend.copy(one_of { one_of(values), other[1][other[2]] }) end
  place[1][random(5) == 1 and tostring(one_of(values)) or place[2]] = new
end

return bend
