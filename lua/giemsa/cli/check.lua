--- giemsa check: the checks of a lesson, at once.
local args = require "giemsa.args"
local check = require "giemsa.check"
local output = require "giemsa.cli.output"

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
  print(("%s: %.4g of %.4g points"):format(one:label(), points, of))
  print(table.concat(lines, "\n"))
  return points, of
end

local function check_lesson(book, session)
  local quietly = require "giemsa.grade.quietly"
  local exercises = require "giemsa.exercise"
  require("giemsa.display").sinks = {}
  local function run(one) return quietly(session.run, session, one.number) end
  local points, of, is_well = 0, 0, true
  while session.next do
    local one = book.cells[session.next]
    if exercises.is_check(one) then
      local got, most = exercise(one, run)
      points, of = points + got, of + most
    else
      local outcome = run(one)
      if not outcome.ok and not one:has_tag "raises-exception" then
        print(("%s: %s"):format(one:label(), outcome.message))
        is_well = false
      end
    end
  end
  print(("%.4g of %.4g points"):format(points, of))
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
