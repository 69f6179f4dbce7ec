--- giemsa student: a lesson without its solutions and hidden tests.
local args = require "giemsa.args"
local exercise = require "giemsa.exercise"
local exercises = require "giemsa.lint.exercises"
local markers = require "giemsa.lint.markers"
local notebook = require "giemsa.notebook"
local output = require "giemsa.cli.output"
local syntax = require "giemsa.syntax"

local USAGE = [[
usage: giemsa student master.lua -o lesson.lua

Writes the lesson that students get. Lines from "-- BEGIN SOLUTION" to "-- END SOLUTION" become
"YOUR CODE HERE" (in a text cell "YOUR ANSWER HERE"); those from "-- BEGIN HIDDEN TESTS" to
"-- END HIDDEN TESTS", and cells tagged "hidden", are left out. What was taken out and can still be
read elsewhere in the lesson is reported.

  -o FILE      where to; it must not be the master (--out is the same)

The exit code is 1 when nothing was written, and when something can still be read.]]

-- Why the students' lesson cannot be written there; nil when it can.
local function obstacle(out, master)
  if out == "" or output.is_same_file(out, master) then
    return "-o FILE says where the students' lesson goes; it cannot be the master"
  end
  local book = notebook.read(out)
  for _, one in ipairs(book and book.cells or {}) do
    local blocks = exercise.blocks(one)
    if not blocks or #blocks > 0 or one:has_tag "hidden" then -- nil: marks that do not match are marks, too
      return out .. " holds solutions: is it a master? It is left as it is"
    end
  end
end

-- What of the master may be handed out by mistake, as the linter finds it.
local function doubts(master)
  local found = {}
  for _, rule in ipairs { markers.tags, exercises.unmarked } do
    rule(master, nil, function(line, message) found[#found + 1] = ("%s:%d: %s"):format(master.path, line, message) end)
  end
  return found
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  for i, word in ipairs(line) do
    if word == "-o" then line[i] = "--out" end
  end
  local o = args.parse(USAGE, { out = "" }, 1, line, 1)
  local master, message = notebook.read(o[1])
  if not master then output.complain(message) return 1 end
  local why_not = obstacle(o.out, o[1])
  if why_not then output.complain(why_not) return 2 end
  local lesson, taken = exercise.student(master)
  if not lesson then output.complain(taken) return 1 end
  if #taken == 0 then
    output.complain(o[1] .. " holds no solutions and no hidden tests (-- BEGIN SOLUTION ... -- END SOLUTION): nothing was written")
    return 1
  end
  local compiles, why = load(syntax.script(lesson:text()), "@" .. o.out, "t")
  if not compiles then
    output.complain("without its solutions the lesson does not compile: " .. why)
    return 1
  end
  if not output.write_file(o.out, lesson:text()) then return 1 end
  local leaks = exercise.leaks(lesson, taken)
  for _, leak in ipairs(leaks) do
    output.complain(("%s:%d: `%s` of the solution (%s:%d) can be read here"):format(o.out, leak.at,
      leak.word, o[1], leak.line))
  end
  local doubtful = doubts(master)
  for _, doubt in ipairs(doubtful) do output.complain(doubt) end
  print(("%s: %d lines of solutions and hidden tests taken out"):format(o.out, #taken))
  return #leaks + #doubtful == 0 and 0 or 1
end
