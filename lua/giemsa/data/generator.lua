--- ImageDataGenerator: random variations of pictures, made while the network trains; with Keras's
--- names, order and rules (keras-preprocessing 1.1.2). A picture goes through: decode, resize, one
--- affine map (rotation, shift, shear, zoom), channel shift, flips, brightness, then
--- preprocessing_function, x rescale, normalisation. Values are 0..255 until rescale.
local core = require "giemsa.core"
local options = require "giemsa.options"
local random = require "giemsa.random"
local flow = require "giemsa.data.flow"

---@class giemsa.ImageDataGenerator
---@field mean number[]? a number a channel, after fit
---@field std number[]?
local ImageDataGenerator = {}
ImageDataGenerator.__index = ImageDataGenerator

-- ---- options

local KNOWN = {
  rotation_range = "number", width_shift_range = "number|table",
  height_shift_range = "number|table", shear_range = "number", zoom_range = "number|table",
  channel_shift_range = "number", brightness_range = "table", horizontal_flip = "boolean",
  vertical_flip = "boolean", fill_mode = "string", cval = "number", rescale = "number",
  validation_split = "number", preprocessing_function = "callable", seed = "integer",
  featurewise_center = "boolean", featurewise_std_normalization = "boolean",
  samplewise_center = "boolean", samplewise_std_normalization = "boolean",
}

local function is_finite(x) return type(x) == "number" and x == x and math.abs(x) < math.huge end

-- Each check returns what is wrong with a value, or nil.

local function wrong_number(value)
  return value and not is_finite(value) and ("must be a finite number, got %s"):format(value)
end

local function wrong_pair(value, least, above)
  local low, high = value[1], value[2]
  if #value ~= 2 or not is_finite(low) or not is_finite(high) or low > high then
    return "must be two numbers {low, high}, low first"
  end
  if low < least or above and low == least then
    local rule = above and "be above" or "not go below"
    return ("must %s %g, got {%g, %g}"):format(rule, least, low, high)
  end
end

local function wrong_shift(value)
  if type(value) == "number" then
    return not (is_finite(value) and value >= 0) and ("must not be negative, got %s"):format(value)
  end
  for _, one in ipairs(value) do
    if not is_finite(one) then return "as a table lists the shifts to choose from: numbers" end
  end
  if #value == 0 or #value > 64 then
    return ("as a table lists 1 to 64 shifts to choose from, got %d"):format(#value)
  end
end

local function wrong_zoom(value)
  if type(value) == "table" then return wrong_pair(value, 0, true) end
  return not (is_finite(value) and value >= 0 and value < 1)
    and ("must be in [0, 1) (0.05 draws from 0.95..1.05) or {low, high}, got %s"):format(value)
end

local function wrong_split(value)
  return not (value >= 0 and value < 1)
    and ("must be strictly between 0 and 1, got %s"):format(value)
end

local CHECKS = {
  { "rotation_range", wrong_number }, { "width_shift_range", wrong_shift },
  { "height_shift_range", wrong_shift }, { "shear_range", wrong_number },
  { "zoom_range", wrong_zoom }, { "channel_shift_range", wrong_number },
  { "brightness_range", function(value) return wrong_pair(value, 0) end },
  { "cval", wrong_number }, { "rescale", wrong_number }, { "validation_split", wrong_split },
}
local FILL_MODES = { "nearest", "constant", "reflect", "wrap" }

local function check_values(o, level)
  for _, check in ipairs(CHECKS) do
    local name, wrong = check[1], check[2]
    local problem = o[name] ~= nil and wrong(o[name])
    if problem then error(("ImageDataGenerator: %s %s"):format(name, problem), level) end
  end
  options.one_of("ImageDataGenerator", "fill_mode", o.fill_mode, FILL_MODES, level + 1)
end

local DEFAULTS = {
  rotation_range = 0, width_shift_range = 0.0, height_shift_range = 0.0, shear_range = 0,
  zoom_range = 0, channel_shift_range = 0, horizontal_flip = false, vertical_flip = false,
  fill_mode = "nearest", cval = 0, validation_split = 0,
}

-- The options with every default filled in, zoom_range as a pair.
local function complete(given, level)
  local o = {}
  for key, value in pairs(DEFAULTS) do o[key] = value end
  for key, value in pairs(given) do o[key] = value end
  check_values(o, level + 1)
  if type(o.zoom_range) == "number" then o.zoom_range = { 1 - o.zoom_range, 1 + o.zoom_range } end
  if o.rescale == 0 then o.rescale = nil end
  o.featurewise_center = o.featurewise_center or o.featurewise_std_normalization
  o.samplewise_center = o.samplewise_center or o.samplewise_std_normalization
  return o
end

--- A recipe of random variations and of the arithmetic after them. Everything is off unless named.
---
--- rotation_range: degrees either way. width_shift_range, height_shift_range: a float below 1 is a
--- fraction of the side, a larger one pixels; a whole number n draws whole pixels below n; a table
--- lists the choices. shear_range: an angle in degrees (so 0.05 is next to nothing). zoom_range: z
--- or {low, high}, rows and columns drawn apart. brightness_range: {low, high}, factors. fill_mode:
--- nearest, constant (with cval), reflect, wrap. rescale: a factor, such as 1/255.
--- preprocessing_function: a function of a picture tensor (h, w, c) that returns one of the same
--- shape; it runs on the main thread. validation_split: the share of each class's files (the first
--- ones) that subset = "validation" takes. featurewise_*: with the means and deviations found by
--- fit(). *_std_normalization includes *_center. Unknown names raise.
---@param given table?
---@return giemsa.ImageDataGenerator
local function new(given)
  local o = complete(options.check("ImageDataGenerator", given, KNOWN), 3)
  local self = setmetatable({ options = o, drawn = 0 }, ImageDataGenerator)
  self.seed = o.seed or random.get_seed() ~ random.consumer() << 32
  self:update()
  return self
end

-- Tells the core about the options, and the means and deviations once they are known.
function ImageDataGenerator:update()
  local o = { mean = self.mean, std = self.std }
  for key, value in pairs(self.options) do o[key] = value end
  self.core = core.augment(o)
end

--- Raises when featurewise normalisation was asked for and fit() not called yet.
function ImageDataGenerator:require_fit(level)
  if self.options.featurewise_center and not self.mean then
    error("featurewise normalisation needs the means of the training pictures: call fit(x) first",
      level + 1)
  end
end

local RANDOM = { "rotation_range", "width_shift_range", "height_shift_range", "shear_range",
  "zoom_range", "channel_shift_range", "brightness_range", "horizontal_flip", "vertical_flip" }

--- The names of the options that vary pictures at random.
---@return string[]
function ImageDataGenerator:variations()
  local names = {}
  for _, name in ipairs(RANDOM) do
    local value = self.options[name]
    local is_still = not value or value == 0
      or type(value) == "table" and value[1] == value[2] and value[1] == 1
    if not is_still then names[#names + 1] = name end
  end
  return names
end

-- ---- one picture

local TRANSFORM = {
  theta = "number", tx = "number", ty = "number", shear = "number", zx = "number", zy = "number",
  flip_horizontal = "boolean|number", flip_vertical = "boolean|number",
  channel_shift_intensity = "number", brightness = "number",
}

local function check_picture(who, x, level)
  if not core.is_tensor(x) or x.ndim ~= 3 then
    local what = core.is_tensor(x) and ("one with %d dimensions"):format(x.ndim) or "a " .. type(x)
    local message = "%s: expected a picture, a tensor of shape (height, width, channels), got %s"
    error(message:format(who, what), level + 1)
  end
  return x
end

--- Draws the parameters of one variation.
---@param shape integer[] {height, width, ...} of the picture
---@param seed? integer|giemsa.twister an integer gives Keras's own parameters for that seed; a
--- giemsa.random.numpy(seed) is drawn from further; nil: this generator's own stream
---@return table parameters theta, tx (rows), ty (columns), shear, zx, zy, flip_horizontal,
--- flip_vertical, ...
function ImageDataGenerator:get_random_transform(shape, seed)
  if type(shape) ~= "table" or not math.tointeger(shape[1]) or not math.tointeger(shape[2]) then
    error("get_random_transform: expected the picture's shape as {height, width, channels}", 2)
  end
  if seed == nil then
    self.drawn = self.drawn + 1
    return core.draw_transform(self.core, shape[1], shape[2], self.seed, 0, self.drawn)
  end
  local numpy = type(seed) == "number" and random.numpy(seed) or seed
  return core.draw_transform(self.core, shape[1], shape[2], numpy.state)
end

--- Applies parameters to a picture (h, w, c) with values 0..255: affine, channel shift, flips,
--- brightness.
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

--- preprocessing_function, rescale and normalisation, of a picture (h, w, c) or of each in a batch
--- (n, h, w, c).
---@return giemsa.Tensor a new one (Keras changes x)
function ImageDataGenerator:standardize(x)
  if not (core.is_tensor(x) and x.ndim == 4) then check_picture("standardize", x, 2) end
  self:require_fit(2)
  local y = x:copy()
  flow.preprocess(self.options.preprocessing_function, y)
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

local FIT = { augment = "boolean", rounds = "integer", seed = "integer" }

--- Finds the means and deviations of the channels for featurewise normalisation, on rescaled
--- pictures.
---@param x giemsa.Tensor (n, h, w, c), values 0..255
---@param given? {augment?: boolean, rounds?: integer, seed?: integer} augment: measure random
--- variations, rounds of them
---@return giemsa.ImageDataGenerator self
function ImageDataGenerator:fit(x, given)
  local o = options.check("fit", given, FIT)
  if not core.is_tensor(x) or x.ndim ~= 4 or x.size == 0 then
    error("fit: expected pictures as a tensor of shape (n, height, width, channels)", 2)
  end
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

--- A source of the pictures in class folders: root/CLASS/*.png. Prints "Found N images belonging to
--- C classes."
---
--- target_size {height, width} (256, 256); color_mode "rgb", "grayscale" or "rgba"; classes: names
--- in the order of their numbers (sorted folder names); class_mode "categorical" (y one-hot), "binary" (y
--- 0 or 1), "sparse" (y the class number, from 1), "input" (y = x), "none" or false (no y);
--- batch_size 32; shuffle true; seed; subset "training" or "validation"; interpolation "nearest"
--- (the default, as in Keras), "bilinear" (OpenCV's) or "area"; follow_links; verbose = false
--- prints nothing; cache = true keeps the pictures decoded for later runs, in
--- ~/.cache/giemsa ($XDG_CACHE_HOME/giemsa), cache = "folder" there: for sets too large for memory
--- (data/cache.lua). The numbers are the same with and without; the folder may be deleted any time.
---@param root string
---@param given table?
---@return giemsa.DirectoryIterator
function ImageDataGenerator:flow_from_directory(root, given)
  local source = flow.from_directory(self, root, given, 3)
  return source
end

--- A source of variations of pictures in memory.
---@param x giemsa.Tensor (n, h, w, c), values 0..255 (not copied)
---@param y giemsa.Tensor? a row a picture
---@param given? {batch_size?: integer, shuffle?: boolean, seed?: integer, subset?: string}
---@return giemsa.Generator
function ImageDataGenerator:flow(x, y, given)
  local source = flow.from_tensors(self, x, y, given, 3)
  return source
end

return new
