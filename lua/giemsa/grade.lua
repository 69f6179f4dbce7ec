--- Grades submissions of a lesson. Who submits may be hostile, so three kinds of process work on it:
--
--   this one       reads files as bytes, starts the others, kills them when their time is over, and
--                  adds up points. It has run the master's cells before the first region.
--   checkers       one a submission, forked from this one: parse it, run the master's checks
--                  (grade/checker.lua). No student's code.
--   the student's  one program, started anew, without the master's solutions and hidden tests; it
--                  forks an enclosed child a submission (grade/student.lua). No verdicts.
--
-- A region whose code hangs, ends or exhausts its process is left out and the submission graded
-- again, so that it costs the points of that exercise and no others.
local cell = require "giemsa.cell"
local core = require "giemsa.core"
local exercise = require "giemsa.exercise"
local highlight = require "giemsa.highlight"
local notebook = require "giemsa.notebook"
local options = require "giemsa.options"
local add_up = require "giemsa.grade.points"
local quietly = require "giemsa.grade.quietly"
local reach = require "giemsa.grade.reach"
local wire = require "giemsa.grade.wire"

local grade = {}

local MESSAGE_MAX, LONG, TICK = 64 << 20, 600, 0.1
local SCRATCH_BYTES, SCRATCH_ENTRIES, FILE_BYTES = 64 << 20, 1000, 16 << 20

---@class giemsa.grade.Exercise a cell with checks
---@field number integer
---@field name string
---@field points number
---@field checks string[] their names, as the master's solution passes them
---@field regions string[] those whose variables it looks at

---@class giemsa.Grade
---@field student string
---@field points number
---@field of number
---@field exercises {name: string, points: number, of: number, results: giemsa.CheckResult[], message: string?}[]
---@field notes string[] for the instructor

---@class giemsa.Grader
---@field session giemsa.Session
---@field exercises giemsa.grade.Exercise[]
local Grader = {}
Grader.__index = Grader

-- ---- the master

local function names_in(text)
  local names = {}
  for _, token in ipairs(highlight.tokens(text)) do
    if token.kind == "name" or token.kind == "call" then names[token.text] = true end
  end
  return names
end

local function regions_of(one, regions)
  local names, found = names_in(one.body), {}
  for _, region in ipairs(regions) do
    for _, made in ipairs(exercise.made(region)) do
      if names[made] then found[#found + 1] = region.name break end
    end
  end
  return found
end

local function cells_of(master)
  local regions, exercises, seen = {}, {}, {}
  for _, one in ipairs(master.cells) do
    local is_region = exercise.is_region(one)
    if is_region or exercise.is_check(one) then
      if not one.name or seen[one.name] then
        return nil, ("%s:%d: a cell that is graded needs a name of its own"):format(master.path,
          one.line)
      end
      seen[one.name] = true
    end
    if is_region then
      regions[#regions + 1] = one
    elseif exercise.is_check(one) then
      exercises[#exercises + 1] = { number = one.number, name = one.name, points = one.points,
        regions = regions_of(one, regions) }
    end
  end
  if #regions == 0 then return nil, master.path .. ": no cell is tagged \"solution\"" end
  local last = exercises[#exercises]
  if not last or last.number < regions[1].number then
    return nil, master.path .. ": no checks stand behind the first cell tagged \"solution\""
  end
  return regions, exercises
end

-- ---- the other processes

local function start_student(program, lesson, first)
  local here, there = core.socket_pair()
  if not here then return nil, there end
  local pid, why = core.fork(there)
  if not pid then return nil, why end
  if pid == 0 then
    core.exec({ program, "-E", "-e", "require('giemsa.grade.student').main(3)" }, there)
    core.exit_now(127)
  end
  core.close_fd(there)
  local setup = wire.plain{ text = lesson:text(), path = lesson.path, first = first }
  core.send_message(here, setup, LONG)
  local answer, problem = core.receive_message(here, LONG, MESSAGE_MAX)
  answer = answer and wire.decode(answer) or "the process for students' code: " .. tostring(problem)
  if answer ~= true then return nil, answer end
  return here, pid
end

local function ask_student(self, request, passed)
  assert(core.send_message(self.student_fd, wire.plain(request), LONG, passed))
  return wire.decode(assert(core.receive_message(self.student_fd, LONG, MESSAGE_MAX)))
end

-- ---- one submission

local function folders_for(self, job)
  local scratch = assert(core.make_scratch())
  job.scratch = scratch
  for _, part in ipairs { "/code", "/checks" } do
    assert(core.make_folder(scratch .. part))
    if self.data_name then assert(core.symlink(self.data, scratch .. part .. "/" .. self.data_name)) end
  end
end

local function enclose(self, scratch)
  return core.sandbox_enter(self.readable, scratch, self.memory, FILE_BYTES, math.ceil(self.total))
end

local function check_in_child(self, job, fd, results)
  local function tell(event) core.send_message(results, wire.plain(event), LONG) end
  local ok, message = enclose(self, job.scratch .. "/checks")
  if ok then
    ok, message = pcall(require("giemsa.grade.checker").run, { session = self.session,
      regions = self.regions, lesson = self.lesson, text = job.text, excluded = job.excluded,
      fd = fd, seconds = self.seconds, last = self.exercises[#self.exercises].number }, tell)
  end
  if not ok then tell{ what = "trouble", text = "grading ended early: " .. tostring(message) } end
end

function Grader:launch(job)
  self.open[job] = true
  job.events, job.started = {}, core.now()
  folders_for(self, job)
  local ours, theirs = core.socket_pair()
  local results, out = core.socket_pair()
  job.code_pid = ask_student(self, { scratch = job.scratch .. "/code", readable = self.readable,
    memory = self.memory, file_bytes = FILE_BYTES, seconds = math.ceil(self.total) }, theirs)
  core.close_fd(theirs)
  job.pid = assert(core.fork(ours, out))
  if job.pid == 0 then
    pcall(check_in_child, self, job, ours, out)
    core.exit_now(0)
  end
  core.close_fd(ours)
  core.close_fd(out)
  job.fd = results
  self.running[#self.running + 1] = job
end

local function explain(why, status)
  if why ~= "its process ended" then return why end
  if status == 128 + 9 then return "its process gave no answer any more, or used too much time" end
  if status > 128 then return ("its process crashed (signal %d)"):format(status - 128) end
  return ("its process ended by itself (os.exit?), with code %d"):format(status)
end

-- Ends the processes of a job. Returns the exit status of the student's.
local function clean_up(self, job)
  core.kill_session(job.pid)
  core.wait_child(job.pid)
  core.kill_session(job.code_pid)
  local status = ask_student(self, { pid = job.code_pid })
  job.pid, job.code_pid = nil, nil -- these numbers may be others' now
  core.close_fd(job.fd)
  core.remove_tree(job.scratch)
  self.open[job] = nil
  return status
end

-- Leaves the region out with which the process was lost. Was it left out already, one before it is
-- to blame. False when there is none.
local function leave_out(self, job, name, why)
  if not job.excluded[name] then
    job.excluded[name] = why
    return true
  end
  local earlier
  for _, region in ipairs(self.regions) do
    if region.name == name then break end
    if not job.excluded[region.name] then earlier = region.name end
  end
  if not earlier then return false end
  job.excluded[earlier], job.excluded[name] = "it broke what runs the cells: " .. why, nil
  return true
end

function Grader:finish(job, problem)
  local status, lost, is_done = clean_up(self, job), nil, false
  for _, event in ipairs(job.events) do
    if event.what == "lost" then lost = event end
    is_done = is_done or event.what == "done"
  end
  if lost and leave_out(self, job, lost.region, job.overrun or explain(lost.why, status)) then
    job.overrun = nil
    table.insert(self.waiting, job)
    return
  end
  job.problem = problem or not is_done and "the checks did not come to their end" or nil
  self.done(job)
end

-- What a job may not have: too much time, too much on the disk.
local function watch(self, job)
  if core.now() - job.started > self.total then
    return self:finish(job, ("it was stopped after %g s"):format(self.total))
  end
  local bytes, entries = core.folder_usage(job.scratch)
  if bytes and (bytes > SCRATCH_BYTES or entries > SCRATCH_ENTRIES) and not job.overrun then
    job.overrun = "it filled the disk"
    core.kill_session(job.code_pid) -- the checker sees that it has ended
  end
  return true
end

local function read_event(job)
  local bytes = core.receive_message(job.fd, 5, MESSAGE_MAX)
  if not bytes then return false end
  job.events[#job.events + 1] = wire.decode(bytes)
  return job.events[#job.events].what ~= "done"
end

-- Waits a moment; handles what has come.
function Grader:turn()
  local fds, over = {}, {}
  for i, job in ipairs(self.running) do fds[i] = job.fd end
  for _, i in ipairs(core.wait_readable(fds, TICK)) do
    if not read_event(self.running[i]) then over[i] = true end
  end
  local jobs = self.running
  self.running = {}
  for i, job in ipairs(jobs) do
    if over[i] then self:finish(job)
    elseif watch(self, job) then self.running[#self.running + 1] = job end
  end
end

-- Ends what runs when grading itself ends early: Ctrl-C, no place on the disk.
local function abandon(self)
  for job in pairs(self.open) do
    if job.pid then core.kill_session(job.pid) end
    if job.code_pid then core.kill_session(job.code_pid) end
    if job.scratch then core.remove_tree(job.scratch) end
  end
  self.open = {}
end

local function work(self)
  while #self.waiting > 0 or #self.running > 0 do
    while #self.waiting > 0 and #self.running < self.jobs do
      self:launch(table.remove(self.waiting, 1))
    end
    self:turn()
  end
end

-- Grades all jobs, some at a time; calls f(job) for each that is done.
function Grader:all(jobs, f)
  self.waiting, self.running, self.open, self.done = jobs, {}, {}, f
  local ok, message = pcall(work, self)
  if ok then return end
  abandon(self)
  error(message, 0)
end

-- ---- the master as a submission

-- The master itself is the first submission: it says which checks there are, and must pass them.
local function rehearse(self, master)
  local problems = {}
  self:all({ { student = master.path, text = master:text(), excluded = {} } }, function(job)
    problems[1] = job.problem
    for region, why in pairs(job.excluded) do problems[#problems + 1] = region .. ": " .. why end
    for _, event in ipairs(job.events) do
      if event.what == "trouble" then problems[#problems + 1] = event.text end
      if event.what == "region" then problems[#problems + 1] = event.name .. ": " .. event.message end
      if event.message and event.what == "cell" then problems[#problems + 1] = event.message end
      for _, one in ipairs(self.exercises) do
        if event.number == one.number then
          one.checks = {}
          for i, result in ipairs(event.results) do
            one.checks[i] = result.name
            if result.status ~= "passed" then
              problems[#problems + 1] = ("check '%s': %s"):format(result.name, result.message)
            end
          end
          one.points = one.points or #one.checks
        end
      end
    end
  end)
  if #problems == 0 then return true end
  return nil, master.path .. ": its own solutions do not pass when graded:\n  "
    .. table.concat(problems, "\n  ")
end

-- ---- all of it

local OPTIONS = { program = "string", seconds = "number", total = "number", memory = "number",
  jobs = "integer", data = "string", private = "table" }

--- Prepares the grading of a lesson: runs its cells before the first region, and its own solutions
--- as a submission.
---@param path string of the master
---@param opts {program: string, seconds: number?, total: number?, memory: number?, jobs: integer?, data: string?, private: string[]?}
--- program: giemsa's; seconds: an answer of a submission's process may take (10), total: a
--- submission (60); memory in bytes (2 GiB); data: a folder that the lesson may read; private: paths that no submission may
--- read, besides the master's
---@return giemsa.Grader? grader nil and why
---@return string? message
function grade.open(path, opts)
  local o = options.check("grade", opts, OPTIONS)
  local ok, message = core.sandbox_check()
  if not ok then return nil, "submissions cannot be enclosed, so they are not run: " .. message end
  local master, problem = notebook.read(path)
  if not master then return nil, problem end
  local lesson, why = exercise.student(master)
  if not lesson then return nil, why end
  local regions, exercises = cells_of(master)
  if not regions then return nil, exercises end
  local data = o.data and core.real_path(o.data)
  if o.data and not data then return nil, o.data .. " is not there" end
  local paths = reach.readable(data)
  local danger = reach.exposed(paths, table.move(o.private or {}, 1, #(o.private or {}), 2, { path }))
  if danger then return nil, danger end
  local jobs = o.jobs or core.threads()
  core.threads(1) -- a process that forks must have one
  core.set_environment("GIEMSA_THREADS", "1")
  core.set_environment("OPENBLAS_NUM_THREADS", "1")
  local session, trouble = cell.session(master)
  if not session then return nil, trouble end
  local self = setmetatable({ session = session, lesson = lesson, regions = regions,
    exercises = exercises, jobs = jobs, seconds = o.seconds or 10, total = o.total or 60,
    memory = math.tointeger(o.memory or 2 << 30), data = data,
    data_name = data and reach.name_of(o.data, data), readable = paths }, Grader)
  local failed = quietly(require("giemsa.grade.student").run_common, session, regions[1].name)
  if failed then return nil, failed end
  self.student_fd, self.student_pid = start_student(o.program, lesson, regions[1].name)
  if not self.student_fd then return nil, self.student_pid end
  local rehearsed, reason = rehearse(self, master)
  if not rehearsed then self:close() return nil, reason end
  return self
end

--- Grades submissions.
---@param submissions giemsa.Submission[]
---@param done fun(grade: giemsa.Grade)? called for each, as it is ready
---@return giemsa.Grade[] in their order
function Grader:grade(submissions, done)
  local jobs, grades = {}, {}
  local function keep(job)
    grades[job.place] = add_up(self.exercises, job)
    if done then done(grades[job.place]) end
  end
  for i, one in ipairs(submissions) do
    local job = { place = i, student = one.student, text = one.text, problem = one.problem,
      note = one.note, excluded = {} }
    if one.text then jobs[#jobs + 1] = job else keep(job) end
  end
  self:all(jobs, keep)
  return grades
end

--- Ends the process for students' code.
function Grader:close()
  core.close_fd(self.student_fd)
  core.wait_child(self.student_pid)
end

return grade
