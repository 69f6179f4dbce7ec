--- The process that runs a lesson for its live page. It stays alive between the runs, so that a cell
-- can run again with the variables that are there; what it prints and shows is in the run log, where
-- the page reads it. A request says which cells to run, and is answered when they have run.
local core = require "giemsa.core"
local display = require "giemsa.display"
local fingerprint = require "giemsa.fingerprint"
local interrupt = require "giemsa.interrupt"
local json = require "giemsa.json"
local notebook = require "giemsa.notebook"
local run = require "giemsa.run"
local say = require "giemsa.words"

local function answer(fields) core.worker_event(json.encode(fields)) end

-- The lesson as it is in the file now. nil and why when that cannot be run.
local function take_text(runner)
  local book, message = notebook.read(runner.book.path)
  if not book then return nil, message end
  return runner:replace(book)
end

-- Goes to where the running begins: what has not run yet goes before.
local function go_to(runner, from)
  local session = runner.session
  if from and not (session.next and session.next < from) then session:go_to(from) end
end

-- Runs from where the session stands up to a cell, or to the end. The first that is not well stops it:
-- the status, and what that cell is called.
local function run_cells(runner, to)
  local session = runner.session
  while session.next and session.next <= (to or session.next) do
    local number = session.next
    local status = runner:cell(session.notebook.cells[number])
    if status ~= "ok" then
      session:go_to(number)
      return status, session.notebook.cells[number]:label()
    end
    if core.worker_has_request() then return "interrupted" end -- to stop: a cell may end well all the same
  end
  return "ok"
end

-- At the end of the lesson the run says what it was; it may go on from any cell.
local function conclude(runner, status)
  runner:note()
  if runner.session.next then return end
  runner:write_times()
  runner.log:write{ event = "end", status = status, seconds = core.now() - runner.started,
    fingerprint = fingerprint.of(runner.session) }
end

-- Runs what a request asks for.
local function obey(runner, request)
  local ok, problem = take_text(runner)
  if not ok then return answer{ done = "refused", problem = problem } end
  go_to(runner, request.from)
  local status, place = run_cells(runner, request.to)
  runner.status = status
  conclude(runner, status)
  local lost = runner.log.is_lost and say(runner.opts.lang, "the run's log cannot be written (a full disk?): outputs are not kept")
  answer{ done = status, at = place, problem = lost or nil }
end

-- The run begins with the first request.
local function start(request)
  local runner, problem = run.start(request.lesson, request.options)
  if not runner then return nil, answer{ done = "refused", problem = problem } end
  runner.is_unseen = true -- the page shows what there is to see
  display.sinks = { runner.log:sink() }
  answer{ folder = runner.log.folder }
  return runner
end

--- Serves the page that started this process, until it wants no more.
---@return integer code of the process
return function()
  local ok, message = core.worker_begin()
  if not ok then
    io.stderr:write("giemsa view: ", message, "\n")
    return 1
  end
  interrupt.only_resumes()
  local runner
  for text in core.worker_request do
    local request = json.decode(text)
    if request.leave then break end
    if not request.stop then
      runner = runner or start(request)
      if not runner then return 0 end
      obey(runner, request)
    end
  end
  if runner then runner:finish() end
  return 0
end
