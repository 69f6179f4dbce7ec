--- The process that runs students' code. It is a program of its own, started anew, that gets the
-- lesson without solutions and hidden tests: what it never had, nobody can read out of it. It runs
-- the cells before the first exercise once, then forks an enclosed child for each submission
-- (core/sandbox.c). The child answers what the checker asks: run up to this cell, call this
-- function. Nothing that it says is taken for a verdict.
local cell = require "giemsa.cell"
local core = require "giemsa.core"
local display = require "giemsa.display"
local exercise = require "giemsa.exercise"
local notebook = require "giemsa.notebook"
local wire = require "giemsa.grade.wire"

local student = {}

local MESSAGE_MAX, LONG = 64 << 20, 1e6

-- ---- the child

-- Away with what has no use in an exercise. The kernel holds the child anyway: this gives clear
-- messages.
local function take_away()
  local function refused(name)
    return function() return nil, name .. " is not available while grading" end
  end
  local plain_load, plain_loadfile = load, loadfile
  debug = { traceback = debug.traceback }
  package.loaded.debug = debug
  package.loadlib, string.dump = nil, nil
  os.execute, io.popen = refused "os.execute", refused "io.popen"
  function load(chunk, name, _, ...) return plain_load(chunk, name, "t", ...) end
  function loadfile(path, _, ...) return plain_loadfile(path, "t", ...) end
  function dofile(path) return assert(plain_loadfile(path, "t"))() end
end

-- A lesson draws on, but nothing is drawn: no other program may run here.
local function draw_nothing()
  display.sinks = {}
  require("giemsa.gnuplot").render = function() return "not drawn while grading" end
end

local Child = {}
Child.__index = Child

function Child:export(value, kind)
  local number = self.numbers[value]
  if not number then
    number = #self.objects + 1
    self.objects[number], self.numbers[value] = value, number
  end
  return wire.object(number, kind)
end

function Child:encode(value)
  return wire.encode(value, function(one, kind) return self:export(one, kind) end)
end

local function short(message) return tostring(message):sub(1, 1000) end

-- All code cells up to a region and that region: what went wrong in it, and what it made.
function Child:run_to(name, wanted)
  local target, message = self.session.notebook:find(name)
  while self.session.next and self.session.next <= target.number do
    local number = self.session.next
    local outcome = self.session:run(number)
    if not outcome.ok and number == target.number then message = short(outcome.message) end
  end
  local values = {}
  for _, one in ipairs(wanted) do values[one] = self.session:get(one) end
  return message or false, values
end

-- The submission's regions in the lesson; false or why not, for each.
function Child:take(bodies)
  local book, problems = self.session.notebook, {}
  for name, body in pairs(bodies) do
    local text = {}
    for _, one in ipairs(book.cells) do
      text[#text + 1] = one.marker .. (one.name == name and body or one.body)
    end
    local new = notebook.parse(book.header .. table.concat(text), book.path)
    local ok, why = self.session:replace(new)
    if ok then book = new end
    problems[name] = not ok and short(why) or nil
  end
  return problems
end

function Child:call(number, arguments)
  return self.objects[number](table.unpack(arguments, 1, arguments.n))
end

function Child:index(number, key) return self.objects[number][key] end

function Child:length(number) return #self.objects[number] end

function Child:answer(request)
  local r = wire.decode(request, function(number) return self.objects[number] end)
  local results = table.pack(pcall(self[r.what], self, table.unpack(r, 1, r.n)))
  if not results[1] then return self:encode{ false, short(results[2]) } end
  return self:encode{ true, { n = results.n - 1, table.unpack(results, 2, results.n) } }
end

local function serve(self, fd)
  while true do
    local request = core.receive_message(fd, LONG, MESSAGE_MAX)
    if not request then return end
    local ok, answer = pcall(self.answer, self, request)
    if not ok then answer = self:encode{ false, short(answer) } end
    core.send_message(fd, answer, LONG)
  end
end

local function enclosed(session, job, fd)
  local ok, message = core.sandbox_enter(job.readable, job.scratch, job.memory, job.file_bytes,
    job.seconds)
  if not ok then return core.send_message(fd, wire.plain{ false, message }, 5) end
  take_away()
  serve(setmetatable({ session = session, objects = {}, numbers = {} }, Child), fd)
end

-- ---- the process that forks

local function without_checks(book)
  local parts = { book.header }
  for _, one in ipairs(book.cells) do
    local is_check = exercise.is_check(one)
    parts[#parts + 1] = one.marker .. (is_check and one.body:gsub("[^\n]+", "") or one.body)
  end
  return notebook.parse(table.concat(parts), book.path)
end

--- Runs the cells before the first region.
---@param session giemsa.Session
---@param first string name of the first region
---@return string? message of the first cell that failed
function student.run_common(session, first)
  draw_nothing()
  while session.next and session.notebook.cells[session.next].name ~= first do
    local outcome = session:run(session.next)
    if not outcome.ok then return outcome.message end
  end
end

local function prepare(setup)
  local book = without_checks(notebook.parse(setup.text, setup.path))
  local session, message = cell.session(book)
  return session, message or student.run_common(session, setup.first)
end

--- The program: its requests come over a descriptor.
---@param fd integer
function student.main(fd)
  local setup = wire.decode(assert(core.receive_message(fd, LONG, MESSAGE_MAX)))
  local session, message = prepare(setup)
  core.send_message(fd, wire.plain(message or true), LONG)
  while true do
    local request, passed = core.receive_message(fd, LONG, MESSAGE_MAX, true)
    if not request then os.exit(0) end
    local job = wire.decode(request)
    local pid = not job.pid and assert(core.fork(passed)) or job.pid
    if pid == 0 then
      pcall(enclosed, session, job, passed)
      core.exit_now(0)
    end
    if passed then core.close_fd(passed) end
    core.send_message(fd, wire.plain(job.pid and core.wait_child(pid) or pid), LONG)
  end
end

return student
