--- Whole nets against the reference: ../shared/fixtures/net_tiny and net_full, to the tolerances of
--- the README there.
local t = require "tests.harness"
local json = require "dkjson"
local core = require "giemsa.core"
local giemsa = require "giemsa"
local grad, nn, optim, train = giemsa.grad, giemsa.nn, giemsa.optim, giemsa.train

local function folder(name)
  return t.need_fixtures() .. "/" .. name
end

local function read_json(path)
  local f <close> = assert(io.open(path))
  return json.decode(f:read("a"))
end

local function load(...) return core.npy_load(table.concat({ ... }, "/")) end

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

-- The net of net.json with the fixture's weights.
local function build(dir)
  local net = read_json(dir .. "/net.json")
  local c = net.config
  local model = nn.ResNet.build(c.width or c.height, c.height, c.depth, c.classes, c.stages,
    c.filters,
    { reg = c.reg, bnEps = c.bnEps, bnMom = c.bnMom })
  local o = net.optimizer
  model:compile{ loss = net.loss, metrics = { "accuracy" },
    optimizer = optim.SGD{ lr = o.lr, momentum = o.momentum, decay = o.decay,
      nesterov = o.nesterov } }
  local given = {}
  for _, p in ipairs(net.params) do given[p.name] = load(dir, "weights", p.file) end
  model:set_weights(given)
  return model, net, given
end

local function rms(values)
  local sum = 0
  for _, v in ipairs(values) do sum = sum + v * v end
  return math.sqrt(sum / #values)
end

local function flat(tensor) return tensor:reshape(-1):totable() end

local function largest_difference(a, b)
  local worst = 0
  for i = 1, #b do
    local d = math.abs(a[i] - b[i])
    if not (d <= worst) then worst = d end
  end
  return worst
end

local function minus(a, b)
  local d = {}
  for i = 1, #a do d[i] = a[i] - b[i] end
  return d
end

-- ---- parts --------------------------------------------------------------------------------------

local function check_parameters(model, net)
  t.equal(model:count_params(), net.params_total)
  t.equal(select(2, model:count_params()), net.params_trainable)
  local weights = model:weights()
  t.equal(#weights, #net.params)
  for i, p in ipairs(net.params) do
    t.equal({ weights[i].name, weights[i].tensor.shape, weights[i].trainable, weights[i].l2 },
      { p.name,
      setmetatable(p.shape, nil), p.trainable, p.l2 }, p.name)
  end
  for _, pair in ipairs(net.activation_shapes_HWC) do
    t.equal(model:get_layer(pair[1]).shape, setmetatable(pair[2], nil), pair[1])
  end
end

local function check_forward(dir, model, tolerance)
  local x = load(dir, "x.npy")
  grad.no_grad(function()
    t.close(model:forward(x, { logits = true }), load(dir, "infer_logits.npy"), tolerance, 0,
      "logits")
    t.close(model(x), load(dir, "infer_probs.npy"), tolerance, 0, "probabilities")
  end)
end

-- Forward in training mode, without touching the moving statistics of the model in hand.
local function check_training_forward(dir, tolerance)
  local model = build(dir)
  local x = load(dir, "x.npy")
  t.close(model:forward(x, { training = true, logits = true }), load(dir, "train_logits.npy"),
    tolerance, 0, "logits")
  model = build(dir)
  t.close(model:forward(x, { training = true }), load(dir, "train_probs.npy"), tolerance, 0,
    "probabilities")
end

-- The gradients of the total loss at the first weights, by name.
local function gradients(dir, model)
  local output = model:forward(load(dir, "x.npy"), { training = true, logits = true })
  local loss = model.objective.value(load(dir, "y.npy"), output) + model:penalty()
  loss:backward{ free = true }
  local found = {}
  for _, weight in ipairs(model:trainable()) do found[weight.name] = flat(weight.tensor.grad) end
  return found, loss:item()
end

local function each_gradient(dir, check)
  local model, net = build(dir)
  local found = gradients(dir, model)
  for _, p in ipairs(net.params) do
    if p.trainable then check(p.name, found[p.name], flat(load(dir, "grads", p.file))) end
  end
end

local function check_moving(model, net, dir, absolute, relative)
  for _, p in ipairs(net.params) do
    if not p.trainable and exists(dir .. "/" .. p.file) then
      local row, name = p.name:match("(.+)/(.+)")
      t.close(model:get_layer(row).weights[name], core.npy_load(dir .. "/" .. p.file), absolute,
        relative, p.name)
    end
  end
end

-- max |error| <= 2e-3 * rms(tensor - its first value) + 1e-6
local function check_updates(model, net, first, dir)
  for i, weight in ipairs(model:weights()) do
    local p = net.params[i]
    if p.trainable and exists(dir .. "/" .. p.file) then
      local want, got = flat(core.npy_load(dir .. "/" .. p.file)), flat(weight.tensor)
      local limit = 2e-3 * rms(minus(want, flat(first[p.name]))) + 1e-6
      local error_ = largest_difference(got, want)
      t.ok(error_ <= limit, ("%s: error %.3g, allowed %.3g"):format(p.name, error_, limit))
    end
  end
end

-- ---- the tiny net: five steps -------------------------------------------------------------------

t.test("net_tiny: parameters, names, shapes", function()
  check_parameters(build(folder("net_tiny")))
end)

t.test("net_tiny: inference", function()
  local dir = folder("net_tiny")
  check_forward(dir, build(dir), 2e-6)
end)

t.test("net_tiny: training forward", function()
  check_training_forward(folder("net_tiny"), 2e-6)
end)

t.test("net_tiny: activations", function()
  local dir = folder("net_tiny")
  local model = build(dir)
  local names = {}
  for _, row in ipairs(model.rows) do
    if exists(("%s/infer_activations/%s.npy"):format(dir, row.name)) then
      names[#names + 1] = row.name
    end
  end
  t.ok(#names >= 20)
  local _, kept = model:forward(load(dir, "x.npy"), { keep = names })
  for _, name in ipairs(names) do
    t.close(kept[name], load(dir, "infer_activations", name .. ".npy"), 1e-5, 1e-5, name)
  end
end)

t.test("net_tiny: gradients of the total loss", function()
  each_gradient(folder("net_tiny"), function(name, got, want)
    local error_, limit = largest_difference(got, want), 2e-3 * rms(want)
    t.ok(error_ <= limit, ("%s: error %.3g, allowed %.3g"):format(name, error_, limit))
  end)
end)

t.test("net_tiny: five steps of training", function()
  local dir = folder("net_tiny")
  local model, net, first = build(dir)
  local x, y = load(dir, "x.npy"), load(dir, "y.npy")
  for i, log in ipairs(net.steps_log) do
    t.close(model.optimizer:current_lr(), log.lr, 1e-12)
    t.close(core.is_tensor(model:penalty()) and model:penalty():item(), log.reg_loss, 5e-5)
    local loss, metrics = train.step(model, x, y)
    t.close(loss, log.loss, 5e-5, 0, "loss of step " .. i)
    t.equal(metrics[1], log.categorical_accuracy)
    if i == 1 then
      check_moving(model, net, dir .. "/step1", 5e-6, 5e-4)
      check_updates(model, net, first, dir .. "/step1")
    end
  end
  check_moving(model, net, dir .. "/step5", 5e-6, 5e-4)
  check_updates(model, net, first, dir .. "/step5")
  t.equal(model.optimizer.iterations, 5)
  local slots = model.optimizer:get_state().slots
  for _, p in ipairs(net.params) do
    if p.trainable then
      local want, got = flat(load(dir, "velocity5", p.file)), flat(slots[p.name .. "/velocity"])
      local error_, limit = largest_difference(got, want), 2e-3 * rms(want) + 1e-6
      t.ok(error_ <= limit, ("velocity of %s: error %.3g, allowed %.3g")
        :format(p.name, error_, limit))
    end
  end
  grad.no_grad(function() t.close(model(x), load(dir, "final_infer_probs.npy"), 5e-5) end)
  local result = model:evaluate(x, y)
  t.close(result.loss, net.final_inference_loss_incl_reg, 2e-4)
end)

-- ---- the course's net ---------------------------------------------------------------------------

t.test("net_full: parameters, names, shapes", function()
  check_parameters(build(folder("net_full")))
end)

t.test("net_full: inference", function()
  local dir = folder("net_full")
  check_forward(dir, build(dir), 5e-6)
end)

t.test("net_full: training forward", function()
  check_training_forward(folder("net_full"), 5e-6)
end)

t.test("net_full: gradients of the total loss", function()
  local flipped, worst = 0, 0
  each_gradient(folder("net_full"), function(name, got, want)
    local relative = rms(minus(got, want)) / rms(want)
    worst = math.max(worst, relative)
    -- a ReLU or max-pool decision fell the other way by rounding
    if relative > 1e-3 then flipped = flipped + 1 end
    t.ok(relative <= 2e-2, ("%s: relative error %.3g"):format(name, relative))
  end)
  if os.getenv("VERBOSE") then
    print(("worst relative error %.3g, above 1e-3 in %d tensors"):format(worst, flipped))
  end
end)

t.test("net_full: the first steps", function()
  local dir = folder("net_full")
  local model, net = build(dir)
  local x, y = load(dir, "x.npy"), load(dir, "y.npy")
  t.close(train.step(model, x, y), net.steps_log[1].loss, 1e-5)
  check_moving(model, net, dir .. "/step1", 1e-7, 1e-5)
  t.close(train.step(model, x, y), net.steps_log[2].loss, 2e-3)
end)

t.done()
