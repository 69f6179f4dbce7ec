--- A look at what goes into a net, before it goes: a batch with its labels, one picture's
--- variations. Both return a figure (save, show).
local core = require "giemsa.core"
local feed = require "giemsa.train.feed"
local image = require "giemsa.image"
local labels = require "giemsa.data.labels"
local options = require "giemsa.options"
local plot = require "giemsa.plot.figure"
local pictures = require "giemsa.plot.pictures"

local look = {}

local at_caller = plot.at_caller

-- ---- from a net's input back to a picture

--- Rows of a batch as pictures: what preprocessing did to the colours is undone.
---@param x giemsa.Tensor (n, h, w, c)
---@param how table? preprocessing of a generator or a model
---@return giemsa.picture[]
function look.pictures_of(x, how)
  how = how or {}
  if how.std then x = core.mul(x, core.from_table(how.std)) end
  if how.mean then x = core.add(x, core.from_table(how.mean)) end
  local list, known = {}, how.target_size and not how.samplewise_center
  local range = known and { 0, 255 * (how.rescale or 1) } or pictures.range_of(x)
  for i = 1, #x do list[i] = image.from_tensor(x[i], { range = range }) end
  return list
end

--- A tile that shows small pictures in whole steps, 128 pixels or a little more; nil for others.
---@param picture giemsa.picture
---@return integer?
function look.tile_of(picture)
  local side = math.max(picture.width, picture.height)
  return side <= 80 and side * math.ceil(128 / side) or nil
end

local function check_pictures(who, x)
  if not core.is_tensor(x) or x.ndim ~= 4 then
    local shape = core.is_tensor(x) and "(" .. table.concat(x.shape, ", ") .. ")" or type(x)
    error(("%s: expected pictures (n, height, width, channels), got %s"):format(who, shape), 0)
  end
end

-- ---- a batch

local BATCH = { n = "integer", batch = "integer", epoch = "integer", columns = "integer",
  tile = "any", title = "string", class_names = "table", class_mode = "string" }

local function colour_of(class)
  return class and plot.class_colors[(class - 1) % #plot.class_colors + 1] or nil
end

local function show_batch(data, y, opts)
  if core.is_tensor(y) then data = { data, y } else opts = y end
  local o = options.check("show_batch", opts, BATCH, 0)
  local source = feed.source("show_batch", data, nil, { batch_size = not feed.is_source(data) and 32
    or nil }, 0)
  if not source.batch then error("show_batch: expected a generator or tensors", 0) end
  local x, truth = source:batch(o.batch or 1, { epoch = o.epoch })
  check_pictures("show_batch", x)
  local n = math.min(o.n or 16, #x)
  local about = { class_mode = o.class_mode or source.class_mode,
    class_names = o.class_names or source.class_names }
  local captions, colors = {}, {}
  for i = 1, n do
    captions[i] = labels.text(truth, i, about)
    colors[i] = colour_of(labels.class_of(truth, i, about.class_mode))
  end
  local range = ("values %.4g to %.4g"):format(core.min(x):item(), core.max(x):item())
  local title = o.title or ("%d of %d pictures as the net gets them\n%s"):format(n, source.n, range)
  local list = look.pictures_of(x:rows(1, n), source.preprocessing)
  local figure = pictures.images(list, { captions = #captions > 0 and captions or nil,
    colors = colors, title = title, tile = o.tile or look.tile_of(list[1]),
    columns = o.columns or math.min(n, 8) })
  figure.says = ("a batch of %d pictures (%s), %s"):format(#x, table.concat(x.shape, ", "), range)
  return figure
end

--- The pictures of a batch with their labels, as the net will get them: varied, resized, scaled.
---
--- giemsa.show_batch(generator), or of tensors: giemsa.show_batch(x, y).
---@param data giemsa.Source|giemsa.Tensor
---@param y? giemsa.Tensor|table labels of tensors, or the options
---@param opts? {n?: integer, batch?: integer, epoch?: integer, columns?: integer, tile?: any,
---  title?: string, class_names?: string[], class_mode?: string} n (16): at most so many pictures;
---  batch (1) and epoch: which one
---@return giemsa.figure
function look.show_batch(data, y, opts) return at_caller(show_batch, data, y, opts) end

-- ---- variations

local AUGMENT = { n = "integer", picture = "integer", columns = "integer", tile = "any",
  title = "string" }

local function is_generator(x) return type(x) == "table" and x.random_transform ~= nil end

-- {"rotation_range = 20,", "horizontal_flip"}
local function recipe_text(generator)
  local parts = {}
  for i, name in ipairs(generator:variations()) do
    local value = generator.options[name]
    if type(value) == "table" then
      local list = {}
      for k, v in ipairs(value) do list[k] = ("%g"):format(v) end
      value = "{" .. table.concat(list, ", ") .. "}"
    elseif type(value) == "number" then
      value = ("%g"):format(value)
    end
    parts[i] = value == true and name or name .. " = " .. value
  end
  return parts
end

-- In lines of a readable width.
local function wrapped(parts, width)
  local lines, line = {}, ""
  for i, part in ipairs(parts) do
    part = part .. (i < #parts and "," or "")
    if #line + #part + 1 > width and line ~= "" then lines[#lines + 1], line = line, "" end
    line = line == "" and part or line .. " " .. part
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

-- A source whose picture number i is to be varied, the picture as it is, and its name.
local function subject(given, generator, i)
  if feed.is_source(given) then
    local recipe = given.image_data_generator
    if not recipe then
      error("show_augment: this source has no ImageDataGenerator, so it varies nothing", 0)
    end
    i = i or 1
    if i < 1 or i > given.n then
      error(("show_augment: there is no picture %d, the source has %d"):format(i, given.n), 0)
    end
    if not given.filepaths then return given, given.pictures[i], "picture " .. i end
    local how = given.preprocessing
    return given, image.load(given.filepaths[i], { target_size = how.target_size,
      color_mode = how.color_mode, interpolation = how.interpolation }),
      given.filenames[i]:match("[^/]+$")
  end
  if not is_generator(generator) then
    error("show_augment: give a generator, or a picture and the ImageDataGenerator that varies it",
      0)
  end
  local x = core.is_tensor(given) and given
    or pictures.picture_of(given, "show_augment"):to_tensor()
  if x.ndim == 3 then x = x:reshape{ 1, table.unpack(x.shape) } end
  check_pictures("show_augment", x)
  local source = generator:flow(x, nil, { shuffle = false, batch_size = 1, seed = 1 })
  return source, x[1], type(given) == "string" and given:match("[^/]+$") or "a picture"
end

-- Picture i as a pass of the training gets it.
local function variation(source, i, epoch)
  local reader <const> = source:reader(source.seed, epoch)
  local closing <close> = reader.closing
  reader:submit{ i }
  local x, problem = reader:wait()
  return x or error(problem, 0)
end

local function show_augment(given, generator, opts)
  if not is_generator(generator) then generator, opts = nil, opts or generator end
  local o = options.check("show_augment", opts, AUGMENT, 0)
  local n = o.n or 11
  if n < 1 or n > 200 then error(("show_augment: n must be 1 to 200, got %d"):format(n), 0) end
  local source, original, name = subject(given, generator, o.picture)
  local list, captions = { original }, { "as it is" }
  for epoch = 1, n do
    local x = variation(source, feed.is_source(given) and o.picture or 1, epoch)
    list[epoch + 1] = look.pictures_of(x, source.preprocessing)[1]
    captions[epoch + 1] = "epoch " .. epoch
  end
  local recipe = recipe_text(source.image_data_generator)
  local says = #recipe > 0 and wrapped(recipe, 84) or "this generator varies nothing"
  local figure = pictures.images(list, { captions = captions,
    columns = o.columns or math.min(n + 1, 6), tile = o.tile or look.tile_of(list[2]),
    title = o.title or ("%s, as each epoch gets it\n%s"):format(name, says) })
  figure.says = ("%d variations of %s: %s"):format(n, name, (says:gsub("\n", " ")))
  return figure
end

--- One picture and its variations: those that epochs 1, 2, 3, ... of a training get to see.
---
--- giemsa.show_augment(generator, {picture = 7}), or
--- giemsa.show_augment(picture, ImageDataGenerator) for a picture, a tensor (h, w, c) with values 0..255 or the path of a file.
---@param given giemsa.Generator|giemsa.picture|giemsa.Tensor|string
---@param generator? giemsa.ImageDataGenerator|table when a picture was given; else the options
---@param opts? {n?: integer, picture?: integer, columns?: integer, tile?: any, title?: string}
---  n (11): variations; picture (1): which one of a generator's
---@return giemsa.figure
function look.show_augment(given, generator, opts)
  return at_caller(show_augment, given, generator, opts)
end

return look
