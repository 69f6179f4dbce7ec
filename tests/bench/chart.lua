--- bench.json, and bench.png: how many times as long as giemsa the others take.
local core = require "giemsa.core"
local dkjson = require "dkjson"
local plot = require "giemsa.plot"

local TITLES = { train_step = "training step, 32 images", infer_b32 = "inference, 32 images",
  infer_b1 = "inference, 1 image", resnet50_forward = "ResNet-50, 8 images",
  resnet50_step = "ResNet-50, training step", unet_forward = "U-Net, 2 images",
  unet_step = "U-Net, training step", augment = "augmentation, 32 images",
  report = "report of 100,000", predict = "start to first answer" }
local PEERS = { { "pytorch", "PyTorch 1.13, its best settings", "vermillion" },
  { "onnx", "ONNX Runtime", "orange" }, { "keras-preprocessing", "keras-preprocessing", "purple" },
  { "scikit-learn", "scikit-learn", "green" } }

local function ratio_of(row, label)
  for _, peer in ipairs(row.peers or {}) do
    if peer.label == label then return peer.ratio end
  end
end

-- What the chart shows is a net: the small parts' ratios would dwarf the others.
local ON_CHART = { train_step = true, infer_b32 = true, infer_b1 = true, resnet50_forward = true,
  resnet50_step = true, unet_forward = true, unet_step = true }

local function figure(rows)
  local labels, series = {}, {}
  local shown = {}
  for _, row in ipairs(rows) do
    if ON_CHART[row.name] and #(row.peers or {}) > 0 then
      shown[#shown + 1], labels[#labels + 1] = row, TITLES[row.name]
    end
  end
  for _, peer in ipairs(PEERS) do
    local values, any = {}, false
    for i, row in ipairs(shown) do
      values[i] = ratio_of(row, peer[1]) or 0
      any = any or values[i] > 0
    end
    if any then series[#series + 1] = { title = peer[2], color = peer[3], values = values } end
  end
  if #labels == 0 then return nil end
  return plot.bars{ labels = labels, series = series, horizontal = true, format = "%.2f",
    title = ("Times as long as giemsa (%d threads)"):format(core.threads()),
    xlabel = "1: as fast as giemsa; more: slower", width = 640, height = 130 + 44 * #labels }
end

---@param folder string
---@param rows table[]
return function(folder, rows)
  local json = dkjson.encode({ threads = core.threads(), isa = core.isa(), rows = rows },
    { indent = true })
  assert(core.write_file(folder .. "/bench.json", json .. "\n"))
  local chart = figure(rows)
  if chart then chart:save(folder .. "/bench.png") end
end
