--- The tape: every op's gradient against differences (one row an op), and what the tape promises
--- about recording, memory, threads and messages.
local t = require "tests.harness"
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local loss = require "giemsa.loss"
local ops = require "giemsa.ops"

-- ---- inputs -------------------------------------------------------------------------------------

local seed = 0
local function N(...) -- normal numbers of a shape
  seed = seed + 1
  return core.normal({ ... }, 0, 1, seed, 0, 0, 0)
end
local function P(...) return core.add(core.abs(N(...)), 0.5) end -- positive, away from 0

-- All different by at least 0.1, so that no step of a difference changes which one is the largest;
-- none near 0.
local function D(...)
  seed = seed + 1
  local shape = { ... }
  local size = 1
  for _, n in ipairs(shape) do size = size * n end
  local order, values = core.permutation(size, seed, 0, 0, 0), {}
  if core.is_tensor(order) then order = order:totable() end
  for i = 1, size do values[i] = (order[i] - size / 2 - 0.25) * 0.1 end
  return core.from_table(values):reshape(shape)
end

local classes = core.one_hot({ 2, 1, 3, 3 }, 3)
local mask = core.from_table { { 0, 1, 1 }, { 1, 0, 0 }, { 1, 1, 0 }, { 0, 0, 0 } }
local FROM_LOGITS = { from_logits = true }
local SOFTMAX = { from_logits = true, activation = "softmax" }

local function norm(options) return function(x, gamma, beta) return ops.batch_norm(x, gamma, beta,
  nil, nil, options) end end
local function norm_inference(relu)
  local mean, variance = N(5), P(5)
  return function(x, gamma, beta) return ops.batch_norm(x, gamma, beta, mean, variance,
    { relu = relu }) end
end
local FIRST = core.normal({ 2, 5, 6, 2 }, 0, 1, 99, 0, 0, 0) -- a net's input: nobody asks for its gradient
local normalised = require("giemsa.ops.norm").normalised
local function lazy(x, gamma, beta) return normalised(x, gamma, beta, nil, nil, { training = true, relu = true }) end
local function conv(options) return function(x, w, b) return ops.conv2d(x, w, b, options) end end
local function depthwise(options) return function(x, w, b) return ops.depthwise_conv2d(x, w, b,
  options) end end
local function transposed(options) return function(x, w, b) return ops.conv2d_transpose(x, w, b,
  options) end end

-- ---- one row an op: name, then f, inputs, f, inputs, ... ----------------------------------------

local rows = {
  { "add",
    ops.add, { N(3, 4), N(3, 4) },
    ops.add, { N(2, 3, 4), N(4) },
    ops.add, { N(3, 1), N(1, 5) },
    function(a) return 2 + a + 1 end, { N(3) },
    function(a) return a + a end, { N(3) },
  },
  { "sub",
    ops.sub, { N(3, 4), N(4) },
    function(a) return 1 - a end, { N(3) },
    ops.sub, { N(4), N(2, 4) },
  },
  { "mul",
    ops.mul, { N(3, 4), N(3, 4) },
    ops.mul, { N(2, 3), N(3) },
    function(a) return a * 3 end, { N(3) },
    function(a) return a * a end, { N(3) },
  },
  { "div",
    ops.div, { N(3, 4), P(3, 4) },
    ops.div, { N(2, 3), P(3) },
    function(a) return 2 / a end, { P(5) },
  },
  { "pow",
    ops.pow, { P(3), N(3) },
    function(a) return a ^ 3 end, { N(4) },
    function(a) return 2 ^ a end, { N(4) },
  },
  { "maximum",
    ops.maximum, { N(4, 3), core.add(N(4, 3), 0.3) },
    function(a) return ops.maximum(a, 0) end, { D(6) },
  },
  { "minimum",
    ops.minimum, { N(4, 3), N(3) },
    function(a) return ops.minimum(0, a) end, { D(6) },
  },
  { "matmul",
    ops.matmul, { N(3, 4), N(4, 2) },
    ops.matmul, { N(2, 3, 4), N(4, 5) },
    ops.matmul, { N(2, 3, 4), N(2, 4, 5) },
  },
  { "neg",
    ops.neg, { N(3, 2) },
    function(a) return -a end, { N(3) },
  },
  { "exp", ops.exp, { N(3, 2) } },
  { "log", ops.log, { P(3, 2) } },
  { "sqrt", ops.sqrt, { P(3, 2) } },
  { "abs", ops.abs, { D(3, 4) } },
  { "square", ops.square, { N(3, 2) } },
  { "relu", ops.relu, { D(5, 7) } },
  { "sigmoid", ops.sigmoid, { N(5, 7) } },
  { "tanh", ops.tanh, { N(5, 7) } },
  { "clip", function(x) return ops.clip(x, -0.5, 0.4) end, { D(5, 7) } },
  { "where", function(a, b) return ops.where(mask, a, b) end, { N(4, 3), N(3) } },
  { "sum",
    ops.sum, { N(3, 4) },
    function(x) return ops.sum(x, 2) end, { N(2, 3, 4) },
    function(x) return ops.sum(x, -1, true) end, { N(3, 4) },
  },
  { "mean",
    ops.mean, { N(3, 4) },
    function(x) return ops.mean(x, 1) end, { N(2, 3, 4) },
    function(x) return ops.mean(x, 2, true) end, { N(3, 4) },
  },
  { "var",
    ops.var, { N(3, 4) },
    function(x) return ops.var(x, 2) end, { N(2, 5, 2) },
  },
  { "std",
    ops.std, { N(3, 4) },
    function(x) return ops.std(x, -1, true) end, { N(2, 5) },
  },
  { "max",
    ops.max, { D(3, 4) },
    function(x) return ops.max(x, 2) end, { D(3, 4, 2) },
  },
  { "min",
    ops.min, { D(3, 4) },
    function(x) return ops.min(x, 1, true) end, { D(3, 4) },
  },
  { "reshape",
    function(x) return ops.reshape(x, 2, -1) end, { N(4, 3) },
    function(x) return x:reshape { 6 } * 2 end, { N(2, 3) },
  },
  { "flatten", ops.flatten, { N(2, 3, 2, 2) } },
  { "transpose",
    ops.transpose, { N(3, 4) },
    function(x) return ops.transpose(x, 1, 3) end, { N(2, 3, 4) },
  },
  { "concat",
    function(a, b) return ops.concat({ a, b, a }, 2) end, { N(2, 3), N(2, 1) },
    function(a, b) return ops.concat({ a, b }, -1) end, { N(2, 2, 2, 3), N(2, 2, 2, 5) },
  },
  { "slice",
    function(x) return ops.slice(x, 2, 2, 3) end, { N(2, 4) },
    function(x) return ops.slice(x, -1, 1, 2) end, { N(2, 3, 3) },
  },
  { "rows", function(x) return ops.rows(x, 2, 3) end, { N(4, 2) } },
  { "take", function(x) return ops.take(x, { 3, 1, 3 }) end, { N(4, 2) } },
  { "pad", function(x) return ops.pad(x, { { 1, 0 }, { 2, 3 } }, 7) end, { N(2, 3) } },
  { "conv2d",
    conv { padding = "same" }, { N(2, 5, 4, 3), N(3, 3, 3, 2), N(2) },
    conv { strides = 2, padding = "same", dilation = 1 }, { N(1, 6, 5, 2), N(3, 3, 2, 3) },
    conv { strides = { 2, 1 }, padding = "valid" }, { N(2, 6, 5, 1), N(2, 3, 1, 4), N(4) },
    conv { dilation = 2, padding = { 2, 1, 0, 2 } }, { N(1, 7, 6, 2), N(3, 2, 2, 2) },
    conv { groups = 2, padding = "same" }, { N(2, 5, 4, 6), N(3, 2, 3, 4), N(4) },
    conv { groups = 3, strides = 2 }, { N(1, 6, 5, 3), N(3, 3, 1, 6), N(6) },
  },
  { "depthwise_conv2d",
    depthwise { padding = "same" }, { N(2, 5, 4, 3), N(3, 3, 3, 1), N(3) },
    depthwise { strides = 2, padding = "same" }, { N(1, 6, 5, 2), N(3, 2, 2, 3), N(6) },
    depthwise { dilation = 2, padding = { 2, 1, 0, 2 } }, { N(1, 7, 6, 5), N(3, 2, 5, 1) },
  },
  { "conv2d_transpose",
    transposed { strides = 2, padding = "same" }, { N(2, 3, 2, 3), N(3, 3, 2, 3), N(2) },
    transposed { strides = 2, padding = "valid" }, { N(1, 3, 4, 2), N(2, 2, 3, 2) },
    transposed { strides = 3 }, { N(1, 2, 3, 2), N(2, 4, 2, 2) },
  },
  { "max_pool2d",
    function(x) return ops.max_pool2d(x) end, { D(2, 5, 4, 3) },
    function(x) return ops.max_pool2d(x, { pool = 3, strides = 2, padding = "same" }) end,
      { D(1, 6, 5, 17) },
    function(x) return ops.max_pool2d(x, { pool = 3, strides = 2, padding = { 1, 1, 1, 1 } }) end,
      { D(1, 6, 5, 2) },
  },
  { "avg_pool2d",
    function(x) return ops.avg_pool2d(x) end, { N(2, 5, 4, 3) },
    function(x) return ops.avg_pool2d(x, { pool = 3, strides = 2, padding = "same" }) end,
      { N(1, 6, 5, 17) },
    function(x)
      return ops.avg_pool2d(x, { pool = { 2, 3 }, strides = 1, padding = { 1, 0, 1, 1 } })
    end,
      { N(1, 4, 5, 2) },
  },
  { "global_avg_pool2d", ops.global_avg_pool2d, { N(2, 5, 4, 3) } },
  { "global_max_pool2d", ops.global_max_pool2d, { D(2, 5, 4, 3) } },
  { "upsample",
    function(x) return ops.upsample(x) end, { N(2, 3, 2, 3) },
    function(x) return ops.upsample(x, { 2, 3 }, { interpolation = "bilinear" }) end,
      { N(2, 3, 4, 2) },
    function(x) return ops.upsample(x, 3, { interpolation = "bilinear" }) end, { N(1, 1, 2, 2) },
  },
  { "zero_pad2d",
    ops.zero_pad2d, { N(1, 2, 3, 2) },
    function(x) return ops.zero_pad2d(x, { { 0, 1 }, { 2, 0 } }) end, { N(1, 2, 3, 2) },
  },
  { "dense",
    ops.dense, { N(4, 3), N(3, 5), N(5) },
    ops.dense, { N(1, 3), N(3, 2) },
  },
  { "batch_norm",
    norm { training = true }, { N(6, 5), N(5), N(5) },
    norm { training = true, epsilon = 2e-5 }, { N(2, 4, 3, 3), N(3), N(3) },
    norm { training = true, relu = true }, { N(9, 4), N(4), core.add(N(4), 0.3) },
    norm { training = true }, { N(40, 66), N(66), N(66) },
    norm_inference(false), { N(3, 5), N(5), N(5) },
    norm_inference(true), { N(2, 2, 2, 5), N(5), N(5) },
  },
  { "softmax",
    ops.softmax, { N(4, 3) },
    ops.softmax, { N(2, 2, 2, 5) },
  },
  { "dropout", function(x) return ops.dropout(x, 0.4, { seed = 3 }) end, { N(6, 7) } },
  { "l2", function(a, b) return ops.l2 { { a, 0.5 }, { b, 0.1 } } end, { N(3, 4), N(5) } },
  { "categorical_crossentropy",
    function(z) return loss.categorical_crossentropy(classes, z, FROM_LOGITS) end, { N(4, 3) },
    function(p) return loss.categorical_crossentropy(classes, p) end, { P(4, 3) },
  },
  { "sparse_categorical_crossentropy",
    function(z)
      return loss.sparse_categorical_crossentropy(core.from_table { 1, 3 }, z, FROM_LOGITS)
    end,
      { N(2, 3) },
  },
  { "binary_crossentropy",
    function(z) return loss.binary_crossentropy(mask, z, FROM_LOGITS) end, { N(4, 3) },
    function(z) return loss.binary_crossentropy(classes, z, SOFTMAX) end, { N(4, 3) },
    function(z) return loss.binary_crossentropy(mask, ops.sigmoid(z)) end, { N(4, 3) },
  },
  { "mse", function(p) return loss.mse(mask, p) end, { N(4, 3) } },
  { "dice",
    function(z) return loss.dice(mask, z, FROM_LOGITS) end, { N(4, 3) },
    function(z) return loss.dice(mask, z, { smooth = 0.1 }) end, { P(4, 3) },
  },
  { "norm_conv2d",
    function(gamma, beta, w, b)
      return ops.norm_conv2d(FIRST, { gamma, beta, nil, nil }, w, b, { training = true, padding = "same" })
    end, { P(2), N(2), N(3, 3, 2, 3), N(3) },
    function(gamma, beta, w)
      return ops.norm_conv2d(FIRST, { gamma, beta, nil, nil }, w, nil, { training = true, strides = 2 })
    end, { P(2), N(2), N(3, 2, 2, 3) },
  },
  { "conv2d, normalising and adding",
    function(x, gamma, beta, w, add)
      return ops.conv2d(lazy(x, gamma, beta), w, nil, { padding = "same", add = add })
    end, { D(2, 4, 5, 3), P(3), N(3), N(3, 3, 3, 2), N(2, 4, 5, 2) },
    function(x, gamma, beta, w1, w2, gamma2, beta2) -- the gradient comes back through a second one
      local y, moments = ops.conv2d(lazy(x, gamma, beta), w1, nil, { padding = "same", moments = true, add = x })
      local z = normalised(y, gamma2, beta2, nil, nil, { training = true }, moments)
      return ops.conv2d(z, w2, nil, { strides = 2, padding = "same" })
    end, { D(2, 4, 5, 3), P(3), N(3), N(1, 1, 3, 3), N(3, 3, 3, 2), P(3), N(3) },
  },
  { "conv2d_pair",
    function(x, gamma, beta, w1, w2)
      local a, b = ops.conv2d_pair(lazy(x, gamma, beta), w1, { padding = "same" }, w2, { strides = 2 })
      return ops.concat({ ops.reshape(a, -1), ops.reshape(b, -1) }, 1)
    end, { D(2, 5, 6, 3), P(3), N(3), N(3, 3, 3, 2), N(1, 1, 3, 4) },
    function(x, gamma, beta, w1, w2) -- the first result goes nowhere
      local _, b = ops.conv2d_pair(lazy(x, gamma, beta), w1, {}, w2, {})
      return b
    end, { D(2, 3, 3, 2), P(2), N(2), N(1, 1, 2, 2), N(1, 1, 2, 3) },
  },
  { "norm_max_pool2d",
    function(x, gamma, beta)
      return ops.norm_max_pool2d(lazy(x, gamma, beta), { pool = 3, strides = 2, padding = { 1, 1, 1, 1 } })
    end, { D(2, 5, 6, 3), core.from_table { 0.7, -1.2, 0.9 }, core.from_table { 0.3, 0.4, -0.2 } },
    function(x, w, gamma, beta) -- the gradient stands at the pool's outputs until the convolution
      return ops.norm_max_pool2d(lazy(ops.conv2d(x, w), gamma, beta))
    end, { N(2, 4, 6, 3), N(1, 1, 3, 2), P(2), N(2) },
    function(x, gamma, beta)
      local y = lazy(x, gamma, beta)
      return ops.norm_max_pool2d(y) + ops.norm_max_pool2d(y) -- more than one reader
    end, { D(2, 4, 4, 2), P(2), N(2) },
  },
}

local checked = {}
for _, row in ipairs(rows) do
  checked[row[1]] = true
  t.test("gradient of " .. row[1], function()
    for i = 2, #row, 2 do grad.check(row[i], row[i + 1], { tol = 0.004 }) end
  end)
end

t.test("every op and loss has a row above", function()
  local missing = {}
  for _, part in ipairs { ops, loss } do
    for name in pairs(part) do
      if not checked[name] then missing[#missing + 1] = name end
    end
  end
  t.equal(missing, {})
end)

-- ---- grad.check itself --------------------------------------------------------------------------

t.test("grad.check finds a wrong gradient and says where", function()
  local function wrong(x) -- claims that the slope of x^2 is x
    local to = grad.target(x)
    return grad.op(core.square(x), { to }, function(dy) grad.accumulate(to, core.mul(dy, x)) end)
  end
  local message = t.raises(grad.check, "a gradient is wrong", wrong, { N(3) })
  t.ok(message:find("input 1: WRONG") and message:find("backward%(%) gives"), message)
  local report = grad.check(wrong, { N(3) }, { raise = false })
  t.equal({ report.ok, #report.inputs }, { false, 1 })
  t.ok(tostring(report):find("WRONG"))
  t.raises(grad.check, "two results", function(x) return ops.dropout(x, 0.5) end, { N(50) })
end)

t.test("grad.check leaves its inputs as they were", function()
  local x = N(3)
  local before = x:copy()
  t.ok(grad.check(ops.exp, { x }).ok)
  t.ok(x == before)
  t.equal({ x.requires_grad, x.grad }, {})
end)

-- ---- the tape -----------------------------------------------------------------------------------

local function leaf(...)
  local x = N(...)
  x.requires_grad = true
  return x
end

t.test("leaves add up until zero(); a computed tensor keeps the last", function()
  local x = leaf(3)
  local y = x * 2
  local z = ops.sum(y)
  z:backward()
  z:backward()
  t.equal(x.grad:totable(), { 4, 4, 4 })
  t.equal(y.grad:totable(), { 1, 1, 1 })
  grad.zero { x }
  t.equal(x.grad, nil)
end)

t.test("shared and branching inputs", function()
  local x = leaf(4)
  local a = x + x
  local y = a * a + a - x -- 4 x^2 + x
  ops.sum(y):backward()
  t.close(x.grad, core.add(core.mul(x, 8), 1), 1e-5, 1e-5)
end)

t.test("no_grad records nothing, restores after a raise, nests", function()
  local x = leaf(3)
  local y, n = grad.no_grad(function(v) return v * 2, select("#", grad.enabled()) end, x)
  t.equal({ y.node, n }, { nil, 1 })
  t.equal(pcall(grad.no_grad, error, "x"), false)
  t.ok(grad.enabled())
  grad.no_grad(function()
    grad.no_grad(function() end)
    t.equal(grad.enabled(), false)
    grad.with_grad(function() t.ok((x * 2).node) end)
    t.equal(grad.enabled(), false)
  end)
  t.ok((x * 2).node)
  t.equal((N(3) * 2).node, nil)
end)

t.test("detach shares the numbers and cuts the graph", function()
  local x = leaf(3)
  local y = (x * 2):detach()
  t.equal(y.node, nil)
  ops.sum(x * y):backward()
  t.ok(x.grad == y)
end)

t.test("free = true releases what lies between, keeps leaves, the loss and what is asked for",
  function()
  local x, w = N(4, 5), leaf(5, 3)
  local a = ops.dense(x, w)
  local b = ops.relu(a)
  local kept = ops.sigmoid(b)
  kept.requires_grad = true
  local total = ops.sum(kept)
  total:backward { free = true }
  for _, gone in ipairs { a, b } do t.raises(gone.copy, "released", gone) end
  t.equal({ x.size, w.grad.shape, kept.grad.shape, kept:copy().size,
    total:item() == total:item() }, { 20, { 5, 3 }, { 4, 3 }, 12, true })
  t.raises(grad.backward, "already walked with free = true", total)
  local again = leaf(5, 3)
  again:copy_from(w)
  ops.sum(ops.sigmoid(ops.relu(ops.dense(x, again)))):backward()
  t.ok(again.grad == w.grad)
end)

t.test("free = true does not pull a gradient from under a second holder", function()
  local function run(free)
    local a, b = leaf(3, 2), leaf(3, 2)
    a:fill(0.5)
    b:fill(0.25)
    local u, v = a * 2, b * 3
    local s = u + v               -- hands one gradient to both
    local r = s:reshape(6):reshape(2, 3) + (s - u):reshape(2, 3)
    ops.sum(r * r):backward { free = free }
    return { a.grad:totable(), b.grad:totable() }
  end
  t.equal(run(true), run(false))
end)

t.test("a training loop with free = true asks the system for nothing after its first steps",
  function()
  local w = leaf(8, 8)
  local x = N(4000, 8)
  local function step()
    local y = x
    for _ = 1, 4 do y = ops.relu(ops.dense(y, w)) end
    local value = ops.mean(y)
    value:backward { free = true }
    w.grad = nil
  end
  local calls, kept
  local function run()
    calls = core.memory().system_calls
    for _ = 1, 150 do step() end
    collectgarbage()
    collectgarbage()
  end
  for _ = 1, 4 do run() end -- the collector's rounds come to rest
  kept = core.memory().in_use
  run()
  -- A block of small tensors more or less, as Lua's collector comes and goes.
  t.ok(core.memory().system_calls <= calls + 3, "blocks were asked for")
  t.ok(core.memory().in_use <= kept + 1e5, "memory grew")
end)

t.test("abandoned graphs are garbage", function()
  local w = leaf(100, 100)
  collectgarbage()
  collectgarbage()
  local before = core.memory().in_use
  for _ = 1, 50 do
    local y = ops.dense(N(100, 100), w)
    for _ = 1, 5 do y = ops.relu(y) + y end
  end
  collectgarbage()
  collectgarbage()
  t.ok(core.memory().in_use <= before, "an abandoned graph is still held")
end)

t.test("a graph does not hold values that no gradient needs", function()
  local x = leaf(64, 64)
  local weak = setmetatable({}, { __mode = "v" })
  local function build()
    local a = x + 1
    weak[1] = a
    return ops.relu(a + 1) -- neither addition needs a's values
  end
  local y = build()
  collectgarbage()
  collectgarbage()
  t.equal(#weak, 0)
  ops.sum(y):backward()
  t.ok(x.grad)
end)

t.test("long graphs need no deep recursion", function()
  local x = leaf(1)
  local y = x
  for _ = 1, 5000 do y = y + 0.001 end
  y:backward { free = true }
  t.equal(x.grad:item(), 1.0)
end)

-- ---- threads ------------------------------------------------------------------------------------

t.test("the same bits with 1, 2 and 3 threads", function()
  local function everything()
    seed = 1000
    local x, w, gamma, beta = leaf(8, 20, 20, 33), leaf(3, 3, 33, 20), leaf(20), leaf(20)
    local y = ops.conv2d(x, w, nil, { padding = "same" })
    y = ops.batch_norm(y, gamma, beta, nil, nil, { training = true, relu = true })
    y = ops.max_pool2d(y, { pool = 3, strides = 2, padding = "same" })
    y = ops.upsample(y, 2, { interpolation = "bilinear" })
    y = ops.avg_pool2d(ops.dropout(y, 0.3, { seed = 1 }), { pool = 3, strides = 2 })
    y = ops.softmax(ops.sigmoid(y) + ops.tanh(y))
    local value = loss.mse(N(table.unpack(y.shape)), y) + ops.l2 { { w, 0.1 } }
    value:backward { free = true }
    return { value, x.grad, w.grad, gamma.grad, beta.grad }
  end
  local before = core.threads()
  core.threads(1)
  local want = everything()
  for _, n in ipairs { 2, 3 } do
    core.threads(n)
    for i, got in ipairs(everything()) do t.ok(got == want[i],
      ("value %d differs on %d threads"):format(i, n)) end
  end
  core.threads(before)
end)

-- ---- messages -----------------------------------------------------------------------------------

t.test("wrong use is explained, at the caller's line", function()
  local x, picture = leaf(2, 3), N(1, 4, 4, 3)
  local function says(pattern, call)
    local message = t.raises(call, pattern)
    t.ok(message:find("^tests/grad.lua:%d+:") or message:find("[/\\]grad.lua:%d+:"),
      "not at the caller's line: " .. message)
  end
  says("add: shapes %(2, 3%) and %(4,%) do not broadcast",
    function() local _ = x + core.zeros(4) end)
  says("matmul: shapes %(2, 3%) and %(2, 3%)", function() local _ = ops.matmul(x, x) end)
  says("dense: .*%(2, 3%) and %(4, 5%)", function() local _ = ops.dense(x, core.zeros(4, 5)) end)
  says("dense: .*%(7,%)", function() local _ = ops.dense(x, core.zeros(3, 5), core.zeros(7)) end)
  says("conv2d: unknown option 'stride' %(did you mean 'strides'%?%)",
    function() local _ = ops.conv2d(picture, N(3, 3, 3, 2), nil, { stride = 2 }) end)
  says("conv2d: option 'strides' must be integer or table",
    function() local _ = ops.conv2d(picture, N(3, 3, 3, 2), nil, { strides = "2" }) end)
  says("conv2d: strides must be a whole number",
    function() local _ = ops.conv2d(picture, N(3, 3, 3, 2), nil, { strides = 1.5 }) end)
  says("conv2d: padding must be one of", function() local _ = ops.conv2d(picture, N(3, 3, 3, 2),
    nil, { padding = "SAME" }) end)
  says("conv2d: .*%(1, 4, 4, 3%) and %(3, 3, 4, 2%)",
    function() local _ = ops.conv2d(picture, N(3, 3, 4, 2)) end)
  says("conv2d: the input's 3 channels do not divide into 2 groups %(x is %(1, 4, 4, 3%)%)",
    function() local _ = ops.conv2d(picture, N(3, 3, 1, 2), nil, { groups = 2 }) end)
  says("conv2d: the kernel's 4 outputs do not divide into 3 groups %(w is %(3, 3, 1, 4%)%)",
    function() local _ = ops.conv2d(picture, N(3, 3, 1, 4), nil, { groups = 3 }) end)
  says("conv2d: with 3 groups .* w must be %(2, 2, 1, 6%), got %(2, 2, 3, 6%)",
    function() local _ = ops.conv2d(picture, N(2, 2, 3, 6), nil, { groups = 3 }) end)
  says("conv2d: the bias must be %(6,%), got %(5,%)",
    function() local _ = ops.conv2d(picture, N(2, 2, 1, 6), N(5), { groups = 3 }) end)
  says("conv2d: groups must be a whole number from 1 up, got 1.5",
    function() local _ = ops.conv2d(picture, N(2, 2, 1, 6), nil, { groups = 1.5 }) end)
  says("conv2d: a picture of 4 x 4 .* smaller than the kernel of 5 x 5",
    function() local _ = ops.conv2d(N(1, 4, 4, 4), N(5, 5, 2, 2), nil, { groups = 2 }) end)
  says("depthwise_conv2d: .*%(1, 4, 4, 3%) and %(3, 3, 2, 1%)",
    function() local _ = ops.depthwise_conv2d(picture, N(3, 3, 2, 1)) end)
  says("depthwise_conv2d: expected shape %(6,%), got %(3,%)",
    function() local _ = ops.depthwise_conv2d(picture, N(3, 3, 3, 2), N(3)) end)
  says("conv2d: x must be %(batch, height, width, channels%), got shape %(2, 3%)",
    function() local _ = ops.conv2d(x, N(3, 3, 3, 2)) end)
  says("max_pool2d: .*window of 5 x 5 does not fit",
    function() local _ = ops.max_pool2d(picture, { pool = 5 }) end)
  says("batch_norm: expected shape %(3,%), got %(4,%)",
    function() local _ = ops.batch_norm(picture, core.zeros(4), nil, nil, nil,
      { training = true }) end)
  says("upsample: interpolation must be one of",
    function() local _ = ops.upsample(picture, 2, { interpolation = "cubic" }) end)
  says("zero_pad2d: padding must be", function() local _ = ops.zero_pad2d(picture, { 1, -1 }) end)
  says("mse: y_true has shape %(2, 3%), the prediction %(1, 4, 4, 3%)",
    function() local _ = loss.mse(x, picture) end)
  says("binary_crossentropy: unknown option 'logits'",
    function() local _ = loss.binary_crossentropy(x, x, { logits = true }) end)
  says("backward: start from a scalar", function() local y = x * 2; y:backward() end)
  says("backward: this tensor does not depend on any tensor with requires_grad",
    function() N():backward() end)
  says("backward: grad has shape %(3,%), the tensor has shape %(2, 3%)",
    function() local y = x * 2; y:backward { grad = N(3) } end)
  says("backward: unknown option 'fre' %(did you mean 'free'%?%)",
    function() local y = ops.sum(x); y:backward { fre = true } end)
  says("a gradient has shape %(3,%), its tensor has shape %(2, 3%)",
    function() grad.accumulate(x, N(3)) end)
end)

t.done()
