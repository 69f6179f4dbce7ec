--- The three passes of a convolution, over the layers of the course's net.
local core = require "giemsa.core"
local giemsa = require "giemsa"
local rounds = require "tests.bench.rounds"

local BATCH = 32
local LAYERS = { -- side, channels in, kernel, channels out
  { 32, 16, 3, 16 }, { 32, 64, 1, 16 }, { 16, 32, 3, 32 }, { 16, 32, 1, 128 }, { 8, 64, 3, 64 },
  { 8, 64, 1, 256 },
}

local function timed(run)
  run()
  run()
  local times, stop = {}, core.now() + 0.5
  repeat
    local start = core.now()
    run()
    times[#times + 1] = (core.now() - start) * 1e3
  until core.now() > stop and #times >= 5
  return rounds.summary(times)
end

---@param report fun(row: table)
return function(report)
  for _, layer in ipairs(LAYERS) do
    local side, channels, k, out = table.unpack(layer)
    local pad = k // 2
    local x = giemsa.tensor.uniform({ BATCH, side, side, channels }, { seed = 1 })
    local w = giemsa.tensor.uniform({ k, k, channels, out }, { seed = 2 })
    local dy = core.conv2d(x, w, 1, 1, pad, pad, pad, pad)
    local gflop = 2e-9 * BATCH * side * side * k * k * channels * out
    local function pass(name, run)
      local row = timed(function() run():release() end)
      row.name, row.threads, row.batch, row.isa = "conv", core.threads(), BATCH, core.isa()
      row.gflops = gflop / row.median_ms * 1e3
      row.note = ("%dx%d %d->%d k%d %s: %.0f GFLOP/s"):format(side, side, channels, out, k, name,
        row.gflops)
      row.percent_of_peak = 100 * row.gflops / (core.machine_flops(0) / 1e9)
      report(row)
    end
    pass("y", function() return core.conv2d(x, w, 1, 1, pad, pad, pad, pad) end)
    pass("dx", function() return core.conv2d_dx(dy, w, side, side, 1, 1, pad, pad, pad, pad) end)
    pass("dw", function() return core.conv2d_dw(dy, x, k, k, 1, 1, pad, pad, pad, pad) end)
  end
end
