--- giemsa check: the checks of a lesson, at once.
local args = require "giemsa.args"
local check = require "giemsa.check"
local exercises = require "giemsa.exercise"
local output = require "giemsa.cli.output"
local quietly = require "giemsa.grade.quietly"
local words = require "giemsa.words"

local has_interrupt, interrupt = pcall(require, "giemsa.interrupt")

local function say(text, ...) return words(require("giemsa.run").language(os.getenv "GIEMSA_LANG"), text, ...) end

local USAGE = [[
usage: giemsa check lesson.lua
       giemsa check --hash NAME VALUE [--digits N]

Runs a lesson and says what its checks say: points and messages for each exercise. What the cells
print and draw is left out.

  --hash       write the line that checks an answer without telling it: the NAME of the check, and
               the right VALUE, a number (rounded) or a text
  --digits N   of the number, after the point (2)

The exit code is 0 when all checks passed.]]

local SIGNS = { passed = "✓", failed = "✗", open = "○" }

local function answer_line(o)
  local value = tonumber(o[2]) or o[2]
  local is_usual = o.digits == 2 or type(value) == "string"
  print(("check.answer(%q, answer, %q%s)"):format(o[1], check.digest(o[1], value,
    { digits = o.digits }), is_usual and "" or (", nil, { digits = %d }"):format(o.digits)))
  return 0
end

-- Runs a cell with checks: its points, and what they are out of.
local function exercise(one, run)
  check.results = {}
  local outcome = run(one)
  local count, lines = check.count(), {}
  local all = #check.results
  for i, result in ipairs(check.results) do
    lines[i] = ("  %s %s%s"):format(SIGNS[result.status], result.name,
      result.message and ": " .. result.message or "")
  end
  if not outcome.ok then
    lines[#lines + 1] = "  " .. outcome.message
    all = all + 1 -- what it did not come to
  end
  if all == 0 then return 0, 0 end
  local of = one.points or all
  local points = of * count.passed / all
  print(say("%s: %.4g of %.4g points", one:label(), points, of))
  print(table.concat(lines, "\n"))
  return points, of, count.passed == all
end

-- A cell's own limit of time counts here, too, and os.exit is an error: it must not pass for an end that is well.
local function guarded(session, one)
  local exit = os.exit
  os.exit = function() error("os.exit ends the lesson, and so its checks", 2) end
  if has_interrupt then interrupt.limit(one.timeout or 0) end
  local outcome = quietly(session.run, session, one.number)
  os.exit = exit
  if outcome.stopped then outcome.ok, outcome.message = false, outcome.message or outcome.stopped end
  return outcome
end

local function check_lesson(book, session)
  require("giemsa.display").sinks = {}
  local function run(one) return guarded(session, one) end
  local points, of, is_well, has_checks = 0, 0, true, false
  while session.next do
    local one = book.cells[session.next]
    if exercises.is_check(one) then
      local got, most, all_passed = exercise(one, run)
      points, of, has_checks = points + got, of + most, true
      is_well = is_well and all_passed ~= false
    else
      local outcome = run(one)
      if not outcome.ok and not one:has_tag "raises-exception" then
        print(("%s: %s"):format(one:label(), outcome.message))
        is_well = false
      end
    end
  end
  if not has_checks then output.complain(book.path .. " has no cells with checks (tag \"check\")") return false end
  print(say("%.4g of %.4g points", points, of))
  return is_well and points == of
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  local o = args.parse(USAGE, { hash = false, digits = 2 }, 1, line)
  if o.hash then
    if not o[2] then output.complain "--hash needs the name of the check, and its value" return 2 end
    return answer_line(o)
  end
  local book, message = require("giemsa.notebook").read(o[1])
  if not book then output.complain(message) return 1 end
  local session, why = require("giemsa.cell").session(book)
  if not session then output.complain(why) return 1 end
  return check_lesson(book, session) and 0 or 1
end
