--- The nets of the zoo other than the course's own (that one stands in tests/nn.lua): sizes against
--- the published ones, gradients at tiny sizes, and whether they learn.
local t = require "tests.harness"
local giemsa = require "giemsa"
local core = require "giemsa.core"
local grad, nn, optim, random = giemsa.grad, giemsa.nn, giemsa.optim, giemsa.random

local function count(model, class)
  local n = 0
  for _, row in ipairs(model.rows) do if row.class == class then n = n + 1 end end
  return n
end

local function macs(model)
  return tonumber((model:summary_text():match("one image forward: ([%d,]+)"):gsub(",", "")))
end

-- Gradients of input and all weights in training mode. Deep nets have kinks (ReLU, max) everywhere,
-- hence the short step; and with some first weights a gradient is truly 0 (a shift that the next
-- batch norm takes back), where differences give only rounding, hence the seeds.
local function check_gradients(model, x)
  local inputs = { x }
  for _, weight in ipairs(model:trainable()) do inputs[#inputs + 1] = weight.tensor end
  local function f(input) return (model:forward(input, { training = true, logits = true })) end
  grad.check(f, inputs, { eps = 0.0005, tol = 0.02, samples = 12 })
end

-- ---- ResNet-50 ----------------------------------------------------------------------------------

t.test("ResNet50 has the published size: 25,557,032 parameters, 4.1 G multiply-adds", function()
  local model = nn.ResNet50{}
  local total, trainable = model:count_params()
  t.equal({ total, trainable }, { 25610152, 25557032 }) -- 53,120 are moving statistics
  t.equal({ count(model, "Conv2D"), count(model, "BatchNormalization") }, { 53, 53 })
  t.equal(macs(model), 4089184256)
  t.equal(model.rows[#model.rows].shape, { 1000 })
end)

t.test("ResNet50's maps are halved five times", function()
  local model = nn.ResNet50{ input_shape = { 64, 96, 1 }, width = 4, include_top = false }
  t.equal(model.rows[#model.rows].shape, { 2, 3, 128 })
  t.equal(model(core.uniform({ 2, 64, 96, 1 }, 0, 1, 1, 0, 0, 0)).shape, { 2, 2, 3, 128 })
end)

t.test("ResNet50 takes other depths: ResNet-101 is {3, 4, 23, 3}", function()
  local model = nn.ResNet50{ input_shape = { 32, 32, 3 }, classes = 2, width = 4,
    blocks = { 3, 4, 23, 3 } }
  t.equal(count(model, "Conv2D"), 100 + 4) -- and the four shortcuts; the Dense is the 101st
  t.equal(model(core.zeros{ 1, 32, 32, 3 }).shape, { 1, 2 })
end)

t.test("ResNet50's strided windows are padded alike on both sides", function()
  local model = nn.ResNet50{ input_shape = { 8, 8, 1 }, classes = 2, width = 1, blocks = { 1 } }
  local stem = model:get_layer("conv2d_1")
  stem.weights.kernel:fill(1)
  local _, kept = model:forward(core.full({ 1, 8, 8, 1 }, 1), { keep = { "conv2d_1" } })
  local sums = kept.conv2d_1:reshape({ 4, 4 }):totable()
  t.equal(sums[1], { 16, 24, 28, 20 }) -- 4, 6, 7 and 5 of 7 columns lie inside, and 4 rows
end)

t.test("ResNet50's gradients are those of differences", function()
  random.seed(2)
  local model = nn.ResNet50{ input_shape = { 16, 16, 2 }, classes = 3, width = 2,
    blocks = { 1, 1 } }
  check_gradients(model, core.normal({ 4, 16, 16, 2 }, 0, 1, 5, 0, 0, 0))
end)

-- ---- U-Net --------------------------------------------------------------------------------------

t.test("UNet has the usual sizes", function()
  local function params(opts) return select(2, nn.UNet(opts):count_params()) end
  t.equal(params{}, 31031745)
  t.equal(params{ batch_norm = true }, 31037633)
  t.equal(params{ width = 2, depth = 1, input_shape = { 4, 4, 1 }, up = "upsample" },
    20 + 38 + 76 + 148 + 34 + 74 + 38 + 3)
end)

t.test("UNet gives a map of the picture's size, one for each class", function()
  local x = core.uniform({ 1, 16, 24, 3 }, 0, 1, 1, 0, 0, 0)
  for _, up in ipairs{ "transpose", "upsample" } do
    local one = nn.UNet{ input_shape = { 16, 24, 3 }, width = 2, depth = 3, up = up }
    t.equal(one(x).shape, { 1, 16, 24, 1 })
    t.equal(one:final_activation(), "sigmoid")
    local three = nn.UNet{ input_shape = { 16, 24, 3 }, width = 2, depth = 3, up = up, classes = 3,
      batch_norm = true }
    local p = three(x)
    t.equal(p.shape, { 1, 16, 24, 3 })
    t.close(p:sum(4), core.full({ 1, 16, 24 }, 1), 1e-5)
  end
end)

t.test("UNet's gradients are those of differences", function()
  local kinds = { { up = "transpose", depth = 2 },
    { up = "upsample", depth = 1, batch_norm = true } }
  for i, opts in ipairs(kinds) do
    random.seed(i)
    opts.input_shape, opts.width, opts.classes = { 8, 8, 2 }, 2, 2
    check_gradients(nn.UNet(opts), core.normal({ 2, 8, 8, 2 }, 0, 1, 5, 0, 0, 0))
  end
end)

-- Discs, and which pixels they cover.
local function discs(n, side)
  local shape = { n, side, side, 1 }
  local x, y = core.uniform(shape, 0, 0.3, 7, 0, 0, 0), core.zeros(shape)
  for i = 1, n do
    local row, column, radius = 4 + 3 * i % 8, 4 + 5 * i % 8, 2 + i % 3
    for r = 1, side do
      for c = 1, side do
        if (r - row) ^ 2 + (c - column) ^ 2 <= radius ^ 2 then
          x[i][r][c][1], y[i][r][c][1] = x[i][r][c][1] + 0.5, 1
        end
      end
    end
  end
  return x, y
end

t.test("UNet learns a handful of discs by heart", function()
  random.seed(1)
  local x, y = discs(4, 16)
  local model = nn.UNet{ input_shape = { 16, 16, 1 }, width = 8, depth = 2, batch_norm = true }
  model:compile{ loss = "binary_crossentropy", metrics = { "accuracy" },
    optimizer = optim.Adam{ lr = 0.01 } }
  local loss, accuracy
  for _ = 1, 80 do loss, accuracy = model:train_on_batch(x, y) end
  t.ok(loss < 0.02, "the loss is " .. loss)
  t.ok(accuracy > 0.998, "the accuracy is " .. accuracy)
end)

t.test("UNet says which side does not halve, and what it does not know", function()
  t.raises(nn.UNet, "the width must be a multiple of 16 %(it is halved 4 times%), got 250",
    { input_shape = { 256, 250, 3 } })
  t.raises(nn.UNet, "the height must be a multiple of 16", { input_shape = { 0, 256, 3 } })
  t.raises(nn.UNet, "input_shape must be {height, width, channels}", { input_shape = { 256, 256 } })
  t.raises(nn.UNet, "up must be one of transpose, upsample; got 'bilinear'", { up = "bilinear" })
  t.raises(nn.UNet, "depth must be 1 or more", { depth = 0 })
  t.raises(nn.UNet, "unknown option 'witdh' %(did you mean 'width'", { witdh = 32 })
  t.raises(nn.ResNet50, "unknown option 'class' %(did you mean 'classes'", { class = 10 })
end)

t.done()
