--- Fused nets against the plain composition: the same model, built with and without nn/fuse.lua,
--- trains through the same first steps up to rounding, and predicts the same.
local t = require "tests.harness"
local core = require "giemsa.core"
local giemsa = require "giemsa"
local fuse = require "giemsa.nn.fuse"

local nn, optim, random = giemsa.nn, giemsa.optim, giemsa.random

-- Runs `build` and a few steps with fusing on or off; what comes out of it.
local function trained(wanted, build, shape, classes)
  local before <close> = setmetatable({ fuse.wanted }, { __close = function(b) fuse.wanted = b[1] end })
  fuse.wanted = wanted
  random.seed(5)
  local model = build()
  for i, weight in ipairs(model:weights()) do -- no gamma of 1 or beta of 0, some of them negative
    if weight.tensor.ndim == 1 and weight.trainable then
      weight.tensor:copy_from(weight.tensor + core.normal(weight.tensor.shape, 0, 0.6, 3, i, 0, 0))
    end
  end
  model:compile{ loss = "categorical_crossentropy", optimizer = optim.SGD{ lr = 0.01, momentum = 0.9 } }
  local losses = {}
  for i = 1, 3 do
    local x = core.normal({ 6, table.unpack(shape) }, 0, 1, 7, i, 0, 0)
    local labels = {}
    for k = 1, 6 do labels[k] = (k * 5 + i) % classes + 1 end
    losses[i] = giemsa.train.step(model, x, core.one_hot(labels, classes))
  end
  local probe = core.normal({ 3, table.unpack(shape) }, 0, 1, 8, 0, 0, 0)
  return { losses = losses, weights = model:get_weights(), output = model(probe) }
end

local function same(name, build, shape, classes)
  t.test(name .. ": fused and plain train alike", function()
    local fused, plain = trained(true, build, shape, classes), trained(false, build, shape, classes)
    for i, loss in ipairs(plain.losses) do t.close(fused.losses[i], loss, 2e-4) end
    for i, w in ipairs(plain.weights) do t.close(fused.weights[i], w, 2e-3) end
    t.close(fused.output, plain.output, 2e-3)
  end)
end

same("the course's net", function()
  return nn.ResNet.build(32, 32, 3, 2, { 2, 2 }, { 8, 16, 24 }, { reg = 0.0005 })
end, { 32, 32, 3 }, 2)

same("odd sizes", function()
  return nn.ResNet.build(35, 39, 3, 3, { 1, 2 }, { 5, 12, 20 }, {})
end, { 39, 35, 3 }, 3)

-- Normalised maps with all kinds of readers.
same("readers of all kinds", function()
  local function norm(x) return nn.BatchNormalization{}(x) end
  local function relu(x) return nn.ReLU()(norm(x)) end
  local x = nn.Input{ shape = { 12, 12, 3 } }
  local a = relu(nn.Conv2D{ 8, 3, padding = "same" }(x))
  local b = nn.Conv2D{ 8, 3, padding = "same" }(a) -- three readers
  local c = nn.Conv2D{ 8, 1, use_bias = false }(a)
  local d = nn.Conv2D{ 8, 5, padding = "same", dilation_rate = 2 }(a)
  local e = relu(nn.add{ b, nn.add{ c, d } })
  local f = nn.MaxPooling2D{ 2 }(e) -- a pool and a sum read it
  local g = nn.Conv2D{ 6, 1 }(norm(nn.add{ nn.AveragePooling2D{ 2 }(e), f }))
  local h = nn.MaxPooling2D{ 3, strides = 2, padding = "same" }(relu(g))
  local i = nn.Conv2DTranspose{ 6, 2, strides = 2 }(relu(h))
  local k = nn.Conv2D{ 4, 3, strides = 2 }(relu(i))
  k = nn.add{ k, nn.Conv2D{ 4, 3, strides = 2 }(nn.ZeroPadding2D{ 1 }(relu(nn.Conv2D{ 5, 3 }(i)))) }
  local l = nn.Conv2D{ 4, 3, strides = 2, activation = "relu" }(relu(nn.Conv2D{ 5, 3, padding = "same" }(i)))
  return nn.Model(x, nn.Dense{ 3, activation = "softmax" }(nn.Flatten{}(nn.concatenate{ k, l })))
end, { 12, 12, 3 }, 3)

t.test("frozen normalisations keep their statistics, fused or not", function()
  local function build()
    local model = nn.ResNet.build(32, 32, 3, 2, { 1, 1 }, { 8, 8, 16 }, {})
    model:set_trainable(false, "batch_normalization_[135]$")
    return model
  end
  local fused, plain = trained(true, build, { 32, 32, 3 }, 2), trained(false, build, { 32, 32, 3 }, 2)
  for i, w in ipairs(plain.weights) do t.close(fused.weights[i], w, 2e-3) end
end)

t.test("values that somebody keeps are the plain ones", function()
  local x = core.normal({ 2, 32, 32, 3 }, 0, 1, 9, 0, 0, 0)
  local kept = {}
  for i, wanted in ipairs{ true, false } do
    fuse.wanted = wanted
    random.seed(5)
    local model = nn.ResNet.build(32, 32, 3, 2, { 1, 1 }, { 8, 8, 16 }, {})
    local names = { "batch_normalization_2", "activation_2", "conv2d_4", "add_1", "max_pooling2d_1" }
    kept[i] = select(2, model:forward(x, { training = true, keep = names }))
  end
  fuse.wanted = os.getenv "GIEMSA_FUSE" ~= "0"
  for name, value in pairs(kept[2]) do t.close(kept[1][name], value, 1e-4) end
end)

-- ---- the core's fused gradients against their parts, small and so large that dx and dw are two passes

local function N(seed, ...) return core.normal({ ... }, 0, 1, 21, seed, 0, 0) end

local function fused_gradients(name, channels, outs)
  t.test("gradients of " .. name .. " are those of the parts", function()
    local x, norm = N(1, 2, 6, 6, channels), N(2, 5, channels)
    local one = { dy = N(3, 2, 6, 6, outs[1]), w = N(4, 1, 1, channels, outs[1]), geometry = { 1, 1, 0, 0, 0, 0, 1, 1 },
      map = N(5, 4, outs[1]), map_x = N(6, 2, 6, 6, outs[1]), map_add = N(7, 2, 6, 6, outs[1]), want_dw = true,
      want_db = true }
    local two = { dy = N(8, 2, 3, 3, outs[2]), w = N(9, 3, 3, channels, outs[2]), geometry = { 2, 2, 0, 1, 0, 1, 1, 1 },
      want_dw = true }
    local dx, sums, dw1, _, db1, _, dw2 =
      core.conv2d_grad(x, { norm = norm, norm_relu = true, want_dx = true, want_sums = true }, one, two)
    local dense = core.norm_dx(one.dy, one.map_x, one.map)
    core.add_(dense, one.map_add)
    local u = core.norm_apply(x, norm, true)
    local whole = core.conv2d_dx(dense, one.w, 6, 6, 1, 1, 0, 0, 0, 0)
    core.add_(whole, core.conv2d_dx(two.dy, two.w, 6, 6, 2, 2, 0, 1, 0, 1))
    local cut = core.where(core.gt(u, 0), whole, 0)
    local scale = math.sqrt(outs[1] + 9 * outs[2])
    t.close(dx, cut, 1e-5 * scale, 1e-4)
    t.close(sums, core.norm_sums(whole, x, norm, true), 1e-4 * scale * 70, 1e-3)
    t.close(dw1, core.conv2d_dw(dense, u, 1, 1, 1, 1, 0, 0, 0, 0), 2e-4, 1e-4)
    t.close(db1, core.sum_to(dense, { outs[1] }), 2e-4, 1e-4)
    t.close(dw2, core.conv2d_dw(two.dy, u, 3, 3, 2, 2, 0, 1, 0, 1), 2e-4, 1e-4)
  end)
end
fused_gradients("few channels", 5, { 7, 3 })
fused_gradients("many weights", 600, { 500, 40 })
fused_gradients("many weights in the second branch", 70, { 9, 500 })

t.test("moments keep their digits when the mean is far larger than the deviation", function()
  local x = core.add(N(1, 4, 9, 7, 3), 30000)
  local w = core.zeros{ 1, 1, 3, 3 }
  for i = 1, 3 do w:reshape(3, 3)[i] = core.one_hot({ i }, 3) end
  local _, moments = core.conv2d(x, w, 1, 1, 0, 0, 0, 0, 1, 1, nil, { moments = true })
  for c = 1, 3 do
    local values, mean, squares = core.slice(x, 4, c, c):reshape(-1):totable(), 0, 0
    for _, v in ipairs(values) do mean = mean + v / #values end
    for _, v in ipairs(values) do squares = squares + (v - mean) ^ 2 / #values end
    t.close(moments[1][c] + moments[2][c], mean, 1e-3)
    t.close(moments[3][c], squares, 1e-5, 1e-5)
  end
end)

t.done()
