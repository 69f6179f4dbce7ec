--- Completion: what may stand at the end of a text.
local t = require "tests.harness"
local complete = require "giemsa.complete"
local core = require "giemsa.core"
local giemsa = require "giemsa"
local lookup = require "giemsa.lookup"

local nn = giemsa.nn
local values = { nn = nn, giemsa = giemsa, x = giemsa.tensor{ 1 }, data = giemsa.data,
  model = nn.Sequential{ nn.Dense{ 2, input_shape = { 2 } } }, notes = { first = 1, _hidden = 2, play = print } }
local opts = {
  scope = function(name) return values[name] or lookup.globals(name) end,
  names = function() return { "model", "momentum", "notes" } end,
}

local function at(text) return complete.at(text, opts) end
local function list(text) return table.concat(at(text).list, " ") end

t.test("names: locals, globals, keywords", function()
  t.equal(list "mo", "model momentum")
  t.equal(list "print(mod", "model")
  t.equal(list "whi", "while")
  t.equal(list "if x the", "then")
  t.ok(list("tos"):find "tostring")
  t.equal(list "zzzz", "")
end)

t.test("members: tables, metatables, what is loaded later", function()
  t.equal(list "notes.", "first play")
  t.equal(list "notes._", "_hidden")
  t.equal(list "notes:", "play")
  t.equal(list "model:fi", "final_activation finish fit fit_generator")
  t.equal(list "giemsa.op", "ops optim options")
  t.equal(list "nn.load", "load_model")
  t.equal(list "x.sh", "shape")
  t.equal(list "x:ndi", "") -- no function
  t.equal(list "x:su", "sub sum")
  t.equal(list "model.rows[1].na", "name")
  t.equal(list "local y = { nn.Glob", "GlobalAveragePooling2D GlobalMaxPooling2D")
  t.equal(list "('x'):re", "rep reverse")
  t.equal(list "?nn.Dro", "Dropout")
  t.equal(list "a.b.c", "")
  t.equal(list "f().x", "") -- would have to be run
end)

t.test("when nothing starts so: any case, then anywhere", function()
  t.equal(list "nn.conv", "Conv2D Conv2DTranspose")
  t.equal(list "nn.pooling", "AveragePooling2D GlobalAveragePooling2D GlobalMaxPooling2D MaxPooling2D")
end)

t.test("options of the call around", function()
  t.equal(list "nn.Conv2D{ 3, pad", "padding")
  t.equal(at("nn.Conv2D{ 3, pad").after, " = ")
  t.equal(list "model:fit(x, { epochs = 3,\n  val", "validation_data validation_split validation_steps")
  t.equal(list "data.ImageDataGenerator{ rescale = 1 / 255, rot", "rotation_range")
  t.equal(list "model:fit(x, { epochs = mo", "model momentum") -- a value, no key
  t.ok(at("model:fit(").about:find "^model:fit%(data, opts, more%)  Trains")
  t.equal(list "model:fit(", "")
  t.ok(at("nn.Conv2D{").about:find "^nn.Conv2D{filters, kernel_size}")
end)

t.test("paths in strings, modules behind require", function()
  local folder = t.tmpdir()
  t.write(folder .. "/one.png", "")
  t.write(folder .. "/ünë two.png", "")
  t.write(folder .. "/.hidden", "")
  core.make_folder(folder .. "/onward")
  t.equal(list("f('" .. folder .. "/on"), "one.png onward/")
  t.equal(at("f('" .. folder .. "/one").after, "'")
  t.equal(at("f(\"" .. folder .. "/onw").after, nil) -- a folder goes on
  t.equal(list("f('" .. folder .. "/"), "one.png onward/ ünë two.png")
  t.equal(list("f('" .. folder .. "/."), ".hidden")
  t.equal(list "f('/nowhere/", "")
  t.equal(list "require 'giemsa.data.fo", "giemsa.data.folder")
  t.equal(list "require('giemsa.mon", "giemsa.montage")
end)

t.test("nothing in comments", function()
  t.equal(list "-- mod", "")
  t.equal(list "--[[ mod", "")
  t.equal(list "x = 1 -- mod", "")
  t.equal(list "--[[ mod ]] mod", "model")
end)

t.test("nobody's code is run", function()
  local ran = false
  values.trap = setmetatable({ inner = {} }, { __index = function() ran = true return {} end,
    __call = function() ran = true end, __len = function() ran = true return 1 end, __pairs = function() ran = true end })
  for _, text in ipairs { "trap.", "trap.x.", "trap[1].", "trap(", "trap{ a", "trap.inner.", "#trap.", "trap:" } do at(text) end
  t.ok(not ran)
end)

t.test("any prefix of real code is answered", function()
  for _, path in ipairs { "notebooks/05_train.lua", "lua/giemsa/complete.lua" } do
    local file <close> = assert(io.open(path))
    local source = file:read("a")
    for last = 1, #source, 7 do t.ok(type(at(source:sub(math.max(1, last - 400), last)).list) == "table") end
  end
end)

t.test("what Tab does", function()
  t.equal({ complete.edit({ word = "mo", list = { "model", "momentum" } }, 80) }, { 0, "", "model     momentum" })
  t.equal({ complete.edit({ word = "m", list = { "model", "momentum" } }, 80) }, { 1, "mo" })
  t.equal({ complete.edit({ word = "pad", list = { "padding" }, after = " = " }, 80) }, { 3, "padding = " })
  t.equal({ complete.edit({ word = "x", list = {} }, 80) }, { 0 })
  t.equal({ complete.edit({ word = "ü", list = { "ünë/" } }, 80) }, { 1, "ünë/" }) -- characters, not bytes
  t.equal({ complete.edit({ word = "", list = {}, about = "f(x)" }, 80) }, { 0, "", "f(x)" })
  local many = {}
  for i = 1, 500 do many[i] = ("name%03d"):format(i) end
  for line in complete.columns(many, 60):gmatch "[^\n]+" do t.ok(#line <= 60, line) end
  t.ok(complete.columns(many, 60):find "%.%.%. 300 more$")
end)

t.done()
