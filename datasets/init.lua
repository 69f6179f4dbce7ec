--- The data set a lesson works on: what the person gave, or synthetic cells made once and kept under data/.
--
--     local set = require("datasets").ensure()          -- set.training, set.validation, set.testing
--
-- GIEMSA_DATA (set by `make run DATA=path`) names a data set when the call does not.
local core = require "giemsa.core"
local build_dataset = require "datasets.build_dataset"
local generate = require "datasets.generate"
local manifest = require "datasets.manifest"
local smear = require "datasets.smear"
local split = require "datasets.split"

local datasets = {}

local OURS = "data" -- where what is made goes, below the current folder

local function is_folder(path)
  local info = core.file_info(path)
  return info ~= nil and info.kind == "folder"
end

-- Pictures by class in dir/side.
local function count_side(path)
  local counts = { total = 0 }
  for _, class in ipairs(core.list_folder(path) or {}) do
    if class[2] ~= "file" then
      local n = 0
      for _, entry in ipairs(core.list_folder(path .. "/" .. class[1]) or {}) do
        if entry[2] == "file" and not entry[1]:find("^%.") and entry[1] ~= "Thumbs.db" then n = n + 1 end
      end
      counts[class[1]], counts.total = n, counts.total + n
    end
  end
  return counts
end

-- A folder that is split already.
local function as_it_is(dir)
  local set = { dir = dir, counts = {}, class_names = {}, sha256 = manifest.read(dir).settings.sha256 }
  for _, side in ipairs(split.SIDES) do
    set[side] = dir .. "/" .. side
    set.counts[side] = count_side(set[side])
  end
  for class in pairs(set.counts.training) do
    if class ~= "total" then set.class_names[#set.class_names + 1] = class end
  end
  table.sort(set.class_names, core.byte_less)
  return set
end

local function is_split(dir)
  for _, side in ipairs(split.SIDES) do
    if not is_folder(dir .. "/" .. side) then return false end
  end
  return true
end

-- "data/cell_images" for "/some/where/cell_images.zip". Two sources of one name take turns in it.
local function built_from(path)
  local name = path:gsub("/+$", ""):match("[^/]+$") or "images"
  local to = ("%s/%s"):format(OURS, name:gsub("%.[Zz][Ii][Pp]$", ""))
  return build_dataset.build { from = path, to = to }
end

local function given_by_a_person(path)
  local info, problem = core.file_info(path)
  if not info then
    error(("the data set %s; give a folder (split, or of class folders) or a zip, or leave it out for synthetic cells"):format(problem), 0)
  end
  if info.kind == "folder" and is_split(path) then return as_it_is((path:gsub("(.)/+$", "%1"))) end
  if is_folder(path .. "/training") then
    error(("%s has a folder 'training' but not all of training, validation and testing; datasets/build_dataset.lua makes them"):format(path), 0)
  end
  return built_from(path)
end

-- 500 cells, split as the course splits its sample: 360, 40 and 100.
local function synthetic()
  local set_dir = OURS .. "/synthetic"
  local cells_dir = OURS .. "/synthetic_cells"
  local cells = generate.cells(cells_dir)
  local made = manifest.read(set_dir)
  if cells.made == 0 and made.settings.sha256 and next(made.pending) == nil and is_split(set_dir) then return as_it_is(set_dir) end
  io.stderr:write(("made %d synthetic cells in %s (version %d)\n"):format(cells.count, cells_dir, smear.VERSION))
  return build_dataset.build { from = cells_dir, to = set_dir, say = false }
end

--- The data set at `path`: a folder with training, validation and testing is taken as it is; a folder of class folders or a
--- zip is split by the course's rule into data/NAME. No path: GIEMSA_DATA; none or "" there: synthetic cells. Raises with the reason.
---@param path string?
---@return dataset set dir, training, validation, testing (folders), counts, class_names
function datasets.ensure(path)
  if path ~= nil and type(path) ~= "string" then error(("datasets.ensure: expected a path, got %s"):format(type(path)), 2) end
  path = path or os.getenv("GIEMSA_DATA")
  if path and path ~= "" then return given_by_a_person(path) end -- make passes on an empty DATA= as ""
  return synthetic()
end

return datasets
