--- Options given as a table: every key is known and of the right type, or the caller is told which
--- is not.
local options = {}

--- Edit distance (Levenshtein), for "did you mean".
---@param a string
---@param b string
---@return integer
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal
    diagonal, row[0] = row[0], i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

options.distance = distance

-- How far a name is from a known one: edits, but a beginning ("rotation" of "rotation_range") is
-- near too.
local function strangeness(name, candidate)
  if type(candidate) ~= "string" then return math.huge end
  name, candidate = name:lower(), candidate:lower()
  if #name >= 3 and candidate:find(name, 1, true) == 1 then return 1 end
  return distance(name, candidate)
end

--- The known name nearest to a misspelt one, or nil when none is near.
---@param name string
---@param known table<string, any> the names are its keys
---@return string?
function options.nearest(name, known)
  local best, least = nil, math.max(2, #name // 3) + 1
  for candidate in pairs(known) do
    local d = strangeness(name, candidate)
    if d < least or d == least and best and candidate < best then best, least = candidate, d end
  end
  return best
end

--- " (did you mean 'x'?)" for a message, or "" when no known name is near.
---@param name any
---@param known table<string, any>
---@return string
function options.hint(name, known)
  local near = options.nearest(tostring(name), known)
  return near and (" (did you mean '%s'?)"):format(near) or ""
end

local function is_of_type(value, expected)
  for one in expected:gmatch("[^|?]+") do
    if one == "any" or type(value) == one then return true end
    if one == "integer" and math.type(value) == "integer" then return true end
    if one == "integer" and type(value) == "number" and value % 1 == 0 then return true end
    if one == "tensor" and type(value) == "userdata" then return true end
    if one == "callable" and (type(value) == "function" or (getmetatable(value) or {}).__call) then
      return true
    end
  end
  return false
end

--- Checks a table of options against the known keys and returns it (an empty table for nil).
---
--- A type is a Lua type name, "integer", "tensor", "callable" or "any"; alternatives are joined by
--- "|".
--- Integer keys (positional values) are left to the caller.
---@param who string the function's name, for the message
---@param given table?
---@param known table<string, string> key -> type
---@param level integer? error level; 3 (the caller of the caller) when absent
---@return table given
function options.check(who, given, known, level)
  level = level or 3
  if given == nil then return {} end
  if type(given) ~= "table" then
    error(("%s: expected a table of options, got %s"):format(who, type(given)), level)
  end
  for key, value in pairs(given) do
    if type(key) == "string" then
      local expected = known[key]
      if not expected then
        error(("%s: unknown option '%s'%s"):format(who, key, options.hint(key, known)), level)
      end
      if not is_of_type(value, expected) then
        error(("%s: option '%s' must be %s, got %s (%s)"):format(who, key,
          (expected:gsub("|", " or ")), type(value), tostring(value)), level)
      end
    end
  end
  return given
end

--- One of a few names: returns the value, or raises listing the choices.
---@param who string
---@param key string
---@param value string
---@param choices string[]
function options.one_of(who, key, value, choices, level)
  for _, choice in ipairs(choices) do
    if value == choice then return value end
  end
  error(("%s: %s must be one of %s; got '%s'"):format(who, key, table.concat(choices, ", "),
    tostring(value)), level or 3)
end

return options
