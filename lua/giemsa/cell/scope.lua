--- A scope: the local variables that the code at one place of a script can see. A variable is an
-- upvalue of some function (its keeper), so that many pieces of code can share it.
local debug = debug -- as it is now: a lesson may change the global

---@class giemsa.Variable
---@field name string
---@field attribute string? "const" or "close"
---@field keeper function? the function whose upvalue it is; nil for a constant
---@field index integer? the upvalue
---@field value any of a constant

---@class giemsa.Scope: table<string, giemsa.Variable>
local Scope = {}
Scope.__index = Scope

--- An empty scope.
---@return giemsa.Scope
function Scope.new() return setmetatable({ variables = {} }, Scope) end

local function copy(scope)
  local after = Scope.new()
  for name, variable in pairs(scope.variables) do after.variables[name] = variable end
  return after
end

local function upvalue_index(f, name)
  for i = 1, 255 do
    local own = debug.getupvalue(f, i)
    if own == name or not own then return own and i end
  end
end

-- A variable of its own that holds a value.
local function fresh(one, value)
  local function keeper() return value end
  return { name = one.name, attribute = one.attribute, keeper = keeper, index = 1 }
end

--- The scope after locals were declared.
---@param locals giemsa.Local[]
---@param names string[] their names, each once
---@param keeper function returns them in the order of names
---@return giemsa.Scope
function Scope:extended(locals, names, keeper)
  local after, values = copy(self), {}
  local given = table.pack(keeper())
  for i, name in ipairs(names) do values[name] = given[i] end
  for _, one in ipairs(locals) do
    local index = upvalue_index(keeper, one.name)
    local variable = { name = one.name, attribute = one.attribute }
    if index then variable.keeper, variable.index = keeper, index
    else variable.value = values[one.name] end
    after.variables[one.name] = variable
  end
  return after
end

--- The scope after locals were declared whose values are given as { name = {value} }; those without
--- are left out.
---@param locals giemsa.Local[]
---@param values table<string, any[]>
---@return giemsa.Scope
function Scope:with_values(locals, values)
  local after = copy(self)
  for _, one in ipairs(locals) do
    local value = values[one.name]
    if value then after.variables[one.name] = fresh(one, value[1]) end
  end
  return after
end

---@return string[]
function Scope:names()
  local names = {}
  for name in pairs(self.variables) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- The value of a local, else of a global.
---@param name string
---@return any
function Scope:get(name)
  local variable = self.variables[name]
  if not variable then return _G[name] end
  if not variable.keeper then return variable.value end
  return (select(2, debug.getupvalue(variable.keeper, variable.index)))
end

--- Gives a value to a local, else to a global. A constant stays what it is.
---@param name string
---@param value any
function Scope:set(name, value)
  local variable = self.variables[name]
  if not variable then _G[name] = value return end
  if variable.keeper then debug.setupvalue(variable.keeper, variable.index, value) end
end

-- On one line, so that the cell's lines stay where they are.
local function literal(value) return (("%q"):format(value):gsub("\\\n", "\\n")) end

--- Declares the variables for a piece that is compiled alone, below a local `__keep`. <close>
--- became <const>: they are closed at the session's end. A constant expression would be folded, so
--- other constants are declared from one that is none. Only what the piece names is declared: a chunk
--- has room for 200.
---@param text string the piece
---@return string
function Scope:declarations(text)
  local parts, words = {}, {}
  for word in text:gmatch "[%a_][%w_]*" do words[word] = true end
  for _, name in ipairs(self:names()) do
    local variable = self.variables[name]
    if not words[name] then -- not seen from there
    elseif not variable.keeper then
      parts[#parts + 1] = ("local %s <const> = %s"):format(name, literal(variable.value))
    elseif variable.attribute then
      parts[#parts + 1] = ("local %s <const> = __keep"):format(name)
    else
      parts[#parts + 1] = "local " .. name
    end
  end
  return table.concat(parts, ";")
end

--- Makes the upvalues of a function the scope's variables of the same names.
---@param f function
function Scope:join(f)
  for i = 1, 255 do
    local name = debug.getupvalue(f, i)
    local variable = name and self.variables[name]
    if not name then return end
    if variable and variable.keeper then
      debug.upvaluejoin(f, i, variable.keeper, variable.index)
    end
  end
end

return Scope
