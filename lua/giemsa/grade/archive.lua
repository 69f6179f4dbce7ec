--- The files of a .zip archive as a folder of submissions is read: listed, and read one by one into memory; none is
-- written. Whoever made the archive may be hostile: names, numbers and sizes have their bounds before memory is taken.
local archive = {}

local ENTRIES_MAX, BYTES_MAX, DEPTH_MAX = 20000, 256 << 20, 3

---@class giemsa.grade.Archive
---@field zip userdata
---@field folders table<string, {[1]: string, [2]: string}[]> what each folder holds, by its path: names and kinds
---@field files table<string, integer|false> the place in the archive, by path; false: the name is there twice
---@field left integer bytes that may still be unpacked
local Archive = {}
Archive.__index = Archive

-- The parts of a name, as far as submissions go; nil of what the system of whoever made the archive has left there.
local function parts_of(name)
  local parts = {}
  for part in name:gmatch "[^/]+" do
    if part ~= "." then
      if part:sub(1, 1) == "." or part == "__MACOSX" then return nil end
      parts[#parts + 1] = part
      if #parts > DEPTH_MAX then break end
    end
  end
  return #parts > 0 and parts or nil
end

local function join(folder, name) return folder == "" and name or folder .. "/" .. name end

local function add(self, folder, name, kind)
  local path = join(folder, name)
  local is_new = kind == "folder" and not self.folders[path] or kind ~= "folder" and self.files[path] == nil
  if is_new then table.insert(self.folders[folder], { name, kind }) end
  if is_new and kind == "folder" then self.folders[path] = {} end
  return path, is_new
end

local function add_entry(self, entry, zip)
  if not zip.safe_name(entry.name) then return entry.name:find "%.lua$" and add(self, "", entry.name, "unsafe") end
  local parts, folder = parts_of(entry.name), ""
  if not parts then return end
  for i = 1, #parts - 1 do folder = add(self, folder, parts[i], "folder") end
  if #parts > DEPTH_MAX then return end
  local path, is_new = add(self, folder, parts[#parts], "file")
  self.files[path] = is_new and entry.index or false
end

--- Opens an archive.
---@param path string
---@return giemsa.grade.Archive? archive nil and why
---@return string? message
function archive.open(path)
  local has_zip, zip = pcall(require, "giemsa.zip")
  if not has_zip then return nil, "reading a .zip needs libzip: sudo apt install libzip-dev, then make" end
  local file, message = zip.open(path)
  if not file then return nil, message end
  if #file > ENTRIES_MAX then
    file:close()
    return nil, ("%s: %d files are more than the %d that are taken"):format(path, #file, ENTRIES_MAX)
  end
  local self = setmetatable({ zip = file, folders = { [""] = {} }, files = {}, left = BYTES_MAX }, Archive)
  for _, entry in ipairs(file:entries()) do add_entry(self, entry, zip) end
  for _, entries in pairs(self.folders) do
    table.sort(entries, function(a, b)
      if a[1] ~= b[1] then return a[1] < b[1] end
      return a[2] < b[2]
    end)
  end
  return self
end

--- What a folder holds: pairs of name and kind ("file", "folder", "unsafe"), in order.
---@param folder string "" for the archive itself
---@return {[1]: string, [2]: string}[]
function Archive:list(folder) return self.folders[folder] end

--- The bytes of a file; nil and why.
---@param path string
---@param limit integer bytes
---@return string? bytes
---@return string? message
function Archive:read(path, limit)
  local index = self.files[path]
  if not index then return nil, "the archive holds two files of this name" end
  local bytes, message = self.zip:read(index, math.min(limit, self.left))
  if not bytes then return nil, message end
  self.left = self.left - #bytes
  return bytes
end

--- The folder that holds the submissions: the archive itself, or the one in which someone packed them all.
---@param name string of the master's file
---@return string
function Archive:root(name)
  local only = self.folders[""][1]
  if #self.folders[""] ~= 1 or only[2] ~= "folder" then return "" end
  local count = 0
  for _, entry in ipairs(self.folders[only[1]]) do
    if entry[1] == name then return "" end -- the folder of one student
    if entry[2] == "folder" or entry[1]:find "%.lua$" then count = count + 1 end
    if entry[2] == "folder" then return only[1] end
  end
  return count > 1 and only[1] or ""
end

function Archive:close() self.zip:close() end

return archive
