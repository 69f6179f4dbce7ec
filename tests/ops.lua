--- Ops and losses against the reference libraries' numbers (fixtures/ops: values and all
--- gradients), and against naive definitions written out in Lua, on odd shapes.
local t = require "tests.harness"
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local loss = require "giemsa.loss"
local ops = require "giemsa.ops"

local ABS, REL = 1e-5, 1e-5

local function normal(shape, seed) return core.normal(shape, 0, 1, seed or 1, 0, 0, 0) end

-- ---- fixtures -----------------------------------------------------------------------------------

local function labels_to_numbers(labels)
  local numbers = {}
  for i, label in ipairs(labels) do numbers[i] = label + 1 end -- files count classes from 0
  return numbers
end

local function one_hot(case) return core.one_hot(labels_to_numbers(case.labels), case.classes) end

local function batch_norm(case, i, training)
  local extra = case.tensors
  local mean, variance = training and extra.moving_mean_before or i.mean,
    training and extra.moving_variance_before or i.var
  mean, variance = mean:copy(), variance:copy()
  local y = ops.batch_norm(i.x, i.gamma, i.beta, mean, variance,
    { training = training, momentum = case.momentum, epsilon = case.epsilon })
  if training then
    t.close(mean, extra.moving_mean_after, ABS, REL, "moving mean")
    t.close(variance, extra.moving_variance_after_tf2, ABS, REL, "moving variance")
  end
  return y
end

-- fixture op -> what we call for it
local run = {
  conv2d = function(c, i) return ops.conv2d(i.x, i.w, i.b,
    { strides = c.strides, padding = c.padding }) end,
  conv2d_transpose = function(c, i) return ops.conv2d_transpose(i.x, i.w, i.b,
    { strides = c.strides, padding = c.padding }) end,
  max_pool2d = function(c, i) return ops.max_pool2d(i.x,
    { pool = c.pool, strides = c.strides, padding = c.padding }) end,
  avg_pool2d = function(c, i) return ops.avg_pool2d(i.x,
    { pool = c.pool, strides = c.strides, padding = c.padding }) end,
  zeropad1_maxpool3s2 = function(_, i) return ops.max_pool2d(ops.zero_pad2d(i.x, 1),
    { pool = 3, strides = 2 }) end,
  batchnorm_train = function(c, i) return batch_norm(c, i, true) end,
  batchnorm_infer = function(c, i) return batch_norm(c, i, false) end,
  dense = function(_, i) return ops.dense(i.x, i.w, i.b) end,
  relu = function(_, i) return ops.relu(i.x) end,
  softmax = function(_, i) return ops.softmax(i.x) end,
  softmax_binary_crossentropy = function(c, i)
    return loss.binary_crossentropy(one_hot(c), i.z, { from_logits = true, activation = "softmax" })
  end,
  softmax_categorical_crossentropy = function(c, i)
    return loss.categorical_crossentropy(one_hot(c), i.z, { from_logits = true })
  end,
  sigmoid_bce_mask = function(c, i) return loss.binary_crossentropy(c.mask_tensor, i.z,
    { from_logits = true }) end,
  sigmoid_soft_dice = function(c, i) return loss.dice(c.mask_tensor, i.z,
    { from_logits = true }) end,
  upsample_nearest = function(c, i) return ops.upsample(i.x, c.size) end,
  upsample_bilinear = function(c, i) return ops.upsample(i.x, c.size,
    { interpolation = "bilinear" }) end,
  add_relu = function(_, i) return ops.relu(i.a + i.b) end,
  concat_channels = function(_, i) return ops.concat({ i.a, i.b }, -1) end,
  l2_term = function(c, i) return ops.l2 { { i.w, c.l2 } } end,
}

-- The same by probabilities, and by fused forms: other ways to the same numbers.
local also = {
  zeropad1_maxpool3s2 = function(_, i)
    return ops.max_pool2d(i.x, { pool = 3, strides = 2, padding = { 1, 1, 1, 1 } })
  end,
  softmax_binary_crossentropy = function(c, i) return loss.binary_crossentropy(one_hot(c),
    ops.softmax(i.z)) end,
  softmax_categorical_crossentropy = function(c, i)
    return loss.sparse_categorical_crossentropy(core.from_table(labels_to_numbers(c.labels)),
      ops.softmax(i.z))
  end,
  sigmoid_bce_mask = function(c, i) return loss.binary_crossentropy(c.mask_tensor,
    ops.sigmoid(i.z)) end,
  sigmoid_soft_dice = function(c, i) return loss.dice(c.mask_tensor, ops.sigmoid(i.z)) end,
}

local function check_case(case, call, folder)
  local inputs = {}
  for name, file in pairs(case.inputs) do
    inputs[name] = assert(core.npy_load(folder .. file))
    inputs[name].requires_grad = true
  end
  local y = call(case, inputs)
  -- logarithms of clipped float32 values: see the note
  local saturated = (case.note or ""):find("^saturated") ~= nil
  t.close(y, assert(core.npy_load(folder .. case.output)), ABS, saturated and 2e-2 or REL, "value")
  if saturated then return end
  local upstream = case.upstream
  upstream = type(upstream) == "string" and assert(core.npy_load(folder .. upstream))
    or core.full({}, upstream or 1)
  grad.backward(y, { grad = upstream:reshape(y.shape) })
  for name, file in pairs(case.grads or {}) do
    t.close(inputs[name].grad, assert(core.npy_load(folder .. file)), ABS, REL,
      "gradient of " .. name)
  end
end

local cases = {}
if t.fixtures then
  local file <close> = assert(io.open(t.fixtures .. "/ops/cases.json"))
  cases = assert(require("dkjson").decode(file:read("a")))
else
  t.test("fixtures/ops", function() t.need_fixtures() end)
end

for _, case in ipairs(cases) do
  local folder = t.fixtures .. "/ops/"
  case.tensors = {}
  for name, file in pairs(case.extra or {}) do
    if type(file) == "string" then case.tensors[name] = assert(core.npy_load(folder .. file)) end
  end
  if case.mask then case.mask_tensor = assert(core.npy_load(folder .. case.mask)) end
  t.test("fixture " .. case.id, function()
    check_case(case, run[case.op] or error("no op for the fixture's " .. case.op), folder)
  end)
  if also[case.op] then
    t.test("fixture " .. case.id .. ", another way",
      function() check_case(case, also[case.op], folder) end)
  end
end

-- ---- naive definitions --------------------------------------------------------------------------

-- Calls visit(n, y, x, c) for each output of a shape and collects the numbers.
local function fill(shape, visit)
  local flat = {}
  for n = 1, shape[1] do
    for y = 1, shape[2] do
      for x = 1, shape[3] do
        for c = 1, shape[4] do flat[#flat + 1] = visit(n, y, x, c) end
      end
    end
  end
  return core.from_table(flat):reshape(shape)
end

local function pick(table4, n, y, x, c) return table4[n] and table4[n][y] and table4[n][y][x]
  and table4[n][y][x][c] end

local function naive_conv(x, w, b, o)
  local xs, ws, X, W = x.shape, w.shape, x:totable(), w:totable()
  local top, bottom, left, right = table.unpack(o.padding)
  local height = (xs[2] + top + bottom - (ws[1] - 1) * o.dilation - 1) // o.strides + 1
  local width = (xs[3] + left + right - (ws[2] - 1) * o.dilation - 1) // o.strides + 1
  return fill({ xs[1], height, width, ws[4] }, function(n, oy, ox, co)
    local sum = b and b[co] or 0
    for ky = 1, ws[1] do
      for kx = 1, ws[2] do
        for ci = 1, ws[3] do
          local y, xx = (oy - 1) * o.strides - top + (ky - 1) * o.dilation + 1,
            (ox - 1) * o.strides - left + (kx - 1) * o.dilation + 1
          sum = sum + (pick(X, n, y, xx, ci) or 0) * W[ky][kx][ci][co]
        end
      end
    end
    return sum
  end)
end

t.test("conv2d as defined: any padding, strides, dilation, bias", function()
  for _, o in ipairs {
    { strides = 1, dilation = 1, padding = { 0, 0, 0, 0 } },
      { strides = 2, dilation = 1, padding = { 1, 0, 0, 1 } },
    { strides = 3, dilation = 2, padding = { 2, 1, 0, 3 } },
      { strides = 1, dilation = 3, padding = { 3, 3, 3, 3 } },
  } do
    local x, w, b = normal { 2, 9, 7, 3 }, normal({ 3, 2, 3, 5 }, 2), normal({ 5 }, 3)
    t.close(ops.conv2d(x, w, b, o), naive_conv(x, w, b, o), ABS, REL)
  end
end)

t.test("conv2d: \"same\" is TensorFlow's padding", function()
  local x, w = normal { 1, 8, 6, 2 }, normal({ 3, 3, 2, 2 }, 2)
  t.close(ops.conv2d(x, w, nil, { strides = 2, padding = "same" }),
    naive_conv(x, w, nil, { strides = 2, dilation = 1, padding = { 0, 1, 0, 1 } }), ABS, REL)
  t.equal(ops.conv2d(normal { 1, 7, 7, 2 }, normal { 5, 5, 2, 1 }, nil,
    { strides = 2, padding = "same", dilation = 1 }).shape, { 1, 4, 4, 1 })
end)

local function naive_pool(x, o, join)
  local xs, X = x.shape, x:totable()
  local top, bottom, left, right = table.unpack(o.padding)
  local height, width = (xs[2] + top + bottom - o.pool[1]) // o.strides[1] + 1,
    (xs[3] + left + right - o.pool[2]) // o.strides[2] + 1
  return fill({ xs[1], height, width, xs[4] }, function(n, oy, ox, c)
    local values = {}
    for ky = 1, o.pool[1] do
      for kx = 1, o.pool[2] do
        local v = pick(X, n, (oy - 1) * o.strides[1] - top + ky,
          (ox - 1) * o.strides[2] - left + kx, c)
        values[#values + 1] = v or (o.zeros and 0 or nil)
      end
    end
    return join(values)
  end)
end

local function mean(values)
  local sum = 0
  for _, v in ipairs(values) do sum = sum + v end
  return sum / #values
end

t.test("pooling as defined: any window, strides, padding, channels", function()
  for _, channels in ipairs { 1, 3, 16, 21 } do
    local x = normal { 2, 8, 7, channels }
    for _, o in ipairs {
      { pool = { 2, 2 }, strides = { 2, 2 }, padding = { 0, 0, 0, 0 } },
        { pool = { 3, 2 }, strides = { 1, 2 }, padding = { 0, 0, 0, 0 } },
      { pool = { 3, 3 }, strides = { 2, 2 }, padding = { 1, 1, 1, 0 }, zeros = true },
    } do
      local given = { pool = o.pool, strides = o.strides,
        padding = o.zeros and o.padding or "valid" }
      t.close(ops.max_pool2d(x, given),
        naive_pool(x, o, function(v) return math.max(table.unpack(v)) end), 0, 0)
      t.close(ops.avg_pool2d(x, given), naive_pool(x, o, mean), ABS, REL)
    end
    local same = { pool = { 3, 3 }, strides = { 2, 2 },
      padding = { 0, 1, 1, 1 } } -- what "same" is for 8 x 7
    local given = { pool = 3, strides = 2, padding = "same" }
    t.close(ops.max_pool2d(x, given),
      naive_pool(x, same, function(v) return math.max(table.unpack(v)) end), 0, 0)
    t.close(ops.avg_pool2d(x, given), naive_pool(x, same, mean), ABS, REL)
    t.close(ops.global_avg_pool2d(x), core.mean(core.mean(x, 2), 2), ABS, REL)
    t.close(ops.global_max_pool2d(x), core.max(core.max(x, 2), 2), 0, 0)
  end
end)

t.test("max pool: the first of equals takes the gradient; large windows; NaN is seen", function()
  local x = core.zeros(1, 4, 4, 1)
  x.requires_grad = true
  ops.sum(ops.max_pool2d(x, { pool = 2 })):backward()
  t.equal(x.grad:reshape(-1):totable(), { 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0 })
  local large = normal { 2, 20, 19, 5 } -- 380 taps: more than a byte can number
  large.requires_grad = true
  local y = ops.global_max_pool2d(large)
  ops.sum(y):backward()
  t.equal(core.sum(large.grad):item(), 10.0)
  t.close(core.sum(large.grad * large):item(), core.sum(y):item(), ABS, REL)
  local holed = core.zeros(1, 2, 2, 1)
  holed:reshape(-1)[2] = 0 / 0
  local seen = ops.max_pool2d(holed, { pool = 2 }):item()
  t.ok(seen ~= seen)
end)

local function naive_batch_norm(x, gamma, beta, epsilon)
  local centred = core.sub(x, core.mean(x, 1, true))
  local scaled = core.div(centred, core.sqrt(core.add(core.mean(core.square(centred), 1, true),
    epsilon)))
  return core.add(core.mul(scaled, gamma), beta)
end

t.test("batch norm as defined, any number of channels, with and without ReLU", function()
  for _, c in ipairs { 1, 3, 16, 20, 63, 64, 65, 130, 1030 } do
    local n = c > 1000 and 3 or 37
    local x, gamma, beta = normal { n, c }, normal({ c }, 2), normal({ c }, 3)
    local want = naive_batch_norm(x, gamma, beta, 1e-3)
    t.close(ops.batch_norm(x, gamma, beta, nil, nil, { training = true }), want, ABS, 1e-4,
      c .. " channels")
    t.close(ops.batch_norm(x, gamma, beta, nil, nil, { training = true, relu = true }),
      core.relu(want), ABS, 1e-4)
  end
end)

t.test("batch norm: moving statistics are TF 2's, many rows too", function()
  local x = normal { 8, 32, 32, 5 }
  local flat, n = x:reshape(-1, 5), 8 * 32 * 32
  local mean, variance = core.full({ 5 }, 2), core.full({ 5 }, 3)
  ops.batch_norm(x, nil, nil, mean, variance, { training = true, momentum = 0.9 })
  t.close(mean, core.add(core.mul(core.mean(flat, 1), 0.1), 1.8), 1e-6, 1e-6)
  t.close(variance, core.add(core.mul(core.var(flat, 1), 0.1 * n / (n - 1)), 2.7), 1e-6, 1e-6)
end)

t.test("batch norm keeps its digits when the mean is far larger than the deviation", function()
  local x = normal { 5000, 7 }
  local shifted = core.add(x, 10000)
  local exact = core.sub(shifted, 10000) -- what float32 kept of x at 10000
  local options = { training = true, epsilon = 1e-5 }
  t.close(ops.batch_norm(shifted, nil, nil, nil, nil, options),
    ops.batch_norm(exact, nil, nil, nil, nil, options), 1e-6, 1e-5)
end)

t.test("batch norm fused with ReLU is the plain composition, gradients too", function()
  for _, training in ipairs { true, false } do
    for _, c in ipairs { 3, 64, 70 } do
      local results = {}
      for i, fused in ipairs { true, false } do
        local x, gamma, beta = normal { 4, 9, 5, c }, normal({ c }, 2), normal({ c }, 3)
        local mean, variance = normal({ c }, 4), core.full({ c }, 2)
        for _, v in ipairs { x, gamma, beta } do v.requires_grad = true end
        local y = ops.batch_norm(x, gamma, beta, mean, variance,
          { training = training, relu = fused })
        if not fused then y = ops.relu(y) end
        y:backward { grad = normal(y.shape, 5) }
        results[i] = { y, x.grad, gamma.grad, beta.grad, mean, variance }
      end
      for k = 1, 6 do t.ok(results[1][k] == results[2][k],
        ("value %d differs, %d channels"):format(k, c)) end
    end
  end
end)

t.test("upsampling as defined", function()
  local x = normal { 2, 3, 4, 5 }
  local X = x:totable()
  local y = ops.upsample(x, { 2, 3 })
  t.equal(y.shape, { 2, 6, 12, 5 })
  t.close(y, fill(y.shape,
    function(n, oy, ox, c) return X[n][(oy - 1) // 2 + 1][(ox - 1) // 3 + 1][c] end), 0, 0)
  local function taps(o, factor, size)
    local at = (o - 0.5) / factor - 0.5
    local low = math.floor(at)
    return math.max(low, 0) + 1, math.min(low + 1, size - 1) + 1, at - low
  end
  t.close(ops.upsample(x, { 2, 3 }, { interpolation = "bilinear" }),
    fill(y.shape, function(n, oy, ox, c)
    local y0, y1, fy = taps(oy, 2, 3)
    local x0, x1, fx = taps(ox, 3, 4)
    local upper = X[n][y0][x0][c] * (1 - fx) + X[n][y0][x1][c] * fx
    local lower = X[n][y1][x0][c] * (1 - fx) + X[n][y1][x1][c] * fx
    return upper * (1 - fy) + lower * fy
  end), ABS, REL)
end)

t.test("transposed convolution is the adjoint of convolution", function()
  for _, padding in ipairs { "same", "valid" } do
    for _, strides in ipairs { 1, 2, 3 } do
      local x, w = normal { 2, 4, 5, 3 }, normal({ 3, 2, 4, 3 }, 2)
      local y = ops.conv2d_transpose(x, w, nil, { strides = strides, padding = padding })
      local u = normal(y.shape, 3)
      local back = ops.conv2d(u, w, nil, { strides = strides, padding = padding })
      t.close(core.sum(core.mul(u, y)):item(), core.sum(core.mul(back, x)):item(), 1e-4, 1e-5)
    end
  end
end)

t.test("dropout: the key decides, the mean stays, rate 0 is the identity", function()
  local x = core.full({ 100, 101 }, 3)
  local y = ops.dropout(x, 0.25, { seed = 7, a = 1 })
  t.ok(y == ops.dropout(x, 0.25, { seed = 7, a = 1 }))
  t.ok(y ~= ops.dropout(x, 0.25, { seed = 7, a = 2 }))
  local kept = core.sum(core.ne(y, 0)):item()
  t.close(kept / 10100, 0.75, 0.02)
  t.close(core.max(y):item(), 4, 1e-6)
  t.ok(ops.dropout(x, 0, { seed = 7 }) == x)
  t.ok(ops.dropout(x, 0.5) ~= ops.dropout(x, 0.5)) -- each a new draw
  t.raises(ops.dropout, "the rate must be", x, 1)
  -- a number of it takes two words: every other value of x can be told from it
  local stream = core.stream(7, 1, 2, 3)
  local half = ops.dropout(core.full({ 1001 }, 1), 0.5, { seed = 7, a = 1, b = 2, c = 3 })
  for i = 1, 1001, 2 do t.equal(half[i] == 0, core.stream_uniform(stream) < 0.5) end
end)

t.test("softmax is stable and rows sum to 1", function()
  local y = ops.softmax(core.from_table { { 1000, 1000, -1000 }, { -80, 0, 80 } })
  t.close(y, { { 0.5, 0.5, 0 }, { 0, 0, 1 } }, 1e-7)
  t.close(core.sum(ops.softmax(normal { 50, 17 }), 2), core.full({ 50 }, 1), 1e-6)
end)

-- ---- losses -------------------------------------------------------------------------------------

t.test("losses as defined", function()
  local y, p = core.from_table { { 1, 0, 0 }, { 0, 0, 1 } },
    core.from_table { { 0.7, 0.2, 0.1 }, { 0.3, 0.3, 0.4 } }
  local log = math.log
  t.close(loss.categorical_crossentropy(y, p):item(), -(log(0.7) + log(0.4)) / 2, 1e-6)
  t.close(loss.categorical_crossentropy(y, core.mul(p, 5)):item(), -(log(0.7) + log(0.4)) / 2,
    1e-6, 0, "brought to sum 1")
  t.close(loss.binary_crossentropy(y, p):item(),
    -(log(0.7) + log(0.8) + log(0.9) + log(0.7) + log(0.7) + log(0.4)) / 6, 1e-6)
  t.close(loss.mse(y, p):item(), (0.09 + 0.04 + 0.01 + 0.09 + 0.09 + 0.36) / 6, 1e-6)
  t.close(loss.dice(y, p, { smooth = 0 }):item(), 1 - 2 * 1.1 / (2 + 2), 1e-6)
  t.close(loss.sparse_categorical_crossentropy(core.from_table { 1, 3 }, p):item(),
    -(log(0.7) + log(0.4)) / 2, 1e-6)
end)

t.test("binary cross-entropy after a 2-way softmax is the categorical one, p - y its gradient",
  function()
  local z = normal { 6, 2 }
  local y = core.one_hot({ 1, 2, 2, 1, 1, 2 }, 2)
  z.requires_grad = true
  local a = loss.binary_crossentropy(y, z, { from_logits = true, activation = "softmax" })
  t.close(a:item(), loss.categorical_crossentropy(y, z, { from_logits = true }):item(), 1e-6)
  a:backward()
  t.close(z.grad, core.div(core.sub(core.softmax(z), y), 6), 1e-7)
end)

t.test("saturated logits: value clipped as in Keras, gradient in the right direction", function()
  local z, y = core.from_table { { 1000, -1000 }, { 0, 60 } },
    core.from_table { { 0, 1 }, { 1, 0 } }
  for _, f in ipairs {
    function(v) return loss.categorical_crossentropy(y, v, { from_logits = true }) end,
    function(v) return loss.binary_crossentropy(y, v,
      { from_logits = true, activation = "softmax" }) end,
  } do
    z.requires_grad, z.grad = true, nil
    local value = f(z)
    value:backward()
    t.close(value:item(), -math.log(1e-7), 1e-3)
    t.close(z.grad, { { 0.5, -0.5 }, { -0.5, 0.5 } }, 1e-6)
  end
  local sure = core.from_table { 100, -100 }
  t.close(loss.binary_crossentropy(core.from_table { 0, 1 }, sure, { from_logits = true }):item(),
    -math.log(1e-7), 1e-3)
end)

t.test("label columns fit predictions (n, 1); other shapes are refused with both", function()
  local y, z = core.from_table { 1, 0, 1 }, core.from_table { { 2 }, { -1 }, { 0 } }
  t.close(loss.binary_crossentropy(y, z, { from_logits = true }),
    loss.binary_crossentropy(y:reshape(3, 1), z, { from_logits = true }))
  t.raises(loss.mse, "y_true has shape %(3,%), the prediction %(2, 3%)", y, core.zeros(2, 3))
  t.raises(loss.sparse_categorical_crossentropy, "it must be a whole number in 1%.%.2",
    core.from_table { 3 }, core.zeros(1, 2))
end)

-- ---- optimiser steps ----------------------------------------------------------------------------

t.test("optimiser steps as defined, with the L2 gradient folded in", function()
  local n, l2, lr = 40001, 0.01, 0.1 -- more than one piece
  local w0, g, m0, v0 = normal { n }, normal({ n }, 2), normal({ n }, 3),
    core.square(normal({ n }, 4))
  local d = core.add(g, core.mul(w0, 2 * l2))
  local function fresh() return w0:copy(), m0:copy(), v0:copy() end
  local w, m, v = fresh()
  core.sgd_step(w, g, m, lr, 0.9, false, l2)
  local velocity = core.sub(core.mul(m0, 0.9), core.mul(d, lr))
  t.close(m, velocity, 1e-6, 1e-6)
  t.close(w, core.add(w0, velocity), 1e-6, 1e-6)
  w, m = fresh()
  core.sgd_step(w, g, m, lr, 0.9, true, l2)
  t.close(w, core.add(w0, core.sub(core.mul(velocity, 0.9), core.mul(d, lr))), 1e-6, 1e-6)
  w = fresh()
  core.sgd_step(w, g, nil, lr, 0, false, l2)
  t.close(w, core.sub(w0, core.mul(d, lr)), 1e-6, 1e-6)
  w, m, v = fresh()
  core.adam_step(w, g, m, v, lr, 0.9, 0.999, 1e-7, l2)
  local m1, v1 = core.add(core.mul(m0, 0.9), core.mul(d, 0.1)),
    core.add(core.mul(v0, 0.999), core.mul(core.square(d), 0.001))
  t.close(w, core.sub(w0, core.div(core.mul(m1, lr), core.add(core.sqrt(v1), 1e-7))), 1e-5, 1e-5)
  w, m, v = fresh()
  core.rmsprop_step(w, g, v, lr, 0.9, 1e-7, l2)
  v1 = core.add(core.mul(v0, 0.9), core.mul(core.square(d), 0.1))
  t.close(w, core.sub(w0, core.div(core.mul(d, lr), core.add(core.sqrt(v1), 1e-7))), 1e-5, 1e-5)
  t.raises(core.sgd_step, "momentum needs a velocity", w, g, nil, lr, 0.9)
  t.raises(core.sgd_step, "expected shape", w, core.zeros(3), nil, lr)
end)

t.test("norm_conv2d is conv2d of batch_norm, with its gradients", function()
  local tensor = require "giemsa.tensor"
  for _, case in ipairs{ { 3, 1, "same" }, { 5, 2, "same" }, { 3, 2, "valid" }, { 1, 1, "valid" } } do
    local k, stride, padding = table.unpack(case)
    local x = tensor.uniform({ 3, 7, 6, 2 }, { seed = 1 }) * 3 + 5
    local function leaves()
      local out = { tensor{ 1.5, -0.5 }, tensor{ 0.25, 2 }, tensor.uniform({ k, k, 2, 5 }, { seed = 2 }), tensor.uniform({ 5 }, { seed = 3 }) }
      for _, leaf in ipairs(out) do leaf.requires_grad = true end
      return out, tensor{ 0, 0 }, tensor{ 1, 1 }
    end
    local norm, conv = { training = true, epsilon = 1e-3, momentum = 0.9 }, { strides = stride, padding = padding }
    local a, mean_a, variance_a = leaves()
    local want = ops.conv2d(ops.batch_norm(x, a[1], a[2], mean_a, variance_a, norm), a[3], a[4], conv)
    local b, mean_b, variance_b = leaves()
    local got = ops.norm_conv2d(x, { b[1], b[2], mean_b, variance_b }, b[3], b[4],
      { training = true, epsilon = 1e-3, momentum = 0.9, strides = stride, padding = padding })
    t.equal(got, want)
    t.equal(mean_b, mean_a)
    t.equal(variance_b, variance_a)
    local dy = tensor.uniform(want.shape, { seed = 4 })
    grad.backward(want, { grad = dy })
    grad.backward(got, { grad = dy })
    for i = 1, 4 do t.close(b[i].grad, a[i].grad, 2e-4, 1e-4, "gradient " .. i) end
  end
end)

t.done()
