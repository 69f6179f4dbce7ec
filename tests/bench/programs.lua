--- Whole programs, each run in a process of its own.
local cases = require "tests.bench.cases"
local contender = require "tests.bench.contender"
local core = require "giemsa.core"
local harness = require "tests.harness"
local rounds = require "tests.bench.rounds"
local timed = require "tests.bench.timed"

local programs = {}
local run, repeated = timed.command, timed.repeated

-- A piece of Lua in another process; the last line of its output is its peak resident size in MB.
local function run_lua(code)
  return run{ harness.interpreter, "-e", code .. [[ for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmHWM:%s*(%d+)" if kb then print(math.ceil(kb / 1024)) end end]] }
end

--- From the start of the process to the end of the first training step, on files.
function programs.start()
  local code = ([[local giemsa = require "giemsa"
    local flow = giemsa.data.ImageDataGenerator{ rescale = 1 / 255, rotation_range = 20 }
      :flow_from_directory(%q, { target_size = { 64, 64 }, batch_size = 32, verbose = false })
    local model = giemsa.nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 },
      { reg = 0.0005 })
    model:compile{ loss = "binary_crossentropy",
      optimizer = giemsa.optim.SGD{ lr = 0.1, momentum = 0.9 } }
    local x, y = flow:next() giemsa.train.step(model, x, y)]])
    :format(cases.data_folder() .. "/training")
  local row = repeated(7, function() return run_lua(code) end)
  row.batch, row.note = 32, "process start to the end of the first step"
  return row
end

local function first_picture(folder)
  for _, class in ipairs{ "Parasitized", "Uninfected" } do
    local path = core.list_folder(("%s/testing/%s"):format(folder, class))
    if path and path[1] then return ("%s/testing/%s/%s"):format(folder, class, path[1][1]) end
  end
  error("there is no picture in " .. folder, 0)
end

--- From the start of examples/predict.lua to its answer; ONNX Runtime doing the same, in turn.
function programs.predict(with_peers)
  local folder = cases.data_folder()
  local picture, saved = first_picture(folder), harness.tmpdir() .. "/course.safetensors"
  run_lua(([[local giemsa = require "giemsa"
    local model = giemsa.nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 })
    model.class_names = { "Parasitized", "Uninfected" }
    model.preprocessing = giemsa.data.ImageDataGenerator{ rescale = 1 / 255 }
      :flow_from_directory(%q, { target_size = { 64, 64 }, verbose = false }).preprocessing
    model:compile{ loss = "binary_crossentropy" }
    model:save(%q)]]):format(folder .. "/testing", saved))
  local ours = { harness.interpreter, "examples/predict.lua", saved, picture }
  local theirs = with_peers and contender.command "onnx"
  local times, their_times = {}, {}
  for i = 1, 9 do
    times[i] = run(ours)
    if theirs then their_times[i] = run{ theirs[1], theirs[2], theirs[3], picture } end
  end
  local row = rounds.summary(times)
  row.batch, row.note = 1, "process start to the answer"
  if theirs then
    row.peers = { rounds.summary(their_times) }
    row.peers[1].label = "onnx"
  end
  return row
end

local function course(seed)
  local ms, output = run_lua(([[arg = { [0] = "examples/train_resnet.lua", "--quiet", "--seed",
    "%d", "--data", %q } dofile(arg[0])]]):format(seed, cases.data_folder()))
  return ms, tonumber(output:match("test_accuracy = ([%d.]+)")), tonumber(output:match("(%d+)%s*$"))
end

--- The course's training, 25 epochs with augmentation, and its peak memory.
function programs.course()
  local ms, accuracy, memory = course(1)
  return { median_ms = ms, min_ms = ms, n = 1, batch = 32, test_accuracy = accuracy,
    peak_mb = memory, note = ("25 epochs with augmentation; test accuracy %.2f"):format(accuracy) }
end

--- Ten seeds of it.
function programs.accuracy()
  local sum, all = 0, {}
  local row = repeated(10, function()
    local ms, accuracy = course(#all + 1)
    all[#all + 1], sum = ("%.2f"):format(accuracy), sum + accuracy
    return ms
  end)
  row.batch, row.mean_accuracy = 32, sum / 10
  row.note = ("ten seeds: mean %.4f (%s)"):format(sum / 10, table.concat(all, " "))
  return row
end

return programs
