--- Data for training: pictures from folders, with random variations, in batches; tensors in
--- batches; and which patient a picture is of. Rows and classes count from 1.
local core = require "giemsa.core"

local data = {}

--- The paths of all pictures in a folder and below it, sorted (imutils' list_images gives them in
--- the disk's order).
---@param root string
---@return string[]
function data.list_images(root)
  local paths = require("giemsa.data.folder").all("list_images", root, 2)
  return paths
end

--- A picture as the input of a model: resized, scaled and normalised as its training images were.
---@param picture giemsa.picture
---@param how table model.preprocessing, or a generator's
---@return giemsa.Tensor x (height, width, channels)
function data.prepare(picture, how)
  if type(how) ~= "table" or not how.target_size then
    error("prepare: expected how pictures become inputs (model.preprocessing); this model was not "
      .. "trained on pictures of a generator", 2)
  end
  if how.preprocessing_function then
    error("prepare: the training used a preprocessing_function, which is not saved; prepare "
      .. "pictures by hand", 2)
  end
  local height, width = table.unpack(how.target_size)
  local channels = require("giemsa.image").channels[how.color_mode or "rgb"]
  local x = picture:convert(channels):resize(width, height, how.interpolation):to_tensor()
  core.standardise(core.augment{ rescale = how.rescale, mean = how.mean, std = how.std,
    samplewise_center = how.samplewise_center,
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

-- Loaded when first named, so that who only prepares a picture does not wait for the rest.
local parts = { ImageDataGenerator = "giemsa.data.generator", array = "giemsa.data.array" }

return setmetatable(data, {
  __index = function(_, name)
    if not parts[name] then return nil end
    data[name] = require(parts[name])
    return data[name]
  end,
})
