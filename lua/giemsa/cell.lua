--- The evaluator: runs a notebook cell by cell with the meaning of the whole script.
--
-- Forward, the file is ONE function in a coroutine. Each code cell's marker line becomes, on the same
-- line, a call that stops there and hands out a keeper, a function that refers to all locals so far:
--
--   -- %% name="fit"     becomes     __cell(7, function() return model, data end);
--
-- So locals, closures, goto, <close> and line numbers are those of the script. Once a cell is edited or
-- run again, and at a prompt, the cell is a function of its own. It names the locals that it can see
-- as its upvalues, and debug.upvaluejoin makes these the very variables of the keeper:
--
--   local __keep = ...; local model, data; return function(...)  <the cell>  __keep(keeper) end
--
-- A constant known when compiled (<const> with a literal) is no variable; it is declared again.
local lookup = require "giemsa.lookup"
local scopes = require "giemsa.cell.scope"
local syntax = require "giemsa.syntax"

local cell = {}

-- ---- compiling

local function unique_names(locals)
  local names, seen = {}, {}
  for _, one in ipairs(locals) do
    if not seen[one.name] then
      seen[one.name] = true
      names[#names + 1] = one.name
    end
  end
  return names
end

-- A first line "#!..." is no Lua.
local function without_shebang(text) return (text:gsub("^#[^\n]*", "")) end

-- What stands at a stop: the number of the cell that comes, and the keeper.
local function stop_call(number, names)
  return ("__cell(%d,function()return %s end);"):format(number, table.concat(names, ","))
end

-- A cell that is not to run keeps its lines.
local function code_of(one)
  if one:has_tag "skip-execution" then return (one.body:gsub("[^\n]+", "")) end
  return one.body
end

-- The file as one function that stops before each code cell and, unless it returns, at its end.
local function instrumented(notebook, plan)
  local parts = { "local __cell = ...; return function(...) ", without_shebang(notebook.header) }
  local locals, returns = {}, false
  local function add(text) parts[#parts + 1] = text end
  for i, one in ipairs(notebook.cells) do
    local body, scan = one.body, nil
    if one.kind == "code" then
      body = code_of(one)
      scan = syntax.scan(body)
      plan[i] = { locals = scan.locals, names = unique_names(locals),
        before = table.move(locals, 1, #locals, 1, {}) }
      add(stop_call(i, plan[i].names))
      table.move(scan.locals, 1, #scan.locals, #locals + 1, locals)
      returns = scan.returns ~= nil
    end
    add(scan and one.marker:match "[\r\n]*$" or one.marker)
    add(body)
  end
  plan.finish = { names = unique_names(locals), before = locals }
  if not returns then add("\n" .. stop_call(0, plan.finish.names)) end
  add("\nend")
  return table.concat(parts)
end

-- Why a notebook cannot be stepped though it compiles, or nil.
local function obstacle(notebook, text)
  local path = notebook.path or "notebook"
  local hidden = syntax.hidden_lines(text, require("giemsa.notebook").is_marker)[1]
  if hidden then
    return ("%s:%d: this marker lies within a string or comment, where other notebook programs "
      .. "begin a cell; write it another way"):format(path, hidden)
  end
  for _, one in ipairs(notebook.cells) do
    local open = one.kind == "code" and syntax.scan(one.body).open
    if open then
      return ("%s:%d: a block that begins here goes on in the next cell (%s)")
        :format(path, one.first + open - 1, one:label())
    end
  end
end

-- ---- running a piece

local STOP = {} -- marks our own yields

local function stop_here(number, keeper) coroutine.yield(STOP, number, keeper) end

-- An error as text. Lua's own words for objects without one.
local function message_of(problem)
  if type(problem) == "string" then return problem end
  local mt = getmetatable(problem)
  if type(problem) == "number" or type(mt) == "table" and mt.__tostring then
    return tostring(problem)
  end
  return ("(error object is a %s value)"):format(type(problem))
end

-- The level of the outermost function, found in few steps: looking at a level takes time in proportion.
local function last_level(thread)
  local low, high = 0, 1
  while debug.getinfo(thread, high, "S") do low, high = high, high * 2 end
  while low + 1 < high do
    local middle = (low + high) // 2
    if debug.getinfo(thread, middle, "S") then low = middle else high = middle end
  end
  return low
end

-- "lesson.lua:12: in function 'step'", for a frame of the lesson or its own modules.
local function frame_text(info, is_last)
  local place = ("%s:%d: in "):format(info.short_src, info.currentline)
  if is_last then return place .. "main chunk" end -- the function that holds the script
  if info.name then return ("%s%s '%s'"):format(place, info.namewhat ~= "" and info.namewhat
    or "function", info.name) end
  return ("%sfunction <line %d>"):format(place, info.linedefined)
end

local MOST_FRAMES = 20

-- The frames of a dead coroutine from where it failed outwards, without C's and giemsa's own.
local function frames_of(thread, last)
  local frames = {}
  for level = 0, last do
    local info = debug.getinfo(thread, level, "Slnt")
    if info.what ~= "C" and not lookup.is_ours(info.source) then
      frames[#frames + 1] = frame_text(info, level == last)
    end
    if #frames == MOST_FRAMES and level < last then
      frames[#frames + 1] = ("... %d more"):format(last - level)
      break
    end
  end
  return frames
end

---@class giemsa.Outcome
---@field ok boolean
---@field values table? packed: what the piece returned
---@field message string? "file:line: ..."
---@field traceback string[]?
---@field problem any? what was raised
---@field stopped "interrupted"|"timeout"|nil by Ctrl-C, by the clock

-- A yield that is not ours is one outside of every coroutine, to the script.
local STRAY = "attempt to yield from outside a coroutine"

local function failure(thread, problem)
  return { ok = false, message = message_of(problem), problem = problem,
    traceback = frames_of(thread, last_level(thread)) }
end

-- The outcome of what coroutine.resume gave; of a stop also its cell and keeper.
local function outcome_of(thread, results)
  if not results[1] then return failure(thread, results[2]) end
  if coroutine.status(thread) == "dead" then
    return { ok = true, values = table.pack(table.unpack(results, 2, results.n)) }
  end
  if results[2] == STOP then return { ok = true, values = { n = 0 } }, results[3], results[4] end
  local info = debug.getinfo(thread, 1, "Sl") or {}
  local where = info.currentline and ("%s:%d: "):format(info.short_src, info.currentline) or ""
  return failure(thread, where .. STRAY)
end

-- Ctrl-C ends what is resumed and nothing else, where the program offers that.
local has_interrupt, interrupt = pcall(require, "giemsa.interrupt")

local function resume(thread, ...)
  if not has_interrupt then return outcome_of(thread, table.pack(coroutine.resume(thread, ...))) end
  local results = table.pack(interrupt.resume(thread, ...))
  local stopped = interrupt.last()
  local outcome, number, keeper = outcome_of(thread, results)
  outcome.stopped = stopped
  return outcome, number, keeper
end

-- ---- the session

---@class giemsa.Session
---@field notebook giemsa.Notebook
---@field path string
---@field next integer? the code cell that comes; nil at the end
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
  local chunk, message = load(instrumented(session.notebook, plan), "@" .. session.path, "t")
  if not chunk then return nil, message end
  session.plan, session.thread = plan, coroutine.create(chunk(stop_here))
  local _, number, keeper = resume(session.thread, table.unpack(session.args))
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
  local ok, message = load(without_shebang(text), "@" .. path, "t")
  message = not ok and message or obstacle(notebook, text)
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

-- ---- a piece compiled alone

-- The text with each <close> at its top level as <const> (of the same length).
local function without_close(text, locals)
  for _, one in ipairs(locals) do
    if one.attribute == "close" then
      text = text:sub(1, one.at - 1) .. "const" .. text:sub(one.at + 5)
    end
  end
  return text
end

-- The keeper is handed out at the text's end, or before its `return`.
local function compile_alone(text, scope, name, first_line, environment)
  local scan = syntax.scan(text)
  local names = unique_names(scan.locals)
  local keep = (" do __keep(function() return %s end) end "):format(table.concat(names, ","))
  local at = scan.returns or #text + 1
  local head = ("local __keep = ...;%s;return function(...) "):format(scope:declarations())
  local chunk, message = load(head .. ("\n"):rep(first_line - 1)
    .. without_close(text:sub(1, at - 1), scan.locals)
    .. (scan.returns and "" or "\n") .. keep .. text:sub(at) .. "\nend", name, "t",
    environment or _ENV)
  return chunk, message, scan.locals, names
end

-- The message that the text alone gives ("near <eof>" and not "near 'end'").
local function syntax_message(text, name, first_line, message)
  local _, plain = load(("\n"):rep(first_line - 1) .. text, name, "t")
  return plain or message
end

-- What a failed cell had declared before it failed, as copies: its variables died with it.
local function harvest(thread, scope, locals)
  local values, level = {}, last_level(thread)
  for i = 1, 255 do
    local name, value = debug.getlocal(thread, level, i)
    if not name then break end
    values[name] = { value }
  end
  return scope:with_values(locals, values)
end

-- Runs text as the script would at this scope: the outcome, and the scope after it.
function Session:run_alone(text, scope, name, first_line, environment)
  local chunk, message, locals, names = compile_alone(text, scope, name, first_line, environment)
  if not chunk then
    return { ok = false, message = syntax_message(text, name, first_line, message),
      traceback = {} }, scope
  end
  local keeper
  local f = chunk(function(given) keeper = given end)
  scope:join(f)
  local thread = coroutine.create(f)
  local outcome = resume(thread, table.unpack(self.args))
  if not outcome.ok and not keeper then return outcome, harvest(thread, scope, locals) end
  if not keeper then return outcome, scope end
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
  local outcome, coming, keeper = resume(self.thread)
  if outcome.ok and coming then
    self:arrive(coming, keeper)
    return outcome
  end
  if not outcome.ok then -- the coroutine is dead: the lesson can go on cell by cell
    self.scope = harvest(self.thread, self.scope, self.plan[number].locals)
    coroutine.close(self.thread)
  end
  self.thread = nil
  self:expect_after(number)
  return outcome
end

-- The cell after this one comes next, in the scope that is there now.
function Session:expect_after(number)
  self.next = code_cell(self.notebook, number + 1)
  if self.next then self.scopes[self.next] = self.scope end
end

--- Runs a code cell. In order and unedited it is a piece of the running script; else it is compiled
--- alone, with the variables that stood before it. Never raises for what the cell does.
---@param number integer
---@return giemsa.Outcome
function Session:run(number)
  local one = self.notebook.cells[number]
  if self.thread and self.next == number then return self:run_forward(number) end
  self:leave_forward()
  local scope = self.scopes[number] or self.scope
  self.scopes[number] = scope
  local outcome
  outcome, self.scope = self:run_alone(code_of(one), scope, "@" .. self.path, one.first)
  self:expect_after(number)
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
  local chunk = compile_alone(code_of(one), scope, "=", 1)
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
  return unique_names(syntax.scan(self.notebook.cells[number].body).locals)
end

--- Goes to a code cell that was reached before, as if nothing after it had run.
---@param number integer
function Session:go_to(number)
  if number == self.next then return end
  self:leave_forward()
  self.next, self.scope = number, self.scopes[number] or self.scope
end

-- What belongs to the cells of the old notebook, at the cells of the same name (or number) of the new.
local function moved(scopes, old, new)
  local after = {}
  for number, scope in pairs(scopes) do
    local one = old.cells[number]
    local there = one and one.name and new:find(one.name) or one
    if there then after[there.number] = scope end
  end
  return after
end

--- Takes an edited text of the notebook: cells are run from it from now on.
---@param notebook giemsa.Notebook
---@return boolean? ok nil and why when it does not compile; the old one stays
---@return string? message
function Session:replace(notebook)
  local text = notebook:text()
  if text == self.notebook:text() then return true end
  local ok, message = load(without_shebang(text), "@" .. self.path, "t")
  message = not ok and message or obstacle(notebook, text)
  if message then return nil, message end
  self:leave_forward()
  local old = self.notebook
  self.notebook = notebook
  self.scopes = moved(self.scopes, old, notebook)
  local place = self.next and old.cells[self.next]
  self.next = place and code_cell(notebook, (place.name and notebook:find(place.name)
    or place).number)
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
    if not ok then problem = problem or message_of(message) end
  end
  self.closing = {}
  return problem
end

return cell
