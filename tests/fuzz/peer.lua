--- What a submission's process answers to the checker: in order, or bent, or nothing. The checker raises nothing, tells of each
--- region and cell in plain data, and comes to its end.
local bend = require "tests.fuzz.bend"
local core = require "giemsa.core"

local answers -- that are still to come

core.send_message = function() return true end
core.receive_message = function()
  local bytes = table.remove(answers, 1)
  if bytes then return bytes end
  return nil, "closed"
end

local cell = require "giemsa.cell"
local checker = require "giemsa.grade.checker"
local exercise = require "giemsa.exercise"
local notebook = require "giemsa.notebook"
local wire = require "giemsa.grade.wire"

io.output "/dev/null" -- checks say what became of them

local MASTER = notebook.parse([==[
-- %% name="setup"
local check = require "giemsa.check"

-- %% name="sum" tags=["solution"]
local function sum(a, b) return a + b end
local total, list = 6, { 1, 2, { 3 } }

-- %% name="sum-check" tags=["check"]
check("sum", sum(1, 2) == 3)
check.near("total", total, 6, 0)
check("list", list[3][1] == 3)

-- %% name="text" tags=["solution"]
local text = "abc"

-- %% name="text-check" tags=["check"]
check.answer("text", text:lower(), check.digest("text", "abc"))
]==], "master.lua")
local LESSON = assert(exercise.student(MASTER))
local REGIONS = { MASTER.cells[2], MASTER.cells[4] }

-- To "take", "run_to" sum, a call, and "run_to" text.
local RIGHT = { { true, { n = 1, {} } }, { true, { n = 2, false, { sum = print, total = 6, list = { 1, 2, { 3 } } } } },
  { true, { n = 1, 3 } }, { true, { n = 2, false, { text = "abc" } } } }
local VALUES = { true, false, 0, 1, -1, 2 ^ 53, 0 / 0, 1 / 0, math.mininteger, "", "x", "\xff", ("y"):rep(2000), {}, { 1 }, { n = 300 }, print, io.stdout,
  { true, { n = 1, print } }, { { { {} } } }, core.from_table{ 1, 2, 3 } }
local WORDS = { "z", "t", "f", "i", "d", "s", "{", "}", "T", "r", "o", "\0\0\0\0\0\0\0\0", "\1\0\0\0\0\0\0\0", "\xff\xff\xff\xff\xff\xff\xff\xff",
  wire.object(2, "function"), wire.object(3, "table"), wire.own(1), ("{z"):rep(70) }

local function bytes_of(answer)
  local bytes = wire.encode(answer, function(_, kind) return wire.object(1, kind) end)
  return bytes
end

local target = {}

function target.input()
  local list = bend.copy(RIGHT)
  for _ = 1, math.random(0, 2) do bend.value(list, VALUES) end
  for i = math.random(0, 3), 1, -1 do table.insert(list, math.random(#list + 1), bend.copy(bend.one_of(VALUES))) end
  local bytes = {}
  for i, answer in ipairs(list) do bytes[i] = math.random(8) == 1 and bend.text(bytes_of(answer), WORDS) or bytes_of(answer) end
  return bytes
end

local function session()
  local new = assert(cell.session(MASTER))
  assert(new:run(1).ok)
  return new
end

-- What is told of a submission whose process says this.
local function events_of(list)
  answers = table.move(list, 1, #list, 1, {})
  local events = {}
  checker.run({ session = session(), regions = REGIONS, lesson = LESSON, text = LESSON:text(), excluded = {}, fd = 0, seconds = 1,
    last = #MASTER.cells }, function(event) events[#events + 1] = wire.decode(wire.plain(event)) end)
  return events
end

function target.try(list)
  local events = events_of(list)
  assert(events[#events].what == "done", "it did not come to its end")
  for _, event in ipairs(events) do
    assert(not (event.text and event.text:find "%.lua:%d"), event.text)
  end
end

local whole = {}
for i, answer in ipairs(RIGHT) do whole[i] = bytes_of(answer) end
local events = events_of(whole)
assert(#events == 3 and events[1].results[3].status == "passed" and events[2].results[1].status == "passed", "right answers do not pass")

return target
