--- Whole nets: weights in, then logits, activations, losses, gradients, updates and moving statistics out.
local giemsa = require "giemsa"
local nn, optim, train, grad = giemsa.nn, giemsa.optim, giemsa.train, giemsa.grad

-- What float32 may lose: the tiny net follows five steps; in the full one a single ReLU decided otherwise moves a gradient.
local limits = {
  net_tiny = { forward = 2e-6, loss = 5e-5, final = 5e-5, moving = { 5e-6, 5e-4 } },
  net_full = { forward = 5e-6, loss = 1e-5, later_loss = 2e-3, moving = { 1e-7, 1e-5 } },
}

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local function build(parity, net)
  local c, o = net.config, net.optimizer
  local model = nn.ResNet.build(c.width, c.height, c.depth, c.classes, c.stages, c.filters, { reg = c.reg, bnEps = c.bnEps, bnMom = c.bnMom })
  model:compile{ loss = net.loss, metrics = { "accuracy" },
    optimizer = optim.SGD{ lr = o.lr, momentum = o.momentum, decay = o.decay, nesterov = o.nesterov } }
  local weights = {}
  for _, p in ipairs(net.params) do weights[p.name] = parity:npy("weights/" .. p.file) end
  model:set_weights(weights)
  return model, weights
end

local function structure(parity, net)
  local model = build(parity, net)
  local total, trainable = model:count_params()
  parity:equal("parameters", total, net.params_total)
  parity:equal("trainable parameters", trainable, net.params_trainable)
  for i, weight in ipairs(model:weights()) do
    local p = net.params[i]
    parity:equal(("parameter %d"):format(i), ("%s (%s) %s %g"):format(weight.name, table.concat(weight.tensor.shape, ","), weight.trainable, weight.l2 or 0),
      ("%s (%s) %s %g"):format(p.name, table.concat(p.shape, ","), p.trainable, p.l2))
  end
end

local function forward(parity, net, limit)
  local x = parity:npy("x.npy")
  local model = build(parity, net)
  grad.no_grad(function()
    parity:close("infer_logits.npy", model:forward(x, { logits = true }), parity:npy("infer_logits.npy"), limit.forward)
    parity:close("infer_probs.npy", model(x), parity:npy("infer_probs.npy"), limit.forward)
    parity:close("train_logits.npy", model:forward(x, { training = true, logits = true }), parity:npy("train_logits.npy"), limit.forward)
    parity:close("train_probs.npy", build(parity, net):forward(x, { training = true }), parity:npy("train_probs.npy"), limit.forward)
  end)
end

local function activations(parity, net)
  local model, names = build(parity, net), {}
  for _, row in ipairs(model.rows) do
    if exists(parity:path("infer_activations/" .. row.name .. ".npy")) then names[#names + 1] = row.name end
  end
  if #names == 0 then return end
  local _, kept = grad.no_grad(function() return model:forward(parity:npy("x.npy"), { keep = names }) end)
  for _, name in ipairs(names) do
    local file = "infer_activations/" .. name .. ".npy"
    parity:close(file, kept[name], parity:npy(file), 2e-5, 2e-5)
  end
end

local function root_mean_square(values)
  local sum = 0
  for _, v in ipairs(values) do sum = sum + v * v end
  return math.sqrt(sum / #values)
end

local function minus(a, b)
  local out = {}
  for i = 1, #b do out[i] = a[i] - b[i] end
  return out
end

-- The tiny net: no error above 2e-3 of the tensor's rms. The full one: relative error in L2 at most 2e-2 (one flipped decision).
local function gradients(parity, net, limit)
  local model = build(parity, net)
  local output = model:forward(parity:npy("x.npy"), { training = true, logits = true })
  local loss = model.objective.value(parity:npy("y.npy"), output) + model:penalty()
  loss:backward()
  parity:close("loss before any step", loss:item(), net.steps_log[1].loss, limit.loss)
  local worst = 0
  for _, weight in ipairs(model:trainable()) do
    local file = "grads/" .. weight.name:gsub("/", ".") .. ".npy"
    local want = parity:numbers(parity:npy(file))
    local got = parity:numbers(weight.tensor.grad)
    if parity.group == "net_tiny" then
      parity:close(file, got, want, 2e-3 * root_mean_square(want))
    else
      local relative = root_mean_square(minus(got, want)) / root_mean_square(want)
      worst = math.max(worst, relative)
      parity:check(file, relative <= 2e-2, ("relative L2 error %.2g"):format(relative))
    end
  end
end

local function parameters_after(parity, net, model, first, folder, limit)
  for i, weight in ipairs(model:weights()) do
    local p = net.params[i]
    local file = folder .. "/" .. p.file
    if exists(parity:path(file)) then
      local want = parity:npy(file)
      if p.trainable then
        local moved = root_mean_square(minus(parity:numbers(want), parity:numbers(first[p.name])))
        parity:close(file, weight.tensor, want, 2e-3 * moved + 1e-6)
      else
        parity:close(file, weight.tensor, want, limit.moving[1], limit.moving[2])
      end
    end
  end
end

local function velocities(parity, model)
  for name, velocity in pairs(model.optimizer:get_state().slots) do
    local file = "velocity5/" .. name:gsub("/velocity$", ""):gsub("/", ".") .. ".npy"
    if exists(parity:path(file)) then
      local want = parity:npy(file)
      parity:close(file, velocity, want, 2e-3 * root_mean_square(parity:numbers(want)) + 1e-6)
    end
  end
end

local function training(parity, net, limit)
  local model, first = build(parity, net)
  local x, y = parity:npy("x.npy"), parity:npy("y.npy")
  local exact = limit.final ~= nil -- all steps can be followed
  for step = 1, exact and net.steps or 2 do
    local log = net.steps_log[step]
    parity:close(("lr at step %d"):format(step), model.optimizer:current_lr(), log.lr, 1e-12)
    parity:close(("L2 term at step %d"):format(step), model:penalty():item(), log.reg_loss, limit.loss)
    local loss, metrics = train.step(model, x, y)
    parity:close(("loss at step %d"):format(step), loss, log.loss, step == 1 and limit.loss or limit.later_loss or limit.loss)
    if exact then parity:close(("accuracy at step %d"):format(step), metrics[1], log.categorical_accuracy, 0) end
    if step == 1 or step == 5 then parameters_after(parity, net, model, first, "step" .. step, limit) end
  end
  if not exact then return end
  velocities(parity, model)
  parity:close("final_infer_probs.npy", grad.no_grad(function() return model(x) end), parity:npy("final_infer_probs.npy"), limit.final)
end

return function(parity)
  local net, limit = parity:json("net.json"), limits[parity.group]
  structure(parity, net)
  forward(parity, net, limit)
  activations(parity, net)
  gradients(parity, net, limit)
  training(parity, net, limit)
end
