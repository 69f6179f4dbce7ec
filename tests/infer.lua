--- Inference programs against the plain composition, and that they notice when weights change.
local t = require "tests.harness"
local core = require "giemsa.core"
local giemsa = require "giemsa"
local fuse = require "giemsa.nn.fuse"
local infer = require "giemsa.nn.infer"

local nn, grad, optim, random = giemsa.nn, giemsa.grad, giemsa.optim, giemsa.random

local function plainly(f)
  local before <close> = setmetatable({ fuse.wanted }, { __close = function(b) fuse.wanted = b[1] end })
  fuse.wanted = false
  return f()
end

local function answer(model, x, opts)
  return grad.no_grad(function() return model:forward(x, opts) end)
end

-- Weights and statistics as after some training, some gammas negative.
local function shake(model)
  for i, weight in ipairs(model:weights()) do
    local tensor, noise = weight.tensor, core.normal(weight.tensor.shape, 0, 0.3, 11, i, 0, 0)
    if weight.name:find "variance" then noise = noise:abs() end
    tensor:copy_from(tensor + noise)
  end
  return model
end

local function input(model, n) return core.normal({ n, table.unpack(model.rows[1].shape) }, 0, 1, 12, 0, 0, 0) end

local function norm_relu(x) return nn.ReLU()(nn.BatchNormalization{}(x)) end

local function post_activation(x, filters)
  local y = norm_relu(nn.Conv2D{ filters, 3, padding = "same" }(x))
  y = nn.BatchNormalization{}(nn.Conv2D{ filters, 1 }(y))
  return nn.Activation{ "relu" }(nn.add{ y, nn.BatchNormalization{}(nn.Conv2D{ filters, 1 }(x)) })
end

local nets = {
  ["the course's net"] = function() return nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, {}) end,
  ["odd sizes"] = function() return nn.ResNet.build(35, 37, 1, 3, { 1, 2 }, { 5, 12, 20 }, {}) end,
  ["activation after the sum, global pool"] = function()
    local x = nn.Input{ 9, 11, 2 }
    local y = post_activation(nn.MaxPooling2D{ 2, padding = "same" }(post_activation(x, 5)), 7)
    return nn.Model(x, nn.Dense{ 4, activation = "softmax" }(nn.GlobalAveragePooling2D()(y)))
  end,
  ["sigmoid, biases, dropout, strides, relu of its own"] = function()
    local x = nn.Input{ 12, 12, 3 }
    local y = nn.Conv2D{ 6, 3, strides = 2, activation = "relu" }(nn.BatchNormalization{}(x))
    y = nn.Conv2D{ 6, 3 }(nn.ZeroPadding2D{ { { 1, 0 }, { 0, 2 } } }(norm_relu(y)))
    y = nn.Conv2D{ 6, 3, padding = "same", dilation_rate = 2 }(nn.Dropout{ 0.5 }(y))
    y = nn.Dense{ 8, activation = "relu" }(nn.Flatten()(nn.AveragePooling2D{ 2 }(y)))
    return nn.Model(x, nn.Dense{ 1, activation = "sigmoid" }(y))
  end,
  ["a value read by a norm and by others"] = function()
    local x = nn.Input{ 8, 8, 3 }
    local a = nn.Conv2D{ 4, 3, padding = "same" }(x)
    local b = nn.Conv2D{ 4, 1 }(norm_relu(a))
    local c = nn.add{ a, b }
    return nn.Model(x, nn.add{ nn.MaxPooling2D{ 2 }(norm_relu(c)), nn.Conv2D{ 4, 1, strides = 2 }(c) })
  end,
}

for name, build in pairs(nets) do
  t.test(name .. ": a program answers as the plain net does", function()
    random.seed(3)
    local model = shake(build())
    for _, n in ipairs{ 1, 2, 3, 5, 8 } do
      local x = input(model, n)
      t.ok(grad.no_grad(infer.run, model, x), "runs as a program")
      local want = plainly(function() return answer(model, x) end)
      t.close(answer(model, x), want, 2e-5, 1e-4)
      local logits = plainly(function() return answer(model, x, { logits = true }) end)
      t.close(answer(model, x, { logits = true }), logits, 1e-4, 1e-4)
    end
  end)
end

t.test("nets with layers that programs do not know answer too", function()
  local x = nn.Input{ 8, 8, 3 }
  local model = shake(nn.Model(x, nn.UpSampling2D{ 2 }(nn.Conv2D{ 4, 3, padding = "same" }(x))))
  local pictures = input(model, 2)
  t.equal(grad.no_grad(infer.run, model, pictures), nil)
  t.close(answer(model, pictures), plainly(function() return answer(model, pictures) end), 1e-6)
end)

t.test("the same bits on any number of threads", function()
  local model, before = shake(nets["the course's net"]()), core.threads()
  for _, n in ipairs{ 1, 3, 6 } do
    local x = input(model, n)
    core.threads(1)
    local one = answer(model, x)
    core.threads(3)
    t.ok(answer(model, x) == one)
  end
  core.threads(before)
end)

t.test("a program is made again when a weight was changed, by whatever means", function()
  local x = nn.Input{ 4, 4, 2 }
  local model = nn.Model(x, nn.Conv2D{ 3, 1 }(nn.BatchNormalization{}(x)))
  model:compile{ loss = "mse", optimizer = optim.SGD{ lr = 0.1 } }
  local pictures = input(model, 2)
  local kernel, statistics = model:weights()[5].tensor, model:weights()[3].tensor
  local ways = {
    copy_from = function() kernel:copy_from(core.mul(kernel, 2)) end,
    fill = function() kernel:fill(0.3) end,
    rows = function() kernel[1] = 2 end,
    view = function() kernel:reshape(-1)[2] = 7 end,
    add_ = function() core.add_(kernel, 1) end,
    scale_ = function() core.scale_(kernel, 3) end,
    axpy_ = function() core.axpy_(kernel, 0.5, core.full(kernel.shape, 1)) end,
    add_rows_ = function() core.add_rows_(kernel, { 1 }, core.full({ 1, 1, 2, 3 }, 1)) end,
    sgd = function() core.sgd_step(kernel, core.full(kernel.shape, 1), nil, 0.1) end,
    adam = function()
      core.adam_step(kernel, core.full(kernel.shape, 1), core.zeros(kernel.shape), core.zeros(kernel.shape), 0.1)
    end,
    rmsprop = function() core.rmsprop_step(kernel, core.full(kernel.shape, 1), core.zeros(kernel.shape), 0.1) end,
    training = function() model:train_on_batch(pictures, core.zeros{ 2, 4, 4, 3 }) end,
    statistics = function() statistics:fill(0.5) end,
    set_weights = function()
      local weights = model:get_weights()
      for _, w in ipairs(weights) do core.add_(w, 0.25) end
      model:set_weights(weights)
    end,
  }
  for name, change in pairs(ways) do
    local before = answer(model, pictures)
    change()
    local after = answer(model, pictures)
    t.ok(after ~= before, name .. " was not noticed")
    t.close(after, plainly(function() return answer(model, pictures) end), 1e-4, 1e-4, name)
  end
end)

t.test("after the first answer nothing is asked of the system", function()
  local model = shake(nets["the course's net"]())
  local many, one = input(model, 8), input(model, 1)
  local function answer_both()
    for _, x in ipairs{ many, one } do answer(model, x):release() end
  end
  for _ = 1, 3 do answer_both() end
  local before = core.memory().system_calls
  for _ = 1, 20 do answer_both() end
  t.equal(core.memory().system_calls, before)
end)

t.done()
