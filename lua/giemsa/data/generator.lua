--- ImageDataGenerator: random variations of pictures, made while the network trains; with Keras's names, order and rules
--- (keras-preprocessing 1.1.2). A picture goes through: decode, resize, one affine map (rotation, shift, shear, zoom),
--- channel shift, flips, brightness, then preprocessing_function, x rescale, normalisation. Values are 0..255 until rescale.
local core = require "giemsa.core"
local options = require "giemsa.options"
local random = require "giemsa.random"
local Source = require "giemsa.data.source"
local folder = require "giemsa.data.folder"

local CACHE_BYTES = 256 << 20 -- a set of pictures smaller than this is decoded once

---@class giemsa.ImageDataGenerator
---@field mean number[]? a number a channel, after fit
---@field std number[]?
local ImageDataGenerator = {}
ImageDataGenerator.__index = ImageDataGenerator

-- ---- options

local KNOWN = {
  rotation_range = "number", width_shift_range = "number|table", height_shift_range = "number|table", shear_range = "number",
  zoom_range = "number|table", channel_shift_range = "number", brightness_range = "table", horizontal_flip = "boolean",
  vertical_flip = "boolean", fill_mode = "string", cval = "number", rescale = "number", validation_split = "number",
  preprocessing_function = "callable", featurewise_center = "boolean", featurewise_std_normalization = "boolean",
  samplewise_center = "boolean", samplewise_std_normalization = "boolean", seed = "integer",
}

local function complain(message, ...) error(("ImageDataGenerator: " .. message):format(...), 4) end

local function is_finite(x) return type(x) == "number" and x == x and math.abs(x) < math.huge end

local function check_pair(name, value, least, above)
  local low, high = value[1], value[2]
  if #value ~= 2 or not is_finite(low) or not is_finite(high) or low > high then
    complain("%s must be two numbers {low, high}, low first", name)
  end
  if low < least or above and low == least then
    complain("%s must %s %g, got {%g, %g}", name, above and "be above" or "not go below", least, low, high)
  end
  return { low, high }
end

local function check_shift(name, value)
  if type(value) == "number" then
    if not is_finite(value) or value < 0 then complain("%s must not be negative, got %s", name, value) end
  else
    for _, one in ipairs(value) do
      if not is_finite(one) then complain("%s: a table lists the shifts to choose from, as numbers", name) end
    end
    if #value == 0 or #value > 64 then complain("%s: a table lists 1 to 64 shifts to choose from, got %d", name, #value) end
  end
  return value
end

local function check_zoom(value)
  if type(value) ~= "number" then return check_pair("zoom_range", value, 0, true) end
  if not is_finite(value) or value < 0 or value >= 1 then
    complain("zoom_range must be in [0, 1) (0.05 draws from 0.95..1.05) or {low, high}, got %s", value)
  end
  return { 1 - value, 1 + value }
end

-- The options with every default filled in, zoom_range as a pair.
local function complete(given)
  local o = { rotation_range = 0, width_shift_range = 0.0, height_shift_range = 0.0, shear_range = 0, zoom_range = 0,
    channel_shift_range = 0, horizontal_flip = false, vertical_flip = false, fill_mode = "nearest", cval = 0, validation_split = 0 }
  for key, value in pairs(given) do o[key] = value end
  for _, name in ipairs { "rotation_range", "shear_range", "channel_shift_range", "cval", "rescale" } do
    if o[name] and not is_finite(o[name]) then complain("%s must be a finite number, got %s", name, o[name]) end
  end
  check_shift("width_shift_range", o.width_shift_range)
  check_shift("height_shift_range", o.height_shift_range)
  o.zoom_range = check_zoom(o.zoom_range)
  if o.brightness_range then o.brightness_range = check_pair("brightness_range", o.brightness_range, 0) end
  options.one_of("ImageDataGenerator", "fill_mode", o.fill_mode, { "nearest", "constant", "reflect", "wrap" }, 4)
  if o.validation_split ~= 0 and not (o.validation_split > 0 and o.validation_split < 1) then
    complain("validation_split must be strictly between 0 and 1, got %s", o.validation_split)
  end
  if o.rescale == 0 then o.rescale = nil end
  o.featurewise_center = o.featurewise_center or o.featurewise_std_normalization
  o.samplewise_center = o.samplewise_center or o.samplewise_std_normalization
  return o
end

--- A recipe of random variations and of the arithmetic after them. Everything is off unless named.
---
--- rotation_range: degrees either way. width_shift_range, height_shift_range: a float below 1 is a fraction of the side, a larger
--- one pixels; a whole number n draws whole pixels below n; a table lists the choices. shear_range: an angle in
--- degrees (so 0.05 is next to nothing). zoom_range: z or {low, high}, rows and columns drawn apart. brightness_range: {low, high},
--- factors. fill_mode: nearest, constant (with cval), reflect, wrap. rescale: a factor, such as 1/255. preprocessing_function: a
--- function of a picture tensor (h, w, c) that returns one of the same shape; it runs on the main thread. validation_split: the share of
--- each class's files (the first ones) that subset = "validation" takes. featurewise_*: with the means and deviations found
--- by fit(). *_std_normalization includes *_center. Unknown names raise.
---@param given table?
---@return giemsa.ImageDataGenerator
local function new(given)
  local o = complete(options.check("ImageDataGenerator", given, KNOWN))
  local self = setmetatable({ options = o, drawn = 0 }, ImageDataGenerator)
  self.seed = o.seed or random.get_seed() ~ random.consumer() << 32
  self:update()
  return self
end

-- Tells the core about the options, and the means and deviations once they are known.
function ImageDataGenerator:update()
  local o = setmetatable({ mean = self.mean, std = self.std }, { __index = self.options })
  local plain = {}
  for key in pairs(KNOWN) do plain[key] = o[key] end
  plain.mean, plain.std = o.mean, o.std
  self.core = core.augment(plain)
end

local function require_fit(self, level)
  if self.options.featurewise_center and not self.mean then
    error("featurewise normalisation needs the means of the training pictures: call fit(x) first", level + 1)
  end
end

-- ---- one picture

local TRANSFORM = { theta = "number", tx = "number", ty = "number", shear = "number", zx = "number", zy = "number",
  flip_horizontal = "boolean|number", flip_vertical = "boolean|number", channel_shift_intensity = "number", brightness = "number" }

local function check_picture(who, x, level)
  if not core.is_tensor(x) or x.ndim ~= 3 then
    local what = core.is_tensor(x) and "one with %d dimensions" or "a " .. type(x)
    error(("%s: expected a picture, a tensor of shape (height, width, channels), got " .. what):format(who, core.is_tensor(x) and x.ndim), level + 1)
  end
  return x
end

--- Draws the parameters of one variation.
---@param shape integer[] {height, width, ...} of the picture
---@param seed? integer|giemsa.twister an integer gives Keras's own parameters for that seed; a giemsa.random.numpy(seed) is drawn
--- from further; nil: this generator's own stream
---@return table parameters theta, tx (rows), ty (columns), shear, zx, zy, flip_horizontal, flip_vertical, ...
function ImageDataGenerator:get_random_transform(shape, seed)
  if type(shape) ~= "table" or math.type(shape[1]) ~= "integer" or math.type(shape[2]) ~= "integer" then
    error("get_random_transform: expected the picture's shape as {height, width, channels}", 2)
  end
  if seed == nil then
    self.drawn = self.drawn + 1
    return core.draw_transform(self.core, shape[1], shape[2], self.seed, 0, self.drawn)
  end
  local numpy = type(seed) == "number" and random.numpy(seed) or seed
  return core.draw_transform(self.core, shape[1], shape[2], numpy.state)
end

--- Applies parameters to a picture (h, w, c) with values 0..255: affine, channel shift, flips, brightness.
---@return giemsa.Tensor a new one
function ImageDataGenerator:apply_transform(x, parameters)
  check_picture("apply_transform", x, 2)
  return core.apply_transform(self.core, x, options.check("apply_transform", parameters, TRANSFORM))
end

--- get_random_transform and apply_transform in one.
function ImageDataGenerator:random_transform(x, seed)
  check_picture("random_transform", x, 2)
  return core.apply_transform(self.core, x, self:get_random_transform(x.shape, seed))
end

-- Runs the lesson's function on picture number i of a batch (or on the picture x itself), in place.
local function preprocess(f, x)
  local y = f(x)
  if not core.is_tensor(y) then error(("preprocessing_function must return the picture, it returned %s"):format(type(y)), 0) end
  local want, got = x.shape, y.shape
  for d = 1, math.max(#want, #got) do
    if want[d] ~= got[d] then
      error(("preprocessing_function must keep the shape: (%s) became (%s)"):format(table.concat(want, ", "), table.concat(got, ", ")), 0)
    end
  end
  x:copy_from(y)
end

local function preprocess_all(f, x)
  if not f then return end
  if x.ndim == 3 then return preprocess(f, x) end
  for i = 1, #x do preprocess(f, x[i]) end
end

--- preprocessing_function, rescale and normalisation, of a picture (h, w, c) or of each in a batch (n, h, w, c).
---@return giemsa.Tensor a new one (Keras changes x)
function ImageDataGenerator:standardize(x)
  if not (core.is_tensor(x) and x.ndim == 4) then check_picture("standardize", x, 2) end
  require_fit(self, 2)
  local y = x:copy()
  preprocess_all(self.options.preprocessing_function, y)
  core.standardise(self.core, y)
  return y
end

local function augmented(self, x, rounds, seed)
  local height, width, n = x.shape[2], x.shape[3], #x
  local all = core.empty { rounds * n, height, width, x.shape[4] }
  for round = 1, rounds do
    for i = 1, n do
      local parameters = core.draw_transform(self.core, height, width, seed, round, i)
      all[(round - 1) * n + i] = core.apply_transform(self.core, x[i], parameters)
    end
  end
  return all
end

--- Finds the means and deviations of the channels for featurewise normalisation, on rescaled pictures.
---@param x giemsa.Tensor (n, h, w, c), values 0..255
---@param given? {augment?: boolean, rounds?: integer, seed?: integer} augment: measure random variations, rounds of them
---@return giemsa.ImageDataGenerator self
function ImageDataGenerator:fit(x, given)
  local o = options.check("fit", given, { augment = "boolean", rounds = "integer", seed = "integer" })
  if not core.is_tensor(x) or x.ndim ~= 4 or x.size == 0 then error("fit: expected pictures as a tensor of shape (n, height, width, channels)", 2) end
  x = x:copy()
  core.standardise(core.augment { rescale = self.options.rescale }, x)
  if o.augment then x = augmented(self, x, o.rounds or 1, o.seed or self.seed) end
  local mean, std = core.channel_moments(x)
  if self.options.featurewise_center then self.mean = mean end
  if self.options.featurewise_std_normalization then self.std = std end
  self:update()
  return self
end

-- ---- sources

-- A reader whose rows are made by the core's threads.
local Reader = {}
Reader.__index = Reader

local function new_reader(source, seed, epoch)
  local generator = source.image_data_generator
  local f = generator.options.preprocessing_function
  local loader = core.loader(source.pictures, generator.core, seed, epoch, not f)
  return setmetatable({ source = source, f = f, augment = generator.core, closing = loader }, Reader)
end

function Reader:submit(rows)
  local x = core.empty { #rows, table.unpack(self.source.image_shape) }
  self.closing:submit(x, rows)
  self[#self + 1] = { x, rows }
end

function Reader:wait()
  local x, rows = table.unpack(table.remove(self, 1))
  local ok, problem = self.closing:wait()
  if not ok then return nil, problem end
  if self.f then
    preprocess_all(self.f, x)
    core.standardise(self.augment, x)
  end
  if self.source.class_mode == "input" then return x, x:copy() end
  local labels = self.source.labels
  return x, labels and core.take(labels, rows)
end

---@class giemsa.Generator : giemsa.Source
---@field image_shape integer[] {height, width, channels}
---@field preprocessing table how a picture becomes an input: saved with a model
local Generator = Source.extend()

function Generator:reader(seed, epoch) return new_reader(self, seed, epoch) end

-- What somebody who has only a picture must do to it before the model sees it.
local function preprocessing_of(generator, extra)
  local o = generator.options
  local p = { rescale = o.rescale, samplewise_center = o.samplewise_center or nil, mean = generator.mean, std = generator.std,
    samplewise_std_normalization = o.samplewise_std_normalization or nil, preprocessing_function = o.preprocessing_function and true }
  for key, value in pairs(extra) do p[key] = value end
  return p
end

local LABELS = {
  categorical = core.one_hot,
  binary = function(classes)
    local y = core.zeros { #classes }
    for i, class in ipairs(classes) do y[i] = class - 1 end
    return y
  end,
  sparse = function(classes) return core.from_table(classes) end,
}

local FLOW_FROM_DIRECTORY = { target_size = "table", color_mode = "string", classes = "table", class_mode = "string|boolean",
  batch_size = "integer", shuffle = "boolean", seed = "integer", subset = "string", interpolation = "string",
  follow_links = "boolean", verbose = "boolean" }
local CHANNELS = { rgb = 3, grayscale = 1 }

local function check_size(size)
  local ok = #size == 2
  for i = 1, 2 do
    local side = ok and math.tointeger(size[i])
    ok = side and side >= 1 and side <= 32768
  end
  if not ok then error("flow_from_directory: target_size must be {height, width} in pixels", 4) end
  return { math.tointeger(size[1]), math.tointeger(size[2]) }
end

local function check_batch_size(who, size)
  if size and size < 1 then error(("%s: batch_size must be at least 1, got %s"):format(who, size), 4) end
  return math.tointeger(size or 32)
end

local function folder_options(given)
  local who = "flow_from_directory"
  local o = options.check(who, given, FLOW_FROM_DIRECTORY, 4)
  local mode = o.class_mode == nil and "categorical" or o.class_mode or "none"
  options.one_of(who, "class_mode", mode, { "categorical", "binary", "sparse", "input", "none" }, 4)
  return {
    target_size = check_size(o.target_size or { 256, 256 }), class_mode = mode, classes = o.classes, subset = o.subset,
    color_mode = options.one_of(who, "color_mode", o.color_mode or "rgb", { "rgb", "grayscale" }, 4),
    interpolation = options.one_of(who, "interpolation", o.interpolation or "nearest", { "nearest", "bilinear", "area" }, 4),
    batch_size = check_batch_size(who, o.batch_size), shuffle = o.shuffle ~= false, seed = o.seed, follow_links = o.follow_links,
    verbose = o.verbose ~= false,
  }
end

-- First and last of n files that a subset takes: "validation" the first share, "training" the rest.
local function subset_range(who, generator, subset, n)
  if not subset then return 1, n end
  options.one_of(who, "subset", subset, { "training", "validation" }, 4)
  local split = generator.options.validation_split
  if split == 0 then error(("%s: subset needs an ImageDataGenerator with validation_split"):format(who), 4) end
  local cut = math.floor(split * n)
  if subset == "validation" then return 1, cut end
  return cut + 1, n
end

-- The files of all classes: names relative to the root, their class numbers, and the count of each class.
local function find_files(generator, root, names, o)
  local files, classes, counts = {}, {}, {}
  for class, name in ipairs(names) do
    local all = folder.pictures("flow_from_directory", root, name, o.follow_links, 4)
    local first, last = subset_range("flow_from_directory", generator, o.subset, #all)
    counts[class] = math.max(0, last - first + 1)
    for i = first, last do
      files[#files + 1] = all[i]
      classes[#files] = class
    end
  end
  return files, classes, counts
end

local function report_files(root, names, files, counts, o)
  if #files == 0 then
    error(("flow_from_directory: no pictures in %s%s (looked in %s for names ending in %s)"):format(root,
      o.subset and " for subset '" .. o.subset .. "'" or "", table.concat(names, ", "), folder.extensions), 4)
  end
  for class, count in ipairs(counts) do
    if count == 0 then io.stderr:write(("warning: no pictures of class '%s' in %s\n"):format(names[class], root)) end
  end
  if o.verbose then io.write(("Found %d images belonging to %d classes.\n"):format(#files, #names)) end
end

-- Sorted names and contents as the text `sha256sum` would print, hashed.
local function hash_files(root, names)
  local hash = require "giemsa.hash"
  local sorted, total = table.move(names, 1, #names, 1, {}), hash.new()
  table.sort(sorted, core.byte_less)
  for _, name in ipairs(sorted) do
    local digest, problem = hash.sha256_file(root .. "/" .. name)
    if not digest then return nil, problem end
    total:update(digest .. "  " .. name .. "\n")
  end
  return total:hex()
end

---@class giemsa.DirectoryIterator : giemsa.Generator
---@field directory string
---@field class_names string[]
---@field class_indices table<string, integer> from 1
---@field classes integer[] each file's class, from 1 (in files and in Keras they count from 0)
---@field filenames string[] relative to directory
local Directory = Source.extend()
Directory.reader = Generator.reader

--- SHA-256 of the data: of the lines "digest  name" of all files sorted by name, as printed by `sha256sum`.
---@return string 64 hex digits
function Directory:data_sha256()
  if not self.digest then
    local digest, problem = hash_files(self.directory, self.filenames)
    if not digest then error(problem, 2) end
    self.digest = digest
  end
  return self.digest
end

function Directory:__tostring()
  return ("%d pictures in %d classes (%s) of %s, batches of %d x (%s)"):format(self.n, self.num_classes,
    table.concat(self.class_names, ", "), self.directory, self.batch_size, table.concat(self.image_shape, ", "))
end

local function indices(names)
  local map = {}
  for i, name in ipairs(names) do map[name] = i end
  return map
end

local function new_directory(self, root, o, names, files, classes)
  local height, width, channels = o.target_size[1], o.target_size[2], CHANNELS[o.color_mode]
  local paths = {}
  for i, name in ipairs(files) do paths[i] = root .. "/" .. name end
  local make_labels = LABELS[o.class_mode]
  return setmetatable(Source.init {
    n = #files, samples = #files, batch_size = o.batch_size, shuffle = o.shuffle, seed = o.seed or self.options.seed,
    directory = root, image_data_generator = self, class_names = names, num_classes = #names, class_indices = indices(names),
    classes = classes, filenames = files, filepaths = paths, class_mode = o.class_mode, color_mode = o.color_mode,
    target_size = o.target_size, image_shape = { height, width, channels }, labels = make_labels and make_labels(classes, #names),
    preprocessing = preprocessing_of(self, { target_size = o.target_size, color_mode = o.color_mode, interpolation = o.interpolation }),
    pictures = core.pictures(paths, height, width, channels, o.interpolation, CACHE_BYTES),
  }, Directory)
end

local function open_directory(self, root, given)
  if type(root) ~= "string" then error("flow_from_directory: expected the path of a folder, got " .. type(root), 3) end
  local o = folder_options(given)
  root = root:match("^(.-)/*$")
  if root == "" then root = "/" end
  require_fit(self, 3)
  local names = folder.choose_classes("flow_from_directory", root, o.classes, o.class_mode ~= "none" and o.class_mode ~= "input", 4)
  if o.class_mode == "binary" and #names ~= 2 then
    error(("flow_from_directory: class_mode \"binary\" needs exactly two classes, %s has %d"):format(root, #names), 3)
  end
  local files, classes, counts = find_files(self, root, names, o)
  report_files(root, names, files, counts, o)
  local source = new_directory(self, root, o, names, files, classes)
  return source
end

--- A source of the pictures in class folders: root/CLASS/*.png. Prints "Found N images belonging to C classes."
---
--- target_size {height, width} (256, 256); color_mode "rgb" or "grayscale"; classes: names in the order of their numbers (sorted
--- folder names); class_mode "categorical" (y one-hot), "binary" (y 0 or 1), "sparse" (y the class number, from 1), "input" (y = x),
--- "none" or false (no y); batch_size 32; shuffle true; seed; subset "training" or "validation"; interpolation "nearest" (the
--- default, as in Keras), "bilinear" (OpenCV's) or "area"; follow_links; verbose = false prints nothing.
---@param root string
---@param given table?
---@return giemsa.DirectoryIterator
function ImageDataGenerator:flow_from_directory(root, given)
  local source = open_directory(self, root, given)
  return source
end

local function flow_range(self, x, y, o)
  if not core.is_tensor(x) or x.ndim ~= 4 or x.size == 0 then
    error("flow: expected pictures as a tensor of shape (n, height, width, channels)", 4)
  end
  if y ~= nil and not (core.is_tensor(y) and y.ndim > 0) then error("flow: labels must be a tensor with a row a picture", 4) end
  if y and #y ~= #x then error(("flow: %d pictures but %d labels"):format(#x, #y), 4) end
  local first, last = subset_range("flow", self, o.subset, #x)
  if last < first then error(("flow: subset '%s' of %d pictures is empty"):format(o.subset, #x), 4) end
  return first, last
end

local function open_flow(self, x, y, given)
  local o = options.check("flow", given, { batch_size = "integer", shuffle = "boolean", seed = "integer", subset = "string" }, 4)
  local first, last = flow_range(self, x, y, o)
  require_fit(self, 3)
  local shape = x.shape
  local image_shape = { shape[2], shape[3], shape[4] }
  return setmetatable(Source.init {
    n = last - first + 1, samples = last - first + 1, batch_size = check_batch_size("flow", o.batch_size), shuffle = o.shuffle ~= false,
    seed = o.seed or self.options.seed, image_data_generator = self, image_shape = image_shape, pictures = x:rows(first, last),
    labels = y and y:rows(first, last), preprocessing = preprocessing_of(self, { target_size = { shape[2], shape[3] } }),
  }, Generator)
end

--- A source of variations of pictures in memory.
---@param x giemsa.Tensor (n, h, w, c), values 0..255 (not copied)
---@param y giemsa.Tensor? a row a picture
---@param given? {batch_size?: integer, shuffle?: boolean, seed?: integer, subset?: string}
---@return giemsa.Generator
function ImageDataGenerator:flow(x, y, given)
  local source = open_flow(self, x, y, given)
  return source
end

return new
