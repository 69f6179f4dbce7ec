--- Class folders on disk, in the order keras-preprocessing 1.1.2 gives them: classes sorted by
--- name; in each the files of the folder itself, then those of its sub-folders (os.walk sorted by
--- path), names by code point. Files count by their extension, in any case; hidden ones too.
local core = require "giemsa.core"

local folder = {}

folder.extensions = ".png .jpg .jpeg .bmp .ppm .tif .tiff" -- Keras's

--- Whether a file counts as a picture, by its name alone.
function folder.is_picture(name)
  local extension = (name:match("%.%w+$") or "none"):lower()
  return (folder.extensions .. " "):find(extension .. " ", 1, true) ~= nil
end

local function fail(who, message, level) error(("%s: %s"):format(who, message), level + 1) end

local ADVICE = "; check the path, or make the data set first (datasets/build_dataset.lua)"

local function list(who, path, level)
  local entries, problem = core.list_folder(path)
  if not entries then fail(who, problem .. ADVICE, level) end
  return entries
end

-- Appends {path, files} of a folder and of all below it.
local function walk(who, path, follow_links, found, level)
  local here = { path = path }
  found[#found + 1] = here
  for _, entry in ipairs(list(who, path, level + 1)) do
    local name, kind = entry[1], entry[2]
    if kind == "file" then
      here[#here + 1] = name
    elseif kind == "folder" or follow_links then
      walk(who, path .. "/" .. name, follow_links, found, level + 1)
    end
  end
  return found
end

--- The pictures under root/class, as paths relative to root.
function folder.pictures(who, root, class, follow_links, level)
  local folders = walk(who, root .. "/" .. class, follow_links, {}, level + 1)
  table.sort(folders, function(a, b) return core.byte_less(a.path, b.path) end)
  local names = {}
  for _, one in ipairs(folders) do
    local relative = one.path:sub(#root + 2)
    for _, name in ipairs(one) do
      if folder.is_picture(name) then names[#names + 1] = relative .. "/" .. name end
    end
  end
  return names
end

--- All pictures under root, sorted by path.
function folder.all(who, root, level)
  local paths = {}
  for _, one in ipairs(walk(who, root, false, {}, level + 1)) do
    for _, name in ipairs(one) do
      if folder.is_picture(name) then paths[#paths + 1] = one.path .. "/" .. name end
    end
  end
  table.sort(paths, core.byte_less)
  return paths
end

--- The names of the folders in root, and how many pictures lie beside them.
function folder.classes(who, root, level)
  local classes, loose = {}, 0
  for _, entry in ipairs(list(who, root, level + 1)) do
    if entry[2] ~= "file" then classes[#classes + 1] = entry[1]
    elseif folder.is_picture(entry[1]) then loose = loose + 1 end
  end
  return classes, loose
end

local function contains(items, item)
  for _, one in ipairs(items) do
    if one == item then return true end
  end
  return false
end

--- Which classes a folder has; raises when they are not what was asked for, or too few to tell
--- apart.
---@param wanted string[]? asked for by name
---@param labelled boolean whether classes are to be learnt
---@return string[]
function folder.choose_classes(who, root, wanted, labelled, level)
  local present, loose = folder.classes(who, root, level + 1)
  local have = #present > 0 and "it has " .. table.concat(present, ", ") or "it has none"
  for _, name in ipairs(wanted or {}) do
    if not contains(present, name) then
      fail(who, ("there is no class folder '%s' in %s (%s)"):format(name, root, have), level)
    end
  end
  if wanted then return wanted end
  if #present == 0 then
    local also = loose > 0 and (", only %d pictures directly in it"):format(loose) or ""
    fail(who, ("no class folders in %s%s: it needs a folder for each class, with that class's "
      .. "pictures in it"):format(root, also), level)
  end
  if #present == 1 and labelled then
    fail(who, ("only one class folder in %s (%s): telling classes apart needs at least two. Put "
      .. "each class's pictures in a folder of its own, or pass class_mode = \"none\" for pictures "
      .. "without labels"):format(root, present[1]), level)
  end
  return present
end

return folder
