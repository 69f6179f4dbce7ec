--- What all ops are made with: checked options, the core's complaints as the caller's, recording.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local options = require "giemsa.options"

local base = {}

--- The core's message without the place in our files and the number of an argument the caller never
--- wrote.
local function plain(message)
  return (tostring(message):gsub("^%S*/giemsa/ops/%w+%.lua:%d+: ", "")
    :gsub("^bad argument #%d+ to '[^']*' %((.*)%)$", "%1"))
end

--- base.result("conv2d", pcall(core.conv2d, ...)): the results, or the message raised as that of
--- the op's caller.
function base.result(who, ok, ...)
  if ok then return ... end
  local message = plain(...)
  error(message:find(who .. ":", 1, true) == 1 and message or who .. ": " .. message, 3)
end

-- Which values type() may give for "integer|table".
local function lua_types(names)
  local types = {}
  for name in names:gmatch("[^|]+") do types[name == "integer" and "number" or name] = true end
  return types
end

--- Options that an op knows, prepared so that a correct table costs next to nothing to check.
---@param known table<string, string> as for options.check
function base.options(known)
  local types = {}
  for key, names in pairs(known) do types[key] = lua_types(names) end
  return { known = known, types = types }
end

local none = {}

--- Checks a table of options; called by the op itself (the error level counts on it).
function base.check(who, given, spec)
  if given == nil then return none end
  if type(given) == "table" then
    local types, good = spec.types, true
    for key, value in next, given do
      local expected = types[key]
      if not (expected and expected[type(value)]) then good = false end
    end
    if good then return given end
  end
  options.check(who, given, spec.known, 4)
  return given
end

--- A number for both directions, or {rows, columns}; `otherwise` when absent. Called by the op
--- itself, or by a function so many levels below it.
function base.pair(who, key, value, otherwise, otherwise2, below)
  if value == nil then return otherwise, otherwise2 or otherwise end
  local a, b = value, value
  if type(value) == "table" then a, b = value[1], value[2] end
  a, b = math.tointeger(a), math.tointeger(b)
  if not (a and b and a >= 1 and b >= 1) then
    error(who .. ": " .. key
      .. " must be a whole number from 1 up, or two of them {rows, columns}", 3 + (below or 0))
  end
  return a, b
end

--- grad.target of an operand that may also be a number.
function base.target(x) return type(x) ~= "number" and grad.target(x) end

--- Adds the gradient g of a broadcast result to the operand it came from.
function base.give_back(to, g) grad.accumulate(to, core.sum_to(g, to.shape)) end

return base
