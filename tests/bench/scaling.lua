--- One page on how time grows: with threads, batch, image side, width and depth of the course's
-- net, beside PyTorch's where it is here.
local core = require "giemsa.core"
local dkjson = require "dkjson"
local cases = require "tests.bench.cases"
local plot = require "giemsa.plot"
local rounds = require "tests.bench.rounds"

local COLORS = { giemsa = "blue", pytorch = "vermillion" }
local FILTERS, STAGES = { 32, 64, 128, 256 }, { 2, 2, 3 }

local function scaled(list, factor)
  local out = {}
  for i, n in ipairs(list) do out[i] = math.tointeger(n * factor) end
  return out
end

local function points(values, make)
  local list = {}
  for i, value in ipairs(values) do
    local request, threads = make(value)
    list[i] = { x = value, request = request, threads = threads or 2 }
  end
  return list
end

-- What is measured at each point: images a second, or GFLOP/s (of giemsa's arithmetic, also where
-- another does more).
local PANELS = {
  { name = "threads", title = "Threads, training step", x = "threads", y = "images/s",
    points = points({ 1, 2 }, function(n) return cases.course("step", 32), n end) },
  { name = "batch, training", title = "Batch, training step", x = "images a batch", y = "images/s",
    points = points({ 1, 2, 4, 8, 16, 32, 64, 128, 256 }, function(n)
      return cases.course("step", n)
    end) },
  { name = "batch, inference", title = "Batch, inference", x = "images a batch", y = "images/s",
    points = points({ 1, 2, 4, 8, 16, 32, 64, 128, 256 }, function(n)
      return cases.course("forward", n)
    end) },
  { name = "image side", title = "Image side (two stages, batch 8)", x = "pixels", y = "GFLOP/s",
    points = points({ 32, 64, 128, 256 }, function(side)
      return cases.course("step", 8, side, { 32, 64, 128 }, { 2, 2 })
    end) },
  { name = "width", title = "Width (batch 16)", x = "filters, times the course's", y = "GFLOP/s",
    points = points({ 0.5, 1, 2, 4 }, function(factor)
      return cases.course("step", 16, 64, scaled(FILTERS, factor))
    end) },
  { name = "depth", title = "Depth (batch 16)", x = "modules, times the course's", y = "GFLOP/s",
    points = points({ 1, 2, 4 }, function(factor)
      return cases.course("step", 16, 64, nil, scaled(STAGES, factor))
    end) },
}

local function entries_of(point, with_peers)
  local list = {}
  for i, name in ipairs(with_peers and { "giemsa", "pytorch" } or { "giemsa" }) do
    list[i] = { name = name, label = name, threads = point.threads, request = point.request }
  end
  return list
end

-- label -> { x, y, ms } of a panel
local function measure(panel, with_peers)
  local series = {}
  for _, point in ipairs(panel.points) do
    local results, missing = rounds.run(entries_of(point, with_peers),
      { seconds = 0.9, rounds = 3 })
    local flops = results[1].facts.flops
    for _, why in ipairs(missing) do print("  (not here) " .. why) end
    for _, result in ipairs(results) do
      local s = series[result.label] or { x = {}, y = {}, ms = {} }
      series[result.label] = s
      local per_second = 1e3 / result.median_ms
      s.x[#s.x + 1], s.ms[#s.ms + 1] = point.x, result.median_ms
      s.y[#s.y + 1] = panel.y == "GFLOP/s" and flops * per_second * 1e-9
        or point.request.batch * per_second
      print(("%-18s %6g  %-8s %10.2f ms  %8.1f %s"):format(panel.name, point.x, result.label,
        result.median_ms, s.y[#s.y], panel.y))
    end
  end
  return series
end

local function figure(panel, series)
  local labels, list = {}, {}
  for i, x in ipairs(series.giemsa.x) do labels[i] = ("%g"):format(x) end
  for _, label in ipairs{ "giemsa", "pytorch" } do
    if series[label] then
      list[#list + 1] = { title = label, color = COLORS[label], values = series[label].y }
    end
  end
  return plot.bars{ labels = labels, series = list, format = false, title = panel.title,
    xlabel = panel.x, ylabel = panel.y, width = 560, height = 400 }
end

-- Time for an image at 128 over that at 8: 1 is linear.
local function linearity(series)
  local per_image = {}
  for i, n in ipairs(series.giemsa.x) do per_image[n] = series.giemsa.ms[i] / n end
  return per_image[128] / per_image[8]
end

--- Measures, prints, and writes scaling.json and scaling.png to the folder.
---@param folder string
---@param with_peers boolean
return function(folder, with_peers)
  local figures, all = { columns = 3, title = "How a training step of the course's net scales" }, {}
  for i, panel in ipairs(PANELS) do
    all[panel.name] = measure(panel, with_peers)
    figures[i] = figure(panel, all[panel.name])
    if panel.name:find("^batch") then
      print(("%-18s time an image at 128 over that at 8: %.2f"):format(panel.name,
        linearity(all[panel.name])))
    end
  end
  plot.figure(figures):save(folder .. "/scaling.png")
  assert(core.write_file(folder .. "/scaling.json", dkjson.encode(all, { indent = true }) .. "\n"))
end
