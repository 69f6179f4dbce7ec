--- Sources of data: folders, options, transforms against naive definitions, determinism, early exit,
--- broken files, memory.
local t = require "tests.harness"
local core = require "giemsa.core"
local data = require "giemsa.data"
local image = require "giemsa.image"
local random = require "giemsa.random"

-- ---- pictures for the tests: uncompressed BMPs, so that nothing but reading is tested here

local function bmp(height, width, pixel) -- pixel(row, column) -> r, g, b
  local rows, pad = {}, ("\0"):rep(-width * 3 % 4)
  for row = height, 1, -1 do
    local line = {}
    for column = 1, width do
      local r, g, b = pixel(row, column)
      line[column] = string.char(b, g, r)
    end
    rows[#rows + 1] = table.concat(line) .. pad
  end
  local body = table.concat(rows)
  local head = string.pack("<c2I4I2I2I4 I4i4i4I2I2I4I4i4i4I4I4", "BM", 54 + #body, 0, 0, 54,
    40, width, height, 1, 24, 0, #body, 2835, 2835, 0, 0)
  return head .. body
end

local function pattern(n) -- a picture that depends on n everywhere
  return function(row, column)
    return (row * 31 + n * 17) % 256, (column * 29 + n * 5) % 256, (row * column + n * 71) % 256
  end
end

local made = 0
--- A fresh folder with the given files: path -> contents.
local function tree(files)
  made = made + 1
  local root = ("%s/tree%d"):format(t.tmpdir(), made)
  assert(core.make_folder(root))
  for path, text in pairs(files) do
    local folder = root
    for part in path:gmatch("([^/]+)/") do
      folder = folder .. "/" .. part
      core.make_folder(folder)
    end
    if not path:find("/$") then t.write(root .. "/" .. path, text) end
  end
  return root
end

local function cells(counts, height, width)
  local files = {}
  for class, count in pairs(counts) do
    for i = 1, count do
      local patient = i % 3 + (class == "b" and 2 or 0)
      files[("%s/C%dP%d_cell_%03d.bmp"):format(class, patient, i, i)] =
        bmp(height or 12, width or 10, pattern(i * 3 + #class + class:byte()))
    end
  end
  return tree(files)
end

local function flow(root, given, options)
  local o = { target_size = { 12, 10 }, verbose = false }
  for key, value in pairs(given or {}) do o[key] = value end
  return data.ImageDataGenerator(options):flow_from_directory(root, o)
end

local AUGMENTATION = { rescale = 1 / 255, rotation_range = 20, zoom_range = 0.05,
  width_shift_range = 0.05, height_shift_range = 0.05, shear_range = 0.05, horizontal_flip = true,
  fill_mode = "nearest" }

local function all_of(source, given)
  local xs, ys = {}, {}
  for x, y in source:batches(given) do
    xs[#xs + 1] = x:totable()
    ys[#ys + 1] = y and y:totable()
  end
  return xs, ys
end

local function captured(f)
  local text, write = {}, io.write
  io.write = function(...) text[#text + 1] = table.concat { ... } end
  local ok, problem = pcall(f)
  io.write = write
  if not ok then error(problem, 0) end
  return table.concat(text)
end

-- ---- folders

t.test("file order: code points, the folder before its sub-folders, any case of extension", function()
  local picture = bmp(2, 2, pattern(1))
  local root = tree {
    ["b/z.bmp"] = picture, ["b/B1.BMP"] = picture, ["b/a10.bmp"] = picture, ["b/a2.bmp"] = picture,
    ["b/c_1.bmp"] = picture, ["b/c-3.bmp"] = picture, ["b/sub/A.bmp"] = picture,
    ["b/sub b/A.bmp"] = picture, ["b/sub/deep/A.bmp"] = picture, ["b/Thumbs.db"] = "x",
    ["b/notes.txt"] = "x", ["b/bmp"] = "x", ["b/.hidden.bmp"] = picture, ["b/é.bmp"] = picture,
    ["a/x.y.bmp"] = picture, ["Z/1.bmp"] = picture, ["loose.bmp"] = picture,
  }
  local gen = flow(root)
  t.equal(gen.class_names, { "Z", "a", "b" })
  t.equal(gen.class_indices, { Z = 1, a = 2, b = 3 })
  local want = { "Z/1.bmp", "a/x.y.bmp", "b/.hidden.bmp", "b/B1.BMP", "b/a10.bmp", "b/a2.bmp",
    "b/c-3.bmp", "b/c_1.bmp", "b/z.bmp", "b/é.bmp" }
  -- os.walk's folders, sorted as whole paths: "b/sub" < "b/sub b" < "b/sub/deep"
  for _, name in ipairs { "b/sub/A.bmp", "b/sub b/A.bmp", "b/sub/deep/A.bmp" } do want[#want + 1] = name end
  t.equal(gen.filenames, want)
  t.equal(gen.classes, { 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3 })
  t.equal(gen.filepaths[2], root .. "/a/x.y.bmp")
end)

t.test("classes in the order they are named; others are left out", function()
  local gen = flow(cells { a = 2, b = 3, c = 1 }, { classes = { "c", "a" } })
  t.equal(gen.class_names, { "c", "a" })
  t.equal(gen.classes, { 1, 2, 2 })
end)

t.test("links to folders are followed on request", function()
  local root = cells { a = 1, b = 2 }
  t.shell(("ln -s ../b %s/a/linked"):format(t.quote(root)))
  t.equal(flow(root).n, 3)
  t.equal(flow(root, { follow_links = true }).n, 5)
end)

t.test("what is found is said as Keras says it", function()
  local root = cells { a = 4, b = 3 }
  local said = captured(function() data.ImageDataGenerator():flow_from_directory(root) end)
  t.equal(said, "Found 7 images belonging to 2 classes.\n")
  t.equal(captured(function() flow(root) end), "")
end)

t.test("folders that cannot be used", function()
  local function open(root, given) return function() flow(root, given) end end
  local missing = t.tmpdir() .. "/nowhere"
  t.raises(open(missing), "cannot open the folder " .. missing:gsub("%p", "%%%0")
    .. ": No such file or directory.*build_dataset")
  t.raises(open(tree {}), "no class folders in .*tree%d+: it needs a folder for each class")
  t.raises(open(tree { ["1.bmp"] = "x", ["2.png"] = "x" }), "only 2 pictures directly in it")
  t.raises(open(tree { ["a/"] = "", ["b/notes.txt"] = "x" }),
    "no pictures in .*tree%d+ %(looked in a, b for names ending in .png")
  t.raises(open(cells { a = 2 }), "only one class folder in .*tree%d+ %(a%): telling classes apart needs at least two")
  t.raises(open(cells { a = 2, b = 2 }, { classes = { "a", "B" } }), "no class folder 'B' in .*it has a, b")
  t.raises(open(t.write(t.tmpdir() .. "/file.txt", "x")), "Not a directory")
  t.raises(open(cells { a = 1, b = 1, c = 1 }, { class_mode = "binary" }), "exactly two classes, .* has 3")
  t.equal(flow(cells { a = 2 }, { class_mode = "none" }).n, 2)
end)

t.test("errors point at the caller", function()
  local message = t.raises(function() flow(t.tmpdir() .. "/nowhere") end, "No such file")
  t.ok(message:find("^%S*data.lua:%d+: flow_from_directory: "), message)
  message = t.raises(function() data.ImageDataGenerator { zoom_range = 2 } end, "zoom_range")
  t.ok(message:find("^%S*tests/data.lua:%d+: ImageDataGenerator: "), message)
  message = t.raises(function()
    data.ImageDataGenerator():flow_from_directory("x", { shufle = true })
  end, "did you mean 'shuffle'")
  t.ok(message:find("^%S*tests/data.lua:%d+: flow_from_directory: "), message)
end)

t.test("options that make no sense", function()
  local function make(options) return function() data.ImageDataGenerator(options) end end
  t.raises(make { rotation_rage = 20 }, "unknown option 'rotation_rage' %(did you mean 'rotation_range'%?%)")
  t.raises(make { rotation_range = "20" }, "'rotation_range' must be number, got string")
  t.raises(make { rotation_range = 0 / 0 }, "rotation_range must be a finite number")
  t.raises(make { zoom_range = { 1.1, 0.9 } }, "zoom_range must be two numbers {low, high}")
  t.raises(make { zoom_range = { 0, 1 } }, "zoom_range must be above 0")
  t.raises(make { brightness_range = { 0.5 } }, "brightness_range must be two numbers")
  t.raises(make { width_shift_range = -1 }, "width_shift_range must not be negative")
  t.raises(make { width_shift_range = {} }, "1 to 64 shifts")
  t.raises(make { fill_mode = "mirror" }, "fill_mode must be one of nearest, constant, reflect, wrap; got 'mirror'")
  t.raises(make { validation_split = 1 }, "strictly between 0 and 1")
  local root = cells { a = 1, b = 1 }
  t.raises(function() flow(root, { target_size = { 64 } }) end, "target_size must be {height, width}")
  t.raises(function() flow(root, { target_size = { 64, 0 } }) end, "target_size must be {height, width}")
  t.raises(function() flow(root, { batch_size = 0 }) end, "batch_size must be at least 1")
  t.raises(function() flow(root, { class_mode = "onehot" }) end, "class_mode must be one of categorical")
  t.raises(function() flow(root, { color_mode = "cmyk" }) end, "color_mode must be one of rgb, grayscale")
  t.raises(function() flow(root, { interpolation = "cubic" }) end, "interpolation must be one of nearest")
  t.raises(function() flow(root, { subset = "training" }) end,
    "subset needs an ImageDataGenerator with validation_split")
  t.raises(function() flow(root, { subset = "test" }, { validation_split = 0.5 }) end,
    "subset must be one of training, validation")
end)

-- ---- batches

t.test("batches: shapes, the partial last one, file order without shuffling", function()
  local root = cells { a = 4, b = 3 }
  local gen = flow(root, { batch_size = 3, shuffle = false })
  t.equal({ gen.n, #gen, gen.batch_size }, { 7, 3, 3 })
  t.equal(gen.image_shape, { 12, 10, 3 })
  local sizes = {}
  for x, y in gen:batches() do
    sizes[#sizes + 1] = #x
    t.equal(x.shape, { #x, 12, 10, 3 })
    t.equal(y.shape, { #x, 2 })
  end
  t.equal(sizes, { 3, 3, 1 })
  local x = gen:batch(2)
  local number = tonumber(gen.filenames[4]:match("_(%d+)%.bmp$"))
  t.equal(x[1][5][7]:totable(), { pattern(number * 3 + 1 + ("a"):byte())(5, 7) })
  t.raises(function() gen:batch(4) end, "there is no batch 4, this source has 3")
end)

t.test("labels of each class mode", function()
  local root = cells { a = 2, b = 1 }
  local function labels(mode)
    local x, y = flow(root, { class_mode = mode, shuffle = false }):batch(1)
    return y and y:totable(), x, y
  end
  t.equal(labels("categorical"), { { 1, 0 }, { 1, 0 }, { 0, 1 } })
  t.equal(labels("binary"), { 0, 0, 1 })
  t.equal(labels("sparse"), { 1, 1, 2 })
  t.equal(labels("none"), nil)
  t.equal(labels(false), nil)
  local _, x, y = labels("input")
  t.ok(x == y and not rawequal(x, y))
end)

-- Which file each row of a pass is, told by the first pixels.
local function files_of(source, given)
  local names, seen = {}, {}
  for i, path in ipairs(source.filepaths) do
    local file <close> = assert(io.open(path, "rb"))
    file:seek("set", 54)
    names[table.concat({ file:read(30):byte(1, -1) }, " ")] = i
  end
  for x in source:batches(given) do
    for i = 1, #x do
      local last, bytes = x[i][12]:totable(), {}
      for c = 1, 10 do
        for channel = 3, 1, -1 do bytes[#bytes + 1] = math.tointeger(last[c][channel]) end
      end
      seen[#seen + 1] = assert(names[table.concat(bytes, " ")], "an unknown row")
    end
  end
  return seen
end

local function sorted(list)
  local copy = table.move(list, 1, #list, 1, {})
  table.sort(copy)
  return copy
end

local function count_to(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

t.test("shuffling: every sample once, a new order each epoch, the same for the same seed", function()
  local root = cells { a = 9, b = 8 }
  local gen = flow(root, { batch_size = 5, seed = 3 })
  local one, two = files_of(gen, { epoch = 1 }), files_of(gen, { epoch = 2 })
  t.equal(sorted(one), count_to(17))
  t.equal(sorted(two), count_to(17))
  t.ok(table.concat(one, " ") ~= table.concat(two, " "))
  t.ok(table.concat(one, " ") ~= table.concat(count_to(17), " "))
  t.equal(files_of(gen, { epoch = 1 }), one)
  t.equal(files_of(flow(root, { batch_size = 5, seed = 3 })), one, "the first pass of a new source")
  t.equal(files_of(flow(root, { batch_size = 5, seed = 4 }), { seed = 3, epoch = 2 }), two, "another seed for one pass")
  local plain, shuffled = gen:order(3, 1), files_of(gen, { epoch = 1, shuffle_batches = true })
  t.equal(one, plain)
  t.equal(sorted(shuffled), count_to(17))
  t.ok(table.concat(shuffled, " ") ~= table.concat(one, " "))
  t.equal(#files_of(gen, { epoch = 1, steps = 2 }), 10)
  t.equal(#files_of(gen, { epoch = 1, steps = 99 }), 17)
end)

t.test("sources without a seed repeat after random.seed, and differ from each other", function()
  local root = cells { a = 9, b = 8 }
  local function two()
    random.seed(5)
    return files_of(flow(root)), files_of(flow(root))
  end
  local a, b = two()
  local c, d = two()
  t.equal(a, c)
  t.equal(b, d)
  t.ok(table.concat(a, " ") ~= table.concat(b, " "))
end)

t.test("next, reset and batch", function()
  local gen = flow(cells { a = 3, b = 2 }, { batch_size = 2, shuffle = false })
  local first = gen:next()
  gen:next()
  t.equal(#gen:next(), 1)
  t.ok(gen:next() == first, "begins again")
  gen:next()
  gen:reset()
  t.ok(gen:next() == first, "after reset")
  local shuffled = flow(cells { a = 8, b = 8 }, { batch_size = 4, seed = 1 }, AUGMENTATION)
  local x, y = shuffled:batch(3, { epoch = 7 })
  local i = 0
  for xi, yi in shuffled:batches { epoch = 7 } do
    i = i + 1
    if i == 3 then t.ok(xi == x and yi == y) end
  end
end)

t.test("validation_split takes the first share of each class's files", function()
  local root = cells { a = 10, b = 5 }
  local options = { validation_split = 0.25 }
  local training = flow(root, { subset = "training" }, options)
  local validation = flow(root, { subset = "validation" }, options)
  t.equal({ training.n, validation.n }, { 8 + 4, 2 + 1 })
  local all = flow(root).filenames
  t.equal(validation.filenames, { all[1], all[2], all[11] })
  t.equal(training.filenames[1], all[3])
  local x = core.uniform({ 10, 4, 4, 1 }, 0, 255, 1)
  local source = data.ImageDataGenerator(options):flow(x, nil, { subset = "validation", shuffle = false })
  t.ok(source:next() == x:rows(1, 2))
end)

t.test("grayscale", function()
  local gen = flow(cells { a = 1, b = 1 }, { color_mode = "grayscale", shuffle = false })
  t.equal(gen.image_shape, { 12, 10, 1 })
  local x = gen:next()
  local r, g, b = pattern(3 + 1 + ("a"):byte())(2, 3)
  t.equal(x[1][2][3][1], (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) -- Pillow's L
end)

t.test("rgba: colours as in rgb, alpha of the file or opaque", function()
  local root = tree { ["a/1.bmp"] = bmp(4, 3, pattern(3)), ["b/notes"] = "" }
  local given = image.new(3, 4, { channels = 4, color = { 10, 20, 30, 40 } })
  given:save(root .. "/b/2.png")
  local x = flow(root, { color_mode = "rgba", target_size = { 4, 3 }, shuffle = false }):next()
  local rgb = flow(root, { target_size = { 4, 3 }, shuffle = false }):next()
  t.equal(x.shape, { 2, 4, 3, 4 })
  for c = 1, 3 do t.equal(x[1][2][3][c], rgb[1][2][3][c]) end
  t.equal(x[1][2][3][4], 255)
  t.equal(x[2][4][1]:totable(), { 10, 20, 30, 40 })
end)

t.test("sizes: nearest as Pillow", function()
  local root = tree { ["a/1.bmp"] = bmp(7, 9, pattern(3)), ["b/1.bmp"] = bmp(3, 2, pattern(4)) }
  local x = flow(root, { target_size = { 5, 4 }, shuffle = false }):next():totable()
  for i, size in ipairs { { 7, 9, 3 }, { 3, 2, 4 } } do
    for row = 1, 5 do
      for column = 1, 4 do
        local from_row = math.floor((row - 0.5) * size[1] / 5) + 1
        local from_column = math.floor((column - 0.5) * size[2] / 4) + 1
        t.equal(x[i][row][column], { pattern(size[3])(from_row, from_column) })
      end
    end
  end
end)

-- ---- transforms, against definitions in plain Lua

local function multiply(a, b)
  local out = { {}, {}, {} }
  for i = 1, 3 do
    for j = 1, 3 do out[i][j] = a[i][1] * b[1][j] + a[i][2] * b[2][j] + a[i][3] * b[3][j] end
  end
  return out
end

local function naive_matrix(p, height, width)
  local theta, shear = math.rad(p.theta or 0), math.rad(p.shear or 0)
  local row, column = height / 2 + 0.5, width / 2 + 0.5
  local m = { { 1, 0, row }, { 0, 1, column }, { 0, 0, 1 } }
  local cos, sin = math.cos(theta), math.sin(theta)
  m = multiply(m, { { cos, -sin, 0 }, { sin, cos, 0 }, { 0, 0, 1 } })
  m = multiply(m, { { 1, 0, p.tx or 0 }, { 0, 1, p.ty or 0 }, { 0, 0, 1 } })
  m = multiply(m, { { 1, -math.sin(shear), 0 }, { 0, math.cos(shear), 0 }, { 0, 0, 1 } })
  m = multiply(m, { { p.zx or 1, 0, 0 }, { 0, p.zy or 1, 0 }, { 0, 0, 1 } })
  return multiply(m, { { 1, 0, -row }, { 0, 1, -column }, { 0, 0, 1 } })
end

local fold = {}
function fold.nearest(i, n) return math.max(0, math.min(n - 1, i)) end
function fold.reflect(i, n)
  i = i % (2 * n)
  return i < n and i or 2 * n - 1 - i
end

local function f32(v) return (string.unpack("f", string.pack("f", v))) end

-- Along one axis of n pixels: two indices and the weight of the second.
local function taps(c, n, mode)
  if mode == "wrap" and n > 1 and (c < 0 or c > n - 1) then c = c - (n - 1) * math.floor(c / (n - 1)) end
  local index = mode == "reflect" and fold.reflect or fold.nearest
  if mode ~= "reflect" then c = index(c, n) end
  local below = math.floor(c)
  return index(below, n) + 1, index(below + 1, n) + 1, f32(c - below)
end

-- One pixel at a real position: coordinates in double, colours in float, every operation rounded.
local function sample(x, row, column, mode, cval)
  local pixel, height, width = {}, #x, #x[1]
  local outside = not (row >= 0 and column >= 0 and row <= height - 1 and column <= width - 1)
  local top, bottom, down = taps(row, height, mode)
  local left, right, across = taps(column, width, mode)
  local function between(a, b, weight) return f32(f32(a * f32(1 - weight)) + f32(b * weight)) end
  for c = 1, #x[1][1] do
    pixel[c] = mode == "constant" and outside and cval or between(
      between(x[top][left][c], x[top][right][c], across),
      between(x[bottom][left][c], x[bottom][right][c], across), down)
  end
  return pixel
end

local function naive_affine(x, p, mode, cval)
  local height, width, out = #x, #x[1], {}
  local m = naive_matrix(p, height, width)
  for i = 0, height - 1 do
    local to = {}
    for j = 0, width - 1 do
      local row, column = i * m[1][1] + j * m[1][2] + m[1][3], i * m[2][1] + j * m[2][2] + m[2][3]
      to[p.flip_horizontal and width - j or j + 1] = sample(x, row, column, mode, cval)
    end
    out[p.flip_vertical and height - i or i + 1] = to
  end
  return out
end

t.test("the affine map, every fill mode, to the bit", function()
  local shapes = { { 11, 14, 3 }, { 9, 70, 1 }, { 8, 66, 5 }, { 5, 2, 1 }, { 1, 9, 3 }, { 9, 1, 2 }, { 1, 1, 3 }, { 6, 3, 4 } }
  for number, shape in ipairs(shapes) do
    local x = core.uniform(shape, 0, 255, number)
    local list = x:totable()
    for _, mode in ipairs { "nearest", "constant", "reflect", "wrap" } do
      local generator = data.ImageDataGenerator { fill_mode = mode, cval = 77 }
      for k, p in ipairs { { theta = 33.3 }, { theta = 90 }, { tx = 2.25, ty = -3.5 }, { tx = -1 }, { shear = 21 },
        { zx = 1.7, zy = 0.6 }, { zx = 0.4, zy = 0.5, theta = 3 }, { theta = -71, tx = 5.1, ty = 8.2, shear = 9, zx = 1.9, zy = 2.3 } } do
        p.flip_horizontal, p.flip_vertical = k % 2 == 0, k % 3 == 0
        t.equal(generator:apply_transform(x, p):totable(), naive_affine(list, p, mode, 77),
          ("%s, parameters %d, %s"):format(table.concat(shape, " x "), k, mode))
      end
    end
  end
end)

t.test("neutral parameters change nothing; the picture given stays as it is", function()
  local x = core.uniform({ 5, 6, 3 }, 0, 255, 1)
  local before, generator = x:copy(), data.ImageDataGenerator { rotation_range = 90 }
  t.ok(generator:apply_transform(x, { theta = 0, tx = 0, zx = 1 }) == x)
  generator:random_transform(x, 3)
  generator:standardize(x)
  t.ok(x == before)
  t.raises(function() generator:apply_transform(x, { thetta = 3 }) end, "unknown option 'thetta' %(did you mean 'theta'")
  t.raises(function() generator:apply_transform(x:reshape(5, 18), {}) end,
    "expected a picture, .* got one with 2 dimensions")
  t.raises(function() generator:apply_transform("x.png", {}) end, "expected a picture, .* got a string")
end)

t.test("flips, channel shift and brightness, each alone", function()
  local x = core.uniform({ 4, 5, 3 }, 10, 200, 2)
  local from, generator = x:totable(), data.ImageDataGenerator()
  local function expect(parameters, pixel, tolerance)
    local want = {}
    for i = 1, 4 do
      want[i] = {}
      for j = 1, 5 do
        want[i][j] = {}
        for c = 1, 3 do want[i][j][c] = pixel(i, j, c) end
      end
    end
    t.close(generator:apply_transform(x, parameters), want, tolerance or 0)
  end
  expect({ flip_horizontal = true }, function(i, j, c) return from[i][6 - j][c] end)
  expect({ flip_vertical = 1 }, function(i, j, c) return from[5 - i][j][c] end)
  local low, high = math.huge, -math.huge
  for _, value in ipairs(x:reshape(-1):totable()) do low, high = math.min(low, value), math.max(high, value) end
  local function expect_value(parameters, f, tolerance)
    expect(parameters, function(i, j, c) return f(from[i][j][c]) end, tolerance)
  end
  expect_value({ channel_shift_intensity = 40.5 }, function(v) return math.min(high, v + 40.5) end, 1e-4)
  expect_value({ channel_shift_intensity = -60 }, function(v) return math.max(low, v - 60) end, 1e-4)
  expect_value({ brightness = 0.5 }, function(v) return math.floor(math.floor(v) * 0.5) end)
  expect_value({ brightness = 3 }, function(v) return math.min(255, math.floor(v) * 3) end)
end)

-- Many draws of one parameter: all within [low, high], and reaching near both ends.
local function range_of(options, key, shape)
  local generator, low, high = data.ImageDataGenerator(options), math.huge, -math.huge
  for _ = 1, 2000 do
    local value = generator:get_random_transform(shape or { 40, 80, 3 })[key]
    low, high = math.min(low, value), math.max(high, value)
  end
  return low, high
end

t.test("ranges of the draws", function()
  local function expect(options, key, want_low, want_high)
    local low, high = range_of(options, key)
    local slack = (want_high - want_low) / 100
    t.ok(low >= want_low and high <= want_high and low < want_low + slack and high > want_high - slack,
      ("%s in %g..%g, expected to fill %g..%g"):format(key, low, high, want_low, want_high))
  end
  expect({ rotation_range = 20 }, "theta", -20, 20)
  expect({ height_shift_range = 0.1 }, "tx", -4, 4) -- rows: a share of the height
  expect({ width_shift_range = 0.1 }, "ty", -8, 8)
  expect({ width_shift_range = 2.5 }, "ty", -2.5, 2.5) -- pixels
  expect({ shear_range = 0.05 }, "shear", -0.05, 0.05)
  expect({ zoom_range = 0.05 }, "zx", 0.95, 1.05)
  expect({ zoom_range = { 0.5, 3 } }, "zy", 0.5, 3)
  expect({ channel_shift_range = 30 }, "channel_shift_intensity", -30, 30)
  expect({ brightness_range = { 0.2, 1.5 } }, "brightness", 0.2, 1.5)
end)

t.test("whole shifts, chosen shifts, coins", function()
  local function values(options, key)
    local generator, seen = data.ImageDataGenerator(options), {}
    for _ = 1, 400 do seen[tostring(generator:get_random_transform({ 40, 80, 3 })[key])] = true end
    local list = {}
    for value in pairs(seen) do list[#list + 1] = value end
    return sorted(list)
  end
  t.equal(values({ height_shift_range = 3 }, "tx"), sorted { "-0.0", "0.0", "1.0", "-1.0", "2.0", "-2.0" })
  t.equal(values({ width_shift_range = { 4, 7.5 } }, "ty"), sorted { "4.0", "-4.0", "7.5", "-7.5" })
  t.equal(values({ width_shift_range = { 0.25 } }, "ty"), sorted { "20.0", "-20.0" })
  t.equal(values({ horizontal_flip = true }, "flip_horizontal"), { "false", "true" })
  t.equal(values({ horizontal_flip = true }, "flip_vertical"), { "false" })
  t.equal(values({ vertical_flip = true }, "flip_vertical"), { "false", "true" })
  t.equal(values({}, "channel_shift_intensity"), { "nil" })
end)

t.test("rows and columns zoom apart", function()
  local p = data.ImageDataGenerator { zoom_range = 0.5 }:get_random_transform { 8, 8, 3 }
  t.ok(p.zx ~= p.zy)
end)

t.test("a seed's parameters are the same through an integer and through a NumPy stream", function()
  local generator = data.ImageDataGenerator(AUGMENTATION)
  local shape = { 8, 8, 3 }
  t.equal(generator:get_random_transform(shape, 9), generator:get_random_transform(shape, random.numpy(9)))
end)

-- ---- after the transform

t.test("rescale, samplewise and featurewise normalisation", function()
  local x = core.uniform({ 3, 4, 5, 2 }, 0, 255, 4)
  local list, n = x:totable(), 40
  local function moments(values)
    local sum, squares = 0, 0
    for _, v in ipairs(values) do sum = sum + v end
    for _, v in ipairs(values) do squares = squares + (v - sum / #values) ^ 2 end
    return sum / #values, math.sqrt(squares / #values)
  end
  local scaled = {}
  for i, v in ipairs(x:reshape(-1):totable()) do scaled[i] = v / 255 end
  t.close(data.ImageDataGenerator { rescale = 1 / 255 }:standardize(x), scaled, 1e-7)
  local got = data.ImageDataGenerator { rescale = 0.5, samplewise_std_normalization = true }:standardize(x)
  for i = 1, 3 do
    local values = x[i]:reshape(-1):totable()
    t.equal(#values, n)
    for k = 1, n do values[k] = values[k] * 0.5 end
    local mean, std = moments(values)
    for k = 1, n do values[k] = (values[k] - mean) / (std + 1e-6) end
    t.close(got[i], values, 1e-5)
  end
  local generator = data.ImageDataGenerator { rescale = 2, featurewise_std_normalization = true }:fit(x)
  got = generator:standardize(x):totable()
  for c = 1, 2 do
    local values = {}
    for i = 1, 3 do
      for r = 1, 4 do
        for k = 1, 5 do values[#values + 1] = 2 * list[i][r][k][c] end
      end
    end
    local mean, std = moments(values)
    t.close(generator.mean[c], mean, 1e-3)
    t.close(generator.std[c], std, 1e-3)
    t.close(got[2][3][4][c], (2 * list[2][3][4][c] - mean) / (std + 1e-6), 1e-5)
  end
  local source = generator:flow(x, nil, { shuffle = false })
  t.close(source:next(), got, 1e-6)
  t.equal(source.preprocessing.mean, generator.mean)
end)

t.test("featurewise normalisation needs fit", function()
  local generator = data.ImageDataGenerator { featurewise_center = true }
  local x = core.uniform({ 2, 4, 4, 3 }, 0, 1, 1)
  t.raises(function() generator:standardize(x) end, "call fit%(x%) first")
  t.raises(function() generator:flow(x) end, "call fit%(x%) first")
  t.raises(function() generator:fit(x[1]) end, "expected pictures as a tensor of shape")
  generator:fit(x)
  local unfit = "fitted on 3 channels, the pictures have 1"
  t.raises(function() generator:standardize(core.zeros { 4, 4, 1 }) end, unfit)
  t.raises(function() generator:flow(core.zeros { 2, 4, 4, 1 }):batches() end, unfit)
  local turned = data.ImageDataGenerator { featurewise_center = true, rotation_range = 40,
    fill_mode = "constant", seed = 1 }
  turned:fit(x, { augment = true, rounds = 3 })
  t.ok(turned.mean[1] ~= generator.mean[1])
end)

t.test("preprocessing_function comes after the affine map and before rescale", function()
  local root, seen = cells { a = 2, b = 1 }, {}
  local function f(x)
    seen[#seen + 1] = x.shape
    for i = 1, #x do x[i] = i end
    return x
  end
  local gen = flow(root, { shuffle = false }, { preprocessing_function = f, rescale = 0.5, rotation_range = 90 })
  local x = gen:next():totable()
  t.equal(seen, { { 12, 10, 3 }, { 12, 10, 3 }, { 12, 10, 3 } })
  t.equal(x[3][7][2], { 3.5, 3.5, 3.5 })
  t.equal(gen.preprocessing.preprocessing_function, true)
  local function eights(picture) return core.full(picture.shape, 8) end
  local fresh = flow(root, { shuffle = false }, { preprocessing_function = eights, rescale = 0.5 })
  t.equal(fresh:next()[2][1][1]:totable(), { 4, 4, 4 })
  local function failing(g) return function() flow(root, {}, { preprocessing_function = g }):next() end end
  t.raises(failing(function() end), "must return the picture, it returned nil")
  t.raises(failing(function(p) return p:reshape(10, 12, 3) end),
    "must keep the shape: %(12, 10, 3%) became %(10, 12, 3%)")
  t.raises(failing(function() error("on purpose") end), "on purpose")
end)

t.test("a batch is the composition of its parts", function()
  local root = cells { a = 6, b = 5 }
  local options = { rotation_range = 30, zoom_range = 0.2, width_shift_range = 2,
    height_shift_range = 0.1, shear_range = 10, horizontal_flip = true, vertical_flip = true,
    channel_shift_range = 20, brightness_range = { 0.5, 1.5 }, fill_mode = "reflect",
    rescale = 1 / 255, samplewise_center = true }
  local gen = flow(root, { batch_size = 4, seed = 12 }, options)
  local raw = flow(root, { batch_size = 11, shuffle = false }):next()
  local maker, order, at = gen.image_data_generator, gen:order(12, 5), 0
  for x, y in gen:batches { epoch = 5 } do
    for i = 1, #x do
      at = at + 1
      local parameters = core.draw_transform(maker.core, 12, 10, 12, 5, order[at])
      t.close(x[i], maker:standardize(maker:apply_transform(raw[order[at]], parameters)), 1e-6)
      t.equal(y[i]:totable()[gen.classes[order[at]]], 1)
    end
  end
  t.equal(at, 11)
end)

-- ---- the same numbers, always

t.test("the same on 1, 2, 3 and 8 threads, and from the cache", function()
  local gen = flow(cells { a = 20, b = 20 }, { batch_size = 7, seed = 1 }, AUGMENTATION)
  local threads, want = core.threads(), nil
  for _, n in ipairs { 1, 2, 3, 8 } do
    core.threads(n)
    local got = all_of(gen, { epoch = 3 }) -- after the first pass the bytes come from the cache
    want = want or got
    t.equal(got, want)
  end
  core.threads(threads)
  gen.pictures = core.pictures(gen.filepaths, 12, 10, 3, "nearest", 0)
  t.equal(all_of(gen, { epoch = 3 }), want)
end)

t.test("two passes over one source at once", function()
  local gen = flow(cells { a = 10, b = 10 }, { batch_size = 3, seed = 1 }, AUGMENTATION)
  local want = all_of(flow(gen.directory, { batch_size = 3, seed = 1 }, AUGMENTATION), { epoch = 1 })
  local i = 0
  for x in gen:batches { epoch = 1 } do
    i = i + 1
    t.equal(x:totable(), want[i])
    local j = 0
    for other in gen:batches { epoch = 1 } do
      j = j + 1
      t.equal(other:totable(), want[j])
    end
  end
end)

-- ---- decoded pictures kept in a file

-- Prints a sum of every number of two passes, from another process: what it says as well is returned.
local passes = t.write(t.tmpdir() .. "/passes.lua", [[
  local core, data = require "giemsa.core", require "giemsa.data"
  local root, folder, threads = arg[1], arg[2], tonumber(arg[3])
  core.threads(threads)
  local maker = data.ImageDataGenerator { rotation_range = 20, horizontal_flip = true, rescale = 1 / 255 }
  local gen = maker:flow_from_directory(root, { target_size = { 12, 10 }, batch_size = 7, seed = 1,
    verbose = false, cache = folder ~= "" and folder or nil })
  local text = {}
  for epoch = 1, 2 do
    for x in gen:batches { epoch = epoch } do text[#text + 1] = core.to_bytes(x) end
  end
  print(core.checksum(table.concat(text)))
]])

local function run_passes(root, folder, threads, before)
  local output, code = t.shell(("%s %s %s %s %s %d"):format(before or "", t.quote(t.interpreter), passes,
    t.quote(root), t.quote(folder), threads or 2))
  t.equal(code, 0, output)
  return output:match("(%x+)\n$"), (output:gsub("%x+\n$", ""))
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

local function only_file(folder) return folder .. "/" .. core.list_folder(folder)[1][1] end

t.test("a cache on disk: the same numbers, whoever made it, on any number of threads", function()
  local root, folder = cells { a = 20, b = 20 }, t.tmpdir() .. "/cache/below"
  local want = run_passes(root, "")
  for round = 1, 2 do -- made, then found
    for threads = 1, 3 do
      local here = threads == 1 and folder or folder .. threads
      local got, said = run_passes(root, here, threads)
      t.equal(got, want, ("round %d, %d threads"):format(round, threads))
      t.equal(said, "")
      t.equal(#read(only_file(here)), 64 + 40 * (16 + 12 * 10 * 3))
    end
  end
  t.equal(read(only_file(folder)), read(only_file(folder .. 3)), "the file is the same, too")
end)

t.test("a cache on disk without room in memory", function()
  local gen, path = flow(cells { a = 9, b = 9 }, { batch_size = 5, seed = 1 }, AUGMENTATION), t.tmpdir() .. "/alone"
  local want = all_of(gen, { epoch = 1 })
  for _ = 1, 2 do
    gen.pictures = core.pictures(gen.filepaths, 12, 10, 3, "nearest", 0, path)
    for _ = 1, 2 do t.equal(all_of(gen, { epoch = 1 }), want) end
    t.equal(gen.pictures:trouble(), nil)
  end
end)

t.test("a picture that changed is decoded again", function()
  local root, folder = cells { a = 3, b = 3 }, t.tmpdir() .. "/cache_changed"
  local before = run_passes(root, folder)
  t.write(root .. "/a/" .. core.list_folder(root .. "/a")[2][1], bmp(12, 10, pattern(99)))
  local got, said = run_passes(root, folder)
  t.ok(got ~= before)
  t.equal({ got, said }, { run_passes(root, ""), "" })
end)

t.test("a cache that was cut or altered is found out, said in one line, and mended", function()
  local root, folder = cells { a = 5, b = 6 }, t.tmpdir() .. "/cache_damaged"
  local want = run_passes(root, folder)
  local path = only_file(folder)
  local whole = read(path)
  local function flipped(at) return whole:sub(1, at - 1) .. string.char(whole:byte(at) ~ 1) .. whole:sub(at + 1) end
  local damaged = {
    ["cut short"] = whole:sub(1, #whole // 2), ["cut to a few bytes"] = whole:sub(1, 10), ["too long"] = whole .. "x",
    ["not a cache at all"] = ("lorem ipsum "):rep(1000), ["its header altered"] = flipped(20),
    ["a pixel altered"] = flipped(64 + 16 + 100), ["its last pixel altered"] = flipped(#whole),
    ["a sum altered"] = flipped(64 + 9), ["zeros at the end"] = whole:sub(1, -200) .. ("\0"):rep(199),
  }
  for what, bytes in pairs(damaged) do
    t.write(path, bytes)
    local got, said = run_passes(root, folder, 3)
    t.equal(got, want, what)
    t.ok(said:find("^giemsa: .*11%-pictures%S+: this cache of decoded pictures was damaged[^\n]*\n$"), what .. ": " .. said)
    t.ok(read(path) == whole, what .. ": it is whole again")
  end
  t.write(path, flipped(64 + 1)) -- made of another file, for all it says
  t.equal({ run_passes(root, folder) }, { want, "" })
  t.write(path, "") -- or never begun
  t.equal({ run_passes(root, folder) }, { want, "" })
  t.ok(read(path) == whole)
end)

t.test("a pass that was left early keeps what it decoded", function()
  local gen, path = flow(cells { a = 6, b = 6 }, { batch_size = 2, shuffle = false }), t.tmpdir() .. "/early"
  gen.pictures = core.pictures(gen.filepaths, 12, 10, 3, "nearest", 0, path)
  local want = gen:batch(3)
  gen.pictures = nil
  collectgarbage()
  local size = 16 + 12 * 10 * 3
  local function place(i) return read(path):sub(64 + size * (i - 1) + 1, 64 + size * i) end
  t.ok(place(5):find("[^\0]") and place(6):find("[^\0]"))
  t.ok(not place(1):find("[^\0]") and not place(12):find("[^\0]"))
  t.equal({ place(6):byte(17, -1) }, want[2]:reshape(-1):totable())
end)

t.test("two processes make one cache at once", function()
  local root, folder = cells { a = 40, b = 40 }, t.tmpdir() .. "/cache_shared"
  local want = run_passes(root, "")
  local one = ("%s %s %s %s 2"):format(t.quote(t.interpreter), passes, t.quote(root), t.quote(folder))
  local output = t.shell(("%s & %s & %s & wait"):format(one, one, one))
  t.equal(output, (want .. "\n"):rep(3))
  t.equal({ run_passes(root, folder) }, { want, "" })
end)

t.test("a full disk is said once and no more", function()
  local root, folder = cells { a = 20, b = 20 }, t.tmpdir() .. "/cache_full"
  assert(core.make_folder(folder))
  local mounted = ("unshare -rm sh -c 'mount -t tmpfs -o size=8k none %s && exec \"$@\"' sh"):format(folder)
  if select(2, t.shell(mounted .. " true")) ~= 0 then t.skip "no small disk can be had here" end
  local got, said = run_passes(root, folder, 2, mounted)
  t.equal(got, run_passes(root, ""))
  t.ok(said:find("^giemsa: [^\n]*: cannot write to the cache of decoded pictures %(No space left on device%); going on without\n$"), said)
end)

t.test("no place for a cache is said once and no more", function()
  local root, folder = cells { a = 20, b = 20 }, t.tmpdir() .. "/cache_limited"
  local want = run_passes(root, "")
  local got, said = run_passes(root, folder, 2, "trap '' XFSZ; ulimit -f 4;")
  t.equal(got, want)
  t.ok(said:find("^giemsa: no cache of decoded pictures: cannot write [^\n]*: File too large\n$"), said)
  got, said = run_passes(root, t.write(t.tmpdir() .. "/in_the_way", "x"))
  t.equal(got, want)
  t.ok(said:find("^giemsa: no cache of decoded pictures: cannot make the folder %S+/in_the_way: [^\n]*\n$"), said)
  t.raises(function() flow(root, { cache = 3 }) end, "'cache' must be boolean or string")
end)

t.test("where the cache is", function()
  local root, home = cells { a = 2, b = 2 }, t.tmpdir() .. "/home"
  local script = t.write(t.tmpdir() .. "/where.lua", [[
    local gen = require("giemsa.data").ImageDataGenerator():flow_from_directory(arg[1],
      { target_size = { 4, 4 }, cache = true })
  ]])
  local function said(setting)
    return (t.shell(("env -u XDG_CACHE_HOME %s %s %s %s"):format(setting, t.quote(t.interpreter), script, t.quote(root))))
  end
  local line = "Decoded pictures are kept in %s/4%%-pictures%%-4x4x3%%-nearest%%-%%x+ %%(0 KB when all were read%%)%%."
  t.ok(said("HOME=" .. home):find(line:format(home .. "/.cache/giemsa")))
  t.ok(said("HOME=" .. home .. " XDG_CACHE_HOME=" .. home .. "/x"):find(line:format(home .. "/x/giemsa")))
end)

-- ---- leaving early, breaking, failing: nothing is lost

local function settle()
  collectgarbage()
  collectgarbage()
  return core.memory().in_use
end

t.test("leaving the loop, raising in it, dropping the iterator", function()
  local gen = flow(cells { a = 30, b = 30 }, { batch_size = 4 }, AUGMENTATION)
  all_of(gen)
  local before = settle()
  for round = 1, 30 do
    for _ in gen:batches() do if round % 2 == 0 then break end end
    pcall(function() for _ in gen:batches() do error("out") end end)
    local dropped = gen:batches()
    dropped()
    gen:next()
    gen:reset()
    gen:batch(round % #gen + 1)
    local _ = gen:batches() -- never called
  end
  t.equal(settle(), before)
end)

t.test("ends with a pass under way", function()
  local script = t.write(t.tmpdir() .. "/ends.lua", [[
    local data = require "giemsa.data"
    local maker = data.ImageDataGenerator { rotation_range = 20 }
    local gen = maker:flow_from_directory(arg[1], { batch_size = 2, verbose = false })
    held = gen:batches()
    held()
    gen:next()
    if arg[2] == "error" then error("on purpose") end
    if arg[2] == "exit" then os.exit(3) end
    if arg[2] == "close" then os.exit(3, true) end
  ]])
  local root = cells { a = 10, b = 10 }
  local lua = t.interpreter
  for how, want in pairs { normal = 0, error = 1, exit = 3, close = 3 } do
    local output, code = t.shell(("%s %s %s %s"):format(t.quote(lua), script, t.quote(root), how))
    t.equal(code, want, how .. ": " .. output)
  end
end)

t.test("a file that is not a picture: an error with its path, at its batch", function()
  local root = cells { a = 5, b = 5 }
  t.write(root .. "/a/C9_broken.png", "not a picture")
  t.write(root .. "/b/C9_empty.jpg", "")
  t.write(root .. "/b/C9_cut.bmp", bmp(12, 10, pattern(1)):sub(1, 200))
  t.write(root .. "/b/C9_tiff.tiff", "II*\0nothing here")
  local gen = flow(root, { batch_size = 1, shuffle = false })
  local read, failures = 0, {}
  local step = gen:batches()
  for _ = 1, gen.n do
    local ok, x = pcall(step)
    if ok then read = read + #x else failures[#failures + 1] = x end
  end
  t.equal(step(), nil)
  t.equal(read, 10)
  t.equal(#failures, 4)
  for i, name in ipairs { "a/C9_broken.png", "b/C9_cut.bmp", "b/C9_empty.jpg", "b/C9_tiff.tiff" } do
    t.ok(failures[i]:find(root .. "/" .. name, 1, true), failures[i])
  end
  t.raises(function() for _ in gen:batches() do end end, "tests/data.lua:%d+: .*C9_broken.png")
  t.raises(function() flow(root, { batch_size = 14, shuffle = false }):next() end, "C9_broken.png") -- the first of them
  os.remove(root .. "/a/C9_broken.png")
  t.raises(function() gen:batch(6) end, "C9_broken.png: No such file")
  local _ <const> = gen:batch(1)
end)

t.test("a file that cannot be read", function()
  if t.shell("id -u"):find("^0\n") then t.skip("root reads everything") end
  local root = cells { a = 1, b = 1 }
  t.shell("chmod 000 " .. t.quote(root .. "/a") .. "/*")
  t.raises(function() flow(root):next() end, "Permission denied")
end)

t.test("pictures larger than 64 million pixels are refused", function()
  local small = bmp(1, 1, pattern(1))
  local huge = small:sub(1, 18) .. string.pack("<i4i4", 20000, 20000) .. small:sub(27)
  local root = tree { ["a/1.bmp"] = small, ["b/2.bmp"] = huge }
  t.raises(function() flow(root):next() end, "b/2.bmp")
end)

t.test("memory stays flat over many epochs", function()
  local gen = flow(cells { a = 12, b = 12 }, { batch_size = 5 }, AUGMENTATION)
  local function epochs(n)
    for _ = 1, n do
      for _ in gen:batches { shuffle_batches = true } do end
      collectgarbage()
    end
    return settle()
  end
  local before = epochs(5)
  local system_calls = core.memory().system_calls
  t.equal(epochs(50), before)
  local asked = core.memory().system_calls - system_calls
  t.ok(asked <= 4, ("asked the system for %d blocks"):format(asked))
end)

t.test("an allocation that fails, each in turn, is an error and no more", function()
  local root = cells { a = 3, b = 3 }
  local function run()
    local gen = flow(root, { batch_size = 2, seed = 1 }, AUGMENTATION)
    local sum = 0
    for x, y in gen:batches { epoch = 1 } do sum = sum + x:reshape(-1)[1] + y:reshape(-1)[1] end
    return sum
  end
  local want = run()
  local before, n = settle(), 0
  repeat
    n = n + 1
    core.fail_after(n)
    local ok, got = pcall(run)
    local reached = core.fail_after(0) -- nil where the count left is not told
    if ok then t.equal(got, want) else t.ok(tostring(got):find("memory"), tostring(got)) end
    t.equal(settle(), before, "after allocation " .. n)
  until n >= (t.is_slow and 40 or 150) or reached
end)

-- ---- Ctrl-C in long work

-- Runs code in another process that is sent SIGINT while it works. The work would take much longer than the two seconds
-- that are allowed here, four times what is promised, so that a busy machine passes.
local function interrupted(code, root)
  local script = t.write(t.tmpdir() .. "/interrupted.lua", [[
    local core, data, hash = require "giemsa.core", require "giemsa.data", require "giemsa.hash"
    local sent
    local function interrupt_soon()
      local pid = io.open("/proc/self/stat"):read("n")
      assert(core.start_program { "sh", "-c", "sleep 0.3; kill -INT " .. pid })
      sent = core.now() + 0.3
    end
    local function report(ok, problem)
      print(ok, tostring(problem):match("interrupted!"), core.now() - sent < 2)
    end
    local root = arg[1]
    ]] .. code)
  return (t.shell(("%s %s %s"):format(t.quote(t.interpreter), script, t.quote(root))))
end

local function needs_signals()
  if t.is_slow then t.skip "it takes longer here" end
end

t.test("Ctrl-C while big pictures are decoded; a new pass is whole again", function()
  needs_signals()
  local root, picture = tree { ["a/"] = "", ["b/"] = "" }, require("giemsa.image").new(3000, 2000, { color = { 9, 8, 7 } })
  assert(picture:save(root .. "/a/0.png"))
  t.shell(("cd %s; for i in $(seq 500); do ln a/0.png a/$i.png; ln a/0.png b/$i.png; done"):format(root))
  for _, work in ipairs{ "function() for _ in gen:batches() do end end", "gen.next, gen" } do
    local output = interrupted(([[
      local gen = data.ImageDataGenerator():flow_from_directory(root, { target_size = { 8, 8 }, batch_size = 1000, verbose = false })
      interrupt_soon()
      report(pcall(%s))
      local small = data.ImageDataGenerator():flow_from_directory(root, { target_size = { 8, 8 }, batch_size = 2, verbose = false })
      print(#small:next(), core.sum((small:batch(2))):item())
    ]]):format(work), root)
    t.equal(output, "false\tinterrupted!\ttrue\n" .. ("2\t%s\n"):format(2 * 8 * 8 * (9 + 8 + 7.0)))
  end
end)

t.test("Ctrl-C while files are hashed", function()
  needs_signals()
  local root = tree { ["a/"] = "", ["b/1.png"] = "x" }
  t.shell(("truncate -s 10G %s/big; for i in $(seq 200); do truncate -s 50M %s/a/$i.png; done"):format(root, root))
  for _, work in ipairs{ 'hash.sha256_file, root .. "/big"', "gen.data_sha256, gen" } do
    local output = interrupted(([[
      local gen = data.ImageDataGenerator():flow_from_directory(root, { verbose = false })
      interrupt_soon()
      report(pcall(%s))
    ]]):format(work), root)
    t.equal(output, "false\tinterrupted!\ttrue\n")
  end
end)

-- ---- tensors

t.test("flow: variations of pictures in memory", function()
  local x, y = core.uniform({ 7, 6, 5, 2 }, 0, 255, 1), core.uniform({ 7, 3 }, 0, 1, 2)
  local plain = data.ImageDataGenerator():flow(x, y, { batch_size = 3, shuffle = false })
  t.equal({ plain.n, #plain }, { 7, 3 })
  local row = 0
  for xi, yi in plain:batches() do
    t.ok(xi == x:rows(row + 1, row + #xi) and yi == y:rows(row + 1, row + #xi))
    row = row + #xi
  end
  local maker = data.ImageDataGenerator { rotation_range = 45, seed = 4 }
  local gen = maker:flow(x, y)
  local first = gen:order(4, 1)[1]
  local parameters = core.draw_transform(maker.core, 6, 5, 4, 1, first)
  t.close(gen:next()[1], maker:apply_transform(x[first], parameters), 1e-6)
  t.raises(function() data.ImageDataGenerator():flow(x[1]) end, "expected pictures as a tensor of shape")
  t.raises(function() data.ImageDataGenerator():flow(x, y:rows(1, 6)) end, "7 pictures but 6 labels")
  t.raises(function() data.ImageDataGenerator():flow(x, y, { bach_size = 3 }) end, "did you mean 'batch_size'")
end)

t.test("flow holds its pictures even when the caller lets go", function()
  local x = core.uniform({ 40, 16, 16, 3 }, 0, 255, 1)
  local gen = data.ImageDataGenerator { rotation_range = 45 }:flow(x, nil, { batch_size = 4 })
  local step, _, _, closing = gen:batches()
  step()
  gen.pictures:release()
  gen = nil
  collectgarbage()
  t.equal(step().shape, { 4, 16, 16, 3 })
  closing:close()
  t.raises(step, "was closed")
end)

t.test("array: rows of tensors", function()
  local x, y = core.uniform({ 10, 3 }, 0, 1, 1), core.uniform({ 10 }, 0, 1, 2)
  local source = data.array(x, y, { batch_size = 4, shuffle = false })
  t.equal({ source.n, #source }, { 10, 3 })
  local row = 0
  for xi, yi in source:batches() do
    t.ok(xi == x:rows(row + 1, row + #xi) and yi == y:rows(row + 1, row + #xi))
    row = row + #xi
  end
  t.equal(row, 10)
  local shuffled, sum = data.array(x, nil, { seed = 2 }), 0
  for xi, yi in shuffled:batches() do
    t.equal(yi, nil)
    sum = sum + #xi
    t.ok(xi ~= x:rows(1, 10))
  end
  t.equal(sum, 10)
  t.raises(function() data.array(x, y:rows(1, 9)) end, "x has 10 rows, y has 9")
  t.raises(function() data.array(3) end, "expected a tensor with a row a sample")
  t.raises(function() data.array(x, y, { batch_size = 0 }) end, "batch_size must be at least 1")
  t.raises(function() source:batches { epochs = 2 } end, "unknown option 'epochs' %(did you mean 'epoch'%?%)")
end)

-- ---- whose cells

t.test("patients, and who stands on both sides", function()
  t.equal(data.patient_of("Parasitized/C116P77ThinF_IMG_20150930_171809_cell_83.png"), "C116")
  t.equal(data.patient_of("C1_thinF_IMG_1.png"), "C1")
  t.equal(data.patient_of("/data/C7/cell.png"), nil)
  local a = { "a/C10P1_1.png", "a/C2_1.png", "a/C9_1.png" }
  t.equal(data.leakage(a, { "b/C9_7.png", "b/C10_2.png", "b/other.png" }), { "C9", "C10" })
  local root = cells { a = 3, b = 3 }
  local other = flow(root, { class_mode = "none", classes = { "b" } })
  t.equal(data.leakage(flow(root), other), { "C2", "C3", "C4" })
end)

t.test("the fingerprint of a data set", function()
  local ok = pcall(require, "giemsa.hash")
  if not ok then t.skip("built without nettle") end
  local root = cells { a = 2, b = 2 }
  local gen = flow(root)
  local command = "cd %s && find . -name '*.bmp' | sed 's,^\\./,,' | LC_ALL=C sort | xargs sha256sum | sha256sum"
  local want, code = t.shell(command:format(t.quote(root)))
  t.equal(code, 0)
  t.equal(gen:data_sha256(), want:match("^%x+"))
  t.equal(flow(root, { batch_size = 1, shuffle = false }):data_sha256(), gen:data_sha256())
  t.write(gen.filepaths[1], bmp(12, 10, pattern(99)))
  t.ok(flow(root):data_sha256() ~= gen:data_sha256())
end)

t.test("a real sample, if there is one", function()
  local root = t.need_datasets() .. "/malaria/training"
  local gen = flow(root, { target_size = { 64, 64 } }, AUGMENTATION)
  t.equal({ gen.n, #gen }, { 360, 12 })
  t.equal(gen.class_indices, { Parasitized = 1, Uninfected = 2 })
  local low, high, rows = math.huge, -math.huge, 0
  for x in gen:batches { steps = 3 } do
    rows = rows + #x
    for _, v in ipairs(x:reshape(-1):totable()) do low, high = math.min(low, v), math.max(high, v) end
  end
  t.equal(rows, 96)
  t.ok(low == 0 and high > 0.8 and high <= 1.000001)
end)

t.done()
