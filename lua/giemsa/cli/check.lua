--- giemsa check: the checks of a lesson, at once.
local args = require "giemsa.args"
local check = require "giemsa.check"
local core = require "giemsa.core"
local exercises = require "giemsa.exercise"
local outcomes = require "giemsa.cell.outcome"
local output = require "giemsa.cli.output"
local quietly = require "giemsa.grade.quietly"
local words = require "giemsa.words"

local has_interrupt, interrupt = pcall(require, "giemsa.interrupt")

local function say(text, ...) return words(os.getenv "GIEMSA_LANG", text, ...) end

local USAGE = [[
usage: giemsa check lesson.lua [--lang LANG]
       giemsa check --hash NAME VALUE [--digits N]

Runs a lesson and says what its checks say: points and messages for each exercise. What the cells
print and draw is left out.

  --lang LANG  language of the messages: en, zh (else the locale's)
  --hash       write the line that checks an answer without telling it: the NAME of the check, and
               the right VALUE, a number (rounded) or a text
  --digits N   of the number, after the point (2)

The exit code is 0 when all checks passed, and every cell ran well.]]

local SIGNS = { passed = "✓", failed = "✗", open = "○" }

local function answer_line(o)
  local value = tonumber(o[2]) or o[2]
  local is_usual = o.digits == 2 or type(value) == "string"
  print(("check.answer(%q, answer, %q%s)"):format(o[1], check.digest(o[1], value,
    { digits = o.digits }), is_usual and "" or (", nil, { digits = %d }"):format(o.digits)))
  return 0
end

-- Runs a cell: its status and its outcome. Its own limit of time counts here, too, and an end of the process, even one that
-- is caught, is none that is well.
local function run(session, one)
  local exit, has_exited = os.exit, nil
  os.exit = function()
    has_exited = true
    error("os.exit ends the lesson, and so its checks", 2)
  end
  if has_interrupt then interrupt.limit(one.timeout or 0) end
  local outcome = quietly(session.run, session, one.number)
  os.exit = exit
  local status = outcomes.status(outcome, one, session.path)
  if has_exited and status == "ok" then
    status, outcome.ok = "failed", false
    outcome.message = outcome.message or ("%s:%d: os.exit was called"):format(session.path, one.first)
  end
  return status, outcome
end

local function label(one) return (one:label():gsub("^cell", say "cell")) end

-- What the checks of a cell say, line by line.
local function lines_of(results)
  local lines = {}
  for i, result in ipairs(results) do
    lines[i] = ("  %s %s%s"):format(SIGNS[result.status], result.name, result.message and ": " .. result.message or "")
  end
  return lines
end

-- Tells of a cell with checks: its points, what they are out of, and whether all is well.
local function graded(one, results, problem)
  local passed, all, lines = check.count(results).passed, #results, lines_of(results)
  if problem then
    lines[#lines + 1] = "  " .. problem
    all = all + 1 -- what it did not come to
  end
  if all == 0 then return 0, 0, true end
  local of = one.points or all
  local points = of * passed / all
  print(say("%s: %.4g of %.4g points", label(one), points, of))
  print(table.concat(lines, "\n"))
  return points, of, passed == all
end

-- Tells of any other cell, whose checks give no points. Whether all is well.
local function ungraded(one, results, problem)
  local is_well = not problem and check.count(results).passed == #results
  if not is_well then
    print(label(one) .. (problem and ": " .. problem or ""))
    if #results > 0 then print(table.concat(lines_of(results), "\n")) end
  end
  return is_well
end

-- Cells with checks that did not come: the script returned, or jumped over them.
local function tell_missed(book, has_run)
  local is_well = true
  for _, one in ipairs(book.cells) do
    if exercises.is_check(one) and not has_run[one] and not one:has_tag "skip-execution" then
      print(say("%s: the lesson did not come to it", label(one)))
      is_well = false
    end
  end
  return is_well
end

local function check_lesson(book, session)
  require("giemsa.display").sinks = {}
  check.results = {}
  local points, of, is_well, has_run, count = 0, 0, true, {}, 0
  while session.next do
    local one = book.cells[session.next]
    local status, outcome = run(session, one)
    if status == "interrupted" then output.complain(outcome.message) return false end
    local problem, results = status ~= "ok" and outcome.message or nil, check.of(one)
    has_run[one], count = true, count + #results
    local got, most, is_right = 0, 0, nil
    if exercises.is_check(one) then got, most, is_right = graded(one, results, problem)
    else is_right = ungraded(one, results, problem) end
    points, of, is_well = points + got, of + most, is_well and is_right
  end
  is_well = tell_missed(book, has_run) and is_well
  if count == 0 then output.complain(say("%s has no checks: they stand in cells with the tag \"check\"", book.path)) return false end
  print(say("%.4g of %.4g points", points, of))
  return is_well
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  local o = args.parse(USAGE, { hash = false, digits = 2, lang = "" }, 1, line)
  args.at_most(o, o.hash and 2 or 1, USAGE)
  if o.hash then
    if not o[2] then output.complain "--hash needs the name of the check, and its value" return 2 end
    return answer_line(o)
  end
  local asked = o.lang ~= "" and o.lang or os.getenv "GIEMSA_LANG"
  core.set_environment("GIEMSA_LANG", require("giemsa.run").language(asked)) -- the checks' own words, too
  local book, message = require("giemsa.notebook").read(o[1])
  if not book then output.complain(message) return 1 end
  local session, why = require("giemsa.cell").session(book)
  if not session then output.complain(why) return 1 end
  return check_lesson(book, session) and 0 or 1
end
