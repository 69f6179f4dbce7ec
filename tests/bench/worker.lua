--- giemsa as a contender (tests/bench/contender.lua): reads requests, runs cases, writes replies.
local core = require "giemsa.core"
local giemsa = require "giemsa"
local dkjson = require "dkjson"
local nets = require "tests.bench.nets"

local cases = {}

-- Bytes that the ops of a run read and write.
local function touched(run)
  local bytes, report = 0, giemsa.profile(run, { runs = 1, warm_up = 0 })
  for _, op in ipairs(report.ops) do bytes = bytes + op.bytes end
  return bytes
end

local function images(request)
  return giemsa.tensor.uniform({ request.batch, request.side, request.side, 3 }, { seed = 1 })
end

function cases.step(request)
  local model, x = nets.compiled(request), images(request)
  local y = nets.labels(request)
  local function run() giemsa.train.step(model, x, y) end
  return run, { params = select(2, model:count_params()), bytes = touched(run),
    flops = nets.flops(model, request.batch, true) }
end

function cases.forward(request)
  local model, x = nets.build(request), images(request)
  local function run() giemsa.grad.no_grad(model, x):release() end
  return run, { params = select(2, model:count_params()), bytes = touched(run),
    flops = nets.flops(model, request.batch, false) }
end

local function course_augmentation()
  return giemsa.data.ImageDataGenerator{ rescale = 1 / 255, rotation_range = 20, zoom_range = 0.05,
    width_shift_range = 0.05, height_shift_range = 0.05, shear_range = 0.05,
    horizontal_flip = true, fill_mode = "nearest" }
end

local function augmented_flow(request)
  return course_augmentation():flow_from_directory(request.folder, { target_size = { 64, 64 },
    batch_size = request.batch, verbose = false })
end

-- An epoch, by the batch: batches are made ahead, so that one by itself says nothing.
function cases.augment(request)
  local flow = augmented_flow(request)
  return function() for _ in flow:batches() do end end, { per = #flow }
end

function cases.report(request)
  local truth = giemsa.tensor.uniform({ request.n }, { seed = 1 })
  truth = core.add(core.gt(truth, 0.5), 1) -- classes count from 1
  local scores = giemsa.tensor.uniform({ request.n }, { seed = 2 })
  local predicted = core.add(core.gt(scores, 0.5), 1)
  local metrics = giemsa.metrics
  return function()
    metrics.classification_report(truth, predicted)
    metrics.roc_auc_score(truth, scores, { positive = 2 })
  end
end

local function course_net() return nets.compiled(require("tests.bench.cases").course("step")) end

-- One epoch of the course's training, from files with augmentation, or from tensors in memory.
function cases.epoch(request)
  local model, flow = course_net(), augmented_flow(request)
  local facts = { images = flow.n }
  if request.augment then
    return function() model:fit(flow, { epochs = 1, verbose = 0 }) end, facts
  end
  local list_x, list_y = {}, {}
  for x, y in flow:batches() do list_x[#list_x + 1], list_y[#list_y + 1] = x, y end
  local x, y = core.concat(list_x, 1), core.concat(list_y, 1)
  return function() model:fit(x, y, { epochs = 1, batch_size = request.batch, verbose = 0 }) end,
    facts
end

-- ---- requests

local function peak_mb()
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmHWM:%s*(%d+)"
    if kb then return tonumber(kb) / 1024 end
  end
end

-- Milliseconds of each run, divided by what a run consists of.
local function timed(run, seconds, per)
  local times, stop = {}, core.now() + seconds
  repeat
    local start = core.now()
    run()
    times[#times + 1] = (core.now() - start) * 1e3 / per
  until core.now() >= stop
  return times
end

local function key_of(request)
  local parts = {}
  for key, value in pairs(request) do
    if key ~= "seconds" then
      parts[#parts + 1] = key .. "=" .. (type(value) == "table" and table.concat(value, ",")
        or tostring(value))
    end
  end
  table.sort(parts)
  return table.concat(parts, " ")
end

local function warm_up(run)
  local start = core.now()
  run()
  if core.now() - start < 1 then run() end
end

local current, run, facts

local function answer(request)
  local key = key_of(request)
  if key ~= current then
    run, facts, current = nil, nil, nil
    collectgarbage()
    run, facts = cases[request.what](request)
    warm_up(run)
    current = key
  end
  facts = facts or {}
  local reply = { times = timed(run, request.seconds, facts.per or 1), peak_mb = peak_mb() }
  for name, value in pairs(facts) do reply[name] = value end
  return reply
end

for line in io.lines() do
  local ok, reply = xpcall(answer, debug.traceback, dkjson.decode(line))
  io.write(dkjson.encode(ok and reply or { error = reply }), "\n")
  io.flush()
end
