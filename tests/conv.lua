--- Convolutions of every shape against the definition: kernels 1x1 to 11x11, strides, dilation,
--- groups, paddings, channels that fill no vector, pictures one pixel wide. Values are small whole
--- numbers, so that every sum is exact in float32 whatever its order: results must be equal. The
--- last tests look at rounding and threads.
local t = require "tests.harness"
local core = require "giemsa.core"
local ops = require "giemsa.ops"

-- ---- shapes -------------------------------------------------------------------------------------

-- What TensorFlow's "same" pads before and after.
local function same(size, reach, stride)
  local missing = math.max(((size + stride - 1) // stride - 1) * stride + reach - size, 0)
  return missing // 2, missing - missing // 2
end

-- A shape's missing fields, padding in numbers, and the size of the output.
---@param s table kernel {h, w}, size {h, w}, inputs, outputs; batch, strides, dilation, groups, pad
local function complete(s)
  s.batch, s.groups, s.pad = s.batch or 1, s.groups or 1, s.pad or "valid"
  s.strides, s.dilation = s.strides or { 1, 1 }, s.dilation or { 1, 1 }
  s.padding, s.out = { 0, 0, 0, 0 }, {}
  for i = 1, 2 do
    local reach = (s.kernel[i] - 1) * s.dilation[i] + 1
    local before, after = 0, 0
    if s.pad == "same" then before, after = same(s.size[i], reach, s.strides[i])
    elseif s.pad ~= "valid" then before, after = s.pad[2 * i - 1], s.pad[2 * i] end
    s.padding[2 * i - 1], s.padding[2 * i] = before, after
    s.out[i] = (s.size[i] + before + after - reach) // s.strides[i] + 1
  end
  s.x = { s.batch, s.size[1], s.size[2], s.inputs }
  s.w = { s.kernel[1], s.kernel[2], s.inputs // s.groups, s.outputs }
  s.y = { s.batch, s.out[1], s.out[2], s.outputs }
  return s
end

local function describe(s)
  local function list(values) return table.concat(values, ", ") end
  return ("x (%s), w (%s), strides %s, dilation %s, padding %s, groups %d"):format(list(s.x),
    list(s.w), list(s.strides), list(s.dilation), list(s.padding), s.groups)
end

local function multiply_adds(s)
  return s.batch * s.out[1] * s.out[2] * s.kernel[1] * s.kernel[2] * s.w[3] * s.outputs
end

-- The numbers that the core wants behind the tensors.
local function geometry(s)
  local p = s.padding
  return s.strides[1], s.strides[2], p[1], p[2], p[3], p[4], s.dilation[1], s.dilation[2]
end

-- ---- the definition -----------------------------------------------------------------------------

local function zeros(shape)
  local values, size = {}, 1
  for _, n in ipairs(shape) do size = size * n end
  for i = 1, size do values[i] = 0.0 end
  return values
end

-- Adds what one tap of one output pixel does: `at` are the places before its first channel in x,
-- w, y. Output channel o belongs to group (o - 1) // (outputs / groups) and sees its inputs alone.
local function add_tap(s, at_x, at_w, at_y, x, w, dy, y, dx, dw)
  local inputs, outputs, of_group = s.w[3], s.outputs, s.outputs // s.groups
  for g = 0, s.groups - 1 do
    local first, last = at_y + g * of_group + 1, at_y + (g + 1) * of_group
    for i = 1, inputs do
      local xi = at_x + g * inputs + i
      local wi = at_w + (i - 1) * outputs - at_y
      local xv, gradient = x[xi], 0.0
      for o = first, last do
        local wv, dv = w[wi + o], dy[o]
        y[o] = y[o] + xv * wv
        dw[wi + o] = dw[wi + o] + xv * dv
        gradient = gradient + wv * dv
      end
      dx[xi] = dx[xi] + gradient
    end
  end
end

-- y, dx, dw as flat arrays of doubles.
local function define(s, x, w, dy)
  local y, dx, dw = zeros(s.y), zeros(s.x), zeros(s.w)
  local height, width = s.size[1], s.size[2]
  for n = 0, s.batch - 1 do
    for oy = 0, s.out[1] - 1 do
      for ox = 0, s.out[2] - 1 do
        local at_y = ((n * s.out[1] + oy) * s.out[2] + ox) * s.outputs
        for u = 0, s.kernel[1] - 1 do
          for v = 0, s.kernel[2] - 1 do
            local i = oy * s.strides[1] + u * s.dilation[1] - s.padding[1]
            local j = ox * s.strides[2] + v * s.dilation[2] - s.padding[3]
            if i >= 0 and i < height and j >= 0 and j < width then
              local at_x = ((n * height + i) * width + j) * s.inputs
              local at_w = (u * s.kernel[2] + v) * s.w[3] * s.outputs
              add_tap(s, at_x, at_w, at_y, x, w, dy, y, dx, dw)
            end
          end
        end
      end
    end
  end
  return { y = y, dx = dx, dw = dw }
end

-- ---- what is tested -----------------------------------------------------------------------------

-- Each kind of convolution: what it makes of a shape's channels, and its three passes.
local kinds = {
  { name = "conv2d", channels = function(s) return s.inputs, s.outputs, 1 end,
    passes = function(s, x, w, dy)
      return {
        y = core.conv2d(x, w, geometry(s)),
        dx = core.conv2d_dx(dy, w, s.size[1], s.size[2], geometry(s)),
        dw = core.conv2d_dw(dy, x, s.kernel[1], s.kernel[2], geometry(s)),
      }
    end },
  { name = "depthwise_conv2d",
    channels = function(s) -- mostly one kernel a channel, sometimes two or three
      local multiplier = ({ 1, 2, 1, 3, 1 })[s.outputs % 5 + 1]
      return s.inputs, s.inputs * multiplier, s.inputs
    end,
    passes = function(s, x, w, dy)
      w = w:reshape(s.kernel[1], s.kernel[2], s.inputs, s.outputs // s.inputs)
      return {
        y = core.depthwise_conv2d(x, w, geometry(s)),
        dx = core.depthwise_conv2d_dx(dy, w, s.size[1], s.size[2], geometry(s)),
        dw = core.depthwise_conv2d_dw(dy, x, s.kernel[1], s.kernel[2], geometry(s)):reshape(s.w),
      }
    end },
  { name = "grouped conv2d",
    channels = function(s) -- 2 to 4 groups; with few channels each is one by itself
      local groups = s.outputs % 3 + 2
      return (s.inputs + groups - 1) // groups * groups,
        (s.outputs + groups - 1) // groups * groups, groups
    end,
    passes = function(s, x, w, dy)
      x.requires_grad, w.requires_grad = true, true
      local y = ops.conv2d(x, w, nil, { groups = s.groups, strides = s.strides,
        padding = s.padding, dilation = s.dilation })
      y:backward { grad = dy }
      return { y = y, dx = x.grad, dw = w.grad }
    end },
}

local function whole(shape, seed)
  return core.round(core.uniform(shape, -3.5, 3.5, seed, 0, 0, 0))
end
local function normal(shape, seed) return core.normal(shape, 0, 1, seed, 0, 0, 0) end
local function flat(tensor) return tensor:reshape(-1):totable() end

local function inputs_of(s, draw) return draw(s.x, 1), draw(s.w, 2), draw(s.y, 3) end

-- The first number that differs from the wanted by more than its tolerance (0 when there are none).
local function difference(got, want, tolerance)
  for _, pass in ipairs { "y", "dx", "dw" } do
    local g, w = flat(got[pass]), want[pass]
    if #g ~= #w then return ("%s has %d numbers, not %d"):format(pass, #g, #w) end
    for i = 1, #w do
      local allowed = tolerance and tolerance[pass][i] or 0
      if not (math.abs(g[i] - w[i]) <= allowed) then
        return ("%s[%d] is %.9g, not %.9g"):format(pass, i, g[i], w[i])
      end
    end
  end
end

-- Every shape must come out exact; tells all that do not.
local function check_exact(kind, shapes)
  local wrong = {}
  for _, s in ipairs(shapes) do
    local x, w, dy = inputs_of(s, whole)
    local problem = difference(kind.passes(s, x, w, dy), define(s, flat(x), flat(w), flat(dy)))
    if problem then wrong[#wrong + 1] = describe(s) .. ": " .. problem end
  end
  if #wrong == 0 then return end
  error(("%d of %d shapes are wrong\n  %s"):format(#wrong, #shapes, table.concat(wrong, "\n  ")), 2)
end

-- A shape for a kind.
local function made_for(kind, s)
  s.inputs, s.outputs, s.groups = kind.channels(s)
  return complete(s)
end

-- A test for each kind; draw(add) calls add(shape) for each shape.
local function for_each_kind(name, draw)
  for _, kind in ipairs(kinds) do
    t.test(kind.name .. ": " .. name, function()
      local shapes = {}
      draw(function(s) shapes[#shapes + 1] = made_for(kind, s) end)
      check_exact(kind, shapes)
    end)
  end
end

-- ---- one thing at a time ------------------------------------------------------------------------

local CHANNELS = { 1, 2, 3, 5, 7, 8, 15, 16, 17, 24, 31, 33, 48, 64, 65, 100 }

for_each_kind("kernels from 1x1 to 11x11", function(add)
  for _, pad in ipairs { "same", "valid" } do
    for k = 1, 11 do
      add { kernel = { k, k }, size = { 13, 12 }, inputs = 3, outputs = 5, pad = pad }
      add { kernel = { k, 12 - k }, size = { 11, 13 }, inputs = 2, outputs = 17, pad = pad }
    end
  end
end)

for_each_kind("any number of channels, in and out", function(add)
  for i, n in ipairs(CHANNELS) do
    for k = 1, 3, 2 do
      for _, other in ipairs { 3, 16, 33 } do
        add { kernel = { k, k }, size = { 5, 4 }, inputs = n, outputs = other, pad = "same" }
        add { kernel = { k, k }, size = { 4, 5 }, inputs = other, outputs = n, pad = "same",
          strides = { 2, i % 2 + 1 } }
      end
    end
  end
end)

for_each_kind("strides 1 to 4 with dilation 1 to 3, each direction its own", function(add)
  for _, pad in ipairs { "same", "valid", { 2, 0, 1, 3 } } do
    for i = 0, 431 do
      add { kernel = { i % 3 + 1, 3 - i % 3 }, size = { 9, 10 }, inputs = 2, outputs = 3, pad = pad,
        strides = { i // 3 % 4 + 1, i // 12 % 4 + 1 },
        dilation = { i // 48 % 3 + 1, i // 144 + 1 } }
    end
  end
end)

for_each_kind("every small picture, down to one pixel", function(add)
  for _, strides in ipairs { { 1, 1 }, { 2, 2 }, { 3, 1 } } do
    for i = 0, 80 do
      add { kernel = { 3, 5 }, size = { i % 9 + 1, i // 9 + 1 }, inputs = 3, outputs = 4,
        pad = "same", strides = strides, batch = i % 2 == 0 and 3 or 1 }
    end
  end
end)

for_each_kind("padding wider than the kernel, strides wider than the picture", function(add)
  for i = 0, 8 do
    add { kernel = { 2, 3 }, size = { 3, i // 2 + 1 }, inputs = 5, outputs = 3, batch = 3,
      strides = { i % 3 + 1, 4 }, pad = { 4, 1, 3, 7 } }
  end
end)

for_each_kind("pictures and channels larger than a cache's share", function(add)
  add { kernel = { 3, 3 }, size = { 40, 71 }, inputs = 5, outputs = 7, pad = "same" }
  add { kernel = { 3, 3 }, size = { 9, 33 }, inputs = 100, outputs = 3, pad = "same" }
  add { kernel = { 3, 3 }, size = { 6, 5 }, inputs = 17, outputs = 200, pad = "same" }
  add { kernel = { 5, 5 }, size = { 70, 19 }, inputs = 3, outputs = 17, pad = "same",
    strides = { 2, 2 } }
  add { kernel = { 1, 1 }, size = { 64, 33 }, inputs = 24, outputs = 9, batch = 3 }
  add { kernel = { 1, 1 }, size = { 1, 1 }, inputs = 300, outputs = 100, batch = 3 }
  add { kernel = { 7, 7 }, size = { 1, 200 }, inputs = 33, outputs = 2, pad = "same" }
  add { kernel = { 11, 1 }, size = { 300, 1 }, inputs = 8, outputs = 16, pad = "same" }
  add { kernel = { 64, 64 }, size = { 65, 64 }, inputs = 2, outputs = 3 }
end)

t.test("the ops: \"same\", strides and dilation for two directions, bias", function()
  for _, groups in ipairs { 2, 6 } do
    local s = complete { kernel = { 3, 2 }, size = { 7, 9 }, inputs = 6, outputs = 12, batch = 2,
      groups = groups, strides = { 2, 1 }, dilation = { 1, 2 }, pad = "same" }
    local x, w, dy = inputs_of(s, whole)
    local b = whole({ s.outputs }, 4)
    b.requires_grad = true
    local opts = { strides = s.strides, dilation = s.dilation, padding = "same" }
    local want = core.add(core.from_table(define(s, flat(x), flat(w), flat(dy)).y):reshape(s.y), b)
    if groups == 6 then
      t.ok(ops.depthwise_conv2d(x, w:reshape(3, 2, 6, 2), b, opts) == want, "depthwise_conv2d")
    end
    opts.groups = groups
    local y = ops.conv2d(x, w, b, opts)
    t.ok(y == want, groups .. " groups")
    y:backward { grad = dy }
    t.ok(b.grad == core.sum_to(dy, { s.outputs }))
  end
end)

-- ---- shapes drawn by chance ---------------------------------------------------------------------

local SIZES = { 1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 23, 32, 33 }
local MOST = t.is_slow and 3e4 or 3e5 -- multiply-adds of a shape

local function one_of(list) return list[math.random(#list)] end

local function draw_shape()
  local k, strides, dilation = math.random(11), math.random(4), math.random(3)
  local square = math.random(2) == 1
  local s = {
    kernel = { k, square and k or math.random(11) },
    strides = { strides, square and strides or math.random(4) },
    dilation = { dilation, square and dilation or math.random(3) },
    size = { one_of(SIZES), one_of(SIZES) }, batch = one_of { 1, 3 },
    inputs = one_of(CHANNELS), outputs = one_of(CHANNELS), pad = one_of { "same", "valid" },
  }
  if math.random(3) == 1 then
    s.pad = { math.random(0, 6), math.random(0, 6), math.random(0, 6), math.random(0, 6) }
  end
  return s
end

-- So many that have an output and are not too much work.
local function drawn(kind, seed, count)
  math.randomseed(seed)
  local shapes = {}
  while #shapes < count do
    local s = made_for(kind, draw_shape())
    if s.out[1] > 0 and s.out[2] > 0 and multiply_adds(s) <= MOST then shapes[#shapes + 1] = s end
  end
  return shapes
end

-- ---- rounding and threads -----------------------------------------------------------------------

local ROUNDING = 4e-7 -- of the sum of the absolute products

local function tolerance_of(s, x, w, dy)
  local sizes = define(s, flat(core.abs(x)), flat(core.abs(w)), flat(core.abs(dy)))
  for _, values in pairs(sizes) do
    for i = 1, #values do values[i] = values[i] * ROUNDING end
  end
  return sizes
end

local function check_rounding(kind, shapes)
  for _, s in ipairs(shapes) do
    local x, w, dy = inputs_of(s, normal)
    local problem = difference(kind.passes(s, x, w, dy), define(s, flat(x), flat(w), flat(dy)),
      tolerance_of(s, x, w, dy))
    if problem then error(describe(s) .. ": " .. problem, 2) end
  end
end

local function check_threads(kind, shapes)
  local before = core.threads()
  for _, s in ipairs(shapes) do
    local x, w, dy = inputs_of(s, normal)
    local results = {}
    for threads = 1, 3 do
      core.threads(threads)
      x.grad, w.grad = nil, nil
      results[threads] = kind.passes(s, x, w, dy)
    end
    for pass, want in pairs(results[1]) do
      t.ok(results[2][pass] == want and results[3][pass] == want,
        describe(s) .. ": " .. pass .. " depends on the number of threads")
    end
  end
  core.threads(before)
end

for _, kind in ipairs(kinds) do
  t.test(kind.name .. ": shapes drawn by chance", function()
    check_exact(kind, drawn(kind, 1, 300))
  end)
  t.test(kind.name .. ": rounding stays at a few ulps of the sum's size", function()
    check_rounding(kind, drawn(kind, 2, 40))
  end)
  t.test(kind.name .. ": the same bits with 1, 2 and 3 threads", function()
    check_threads(kind, drawn(kind, 3, 60))
  end)
end

t.done()
