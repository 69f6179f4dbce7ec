--- What a reader of a lesson waits for: the program, the first cell, the prompt's completion, the page, many lines.
local complete = require "giemsa.complete"
local harness = require "tests.harness"
local html = require "giemsa.html"
local lookup = require "giemsa.lookup"
local nn = require "giemsa.nn"
local runlog = require "giemsa.runlog"
local timed = require "tests.bench.timed"

local lesson = {}

local function run(...) return timed.command{ harness.interpreter, ... } end

local folder = harness.tmpdir()

-- A run of a lesson that is written here; its log.
local function run_of(name, text)
  local path = harness.write(("%s/%s.lua"):format(folder, name), text)
  local ms = run("run", path)
  return ms, runlog.latest(path)
end

--- `giemsa -e ''`, from its start to its end.
function lesson.nothing()
  return timed.repeated(30, function() return run("-e", "") end, "giemsa -e '', start to end")
end

--- A lesson of one cell, from the start of the command to its end.
function lesson.first_cell()
  return timed.repeated(15, function() return run_of("first", "-- %%\nprint 'first'\n") end,
    "giemsa run, a lesson of one cell that prints, start to end")
end

--- The page of a hundred cells that print a little, from the log.
function lesson.page()
  local cells = {}
  for i = 1, 100 do
    cells[i] = ("-- %%%% [markdown]\n-- ## Part %d\n-- Some words, $x_%d^2$, and a list:\n-- - one\n-- - two\n\n"
      .. "-- %%%% name=\"cell-%d\"\nlocal x%d = %d -- a number\nfor i = 1, 3 do print(i, x%d * i) end\n\n"):format(i, i, i, i, i, i)
  end
  local _, log = run_of("hundred", table.concat(cells))
  local size
  local row = timed.repeated(15, function()
    return timed.call(function() size = #html.from_run(log, {}) end)
  end)
  row.note = ("the page of 100 cells and 100 texts, %.0f kB"):format(size / 1e3)
  return row
end

--- Names, options and methods at the prompt.
function lesson.completion()
  local model = nn.Sequential{ nn.Dense{ 2, input_shape = { 3 } } }
  local function scope(name) return name == "model" and model or lookup.globals(name) end
  local texts = { "giemsa.nn.C", "nn.Conv2D{ 32, 3, kernel_", "model:f", "model:fit(x, y, { ep", "io.open('notebooks/", "str" }
  return timed.repeated(60, function(i)
    return timed.call(function()
      local found = complete.at(texts[i % #texts + 1], { scope = scope })
      if #found.list == 0 then error("nothing completes " .. texts[i % #texts + 1], 0) end
    end)
  end, "completion at the prompt, of six kinds")
end

local LINES = 100000

--- Lines that a cell prints, to a pipe and the log; none may be missing there.
function lesson.lines()
  local row = timed.repeated(5, function()
    local ms, log = run_of("lines", ("-- %%%%\nfor i = 1, %d do print('line', i) end\n"):format(LINES))
    local count = 0
    for _, output in ipairs(runlog.read(log).cells[1].outputs) do
      count = count + select(2, (output.text or ""):gsub("\n", "\n"))
    end
    if count ~= LINES then error(("%d of %d lines are in the log"):format(count, LINES), 0) end
    return ms
  end)
  row.note = ("%d lines printed in a cell, all of them in the log: %.0f a second"):format(LINES, LINES / row.median_ms * 1e3)
  return row
end

return lesson
