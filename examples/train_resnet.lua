-- The course in one short script: a ResNet trained on stained blood cells, by the course's recipe.
local giemsa = require "giemsa"
local data, nn, optim, metrics = giemsa.data, giemsa.nn, giemsa.optim, giemsa.metrics

local options = giemsa.args.parse([[
giemsa examples/train_resnet.lua [--data DIR] [--epochs N] [--seed N] [--quiet] [--save FILE]
  --data DIR    training/, validation/ and testing/ with a folder for each class, or class folders,
                or a zip of them (default: synthetic cells)
  --epochs N    passes over the training images (25)
  --seed N      of weights, order and augmentation (42)
  --quiet       print only the last line
  --save FILE   write the trained model there (.safetensors)]],
  { data = "", epochs = 25, seed = 42, quiet = false, save = "" })

giemsa.random.seed(options.seed)
local paths = require("datasets").ensure(options.data ~= "" and options.data or nil)
local verbose = not options.quiet

local function flow(generator, folder, shuffle)
  return generator:flow_from_directory(folder, { class_mode = "categorical",
    target_size = { 64, 64 }, batch_size = 32, shuffle = shuffle, verbose = verbose })
end
local augmented = data.ImageDataGenerator{ rescale = 1 / 255, rotation_range = 20,
  zoom_range = 0.05, width_shift_range = 0.05, height_shift_range = 0.05, shear_range = 0.05,
  horizontal_flip = true, fill_mode = "nearest" }
local plain = data.ImageDataGenerator{ rescale = 1 / 255 }
local train = flow(augmented, paths.training, true)
local validation, test = flow(plain, paths.validation, false), flow(plain, paths.testing, false)

local model = nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, { reg = 0.0005 })
model:compile{ loss = "binary_crossentropy", metrics = { "accuracy" },
  optimizer = optim.SGD{ lr = 0.1, momentum = 0.9, decay = 0.1 / options.epochs } }
model:fit(train, { epochs = options.epochs, steps_per_epoch = math.max(1, train.n // 32),
  shuffle = false, -- of batches, so that the small last one sits out (lesson 5); images still are
  validation_data = validation, verbose = verbose and 1 or 0, warnings = verbose })

local predicted = model:predict(test):argmax(2)
if verbose then
  print(metrics.classification_report(test.classes, predicted, { target_names = test.class_names }))
end
if options.save ~= "" then model:save(options.save) end
print(("test_accuracy = %.4f"):format(metrics.accuracy_score(test.classes, predicted)))
