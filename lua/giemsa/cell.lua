--- The evaluator: runs a notebook cell by cell with the meaning of the whole script.
--
-- Forward, the file is ONE function in a coroutine that stops before each code cell. So locals,
-- closures, goto, <close> and line numbers are those of the script. Once a cell is edited or run
-- again, and at a prompt, the cell is a function of its own whose upvalues are joined to the
-- script's variables. How the two are compiled is in cell/source.lua, what code can see in
-- cell/scope.lua, how a piece ends in cell/outcome.lua.
local changes = require "giemsa.notebook.changes"
local outcomes = require "giemsa.cell.outcome"
local scopes = require "giemsa.cell.scope"
local source = require "giemsa.cell.source"
local syntax = require "giemsa.syntax"

local debug, begin_checks = debug, require("giemsa.check").begin -- as they are now: a lesson may change them

local cell = {}

-- ---- the session

---@class giemsa.Session
---@field notebook giemsa.Notebook
---@field path string
---@field next integer? the code cell that comes; nil at the end
---@field has_returned boolean? the script ended itself before its last cell
---@field environment table? the globals of what is typed at a prompt
local Session = {}
Session.__index = Session

-- The code cell from number on.
local function code_cell(notebook, number)
  for i = number, #notebook.cells do
    if notebook.cells[i].kind == "code" then return i end
  end
end

-- Compiles the file and goes to its first cell.
local function start_forward(session)
  local plan = {}
  local chunk, message = load(source.forward(session.notebook, plan), "@" .. session.path, "t")
  if not chunk then return nil, message end
  session.plan, session.thread = plan, coroutine.create(chunk(outcomes.stop))
  local _, number, keeper = outcomes.resume(session.thread, table.unpack(session.args))
  session:arrive(number, keeper)
  return session
end

--- A session: the notebook about to run, with a fresh scope. Nothing runs before session:run.
---@param notebook giemsa.Notebook
---@param args string[]? what the script sees as `...`
---@return giemsa.Session? session nil and "file:line: why" when it cannot run
---@return string? message
function cell.session(notebook, args)
  local text = notebook:text()
  local path = notebook.path or "notebook"
  local ok, message = load(syntax.script(text), "@" .. path, "t")
  message = not ok and message or source.obstacle(notebook, text)
  if message then return nil, message end
  local session = setmetatable({ notebook = notebook, path = path, args = args or {},
    scopes = {}, closing = {}, scope = scopes.new() }, Session)
  return start_forward(session)
end

-- The coroutine stands before a cell (0: at the end).
function Session:arrive(number, keeper)
  local plan = number and (self.plan[number] or self.plan.finish)
  self.next = number ~= 0 and number or nil
  if plan then self.scope = scopes.new():extended(plan.before, plan.names, keeper) end
  if self.next then self.scopes[self.next] = self.scope end
end

-- What a failed cell had declared before it failed, as copies: its variables died with it.
local function harvest(thread, scope, locals)
  local values, level = {}, outcomes.last_level(thread)
  for i = 1, 255 do
    local name, value = debug.getlocal(thread, level, i)
    if not name then break end
    values[name] = { value }
  end
  return scope:with_values(locals, values)
end

-- Runs text as the script would at this scope: the outcome, the scope after it, and whether it returned from
-- within a block.
function Session:run_alone(text, scope, name, first_line, environment)
  local chunk, message, locals, names = source.alone(text, scope, name, first_line, environment)
  if not chunk then
    return { ok = false, message = source.syntax_message(text, name, first_line, message),
      traceback = {} }, scope
  end
  local keeper
  local f = chunk(function(given) keeper = given end)
  scope:join(f)
  local thread = coroutine.create(f)
  local outcome = outcomes.resume(thread, table.unpack(self.args))
  if not outcome.ok and not keeper then return outcome, harvest(thread, scope, locals) end
  if not keeper then return outcome, scope, true end
  local after = scope:extended(locals, names, keeper)
  for _, one in ipairs(locals) do
    if one.attribute == "close" then table.insert(self.closing, after:get(one.name)) end
  end
  return outcome, after
end

-- The script's function was left for good: what it holds stays, its later text is not run.
function Session:leave_forward()
  if self.thread then table.insert(self.closing, self.thread) end
  self.thread = nil
end

function Session:run_forward(number)
  local outcome, coming, keeper = outcomes.resume(self.thread)
  if outcome.ok and coming then
    self:arrive(coming, keeper)
    return outcome
  end
  if outcome.ok then
    self.thread = nil
    self:expect_nothing(number)
    return outcome
  end
  self.scope = harvest(self.thread, self.scope, self.plan[number].locals)
  coroutine.close(self.thread) -- it is dead, but the lesson can go on cell by cell
  self.thread = nil
  self:expect_after(number)
  return outcome
end

-- The cell after this one comes next, in the scope that is there now.
function Session:expect_after(number)
  self.next = code_cell(self.notebook, number + 1)
  if self.next then self.scopes[self.next] = self.scope end
end

-- The script has returned: what stands below is not to run.
function Session:expect_nothing(number)
  self.next = nil
  self.has_returned = code_cell(self.notebook, number + 1) ~= nil
end

--- Runs a code cell. In order and unedited it is a piece of the running script; else it is compiled
--- alone, with the variables that stood before it. Never raises for what the cell does.
---@param number integer
---@return giemsa.Outcome
function Session:run(number)
  local one = self.notebook.cells[number]
  begin_checks(one)
  if self.thread and self.next == number then return self:run_forward(number) end
  self:leave_forward()
  local scope = self.scopes[number] or self.scope
  self.scopes[number] = scope
  local outcome, has_returned
  outcome, self.scope, has_returned = self:run_alone(source.code_of(one), scope, "@" .. self.path, one.first)
  if has_returned then self:expect_nothing(number) else self:expect_after(number) end
  return outcome
end

--- Leaves a cell out. Given values (of a cache) are those of the locals that it would declare.
---@param number integer
---@param values table<string, any[]>? by name, each in a table
function Session:skip(number, values)
  self:leave_forward()
  local locals = syntax.scan(self.notebook.cells[number].body).locals
  self.scope = (self.scopes[number] or self.scope):with_values(locals, values or {})
  self:expect_after(number)
end

--- The locals made before a cell that it names.
---@param number integer
---@return string[]
function Session:used(number)
  local one, scope = self.notebook.cells[number], self.scopes[number] or self.scope
  local chunk = source.alone(source.code_of(one), scope, "=", 1)
  local f, names = chunk(type), {}
  for i = 1, 255 do
    local name = debug.getupvalue(f, i)
    if not name then break end
    if scope.variables[name] then names[#names + 1] = name end
  end
  return names
end

--- The value of a local made before a cell.
---@param number integer
---@param name string
---@return any
function Session:value(number, name) return (self.scopes[number] or self.scope):get(name) end

--- The names that a cell declares.
---@param number integer
---@return string[]
function Session:declared(number)
  return source.unique_names(syntax.scan(self.notebook.cells[number].body).locals)
end

--- Goes to a code cell that was reached before, as if nothing after it had run.
---@param number integer
function Session:go_to(number)
  if number == self.next then return end
  self:leave_forward()
  self.next, self.scope = number, self.scopes[number] or self.scope
end

--- Takes an edited text of the notebook: cells are run from it from now on.
---@param notebook giemsa.Notebook
---@return boolean? ok nil and why when it does not compile; the old one stays
---@return string? message
function Session:replace(notebook)
  local text = notebook:text()
  if text == self.notebook:text() then return true end
  local ok, message = load(syntax.script(text), "@" .. self.path, "t")
  message = not ok and message or source.obstacle(notebook, text)
  if message then return nil, message end
  self:leave_forward()
  begin_checks()
  local to, old_scopes, old_next = changes(self.notebook, notebook), self.scopes, self.next
  local count = #self.notebook.cells
  self.notebook, self.scopes, self.next = notebook, {}, nil
  for number, scope in pairs(old_scopes) do
    if to[number] then self.scopes[to[number]] = scope end
  end
  for number = old_next or count + 1, count do -- the cell that comes may be gone: then the one after it
    if to[number] then self.next = code_cell(notebook, to[number]) break end
  end
  return true
end

-- The scope at a prompt: the lesson's, and what earlier texts there declared.
local function prompt_scope(session)
  if session.prompt_base ~= session.scope then
    session.prompt_base, session.prompt_scope = session.scope, session.scope
  end
  return session.prompt_scope
end

--- Runs text where the lesson stands, as a prompt does; it gives the value of a last expression.
--- Its own locals are seen by later texts, not by the lesson.
---@param text string
---@param name string? of the chunk, default "=stdin"
---@return giemsa.Outcome
function Session:eval(text, name)
  local outcome
  begin_checks()
  outcome, self.prompt_scope = self:run_alone(syntax.with_value(text), prompt_scope(self),
    name or "=stdin", 1, self.environment)
  return outcome
end

--- The names of the locals that are seen where the lesson stands.
---@return string[]
function Session:names() return prompt_scope(self):names() end

--- The value of a local that is seen there, else of a global.
---@param name string
---@return any
function Session:get(name) return prompt_scope(self):get(name) end

--- Gives a value to the local that is seen there, else to a global.
---@param name string
---@param value any
function Session:assign(name, value) self.scope:set(name, value) end

--- Ends the session: variables declared <close> are closed, the last first.
---@return string? message of the first that failed
function Session:close()
  self:leave_forward()
  local problem
  for i = #self.closing, 1, -1 do
    local one = self.closing[i]
    local ok, message
    if type(one) == "thread" then
      ok, message = coroutine.close(one)
    else
      local mt = getmetatable(one)
      ok, message = pcall(mt and mt.__close or type, one, nil)
    end
    if not ok then problem = problem or outcomes.message_of(message) end
  end
  self.closing = {}
  return problem
end

return cell
