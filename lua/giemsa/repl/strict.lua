--- Globals at a prompt: to read one that was never set is a mistake, and most often a misspelling.
-- To assign one creates it, as everywhere in Lua.
local lookup = require "giemsa.lookup"
local options = require "giemsa.options"

local strict = {}

local function message_of(name, locals)
  local giemsa = package.loaded.giemsa
  if giemsa and lookup.get(giemsa, name) ~= nil then
    return ("there is no variable '%s' yet; say %s = giemsa.%s"):format(name, name, name)
  end
  local known = {}
  for key in next, _G do known[key] = true end
  for _, key in ipairs(locals) do known[key] = true end
  return ("there is no variable '%s'%s"):format(name, options.hint(name, known))
end

--- The environment for a prompt's chunks: the globals, strictly.
---@param names fun(): string[] the locals that are seen, for "did you mean"
---@return table
function strict.environment(names)
  local assigned = {}
  return setmetatable({}, {
    __index = function(_, name)
      local value = _G[name]
      if value == nil and not assigned[name] and type(name) == "string" then
        error(message_of(name, names()), 2)
      end
      return value
    end,
    __newindex = function(_, name, value)
      assigned[name] = true
      _G[name] = value
    end,
    __pairs = function() return pairs(_G) end,
  })
end

return strict
