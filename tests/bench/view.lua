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

local function train(viewers)
  local one = visit.view(TRAINING)
  local watcher = visit.watch(one)
  for _ = 2, viewers do visit.watch(one) end
  visit.order(one, "run")
  local last
  seconds_until(function()
    nap(0.2)
    last = visit.read(one.place .. "/out/runs/lesson/latest/log.jsonl")
    return last:find '"event":"end"'
  end)
  local seconds = last:match '"cell":2,"event":"done","seconds":([%d.]+)'
  local count = select(2, watcher.text():gsub("\ndata: ", ""))
  visit.leave(one)
  return tonumber(seconds), count
end

--- A training, watched by twenty; beside it by one.
function view.view_watched()
  local times, alone, count = {}, {}, nil
  for i = 1, 5 do
    alone[i] = train(1)
    times[i], count = train(VIEWERS)
  end
  local row = summary(times, ("a training of 8 epochs with %d viewers, each told %d times"):format(VIEWERS, count))
  local peer = summary(alone)
  peer.name, peer.label = "one", "with one"
  row.peers = { peer }
  return row
end

-- Megabytes of the view, which is the child of a `timeout`.
local function resident(one)
  local outer = visit.read(one.place .. "/pid"):match "%d+"
  local inner = visit.read(("/proc/%s/task/%s/children"):format(outer, outer)):match "%d+"
  local status = visit.read(("/proc/%s/status"):format(inner))
  return tonumber(status:match "VmRSS:%s*(%d+)") / 1024
end

--- A session of hundreds of edits and runs with much output.
function view.view_session()
  local one = visit.view("-- %% name=\"a\"\nlocal giemsa = require \"giemsa\"\nlocal n = 0\n\n-- %% name=\"b\"\nn = n + 1\n"
    .. "for i = 1, 2000 do print(i, ('x'):rep(60)) end\ngiemsa.display{ html = '<b>' .. n .. '</b>' }\n")
  local second = visit.watch(one).wait("the page", function(state) return #state.order == 2 end).order[2]
  local start, times, early = core.now(), {}, nil
  visit.order(one, "run")
  for i = 1, 400 do
    times[i] = seconds_until(function() return visit.order(one, "run", { from = second }) == 200 end)
    if i == 100 then early = resident(one) end
  end
  local row = summary(times, ("400 runs of a cell in %.0f s: %.1f MB resident after 100, %.1f at the end")
    :format(core.now() - start, early, resident(one)))
  visit.leave(one)
  return row
end

return view
