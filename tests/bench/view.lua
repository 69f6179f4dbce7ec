--- The live page: how soon it is there, how soon an edit is shown, what viewers cost the training that
-- they watch, and whether it grows in a long session.
local core = require "giemsa.core"
local harness = require "tests.harness"
local rounds = require "tests.bench.rounds"
local visit = require "tests.view.visit"

local view = {}

local VIEWERS = 20

local function nap(seconds) os.execute(("sleep %g"):format(seconds)) end

-- Seconds until it is so, looked at every two milliseconds.
local function seconds_until(is_so)
  local start = core.now()
  while not is_so() do
    if core.now() > start + 60 then error("it never came", 0) end
    nap(0.002)
  end
  return core.now() - start
end

local function summary(seconds, note)
  local list = {}
  for i, one in ipairs(seconds) do list[i] = 1e3 * one end
  local row = rounds.summary(list)
  row.note = note
  return row
end

local function lesson() return (visit.read "notebooks/05_train.lua") end

--- From the start of the command to the whole page at a viewer.
function view.view_open()
  local times = {}
  for i = 1, 7 do
    local start = core.now()
    local one = visit.view(lesson())
    local viewer = visit.watch(one)
    seconds_until(function() return #viewer.text() > 0 and #viewer.state().order > 20 end)
    times[i] = core.now() - start
    visit.leave(one)
  end
  return summary(times, "command to the whole page of lesson 5 at a viewer, who starts a shell for it")
end

--- From the moment a file is written to the new text at a viewer.
function view.view_edit()
  local one, times = visit.view(lesson()), {}
  local viewer = visit.watch(one)
  for i = 1, 15 do
    nap(0.2)
    local word = "a new word, number " .. i
    harness.write(one.path, (lesson():gsub("about twenty seconds", word)))
    times[i] = seconds_until(function() return viewer.text():find(word, 1, true) end)
  end
  visit.leave(one)
  return summary(times, "a file written to its text at a viewer")
end

local TRAINING = [[
-- %% name="setup"
local giemsa = require "giemsa"
local nn, optim = giemsa.nn, giemsa.optim
local x = giemsa.random.uniform(0, 1, { 512, 64, 64, 3 })
local y = giemsa.tensor.zeros{ 512, 2 }
y:slice(2, 1, 1):fill(1)
local model = nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, { reg = 0.0005 })
model:compile{ loss = "binary_crossentropy", optimizer = optim.SGD{ lr = 1e-3, momentum = 0.9 }, metrics = { "accuracy" } }

-- %% name="fit"
model:fit(x, y, { epochs = 8, batch_size = 32 })
]]

-- Seconds of the training as its run's log has them.
local function training_seconds(place)
  local log = visit.read(place .. "/out/runs/lesson/latest/log.jsonl")
  return tonumber(log:match '"cell":2,"event":"done","seconds":([%d.]+)'), log:find '"event":"end"'
end

local function train_alone()
  local place = harness.tmpdir() .. "/alone"
  os.execute("mkdir -p " .. place)
  harness.write(place .. "/lesson.lua", TRAINING)
  core.run_program({ "sh", "-c", ("cd %s && exec %s run lesson.lua"):format(place, visit.giemsa) }, "", 600)
  return (training_seconds(place))
end

local function train_watched(viewers)
  local one = visit.view(TRAINING)
  local watcher = visit.watch(one)
  for _ = 2, viewers do visit.watch(one) end
  visit.order(one, "run")
  local seconds
  seconds_until(function()
    nap(0.2)
    local took, is_over = training_seconds(one.place)
    seconds = took
    return is_over
  end)
  local count = select(2, watcher.text():gsub("\ndata: ", ""))
  visit.leave(one)
  return seconds, count
end

--- A training, watched by twenty; beside it the same with no page.
function view.view_watched()
  local times, alone, count = {}, {}, nil
  for i = 1, 5 do
    alone[i] = train_alone()
    times[i], count = train_watched(VIEWERS)
  end
  local row = summary(times, ("a training of 8 epochs with %d viewers, each told %d times"):format(VIEWERS, count))
  local peer = summary(alone)
  peer.name, peer.label = "run", "giemsa run"
  row.peers = { peer }
  return row
end

local function child(process) return visit.read(("/proc/%s/task/%s/children"):format(process, process)):match "%d+" end

-- Megabytes of the view (the child of a `timeout`), and of the process that runs its cells.
local function resident(one)
  local page, sizes = child(visit.read(one.place .. "/pid"):match "%d+"), {}
  for i, process in ipairs { page, child(page) } do
    sizes[i] = tonumber(visit.read(("/proc/%s/status"):format(process)):match "VmRSS:%s*(%d+)") / 1024
  end
  return ("%.1f and %.1f MB"):format(sizes[1], sizes[2])
end

local RUNS = 500

--- A session of hundreds of edits and runs with much output.
function view.view_session()
  local one = visit.view("-- %% name=\"a\"\nlocal giemsa = require \"giemsa\"\nlocal n = 0\n\n-- %% name=\"b\"\nn = n + 1\n"
    .. "for i = 1, 2000 do print(i, ('x'):rep(60)) end\ngiemsa.display{ html = '<b>' .. n .. '</b>' }\n")
  local second = visit.watch(one).wait("the page", function(state) return #state.order == 2 end).order[2]
  local start, times, early = core.now(), {}, nil
  visit.order(one, "run")
  for i = 1, RUNS do
    times[i] = seconds_until(function() return visit.order(one, "run", { from = second }) == 200 end)
    if i == RUNS // 10 then early = resident(one) end
  end
  local row = summary(times, ("%d runs of a cell in %.0f s; the page's process and the runner's: %s resident after a tenth, %s "
    .. "at the end"):format(RUNS, core.now() - start, early, resident(one)))
  visit.leave(one)
  return row
end

return view
