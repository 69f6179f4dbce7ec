--- MANIFEST: which files of a folder a program of ours made, and what is in them. `sha256sum -c MANIFEST` checks it.
--
--     # giemsa data set
--     # seed = 42
--     # sha256 = <of the lines below>
--     <sha256>  training/Parasitized/C33P1thinF_IMG_20150619_114756a_cell_179.png
--
-- While a folder is being changed, the new names stand in it as "#+ name", so that a run that was cut short still knows
-- its own files. Only files named here are ever replaced or removed.
local core = require "giemsa.core"
local hash = require "giemsa.hash"

local manifest = {}

local NAME = "MANIFEST"

-- A manifest may have been edited, or come from elsewhere: its names must stay inside the folder.
local function is_inside(name)
  return name:sub(1, 1) ~= "/" and not ("/" .. name .. "/"):find("/%.%./") and not name:find("%c")
end

--- Reads dir/MANIFEST. Nothing there: an empty one.
---@param dir string
---@return {settings: table<string, string>, files: table<string, string>, pending: table<string, boolean>} of sha256 by name
function manifest.read(dir)
  local found = { settings = {}, files = {}, pending = {} }
  local file = io.open(dir .. "/" .. NAME, "r")
  if not file then return found end
  for line in file:lines() do
    local sha, name = line:match("^(%x+)  (.+)$")
    local added = line:match("^#%+ (.+)$")
    local key, value = line:match("^# (.-) = (.*)$")
    if sha and is_inside(name) then found.files[name] = sha
    elseif added and is_inside(added) then found.pending[added] = true
    elseif key then found.settings[key] = value end
  end
  file:close()
  return found
end

local function sorted_names(files)
  local names = {}
  for name in pairs(files) do names[#names + 1] = name end
  table.sort(names, core.byte_less)
  return names
end

local function settings_lines(settings, out)
  for _, pair in ipairs(settings) do out[#out + 1] = ("# %s = %s"):format(pair[1], tostring(pair[2]):gsub("%c", " ")) end
end

local function write(dir, lines)
  return core.write_file(dir .. "/" .. NAME, table.concat(lines, "\n") .. "\n")
end

--- Announces the files that are about to be made (names below dir), keeping what the old manifest says.
---@return true? ok, string? problem
function manifest.announce(dir, names)
  local old = manifest.read(dir)
  local lines = { "# giemsa data set, unfinished" }
  for _, name in ipairs(names) do lines[#lines + 1] = "#+ " .. name end
  for name in pairs(old.pending) do lines[#lines + 1] = "#+ " .. name end
  for _, name in ipairs(sorted_names(old.files)) do lines[#lines + 1] = old.files[name] .. "  " .. name end
  return write(dir, lines)
end

--- The SHA-256 of a whole data set: of its files' sums and names, sorted by name.
---@param files table<string, string> sha256 by name
---@return string sha256, string[] lines
function manifest.sum(files)
  local lines = {}
  for _, name in ipairs(sorted_names(files)) do lines[#lines + 1] = files[name] .. "  " .. name end
  return hash.sha256(table.concat(lines, "\n") .. "\n"), lines
end

--- Writes the finished manifest. settings: {{key, value}, ...} in order.
---@param files table<string, string> sha256 by name
---@return string? sha256, string? problem
function manifest.finish(dir, settings, files)
  local sha256, sums = manifest.sum(files)
  local lines = { "# giemsa data set; check it with: sha256sum -c " .. NAME }
  settings_lines(settings, lines)
  lines[#lines + 1] = "# sha256 = " .. sha256
  table.move(sums, 1, #sums, #lines + 1, lines)
  local ok, problem = write(dir, lines)
  if not ok then return nil, problem end
  return sha256
end

--- Removes what an earlier run made and this one did not; folders left empty go as well.
---@param old table from manifest.read, before this run
---@param files table<string, string> what this run made
---@return integer removed
function manifest.remove_stale(dir, old, files)
  local removed, folders = 0, {}
  for _, list in ipairs { old.files, old.pending } do
    for name in pairs(list) do
      if not files[name] and os.remove(dir .. "/" .. name) then
        removed = removed + 1
        folders[name:match("^(.*)/[^/]*$") or ""] = true
      end
    end
  end
  for folder in pairs(folders) do
    while folder ~= "" and os.remove(dir .. "/" .. folder) do folder = folder:match("^(.*)/[^/]*$") or "" end
  end
  return removed
end

--- Puts one file in place: skipped when an earlier run made the same, refused when somebody else's is there.
---@param old table from manifest.read, before this run
---@param name string below dir
---@param sha256 string of the bytes to come
---@param make fun(path: string): true?, string? writes a new file
---@return true? ok, string? problem
function manifest.place(dir, old, name, sha256, make)
  local path = dir .. "/" .. name
  local info = core.file_info(path)
  if info then
    if hash.sha256_file(path) == sha256 then return true end
    if not (old.files[name] or old.pending[name]) then
      return nil, ("%s is in the way: another program or person made it; move it, or build into another folder"):format(path)
    end
    local ok, problem = os.remove(path)
    if not ok then return nil, problem end
  end
  local folder = path:match("^(.*)/[^/]*$")
  local ok, problem = core.make_folder(folder)
  if not ok then return nil, problem end
  return make(path)
end

return manifest
