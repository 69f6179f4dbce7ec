--- Help: what stands at a definition is found from a name or a value, without running foreign code.
local t = require "tests.harness"
local docs = require "giemsa.docs"
local giemsa = require "giemsa"
local help = require "giemsa.help"
local lookup = require "giemsa.lookup"

local nn = giemsa.nn
local model = nn.Sequential{ nn.Dense{ 2, input_shape = { 2 } } }
local values = { nn = nn, model = model, x = giemsa.tensor{ 1, 2 }, picture = giemsa.image.new(2, 2), giemsa = giemsa }
local function scope(name) return values[name] or lookup.globals(name) end

local function text_of(topic) return (assert(help.text(topic, { scope = scope, columns = 90 }))) end

local function holds(text, ...)
  for _, words in ipairs { ... } do t.ok(text:find(words, 1, true), ("no %q in\n%s"):format(words, text)) end
end

t.test("a function: its call, place, words, parameters, results", function()
  local text = text_of "nn.l2"
  holds(text, "nn.l2(factor)", "giemsa/nn.lua:", "Weight decay", "factor  number?  >= 0, default 0.01", "table  regularizer")
  t.equal(text_of(nn.l2), text)
end)

t.test("options: from checks in the body, from helpers, from types, from layers", function()
  for topic, option in pairs { ["model:fit"] = "validation_data", ["nn.Conv2D"] = "dilation_rate       integer or integer[]",
    ["data.ImageDataGenerator"] = "rotation_range", ["optim.SGD"] = "nesterov", ["data.array"] = "batch_size",
    ["montage.predictions"] = "thickness", ["callbacks.EarlyStopping"] = "restore_best_weights", ["ops.batch_norm"] = "momentum",
    ["plot.figure"] = "columns" } do
    holds(text_of(topic), "Options", option)
  end
  holds(text_of "nn.Conv2D", "nn.Conv2D{filters, kernel_size, ...}")
end)

t.test("layers are told where they are described", function()
  holds(text_of "nn.Conv2D", "giemsa/nn/layers.lua:", "A convolution: each of `filters` kernels", "how many maps come out",
    "weight decay: nn.l2(factor)", "default 1")
  for name, value in pairs(nn) do
    local layer = type(value) == "function" and require("giemsa.nn.layers").classes[name]
    if layer then
      local text = text_of("nn." .. name)
      t.ok(text:find "giemsa/nn/%l+%.lua:%d+\n  %S", text)
      for key in pairs(layer.options) do t.ok(text:find("\n  " .. key .. " ", 1, true), name .. "." .. key) end
    end
  end
  t.equal(select(2, text_of("Dense"):gsub("Dense", "")), 1) -- once
end)

t.test("Lua's own functions", function()
  holds(text_of "string.format", "string.format(format, ...)  Lua", "%.3f")
  holds(text_of(print), "print(...)")
  local standard = require "giemsa.help.standard"
  local missing = {}
  for _, library in ipairs { "string", "table", "math", "utf8", "coroutine" } do
    for name, f in pairs(_G[library]) do
      local is_old = name == "dump" or ("cosh sinh tanh pow frexp ldexp log10"):find(name, 1, true)
      if type(f) == "function" and not standard[f] and not is_old then missing[#missing + 1] = library .. "." .. name end
    end
  end
  t.equal(missing, {})
end)

t.test("methods of tensors, pictures and models", function()
  holds(text_of "x:sum", "x:sum(axis, keepdims)", "leave a 1 where the axis was")
  holds(text_of "x.take", "The rows with these numbers")
  holds(text_of "picture:resize", "picture:resize(width: integer, height: integer")
  holds(text_of "model.summary", "model.summary(self)", "Prints the layers")
  t.ok(not text_of("x:add"):find "a  tensor")
end)

t.test("modules and objects list what is in them", function()
  holds(text_of "giemsa", "deep learning on medical images", "montage    ", "Optimisers.")
  holds(text_of "nn", "nn.Input{ shape = {64, 64, 3} }", "Sequential   ")
  holds(text_of "x", "argmax ", "place of the first largest, from 1")
  holds(text_of "model", "giemsa.Model", "Trains the model")
  holds(text_of "nn.Model", "nn.Model(inputs, outputs, opts)", "count_params")
end)

t.test("names without a value: the part's own, any last name, and what is like it", function()
  holds(text_of "Conv2D", "nn.Conv2D{")
  holds(text_of "EarlyStopping", "callbacks.EarlyStopping")
  holds(text_of "tensor:sum", "keepdims")
  local nothing, message = help.text "conv"
  t.equal(nothing, nil)
  holds(message, "nothing is named 'conv'. Like it: ", "nn.Conv2D", "ops.conv2d")
  holds(select(2, help.text "evalute"), "Model:evaluate")
  t.equal({ help.text "qqqqqq" }, { nil, "nothing is named 'qqqqqq'" })
end)

t.test("the source, with its words above it", function()
  local source = help.source "nn.l2"
  holds(source, "giemsa/nn.lua:", "--- Weight decay", "function nn.l2(factor)", "return { l2 = factor }")
  t.ok(source:find "end\n$")
  holds(help.source("model:fit", { scope = scope }), "function Model:fit(")
  holds(help.source "fit", "ImageDataGenerator:fit") -- not loaded by anybody
  holds(help.source "montage", "Montages")
  holds(help.source("nn.l2", { colour = true }), "\27[35mfunction\27[0m")
  t.equal({ help.source "print" }, { nil, "its source is C, or was not kept" })
end)

t.test("every documented function of every part can be asked for", function()
  local count = 0
  for _, part in ipairs(lookup.names(giemsa)) do
    local module = part ~= "core" and lookup.get(giemsa, part)
    for _, name in ipairs(type(module) == "table" and lookup.names(module) or {}) do
      local value = lookup.get(module, name)
      if type(value) == "function" then
        count = count + 1
        local text = text_of(part .. "." .. name)
        t.ok(text:find(part .. "." .. name, 1, true) == 1, text)
        for _, line in ipairs { text:match "[^\n]+" } do t.ok(utf8.len(line)) end
        docs.options(value, name)
      end
    end
  end
  t.ok(count > 100, count)
end)

t.test("looking runs nobody's code", function()
  local ran = false
  local trap = setmetatable({}, { __index = function() ran = true end, __tostring = function() ran = true return "" end,
    __pairs = function() ran = true end })
  values.trap = trap
  t.equal(lookup.get(trap, "x"), nil)
  t.equal(lookup.names(trap), {})
  help.text("trap.x", { scope = scope })
  text_of "trap"
  t.ok(not ran)
  local ring = {}
  setmetatable(ring, { __index = ring })
  t.equal(lookup.get(ring, "x"), nil)
  t.equal(lookup.names(ring), {})
end)

t.test("paths", function()
  local list = { rows = { { name = "stem" } }, ["a b"] = 3 }
  local function here(name) return name == "list" and list or nil end
  t.equal(lookup.resolve("list.rows[1].name", here), "stem")
  t.equal(lookup.resolve(" list [ 'a b' ] ", here), 3)
  for _, path in ipairs { "list.rows[i]", "list.nothing.x", "list.", "f()", "", "list:", "[1]", "1" } do
    t.equal(lookup.resolve(path, here), nil, path)
  end
end)

t.done()
