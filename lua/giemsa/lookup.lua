--- What a name means and which names there are, asked without running anybody's code: tables,
--- metatables, and the giemsa modules' own lazy __index functions, which only load what they name.
-- Help and completion stand on this.
local core = require "giemsa.core"

local debug = debug -- as it is now: a lesson may change the global

local lookup = {}

--- The folder of giemsa's own Lua files, with a slash at its end.
lookup.home = debug.getinfo(1, "S").source:match("^@(.*)lookup%.lua$")

--- Is this file one of giemsa's?
---@param source string as debug.getinfo gives it, "@path"
---@return boolean
function lookup.is_ours(source)
  return source:sub(1, 1) == "@" and source:sub(2, #lookup.home + 1) == lookup.home
end

local function is_our_function(f)
  return type(f) == "function" and lookup.is_ours(debug.getinfo(f, "S").source)
end

local function metatable_of(value)
  local metatable = debug.getmetatable(value)
  return type(metatable) == "table" and metatable or nil
end

-- Tensors and pictures: their __index is C of ours, which has no side effects.
local METHODS = { ["giemsa.tensor"] = core.tensor_methods,
  ["giemsa.picture"] = core.picture_methods }
local FIELDS = {
  ["giemsa.tensor"] = { "shape", "ndim", "size", "grad", "requires_grad", "name" },
  ["giemsa.picture"] = { "width", "height", "channels" },
}

local function kind_of(value)
  local metatable = type(value) == "userdata" and metatable_of(value)
  local name = metatable and rawget(metatable, "__name")
  return METHODS[name] and name
end

--- value[key], or nil when there is none or when only running foreign code would tell.
---@param value any
---@param key any
---@return any
function lookup.get(value, key)
  for _ = 1, 20 do -- a chain of __index tables may be a ring
    if type(value) == "table" then
      local found = rawget(value, key)
      if found ~= nil then return found end
    end
    local metatable = metatable_of(value)
    local index = metatable and rawget(metatable, "__index")
    if kind_of(value) or is_our_function(index) then
      local ok, found = pcall(function() return value[key] end)
      return ok and found or nil
    end
    if type(index) ~= "table" then return nil end
    value = index
  end
end

-- Calls add(name) for the names a lazy __index function knows: those of its tables. Such a table is
-- of names still to be loaded when it is called `later`; of others only those that are reached.
local function lazy_names(value, index, add)
  for i = 1, 60 do
    local name, list = debug.getupvalue(index, i)
    if not name then return end
    if type(list) == "table" then
      for key in next, list do
        local reached = name == "later" or name == "parts" or lookup.get(value, key) ~= nil
        if type(key) == "string" and reached then add(key) end
      end
    end
  end
end

--- The names that value.NAME and value:NAME may have, sorted; private ones (_x) last.
---@param value any
---@return string[]
function lookup.names(value)
  local seen, list, start = {}, {}, value
  local function add(name)
    if type(name) == "string" and name:find "^[%a_][%w_]*$" and not seen[name] then
      seen[name], list[#list + 1] = true, name
    end
  end
  for _ = 1, 20 do
    if type(value) == "table" then for key in next, value do add(key) end end
    local kind = kind_of(value)
    if kind then
      for name in next, METHODS[kind] do add(name) end
      for _, name in ipairs(FIELDS[kind]) do add(name) end
      break
    end
    local metatable = metatable_of(value)
    local index = metatable and rawget(metatable, "__index")
    if is_our_function(index) then lazy_names(start, index, add) end
    if type(index) ~= "table" then break end
    value = index
  end
  table.sort(list, function(a, b)
    local a_private, b_private = a:sub(1, 1) == "_", b:sub(1, 1) == "_"
    if a_private ~= b_private then return b_private end
    return a < b
  end)
  return list
end

local function key_of(step)
  local text = step:match "^%[%s*([^%]]-)%s*%]$"
  if not text then return step:match "^[.:]%s*([%a_][%w_]*)$" end
  return math.tointeger(text) or text:match '^"([^"\\]*)"$' or text:match "^'([^'\\]*)'$"
end

--- Follows a path such as "model.rows[3].name" or "x:sum".
---@param path string names joined by "." and ":", and constant indices
---@param scope fun(name: string): any what the first name means
---@return any value nil when the path leads nowhere, or is none
---@return any owner what the last name was looked up in
---@return string? name the last name
function lookup.resolve(path, scope)
  local first, at = path:match "^%s*([%a_][%w_]*)()"
  if not first then return nil end
  local value, owner, name = scope(first), nil, first
  while path:find("%S", at) do
    local step, after = path:match("^%s*([.:]%s*[%a_][%w_]*)()", at)
    if not step then step, after = path:match("^%s*(%b[])()", at) end
    local key = step and key_of(step)
    if key == nil or value == nil then return nil end
    owner, name, at = value, key, after
    value = lookup.get(value, key)
  end
  return value, owner, tostring(name)
end

--- A scope of the globals, of giemsa, and of its parts under their plain names (nn for giemsa.nn).
---@param name string
---@return any
function lookup.globals(name)
  local found = lookup.get(_G, name)
  if found ~= nil then return found end
  local giemsa = require "giemsa"
  if name == "giemsa" then return giemsa end
  return lookup.get(giemsa, name)
end

return lookup
