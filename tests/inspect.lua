--- Values as the prompt shows them.
local t = require "tests.harness"
local giemsa = require "giemsa"
local inspect = require "giemsa.inspect"

local function shown(value, columns) return inspect.text(value, { columns = columns or 60 }) end

t.test("plain values", function()
  for text, value in pairs { ["1"] = 1, ["1.5"] = 1.5, ["true"] = true, ['"a\\"b"'] = 'a"b', ["{}"] = {}, ['"\\255"'] = "\255",
    ['"é"'] = "é" } do
    t.equal(shown(value), text)
  end
  t.equal(shown(nil), "nil")
  t.equal(shown "a\nb", "a\nb") -- text of lines is text
  t.equal(shown(("x"):rep(10000)), '"' .. ("x"):rep(2000) .. '"... (10000 bytes)')
  t.equal(shown(("é"):rep(2000)):match 'é"%.%.%. %(4000 bytes%)$', 'é"... (4000 bytes)') -- no half character
end)

t.test("tables: sorted, nested, on one line where there is room", function()
  t.equal(shown{ b = 2, a = 1, 10, 20, [true] = 3, ["c d"] = {}, ["end"] = 4 },
    '{\n  10,\n  20,\n  a = 1,\n  b = 2,\n'
      .. '  ["c d"] = {},\n  ["end"] = 4,\n  [true] = 3\n}')
  t.equal(shown{ x = { 1, { y = 2 } }, z = "s" }, '{ x = { 1, { y = 2 } }, z = "s" }')
  t.equal(shown({ loss = { 0.5, 1 / 3 }, name = "a rather long name" }, 40),
    '{\n  loss = { 0.5, 0.3333333 },\n  name = "a rather long name"\n}')
end)

t.test("tables: long, deep, circular", function()
  local numbers = {}
  for i = 1, 1000 do numbers[i] = i end
  local text = shown(numbers)
  t.ok(text:find "^{\n  1, 2, 3," and text:find "45,\n?%s*%.%.%.940 more%.%.%., 986" and text:find "1000\n}$", text)
  for line in text:gmatch "[^\n]+" do t.ok(#line <= 60, line) end
  local ring = { 1 }
  ring.me = ring
  t.equal(shown(ring), "{ 1, me = {...} }")
  t.equal(shown{ { { { { { 1 } } } } } }, "{ { { { { {...} } } } } }")
  local many = {}
  for i = 1, 500 do many["key" .. i] = ("v"):rep(50) end
  local _, breaks = shown(many):gsub("\n", "")
  t.ok(breaks <= 60 and shown(many):find "470 more")
end)

t.test("tensors: shape, statistics, NaN, corners", function()
  t.equal(shown(giemsa.tensor{ 1, 2 }), "tensor (2,) [1. 2.]")
  local x = giemsa.tensor.arange(20)
  t.equal(shown(x):match "^[^\n]+", "tensor (20,)  min 0  mean 9.5  max 19")
  x[3] = 0 / 0
  t.equal(shown(x):match "^[^\n]+", "tensor (20,)  min 0  mean 9.895  max 19  1 NaN")
  t.equal(shown(giemsa.tensor.full({ 20 }, 0 / 0)):match "^[^\n]+", "tensor (20,)  20 NaN")
  local _, breaks = shown(giemsa.tensor.zeros(32, 64, 64, 3)):gsub("\n", "")
  t.ok(breaks <= 21, breaks)
  t.equal(shown{ x = x }, "{ x = tensor (20,) }")
  x:release()
  t.equal(shown(x), "tensor (released)")
end)

t.test("functions, modules, objects", function()
  t.ok(shown(giemsa.nn.l2):find "^function nn%.l2%(factor%)  giemsa/nn%.lua:%d+$", shown(giemsa.nn.l2))
  t.equal(shown(print), "function (built in)")
  t.ok(shown(giemsa.nn):find "^module giemsa%.nn: Activation Add ")
  t.equal(shown(giemsa.optim.SGD{}), "SGD(lr = 0.01, 0 updates done)")
  local model = giemsa.nn.Sequential{ giemsa.nn.Dense{ 2, input_shape = { 2 } } }
  t.ok(shown(model):find "Total params: 6")
  t.equal(shown{ model }, "{ giemsa.Model {...} }")
  t.equal(shown(giemsa.image.new(3, 2)), tostring(giemsa.image.new(3, 2)))
  t.equal(shown(setmetatable({}, { __tostring = function() error "no" end })), "{}")
end)

t.test("in colour it is the same text", function()
  local value = { a = { 1, "x", true }, f = giemsa.nn.l2 }
  t.equal(inspect.text(value, { colour = true, columns = 60 }):gsub("\27%[%d+m", ""), shown(value))
end)

t.done()
