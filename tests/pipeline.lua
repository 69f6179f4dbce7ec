--- The data pipeline against a recorded run of keras-preprocessing 1.1.2 (fixtures/pipeline and
--- misc): class and file order, batch sizes, validation rows, and training rows from the recorded
--- parameters.
local t = require "tests.harness"
local core = require "giemsa.core"
local data = require "giemsa.data"
local random = require "giemsa.random"
local json = require "dkjson"

local AUGMENTATION = { rescale = 1 / 255, rotation_range = 20, zoom_range = 0.05, width_shift_range = 0.05,
  height_shift_range = 0.05, shear_range = 0.05, horizontal_flip = true, fill_mode = "nearest" }

local function read_json(path)
  local file <close> = assert(io.open(path))
  return (assert(json.decode(file:read("a"))))
end

local function pipeline()
  local folder = t.need_fixtures() .. "/pipeline/"
  return folder, read_json(folder .. "pipeline.json")
end

local function flow(folder, want, options, given)
  local o = { target_size = want.target_size, batch_size = want.batch_size, verbose = false }
  for key, value in pairs(given or {}) do o[key] = value end
  return data.ImageDataGenerator(options):flow_from_directory(folder .. "data", o)
end

t.test("classes, files and their order", function()
  local folder, want = pipeline()
  local gen = flow(folder, want, {})
  t.equal(gen.filenames, want.filenames)
  t.equal(gen.n, want.samples)
  t.equal(#gen, want.num_batches)
  for name, index in pairs(want.class_indices) do t.equal(gen.class_indices[name], index + 1) end
  for i, class in ipairs(want.classes) do t.equal(gen.classes[i], class + 1) end
end)

t.test("validation batches", function()
  local folder, want = pipeline()
  local x_want, y_want = core.npy_load(folder .. "val_x.npy"), core.npy_load(folder .. "val_y.npy")
  local gen = flow(folder, want, { rescale = 1 / 255 }, { shuffle = false })
  local row, sizes = 0, {}
  for x, y in gen:batches() do
    sizes[#sizes + 1] = #x
    t.close(x, x_want:rows(row + 1, row + #x), 1e-7, 0, "batch " .. #sizes)
    t.close(y, y_want:rows(row + 1, row + #x), 0)
    row = row + #x
  end
  t.equal(sizes, want.batch_sizes)
  t.equal(row, want.samples)
end)

t.test("next() runs on from pass to pass", function()
  local folder, want = pipeline()
  local gen = flow(folder, want, {})
  for i, size in ipairs(want.next_call_sizes) do
    local x, y = gen:next()
    t.equal({ #x, #y }, { size, size }, "call " .. i)
  end
end)

t.test("training rows from the recorded order and parameters", function()
  local folder, want = pipeline()
  local x_want, y_want = core.npy_load(folder .. "train_x.npy"), core.npy_load(folder .. "train_y.npy")
  local raw = flow(folder, want, {}, { shuffle = false, batch_size = want.samples })
  local x, y = raw:next()
  local augmentation, row = data.ImageDataGenerator(AUGMENTATION), 0
  for _, batch in ipairs(want.train.batches) do
    for i, index in ipairs(batch.index) do
      row = row + 1
      local got = augmentation:standardize(augmentation:apply_transform(x[index + 1], batch.params[i]))
      t.close(got, x_want[row], 5e-5, 0, "row " .. row)
      t.close(y[index + 1], y_want[row], 0)
    end
  end
  t.equal(row, #x_want)
end)

t.test("Keras's own order and parameters, drawn from NumPy's stream", function()
  local folder, want = pipeline()
  local augmentation, seen = data.ImageDataGenerator(AUGMENTATION), 0
  local order, at
  for _, batch in ipairs(want.train.batches) do
    local rng = random.numpy(want.train.seed + seen)
    t.equal(want.train.seed + seen, batch.numpy_seed)
    if not order or at >= #order then order, at = rng:permutation(want.samples), 0 end
    for i, index in ipairs(batch.index) do
      at = at + 1
      t.equal(order[at], index + 1, "sample " .. at)
      local got = augmentation:get_random_transform({ want.target_size[1], want.target_size[2], 3 }, rng)
      for key, value in pairs(batch.params[i]) do
        if type(value) == "number" then t.close(got[key], value, 1e-12, 0, key)
        else t.equal(got[key], value, key) end
      end
    end
    seen = seen + 1
  end
end)

t.test("get_random_transform(shape, seed) draws what Keras draws", function()
  local cases = read_json(t.need_fixtures() .. "/misc/misc.json").random_transform
  local augmentation = data.ImageDataGenerator(AUGMENTATION)
  for _, case in ipairs(cases) do
    local got = augmentation:get_random_transform({ 64, 64, 3 }, case.seed)
    for key, value in pairs(case.params) do
      if type(got[key]) == "boolean" then t.equal(got[key] and 1 or 0, math.tointeger(value), key)
      else t.close(got[key], value, 1e-12, 0, key) end
    end
  end
  t.ok(#cases > 0)
end)

t.done()
