--- bench.json, and bench.png: how many times as long as giemsa the others take.
local core = require "giemsa.core"
local dkjson = require "dkjson"
local plot = require "giemsa.plot"

-- What the chart shows: nets. The ratios of the small parts would dwarf theirs.
local TITLES = { train_step = "training step, 32 images", infer_b32 = "inference, 32 images",
  infer_b1 = "inference, 1 image", resnet50_forward = "ResNet-50, inference",
  resnet50_step = "ResNet-50, training step", unet_forward = "U-Net, inference",
  unet_step = "U-Net, training step" }
local PEERS = { { label = "pytorch", title = "PyTorch", color = "vermillion" },
  { label = "onnx", title = "ONNX Runtime", color = "orange" } }

-- A bar for each peer of each row; a series for each peer, which is 0 at the bars of others.
local function figure(rows)
  local labels, series = {}, {}
  for k, peer in ipairs(PEERS) do
    series[k] = { title = peer.title, color = peer.color, values = {} }
  end
  for _, row in ipairs(rows) do
    for _, peer in ipairs(TITLES[row.name] and row.peers or {}) do
      labels[#labels + 1] = TITLES[row.name]
      for k, known in ipairs(PEERS) do
        series[k].values[#labels] = known.label == peer.label and peer.ratio or 0
      end
    end
  end
  if #labels == 0 then return nil end
  return plot.bars{ labels = labels, series = series, stacked = true, horizontal = true,
    format = "%.2f", title = ("Their time over giemsa's (%d threads)"):format(core.threads()),
    xlabel = "1: as fast as giemsa, 2: twice its time", width = 640, height = 130 + 26 * #labels }
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
