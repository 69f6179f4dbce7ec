--- Montage, label text, the decaying learning rate, and the random streams of Python and NumPy.
local giemsa = require "giemsa"
local random = giemsa.random

local function montage(parity, case)
  local tiles, want = parity:npy(case.tiles), parity:npy(case.result)
  local pictures = {}
  for i = 1, #tiles do pictures[i] = giemsa.image.from_tensor(tiles[i]) end
  local got = giemsa.montage.build(pictures, { tile = { case.tile_width, case.tile_height }, grid = { case.columns, case.rows } })
  parity:equal("montages: how many", #got, #want)
  for i = 1, math.min(#got, #want) do parity:close(("%s[%d]"):format(case.result, i - 1), got[i]:to_tensor(), want[i], 0) end
end

-- The box around all pixels that are not black, their number, and whether all have the colour.
local function ink_of(picture, colour)
  local left, top, right, bottom, count, pure = math.huge, math.huge, -1, -1, 0, true
  for y, row in ipairs(picture:to_tensor():totable()) do
    for x, pixel in ipairs(row) do
      if pixel[1] + pixel[2] + pixel[3] > 0 then
        left, right, top, bottom = math.min(left, x - 1), math.max(right, x - 1), math.min(top, y - 1), math.max(bottom, y - 1)
        count = count + 1
        for c = 1, 3 do pure = pure and pixel[c] == colour[c] end
      end
    end
  end
  return { left, top, right, bottom }, count, pure
end

local function puttext(parity, case)
  local colour = { case.color_bgr[3], case.color_bgr[2], case.color_bgr[1] }
  local canvas = giemsa.image.from_tensor(giemsa.tensor.zeros{ case.canvas[1], case.canvas[2], 3 })
  canvas:draw_text(case.org[1], case.org[2], case.text, { color = colour, scale = case.scale, thickness = case.thickness })
  local box, count, pure = ink_of(canvas, colour)
  parity:check(case.png .. " colour", pure)
  parity:close(case.png .. " ink box", box, case.ink_box_x0y0x1y1, 2)
  parity:close(case.png .. " ink pixels", count, case.ink_pixels, 0, 0.25)
end

local function learning_rate(parity, case)
  local sgd = giemsa.optim.SGD{ lr = case.lr, decay = case.decay }
  for _, row in ipairs(case.table) do
    sgd.iterations = row[1]
    parity:close(("lr at update %d"):format(row[1]), sgd:current_lr(), row[2], 1e-12)
  end
end

local function from_zero(order)
  local out = {}
  for i, k in ipairs(order) do out[i] = k - 1 end
  return out
end

local function python_shuffles(parity, cases)
  for n, case in pairs(cases) do
    n = tonumber(n)
    local order = from_zero(random.python_shuffle(n, 42))
    parity:close(("shuffle %d first"):format(n), { table.unpack(order, 1, #case.permutation_first) }, case.permutation_first, 0)
    parity:close(("shuffle %d last"):format(n), { table.unpack(order, n - #case.permutation_last + 1) }, case.permutation_last, 0)
    local split = require("datasets.split").sizes(n, 0.8, 0.1)
    parity:close(("split of %d"):format(n), { split.training, split.validation, split.testing }, { case.train, case.validation, case.test }, 0)
  end
end

local function twisters(parity, python, numpy)
  local function draws(make, count)
    local out = {}
    for i = 1, count do out[i] = make() end
    return out
  end
  local p = random.python(python.seed) -- one stream, drawn from in this order
  parity:close("python random", draws(function() return p:random() end, #python.random), python.random, 0)
  parity:close("python getrandbits", draws(function() return p:bits32() end, #python.getrandbits32), python.getrandbits32, 0)
  parity:close("python randrange", draws(function() return p:below(1000) end, #python.randrange_1000), python.randrange_1000, 0)
  local r = random.numpy(numpy.seed)
  parity:close("numpy random_sample", draws(function() return r:random_sample() end, #numpy.random_sample), numpy.random_sample, 0)
  parity:close("numpy uniform", draws(function() return r:uniform(-20, 20) end, #numpy.uniform_m20_20), numpy.uniform_m20_20, 0)
  parity:close("numpy permutation 12", from_zero(r:permutation(12)), numpy.permutation_12, 0)
  parity:close("numpy permutation 100", from_zero(r:permutation(100)), numpy.permutation_100, 0)
end

local function random_transforms(parity, cases)
  local generator = giemsa.data.ImageDataGenerator{ rotation_range = 20, zoom_range = 0.05, width_shift_range = 0.05,
    height_shift_range = 0.05, shear_range = 0.05, horizontal_flip = true }
  for _, case in ipairs(cases) do
    local got = generator:get_random_transform({ 64, 64, 3 }, case.seed)
    for key, want in pairs(case.params) do
      local value = got[key]
      if type(value) == "boolean" then value = value and 1 or 0 end
      parity:close(("transform of seed %d %s"):format(case.seed, key), value, want, 1e-12)
    end
  end
end

return function(parity)
  local misc = parity:json("misc.json")
  montage(parity, misc.montage)
  for _, case in ipairs(misc.puttext) do puttext(parity, case) end
  learning_rate(parity, misc.lr_decay)
  python_shuffles(parity, misc.python_random_seed42_shuffle)
  twisters(parity, misc.python_random, misc.numpy_randomstate)
  random_transforms(parity, misc.random_transform)
end
