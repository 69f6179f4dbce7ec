--- Training: compile, fit, evaluate, predict, callbacks, optimisers, the progress line, Ctrl-C, and
--- errors by message.
local t = require "tests.harness"
local core = require "giemsa.core"
local giemsa = require "giemsa"
local callbacks, grad, nn, optim, progress, random, train = giemsa.callbacks, giemsa.grad,
  giemsa.nn, giemsa.optim,
  giemsa.progress, giemsa.random, giemsa.train
local display = giemsa.display

local function tensor(rows) return core.from_table(rows) end

-- A classification problem: is the left or the right half of an 8x8 picture brighter?
local function pictures(n, seed)
  local x = core.uniform({ n, 8, 8, 1 }, 0, 1, seed, 1, 0, 0)
  local labels = {}
  for i = 1, n do
    local side = i % 2
    for row = 1, 8 do
      for column = 1, 4 do
        local pixel = x[i][row][column + 4 * side]
        pixel[1] = pixel[1] + 0.6
      end
    end
    labels[i] = side == 0 and { 1, 0 } or { 0, 1 }
  end
  return x, tensor(labels)
end

local function conv_net(opts)
  local x = nn.Input{ shape = { 8, 8, 1 } }
  local y = nn.Conv2D{ 4, 3, padding = "same", use_bias = false, kernel_regularizer = nn.l2(1e-4) }(
    x)
  y = nn.Activation{ "relu" }(nn.BatchNormalization{ momentum = 0.9 }(y))
  y = nn.Flatten{}(nn.MaxPooling2D{ 2 }(y))
  local model = nn.Model(x, nn.Activation{ "softmax" }(nn.Dense{ 2 }(y)))
  return model:compile{ loss = opts and opts.loss or "categorical_crossentropy",
    metrics = { "accuracy" },
    optimizer = opts and opts.optimizer or optim.SGD{ lr = 0.05, momentum = 0.9 } }
end

local XOR_X, XOR_Y = { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } }, { 0, 1, 1, 0 }

local function quiet(opts)
  opts = opts or {}
  opts.verbose = 0
  return opts
end

-- What a call writes by io.write.
local function written(call)
  local path = t.tmpdir() .. "/written"
  local before = io.output()
  io.output(path)
  local ok, problem = pcall(call)
  io.output():close()
  io.output(before)
  if not ok then error(problem, 0) end
  local f <close> = assert(io.open(path))
  return f:read("a")
end

-- A data source over tensors that counts what is asked of it.
local function counting_source(x, y, batch_size)
  local source = { n = #x, batch_size = batch_size, asked = {} }
  setmetatable(source,
    { __len = function(self) return (self.n + batch_size - 1) // batch_size end })
  function source:batches(given)
    table.insert(self.asked, given)
    local at, left = 0, given.steps
    return function()
      if left == 0 or at >= self.n then return nil end
      left = left and left - 1
      local first = at + 1
      at = math.min(at + batch_size, self.n)
      return x:rows(first, at), y:rows(first, at)
    end
  end
  return source
end

-- ---- learning -----------------------------------------------------------------------------------

t.test("xor is learnt", function()
  random.seed(1)
  local model = nn.Sequential{ nn.Dense{ 8, activation = "tanh", input_shape = { 2 } },
    nn.Dense{ 1, activation = "sigmoid" } }
  model:compile{ loss = "binary_crossentropy", optimizer = optim.Adam{ lr = 0.05 },
    metrics = { "accuracy" } }
  local x, y = tensor(XOR_X), tensor(XOR_Y)
  local H = model:fit(x, y, { epochs = 150, batch_size = 4, verbose = 0 })
  t.equal(H.accuracy[150], 1)
  t.ok(H.loss[150] < 0.1)
  local p = model:predict(x):reshape(-1):totable()
  for i = 1, 4 do t.equal(p[i] > 0.5 and 1 or 0, XOR_Y[i]) end
end)

t.test("a small net learns pictures, and does as well on others", function()
  for _, optimizer in ipairs{ optim.SGD{ lr = 0.05, momentum = 0.9 },
    optim.SGD{ lr = 0.05, momentum = 0.9, nesterov = true },
    optim.Adam{ lr = 0.01 }, optim.RMSprop{ lr = 0.01 } } do
    random.seed(2)
    local x, y = pictures(64, 1)
    local vx, vy = pictures(40, 2)
    local model = conv_net{ optimizer = optimizer }
    local H = model:fit(x, y, { epochs = 8, batch_size = 16, validation_data = { vx, vy },
      verbose = 0 })
    t.ok(H.accuracy[8] >= 0.95, tostring(optimizer) .. " accuracy " .. H.accuracy[8])
    t.ok(H.val_accuracy[8] >= 0.85, tostring(optimizer) .. " val_accuracy " .. H.val_accuracy[8])
    t.ok(H.loss[8] < H.loss[1])
  end
end)

t.test("every loss trains", function()
  local x, y = pictures(32, 3)
  local labels = core.argmax(y, 2)
  for _, name in ipairs{ "categorical_crossentropy", "binary_crossentropy",
    "sparse_categorical_crossentropy", "mse" } do
    random.seed(2)
    local model = conv_net{ loss = name }
    local H = model:fit(x, name:find("sparse") and labels or y,
      { epochs = 6, batch_size = 8, verbose = 0 })
    t.ok(H.accuracy[6] >= 0.9, name .. " " .. H.accuracy[6])
  end
  random.seed(2)
  local model = conv_net{ loss = function(want, p) return giemsa.ops.mean(
    (want - p) * (want - p)) end }
  t.ok(model:fit(x, y, { epochs = 6, batch_size = 8, verbose = 0 }).accuracy[6] >= 0.9)
end)

t.test("binary cross-entropy of a two-way softmax is the categorical one", function()
  local x, y = pictures(16, 3)
  local losses = {}
  for i, name in ipairs{ "categorical_crossentropy", "binary_crossentropy",
    giemsa.loss.binary_crossentropy } do
    random.seed(4)
    losses[i] = train.step(conv_net{ loss = name }, x, y)
  end
  t.equal(losses[1], losses[2])
  t.equal(losses[1], losses[3])
end)

t.test("binary cross-entropy of a three-way softmax is Keras's mean over the outputs", function()
  random.seed(1)
  local model = nn.Sequential{ nn.Dense{ 3, activation = "softmax", input_shape = { 2 } } }
  model:compile{ loss = "binary_crossentropy", optimizer = "sgd" }
  local x, y = tensor(XOR_X), tensor{ { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 }, { 1, 0, 0 } }
  local p, sum = model:predict(x):totable(), 0
  for i = 1, 4 do
    for j = 1, 3 do
      local want = y[i][j]
      sum = sum - (want == 1 and math.log(p[i][j]) or math.log(1 - p[i][j]))
    end
  end
  t.close(model:evaluate(x, y).loss, sum / 12, 1e-5)
  t.close(train.step(model, x, y), sum / 12, 1e-5)
end)

-- ---- history ------------------------------------------------------------------------------------

t.test("history has a value an epoch under Keras's names", function()
  local x, y = pictures(24, 1)
  local model = conv_net()
  local H = model:fit(x, y, quiet{ epochs = 3, batch_size = 8, validation_split = 0.25 })
  for _, key in ipairs{ "loss", "accuracy", "val_loss", "val_accuracy", "epoch" } do
    t.equal(#H[key], 3, key)
  end
  t.equal(H.history.loss, H.loss)
  t.equal(model.history.loss, H.loss)
  t.equal(model.epoch, 3)
  local more = model:fit(x, y, quiet{ epochs = 5, initial_epoch = 3, batch_size = 8 })
  t.equal(#more.loss, 2)
  t.equal(more.epoch, { 4, 5 })
  t.equal(#model.history.loss, 5)
  t.equal(model.history.loss[1], H.loss[1])
end)

t.test("an epoch's loss is the mean over samples, L2 included, before each update", function()
  local x, y = pictures(10, 1)
  random.seed(3)
  local by_hand, model = conv_net(), nil
  random.seed(3)
  model = conv_net()
  local H = model:fit(counting_source(x, y, 4), quiet{ epochs = 1, shuffle = false })
  local sum = 0
  for _, range in ipairs{ { 1, 4 }, { 5, 8 }, { 9, 10 } } do
    local first, last = table.unpack(range)
    sum = sum + (last - first + 1) * train.step(by_hand, x:rows(first, last), y:rows(first, last))
  end
  t.close(H.loss[1], sum / 10, 1e-12)
end)

t.test("passes are asked for as tf.keras does", function()
  local x, y = pictures(20, 1)
  local source, validation = counting_source(x, y, 4), counting_source(x, y, 4)
  conv_net():fit(source, quiet{ epochs = 2, steps_per_epoch = 3, validation_data = validation,
    validation_steps = 1, seed = 9 })
  t.equal(#source.asked, 2)
  t.equal(source.asked[2], { epoch = 2, steps = 3, shuffle_batches = true, seed = 9 })
  t.equal({ validation.asked[2].steps, validation.asked[2].shuffle_batches }, { 1, false })
end)

t.test("training in two goes is training in one", function()
  local x, y = pictures(24, 1)
  local function run(...)
    random.seed(6)
    local model = conv_net{ optimizer = optim.SGD{ lr = 0.05, momentum = 0.9, decay = 0.01 } }
    local from = 0
    for _, to in ipairs{ ... } do
      model:fit(x, y, quiet{ epochs = to, initial_epoch = from, batch_size = 8 })
      from = to
    end
    return model
  end
  local whole, parts = run(4):get_weights(), run(1, 3, 4):get_weights()
  for i, w in ipairs(whole) do t.ok(w == parts[i]) end
end)

t.test("training that goes on after a load is training in one, dropout included", function()
  if not pcall(require, "giemsa.hash") then t.skip("saving needs the hash module") end
  local x, y = pictures(24, 1)
  local path = t.tmpdir() .. "/half.safetensors"
  local function start()
    random.seed(8)
    local input = nn.Input{ shape = { 8, 8, 1 } }
    local h = nn.Dropout{ 0.3 }(nn.Dense{ 8, activation = "relu" }(nn.Flatten{}(input)))
    local model = nn.Model(input, nn.Dense{ 2, activation = "softmax" }(h))
    return model:compile{ loss = "categorical_crossentropy", metrics = { "accuracy" },
      optimizer = optim.SGD{ lr = 0.05, momentum = 0.9, decay = 0.01 } }
  end
  local whole = start()
  whole:fit(x, y, quiet{ epochs = 4, batch_size = 8 })
  start():fit(x, y, quiet{ epochs = 2, batch_size = 8,
    callbacks = { callbacks.ModelCheckpoint{ path, save_best_only = true, monitor = "loss" } } })
  random.seed(99)
  local half = nn.load_model(path)
  t.equal({ half.epoch, #half.history.loss, half.optimizer.iterations }, { 2, 2, 6 })
  half:fit(x, y, quiet{ epochs = 4, initial_epoch = 2, batch_size = 8 })
  for i, w in ipairs(whole:get_weights()) do t.ok(w == half:weights()[i].tensor) end
  t.equal(half.history.loss, whole.history.loss)
end)

t.test("the same weights with one thread and with two", function()
  local x, y = pictures(32, 1)
  local before, results = core.threads(), {}
  for threads = 1, 2 do
    core.threads(threads)
    random.seed(7)
    local model = conv_net()
    model:fit(x, y, quiet{ epochs = 2, batch_size = 8 })
    results[threads] = model:get_weights()
  end
  core.threads(before)
  for i, w in ipairs(results[1]) do t.ok(w == results[2][i]) end
end)

t.test("once warm, training asks the system for no more memory", function()
  local x, y = pictures(64, 1)
  local model = conv_net()
  model:fit(x, y, quiet{ epochs = 30, batch_size = 16 }) -- some cycles of Lua's own collector
  local before = core.memory()
  model:fit(x, y, quiet{ epochs = 30, batch_size = 16 })
  local after = core.memory()
  -- A few of 256 bytes, as Lua's collector comes and goes.
  local blocks = after.system_calls - before.system_calls
  t.ok(blocks < 60, blocks .. " new blocks in 120 steps")
  t.ok(after.in_use + after.kept - before.in_use - before.kept < 2 ^ 18, "memory grows")
end)

-- ---- class weights ------------------------------------------------------------------------------

t.test("class weights count each sample by its class", function()
  local x, y = pictures(6, 1)
  random.seed(1)
  local model = conv_net()
  local objective = require "giemsa.train.objective"
  local logits = model:forward(x, { logits = true })
  local function loss_of(rows_x, rows_y) return model.objective.value(rows_y, rows_x):item() end
  local want = 0
  for i = 1, 6 do
    want = want + (y[i][1] == 1 and 3 or 0.5) * loss_of(logits:rows(i, i), y:rows(i, i))
  end
  local weighted = objective.weighted(model.objective, { [1] = 3, b = 0.5 }, { "a", "b" })
  t.close(weighted.value(y, logits):item(), want / 6, 1e-6)
  local sparse = objective.weighted(conv_net{ loss = "sparse_categorical_crossentropy" }.objective,
    { 3, 0.5 })
  t.close(sparse.value(core.argmax(y, 2), logits):item(), want / 6, 1e-6)

  local z, labels = tensor{ { 2 }, { -1 }, { 0.5 } }, tensor{ 1, 0, 0 }
  local net = nn.Sequential{ nn.Activation{ "sigmoid", input_shape = { 1 } } }
  net:compile{ loss = "binary_crossentropy", optimizer = "sgd" }
  local binary = objective.weighted(net.objective, { 1, 4 })
  local function softplus(v) return math.log(1 + math.exp(v)) end
  t.close(binary.value(labels, z):item(), (4 * softplus(-2) + softplus(-1) + softplus(0.5)) / 3,
    1e-6)
  t.raises(function()
    model:fit(x, y, quiet{ class_weight = { c = 1 } })
  end, "class_weight must map classes")
end)

-- ---- evaluate and predict -----------------------------------------------------------------------

-- The order must not matter (Keras: the labels of one order met the predictions of another).
t.test("evaluate of a source that shuffles gives what the source in order gives", function()
  local x, y = pictures(30, 4)
  local model = conv_net()
  model:fit(x, y, { epochs = 2, verbose = 0 })
  local in_order = model:evaluate(giemsa.data.array(x, y, { batch_size = 7, shuffle = false }))
  local shuffled = giemsa.data.array(x, y, { batch_size = 7, shuffle = true, seed = 3 })
  local first = shuffled:batches { epoch = 1, shuffle_batches = false }()
  t.ok(core.sum(core.abs(first - x:rows(1, 7))):item() > 0, "it did not shuffle")
  for _ = 1, 2 do
    local result = model:evaluate(shuffled)
    t.equal(result.accuracy, in_order.accuracy)
    t.close(result.loss, in_order.loss, 1e-6)
  end
end)

t.test("evaluate gives a table and the values", function()
  local x, y = pictures(20, 1)
  local model = conv_net()
  local result, loss, accuracy = model:evaluate(x, y, { batch_size = 7 })
  t.equal({ result.loss, result.accuracy }, { loss, accuracy })
  local again = model:evaluate(counting_source(x, y, 20))
  t.close(loss, again.loss, 1e-6)
  t.equal(accuracy, again.accuracy)
  t.close(model:evaluate(counting_source(x, y, 4), { steps = 2 }).loss,
    model:evaluate(x:rows(1, 8), y:rows(1, 8)).loss, 1e-6)
end)

t.test("predict returns n rows in order, also when a batch too many is asked for", function()
  local x = pictures(20, 1)
  local model = conv_net()
  local want = grad.no_grad(model.forward, model, x)
  t.close(model:predict(x, { batch_size = 6 }), want, 1e-6)
  local source = counting_source(x, x, 5)
  t.close(model:predict(source, { steps = 5 }), want, 1e-6)
  t.close(model:predict_generator(source, { steps = 20 // 5 + 1 }), want, 1e-6)
  t.equal(model:predict(source, { steps = 2 }).shape, { 10, 2 })
  source.shuffle = true
  t.raises(function() model:predict(source) end, "shuffle = false")
end)

t.test("accuracy follows the shapes, as in tf.keras", function()
  local accuracy = require("giemsa.train.objective").metrics{ "accuracy" }[1].value
  t.close(accuracy(tensor{ { 1, 0 }, { 0, 1 }, { 0, 1 } },
    tensor{ { .9, .1 }, { .8, .2 }, { .5, .5 } }, false), 1 / 3, 1e-6)
  t.close(accuracy(tensor{ 1, 2, 2 }, tensor{ { .9, .1 }, { .2, .8 }, { .8, .2 } }, false), 2 / 3,
    1e-6)
  t.close(accuracy(tensor{ 1, 0, 0 }, tensor{ { .9 }, { .2 }, { .8 } }, false), 2 / 3, 1e-6)
  t.close(accuracy(tensor{ 1, 0, 0 }, tensor{ { .9 }, { -.2 }, { .8 } }, true), 2 / 3, 1e-6)
end)

t.test("metrics of one's own have names", function()
  local x, y = pictures(16, 1)
  local model = conv_net()
  model:compile{ loss = "categorical_crossentropy", optimizer = "sgd",
    metrics = { "accuracy", "mse",
    top = function(_, p) return core.max(p) end } }
  local H = model:fit(x, y, quiet{ epochs = 1, batch_size = 8, validation_data = { x, y } })
  t.ok(H.top[1] > 0.5 and H.top[1] <= 1 and H.val_top[1] and H.mse[1] > 0)
end)

-- ---- optimisers ---------------------------------------------------------------------------------

-- Steps of an optimiser on w = {1, -2} with the gradient w itself, and the same by plain Lua.
local function against(optimizer, formula)
  local w = tensor{ 1, -2 }
  local weights, state, plain = { { name = "w", tensor = w } }, {}, { 1, -2 }
  for step = 0, 4 do
    w.grad = w:copy()
    optimizer:step(weights)
    for i = 1, 2 do
      state[i] = state[i] or {}
      plain[i] = plain[i] + formula(state[i], plain[i], step)
    end
    t.close(w, plain, 1e-6, 1e-5)
  end
end

t.test("optimisers follow their formulas", function()
  against(optim.SGD{ lr = 0.1 }, function(_, g) return -0.1 * g end)
  against(optim.SGD{ lr = 0.1, momentum = 0.9, decay = 0.5 }, function(s, g, step)
    s.v = 0.9 * (s.v or 0) - 0.1 / (1 + 0.5 * step) * g
    return s.v
  end)
  against(optim.SGD{ lr = 0.1, momentum = 0.9, nesterov = true }, function(s, g)
    s.v = 0.9 * (s.v or 0) - 0.1 * g
    return 0.9 * s.v - 0.1 * g
  end)
  against(optim.Adam{ lr = 0.1, decay = 0.1 }, function(s, g, step)
    local n = step + 1
    s.m, s.v = 0.9 * (s.m or 0) + 0.1 * g, 0.999 * (s.v or 0) + 0.001 * g * g
    return -0.1 / (1 + 0.1 * step) * math.sqrt(1 - 0.999 ^ n) / (1 - 0.9 ^ n) * s.m / (
      math.sqrt(s.v) + 1e-7)
  end)
  against(optim.RMSprop{ lr = 0.1 }, function(s, g)
    s.v = 0.9 * (s.v or 0) + 0.1 * g * g
    return -0.1 * g / (math.sqrt(s.v) + 1e-7)
  end)
end)

t.test("the learning rate decays with updates, as in the fixtures", function()
  local sgd = optim.SGD{ lr = 0.1, decay = 0.1 / 25 }
  sgd.iterations = 620
  t.close(sgd:current_lr(), 0.1 / (1 + 0.004 * 620), 1e-15)
  t.equal(sgd.lr, 0.1)
end)

t.test("an optimiser's state goes on elsewhere", function()
  local x, y = pictures(16, 1)
  random.seed(3)
  local a = conv_net{ optimizer = optim.Adam{ lr = 0.01, decay = 0.1 } }
  for _ = 1, 3 do train.step(a, x, y) end
  random.seed(3)
  local b = conv_net{ optimizer = optim.from_config(a.optimizer:get_config()) }
  b:set_weights(a:get_weights())
  b.optimizer:set_state(a.optimizer:get_state())
  t.equal(b.optimizer.iterations, 3)
  t.equal(train.step(a, x, y), train.step(b, x, y))
  for i, w in ipairs(a:get_weights()) do t.ok(w == b:weights()[i].tensor) end
end)

t.test("optimisers refuse what they do not know", function()
  t.raises(function()
    optim.SGD{ momentun = 0.9 }
  end, "SGD: unknown option 'momentun' %(did you mean 'momentum'")
  t.raises(function() optim.SGD{ lr = -1 } end, "lr must be from 0")
  t.raises(function() optim.SGD{ lr = 1, learning_rate = 2 } end, "give one")
  t.raises(function()
    conv_net{ optimizer = "adaam" }
  end, "optimizer must be one of SGD, Adam, RMSprop")
  t.equal(optim.SGD{ learning_rate = 0.3 }.lr, 0.3)
end)

-- ---- callbacks ----------------------------------------------------------------------------------

-- A model whose evaluation can be scripted: fit sees `values` as val_loss, one an epoch.
local function scripted(values)
  return { on_epoch_end = function(_, epoch, logs) logs.val_loss = values[epoch] end }
end

local function fit_scripted(values, callback, epochs)
  local x, y = pictures(8, 1)
  local model = conv_net()
  local H = model:fit(x, y, quiet{ epochs = epochs or #values, batch_size = 8,
    callbacks = { scripted(values), callback } })
  return model, H
end

t.test("EarlyStopping waits, stops and restores", function()
  local kept = {}
  local x, y = pictures(8, 1)
  local model = conv_net()
  local stop = callbacks.EarlyStopping{ monitor = "val_loss", patience = 2,
    restore_best_weights = true }
  local H = model:fit(x, y, quiet{ epochs = 9, batch_size = 8,
    callbacks = { scripted{ 3, 2, 2.5, 2.2, 1, 1, 1, 1, 1 },
    function(epoch, _, m) kept[epoch] = m:get_weights() end, stop } })
  t.equal({ #H.loss, stop.stopped_epoch, stop.best_epoch }, { 4, 4, 2 })
  for i, w in ipairs(kept[2]) do t.ok(w == model:weights()[i].tensor) end
  t.raises(function() fit_scripted({ 1 }, callbacks.EarlyStopping{ monitor = "val_lossy" }) end,
    "EarlyStopping watches 'val_lossy', but an epoch gives only accuracy, loss, val_loss")
end)

t.test("EarlyStopping knows that more accuracy is better", function()
  local stop = callbacks.EarlyStopping{ "val_accuracy", patience = 1 }
  local x, y = pictures(8, 1)
  local H = conv_net():fit(x, y, quiet{ epochs = 9, batch_size = 8, callbacks = {
    { on_epoch_end = function(_, epoch, logs) logs.val_accuracy = ({ .5, .6, .6 })[epoch] end },
      stop } })
  t.equal(#H.loss, 3)
end)

t.test("ReduceLROnPlateau cuts the rate and writes it into the history", function()
  local model, H = fit_scripted({ 3, 3, 3, 3, 3 }, callbacks.ReduceLROnPlateau{ factor = 0.1,
    patience = 2, min_lr = 1e-3 })
  t.close(H.lr, { 0.05, 0.05, 0.05, 0.005, 0.005 }, 1e-12)
  t.close(model.optimizer.lr, 1e-3, 1e-12)
end)

t.test("LearningRateScheduler sets the rate before each epoch", function()
  local _, H = fit_scripted({ 1, 1, 1 },
    callbacks.LearningRateScheduler{ function(epoch, lr) return epoch == 1 and 0.02 or lr / 2 end })
  t.close(H.lr, { 0.02, 0.01, 0.005 }, 1e-12)
  t.raises(function()
    fit_scripted({ 1 }, callbacks.LearningRateScheduler(function() end))
  end, "schedule must return a number")
end)

t.test("CSVLogger writes a line an epoch", function()
  local path = t.tmpdir() .. "/log.csv"
  fit_scripted({ 1.5, 1.25 }, callbacks.CSVLogger{ path })
  fit_scripted({ 1 }, callbacks.CSVLogger{ path, append = true })
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  t.equal(#lines, 4)
  t.equal(lines[1], "epoch,accuracy,loss,val_loss")
  t.ok(lines[3]:find("^2,.*,1.25$"))
  t.raises(function()
    fit_scripted({ 1 }, callbacks.CSVLogger{ "/nowhere/at/all.csv" })
  end, "CSVLogger: cannot write /nowhere")
end)

t.test("ModelCheckpoint saves when the value gets better", function()
  local paths = {}
  local x, y = pictures(8, 1)
  local model = conv_net()
  model.save = function(_, path) paths[#paths + 1] = path end
  model:fit(x, y, quiet{ epochs = 4, batch_size = 8, callbacks = { scripted{ 3, 4, 2, 2.5 },
    callbacks.ModelCheckpoint{ "m-{epoch:02d}-{val_loss:.1f}.safetensors",
      save_best_only = true } } })
  t.equal(paths, { "m-01-3.0.safetensors", "m-03-2.0.safetensors" })
  t.raises(function() callbacks.ModelCheckpoint{} end, "needs a filepath")
  t.raises(function()
    callbacks.ModelCheckpoint{ "a", save_best_onl = true }
  end, "did you mean 'save_best_only'")
  t.raises(function() return callbacks.EarlyStoping end, "did you mean 'EarlyStopping'")
end)

t.test("a table's events come in order; batches too", function()
  local events = {}
  local function hear(name) return function(_, n) events[#events + 1] = name .. (n or "") end end
  local x, y = pictures(8, 1)
  local model = conv_net()
  model:fit(x, y, quiet{ epochs = 1, batch_size = 4, callbacks = { on_train_begin = hear "begin",
    on_train_end = hear "end",
    on_epoch_begin = hear "epoch", on_epoch_end = hear "done", on_batch_begin = hear "b",
      on_batch_end = hear "e" } })
  t.equal(events, { "begin", "epoch1", "b1", "e1", "b2", "e2", "done1", "end" })
end)

-- ---- the progress line --------------------------------------------------------------------------

t.test("away from a terminal: one line an epoch, no control bytes", function()
  local x, y = pictures(32, 1)
  local text = written(function() conv_net():fit(x, y,
    { epochs = 3, batch_size = 8, validation_data = { x, y } }) end)
  local _, lines = text:gsub("\n", "")
  t.equal(lines, 3)
  t.ok(not text:find("[%z\1-\9\11-\31\27]"), "control bytes")
  t.ok(text:find("^Epoch 1/3 %- %d+s %- [%d%.]+[mu]?s/step %- accuracy: %d%.%d+ %- loss: .- %- "
    .. "val_accuracy: .- %- val_loss: .- images/s %- lr: 0.05 %- best\n"), text)
  t.equal(written(function() conv_net():fit(x, y, quiet{ epochs = 2 }) end), "")
end)

-- Runs f as if at a terminal of so many columns; returns what was written and how often.
local function at_terminal(columns, f)
  local parts, before = {}, { display.columns, display.write }
  display.columns, display.write = function() return columns end,
    function(text) parts[#parts + 1] = text end
  local ok, problem = pcall(f)
  display.columns, display.write = before[1], before[2]
  if not ok then error(problem, 0) end
  return parts
end

t.test("at a terminal: one line redrawn, at most ten times a second, within its width", function()
  for _, columns in ipairs{ 20, 40, 60, 80, 120 } do
    local parts = at_terminal(columns, function()
      local bar = progress.bar{ total = 120, label = "Epoch 1/25" }
      local until_ = core.now() + 0.35
      local n = 0
      while core.now() < until_ do
        n = math.min(n + 1, 119)
        bar:update(n, { { "accuracy", 0.8731 }, { "loss", 0.00003312 }, "325 images/s" })
      end
      bar:update(120)
      bar:finish{ { "accuracy", 0.8731 }, { "loss", 0.3312 }, "325 images/s" }
      bar:finish()
    end)
    t.ok(#parts <= 7, #parts .. " redraws")
    t.equal(table.remove(parts), "\n")
    for i, part in ipairs(parts) do
      local plain = part:gsub("\27%[[%d;]*[mKAJ]", "")
      for line in plain:gmatch("[^\r\n]+") do t.ok(utf8.len(line) < columns or columns < 24, line) end
      t.equal(part:sub(1, 5), i == 1 and "\rEpoc" or "\r\27[1A")
      t.ok(plain:find("^\rEpoch 1/25\n"), plain)
    end
    t.ok(parts[#parts]:find("accuracy: 0.8731", 1, true), "nothing is left out of the last line")
    t.ok(parts[#parts]:find("325 images/s", 1, true))
    if columns == 120 then
      local plain = parts[#parts]:gsub("\27%[[%d;]*[mKA]", "")
      local shape = "\n120/120 .- 0s %d+[mu]s/step %- accuracy: 0.8731 %- loss: 0.3312 "
        .. "%- 325 images/s$"
      t.ok(plain:find(shape), plain)
    end
  end
end)

t.test("a loop shows how far it is", function()
  local seen = {}
  local text = written(function()
    for i, word in progress({ "a", "b" }, "words") do seen[i] = word end
    for i in progress(3) do if i == 2 then break end end
  end)
  t.equal(seen, { "a", "b" })
  t.ok(text:find("^words %- %d+s %- [%d%.]+[mu]?s/item\n$"), text)
  t.raises(function() for _ in progress("x") do end end, "tests/train.lua:%d+: progress: expected a list")
end)

t.test("times are written as Keras does", function()
  t.equal({ progress.time_text(12.9), progress.time_text(65), progress.time_text(3723) },
    { "12s", "1:05", "1:02:03" })
end)

-- ---- things that go wrong -----------------------------------------------------------------------

t.test("nan stops with the epoch, the step and what to try; the weights stay", function()
  random.seed(1)
  local x, y = pictures(32, 1)
  local model = conv_net{ optimizer = optim.SGD{ lr = 1e30 } }
  local message = t.raises(function() model:fit(x, y, quiet{ epochs = 3, batch_size = 8 }) end,
    "the loss is %a+ since epoch 1, step %d")
  t.ok(message:find("smaller learning rate", 1, true) and message:find("one step before", 1, true),
    message)

  local bad = x:copy()
  bad[20]:fill(0 / 0)
  model = conv_net()
  local before
  message = t.raises(function()
    model:fit(bad, y, quiet{ epochs = 2, batch_size = 8, shuffle = false,
      callbacks = { on_batch_begin = function(_, step)
      if step == 3 then before = model:trainable()[1].tensor:copy() end
    end } })
  end, "nan since epoch 1, step 3")
  t.ok(message:find("batch itself holds nan", 1, true), message)
  t.ok(before == model:trainable()[1].tensor)
end)

-- Runs a script in a process of its own and sends it SIGINT once it says it is ready.
local function interrupted_run(body)
  local path = t.tmpdir() .. "/interrupted.lua"
  local f <close> = assert(io.open(path, "w"))
  f:write([[
    local giemsa, core = require "giemsa", require "giemsa.core"
    local nn, optim, callbacks = giemsa.nn, giemsa.optim, giemsa.callbacks
    local x = core.uniform({ 512, 32, 32, 3 }, 0, 1, 1, 1, 1, 1)
    local rows = {}
    for i = 1, 512 do rows[i] = i % 2 == 0 and { 1, 0 } or { 0, 1 } end
    local y = core.from_table(rows)
    local model = nn.ResNet.build(32, 32, 3, 2, { 1, 1 }, { 16, 32, 64 })
    model:compile{ loss = "binary_crossentropy", optimizer = optim.SGD{ lr = 0.01 },
      metrics = { "accuracy" } }
    local sent
    local function interrupt_me() -- by another process, as a keyboard would
      io.popen("kill -INT " .. io.open("/proc/self/stat"):read("n")):close()
      sent = core.now()
    end
  ]], body)
  f:close()
  local interpreter = t.interpreter
  local pipe = io.popen(("'%s' '%s' 2>&1"):format(interpreter, path))
  local text = pipe:read("a")
  return text, select(3, pipe:close())
end

t.test("Ctrl-C: fit returns after the step it is in, with the history so far; the model works", function()
  local text, code = interrupted_run [[
    local steps_after = 0
    local H = model:fit(x, y, { epochs = 100, batch_size = 32, verbose = 0,
      callbacks = { on_batch_end = function(_, step)
      if sent then steps_after = steps_after + 1 end
      if model.epoch == 1 and step == 2 then interrupt_me() end
    end } })
    print("steps after", steps_after <= 1)
    print("history", #H.loss, H.interrupted, H.partial.epoch, model.epoch)
    print("usable", model:predict(x, { batch_size = 64 }).shape[1])
    print("again", #model:fit(x, y, { epochs = 1, verbose = 0 }).loss)
  ]]
  t.equal(code, 0, text)
  t.ok(text:find("interrupted in epoch 2, step %d+: 1 whole epochs"), text)
  t.ok(text:find("steps after\ttrue", 1, true), text)
  t.ok(text:find("history\t1\ttrue\t2\t1", 1, true), text)
  t.ok(text:find("usable\t512", 1, true) and text:find("again\t1", 1, true), text)
end)

t.test("Ctrl-C in the backward pass ends it before its next op, and leaves no gradient", function()
  local text = interrupted_run [[
    local after = 0
    local function watched(value, seen) -- the same value, with a look at its gradient
      return giemsa.grad.op(core.reshape(value, value.shape), { value }, function(dy)
        seen()
        giemsa.grad.accumulate(value, dy)
      end, "watched")
    end
    model = nn.Sequential{ nn.Dense{ 4, input_shape = { 8 } }, nn.ReLU{}, nn.Dense{ 2 } }
    local function loss(y_true, y_pred)
      local early = watched(y_pred, function() after = after + 1 end)
      return giemsa.ops.mean(giemsa.ops.square(watched(early, interrupt_me)))
    end
    model:compile{ loss = loss, optimizer = optim.SGD{ lr = 0.1 } }
    local weights = model:get_weights()
    local H = model:fit(core.full({ 4, 8 }, 1), core.zeros{ 4, 2 }, { epochs = 2, verbose = 0 })
    print("ended", H.interrupted, after)
    for i, weight in ipairs(model:weights()) do
      print("weight", weight.tensor.grad, core.sum(core.abs(weight.tensor - weights[i])):item())
    end
  ]]
  t.ok(text:find("ended\ttrue\t0", 1, true), text)
  t.equal(select(2, text:gsub("weight\tnil\t0.0\n", "")), 4, text)
end)

t.test("Ctrl-C in predict raises, and is an ordinary Ctrl-C again afterwards", function()
  local body = [[
    local slow = { n = 512, batch_size = 32 }
    setmetatable(slow, { __len = function() return 16 end })
    function slow:batches()
      local i = 0
      return function()
        i = i + 1
        if i == 3 then interrupt_me() end
        if i <= 16 then return x:rows(32 * i - 31, 32 * i), y:rows(32 * i - 31, 32 * i) end
      end
    end
    io.stdout:setvbuf "no"
    print(pcall(model[METHOD], model, slow))
    interrupt_me()
    for i = 1, 1e8 do end
    print "not reached"
  ]]
  for _, method in ipairs{ "predict", "evaluate" } do
    local text = interrupted_run((body:gsub("METHOD", ("%q"):format(method))))
    t.ok(text:find(("false\t%s: interrupted!"):format(method), 1, true), text)
    t.ok(not text:find("not reached", 1, true), text)
  end
end)

t.test("Ctrl-C in the middle of a large product of matrices ends it", function()
  local text = interrupted_run [[
    local done, a = 0, core.full({ 6000, 6000 }, 0.5)
    os.execute(("(sleep 0.3; kill -INT %d) &"):format(io.open("/proc/self/stat"):read("n")))
    print(pcall(function()
      for _ = 1, 1000 do core.matmul(a, a) done = done + 1 end
    end))
    print("kept", done < 1000, a:rows(1, 1):rows(1, 1).shape[2])
  ]]
  t.ok(text:find("false\t[^\n]*interrupted!"), text)
  t.ok(text:find("kept\ttrue\t6000", 1, true), text)
end)

t.test("the host's own interrupt error is taken likewise", function()
  local x, y = pictures(16, 1)
  local model = conv_net()
  local H
  local text = written(function()
    H = model:fit(x, y, quiet{ epochs = 5, batch_size = 8, callbacks = { on_batch_end = function() 
      if model.epoch == 2 then error("interrupted!", 0) end
    end } })
  end)
  t.equal({ H.interrupted, #H.loss, H.partial.step }, { true, 2, 1 })
  t.ok(text:find("interrupted in epoch 3, step 1", 1, true))
end)

t.test("an error in a callback leaves the model usable and Ctrl-C the host's", function()
  local x, y = pictures(16, 1)
  local model = conv_net()
  t.raises(function()
    model:fit(x, y, quiet{ callbacks = function() error("mine") end })
  end, "mine")
  t.equal(#model:fit(x, y, quiet{ epochs = 1 }).loss, 1)
end)

t.test("wrong use is told at the caller's line", function()
  local x, y = pictures(16, 1)
  local model = conv_net()
  local function raises(pattern, f)
    local message = t.raises(f, pattern)
    t.ok(message:find("tests/train.lua", 1, true), message)
  end
  raises("fit: unknown option 'epoch' %(did you mean 'epochs'", function()
    model:fit(x, y, { epoch = 3 })
  end)
  raises("fit: 16 samples, but 15 labels", function() model:fit(x, y:rows(1, 15)) end)
  raises("fit: expected a tensor or a data source, got string", function() model:fit("folder") end)
  raises("batch_size is the data source's own %(4%)", function()
    model:fit(counting_source(x, y, 4), { batch_size = 3 })
  end)
  raises("steps_per_epoch = 0", function()
    model:fit(counting_source(x, y, 4), { steps_per_epoch = 0 })
  end)
  raises("validation_split needs tensors", function()
    model:fit(counting_source(x, y, 4), { validation_split = 0.1 })
  end)
  raises("give steps_per_epoch", function() model:fit(function() return x, y end) end)
  raises("compile the model first", function()
    nn.Sequential{ nn.Dense{ 1, input_shape = { 2 } } }:fit(x, y)
  end)
  raises("unknown loss 'categorical_crosentropy' %(did you mean 'categorical_crossentropy'",
    function()
    model:compile{ loss = "categorical_crosentropy" }
  end)
  raises("unknown metric 'acuracy' %(did you mean 'accuracy'", function()
    model:compile{ loss = "mse", metrics = { "acuracy" } }
  end)
  raises("ends in softmax, but 'dense_1' %(Dense%) ends in no activation", function()
    nn.Sequential{ nn.Dense{ 2, input_shape = { 2 } } }:compile{ loss = "categorical_crossentropy" }
  end)
  raises("compile: give a loss", function() model:compile{} end)
end)

t.test("a function is a source too, and odd steps are corrected aloud", function()
  local x, y = pictures(16, 1)
  local model, calls = conv_net(), 0
  local H = model:fit(function()
    calls = calls + 1
    return x, y
  end, quiet{ steps_per_epoch = 3, epochs = 2 })
  t.equal({ calls, #H.loss }, { 6, 2 })
end)

t.done()
