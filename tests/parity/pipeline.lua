--- A whole flow_from_directory: classes, file order, batch sizes, validation batches, and augmented training rows made with the
--- parameters the reference drew.
local giemsa = require "giemsa"

local function concatenated(source)
  local xs, ys, sizes = {}, {}, {}
  for x, y in source:batches() do
    sizes[#sizes + 1] = #x
    for i = 1, #x do xs[#xs + 1], ys[#ys + 1] = x[i]:copy(), y[i]:copy() end
  end
  return xs, ys, sizes
end

local AUGMENTATION = { rotation_range = 20, zoom_range = 0.05, width_shift_range = 0.05, height_shift_range = 0.05, shear_range = 0.05,
  horizontal_flip = true, fill_mode = "nearest" }

-- Keras reseeds NumPy before every batch, and permutes at the start of each pass.
local function draws(parity, want, samples, size)
  local generator, order, at = giemsa.data.ImageDataGenerator(AUGMENTATION), nil, nil
  for b, batch in ipairs(want.batches) do
    local numpy, index, got, drawn = giemsa.random.numpy(batch.numpy_seed), {}, {}, {}
    if not order or at >= samples then order, at = numpy:permutation(samples), 0 end
    for i, parameters in ipairs(batch.params) do
      at = at + 1
      index[i] = order[at] - 1
      local one = generator:get_random_transform({ size[1], size[2], 3 }, numpy)
      for key, value in pairs(parameters) do
        if type(value) == "boolean" then
          parity:equal(("train batch %d row %d %s"):format(b, i, key), one[key], value)
        else
          drawn[#drawn + 1], got[#got + 1] = value, one[key]
        end
      end
    end
    parity:close(("train batch %d order"):format(b), index, batch.index, 0)
    parity:close(("train batch %d parameters"):format(b), got, drawn, 1e-12)
  end
end

local function training_rows(parity, want, flow)
  local generator = giemsa.data.ImageDataGenerator(AUGMENTATION)
  local plain, label = {}, {}
  for x, y in flow:batches() do
    for i = 1, #x do plain[#plain + 1], label[#label + 1] = x[i] * 255, y[i]:copy() end
  end
  local train_x, train_y, k = parity:npy("train_x.npy"), parity:npy("train_y.npy"), 0
  for b, batch in ipairs(want.batches) do
    for i, parameters in ipairs(batch.params) do
      k = k + 1
      local row = batch.index[i] + 1
      local x = generator:apply_transform(plain[row], parameters) * (1 / 255)
      parity:close(("train_x.npy batch %d row %d"):format(b, i), x, train_x[k], 5e-5)
      parity:close(("train_y.npy batch %d row %d"):format(b, i), label[row], train_y[k], 0)
    end
  end
end

return function(parity)
  local want = parity:json("pipeline.json")
  local generator = giemsa.data.ImageDataGenerator{ rescale = 1 / 255 }
  local flow = generator:flow_from_directory(parity:path("data"), { target_size = want.target_size, class_mode = "categorical",
    batch_size = want.batch_size, shuffle = false, verbose = false })
  parity:equal("samples", flow.n, want.samples)
  parity:equal("number of batches", #flow, want.num_batches)
  parity:equal("filenames", table.concat(flow.filenames, " "), table.concat(want.filenames, " "))
  for name, index in pairs(want.class_indices) do parity:equal("class " .. name, flow.class_indices[name], index + 1) end
  for i, class in ipairs(want.classes) do parity:equal("class of " .. want.filenames[i], flow.classes[i], class + 1) end
  local xs, ys, sizes = concatenated(flow)
  parity:close("batch sizes", sizes, want.batch_sizes, 0)
  local nexts = {}
  for i = 1, #want.next_call_sizes do nexts[i] = #flow:next() end
  parity:close("sizes of next()", nexts, want.next_call_sizes, 0)
  parity:close("val_x.npy", xs, parity:npy("val_x.npy"), 1e-7)
  parity:close("val_y.npy", ys, parity:npy("val_y.npy"), 0)
  draws(parity, want.train, want.samples, want.target_size)
  training_rows(parity, want.train, flow)
end
