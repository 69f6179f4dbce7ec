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

t.done()
