--- Submissions as students spoil them: bytes, lines and markers gone, doubled, moved. For each region of the lesson there is a
--- body or a note, and no body brings a cell of its own into the lesson. Masters, too: what students get has no solution in it.
local bend = require "tests.fuzz.bend"
local cell = require "giemsa.cell"
local checker = require "giemsa.grade.checker"
local exercise = require "giemsa.exercise"
local notebook = require "giemsa.notebook"

local MASTER = [==[
-- ---
-- title: T
-- ---

-- %% [markdown] name="goal"
-- # Exercises
--
-- BEGIN SOLUTION
-- the answer in words
-- END SOLUTION

-- %% name="setup"
local check = require "giemsa.check"
local n = 3

-- %% name="sum" tags=["solution"] points=2
-- BEGIN SOLUTION
local function sum(a, b) return a + b end
local total = sum(n, 12345)
-- END SOLUTION

-- %% name="sum-check" tags=["check"]
check("sum", sum(1, 2) == 3)
-- BEGIN HIDDEN TESTS
check.near("total", total, 12348, 0)
-- END HIDDEN TESTS

-- %% name="list"
local list = {}
-- BEGIN SOLUTION
for i = 1, n do list[i] = i end
-- END SOLUTION

-- %% name="hidden" tags=["hidden"]
check("list", #list == 3)

-- %% name="end"
print "done"
]==]

local WORDS = { "-- %%", "\n-- %% ", "-- %% name=\"sum\"\n", "-- %% name=\"list\" tags=[\"solution\"]\n", "-- %% name=\"sum-check\" tags=[\"check\"]\n",
  "-- %% [markdown] name=\"sum\"\n", "-- %%%\n", "name=", "tags=[\"hidden\"]", "tags=[\"solution\"]", "-- BEGIN SOLUTION\n", "-- END SOLUTION\n",
  "-- BEGIN HIDDEN TESTS\n", "-- END HIDDEN TESTS\n", "-- YOUR CODE HERE\n", "\n", "\r\n", "\r", "\0", "\xff", "\u{feff}", "-- ---\n", "#!", "[[", "]]",
  "--[==[", "]==]", "end", "local x <close> = 1\n", "return 1\n", "goto a ::a::", "'", '"', "check = nil\n", "os.exit()\n", "coding: x" }

local master = notebook.parse(MASTER, "master.lua")
local LESSON = assert(exercise.student(master)):text()
local REGIONS = {} -- in order, and by name
for _, one in ipairs(master.cells) do
  if exercise.is_region(one) then REGIONS[#REGIONS + 1], REGIONS[one.name] = one, one end
end

local target = {}

-- Both files, with lines of the one in the other.
function target.input()
  local text, other = LESSON, MASTER
  if math.random(4) == 1 then text, other = other, text end
  return bend.text(text, WORDS, { text, text, other })
end

-- A submission: each region has a body, or a note says why not; a cell of the lesson remains one cell.
local function check_submission(text)
  local lesson, notes = notebook.parse(LESSON, "lesson.lua"), {}
  local bodies = checker.bodies(text, lesson, REGIONS, function(note) notes[#notes + 1] = note end)
  local told = table.concat(notes, "\n")
  for _, region in ipairs(REGIONS) do
    assert(bodies[region.name] or told:find(region.name, 1, true), "a region is lost without a word")
  end
  for name in pairs(bodies) do assert(REGIONS[name], "a body for no region") end
  local parts = { lesson.header }
  for _, one in ipairs(lesson.cells) do parts[#parts + 1] = one.marker .. (bodies[one.name] or one.body) end
  local new = notebook.parse(table.concat(parts), "lesson.lua")
  assert(#new.cells == #lesson.cells, "a region brings a cell of its own")
  local ok, why = assert(cell.session(lesson)):replace(new)
  assert(ok or type(why) == "string")
  if text == LESSON then assert(told == "", told) end
end

local function check_master(text)
  local book = notebook.parse(text, "m.lua")
  local lesson, taken = exercise.student(book)
  if not lesson then return assert(taken:find "^m%.lua:%d+: .", taken) end
  for _, one in ipairs(lesson.cells) do
    assert(#assert(exercise.blocks(one)) == 0 and not one:has_tag "hidden", "the students get a solution")
  end
  exercise.leaks(lesson, taken)
  for _, one in ipairs(book.cells) do exercise.made(one) end
end

function target.try(text)
  check_submission(text)
  if text:find("BEGIN", 1, true) then check_master(text) end
end

return target
