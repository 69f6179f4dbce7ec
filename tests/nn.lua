--- Nets: layers, names, shapes, the course's graph, configurations, errors by message.
local t = require "tests.harness"
local giemsa = require "giemsa"
local core = require "giemsa.core"
local nn, grad, random = giemsa.nn, giemsa.grad, giemsa.random

local function names_of(model)
  local names = {}
  for i, row in ipairs(model.rows) do names[i] = row.name end
  return names
end

local function small()
  local x = nn.Input{ shape = { 6, 6, 2 } }
  local y = nn.Conv2D{ 3, 3, padding = "same" }(x)
  y = nn.BatchNormalization{}(y)
  y = nn.Activation{ "relu" }(y)
  return nn.Model(x, nn.Dense{ 2, activation = "softmax" }(nn.Flatten{}(y)))
end

local function course()
  return nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, { reg = 0.0005 })
end

-- ---- graphs -------------------------------------------------------------------------------------

t.test("rows are class, name, config, inputs, in order of creation", function()
  local model = small()
  t.equal(names_of(model), { "input_1", "conv2d_1", "batch_normalization_1", "activation_1",
    "flatten_1", "dense_1" })
  t.equal(model.rows[2].inputs[1], 1)
  t.equal(model.rows[2].class, "Conv2D")
  t.equal(model.rows[2].config.kernel_size, { 3, 3 })
  t.equal(model.rows[6].shape, { 2 })
end)

t.test("names follow Keras 2.2.4, from 1 in each model", function()
  for _ = 1, 2 do
    local x = nn.Input{ 8, 8, 3 }
    local y = nn.ZeroPadding2D{ { { 1, 1 }, { 0, 2 } } }(x)
    y = nn.MaxPooling2D{ 2 }(y)
    y = nn.UpSampling2D{ 2 }(y)
    y = nn.Conv2DTranspose{ 4, 2, strides = 2 }(y)
    y = nn.ReLU{}(y)
    y = nn.GlobalAveragePooling2D{}(y)
    t.equal(names_of(nn.Model(x, y)), { "input_1", "zero_padding2d_1", "max_pooling2d_1",
      "up_sampling2d_1",
      "conv2d_transpose_1", "re_lu_1", "global_average_pooling2d_1" })
  end
end)

t.test("positional, named and plain arguments mean the same", function()
  local x = nn.Input{ shape = { 8, 8, 3 } }
  local list = { nn.Conv2D{ 4, 5 }(x), nn.Conv2D{ filters = 4, kernel_size = 5 }(x),
    nn.Conv2D{ 4, { 5, 5 } }(x), nn.Conv2D(4, 5)(x),
    nn.Conv2D(4, 5, { strides = 1 })(x) }
  for _, y in ipairs(list) do t.equal(y.shape, { 4, 4, 4 }) end
  t.equal(nn.Dense(7)(nn.Flatten()(x)).shape, { 7 })
  t.equal(nn.Activation "relu"(x).shape, { 8, 8, 3 })
end)

t.test("shapes of every layer are those its forward gives", function()
  local function check(input, layer, want)
    local x = nn.Input{ shape = input }
    local y = layer(x)
    t.equal(y.shape, want)
    local model = nn.Model(x, y)
    local out = model(core.uniform({ 2, table.unpack(input) }, -1, 1, 1, 2, 3, 4))
    t.equal(out.shape, { 2, table.unpack(want) })
  end
  local map = { 9, 7, 4 }
  check(map, nn.Conv2D{ 5, 3, strides = 2, padding = "same" }, { 5, 4, 5 })
  check(map, nn.Conv2D{ 5, { 3, 1 }, strides = 2 }, { 4, 4, 5 })
  check(map, nn.Conv2D{ 5, 3, dilation_rate = 2 }, { 5, 3, 5 })
  check(map, nn.Conv2D{ 5, 3, padding = "same", activation = "relu" }, { 9, 7, 5 })
  check(map, nn.Conv2DTranspose{ 3, 2, strides = 2 }, { 18, 14, 3 })
  check(map, nn.Conv2DTranspose{ 3, 3, strides = 2 }, { 19, 15, 3 })
  check(map, nn.Conv2DTranspose{ 3, 3, strides = 2, padding = "same" }, { 18, 14, 3 })
  check(map, nn.Conv2DTranspose{ 3, 1, strides = 2 }, { 18, 14, 3 })
  check(map, nn.Conv2D{ 6, 3, groups = 2, activation = "relu" }, { 7, 5, 6 })
  check(map, nn.Conv2D{ 8, 3, groups = 4, padding = "same", use_bias = false }, { 9, 7, 8 })
  check(map, nn.DepthwiseConv2D{ 3, padding = "same" }, { 9, 7, 4 })
  check(map, nn.DepthwiseConv2D{ { 3, 2 }, strides = 2, depth_multiplier = 3 }, { 4, 3, 12 })
  check(map, nn.DepthwiseConv2D{ 2, dilation_rate = 3, use_bias = false }, { 6, 4, 4 })
  check(map, nn.SeparableConv2D{ 5, 3, strides = 2, padding = "same" }, { 5, 4, 5 })
  check(map, nn.SeparableConv2D{ 5, 3, depth_multiplier = 2, activation = "relu" }, { 7, 5, 5 })
  check(map, nn.UpSampling2D{ 2 }, { 18, 14, 4 })
  check(map, nn.MaxPooling2D{}, { 4, 3, 4 })
  check(map, nn.MaxPooling2D{ 3, strides = 2, padding = "same" }, { 5, 4, 4 })
  check(map, nn.AveragePooling2D{ { 3, 2 } }, { 3, 3, 4 })
  check(map, nn.GlobalAveragePooling2D{}, { 4 })
  check(map, nn.GlobalMaxPooling2D{}, { 4 })
  check(map, nn.BatchNormalization{ center = false }, map)
  check(map, nn.BatchNormalization{ scale = false, axis = 4 }, map)
  check(map, nn.Activation{ "tanh" }, map)
  check(map, nn.Softmax{}, map)
  check(map, nn.ReLU{}, map)
  check(map, nn.Dropout{ 0.5 }, map)
  check(map, nn.ZeroPadding2D{ { { 1, 2 }, { 3, 0 } } }, { 12, 10, 4 })
  check(map, nn.Flatten{}, { 252 })
  check(map, nn.Reshape{ { 63, -1 } }, { 63, 4 })
  check(map, nn.Dense{ 6 }, { 9, 7, 6 })
  check(map, nn.Lambda(function(x) return x * 2 end), map)
  check({ 5 }, nn.Dense{ 3, use_bias = false, activation = "sigmoid" }, { 3 })
  check({ 5 }, nn.BatchNormalization{}, { 5 })
end)

t.test("grouped, depthwise, separable layers: Keras's weights, parameters, multiply-adds", function()
  local x = nn.Input{ shape = { 8, 8, 6 } }
  local y = nn.Conv2D{ 9, 3, groups = 3, padding = "same" }(x)
  y = nn.DepthwiseConv2D{ 3, depth_multiplier = 2, depthwise_initializer = "he_normal",
    depthwise_regularizer = nn.l2(0.1) }(y)
  y = nn.SeparableConv2D{ 4, 5, padding = "same", strides = 2, depth_multiplier = 3,
    pointwise_regularizer = nn.l2(0.2), bias_initializer = "ones" }(y)
  local model = nn.Model(x, y)
  local shapes, l2 = {}, {}
  for _, weight in ipairs(model:weights()) do
    shapes[weight.name], l2[weight.name] = weight.tensor.shape, weight.l2
  end
  t.equal(shapes, {
    ["conv2d_1/kernel"] = { 3, 3, 2, 9 }, ["conv2d_1/bias"] = { 9 },
    ["depthwise_conv2d_1/depthwise_kernel"] = { 3, 3, 9, 2 },
    ["depthwise_conv2d_1/bias"] = { 18 },
    ["separable_conv2d_1/depthwise_kernel"] = { 5, 5, 18, 3 },
    ["separable_conv2d_1/pointwise_kernel"] = { 1, 1, 54, 4 }, ["separable_conv2d_1/bias"] = { 4 },
  })
  t.equal({ l2["depthwise_conv2d_1/depthwise_kernel"], l2["separable_conv2d_1/depthwise_kernel"],
    l2["separable_conv2d_1/pointwise_kernel"] }, { 0.1, 0, 0.2 })
  t.equal({ model:count_params() }, { 162 + 9 + 162 + 18 + 1350 + 216 + 4, 1921 })
  local text = model:summary_text()
  for _, macs in ipairs { "10,368", "5,832", "14,094" } do t.ok(text:find(macs, 1, true), macs) end
end)

t.test("a separable layer is a depthwise one, then one of 1x1", function()
  local x = nn.Input{ shape = { 7, 6, 3 } }
  local model = nn.Model(x, nn.SeparableConv2D{ 4, 3, padding = "same", strides = 2 }(x))
  local w = model.rows[2].weights
  local input = core.normal({ 2, 7, 6, 3 }, 0, 1, 1, 0, 0, 0)
  local between = giemsa.ops.depthwise_conv2d(input, w.depthwise_kernel, nil,
    { padding = "same", strides = 2 })
  t.equal(model(input), giemsa.ops.conv2d(between, w.pointwise_kernel, w.bias))
end)

t.test("add and concatenate", function()
  local x = nn.Input{ shape = { 4, 4, 2 } }
  local a, b = nn.Conv2D{ 3, 1 }(x), nn.Conv2D{ 3, 1 }(x)
  local sum, joined = nn.add{ a, b }, nn.concatenate({ a, b, x })
  t.equal(joined.shape, { 4, 4, 8 })
  local model = nn.Model(x, { sum, joined })
  local out = model(core.full({ 1, 4, 4, 2 }, 1))
  t.equal(#out, 2)
  t.equal(out[1].shape, { 1, 4, 4, 3 })
  local tall = nn.Model(x, nn.concatenate({ x, nn.ReLU{}(x) }, { axis = 2 }))
  t.equal(tall(core.full({ 1, 4, 4, 2 }, 1)).shape, { 1, 8, 4, 2 })
end)

t.test("several inputs", function()
  local a, b = nn.Input{ shape = { 3 } }, nn.Input{ shape = { 3 } }
  local model = nn.Model({ b, a }, nn.Lambda(function(x) return x * 10 end)(nn.add{ a, b }))
  t.equal(model{ core.full({ 1, 3 }, 2), core.full({ 1, 3 }, 1) }:totable(), { { 30, 30, 30 } })
  t.raises(function() model(core.full({ 1, 3 }, 2)) end, "the model has 2 inputs, got 1")
end)

t.test("Sequential, and layers added one by one", function()
  local model = nn.Sequential{ nn.Dense{ 8, activation = "relu", input_shape = { 2 } },
    nn.Dense{ 1 } }
  model:add(nn.Activation{ "sigmoid" })
  t.equal(names_of(model), { "input_1", "dense_1", "dense_2", "activation_1" })
  t.equal(model:count_params(), 8 * 3 + 9)
  t.equal(model:final_activation(), "sigmoid")
  t.raises(function() nn.Sequential{ nn.Dense{ 8 } } end, "needs input_shape")
  local with_input = nn.Sequential{ nn.Input{ shape = { 2 } }, nn.Dense{ 1 } }
  t.equal(with_input.rows[2].shape, { 1 })
end)

-- ---- the course's net ---------------------------------------------------------------------------

t.test("ResNet.build is the course's: 294,766 parameters", function()
  local model = course()
  local total, trainable = model:count_params()
  t.equal({ total, trainable }, { 294766, 291176 })
  local convs, norms = 0, 0
  for _, row in ipairs(model.rows) do
    if row.class == "Conv2D" then convs = convs + 1 end
    if row.class == "BatchNormalization" then norms = norms + 1 end
  end
  t.equal({ convs, norms }, { 25, 24 })
  t.equal(model:final_activation(), "softmax")
end)

t.test("ResNet.build keeps the reg quirk", function()
  local l2 = {}
  for _, weight in ipairs(course():weights()) do l2[weight.name] = weight.l2 end
  t.equal(l2["conv2d_1/kernel"], 0.0005)
  t.equal(l2["dense_1/kernel"], 0.0005)
  t.equal(l2["conv2d_2/kernel"], 0.0001)
  t.equal(l2["conv2d_25/kernel"], 0.0001)
  t.equal(l2["dense_1/bias"], 0)
  t.close(course():penalty():item(), 0.153, 0.004)
end)

t.test("ResNet.build refuses images that are too small, and odd tables", function()
  t.raises(function()
    nn.ResNet.build(16, 16, 3, 2, { 1, 1 }, { 4, 8, 16 })
  end, "8x8 of a 16x16 image; use at least 32 pixels")
  t.raises(function()
    nn.ResNet.build(64, 64, 3, 2, { 1, 1 }, { 4, 8 })
  end, "2 stages need 3 filters")
  t.raises(function() nn.ResNet.build(64, 64, 3, 2, { 1, 1 }, { 4, 8, 18 }) end, "multiple of 4")
  t.raises(function()
    nn.ResNet.build(64, 64, 3, 2, { 1, 1 }, { 4, 8, 16 }, { regg = 1 })
  end, "did you mean 'reg'")
end)

t.test("summary names every layer, whole, with parameters and multiply-adds", function()
  local model = course()
  local text = model:summary_text()
  for _, row in ipairs(model.rows) do t.ok(text:find(row.name, 1, true), row.name) end
  t.ok(text:find("Total params: 294,766", 1, true))
  t.ok(text:find("Trainable params: 291,176", 1, true))
  t.ok(text:find("Non-trainable params: 3,590", 1, true))
  local macs = text:match("Multiply%-adds, one image forward: ([%d,]+)"):gsub(",", "")
  t.close(tonumber(macs) * 2 * 32, 3.13e9, 0.02e9) -- 3.13 GFLOP for a forward pass of 32
  t.equal(tostring(model), text)
end)

-- ---- randomness ---------------------------------------------------------------------------------

t.test("first weights: glorot, keyed by seed, model number and layer", function()
  local function first(seed, before)
    random.seed(seed)
    for _ = 1, before or 0 do small() end
    return small():weights()[1].tensor
  end
  local a = first(1)
  t.ok(a == first(1), "the same seed gives the same weights")
  t.ok(a ~= first(2), "another seed gives others")
  t.ok(a ~= first(1, 1), "the second model has others")
  local limit = math.sqrt(6 / (9 * 2 + 9 * 3))
  for _, v in ipairs(a:reshape(-1):totable()) do t.ok(math.abs(v) <= limit) end
  random.seed(1)
  random.uniform()
  t.ok(small():weights()[1].tensor == a, "a lesson's own draws do not matter")
end)

t.test("initialisers have the deviations of their names", function()
  local function deviation(initializer)
    local model = nn.Sequential{ nn.Dense{ 200, kernel_initializer = initializer,
      input_shape = { 100 } } }
    local w = model:weights()[1].tensor
    return math.sqrt(core.mean(w * w):item())
  end
  t.close(deviation("glorot_uniform"), math.sqrt(2 / 300), 0, 0.03)
  t.close(deviation("glorot_normal"), math.sqrt(2 / 300), 0, 0.03)
  t.close(deviation("he_normal"), math.sqrt(2 / 100), 0, 0.03)
  t.close(deviation("he_uniform"), math.sqrt(2 / 100), 0, 0.03)
  t.close(deviation{ "random_normal", stddev = 0.2 }, 0.2, 0, 0.03)
  t.equal(deviation "ones", 1)
  t.close(deviation{ "constant", value = 0.25 }, 0.25)
  t.raises(function() nn.Dense{ 3, kernel_initializer = "glorott" } end, "initializer")
end)

t.test("dropout draws anew at each call, and again after the same seed", function()
  local function masks()
    random.seed(5)
    local model = nn.Sequential{ nn.Dropout{ 0.5, input_shape = { 50 } } }
    local x = core.full({ 1, 50 }, 1)
    return model:forward(x, { training = true }):totable()[1],
      model:forward(x, { training = true }):totable()[1], model(x):totable()[1]
  end
  local a, b, plain = masks()
  local c = masks()
  t.equal(a, c)
  local same = true
  for i = 1, 50 do same = same and a[i] == b[i] end
  t.ok(not same)
  for i = 1, 50 do t.equal(plain[i], 1) end
end)

-- ---- running ------------------------------------------------------------------------------------

t.test("rows before grouped, depthwise, separable layers: fused is plain", function()
  local fuse = require "giemsa.nn.fuse"
  local function trained(wanted)
    local before = fuse.wanted
    fuse.wanted = wanted
    random.seed(5)
    local model = nn.Sequential{ nn.BatchNormalization{ input_shape = { 8, 8, 4 } },
      nn.Conv2D{ 8, 3, groups = 2, padding = "same", use_bias = false }, nn.BatchNormalization{},
      nn.ReLU{}, nn.DepthwiseConv2D{ 3, padding = "same", strides = 2 }, nn.BatchNormalization{},
      nn.Activation{ "relu" }, nn.SeparableConv2D{ 8, 3, padding = "same" },
      nn.BatchNormalization{}, nn.ReLU{}, nn.Conv2D{ 6, 1, groups = 2 }, nn.Flatten{},
      nn.Dense{ 2 } }
    local x = core.normal({ 5, 8, 8, 4 }, 0, 1, 1, 0, 0, 0)
    local results = { model:forward(x, { training = true }) }
    local loss = giemsa.ops.mean(giemsa.ops.square(results[1]))
    loss:backward()
    for _, weight in ipairs(model:weights()) do
      results[#results + 1] = weight.trainable and weight.tensor.grad or weight.tensor
    end
    results[#results + 1] = model(x)
    fuse.wanted = before
    return results
  end
  local plain, fused = trained(false), trained(true)
  t.equal(#fused, #plain)
  for i, want in ipairs(plain) do t.close(fused[i], want, 1e-5, 1e-4, "value " .. i) end
end)

t.test("a fused batch norm and ReLU gives what the two give", function()
  random.seed(3)
  local model = small()
  local x = core.uniform({ 4, 6, 6, 2 }, -1, 1, 9, 9, 9, 9)
  local plain, kept = model:forward(x,
    { training = true, keep = { "batch_normalization_1", "activation_1" } })
  random.seed(3)
  local fused = small():forward(x, { training = true })
  t.close(fused, plain, 1e-6)
  t.equal(kept.activation_1.shape, { 4, 6, 6, 3 })
end)

t.test("inference gives back memory as it goes, also round layers that pass values on", function()
  local x = nn.Input{ shape = { 8, 8, 4 } }
  local a = nn.Conv2D{ 4, 3, padding = "same" }(x)
  local b = nn.Dropout{ 0.3 }(a)
  local c = nn.add{ nn.Lambda(function(v) return v end)(b), a }
  local d = nn.add{ nn.ReLU{}(c), nn.Activation{ "linear" }(c) }
  local model = nn.Model(x, nn.Flatten{}(d))
  local input = core.uniform({ 2, 8, 8, 4 }, -1, 1, 1, 1, 1, 1)
  local want = model(input)
  local got = grad.no_grad(model.forward, model, input)
  t.ok(want == got)
  t.ok(grad.no_grad(model.forward, model, input) == got,
    "the input and the weights are still there")
end)

t.test("logits stop before a final softmax, wherever it stands", function()
  local x = core.uniform({ 3, 6, 6, 2 }, -1, 1, 1, 1, 1, 1)
  for _, last in ipairs{ function(y) return nn.Dense{ 2, activation = "softmax" }(y) end,
    function(y) return nn.Activation{ "softmax" }(nn.Dense{ 2 }(y)) end,
      function(y) return nn.Softmax{}(nn.Dense{ 2 }(y)) end } do
    local input = nn.Input{ shape = { 6, 6, 2 } }
    local model = nn.Model(input, last(nn.Flatten{}(input)))
    t.equal(model:final_activation(), "softmax")
    t.close(giemsa.ops.softmax(model:forward(x, { logits = true })), model(x), 1e-7)
  end
end)

t.test("weights are listed, counted, copied and set", function()
  local model = small()
  local names = {}
  for i, weight in ipairs(model:weights()) do names[i] = weight.name end
  t.equal(names, { "conv2d_1/kernel", "conv2d_1/bias", "batch_normalization_1/gamma",
    "batch_normalization_1/beta",
    "batch_normalization_1/moving_mean", "batch_normalization_1/moving_variance", "dense_1/kernel",
      "dense_1/bias" })
  local copies = model:get_weights()
  model:weights()[1].tensor:fill(0)
  model:set_weights(copies)
  t.ok(model:weights()[1].tensor == copies[1])
  t.raises(function()
    model:set_weights{ core.zeros{ 1 } }
  end, "'conv2d_1/kernel' has shape %(3, 3, 2, 3%), got %(1,%)")
end)

t.test("frozen layers are not trained", function()
  local model = small()
  model:set_trainable(false, "^conv2d")
  local _, trainable = model:count_params()
  t.equal(trainable, 6 + 108 * 2 + 2)
  t.ok(model:summary_text():find("(frozen)", 1, true))
  model:set_trainable(true)
  t.equal(select(2, model:count_params()), 57 + 6 + 108 * 2 + 2)
  t.raises(function() model:set_trainable(false, "nothing") end, "no layer name matches")
end)

-- ---- configurations -----------------------------------------------------------------------------

t.test("a configuration makes the same net again, through JSON", function()
  local json = require "dkjson"
  local model = course()
  local config = json.decode(json.encode(model:get_config()))
  local again = nn.Model.from_config(config)
  t.equal(names_of(again), names_of(model))
  t.equal(again:count_params(), 294766)
  again:set_weights(model:get_weights())
  local x = core.uniform({ 2, 64, 64, 3 }, 0, 1, 1, 1, 1, 1)
  t.ok(grad.no_grad(again.forward, again, x) == grad.no_grad(model.forward, model, x))
  t.equal(json.encode(again:get_config(), { keyorder = { "class" } }) ~= nil, true)
end)

t.test("a model with a free function has no configuration, and says why", function()
  local x = nn.Input{ shape = { 3 } }
  local model = nn.Model(x, nn.Lambda(function(v) return v end)(x))
  t.raises(function() model:get_config() end, "layer 2 'lambda_1' %(Lambda%) holds a Lua function")
  local other = nn.Model(x, nn.Dense{ 2, activation = function(v) return v end }(x))
  t.raises(function() other:get_config() end, "holds a Lua function")
end)

t.test("from_config refuses what it does not know", function()
  t.raises(function() nn.Model.from_config{} end, "expected a table with layers")
  t.raises(function()
    nn.Model.from_config{ layers = { { class = "Conv2d" } } }
  end, "unknown class 'Conv2d' %(did you mean 'Conv2D'")
  t.raises(function()
    nn.Model.from_config{ layers = { { class = "Flatten", name = "f", inputs = {} } } }
  end, "layer 1 'f': takes one of the rows above it as input, got 0")
  t.raises(function() nn.Model.from_config{ layers = { 3 } } end, "layer 1 is a number")
  t.raises(function()
    nn.Model.from_config{ layers = { { class = "ReLU", name = "r", inputs = { 4 } } } }
  end, "rows above it")
  t.raises(function()
    nn.Model.from_config{ layers = { { class = "Dense", name = "d", config = { unit = 3 } } } }
  end, "did you mean 'units'")
end)

-- ---- errors -------------------------------------------------------------------------------------

t.test("mistakes in building are named at the caller's line", function()
  local x = nn.Input{ shape = { 8, 8, 3 } }
  local message = t.raises(function()
    nn.Conv2D{ 4, 3, paddding = "same" }
  end, "Conv2D: unknown option 'paddding' %(did you mean 'padding'")
  t.ok(message:find("tests/nn.lua", 1, true), message)
  message = t.raises(function()
    nn.Conv2D{ 4, 9 }(x)
  end, "Conv2D: its 9x9 window does not fit into the 8x8 map")
  t.ok(message:find("tests/nn.lua", 1, true), message)
  t.raises(function()
    nn.Conv2D{ 4, 3, padding = "full" }
  end, 'padding must be "same" or "valid", got \'full\'')
  t.raises(function() nn.Conv2D{ 4, 3, activation = "rellu" } end, "activation must be")
  t.raises(function() nn.Conv2D{ 4, 3, 1, 1 } end, "takes only filters, kernel_size by position")
  t.raises(function() nn.Conv2D{ 4 } end, "kernel_size must be a whole number from 1 up, got nil")
  t.raises(function() nn.Conv2D{ "4", 3 } end, "option 'filters' must be integer")
  t.raises(function()
    nn.Conv2D{ 4, 3, name = "stem" }(nn.Flatten{}(x))
  end, "Conv2D 'stem': the input must be %(height, width, channels%), got %(192,%)")
  t.raises(function() nn.Conv2D{ 4, 3, kernel_regularizer = 0.1 } end, "kernel_regularizer")
  t.raises(function() nn.Conv2D{ 10, 3, groups = 4 } end,
    "Conv2D: 10 filters do not divide into 4 groups")
  t.raises(function() nn.Conv2D{ 8, 3, groups = 4 }(nn.Input{ 8, 8, 6 }) end,
    "Conv2D: 6 channels of the input do not divide into 4 groups")
  t.raises(function() nn.DepthwiseConv2D{ 3, kernel_initializer = "zeros" } end,
    "DepthwiseConv2D: unknown option 'kernel_initializer'")
  t.raises(function() nn.DepthwiseConv2D{ 3, depth_multiplier = 0 } end,
    "depth_multiplier must be a whole number from 1 up, got 0")
  t.raises(function() nn.DepthwiseConv2D{ 9 }(nn.Input{ 8, 8, 6 }) end,
    "DepthwiseConv2D: its 9x9 window does not fit into the 8x8 map")
  t.raises(function()
    nn.add{ x, nn.Conv2D{ 4, 1 }(x) }
  end, "adds maps of one shape, got %(8, 8, 3%) and %(8, 8, 4%)")
  t.raises(function() nn.concatenate{ x, nn.MaxPooling2D{}(x) } end, "differ in more than axis 4")
  t.raises(function() nn.Reshape{ { 5, 5 } }(x) end, "does not hold the 192 values")
  t.raises(function() nn.BatchNormalization{ axis = 1 }(x) end, "axis must be the last one")
  t.raises(function() nn.Dropout{ 1 } end, "rate must be")
  t.raises(function() nn.Add{}(x) end, "at least two layers")
  t.raises(function() nn.Dense{ 3 }(core.zeros{ 3 }) end, "got a tensor; build an nn.Model first")
  t.raises(function() nn.Conv2d{ 3 } end, "nn has nothing named 'Conv2d' %(did you mean 'Conv2D'")
  t.raises(function() nn.l2(-1) end, "l2: the factor")
end)

t.test("mistakes in models are named", function()
  local x = nn.Input{ shape = { 4 } }
  t.raises(function() nn.Model(x, nn.Dense{ 3 }) end, "nn.Dense{...}%(x%)")
  t.raises(function()
    nn.Model(nn.Input{ shape = { 4 } }, nn.Dense{ 3 }(x))
  end, "not among the inputs")
  t.raises(function()
    nn.Model({ x, nn.Input{ shape = { 4 } } }, nn.Dense{ 3 }(x))
  end, "leads to none")
  t.raises(function() nn.Model(x) end, "needs inputs and outputs")
  t.raises(function()
    nn.Model(x, nn.Dense{ 3, name = "a" }(nn.Dense{ 3, name = "a" }(x)))
  end, "two layers are named 'a'")
  local layer = nn.Dense{ 3 }
  layer(x)
  t.raises(function() layer(x) end, "already stands in a graph")
  t.raises(function()
    small():get_layer("conv2d_2")
  end, "no layer 'conv2d_2' %(did you mean 'conv2d_1'")
end)

t.test("a wrong input is told with both shapes; an error inside says in which layer", function()
  local model = small()
  t.raises(function()
    model(core.zeros{ 1, 7, 6, 2 })
  end, "takes input %(None, 6, 6, 2%), got %(1, 7, 6, 2%)")
  t.raises(function() model(core.zeros{ 6, 6, 2 }) end, "x:reshape%(1, ...%)")
  t.raises(function() model(3) end, "needs a tensor, got number")
  t.raises(function()
    model:forward(core.zeros{ 1, 6, 6, 2 }, { trainig = true })
  end, "did you mean 'training'")
  local x = nn.Input{ shape = { 4 } }
  local broken = nn.Model(x, nn.Lambda{ fn = function(v) return v + core.zeros{ 3 } end,
    output_shape = { 4 } }(nn.Dense{ 4 }(x)))
  t.raises(function()
    broken(core.zeros{ 2, 4 })
  end, "layer 3 'lambda_1' %(Lambda%), input %(None, 4%)")
end)

t.done()
