--- Timings, as JSON lines or a table: giemsa tests/bench.lua [NAME ...] [--json]. Medians of repeated runs; on a busy machine
--- compare only what ran together.
local core = require "giemsa.core"
local giemsa = require "giemsa"
local json = require "dkjson"

local options = giemsa.args.parse([[
giemsa tests/bench.lua [NAME ...] [--json] [--seconds S]
  NAME          only these: train_step infer_b32 infer_b1 augment start course; and when named: conv, accuracy (ten seeds)
  --json        one JSON object a line
  --seconds S   how long to repeat each (2)]], { json = false, seconds = 2.0 })

local BATCH = 32

local function course_net()
  local nn, optim = giemsa.nn, giemsa.optim
  local model = nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, { reg = 0.0005 })
  model:compile{ loss = "binary_crossentropy", metrics = { "accuracy" }, optimizer = optim.SGD{ lr = 0.001, momentum = 0.9 } }
  return model
end

local function one_hot(n)
  local rows = {}
  for i = 1, n do rows[i] = i % 2 == 0 and { 1, 0 } or { 0, 1 } end
  return giemsa.tensor(rows)
end

-- Milliseconds of each run, until the time is used up (at least five runs after two to warm up).
local function timed(run)
  run()
  run()
  local times, stop = {}, core.now() + options.seconds
  repeat
    local start = core.now()
    run()
    times[#times + 1] = (core.now() - start) * 1e3
  until core.now() > stop and #times >= 5
  table.sort(times)
  return times
end

local function report(name, times, extra)
  local row = { name = name, median_ms = times[(#times + 1) // 2], min_ms = times[1], n = #times, threads = core.threads(),
    isa = core.isa() }
  for k, v in pairs(extra or {}) do row[k] = v end
  if options.json then return print(json.encode(row, { keyorder = { "name", "median_ms", "min_ms", "n", "threads", "batch" } })) end
  print(("%-12s median %9.3f ms  min %9.3f ms  (%d runs, %d threads, %s)%s"):format(name, row.median_ms, row.min_ms, row.n, row.threads,
    row.isa, row.note and "  " .. row.note or ""))
end

local bench = {}

function bench.train_step()
  local model, x, y = course_net(), giemsa.tensor.uniform({ BATCH, 64, 64, 3 }, { seed = 1 }), one_hot(BATCH)
  local times = timed(function() giemsa.train.step(model, x, y) end)
  report("train_step", times, { batch = BATCH, note = ("%.0f images/s"):format(BATCH / times[(#times + 1) // 2] * 1e3) })
end

local function infer(name, batch)
  local model, x = course_net(), giemsa.tensor.uniform({ batch, 64, 64, 3 }, { seed = 1 })
  report(name, timed(function() model(x):release() end), { batch = batch })
end
function bench.infer_b32() infer("infer_b32", 32) end
function bench.infer_b1() infer("infer_b1", 1) end

function bench.augment()
  local folder = require("datasets").ensure().training
  local generator = giemsa.data.ImageDataGenerator{ rescale = 1 / 255, rotation_range = 20, zoom_range = 0.05, width_shift_range = 0.05,
    height_shift_range = 0.05, shear_range = 0.05, horizontal_flip = true }
  local flow = generator:flow_from_directory(folder, { target_size = { 64, 64 }, batch_size = BATCH, verbose = false })
  local times = timed(function() for _ in flow:batches() do end end)
  for i, t in ipairs(times) do times[i] = t / #flow end
  report("augment", times, { batch = BATCH, note = "a batch, decoded once" })
end

-- Gigaflops of the three passes of a convolution, over the layers of the course's net.
function bench.conv()
  for _, layer in ipairs{ { 32, 16, 3, 16 }, { 32, 64, 1, 16 }, { 16, 32, 3, 32 }, { 16, 32, 1, 128 }, { 8, 64, 3, 64 }, { 8, 64, 1, 256 } } do
    local side, channels, k, out = table.unpack(layer)
    local pad = k // 2
    local x = giemsa.tensor.uniform({ BATCH, side, side, channels }, { seed = 1 })
    local w = giemsa.tensor.uniform({ k, k, channels, out }, { seed = 2 })
    local dy = core.conv2d(x, w, 1, 1, pad, pad, pad, pad)
    local gflop = 2e-9 * BATCH * side * side * k * k * channels * out
    local name = ("%dx%d %d->%d k%d"):format(side, side, channels, out, k)
    local function row(pass, run)
      local times = timed(function() run():release() end)
      report("conv", times, { batch = BATCH, note = ("%s %s: %.0f GFLOP/s"):format(name, pass, gflop / times[(#times + 1) // 2] * 1e3) })
    end
    row("y", function() return core.conv2d(x, w, 1, 1, pad, pad, pad, pad) end)
    row("dx", function() return core.conv2d_dx(dy, w, side, side, 1, 1, pad, pad, pad, pad) end)
    row("dw", function() return core.conv2d_dw(dy, x, k, k, 1, 1, pad, pad, pad, pad) end)
  end
end

-- ---- whole programs, each in a process of its own

local DATA = "../shared/datasets/malaria" -- the real sample where there is one, else synthetic cells
local function data_folder()
  local there = core.file_info(DATA .. "/training")
  return there and DATA or require("datasets").ensure().dir
end

-- Milliseconds and output of another process of this program; the last line is its largest resident size in MB.
local function child(code)
  local program = arg[-1]
  local with_memory = code .. [[ for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmHWM:%s*(%d+)" if kb then print(math.ceil(kb / 1024)) end end]]
  local start = core.now()
  local status, output, errors = core.run_program({ program, "-e", with_memory }, "", 3600)
  assert(status == 0, errors)
  return (core.now() - start) * 1e3, output
end

-- From the start of the process to the end of the first training step, on files.
function bench.start()
  local code = ([[local giemsa = require "giemsa"
    local flow = giemsa.data.ImageDataGenerator{ rescale = 1 / 255, rotation_range = 20 }:flow_from_directory(%q,
      { target_size = { 64, 64 }, batch_size = 32, verbose = false })
    local model = giemsa.nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, { reg = 0.0005 })
    model:compile{ loss = "binary_crossentropy", optimizer = giemsa.optim.SGD{ lr = 0.1, momentum = 0.9 } }
    local x, y = flow:next() giemsa.train.step(model, x, y)]]):format(data_folder() .. "/training")
  report("start", timed(function() child(code) end), { batch = BATCH, note = "process start to the end of the first step" })
end

local function course(seed)
  local ms, output = child(('arg = { [0] = "examples/train_resnet.lua", "--quiet", "--seed", "%d", "--data", %q } dofile(arg[0])')
    :format(seed, data_folder()))
  return ms, tonumber(output:match("test_accuracy = ([%d.]+)")), tonumber(output:match("(%d+)%s*$"))
end

function bench.course()
  local ms, accuracy, memory = course(1)
  report("course", { ms }, { batch = BATCH, test_accuracy = accuracy, peak_mb = memory,
    note = ("25 epochs with augmentation; test accuracy %.2f, peak %d MB"):format(accuracy, memory) })
end

function bench.accuracy()
  local times, sum, all = {}, 0, {}
  for seed = 1, 10 do
    local ms, accuracy = course(seed)
    times[seed], all[seed], sum = ms, ("%.2f"):format(accuracy), sum + accuracy
  end
  table.sort(times)
  report("accuracy", times, { batch = BATCH, mean_accuracy = sum / 10,
    note = ("ten seeds: mean %.4f (%s)"):format(sum / 10, table.concat(all, " ")) })
end

local usual = { "train_step", "infer_b32", "infer_b1", "augment", "start", "course" }
for _, name in ipairs(#options > 0 and options or usual) do
  if not bench[name] then error("there is no bench named " .. name, 0) end
  bench[name]()
end
