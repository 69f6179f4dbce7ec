--- Where images come from: a folder of class folders, or a zip of one (the layout of the official cell_images.zip).
-- A source is {images = {{path, name, class, patient}, ...} sorted by class and name, sha256(image), read(image), copy(image, path), close()}.
local core = require "giemsa.core"
local hash = require "giemsa.hash"
local folder = require "giemsa.data.folder"
local split = require "datasets.split"

local source = {}

local ENTRY_LIMIT = 64 << 20 -- bytes of one unpacked image

-- What every operating system leaves lying about counts as no image: hidden files, __MACOSX (Thumbs.db has no image's extension).
local function is_image(path)
  return folder.is_picture(path) and not ("/" .. path):find("/%.") and not ("/" .. path):find("/__MACOSX/", 1, true)
end

local function image_of(path, extra)
  local class, name = path:match("([^/]+)/([^/]+)$")
  if not class then return nil end -- an image outside any class folder
  extra.path, extra.name, extra.class, extra.patient = path, name, class, split.patient(name)
  return extra
end

-- Sorted by class and name, wherever they lie: so images that are split already are dealt as they were before. Of two that
-- would land on the same file (the same class and name) the first by path stays.
local function tidy(images)
  for _, image in ipairs(images) do image.key = image.class .. "/" .. image.name end
  table.sort(images, function(a, b)
    if a.key ~= b.key then return core.byte_less(a.key, b.key) end
    return core.byte_less(a.path, b.path)
  end)
  local kept, seen, doubled = {}, {}, 0
  for _, image in ipairs(images) do
    if seen[image.key] then doubled = doubled + 1
    else kept[#kept + 1], seen[image.key] = image, true end
  end
  return kept, doubled
end

local function list_below(root, below, images)
  local entries, problem = core.list_folder(root .. (below ~= "" and "/" .. below or ""))
  if not entries then return nil, problem end
  for _, entry in ipairs(entries) do
    local path = below ~= "" and below .. "/" .. entry[1] or entry[1]
    if entry[2] ~= "file" then
      local ok, why = list_below(root, path, images)
      if not ok then return nil, why end
    elseif is_image(path) then
      images[#images + 1] = image_of(path, {})
    end
  end
  return true
end

local function open_folder(root)
  local images = {}
  local ok, problem = list_below(root, "", images)
  if not ok then return nil, problem end
  local kept, doubled = tidy(images)
  return {
    images = kept, doubled = doubled,
    sha256 = function(_, image) return hash.sha256_file(root .. "/" .. image.path) end,
    copy = function(_, image, path, link) return core.copy_file(root .. "/" .. image.path, path, link) end,
    read = function(_, image)
      local file <close>, why = io.open(root .. "/" .. image.path, "rb")
      if not file then return nil, why end
      return file:read("a")
    end,
    close = function() end,
  }
end

local function open_zip(path)
  local has_zip, zip = pcall(require, "giemsa.zip")
  if not has_zip then return nil, path .. ": this giemsa was built without libzip; install libzip-dev and make again, or unpack the archive" end
  local archive, problem = zip.open(path)
  if not archive then return nil, problem end
  local images = {}
  for _, entry in ipairs(archive:entries()) do
    local ok, why = zip.safe_name(entry.name)
    if not ok and folder.is_picture(entry.name) then
      archive:close()
      return nil, ("%s: refused: %s"):format(path, why)
    end
    if is_image(entry.name) then
      images[#images + 1] = image_of(entry.name, { index = entry.index })
    end
  end
  local kept, doubled = tidy(images)
  return {
    images = kept, doubled = doubled,
    sha256 = function(_, image)
      local bytes, why = archive:read(image.index, ENTRY_LIMIT)
      if not bytes then return nil, path .. ": " .. why end
      return hash.sha256(bytes)
    end,
    read = function(_, image) return archive:read(image.index, ENTRY_LIMIT) end,
    copy = function(_, image, target)
      local done, why = archive:extract(image.index, target, ENTRY_LIMIT)
      if not done then return nil, path .. ": " .. why end
      return true
    end,
    close = function() archive:close() end,
  }
end

--- Opens a folder or a zip archive.
---@param path string
---@return table? source, string? problem
function source.open(path)
  local info, problem = core.file_info(path)
  if not info then return nil, problem end
  local opened
  if info.kind == "folder" then opened, problem = open_folder(path) else opened, problem = open_zip(path) end
  if not opened then return nil, problem end
  if #opened.images > 0 then return opened end
  opened:close()
  return nil, ("%s: no images in class folders here (a data set is a folder for each class, with pictures: %s)"):format(path, folder.extensions)
end

return source
