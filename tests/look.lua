--- Calls with one picture each: show_batch, show_augment, lr_find, overfit_one, top_losses, gradcam;
--- and the guards of a fair judgement.
local t = require "tests.harness"
local core = require "giemsa.core"
local giemsa = require "giemsa"
local grad, image, nn, optim, random = giemsa.grad, giemsa.image, giemsa.nn, giemsa.optim,
  giemsa.random

-- A message that names a line of this file.
local function raises(f, pattern, ...)
  local given = table.pack(...)
  local message = t.raises(function()
    local result = f(table.unpack(given, 1, given.n))
    return result
  end, pattern)
  t.ok(message:find("tests/look.lua:%d+: "), message)
end

local function gnuplot_is_here() return os.execute("command -v gnuplot >/dev/null") == true end

local function draws(figure)
  if not gnuplot_is_here() then t.skip("gnuplot is not installed") end
  local picture = image.decode(figure:png())
  t.equal({ picture.width, picture.height }, { figure.width, figure.height })
  return picture
end

-- The left or the right half of a picture is brighter.
local function halves(n, seed)
  local x, rows = core.uniform({ n, 8, 8, 1 }, 0, 0.4, seed, 1, 0, 0), {}
  for i = 1, n do
    local side = i % 2
    for row = 1, 8 do
      for column = 1, 4 do x[i][row][column + 4 * side]:fill(0.9) end
    end
    rows[i] = side == 0 and { 1, 0 } or { 0, 1 }
  end
  return x, core.from_table(rows)
end

local function compiled(layers, opts)
  random.seed(4)
  local model = nn.Sequential(layers)
  opts = opts or {}
  return model:compile{ loss = opts.loss or "categorical_crossentropy", metrics = { "accuracy" },
    optimizer = opts.optimizer or optim.SGD{ lr = 0.1, momentum = 0.9 } }
end

local function small_net(opts)
  return compiled({ nn.Conv2D{ 3, 3, padding = "same", input_shape = { 8, 8, 1 },
    kernel_regularizer = nn.l2(0.01) }, nn.BatchNormalization{}, nn.Activation{ "relu" },
    nn.MaxPooling2D{ 2 }, nn.Flatten{}, nn.Dropout{ 0.1 }, nn.Dense{ 2, activation = "softmax" } },
    opts)
end

local function linear_net()
  return compiled{ nn.Flatten{ input_shape = { 8, 8, 3 } }, nn.Dense{ 2, activation = "softmax" } }
end

-- Class folders with a picture of one grey each; names are of patients.
local function folders(names)
  local root = t.tmpdir() .. "/" .. random.consumer()
  for _, name in ipairs(names) do
    os.execute(("mkdir -p '%s/%s'"):format(root, name:match("^(.*)/")))
    local grey = 20 * #name % 256
    image.new(12, 8, { color = { grey, 255 - grey, 128 } }):save(root .. "/" .. name)
  end
  return root
end

local CELLS = { "Parasitized/C1P2_cell_1.png", "Parasitized/C3P4ThinF_cell_23.png",
  "Uninfected/C1P2_cell_456.png", "Uninfected/C77_7.png" }

local function flow(root, opts, recipe)
  recipe = recipe or {}
  recipe.rescale = 1 / 255
  local o = { target_size = { 8, 8 }, verbose = false, batch_size = 3, shuffle = false }
  for key, value in pairs(opts or {}) do o[key] = value end
  return giemsa.data.ImageDataGenerator(recipe):flow_from_directory(root, o)
end

-- What f writes to stderr.
local function heard(f, ...)
  local before, said = io.stderr, {}
  io.stderr = { write = function(_, ...) said[#said + 1] = table.concat{ ... } end }
  local ok, problem = pcall(f, ...)
  io.stderr = before
  if not ok then error(problem, 0) end
  return table.concat(said)
end

-- ---- show_batch, show_augment

t.test("show_batch draws the batch with its labels", function()
  local source = flow(folders(CELLS), { batch_size = 4 })
  local figure = giemsa.show_batch(source)
  for _, word in ipairs{ "Parasitized", "Uninfected", "4 of 4 pictures",
    "values 0.1098 to 0.8902" } do
    t.ok(figure:script():find(word, 1, true), word .. " is missing: " .. figure:script())
  end
  for class, name in ipairs(source.class_names) do
    local color = giemsa.plot.colors[giemsa.plot.class_colors[class]]
    t.ok(figure:script():find("'" .. name .. "'[^\n]*" .. color), name .. " is not drawn in " .. color)
  end
  draws(figure)
  t.equal(source.passes, 0, "a pass was used up")
  t.ok(giemsa.show_batch(source, { n = 2 }):script():find("2 of 4 pictures", 1, true))
  local x, y = halves(6, 1)
  t.ok(giemsa.show_batch(x, y, { class_names = { "left", "right" } }):script():find("'right'", 1,
    true))
  t.ok(giemsa.show_batch{ x, y }:script():find("class 2", 1, true))
  raises(giemsa.show_batch, "show_batch: expected pictures %(n, height",
    core.zeros{ 4, 3 })
end)

t.test("colours are those of the file, whatever preprocessing did to them", function()
  local root = folders(CELLS)
  local want = image.load(root .. "/" .. CELLS[1], { target_size = { 8, 8 } }):to_tensor()
  for _, recipe in ipairs{ {}, { featurewise_std_normalization = true } } do
    recipe.rescale = 1 / 255
    local generator = giemsa.data.ImageDataGenerator(recipe)
    if recipe.featurewise_std_normalization then
      generator:fit(core.uniform({ 9, 8, 8, 3 }, 0, 255, 1, 1, 1, 1))
    end
    local source = generator:flow_from_directory(root, { target_size = { 8, 8 }, verbose = false,
      shuffle = false })
    local shown = require("giemsa.look").pictures_of(source:batch(1), source.preprocessing)[1]
    t.close(shown:to_tensor(), want, 1)
  end
end)

t.test("show_augment shows what the epochs of a training get", function()
  local source = flow(folders(CELLS), { seed = 3 }, { rotation_range = 30, horizontal_flip = true })
  local figure = giemsa.show_augment(source, { picture = 2, n = 3 })
  local script = figure:script()
  for _, word in ipairs{ "C3P4ThinF_cell_23.png", "as it is", "epoch 3", "rotation_range = 30",
    "horizontal_flip" } do
    t.ok(script:find(word, 1, true), word .. " is missing")
  end
  t.ok(not script:find("epoch 4", 1, true))
  draws(figure)
  local generator = giemsa.data.ImageDataGenerator{ zoom_range = 0.2 }
  draws(giemsa.show_augment(image.new(9, 7, { color = 90 }), generator, { n = 2 }))
  t.equal(generator.drawn, 0, "a draw of the generator was used up")
  t.ok(giemsa.show_augment(flow(folders(CELLS))):script():find("varies nothing", 1, true))
  raises(giemsa.show_augment, "show_augment: there is no picture 9, the source has 4",
    source, { picture = 9 })
  raises(giemsa.show_augment, "give a generator, or a picture and the ImageDataGenerator",
    image.new(3, 3))
end)

-- ---- lr_find, overfit_one

local function state_of(model)
  local out = {}
  for i, weight in ipairs(model:weights()) do out[i] = core.to_bytes(weight.tensor) end
  for name, slot in pairs(model.optimizer.slots) do out[#out + 1] = name .. core.to_bytes(slot) end
  table.sort(out)
  local stream = random.get_state()
  return table.concat(out) .. table.concat({ model.optimizer.lr, model.optimizer.iterations,
    model.draws, model.epoch, stream.consumers, stream.arrays, stream.position }, " ")
end

t.test("lr_find suggests a rate that learns, and leaves no trace", function()
  local x, y = halves(64, 1)
  local model = small_net()
  model:fit(x, y, { epochs = 1, verbose = 0 })
  local before = state_of(model)
  local figure = giemsa.lr_find(model, { x, y }, { batch_size = 16, verbose = 0 })
  t.ok(state_of(model) == before, "the model was changed")
  t.ok(figure.suggestion > 1e-4 and figure.suggestion < 3, tostring(figure.suggestion))
  t.equal(tostring(figure), ("learning rate: try %.2g"):format(figure.suggestion))
  t.equal(#figure.rates, #figure.losses)
  t.close(figure.rates[1], 1e-5, 0, 1e-9)
  draws(figure)
  random.seed(9)
  local fresh = small_net{ optimizer = optim.SGD{ lr = figure.suggestion, momentum = 0.9 } }
  local H = fresh:fit(x, y, { epochs = 12, batch_size = 16, verbose = 0 })
  t.ok(H.accuracy[12] > 0.9, "accuracy " .. H.accuracy[12])
end)

t.test("lr_find's slope is that of the curve", function()
  -- A net of one weight on 0.5 (w - 1)^2 with a rate that grows: falls, then runs away.
  local x, y = core.full({ 1, 1 }, 1), core.full({ 1, 1 }, 1)
  local model = nn.Sequential{ nn.Dense{ 1, use_bias = false, input_shape = { 1 } } }
  model:compile{ loss = "mse", optimizer = optim.SGD{} }
  local figure = giemsa.lr_find(model, { x, y }, { verbose = 0, high = 100 })
  local w, losses = model:weights()[1].tensor:item(), {}
  for i, rate in ipairs(figure.rates) do
    losses[i] = (w - 1) ^ 2
    w = w - rate * 2 * (w - 1)
  end
  -- where the loss is nothing but float32's last bits, those decide
  t.close({ table.unpack(figure.losses, 1, 70) }, { table.unpack(losses, 1, 70) }, 1e-5, 1e-3)
  t.ok(figure.suggestion < 1, "past 1 the loss grows: " .. figure.suggestion)
end)

t.test("overfit_one tells a net that learns from one that cannot", function()
  local x, y = halves(16, 1)
  local model = small_net()
  local before = state_of(model)
  local figure = giemsa.overfit_one(model, { x, y }, { verbose = 0 })
  t.ok(figure.learns and tostring(figure):find("^it learns: loss"), tostring(figure))
  t.ok(figure.losses[#figure.losses] < 0.1 * figure.losses[1])
  t.ok(state_of(model) == before, "the model was changed")
  draws(figure)

  local frozen = small_net()
  frozen:set_trainable(false)
  frozen:set_trainable(true, "conv2d")
  local stuck = giemsa.overfit_one(small_net{ optimizer = optim.SGD{ lr = 1e-7 } }, x, y,
    { steps = 10, verbose = 0 })
  t.ok(not stuck.learns and tostring(stuck):find("does not learn"), tostring(stuck))
  local wild = giemsa.overfit_one(compiled({ nn.Dense{ 1, input_shape = { 2 } } }, { loss = "mse",
    optimizer = optim.SGD{ lr = 1e12 } }), core.full({ 4, 2 }, 1), core.full({ 4, 1 }, 1),
    { verbose = 0 })
  t.ok(not wild.learns and tostring(wild):find("not a number from step %d+ on: .* too large"),
    tostring(wild))
end)

t.test("the model is put back also after an error", function()
  local x, y = halves(8, 1)
  local model = small_net()
  local before, batches = state_of(model), 0
  local source = { n = 8, batch_size = 4, batches = function()
    return function()
      batches = batches + 1
      if batches == 3 then error("the disk is gone", 0) end
      return x:rows(1, 4), y:rows(1, 4)
    end
  end }
  setmetatable(source, { __len = function() return 2 end })
  t.raises(giemsa.lr_find, "the disk is gone", model, source, { verbose = 0 })
  t.ok(state_of(model) == before, "the model was changed")
  t.ok(grad.enabled())
  raises(giemsa.lr_find, "lr_find: compile the model first",
    nn.Sequential{ nn.Dense{ 1, input_shape = { 2 } } }, { x, y })
  raises(giemsa.lr_find, "unknown option 'stepz'", model, { x, y }, { stepz = 1 })
end)

-- ---- top_losses, predict's details

t.test("top_losses finds the largest losses, with their files", function()
  local root = folders(CELLS)
  local source = flow(root)
  local model = linear_net()
  local figure = giemsa.top_losses(model, source, { n = 3 })
  local p = model:predict(flow(root)):totable()
  local want = {}
  for i, row in ipairs(p) do
    local class = i <= 2 and 1 or 2
    want[i] = { loss = -math.log(row[class]), file = CELLS[i], index = i, class = class,
      predicted = row[1] >= row[2] and 1 or 2, probability = math.max(row[1], row[2]) }
  end
  table.sort(want, function(a, b) return a.loss > b.loss end)
  t.equal(#figure.rows, 3)
  for i, row in ipairs(figure.rows) do
    for _, key in ipairs{ "file", "index", "class", "predicted" } do
      t.equal(row[key], want[i][key], key)
    end
    t.close({ row.loss, row.probability }, { want[i].loss, want[i].probability }, 1e-5)
    t.equal(row.path, root .. "/" .. row.file)
  end
  draws(figure)
  draws(giemsa.top_losses(small_net(), { halves(6, 1) }, { n = 2 }))
  raises(giemsa.top_losses, "top_losses: this source shuffles", model,
    flow(root, { shuffle = true }))
end)

t.test("predict tells index, file and labels where it is asked", function()
  local root = folders(CELLS)
  local model = nn.Sequential{ nn.Flatten{ input_shape = { 8, 8, 3 } },
    nn.Dense{ 1, activation = "sigmoid" } }
  model:compile{ loss = "binary_crossentropy", optimizer = "sgd" }
  local p, rows = model:predict(flow(root, { class_mode = "binary" }), { details = true })
  for i, row in ipairs(rows) do
    local second = p[i][1]
    t.equal({ row.index, row.file, row.label },
      { i, CELLS[i], i <= 2 and "Parasitized" or "Uninfected" })
    t.equal(row.predicted, second > 0.5 and 2 or 1)
    t.close(row.probabilities, { 1 - second, second }, 1e-12)
  end
  t.equal(select("#", model:predict(flow(root))), 1)
end)

-- ---- gradcam

-- The definition by plain loops: A and dscore as tables (h, w, c).
local function naive_map(A, dscore)
  local h, w, c = #A, #A[1], #A[1][1]
  local map, largest = {}, 0
  for i = 1, h do
    map[i] = {}
    for j = 1, w do
      local sum = 0
      for k = 1, c do
        local alpha = 0
        for a = 1, h do for b = 1, w do alpha = alpha + dscore[a][b][k] end end
        sum = sum + alpha / (h * w) * A[i][j][k]
      end
      map[i][j] = math.max(0, sum)
      largest = math.max(largest, map[i][j])
    end
  end
  for i = 1, h do for j = 1, w do map[i][j] = map[i][j] / math.max(largest, 1e-20) end end
  return map
end

-- d logit / d A by central differences, through the rows behind `name` (dropout does nothing here).
local function differences(model, name, x, class)
  local plan = require "giemsa.nn.plan"
  local row = model:get_layer(name)
  local _, kept = grad.no_grad(model.forward, model, x, { logits = true, keep = { name } })
  local steps, tail = plan.of(model, true, { row.index }), {}
  for _, step in ipairs(steps.list) do
    if step.row.index > row.index then tail[#tail + 1] = step end
  end
  local A = kept[name]
  local function logit(changed)
    local values = { [row.index] = changed }
    grad.no_grad(plan.run, model, tail, values, false)
    return values[steps.out[1]][1][class]
  end
  local flat, out, EPS = A:reshape(-1), {}, 1e-2
  for i = 1, A.size do
    local before = flat[i]
    flat[i] = before + EPS
    local above = logit(A:copy())
    flat[i] = before - EPS
    out[i] = (above - logit(A:copy())) / (2 * EPS)
    flat[i] = before
  end
  return A[1]:totable(), core.from_table(out):reshape(A[1].shape):totable()
end

local function check_cam(model, x, class, layer)
  local figure = giemsa.gradcam(model, x, { class = class, layer = layer })
  local A, d = differences(model, figure.layer, x:reshape{ 1, table.unpack(x.shape) }, class)
  t.close(figure.maps[1], naive_map(A, d), 2e-3)
  return figure
end

t.test("gradcam is the definition, by differences, for nets of several shapes", function()
  local x = core.uniform({ 8, 8, 1 }, 0, 1, 3, 1, 1, 1)
  check_cam(small_net(), x, 1)
  check_cam(small_net(), x, 2)
  local pooled = compiled{ nn.Conv2D{ 4, 3, input_shape = { 8, 8, 1 }, activation = "tanh" },
    nn.Conv2D{ 5, 3, strides = 2, activation = "relu" }, nn.GlobalAveragePooling2D{},
    nn.Dense{ 3, activation = "softmax" } }
  local figure = check_cam(pooled, x, 3)
  t.equal({ figure.layer, figure.maps.shape }, { "conv2d_2", { 1, 2, 2 } })
  t.equal(check_cam(pooled, x, 2, "conv2d_1").maps.shape, { 1, 6, 6 })

  random.seed(2)
  local input = nn.Input{ shape = { 8, 8, 1 } }
  local a = nn.Conv2D{ 3, 3, padding = "same" }(nn.BatchNormalization{}(input))
  local b = nn.Conv2D{ 3, 1, activation = "relu" }(input)
  local h = nn.Activation{ "relu" }(nn.BatchNormalization{}(nn.add{ a, b }))
  local forked = nn.Model(input, nn.Dense{ 2, activation = "softmax" }(nn.Flatten{}(
    nn.AveragePooling2D{ 4 }(h))))
  forked.class_names = { "a", "b" }
  local grid = check_cam(forked, x, 2)
  t.equal(grid.layer, "activation_1")
  draws(grid)
end)

t.test("a sigmoid's output speaks for class 2, against class 1; masks have maps", function()
  random.seed(1)
  local x = core.uniform({ 2, 6, 6, 1 }, 0, 1, 3, 1, 1, 1)
  local model = nn.Sequential{ nn.Conv2D{ 3, 3, input_shape = { 6, 6, 1 }, activation = "relu" },
    nn.GlobalAveragePooling2D{}, nn.Dense{ 1, activation = "sigmoid" } }
  local kernel = model:get_layer("dense_1").weights.kernel
  local _, kept = model:forward(x, { keep = { "conv2d_1" } })
  for class = 1, 2 do
    local figure = giemsa.gradcam(model, x, { class = class })
    for n = 1, 2 do
      local A, d = kept.conv2d_1[n]:totable(), {}
      for i = 1, 4 do
        d[i] = {}
        for j = 1, 4 do
          d[i][j] = {}
          for k = 1, 3 do d[i][j][k] = (class == 2 and 1 or -1) * kernel[k][1] / 16 end
        end
      end
      t.close(figure.maps[n], naive_map(A, d), 1e-5)
    end
  end
  local masks = nn.Sequential{ nn.Conv2D{ 3, 3, padding = "same", input_shape = { 6, 6, 1 } },
    nn.Conv2D{ 2, 1 }, nn.Softmax{} }
  t.equal(giemsa.gradcam(masks, x).maps.shape, { 2, 6, 6 })
end)

t.test("gradcam leaves no trace and works on a frozen net", function()
  local model, x = small_net(), core.uniform({ 8, 8, 1 }, 0, 1, 3, 1, 1, 1)
  local want = giemsa.gradcam(model, x).maps
  model:set_trainable(false)
  local before = state_of(model)
  t.ok(giemsa.gradcam(model, x).maps == want)
  t.ok(grad.no_grad(giemsa.gradcam, model, x).maps == want)
  t.ok(state_of(model) == before, "the model was changed")
  for _, weight in ipairs(model:weights()) do
    t.ok(not weight.tensor.requires_grad and not weight.tensor.grad, weight.name)
  end
end)

t.test("the heat stands where the map is high", function()
  -- One channel that answers to a bright spot, and a class that likes it.
  local model = nn.Sequential{ nn.Conv2D{ 1, 1, input_shape = { 8, 8, 1 }, use_bias = false },
    nn.Activation{ "relu" }, nn.GlobalAveragePooling2D{}, nn.Dense{ 2, activation = "softmax" } }
  model:get_layer("conv2d_1").weights.kernel:fill(1)
  local kernel = model:get_layer("dense_1").weights.kernel
  kernel[1][1], kernel[1][2] = 1, -1
  local x = core.zeros{ 8, 8, 1 }
  x[2][7]:fill(1) -- row 2, column 7
  local figure = giemsa.gradcam(model, x, { class = 1, tile = 128 })
  t.equal(core.argmax(figure.maps:reshape(-1)), 8 + 7)
  local picture = draws(figure)
  local right = picture:crop(figure.width // 2, 0, figure.width // 2, figure.height)
  local pixels, row, column, most = right:to_tensor(), 0, 0, 0
  for i, line in ipairs(pixels:totable()) do
    for j, pixel in ipairs(line) do
      local yellow = pixel[1] + pixel[2] - 2 * pixel[3]
      if yellow > most then most, row, column = yellow, i, j end
    end
  end
  -- the tile is 128 wide, below the title and 8 pixels from the left
  local top = figure.height - 128 - 20 - 8
  t.ok(math.abs(column - (8 + 6.5 * 16)) < 14 and math.abs(row - (top + 1.5 * 16)) < 14,
    ("the heat is at row %d, column %d"):format(row, column))
end)

t.test("gradcam takes pictures, paths, lists and generators", function()
  local root = folders(CELLS)
  local model = compiled{ nn.Conv2D{ 2, 3, input_shape = { 8, 8, 3 } }, nn.Flatten{},
    nn.Dense{ 2, activation = "softmax" } }
  raises(giemsa.gradcam, ".*model.preprocessing", model, root .. "/" .. CELLS[1])
  local source = flow(root)
  model:fit(source, { verbose = 0 })
  local path = root .. "/" .. CELLS[2]
  local one = giemsa.gradcam(model, path)
  t.ok(one:script():find("C3P4ThinF_cell_23.png", 1, true))
  t.ok(giemsa.gradcam(model, image.load(path)).maps == one.maps)
  t.equal(#giemsa.gradcam(model, { path, path }).maps, 2)
  local grid = giemsa.gradcam(model, source, { n = 2 })
  t.ok(#grid.maps == 2 and grid:script():find("is Parasitized", 1, true))
  t.ok(grid.maps[2]:allclose(one.maps[1], 1e-6))
  draws(grid)
  raises(giemsa.gradcam, "class must be 1 to 2, got 3", model, source, { class = 3 })
  raises(giemsa.gradcam, "the net has no convolution with a map", compiled{
    nn.Dense{ 2, input_shape = { 3 }, activation = "softmax" } }, core.zeros{ 1, 3 })
  raises(giemsa.gradcam, "layer 'flatten_1' gives no maps", model, source, { layer = "flatten_1" })
end)

-- ---- guards

t.test("a patient on both sides is told once by fit", function()
  local root = folders(CELLS)
  local model = linear_net()
  local train, both = flow(root), flow(root)
  local function fit(validation, warnings)
    return heard(model.fit, model, train, { validation_data = validation, verbose = 0,
      warnings = warnings })
  end
  t.equal(fit(both, false), "")
  local said = fit(both)
  t.ok(said:find("warning: fit: 3 patients (C1, C3, C77) have cells in training and in", 1, true),
    said)
  t.equal(fit(both), "")
  t.equal(fit(flow(folders{ "Parasitized/C5_1.png", "Uninfected/C6_1.png" })), "")
end)

t.test("a judge that varies its pictures, or sees a random part, is told", function()
  local root = folders(CELLS)
  local model = linear_net()
  local function varied() return flow(root, {}, { rotation_range = 20, horizontal_flip = true }) end
  local WANT = "these pictures are varied at random (rotation_range, horizontal_flip)"
  for _, who in ipairs{ "evaluate", "predict" } do
    t.ok(heard(model[who], model, varied()):find(who .. ": " .. WANT, 1, true), who)
    t.equal(heard(model[who], model, flow(root)), "")
  end
  t.ok(heard(giemsa.top_losses, model, varied()):find(WANT, 1, true))
  t.ok(heard(model.fit, model, flow(root), { validation_data = varied(), verbose = 0 })
    :find("fit: validation_data: " .. WANT, 1, true))
  local shuffled = flow(root, { shuffle = true })
  t.equal(heard(model.evaluate, model, shuffled), "")
  t.ok(heard(model.evaluate, model, shuffled, { steps = 1 })
    :find("only 1 of 2 batches of a source that shuffles are used", 1, true))
end)

t.done()
