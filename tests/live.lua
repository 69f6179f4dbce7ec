--- What fit shows while it works: in a real terminal (a pty) a line an epoch and a curve that grows in
--- place, in a pipe one line an epoch; in a page one figure that is updated.
local t = require "tests.harness"
local core = require "giemsa.core"
local display = require "giemsa.display"
local giemsa = require "giemsa"
local nn = giemsa.nn
local braille = require "giemsa.plot.braille"

local SCRIPT = [[
local giemsa, core = require "giemsa", require "giemsa.core"
local nn, epochs, verbose = giemsa.nn, tonumber(arg[1]), tonumber(arg[2] or 1)
local x, y = core.uniform({ 64, 40 }, 0, 1, 1), core.full({ 64, 1 }, 1)
local model = nn.Sequential{ nn.Dense{ 200, input_shape = { 40 } }, nn.Dense{ 1 } }
model:compile{ loss = "mse", metrics = { "accuracy" }, optimizer = giemsa.optim.SGD{ lr = 1e-4 } }
local started = core.now()
model:fit(x, y, { epochs = epochs, batch_size = 1, verbose = verbose,
  validation_data = { x:rows(1, 8), y:rows(1, 8) }, callbacks = { on_batch_end = function(_, step)
    if arg[3] == "stop" and step == 40 and model.epoch == 2 then error("interrupted!", 0) end
  end } })
io.stderr:write("took ", core.now() - started, "\n")
print "after"
]]

local script = t.write(t.tmpdir() .. "/live.lua", SCRIPT)

-- Runs the training in a terminal of that size; what was sent to it, how long fit took.
local function in_terminal(columns, rows, arguments)
  if os.execute("command -v script >/dev/null") ~= true then t.skip("there is no `script` here") end
  local took = t.tmpdir() .. "/took"
  local inner = ("stty cols %d rows %d; %s %s %s 2>%s"):format(columns, rows,
    t.quote(t.interpreter), t.quote(script), arguments, t.quote(took))
  local output, code = t.shell(("TERM=xterm LC_ALL=C.UTF-8 script -qec %s /dev/null </dev/null")
    :format(t.quote(inner)))
  t.equal(code, 0, output)
  return output, tonumber(io.open(took):read("a"):match("took ([%d.]+)"))
end

-- The lines a terminal shows after all that was sent to it.
local function screen(sent, columns)
  local lines, row, column = {}, 1, 1
  local function put(text)
    lines[row] = lines[row] or {}
    if column > columns then row, column = row + 1, 1 end
    lines[row] = lines[row] or {}
    lines[row][column] = text
    column = column + 1
  end
  local i = 1
  while i <= #sent do
    local number, command = sent:match("^\27%[([%d;]*)(%a)", i)
    if command then
      i = i + #number + 3
      if command == "A" then row = row - tonumber(number)
      elseif command == "K" then
        for c = column, columns do if lines[row] then lines[row][c] = nil end end
      elseif command == "J" then
        for c = column, columns do if lines[row] then lines[row][c] = nil end end
        for r in pairs(lines) do if r > row then lines[r] = nil end end
      elseif command ~= "m" then error("unknown sequence " .. number .. command) end
    else
      local char = sent:match("^[%z\1-\127\194-\244][\128-\191]*", i)
      i = i + #char
      if char == "\r" then column = 1
      elseif char == "\n" then row = row + 1
      else put(char) end
    end
  end
  local out, last = {}, 0
  for r in pairs(lines) do last = math.max(last, r) end
  for r = 1, last do
    local text = {}
    for c = 1, columns do text[c] = lines[r] and lines[r][c] or " " end
    out[r] = table.concat(text):gsub(" +$", "")
  end
  return out
end

local function count(text, pattern) return select(2, text:gsub(pattern, "")) end

t.test("in a terminal every epoch leaves its line, and one curve stands at the end", function()
  local sent, took = in_terminal(100, 30, "7")
  local lines = screen(sent, 100)
  local text = table.concat(lines, "\n")
  for epoch = 1, 7 do t.equal(count(text, ("\nEpoch %d/7\n"):format(epoch)), epoch > 1 and 1 or 0) end
  t.equal(count(text, "64/64 ━"), 7, text)
  t.equal(count(text, "accuracy: %d"), 14) -- with that of the validation
  t.equal(count(text, "images/s"), 7)
  t.equal(count(text, "├") + count(text, "└"), 1, "more than one curve: " .. text)
  t.ok(text:find("└1 +7\n +● loss  ● val_loss, best [%d.e-]+ in epoch 7\nafter$"), text)
  for _, line in ipairs(lines) do t.ok(utf8.len(line) <= 100, line) end
  -- every redraw begins with a carriage return at the start of a text; lines end with \r\n
  local redraws = count(sent, "\r\27%[%d+A") + count(sent, "\r[^\n\27]")
  t.ok(redraws <= 10 * took + 2 * 7 + 2, ("%d redraws in %.2f s"):format(redraws, took))
end)

t.test("small terminals, other character sets and single epochs have no curve", function()
  for _, case in ipairs{ { 30, 30, "3" }, { 100, 10, "3" }, { 100, 30, "1" } } do
    local text = table.concat(screen(in_terminal(table.unpack(case)), case[1]), "\n")
    t.ok(not text:find("└", 1, true), text)
    t.ok(text:find("\nafter$"), text)
  end
end)

t.test("a terminal that does not say its size is taken for 80 columns and 24 rows", function()
  local text = table.concat(screen(in_terminal(0, 0, "3"), 80), "\n")
  t.equal(count(text, "└"), 1, text)
  t.ok(text:find("\nafter$"), text)
end)

t.test("an interrupted training keeps its curve, and the prompt comes below it", function()
  local text = table.concat(screen(in_terminal(100, 30, "7 1 stop"), 100), "\n")
  t.equal(count(text, "└"), 1, text)
  t.ok(text:find("interrupted in epoch 3, step 40: 2 whole epochs"), text)
  t.ok(text:find("\nafter$"), text)
end)

t.test("in a pipe: exactly one line an epoch, no control bytes", function()
  for verbose = 1, 2 do
    local output = t.shell(("%s %s 5 %d 2>/dev/null"):format(t.quote(t.interpreter),
      t.quote(script), verbose))
    t.equal(count(output, "\n"), 6, output)
    t.equal(count(output, "Epoch %d/5 %- "), 5, output)
    t.ok(not output:find("[%z\1-\9\11-\31]"), "control bytes")
  end
end)

t.test("a page gets one figure, updated in place; a terminal does not see it", function()
  local events, before = {}, display.sinks
  local sink = {}
  for _, name in ipairs{ "show", "update", "close" } do
    sink[name] = function(_, id, forms)
      if forms and (forms.sources.svg or not forms.text) then
        events[#events + 1] = { name, id, (forms:svg() or ""):match("<svg") }
      end
    end
  end
  display.sinks = { sink }
  local model = nn.Sequential{ nn.Dense{ 1, input_shape = { 2 } } }
  model:compile{ loss = "mse", optimizer = "sgd" }
  local ok, problem = pcall(model.fit, model, core.full({ 8, 2 }, 1), core.full({ 8, 1 }, 1),
    { epochs = 4 })
  display.sinks = before
  if not ok and tostring(problem):find("gnuplot is not installed") then t.skip(problem) end
  t.ok(ok, problem)
  t.equal(#events, 6)
  t.equal({ events[1][1], events[1][3] }, { "show" }) -- its place, above the lines
  for i = 2, 6 do t.equal(events[i], { i == 6 and "close" or "update", events[1][2], "<svg" }) end
end)

t.test("curves in characters stand where their values are", function()
  local function lines_of(series, o)
    local lines = {}
    for line in braille.curves(series, o):gmatch("[^\n]+") do lines[#lines + 1] = line end
    return lines
  end
  -- a rising diagonal over 4 x 2 cells: the lower left dot to the upper right one
  local lines = lines_of({ { x = { 1, 8 }, y = { 0, 7 }, color = "31" } },
    { columns = 4, rows = 2, low = 1, high = 8 })
  t.equal(lines, { "   7.00 ┤  ⡠⠊", "   0.00 ┤⡠⠊", "        └1  8" })
  -- far apart: logarithms; a gap where there is no number
  local spread = lines_of({ { x = { 1, 2, 3, 4 }, y = { 100, 0 / 0, 1, 10 }, color = "31" } },
    { columns = 4, rows = 3, low = 1, high = 4 })
  t.equal(spread[1], "    100 ┤⠁")
  t.ok(spread[4]:find("log", 1, true))
  t.equal(braille.curves({ { x = { 1 }, y = { 0 / 0 }, color = "31" } },
    { columns = 4, rows = 2, low = 1, high = 8 }), nil)
  local flat = lines_of({ { x = { 1, 2 }, y = { 5, 5 }, color = "31" } },
    { columns = 2, rows = 1, low = 1, high = 2 })
  t.equal(#flat, 2)
end)

t.done()
