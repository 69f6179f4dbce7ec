--- A short training from image files to a loaded model, small enough for valgrind.
local t = require "tests.harness"
local giemsa = require "giemsa"
local generate = require "datasets.generate"

local dir = t.tmpdir()
giemsa.random.seed(3)

t.test("cells are made, learnt, saved, loaded and reported on", function()
  local made = generate.cells(dir .. "/cells", { count = 12, seed = 1 })
  t.equal(made.count, 12)
  local flow = giemsa.data.ImageDataGenerator{ rescale = 1 / 255, rotation_range = 20, horizontal_flip = true }
    :flow_from_directory(dir .. "/cells", { target_size = { 32, 32 }, batch_size = 4, verbose = false })
  t.equal(flow.n, 12)
  local nn = giemsa.nn
  local model = nn.ResNet.build(32, 32, 3, 2, { 1, 1 }, { 4, 8, 8 }, { reg = 0.0005 })
  model:compile{ loss = "binary_crossentropy", metrics = { "accuracy" }, optimizer = giemsa.optim.SGD{ lr = 0.01, momentum = 0.9 } }
  local history = model:fit(flow, { epochs = 2, validation_data = flow, verbose = 0 })
  t.ok(history.history.loss[2] > 0 and history.history.val_loss[2] > 0)
  model:save(dir .. "/model.safetensors")
  local again = nn.load_model(dir .. "/model.safetensors")
  local plain = giemsa.data.ImageDataGenerator{ rescale = 1 / 255 }
    :flow_from_directory(dir .. "/cells", { target_size = { 32, 32 }, batch_size = 5, shuffle = false, verbose = false })
  local scores = model:predict(plain)
  t.close(again:predict(plain), scores, 0)
  local report = giemsa.metrics.classification_report(plain.classes, scores:argmax(2), { target_names = plain.class_names })
  t.ok(report:find("Parasitized"), report)
end)

t.done()
