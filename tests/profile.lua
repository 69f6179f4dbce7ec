--- giemsa.profile: what it counts, whose time it is, and that it leaves no trace.
local t = require "tests.harness"
local core = require "giemsa.core"
local giemsa = require "giemsa"
local nn, profile = giemsa.nn, giemsa.profile

local function find(list, wanted)
  for _, row in ipairs(list) do
    local same = true
    for key, value in pairs(wanted) do same = same and row[key] == value end
    if same then return row end
  end
end

local function small_net()
  local x = nn.Input{ shape = { 8, 8, 2 } }
  local y = nn.Conv2D{ 4, 3, padding = "same", name = "conv" }(x)
  y = nn.ReLU{ name = "relu" }(nn.BatchNormalization{ name = "norm" }(y))
  y = nn.Dense{ 2, activation = "softmax", name = "dense" }(nn.Flatten{}(y))
  return nn.Model(x, y):compile{ loss = "categorical_crossentropy", optimizer = "sgd" }
end

t.test("calls, operations and bytes are those of the definition, for one run", function()
  local a, b = core.full({ 10, 20 }, 1), core.full({ 20, 30 }, 1)
  local calls = 0
  local report = profile(function()
    calls = calls + 1
    for _ = 1, 3 do core.matmul(a, b) end
    core.matmul(a, a, true, false)
    core.exp(a)
  end, { runs = 4, warm_up = 2 })
  t.equal(calls, 6)
  local product = find(report.ops, { op = "matmul" })
  t.equal(product.calls, 4.0)
  t.equal(product.flops, 3.0 * 2 * 10 * 20 * 30 + 2 * 20 * 20 * 10)
  t.equal(product.bytes, 4.0 * (3 * (200 + 600 + 300) + 200 + 200 + 400))
  t.equal(find(report.ops, { op = "exp" }).bytes, 4.0 * 2 * 200)
end)

t.test("a convolution's three passes do the same arithmetic", function()
  local x, w = core.full({ 2, 6, 6, 3 }, 1), core.full({ 3, 3, 3, 5 }, 1)
  local report = profile(function()
    local y = core.conv2d(x, w, 2, 2, 1, 1, 1, 1)
    core.conv2d_dx(y, w, 6, 6, 2, 2, 1, 1, 1, 1)
    core.conv2d_dw(y, x, 3, 3, 2, 2, 1, 1, 1, 1)
  end, { runs = 1 })
  for _, op in ipairs{ "conv2d", "conv2d_dx", "conv2d_dw" } do
    t.equal(find(report.ops, { op = op }).flops, 2.0 * (2 * 3 * 3 * 5) * (3 * 3 * 3), op)
  end
end)

t.test("the times of all ops and of Lua are the whole", function()
  local model = small_net()
  local x, y = core.full({ 4, 8, 8, 2 }, 1), core.one_hot(giemsa.tensor{ 1, 2, 1, 2 }, 2)
  local report = profile(function() giemsa.train.step(model, x, y) end)
  local sum, shares = report.rest, report.rest / report.ms
  for _, op in ipairs(report.ops) do sum, shares = sum + op.ms, shares + op.share end
  t.close({ sum, shares }, { report.ms, 1 }, 1e-9, 1e-9)
  t.ok(report.rest > 0, "Lua took no time at all")
  local layers = 0
  for _, layer in ipairs(report.by_layer) do layers = layers + layer.ms end
  t.close(layers, sum - report.rest, 1e-9, 1e-9)
end)

t.test("passes and layers are told apart", function()
  local model = small_net()
  local x, y = core.full({ 4, 8, 8, 2 }, 1), core.one_hot(giemsa.tensor{ 1, 2, 1, 2 }, 2)
  local report = profile(function() giemsa.train.step(model, x, y) end, { runs = 1 })
  local update = find(report.ops, { op = "sgd_step" })
  t.equal({ update.pass, update.calls }, { "update", 6.0 })
  local function has(layer, pass)
    local sum = 0
    for _, row in ipairs(report.by_layer) do
      if row.layer == layer then sum = sum + row[pass] end
    end
    t.ok(sum > 0, ("no %s of %s"):format(pass, layer or "no layer"))
  end
  for _, pass in ipairs{ "forward", "backward" } do
    local text = report:layers()
    t.ok(text:find("conv", 1, true) and text:find("norm", 1, true), text)
    has("dense", pass)
  end
  has(nil, "forward") -- the loss
  has(nil, "update")
  local inference = profile(function() model(x) end, { runs = 1 })
  for _, op in ipairs(inference.ops) do t.equal(op.pass, "forward", op.op) end
end)

t.test("waiting for pictures is counted", function()
  local folder = t.tmpdir() .. "/pictures/a"
  t.equal(select(2, t.shell("mkdir -p " .. t.quote(folder))), 0)
  for i = 1, 3 do
    giemsa.image.new(4, 4):save(("%s/%d.png"):format(folder, i))
  end
  local flow = giemsa.data.ImageDataGenerator{}:flow_from_directory(t.tmpdir() .. "/pictures",
    { target_size = { 4, 4 }, batch_size = 2, class_mode = "none", verbose = false })
  local report = profile(function() for _ in flow:batches() do end end, { runs = 1, warm_up = 0 })
  t.equal(find(report.ops, { op = "loader_wait" }).calls, 2.0)
end)

t.test("the core is as before, also after a raise", function()
  local before = {}
  for name, f in pairs(core) do before[name] = f end
  local fill = core.tensor_methods.fill
  profile(function() core.full({ 2 }, 1):fill(3) end)
  t.raises(profile, "no luck", function()
    core.full({ 2 }, 1)
    error("no luck")
  end)
  for name, f in pairs(core) do t.ok(before[name] == f, name .. " was not put back") end
  t.ok(core.tensor_methods.fill == fill)
end)

t.test("the text has a line for each op; the chart has a bar", function()
  local x = core.full({ 300, 300 }, 1)
  local report = profile(function() core.matmul(x, x) core.exp(x) end)
  local text = tostring(report)
  t.ok(text:find("^[%d.]+ ms a run %(mean of 5; %d+ threads, %w+%)\nop +pass +calls +ms"), text)
  t.ok(text:find("\nmatmul +forward +1 +[%d.]+ +[%d.]+ %% +[%d.]+ +[%d.]+ +1.1\n"), text)
  t.ok(text:find("\n%(Lua%) +[%d.]+ +[%d.]+ %%$"), text)
  local script = report:plot{ title = "T" }:script()
  for _, name in ipairs{ "matmul", "exp", "(Lua)", "forward", "backward" } do
    t.ok(script:find("'" .. name .. "'", 1, true), name .. " is not in the chart")
  end
end)

t.test("few bars: the rest is one", function()
  local x = core.full({ 300, 300 }, 1)
  local report = profile(function() core.matmul(x, x) core.exp(x) core.log(x) core.abs(x) end)
  local script = report:plot{ most = 2 }:script()
  t.ok(script:find("ytics %('%w+' 1, '%w+' 2, '%(others%)' 3, '%(Lua%)' 4%)"), script)
  local _, lines = report:layers(1):gsub("\n", "")
  t.equal(lines, 2) -- the title, the head, (no layer)
end)

t.test("wrong use is told", function()
  t.raises(profile, "expected a function to run, got nil; for example", nil)
  t.raises(profile, "unknown option 'run' %(did you mean 'runs'", print, { run = 3 })
  t.raises(profile, "runs must be 1 or more", print, { runs = 0 })
  local report = profile(function() end)
  t.raises(report.plot, "by must be one of op, layer; got 'ops'", report, { by = "ops" })
end)

t.done()
