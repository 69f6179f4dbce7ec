--- A zip archive of submissions, as folders to list and files to read. Nobody knows who packed it: nothing is unpacked to the
-- disk, so that no name leads anywhere; entries, their sizes and all of them together are bounded before memory is taken.
local archive = {}

local ENTRIES_MAX, DEPTH_MAX, ALL_MAX = 20000, 8, 256 << 20

-- The entry's name without "./" before it; also why it is no path in the archive.
local function checked(zip, entry)
  local name = entry.name:gsub("^%./+", "")
  local _, why = zip.safe_name(name)
  if why then return name, (why:sub(#name + 3)) end
  if ("/" .. name):find("/./", 1, true) then return name, "its name has a part '.'" end
  if select(2, name:gsub("/+", "")) > DEPTH_MAX then return name, "it lies too many folders deep" end
  return name
end

local Tree = {}
Tree.__index = Tree

-- The list of a folder, which is made where it is not.
function Tree:folder(path)
  local list = self.folders[path]
  if not list then
    list = {}
    self.folders[path] = list
    local parent, name = path:match "^(.*)/([^/]*)$"
    table.insert(self:folder(parent or ""), { name or path, "folder" })
  end
  return list
end

-- A file; the second of two with one name gets a name of its own.
function Tree:add(entry, name)
  name = name:gsub("/+", "/")
  if self.files[name] then name = ("%s (entry %d).lua"):format((name:gsub("%.lua$", "")), entry.index) end
  self.files[name] = entry
  local parent, last = name:match "^(.*)/([^/]*)$"
  table.insert(self:folder(parent or ""), { last or name, "file" })
end

-- Those of which the name can be no path are told apart: {name, why}.
local function tree_of(zip, entries)
  local tree, refused = setmetatable({ folders = { [""] = {} }, files = {} }, Tree), {}
  for _, entry in ipairs(entries) do
    local name, why = checked(zip, entry)
    if why then refused[#refused + 1] = { name, why } else tree:add(entry, name) end
  end
  return tree, refused
end

local function sorted(folders)
  for _, list in pairs(folders) do
    table.sort(list, function(a, b) return a[1] < b[1] end)
  end
end

--- Opens an archive.
---@param path string
---@param size_max integer bytes of a file
---@return giemsa.grade.Source? source nil and why
---@return string? message
function archive.open(path, size_max)
  local ok, zip = pcall(require, "giemsa.zip")
  if not ok then return nil, path .. ": built without libzip, so unpack it and name the folder" end
  local opened, message = zip.open(path)
  if not opened then return nil, message end
  if #opened > ENTRIES_MAX then return nil, ("%s: %d entries are too many for submissions"):format(path, #opened) end
  local left, tree, refused = ALL_MAX, tree_of(zip, opened:entries())
  sorted(tree.folders)
  local function read(name)
    local file = tree.files[name]
    if file.size <= size_max then left = left - file.size end
    if left < 0 then return nil, "all files of the archive together are too large" end
    return opened:read(file.index, size_max)
  end
  return { refused = refused, read = read, list = function(folder) return tree.folders[folder] or {} end }
end

return archive
