--- Things that are timed as a whole, in this process or another.
local core = require "giemsa.core"
local rounds = require "tests.bench.rounds"

local timed = {}

--- Milliseconds that a call takes, and what it returns.
function timed.call(f)
  local start = core.now()
  local result = f()
  return (core.now() - start) * 1e3, result
end

--- Milliseconds and output of a command; raises when it fails.
function timed.command(command)
  return timed.call(function()
    local status, output, errors = core.run_program(command, "", 3600)
    if status ~= 0 then error(table.concat(command, " ") .. ": " .. tostring(errors), 0) end
    return output
  end)
end

--- The row of `times` measurements: f(i) gives milliseconds.
function timed.repeated(times, f, note)
  local list = {}
  for i = 1, times do list[i] = (f(i)) end
  local row = rounds.summary(list)
  row.note = note
  return row
end

return timed
