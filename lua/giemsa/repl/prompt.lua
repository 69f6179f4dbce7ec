--- A prompt's state and what it can do with a text: run it, explain a name, go through a lesson.
-- Chunks are run by the notebook's evaluator, so that locals live on, and inside a lesson the
-- lesson's own variables are seen and set.
local cell = require "giemsa.cell"
local core = require "giemsa.core"
local display = require "giemsa.display"
local docs = require "giemsa.docs"
local help = require "giemsa.help"
local lookup = require "giemsa.lookup"
local notebook = require "giemsa.notebook"
local present = require "giemsa.repl.present"
local strict = require "giemsa.repl.strict"

---@class giemsa.Prompt
---@field session giemsa.Session what runs the chunks
---@field past string[] what was typed
---@field lesson string? the lesson's name when inside one
local Prompt = {}
Prompt.__index = Prompt

--- A prompt without a lesson.
---@param call fun(f: function, ...): boolean, ... a protected call that Ctrl-C can interrupt
---@return giemsa.Prompt
function Prompt.new(call)
  local self = setmetatable({ call = call, past = {}, before = {} }, Prompt)
  for name in next, _G do self.before[name] = true end
  self:enter(assert(cell.session(notebook.parse("", "prompt"))))
  return self
end

--- Goes on in a session; what is typed there is checked for misspelt globals.
---@param session giemsa.Session
---@param lesson string? its name
function Prompt:enter(session, lesson)
  self.session, self.lesson = session, lesson
  session.environment = strict.environment(function() return session:names() end)
end

--- What a name means here; to help and completion giemsa's parts have their plain names too.
---@param name string
---@return any
function Prompt:get(name)
  local value = self.session:get(name)
  if value == nil then value = lookup.globals(name) end
  return value
end

--- The same as a function of the name alone.
---@return fun(name: string): any
function Prompt:scope() return function(name) return self:get(name) end end

--- The variables that were not there when the prompt began: locals and globals.
---@return string[]
function Prompt:own_names()
  local names, seen = self.session:names(), {}
  for _, name in ipairs(names) do seen[name] = true end
  for name in next, _G do
    if type(name) == "string" and not self.before[name] and not seen[name] and name ~= "_" then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

-- Calls a method that runs the user's code, so that Ctrl-C stops it.
local function guarded(self, f, ...)
  local ok, outcome = self.call(f, ...)
  if ok then return outcome end
  local message = tostring(outcome):match "^[^\n]*"
  return { ok = false, message = message:match "interrupted!$" or message, traceback = {} }
end

--- Runs text and shows nothing. `_` becomes the first value.
---@param text string
---@param name string what errors call it
---@return giemsa.Outcome
function Prompt:attempt(text, name)
  docs.keep("=" .. name, text)
  display.begin()
  local outcome = guarded(self, self.session.eval, self.session, text, "=" .. name)
  if outcome.ok and outcome.values.n > 0 and outcome.values[1] ~= nil then
    _G._ = outcome.values[1]
  end
  return outcome
end

--- Runs text; errors are shown.
---@param text string
---@return giemsa.Outcome
function Prompt:evaluate(text)
  self.past[#self.past + 1] = text
  local name = ("input %d"):format(#self.past)
  local outcome = self:attempt(text, name)
  if not outcome.ok then present.error(outcome, name, text:find("\n", 1, true) ~= nil) end
  return outcome
end

--- Runs what was typed and shows its values.
---@param text string
function Prompt:run(text)
  local is_quiet = text:find ";%s*$" ~= nil
  local started = core.now()
  local outcome = self:evaluate((text:gsub("^%s*=", "", 1)))
  local seconds = core.now() - started
  if outcome.ok and not is_quiet then
    local shown, message = self.call(present.values, outcome.values)
    if not shown then present.complain("the value cannot be shown: " .. tostring(message)) end
  end
  present.time(seconds)
end

--- ?name and ??name.
---@param topic string
---@param wants_source boolean
function Prompt:explain(topic, wants_source)
  local how = { columns = present.columns(), colour = present.colour, scope = self:scope() }
  local text, message = (wants_source and help.source or help.text)(topic, how)
  if text then present.page(text) else io.write(message, "\n") end
end

-- ---- lessons

local function remark(text, ...) io.write(present.dim(text:format(...)), "\n") end

-- Runs the lesson's cells from its next one through number `last`.
local function run_cells(self, last)
  local session = self.session
  while session.next and session.next <= last do
    local one = session.notebook.cells[session.next]
    if #session.notebook.cells > 1 then remark("-- %s", one:label()) end
    local outcome = guarded(self, session.run, session, session.next)
    if not outcome.ok then
        present.error(outcome, "\0", false)
      return remark("stopped in %s; its variables are here", one:label())
    end
  end
  local coming = session.next and session.notebook.cells[session.next]
  if coming then remark("next: %s", coming:label()) end
end

local function cell_named(self, name)
  local names = {}
  for i, one in ipairs(self.session.notebook.cells) do
    if one.name == name then return i end
    if one.name and one.kind == "code" then names[#names + 1] = one.name end
  end
  io.write(("the lesson has no cell '%s'; it has %s\n"):format(name, table.concat(names, ", ")))
end

--- Runs a lesson's next cell, or on through the cell named.
---@param name string?
function Prompt:next_cell(name)
  if not self.session.next then
    io.write(self.lesson and "the lesson is at its end\n" or "no lesson is open; see :lesson\n")
    return
  end
  local last = self.session.next
  if name then last = cell_named(self, name) end
  if last then run_cells(self, last) end
end

--- Runs a lesson, to its end or through the cell named, and goes on inside it.
---@param path string
---@param name string?
---@param args string[]? what the script sees as `...`
function Prompt:open_lesson(path, name, args)
  local read, why = notebook.read(path)
  local session = read
  if read then session, why = cell.session(read, args) end
  if not session then
    present.complain(why)
    return
  end
  self.session:close()
  self:enter(session, path:match "([^/]+)%.lua$" or path)
  local last = name and cell_named(self, name) or not name and #read.cells
  if last then run_cells(self, last) end
end

return Prompt
