--- Memory that runs out: for each piece of work, every allocation in turn fails, those of the core (tensors, pictures)
-- and those of Lua. The work must end in an error that says so, or get by, and leave nothing behind: after a
-- collection as many bytes are in use, and as many files are open, as before.
local t = require "tests.harness"
local core = require "giemsa.core"
local giemsa = require "giemsa"
local grad, image, metrics, montage, nn, ops, optim = giemsa.grad, giemsa.image, giemsa.metrics, giemsa.montage, giemsa.nn, giemsa.ops, giemsa.optim
local random, tensor = giemsa.random, giemsa.tensor

local dir = t.tmpdir()

-- ---- what is tried

local x = tensor.uniform{ 2, 6, 6, 3, seed = 1 }
local kernel, bias = tensor.uniform{ 3, 3, 3, 4, seed = 2 }, tensor.zeros(4)
local up_kernel = tensor.uniform{ 2, 2, 4, 3, seed = 2 }
local rows, labels = tensor.uniform{ 4, 3, seed = 3 }, tensor{ { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 }, { 1, 0, 0 } }

-- An op forward and backward, its gradients dropped.
local function both_ways(f, ...)
  local inputs = { ... }
  return function()
    local tracked = {}
    for i, input in ipairs(inputs) do
      tracked[i] = input:copy()
      tracked[i].requires_grad = true
    end
    grad.backward(ops.sum(f(table.unpack(tracked))))
  end
end

local function small_net()
  return nn.Sequential{ nn.Conv2D{ 4, 3, input_shape = { 6, 6, 3 }, padding = "same" }, nn.BatchNormalization{},
    nn.Activation{ "relu" }, nn.MaxPooling2D{ 2 }, nn.Flatten{}, nn.Dropout{ 0.3 }, nn.Dense{ 2, activation = "softmax" } }
end

random.seed(1)
local batch_x, batch_y = tensor.uniform{ 8, 6, 6, 3, seed = 4 }, core.one_hot({ 1, 2, 1, 2, 1, 2, 1, 2 }, 2)
local function compiled(optimizer)
  return small_net():compile{ loss = "categorical_crossentropy", metrics = { "accuracy" }, optimizer = optimizer }
end
local trained = compiled(optim.SGD{ lr = 0.1, momentum = 0.9 })
trained:fit(batch_x, batch_y, { epochs = 1, verbose = 0 })
local saved = dir .. "/model.safetensors"
trained:save(saved)

local photo = image.new(40, 30, { color = { 200, 120, 160 } })
photo:save(dir .. "/photo.png")
for _, class in ipairs{ "a", "b" } do
  t.shell(("mkdir -p %s/cells/%s"):format(dir, class))
  for i = 1, 3 do photo:save(("%s/cells/%s/%d.png"):format(dir, class, i)) end
end
local generator = giemsa.data.ImageDataGenerator{ rescale = 1 / 255, rotation_range = 20, horizontal_flip = true }

local WORK = {
  ["convolutions"] = both_ways(function(a, w, b) return ops.conv2d(a, w, b, { padding = "same", strides = { 2, 2 } }) end, x, kernel, bias),
  ["transposed convolution, upsampling"] = both_ways(function(a, w) return ops.upsample(ops.conv2d_transpose(a, w, nil, { strides = { 2, 2 } }), { 2, 2 }) end, x, up_kernel),
  ["convolution in groups"] = both_ways(function(a, w, b) return ops.conv2d(ops.concat({ a, a }, 4), w, b, { groups = 2 }) end, x, kernel, bias),
  ["depthwise convolution"] = both_ways(function(a, w) return ops.depthwise_conv2d(a, w, nil, { padding = "same" }) end, x, kernel),
  ["pooling"] = both_ways(function(a) return ops.add(ops.max_pool2d(a, { pool = { 2, 2 } }), ops.avg_pool2d(a, { pool = { 2, 2 } })) end, x),
  ["batch norm"] = both_ways(function(a, g, b) return ops.batch_norm(a, g, b, tensor.zeros(3), tensor.ones(3), { training = true }) end, x, tensor.ones(3), tensor.zeros(3)),
  ["activations"] = both_ways(function(a) return ops.softmax(ops.tanh(ops.sigmoid(ops.relu(a)))) end, rows),
  ["dropout, concat, pad, flatten"] = both_ways(function(a) return ops.flatten(ops.zero_pad2d(ops.concat({ ops.dropout(a, 0.5, { seed = 1, a = 1, b = 1, c = 1 }), a }, 4), { { 1, 1 }, { 1, 1 } })) end, x),
  ["losses"] = both_ways(function(a) return ops.add(giemsa.loss.categorical_crossentropy(labels, a, { from_logits = true }), giemsa.loss.mse(labels, a)) end, rows),
  ["making a net"] = function() return small_net() end,
  ["the course's net"] = function() return nn.ResNet.build(32, 32, 3, 2, { 1, 1 }, { 4, 8, 8 }, { reg = 0.0005 }) end,
  ["a training step with SGD"] = function() return compiled(optim.SGD{ lr = 0.1, momentum = 0.9 }):train_on_batch(batch_x, batch_y) end,
  ["a training step with Adam"] = function() return compiled(optim.Adam{}):train_on_batch(batch_x, batch_y) end,
  ["fit"] = function() return compiled(optim.RMSprop{}):fit(batch_x, batch_y, { epochs = 2, batch_size = 4, verbose = 0, validation_data = { batch_x, batch_y } }) end,
  ["evaluate and predict"] = function() return trained:evaluate(batch_x, batch_y, { verbose = 0 }), trained:predict(batch_x) end,
  ["saving"] = function() trained:save(dir .. "/again.safetensors") end,
  ["loading"] = function() return nn.load_model(saved) end,
  ["pictures read and resized"] = function()
    local p = assert(image.read(dir .. "/photo.png"))
    return p:resize(8, 8, "bilinear"), p:resize(9, 9, "area"), p:resize(7, 7, "nearest"), p:crop(1, 1, 5, 5), p:convert(1), p:to_tensor()
  end,
  ["pictures loaded as tensors"] = function() return image.load(dir .. "/photo.png", { target_size = { 8, 8 } }):to_tensor() end,
  ["pictures drawn and written"] = function()
    local p = image.new(60, 40, {})
    p:draw_text(2, 20, "Größe 疟", { color = { 255, 0, 0 } })
    p:rectangle(1, 1, 50, 30, {})
    p:line(0, 0, 59, 39, {})
    p:paste(5, 5, photo)
    p:save(dir .. "/drawn.png")
    return image.decode(p:png()), image.from_tensor(p:to_tensor())
  end,
  ["a montage"] = function() return montage.predictions{ pictures = { photo, dir .. "/photo.png" }, labels = { "Parasitized", "Uninfected" }, grid = { 2, 1 } } end,
  ["a generator of a folder"] = function()
    local flow = generator:flow_from_directory(dir .. "/cells", { batch_size = 4, target_size = { 8, 8 }, seed = 1, verbose = false })
    for _ in flow:batches{ epoch = 1 } do end
    return flow:batch(1)
  end,
  ["a generator of tensors"] = function()
    for _ in generator:flow(batch_x, batch_y, { batch_size = 3 }):batches() do end
  end,
  ["a report and its curves"] = function()
    local truth, predicted = { 1, 2, 1, 2, 2 }, { 1, 1, 1, 2, 2 }
    return metrics.classification_report(truth, predicted), metrics.confusion_matrix(truth, predicted), metrics.roc_auc_score(truth, { 0.1, 0.6, 0.3, 0.8, 0.9 })
  end,
  ["a synthetic cell"] = function()
    local smear = require "datasets.smear"
    return smear.cell(smear.slide(1, 1), 1, true)
  end,
  ["a gradient check"] = function() return grad.check(function(a) return ops.sum(ops.sigmoid(a)) end, { tensor{ 1, 2 } }) end,
}

-- ---- how

local function open_files() return #assert(core.list_folder("/proc/self/fd")) end

-- What is in use once all that can be collected is (a finalizer may need a second round).
local function settled()
  for _ = 1, 3 do collectgarbage() end
  return core.memory().in_use
end

local KINDS = {
  { name = "the core's memory, once", fail = core.fail_after, sign = 1 },
  { name = "the core's memory, for good", fail = core.fail_after, sign = -1 },
  { name = "Lua's memory, for good", fail = core.fail_lua_after, sign = 1 },
}

-- Every one of the first allocations, then fewer and fewer of them: those of a loop are all alike.
local function next_after(n) return n + 1 + n // (t.is_slow and 8 or 40) end

local function survives(work, kind)
  work()
  work() -- the first time may keep what it learns (fonts, threads, ...)
  local before, files = settled(), open_files()
  local n = 1
  while true do
    kind.fail(kind.sign * n)
    local ok, message = pcall(work)
    local untouched = kind.fail(0)
    if not ok and not tostring(message):find("memory") then
      error(("allocation %d: another error: %s"):format(n, tostring(message)), 0)
    end
    message = nil
    local after = settled()
    if after ~= before then error(("allocation %d: %d bytes in use, %d before"):format(n, after, before), 0) end
    if open_files() ~= files then error(("allocation %d: %d files open, %d before"):format(n, open_files(), files), 0) end
    if untouched then return t.ok(ok, "an error without a failing allocation: " .. tostring(message)) end
    n = next_after(n)
  end
end

local names = {}
for name in pairs(WORK) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  for _, kind in ipairs(KINDS) do
    t.test(name .. ": " .. kind.name, function() survives(WORK[name], kind) end)
  end
end

t.done()
