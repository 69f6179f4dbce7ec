--- The sources an ImageDataGenerator makes: pictures of class folders, or of a tensor, varied by
--- the core's threads. `level` is, as in error(), where the caller who made a mistake is seen from
--- the function that takes it.
local core = require "giemsa.core"
local image = require "giemsa.image"
local options = require "giemsa.options"
local Source = require "giemsa.data.source"
local cache = require "giemsa.data.cache"
local folder = require "giemsa.data.folder"

local flow = {}

local MEMORY = 256 << 20 -- a set of pictures smaller than this is decoded once

-- ---- making batches

-- Runs the lesson's function on one picture, in place.
local function preprocess_one(f, x)
  local y = f(x)
  if not core.is_tensor(y) then
    error(("preprocessing_function must return the picture, it returned %s"):format(type(y)), 0)
  end
  local want, got = table.concat(x.shape, ", "), table.concat(y.shape, ", ")
  if want ~= got then
    error(("preprocessing_function must keep the shape: (%s) became (%s)"):format(want, got), 0)
  end
  x:copy_from(y)
end

--- Runs the lesson's function (nil: nothing to do) on a picture (h, w, c), or on each of a batch,
--- in place.
function flow.preprocess(f, x)
  if not f then return end
  if x.ndim == 3 then return preprocess_one(f, x) end
  for i = 1, #x do preprocess_one(f, x[i]) end
end

local Reader = {}
Reader.__index = Reader

function Reader:submit(rows)
  local x = core.empty { #rows, table.unpack(self.source.image_shape) }
  self.closing:submit(x, rows)
  self[#self + 1] = { x, rows }
end

function Reader:wait()
  local x, rows = table.unpack(table.remove(self, 1))
  local ok, problem = self.closing:wait()
  if self.source.cache then cache.report(self.source.pictures) end
  if not ok then
    if problem == "interrupted!" then self.closing:close() end -- the batch is not finished
    return nil, problem
  end
  if self.f then
    flow.preprocess(self.f, x)
    core.standardise(self.augment, x)
  end
  if self.source.class_mode == "input" then return x, x:copy() end
  local labels = self.source.labels
  return x, labels and core.take(labels, rows)
end

---@class giemsa.Generator : giemsa.Source
---@field image_shape integer[] {height, width, channels}
---@field preprocessing table how a picture becomes an input: saved with a model
---@field image_data_generator giemsa.ImageDataGenerator
local Generator = Source.extend()

function Generator:reader(seed, epoch)
  local generator = self.image_data_generator
  local f = generator.options.preprocessing_function
  local loader = core.loader(self.pictures, generator.core, seed, epoch, not f)
  return setmetatable({ source = self, f = f, augment = generator.core, closing = loader }, Reader)
end

--- See Source:identity. The recipe of variations is part of it.
function Generator:identity()
  self.hashed = self.hashed
    or self.data_sha256 and self:data_sha256()
    or Source.hash_tensors{ self.pictures, self.labels or false }
  local identity = { samples = self.n, batch_size = self.batch_size, shuffle = self.shuffle,
    data = self.hashed, class_names = self.class_names, class_mode = self.class_mode }
  for name, value in pairs(self.preprocessing) do identity[name] = value end
  for name, value in pairs(self.image_data_generator.options) do
    identity[name] = type(value) == "function" or value -- a function cannot be compared
  end
  identity.seed = nil
  return identity
end

-- What somebody who has only a picture must do to it before the model sees it.
local function preprocessing_of(generator, size, color_mode, interpolation)
  local o = generator.options
  return {
    target_size = size, color_mode = color_mode, interpolation = interpolation, rescale = o.rescale,
    samplewise_center = o.samplewise_center or nil,
    samplewise_std_normalization = o.samplewise_std_normalization or nil,
    mean = generator.mean, std = generator.std,
    preprocessing_function = o.preprocessing_function and true, -- a function cannot be saved
  }
end

-- ---- options both kinds share

local function check_batch_size(who, size, level)
  size = math.tointeger(size or 32)
  if size < 1 then error(("%s: batch_size must be at least 1, got %d"):format(who, size), level) end
  return size
end

local function check_subset(who, generator, subset, level)
  if not subset then return end
  options.one_of(who, "subset", subset, { "training", "validation" }, level + 1)
  if generator.options.validation_split == 0 then
    error(who .. ": subset needs an ImageDataGenerator with validation_split", level)
  end
end

-- First and last of n files that a subset takes: "validation" the first share, "training" the rest.
local function subset_range(generator, subset, n)
  if not subset then return 1, n end
  local cut = math.floor(generator.options.validation_split * n)
  if subset == "validation" then return 1, cut end
  return cut + 1, n
end

-- ---- class folders

local WHO = "flow_from_directory"
local KNOWN = {
  target_size = "table", color_mode = "string", classes = "table", class_mode = "string|boolean",
  batch_size = "integer", shuffle = "boolean", seed = "integer", subset = "string",
  interpolation = "string", follow_links = "boolean", verbose = "boolean",
  cache = "boolean|string",
}
local CLASS_MODES = { "categorical", "binary", "sparse", "input", "none" }
local INTERPOLATIONS = { "nearest", "bilinear", "area" }
local LABELS = {
  categorical = core.one_hot,
  binary = function(classes)
    local y = core.zeros { #classes }
    for i, class in ipairs(classes) do y[i] = class - 1 end
    return y
  end,
  sparse = function(classes) return core.from_table(classes) end,
}

local function check_size(size, level)
  local height, width = math.tointeger(size[1]), math.tointeger(size[2])
  local function fits(side) return side and side >= 1 and side <= 32768 end
  if #size ~= 2 or not fits(height) or not fits(width) then
    error(WHO .. ": target_size must be {height, width} in pixels", level)
  end
  return { height, width }
end

local function directory_options(generator, given, level)
  local o = options.check(WHO, given, KNOWN, level + 1)
  local function one_of(key, value, choices)
    local chosen = options.one_of(WHO, key, value, choices, level + 2)
    return chosen
  end
  local mode = o.class_mode == nil and "categorical" or o.class_mode or "none"
  check_subset(WHO, generator, o.subset, level + 1)
  return {
    class_mode = one_of("class_mode", mode, CLASS_MODES),
    color_mode = one_of("color_mode", o.color_mode or "rgb", image.color_modes),
    interpolation = one_of("interpolation", o.interpolation or "nearest", INTERPOLATIONS),
    target_size = check_size(o.target_size or { 256, 256 }, level + 1),
    batch_size = check_batch_size(WHO, o.batch_size, level + 1),
    classes = o.classes, subset = o.subset, follow_links = o.follow_links, cache = o.cache,
    seed = o.seed or generator.options.seed,
    shuffle = o.shuffle ~= false, verbose = o.verbose ~= false,
  }
end

-- The files of all classes: names relative to the root, their class numbers, and the count of each
-- class.
local function find_files(generator, root, names, o, level)
  local files, classes, counts = {}, {}, {}
  for class, name in ipairs(names) do
    local all = folder.pictures(WHO, root, name, o.follow_links, level + 1)
    local first, last = subset_range(generator, o.subset, #all)
    counts[class] = last - first + 1
    for i = first, last do
      files[#files + 1] = all[i]
      classes[#files] = class
    end
  end
  return files, classes, counts
end

local function report_files(root, names, files, counts, o, level)
  if #files == 0 then
    local part = o.subset and (" for subset '%s'"):format(o.subset) or ""
    error(("%s: no pictures in %s%s (looked in %s for names ending in %s)"):format(WHO, root, part,
      table.concat(names, ", "), folder.extensions), level)
  end
  for class, count in ipairs(counts) do
    if count == 0 then
      io.stderr:write(("warning: no pictures of class '%s' in %s\n"):format(names[class], root))
    end
  end
  if o.verbose then
    io.write(("Found %d images belonging to %d classes.\n"):format(#files, #names))
  end
end

---@class giemsa.DirectoryIterator : giemsa.Generator
---@field directory string
---@field class_names string[]
---@field class_indices table<string, integer> from 1
---@field classes integer[] each file's class, from 1 (in files and in Keras they count from 0)
---@field filenames string[] relative to directory
local Directory = Source.extend()
Directory.reader, Directory.identity = Generator.reader, Generator.identity

function Directory:__tostring()
  local names, shape = table.concat(self.class_names, ", "), table.concat(self.image_shape, ", ")
  return ("%d pictures in %d classes (%s) of %s, batches of %d x (%s)"):format(self.n,
    self.num_classes, names, self.directory, self.batch_size, shape)
end

-- The text `sha256sum` would print for the files sorted by name, hashed.
local function hash_files(root, names)
  local hash = require "giemsa.hash"
  local sorted, total = table.move(names, 1, #names, 1, {}), hash.new()
  table.sort(sorted, core.byte_less)
  for _, name in ipairs(sorted) do
    if core.interrupted() then error("interrupted!", 0) end
    local digest, problem = hash.sha256_file(root .. "/" .. name)
    if not digest then return nil, problem end
    total:update(digest .. "  " .. name .. "\n")
  end
  return total:hex()
end

--- SHA-256 of the data: of the lines "digest  name" of all files sorted by name, as `sha256sum`
--- prints them.
---@return string 64 hex digits
function Directory:data_sha256()
  if not self.digest then
    local digest, problem = hash_files(self.directory, self.filenames)
    if not digest then error(problem, 2) end
    self.digest = digest
  end
  return self.digest
end

local function numbered(names)
  local map = {}
  for i, name in ipairs(names) do map[name] = i end
  return map
end

local function new_directory(generator, root, names, files, classes, o)
  local shape = { o.target_size[1], o.target_size[2], image.channels[o.color_mode] }
  local paths, make_labels = {}, LABELS[o.class_mode]
  for i, name in ipairs(files) do paths[i] = root .. "/" .. name end
  return setmetatable(Source.init {
    n = #files, samples = #files, batch_size = o.batch_size, shuffle = o.shuffle, seed = o.seed,
    directory = root, filenames = files, filepaths = paths, classes = classes,
    class_names = names, num_classes = #names, class_indices = numbered(names),
    class_mode = o.class_mode, color_mode = o.color_mode, target_size = o.target_size,
    image_shape = shape, cache = o.cache,
    labels = make_labels and make_labels(classes, #names),
    preprocessing = preprocessing_of(generator, o.target_size, o.color_mode, o.interpolation),
    image_data_generator = generator,
    pictures = cache.pictures(o.cache, paths, files, shape, o.interpolation, MEMORY, o.verbose),
  }, Directory)
end

local function clean_path(root, level)
  if type(root) ~= "string" then
    error(WHO .. ": expected the path of a folder, got " .. type(root), level)
  end
  local path = root:match("^(.-)/*$")
  return path == "" and "/" or path
end

--- See ImageDataGenerator:flow_from_directory.
function flow.from_directory(generator, root, given, level)
  local o = directory_options(generator, given, level + 1)
  local path = clean_path(root, level + 1)
  generator:require_fit(level)
  local labelled = LABELS[o.class_mode] ~= nil
  local names = folder.choose_classes(WHO, path, o.classes, labelled, level + 1)
  if o.class_mode == "binary" and #names ~= 2 then
    local message = "%s: class_mode \"binary\" needs exactly two classes, %s has %d"
    error(message:format(WHO, path, #names), level)
  end
  local files, classes, counts = find_files(generator, path, names, o, level + 1)
  report_files(path, names, files, counts, o, level + 1)
  return new_directory(generator, path, names, files, classes, o)
end

-- ---- tensors

local FLOW = { batch_size = "integer", shuffle = "boolean", seed = "integer", subset = "string" }

local function check_tensors(x, y, level)
  if not core.is_tensor(x) or x.ndim ~= 4 or x.size == 0 then
    error("flow: expected pictures as a tensor of shape (n, height, width, channels)", level)
  end
  if y == nil then return end
  if not core.is_tensor(y) or y.ndim == 0 then
    error("flow: labels must be a tensor with a row a picture", level)
  end
  if #y ~= #x then error(("flow: %d pictures but %d labels"):format(#x, #y), level) end
end

--- See ImageDataGenerator:flow.
function flow.from_tensors(generator, x, y, given, level)
  local o = options.check("flow", given, FLOW, level + 1)
  check_tensors(x, y, level + 1)
  check_subset("flow", generator, o.subset, level + 1)
  generator:require_fit(level)
  local first, last = subset_range(generator, o.subset, #x)
  if last < first then
    error(("flow: subset '%s' of %d pictures is empty"):format(o.subset, #x), level)
  end
  local _, height, width, channels = table.unpack(x.shape)
  return setmetatable(Source.init {
    n = last - first + 1, samples = last - first + 1,
    batch_size = check_batch_size("flow", o.batch_size, level + 1),
    shuffle = o.shuffle ~= false, seed = o.seed or generator.options.seed,
    image_shape = { height, width, channels }, image_data_generator = generator,
    preprocessing = preprocessing_of(generator, { height, width }),
    pictures = x:rows(first, last), labels = y and y:rows(first, last),
  }, Generator)
end

return flow
