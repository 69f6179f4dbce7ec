--- Single layers: outputs, and gradients for a given upstream gradient, to 1e-5 absolute and relative.
local giemsa = require "giemsa"
local ops, loss, grad, core = giemsa.ops, giemsa.loss, giemsa.grad, giemsa.core

local ABS, REL = 1e-5, 1e-5

-- One-hot rows of labels that count from 0.
local function one_hot(case)
  local rows = {}
  for i, label in ipairs(case.labels) do
    rows[i] = {}
    for c = 1, case.classes do rows[i][c] = c - 1 == label and 1 or 0 end
  end
  return giemsa.tensor(rows)
end

local function window(case) return { pool = case.pool, strides = case.strides, padding = case.padding } end
local function moves(case) return { strides = case.strides, padding = case.padding } end

-- name -> function(inputs, case, parity) giving the output
local forward = {
  conv2d = function(t, case) return ops.conv2d(t.x, t.w, t.b, moves(case)) end,
  conv2d_transpose = function(t, case) return ops.conv2d_transpose(t.x, t.w, t.b, moves(case)) end,
  max_pool2d = function(t, case) return ops.max_pool2d(t.x, window(case)) end,
  avg_pool2d = function(t, case) return ops.avg_pool2d(t.x, window(case)) end,
  zeropad1_maxpool3s2 = function(t) return ops.max_pool2d(ops.zero_pad2d(t.x, 1), { pool = 3, strides = 2 }) end,
  batchnorm_infer = function(t, case) return ops.batch_norm(t.x, t.gamma, t.beta, t.mean, t.var, { epsilon = case.epsilon }) end,
  dense = function(t) return ops.dense(t.x, t.w, t.b) end,
  relu = function(t) return ops.relu(t.x) end,
  softmax = function(t) return ops.softmax(t.x) end,
  softmax_categorical_crossentropy = function(t, case)
    return loss.categorical_crossentropy(one_hot(case), t.z, { from_logits = true })
  end,
  softmax_binary_crossentropy = function(t, case)
    return loss.binary_crossentropy(one_hot(case), t.z, { from_logits = true, activation = "softmax" })
  end,
  sigmoid_bce_mask = function(t, case, parity) return loss.binary_crossentropy(parity:npy(case.mask), t.z, { from_logits = true }) end,
  sigmoid_soft_dice = function(t, case, parity) return loss.dice(parity:npy(case.mask), t.z, { from_logits = true }) end,
  upsample_nearest = function(t, case) return ops.upsample(t.x, case.size) end,
  upsample_bilinear = function(t, case) return ops.upsample(t.x, case.size, { interpolation = "bilinear" }) end,
  add_relu = function(t) return ops.relu(t.a + t.b) end,
  concat_channels = function(t) return ops.concat({ t.a, t.b }, t.a.ndim) end,
  l2_term = function(t, case) return ops.l2{ { t.w, case.l2 } } end,
}

-- Batch norm in training also moves its statistics: the TF2 rule.
function forward.batchnorm_train(t, case, parity)
  local extra = case.extra
  local mean, variance = parity:npy(extra.moving_mean_before), parity:npy(extra.moving_variance_before)
  local y = ops.batch_norm(t.x, t.gamma, t.beta, mean, variance, { training = true, epsilon = case.epsilon, momentum = case.momentum })
  parity:close(extra.moving_mean_after, mean, parity:npy(extra.moving_mean_after), ABS, REL)
  parity:close(extra.moving_variance_after_tf2, variance, parity:npy(extra.moving_variance_after_tf2), ABS, REL)
  return y
end

local function upstream(case, parity, y)
  if type(case.upstream) == "number" then return core.full(y.shape, case.upstream) end
  return parity:npy(case.upstream):reshape(y.shape)
end

return function(parity)
  for _, case in ipairs(parity:json("cases.json")) do
    local saturated = (case.note or ""):find("^saturated") ~= nil
    local inputs = {}
    for name, file in pairs(case.inputs) do
      inputs[name] = parity:npy(file)
      inputs[name].requires_grad = true
    end
    local run = forward[case.op]
    if not run then
      parity:check(case.id, false, "no op of ours for '" .. case.op .. "'")
    else
      local y = run(inputs, case, parity)
      local want = parity:npy(case.output)
      parity:close(case.output, y:reshape(want.shape), want, saturated and 0 or ABS, saturated and 2e-2 or REL)
      grad.backward(y, { grad = upstream(case, parity, y) })
      for name, file in pairs(case.grads) do
        -- In the saturated case the reference clips probabilities, which stops the gradient; ours is p - y.
        if not saturated then parity:close(file, inputs[name].grad, parity:npy(file), ABS, REL) end
      end
    end
  end
end
