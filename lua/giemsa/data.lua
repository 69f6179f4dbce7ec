--- Data for training: pictures from folders, with random variations, in batches; tensors in
--- batches; and which patient a picture is of. Rows and classes count from 1.
local core = require "giemsa.core"
local options = require "giemsa.options"
local Source = require "giemsa.data.source"
local folder = require "giemsa.data.folder"

local data = {}

data.ImageDataGenerator = require "giemsa.data.generator"

---@class giemsa.ArraySource : giemsa.Source
local ArraySource = Source.extend()

function ArraySource:reader() return Source.gather(self.x, self.y) end

local ARRAY = { batch_size = "integer", shuffle = "boolean", seed = "integer" }

local function has_rows(t) return core.is_tensor(t) and t.ndim > 0 end

--- A source of rows of tensors as they are.
---@param x giemsa.Tensor (n, ...)
---@param y giemsa.Tensor? (n, ...)
---@param given? {batch_size?: integer, shuffle?: boolean, seed?: integer} 32, true
---@return giemsa.ArraySource
function data.array(x, y, given)
  local o = options.check("array", given, ARRAY)
  if not has_rows(x) then error("array: expected a tensor with a row a sample", 2) end
  if y ~= nil and not has_rows(y) then error("array: y must be a tensor with a row a sample", 2) end
  if y and #y ~= #x then error(("array: x has %d rows, y has %d"):format(#x, #y), 2) end
  local size = math.tointeger(o.batch_size or 32)
  if size < 1 then error(("array: batch_size must be at least 1, got %d"):format(size), 2) end
  return setmetatable(Source.init {
    n = #x, samples = #x, x = x, y = y, batch_size = size,
    shuffle = o.shuffle ~= false, seed = o.seed,
  }, ArraySource)
end

--- The paths of all pictures in a folder and below it, sorted (imutils' list_images gives them in the disk's order).
---@param root string
---@return string[]
function data.list_images(root) return folder.all("list_images", root, 2) end

--- A picture as the input of a model: resized, scaled and normalised as its training images were.
---@param picture giemsa.picture
---@param how table model.preprocessing, or a generator's
---@return giemsa.Tensor x (height, width, channels)
function data.prepare(picture, how)
  if type(how) ~= "table" or not how.target_size then
    error("prepare: expected how pictures become inputs (model.preprocessing); this model was not trained on pictures of a generator", 2)
  end
  if how.preprocessing_function then
    error("prepare: the training used a preprocessing_function, which is not saved; prepare pictures by hand", 2)
  end
  local height, width = table.unpack(how.target_size)
  local x = picture:convert(how.color_mode == "grayscale" and 1 or 3):resize(width, height, how.interpolation):to_tensor()
  core.standardise(core.augment{ rescale = how.rescale, mean = how.mean, std = how.std, samplewise_center = how.samplewise_center,
    samplewise_std_normalization = how.samplewise_std_normalization }, x)
  return x
end

--- The patient a cell picture is of: "C116" for ".../C116P77ThinF_IMG_20150930_171809_cell_83.png";
--- nil when the name does not tell.
---@param filename string
---@return string?
function data.patient_of(filename) return filename:match("([^/]*)$"):match("^C%d+") end

local function patients(source)
  local seen = {}
  for _, name in ipairs(source.filenames or source) do
    local patient = data.patient_of(name)
    if patient then seen[patient] = true end
  end
  return seen
end

--- The patients with pictures on both sides. A network that knows a patient's cells from training
--- is tested too kindly.
---@param a giemsa.DirectoryIterator|string[] a source of files, or a list of file names
---@param b giemsa.DirectoryIterator|string[]
---@return string[] patients in order of their numbers; empty when nothing leaks
function data.leakage(a, b)
  local there, both = patients(b), {}
  for patient in pairs(patients(a)) do
    if there[patient] then both[#both + 1] = patient end
  end
  table.sort(both, function(p, q) return tonumber(p:sub(2)) < tonumber(q:sub(2)) end)
  return both
end

return data
