--- JSON that comes back as it was: the same value gives the same text (keys sorted), and numbers
-- survive exactly. A table is an array when its metatable says __jsontype = "array", or untagged
-- when it has an element 1.
local json = { null = setmetatable({}, { __tostring = function() return "null" end }) }

-- Most texts have nothing to escape; dkjson is loaded when one has.
local function quoted(text)
  if not text:find '[%c"\\\127-\255]' then return '"' .. text .. '"' end
  return require("dkjson").quotestring(text)
end

local MAX_DEPTH = 100 -- of tables in tables
local encode

-- The shortest of 15, 16 or 17 digits that reads back as the same number; a float stays a float.
local function number_text(x)
  if math.type(x) == "integer" then return ("%d"):format(x) end
  if x ~= x or x == math.huge or x == -math.huge then error("JSON has no " .. tostring(x), 0) end
  local text
  for digits = 15, 17 do
    text = ("%%.%dg"):format(digits):format(x):gsub(",", ".")
    if tonumber(text) == x then break end
  end
  return text:find("[.eE]") and text or text .. ".0"
end

local function is_array(t)
  local kind = (getmetatable(t) or {}).__jsontype
  if kind then return kind == "array" end
  return t[1] ~= nil
end

local function array_text(t, depth)
  local parts = {}
  for i = 1, #t do parts[i] = encode(t[i], depth) end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function object_text(t, depth)
  local keys, parts = {}, {}
  for key in pairs(t) do
    if type(key) ~= "string" then
      error("a JSON object has only strings as keys, got " .. tostring(key), 0)
    end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    parts[i] = quoted(key) .. ":" .. encode(t[key], depth)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value, depth)
  local kind = type(value)
  if value == nil or value == json.null then return "null" end
  if kind == "table" then
    if depth > MAX_DEPTH then
      error(("tables are nested deeper than %d, or in a circle"):format(MAX_DEPTH), 0)
    end
    return (is_array(value) and array_text or object_text)(value, depth + 1)
  end
  if kind == "number" then return number_text(value) end
  if kind == "string" then return quoted(value) end
  if kind == "boolean" then return tostring(value) end
  error("JSON cannot hold a " .. kind, 0)
end

--- The JSON text of a value. Raises (level 0) for functions, NaN, infinities and circles.
---@param value any
---@return string
function json.encode(value) return encode(value, 0) end

-- ---- reading

local has_jansson, jansson = pcall(require, "giemsa.jansson")

-- What dkjson is to mark tables with: the type of their keys.
local OBJECT, ARRAY = { keys = "string" }, { keys = "number" }

-- Whether JSON can hold a value of dkjson's, which takes more, so that it can be written again. Removes the marks.
local function is_json(value, null, depth)
  if type(value) == "number" then return value - value == 0 end -- no infinity
  if type(value) ~= "table" or value == null then return true end
  if depth > MAX_DEPTH then return false end
  local kind = getmetatable(value)
  local count = #setmetatable(value, nil)
  for key, inner in pairs(value) do
    local is_right = type(key) == kind.keys
      and (kind == OBJECT or key >= 1 and (key <= count or null == nil)) -- nil leaves holes
    if not is_right or not is_json(inner, null, depth + 1) then return false end
  end
  return true
end

--- The value of a JSON text; null becomes nil (or what is given for it). Plain tables, without
--- metatables, at most 100 in each other.
---@param text string
---@param null any?
---@return any value, string? message nil and why when the text is not JSON
function json.decode(text, null)
  if has_jansson then
    local read, value = jansson.decode(text, null)
    if read then return value end
  end -- what it does not take dkjson may, or says why not
  local ok, value, stop, problem = pcall(require("dkjson").decode, text, 1, null, OBJECT, ARRAY)
  if not ok then return nil, "it is not JSON: nested too deeply" end
  if problem then return nil, "it is not JSON: " .. tostring(problem) end
  if text:find("%S", stop) then
    return nil, ("it is not JSON: something follows at character %d"):format(stop)
  end
  if not is_json(value, null, 0) then
    return nil, "it is not JSON: nested too deeply, or with a wrong key, or with too large a number"
  end
  return value
end

return json
