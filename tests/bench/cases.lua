--- What is compared: giemsa's part first, then those of the others. A ratio is their time over
--- giemsa's. aim: what the ratio should reach at least.
local core = require "giemsa.core"

local cases = {}

-- The real sample where there is one, else synthetic cells.
local REAL = "../shared/datasets/malaria"

--- A folder with training/, validation/ and testing/.
---@return string
function cases.data_folder()
  return core.file_info(REAL .. "/training") and REAL or require("datasets").ensure().dir
end

local function net(name, what, batch, side)
  return { what = what, net = name, batch = batch, side = side }
end

--- The course's net; filters and stages are written out for the peers.
---@return table request
function cases.course(what, batch, side, filters, stages)
  local request = net("course", what, batch, side or 64)
  request.filters, request.stages = filters or { 32, 64, 128, 256 }, stages or { 2, 2, 3 }
  return request
end

local course = cases.course

-- The same request to others.
local function against(others, request, more)
  local case = { request = request, peers = {} }
  for i, name in ipairs(others) do case.peers[i] = { name = name } end
  for key, value in pairs(more or {}) do case[key] = value end
  return case
end

-- A large net needs few rounds: a run takes a second and more.
local function large(name, what, batch, side)
  return against({ "pytorch" }, net(name, what, batch, side),
    { aim = { pytorch = 1 }, rounds = 3 })
end

local function on_files(request)
  request.folder, request.batch = cases.data_folder() .. "/training", 32
  return request
end

-- name -> function: the case, made when it is wanted
local makers = {
  train_step = function()
    return against({ "pytorch" }, course("step", 32), { aim = { pytorch = 2.4 } })
  end,
  infer_b32 = function()
    return against({ "onnx", "pytorch" }, course("forward", 32), { aim = { onnx = 1 / 0.7 } })
  end,
  infer_b1 = function()
    return against({ "onnx", "pytorch" }, course("forward", 1), { aim = { onnx = 1 / 0.8 } })
  end,
  one_thread = function()
    local case = against({}, course("step", 32), { aim = { ["giemsa, 1 thread"] = 1.8 } })
    case.peers[1] = { name = "giemsa", label = "giemsa, 1 thread", threads = 1 }
    return case
  end,
  heap = function()
    local case = against({ "pytorch" }, course("step", 32))
    case.peers[2] = { name = "plain_pytorch", label = "without its heap" }
    return case
  end,
  epoch = function()
    local case = against({}, on_files{ what = "epoch", augment = true },
      { note = "of training, from files with augmentation", aim = { resident = 1 / 1.1 } })
    case.peers[1] = { name = "giemsa", label = "resident",
      request = on_files{ what = "epoch", augment = false } }
    return case
  end,
  augment = function()
    return against({ "parts" }, on_files{ what = "augment" },
      { note = "a batch, the mean of an epoch",
        peer_label = "keras-preprocessing" })
  end,
  report = function()
    return against({ "parts" }, { what = "report", n = 100000 },
      { note = "classification report and AUC of 100,000",
        peer_label = "scikit-learn" })
  end,
  resnet50_forward = function()
    return large("resnet50", "forward", 8, 224)
  end,
  resnet50_step = function()
    return large("resnet50", "step", 8, 224)
  end,
  unet_forward = function()
    return large("unet", "forward", 2, 256)
  end,
  unet_step = function()
    return large("unet", "step", 2, 256)
  end,
}

--- The case of a name, or nil.
---@param name string
---@return table?
function cases.make(name)
  local make = makers[name]
  local case = make and make()
  if case then case.name = name end
  return case
end

return cases
