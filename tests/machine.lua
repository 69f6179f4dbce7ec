--- The kernels that lesson 08 reads, against the definition, and what the machine is said to do.
local t = require "tests.harness"
local core = require "giemsa.core"

-- y[b][i][j][o] = sum_uvc x[b][i + u][j + v][c] * w[u][v][c][o], in double.
local function definition(x, w)
  local n, h, width, channels = core.dims(x)
  local kh, kw, _, out = core.dims(w)
  local xs, ws, y = x:totable(), w:totable(), {}
  for b = 1, n do
    for i = 1, h - kh + 1 do
      for j = 1, width - kw + 1 do
        for o = 1, out do
          local sum = 0
          for u = 1, kh do
            for v = 1, kw do
              for c = 1, channels do
                sum = sum + xs[b][i + u - 1][j + v - 1][c] * ws[u][v][c][o]
              end
            end
          end
          y[#y + 1] = sum
        end
      end
    end
  end
  return y
end

local HOW = { "naive", "blocked", "vectorised" }

t.test("the lesson's convolutions are those the definition's, also where blocks end", function()
  local shapes = { { 1, 5, 5, 1, 3, 3, 1 }, { 2, 4, 9, 3, 1, 1, 35 }, { 1, 6, 11, 2, 3, 2, 19 },
    { 1, 3, 14, 5, 3, 3, 33 }, { 2, 2, 2, 4, 2, 2, 7 } }
  for _, s in ipairs(shapes) do
    local n, h, width, channels, kh, kw, out = table.unpack(s)
    local x = core.uniform({ n, h, width, channels }, -1, 1, 1, 0, 0, 0)
    local w = core.uniform({ kh, kw, channels, out }, -1, 1, 2, 0, 0, 0)
    local want = definition(x, w)
    for _, how in ipairs(HOW) do
      local y = core.lesson_conv2d(how, x, w)
      t.equal(y.shape, { n, h - kh + 1, width - kw + 1, out })
      t.close(y, want, 1e-5, 1e-5, how)
      t.close(core.conv2d(x, w, 1, 1, 0, 0, 0, 0), y, 1e-5, 1e-5, how)
    end
  end
end)

t.test("the lesson's convolutions say what they cannot do", function()
  local x = core.zeros{ 1, 4, 4, 2 }
  t.raises(core.lesson_conv2d, "invalid option 'fast'", "fast", x, core.zeros{ 1, 1, 2, 1 })
  t.raises(core.lesson_conv2d, "channels", "naive", x, core.zeros{ 1, 1, 3, 1 })
  t.raises(core.lesson_conv2d, "does not fit", "naive", x, core.zeros{ 5, 1, 2, 1 })
end)

t.test("the machine's rates are numbers that can be", function()
  local flops, bytes = core.machine_flops(0.02), core.machine_bandwidth(1 << 20, 0.02)
  t.ok(flops > 1e6 and flops < 1e15, "operations a second: " .. flops)
  t.ok(bytes > 1e6 and bytes < 1e15, "bytes a second: " .. bytes)
  local length = core.vector_length()
  t.ok(length == 4 or length == 8 or length == 16, "floats in a vector: " .. length)
  t.raises(core.machine_bandwidth, "8 is not in", 8, 1)
  t.raises(core.machine_flops, "seconds must be from 0 to 60", -1)
end)

t.test("the bench says a line of JSON a case, and which names it knows", function()
  if t.is_slow then t.skip("too slow under a sanitizer or an emulator") end
  local function bench(words)
    return t.shell(("%s tests/bench.lua %s"):format(t.quote(t.interpreter), words))
  end
  local output, code = bench "infer_b1 --json --seconds 0.05"
  t.equal(code, 0, output)
  local row = require("giemsa.json").decode(output)
  t.equal({ row.name, row.batch, row.threads, row.peers }, { "infer_b1", 1, core.threads(), nil })
  t.ok(row.n >= 5 and row.min_ms > 0 and row.min_ms <= row.median_ms, output)
  t.ok(row.percent_of_peak > 0 and row.peak_mb > 1, output)
  output, code = bench "infer_b64"
  t.equal({ output, code }, { "there is no bench named infer_b64\n", 1 })
end)

t.done()
