--- Exact resume: a training that was killed, interrupted or out of disk goes on to the same bits as
--- one that never stopped; and what is not the same training is told so.
local t = require "tests.harness"
local core = require "giemsa.core"
local giemsa = require "giemsa"
local callbacks, nn, optim, random = giemsa.callbacks, giemsa.nn, giemsa.optim, giemsa.random

if not pcall(require, "giemsa.hash") then
  t.test("checkpoints", function() t.skip("they need the hash module") end)
  t.done()
end

local FULL = os.getenv("FULL") == "yes" and not t.is_slow
local KILLS = FULL and 50 or t.is_slow and 2 or 6

-- ---- a training with everything that has a state, in a process of its own

-- Its last line: sums of the weights, the optimiser, the history, the log, the global stream.
local SCRIPT = [[
local giemsa, core = require "giemsa", require "giemsa.core"
local nn, optim, callbacks, random = giemsa.nn, giemsa.optim, giemsa.callbacks, giemsa.random
local file, json, hash = require "giemsa.save.file", require "giemsa.json", require "giemsa.hash"
local folder, fault = arg[1], arg[2]

local function pid() return (io.open("/proc/self/stat"):read("n")) end
local function die() os.execute("kill -9 " .. pid()) end

-- "write 3": dies before the third write; "half 3": in it; "link 3", "name 3": between the renames.
local kind, number = (fault or ""):match("^(%a+) (%d+)$")
local seen, write_file, rename = {}, core.write_file, os.rename
local function at(event)
  seen[event] = (seen[event] or 0) + 1
  return event == kind and seen[event] == tonumber(number)
end
function core.write_file(path, pieces)
  if path:find("%.ckpt%.new$") then
    if at "write" then die() end
    if at "half" then
      local half <close> = io.open(path .. ".aB3dE6", "wb")
      half:write(pieces[1], pieces[2]:sub(1, 100))
      half:close()
      die()
    end
  end
  return write_file(path, pieces)
end
function os.rename(from, to)
  if to:find("%.previous$") and at "link" then die() end
  local ok, why = rename(from, to)
  if to:find("%.previous$") and at "name" then die() end
  return ok, why
end

random.seed(5)
local labels = {}
for i = 1, 30 do labels[i] = i % 2 == 0 and { 1, 0 } or { 0, 1 } end
local x, y = random.uniform(0, 255, { 30, 8, 8, 3 }), core.from_table(labels)
local varied = giemsa.data.ImageDataGenerator{ rescale = 1 / 255, rotation_range = 20,
  horizontal_flip = true }
local train = varied:flow(x, y, { batch_size = 5 })
local test = giemsa.data.ImageDataGenerator{ rescale = 1 / 255 }:flow(x:rows(1, 10), y:rows(1, 10),
  { batch_size = 5, shuffle = false })

local input = nn.Input{ shape = { 8, 8, 3 } }
local h = nn.Conv2D{ 4, 3, kernel_regularizer = nn.l2(1e-3) }(nn.BatchNormalization{}(input))
h = nn.Activation{ "relu" }(nn.BatchNormalization{ momentum = 0.9 }(h))
h = nn.Dropout{ 0.3 }(nn.Flatten{}(nn.MaxPooling2D{ 2 }(h)))
local model = nn.Model(input, nn.Dense{ 2, activation = "softmax" }(h))
model:compile{ loss = "categorical_crossentropy", metrics = { "accuracy" },
  optimizer = optim[os.getenv("OPTIMIZER") or "SGD"]{ lr = 0.05, decay = 0.01 } }

local H = model:fit(train, { epochs = 7, validation_data = test, verbose = 0,
  checkpoint = folder .. "/t.ckpt", checkpoint_every = 2, resume = true, callbacks = {
    callbacks.EarlyStopping{ patience = 20, restore_best_weights = true },
    callbacks.ReduceLROnPlateau{ patience = 1, factor = 0.5, min_delta = 0.05 },
    callbacks.CSVLogger{ folder .. "/log.csv" },
    callbacks.ModelCheckpoint{ folder .. "/best.safetensors", save_best_only = true },
    function(_, logs) logs.draw = random.uniform() end,
    { on_batch_begin = function() random.uniform() end },
  } })

local sum = hash.new()
for _, weight in ipairs(model:weights()) do sum:update(core.to_bytes(weight.tensor)) end
local state = model.optimizer:get_state()
for _, name in ipairs(file.sorted_keys(state.slots)) do
  sum:update(name .. core.to_bytes(state.slots[name]))
end
sum:update(("%d %a"):format(state.iterations, model.optimizer.lr))
sum:update(file.history_to_json(H) .. file.history_to_json(model.history) .. model.epoch)
sum:update(io.open(folder .. "/log.csv"):read("a") .. json.encode(random.get_state()))
sum:update(hash.sha256_file(folder .. "/best.safetensors"))
if H.interrupted then os.exit(3) end
print(sum:hex())
]]

local script = t.write(t.tmpdir() .. "/training.lua", SCRIPT)
local counter = 0

local function fresh_folder()
  counter = counter + 1
  local folder = ("%s/%d"):format(t.tmpdir(), counter)
  os.execute("mkdir " .. folder)
  return folder
end

-- Runs the training in a folder, `prefix` before the command; what it printed, its exit code.
local function train(folder, prefix, fault)
  return t.shell(("%s %s %s %s %s"):format(prefix or "", t.quote(t.interpreter), t.quote(script),
    t.quote(folder), t.quote(fault or "")))
end

local function sum_of(output) return output:match("%x+%s*$") end

local unbroken = {}
local function want(optimizer)
  optimizer = optimizer or "SGD"
  if not unbroken[optimizer] then
    local output, code = train(fresh_folder(), "OPTIMIZER=" .. optimizer)
    t.equal(code, 0, output)
    unbroken[optimizer] = sum_of(output)
  end
  return unbroken[optimizer]
end

local KILLED = 137

t.test(("killed with -9 at %d random moments, a training comes to the same bits"):format(KILLS),
  function()
  want()
  local before = core.now()
  train(fresh_folder())
  local whole = core.now() - before
  local kills, finished, folder = 0, 0, fresh_folder()
  random.seed(os.time())
  while kills < KILLS or finished == 0 do
    local limit = kills < KILLS
      and ("timeout -s KILL %.3f"):format(random.uniform(0.01, whole)) or nil
    local output, code = train(folder, limit)
    if code == KILLED then
      kills = kills + 1
    else
      t.equal(code, 0, output)
      t.equal(sum_of(output), want(), ("after %d kills"):format(kills))
      finished, folder = finished + 1, fresh_folder()
    end
  end
end)

t.test("killed at every moment of saving", function()
  for _, moment in ipairs{ "write", "half", "link", "name" } do
    for _, number in ipairs(FULL and { 1, 2, 3, 7, 12 } or { 2 }) do
      local folder, fault = fresh_folder(), moment .. " " .. number
      local output, code = train(folder, nil, fault)
      t.ok(code == KILLED, fault .. " was not killed: " .. output)
      output, code = train(folder)
      t.equal(code, 0, output)
      t.equal(sum_of(output), want(), fault)
      local left = t.shell("ls " .. folder)
      t.ok(not left:find("ckpt.new", 1, true), "left behind: " .. left)
    end
  end
end)

t.test("Adam's and RMSprop's moments come back too", function()
  for _, name in ipairs{ "Adam", "RMSprop" } do
    local folder = fresh_folder()
    train(folder, "OPTIMIZER=" .. name, "name 5")
    local output = train(folder, "OPTIMIZER=" .. name)
    t.equal(sum_of(output), want(name), name)
  end
end)

t.test("Ctrl-C at random moments", function()
  local folder, interrupts, output, code = fresh_folder(), 0, nil, nil
  random.seed(os.time())
  repeat
    local limit = interrupts < KILLS // 2
      and ("timeout -s INT --foreground %.3f"):format(random.uniform(0.05, 0.3)) or ""
    output, code = train(folder, limit)
    interrupts = interrupts + 1
  until code == 0
  t.equal(sum_of(output), want(), ("after %d interrupts"):format(interrupts - 1))
end)

-- ---- in this process

local function pictures(n, seed)
  local rows = {}
  for i = 1, n do rows[i] = i % 2 == 0 and { 1, 0 } or { 0, 1 } end
  return core.uniform({ n, 6, 6, 1 }, 0, 1, seed, 1, 0, 0), core.from_table(rows)
end

local X, Y = pictures(24, 1)

local function net(o)
  o = o or {}
  random.seed(3)
  local input = nn.Input{ shape = { 6, 6, 1 } }
  local h = nn.Activation{ "relu" }(nn.BatchNormalization{}(nn.Conv2D{ o.filters or 3, 3 }(input)))
  if o.deeper then h = nn.Dropout{ 0.1 }(h) end
  local model = nn.Model(input, nn.Dense{ 2, activation = "softmax" }(nn.Flatten{}(h)))
  return model:compile{ loss = "categorical_crossentropy", metrics = { "accuracy" },
    optimizer = optim.SGD{ lr = o.lr or 0.05, momentum = 0.9 } }
end

-- Runs f with what goes to stderr kept apart; it is the last result.
local function hearing(f, ...)
  local before, said = io.stderr, {}
  io.stderr = { write = function(_, ...) said[#said + 1] = table.concat{ ... } end }
  local results = table.pack(pcall(f, ...))
  io.stderr = before
  if not results[1] then error(results[2], 0) end
  results[results.n + 1] = table.concat(said)
  return table.unpack(results, 2, results.n + 1)
end

-- fit with a checkpoint; other options laid over the usual ones. The history, and what was noted.
local function fit(model, path, over)
  local o = { epochs = 4, batch_size = 4, verbose = 0, checkpoint = path, resume = true }
  for key, value in pairs(over or {}) do o[key] = value end
  local x, y = o.x or X, o.y or Y
  o.x, o.y = nil, nil
  local function line_of_fit() return (model:fit(x, y, o)) end
  return hearing(line_of_fit)
end

local function weights_of(model)
  local out = {}
  for i, weight in ipairs(model:weights()) do out[i] = core.to_bytes(weight.tensor) end
  return table.concat(out)
end

local function fresh_path() return fresh_folder() .. "/m.ckpt" end

-- Raises in a callback as Ctrl-C does, once the given step of the given epoch is done.
local function stop_at(epoch, step, event)
  return { on_epoch_begin = function(self, n) self.epoch = n end,
    [event or "on_batch_end"] = function(self, n)
      if self.epoch == epoch and n == step then error("interrupted!", 0) end
    end }
end

local function quietly(f, ...)
  local before = io.output()
  io.output("/dev/null")
  local results = table.pack(pcall(f, ...))
  io.output():close()
  io.output(before)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- A training of 4 epochs that was stopped after the first two.
local function half_trained(over)
  local path = fresh_path()
  local o = { epochs = 2 }
  for key, value in pairs(over or {}) do o[key] = value end
  fit(net(), path, o)
  return path
end

t.test("Ctrl-C in an epoch: before, in and after a step; in the validation", function()
  local whole = net()
  local H = fit(whole, nil, { resume = false, validation_data = { X, Y } })
  for _, case in ipairs{ { 1, 1 }, { 2, 3 }, { 3, 6 }, { 4, 6 }, { 2, 4, "on_batch_begin" } } do
    local path, over = fresh_path(), { validation_data = { X, Y } }
    over.callbacks = { stop_at(table.unpack(case)) }
    local stopped = quietly(fit, net(), path, over)
    t.ok(stopped.interrupted)
    over.callbacks = { stop_at(99) }
    local model = net()
    local got = fit(model, path, over)
    t.ok(weights_of(model) == weights_of(whole), "the weights differ")
    t.equal(got, H)
    t.equal(model.history, whole.history)
  end
end)

t.test("a step that is broken off in the middle leaves no trace", function()
  local whole, model, path = net(), net(), fresh_path()
  fit(whole, nil, { resume = false })
  -- The batch's statistics went into the moving ones, then Ctrl-C came.
  local forward, calls = model.forward, 0
  model.forward = function(self, x, how)
    local y = forward(self, x, how)
    calls = calls + 1
    if calls == 9 then error(require("giemsa.nn.plan").INTERRUPTED, 0) end
    return y
  end
  t.ok(quietly(fit, model, path).interrupted)
  model = net()
  fit(model, path)
  t.ok(weights_of(model) == weights_of(whole), "the weights differ")
end)

t.test("a finished training comes back whole, and can go on", function()
  local path, first = fresh_path(), net()
  local H = fit(first, path)
  local again = net()
  local got, said = fit(again, path)
  t.equal(got, H)
  t.ok(said:find("m.ckpt is of a finished training (4 epochs, all it was to do)", 1, true), said)
  t.ok(weights_of(again) == weights_of(first))
  local longer, whole = net(), net()
  local more = fit(longer, path, { epochs = 6 })
  t.equal(more, (fit(whole, nil, { epochs = 6, resume = false })))
  t.ok(weights_of(longer) == weights_of(whole))
end)

t.test("killed after the last epoch: what callbacks do at the end is done", function()
  local function stopping() return callbacks.EarlyStopping{ monitor = "loss", patience = 1,
    min_delta = 10, restore_best_weights = true } end
  local path, whole, model = fresh_path(), net(), net()
  fit(whole, path, { callbacks = stopping() })
  t.equal(#fit(model, path, { callbacks = stopping() }).loss, 2)
  t.ok(weights_of(model) == weights_of(whole), "the best weights were not restored")
end)

t.test("a checkpoint is a model", function()
  local path, model = fresh_path(), net()
  fit(model, path, { callbacks = callbacks.EarlyStopping{ monitor = "loss", patience = 9,
    restore_best_weights = true } })
  local loaded = nn.load_model(path)
  t.equal({ loaded.epoch, loaded.optimizer.iterations }, { 4, 24 })
  t.equal(loaded.history.loss, model.history.loss)
end)

t.test("a source of one's own goes on too: its batches are drawn and dropped", function()
  local function own()
    local source = setmetatable({ n = 24, batch_size = 4 }, { __len = function() return 6 end })
    function source:batches(given)
      local order, i = core.permutation(6, 1, given.epoch, 0, 0), 0
      return function()
        i = i + 1
        if i <= math.min(6, given.steps) then
          local last = 4 * order[i]
          return X:rows(last - 3, last), Y:rows(last - 3, last)
        end
      end
    end
    return source
  end
  local function run(model, path, over)
    local o = { epochs = 3, verbose = 0, checkpoint = path, resume = path and true }
    for key, value in pairs(over or {}) do o[key] = value end
    return hearing(model.fit, model, own(), o)
  end
  local whole, path, model = net(), fresh_path(), net()
  run(whole)
  quietly(run, model, path, { callbacks = { stop_at(2, 3) } })
  model = net()
  run(model, path, { callbacks = { stop_at(99) } })
  t.ok(weights_of(model) == weights_of(whole))
end)

-- ---- what is not the same training

t.test("another training is told so, at the caller's line", function()
  local path = half_trained()
  local before = core.file_info(path).size
  local other_x = X:copy()
  other_x[1]:fill(0)
  local function raises(pattern, model, over)
    local weights = weights_of(model)
    local message = t.raises(fit, pattern, model, path, over)
    t.ok(message:find("tests/resume.lua", 1, true) and message:find(path, 1, true), message)
    t.ok(weights_of(model) == weights, "the net was changed")
  end
  raises("another net: layer 2 is 'conv2d_1' %(Conv2D%), filters was 3 and is 5",
    net{ filters = 5 })
  raises("another net: layer 5 is 'dropout_1' %(Dropout%), it was 'flatten_1'",
    net{ deeper = true })
  raises("the training data: batch_size was 4 and is 8", net(), { batch_size = 8 })
  raises("the training data: they are not the same .*SHA%-256 %x+… there", net(), { x = other_x })
  raises("samples was 24 and is 20", net(), { x = X:rows(1, 20), y = Y:rows(1, 20) })
  raises("the validation data: .*samples was 0 and is 24", net(), { validation_data = { X, Y } })
  raises("optimizer: lr was 0.05 and is 0.01; an exact resume needs the same", net{ lr = 0.01 })
  raises("the training data: shuffle was true and is false", net(), { shuffle = false })
  raises("class_weight was {} and is {\"1\":2}", net(), { class_weight = { 2 } })
  raises("the callbacks were: none; they are: EarlyStopping", net(),
    { callbacks = callbacks.EarlyStopping{ monitor = "loss" } })
  raises("it holds 2 epochs already, epochs = 1 asks for fewer", net(), { epochs = 1 })
  t.raises(function() net():fit(X, Y, { checkpoint = path }) end,
    "tests/resume.lua:.* is there already: resume = true goes on from it, resume = false begins")
  t.equal(core.file_info(path).size, before)
end)

t.test("options that cannot be meant", function()
  local model = net()
  t.raises(fit, "resume needs to know from where", model, nil)
  t.raises(fit, "resume must be true, false or \"previous\", got 'yes'", model, "a",
    { resume = "yes" })
  t.raises(fit, "checkpoint_every counts steps", model, fresh_path(), { checkpoint_every = 0 })
  t.raises(function()
    model:fit(function() return X, Y end, { steps_per_epoch = 2, checkpoint = fresh_path() })
  end, "needs data whose place can be found again")
  local free = nn.Sequential{ nn.Lambda(function(x) return x end, { input_shape = { 2 } }),
    nn.Dense{ 1 } }
  free:compile{ loss = "mse", optimizer = "sgd" }
  t.raises(function()
    free:fit(core.full({ 4, 2 }, 1), core.full({ 4, 1 }, 1), { checkpoint = fresh_path() })
  end, "holds a Lua function, which cannot be written down")
end)

-- ---- damage

local function read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end

t.test("a damaged checkpoint is told; the one before it is used only when that is said", function()
  local whole = net()
  fit(whole, nil, { resume = false })
  local path = half_trained{ epochs = 3 }
  local bytes = read(path)
  for _, damage in ipairs{
    { bytes:sub(1, -5), "it is truncated" }, { "", "the file is empty" },
    { bytes:sub(1, -9) .. "\1\2\3\4\5\6\7\8", "weights were altered" },
    { (bytes:gsub('"done', '"dome', 1):gsub('\\"done', '\\"dome', 1)), "header was altered" },
  } do
    t.write(path, damage[1])
    local message = t.raises(fit, damage[2], net(), path)
    t.ok(message:find("m.ckpt.previous, is whole (after epoch 2): resume = \"previous\"", 1,
      true), message)
  end
  local model = net()
  fit(model, path, { resume = "previous" })
  t.ok(weights_of(model) == weights_of(whole), "the weights differ")
  t.ok(core.file_info(path .. ".rejected"), "the damaged file was thrown away")

  path = half_trained()
  t.write(path, "no")
  t.write(path .. ".previous", "no")
  t.raises(fit, "so is the one before it", net(), path)
  fit(net(), path, { resume = false })
  local saved = fresh_folder() .. "/model.safetensors"
  net():save(saved)
  t.raises(fit, "it is a saved model and no checkpoint of fit", net(), saved)
end)

t.test("a full disk: it is said, the training goes on, the last checkpoint stays whole", function()
  local place = fresh_folder()
  if os.execute(("mount -t tmpfs -o size=100k none '%s' 2>/dev/null"):format(place)) ~= true then
    t.skip("a small file system can be mounted by root only")
  end
  local ok, problem = pcall(function()
    local output, code = t.shell(("%s -e %s"):format(t.quote(t.interpreter), t.quote(([[
      local giemsa, core = require "giemsa", require "giemsa.core"
      local nn, path = giemsa.nn, %q
      local x, y = core.uniform({ 16, 8 }, 0, 1, 1), core.full({ 16, 1 }, 1)
      local function train(o)
        giemsa.random.seed(1)
        local model = nn.Sequential{ nn.Dense{ 100, input_shape = { 8 } }, nn.Dense{ 1 } }
        model:compile{ loss = "mse", optimizer = "adam" }
        o.verbose, o.checkpoint, o.resume = 0, o.checkpoint and path, o.checkpoint and true
        model:fit(x, y, o)
        return core.to_bytes(model:weights()[1].tensor)
      end
      local whole = train{ epochs = 5 }
      local full = function(epoch)
        if epoch == 2 then io.open(path .. ".filler", "w"):write(("x"):rep(1 << 20)) end
      end
      print("on a full disk: the same",
        train{ epochs = 5, checkpoint = true, callbacks = full } == whole)
      os.remove(path .. ".filler")
      print("from what was left: the same",
        train{ epochs = 5, checkpoint = true, callbacks = function() end } == whole)
    ]]):format(place .. "/m.ckpt"))))
    t.equal(code, 0, output)
    t.ok(output:find("no checkpoint could be written: .*No space left on device.*the last good one "
      .. "is after epoch 1. The training goes on"), output)
    t.ok(output:find("going on from .*, after epoch 1\n"), output)
    local _, same = output:gsub("the same\ttrue", "")
    t.equal(same, 2, output)
  end)
  os.execute(("umount '%s'"):format(place))
  if not ok then error(problem, 0) end
end)

t.done()
