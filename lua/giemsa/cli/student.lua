--- giemsa student: a lesson without its solutions and hidden tests.
local args = require "giemsa.args"
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

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  for i, word in ipairs(line) do
    if word == "-o" then line[i] = "--out" end
  end
  local o = args.parse(USAGE, { out = "" }, 1, line)
  local exercise = require "giemsa.exercise"
  local master, message = require("giemsa.notebook").read(o[1])
  if not master then output.complain(message) return 1 end
  if o.out == "" or o.out == o[1] then
    output.complain "-o FILE says where the students' lesson goes; it cannot be the master"
    return 2
  end
  local lesson, taken = exercise.student(master)
  if not lesson then output.complain(taken) return 1 end
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
  print(("%s: %d lines of solutions and hidden tests taken out"):format(o.out, #taken))
  return #leaks == 0 and 0 or 1
end
