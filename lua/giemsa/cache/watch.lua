--- What a cell does beside computing, seen while it runs: files it reads (their content becomes
-- part of the conditions under which its results may be used again), settings it asks for, and what
-- no kept result can stand for: files it writes, programs it starts, questions to the user.
local core = require "giemsa.core"

local watch = {}

---@class giemsa.Watch
---@field files table<string, string> SHA-256 of the files that were read, "-" for missing ones
---@field settings table<string, string> environment variables that were read, "" for unset ones
---@field effect string? the first thing that cannot be kept

local file_info, list_folder = core.file_info, core.list_folder -- also while they are watched

local function digest(path)
  local hash = require "giemsa.hash"
  local info = file_info(path)
  if not info then return "-" end
  if info.kind ~= "folder" then return hash.sha256_file(path) or "-" end
  local names = {}
  for _, entry in ipairs(list_folder(path) or {}) do names[#names + 1] = entry[1] .. entry[2] end
  return hash.sha256(table.concat(names, "\n"))
end

-- Functions that read the file or folder named by their first argument.
local READERS = { { io, "lines" }, { _G, "loadfile" }, { _G, "dofile" }, { core, "image_read" },
  { core, "list_folder" }, { core, "npy_load" }, { core, "file_info" } }
-- Functions that change something outside.
local WRITERS = { { io, "popen", "starts a program" }, { os, "execute", "starts a program" },
  { os, "remove", "removes a file" }, { os, "rename", "renames a file" },
  { os, "tmpname", "makes a file" }, { io, "read", "asks the user" },
  { core, "image_write", "writes a file" }, { core, "npy_save", "writes a file" },
  { core, "copy_file", "writes a file" }, { core, "make_folder", "makes a folder" },
  { core, "symlink", "makes a link" }, { core, "start_program", "starts a program" },
  -- its pictures may change on disk, and it has a place in them
  { core, "pictures", "reads a folder of pictures as it goes" } }

-- Puts another function in a place; returns what puts the first one back.
local function replace(place, name, make)
  local plain = place[name]
  if not plain then return function() end end
  place[name] = make(plain)
  return function() place[name] = plain end
end

local function note_file(seen, path)
  if type(path) == "string" and seen.files[path] == nil then seen.files[path] = digest(path) end
end

local function note_effect(seen, effect, name)
  seen.effect = seen.effect or (effect .. (type(name) == "string" and (" (%s)"):format(name) or ""))
end

--- Calls f(...) and watches. Functions that a cell kept in locals of its own earlier are not seen.
---@param own_folder string of the run: what is written there is the log's
---@param f function
---@return giemsa.Watch seen, any ... the results of f
function watch.call(own_folder, f, ...)
  local seen = { files = {}, settings = {} }
  local undo = {}
  for i, reader in ipairs(READERS) do
    undo[i] = replace(reader[1], reader[2], function(plain)
      return function(path, ...)
        note_file(seen, path)
        return plain(path, ...)
      end
    end)
  end
  for _, writer in ipairs(WRITERS) do
    undo[#undo + 1] = replace(writer[1], writer[2], function(plain)
      return function(...)
        note_effect(seen, writer[3], (...))
        return plain(...)
      end
    end)
  end
  undo[#undo + 1] = replace(io, "open", function(plain)
    return function(path, mode)
      if mode and mode:find "[wa+]" then note_effect(seen, "writes a file", path)
      else note_file(seen, path) end
      return plain(path, mode)
    end
  end)
  undo[#undo + 1] = replace(core, "write_file", function(plain)
    return function(path, bytes)
      if path:sub(1, #own_folder) ~= own_folder then note_effect(seen, "writes a file", path) end
      return plain(path, bytes)
    end
  end)
  undo[#undo + 1] = replace(os, "getenv", function(plain)
    return function(name)
      local value = plain(name)
      seen.settings[name] = value or ""
      return value
    end
  end)
  local results = table.pack(f(...))
  for i = #undo, 1, -1 do undo[i]() end
  return seen, table.unpack(results, 1, results.n)
end

--- Whether files and settings are as they were.
---@param seen giemsa.Watch
---@return boolean
---@return string? changed what is not
function watch.is_unchanged(seen)
  for path, then_ in pairs(seen.files) do
    if digest(path) ~= then_ then return false, path end
  end
  for name, then_ in pairs(seen.settings) do
    if (os.getenv(name) or "") ~= then_ then return false, name end
  end
  return true
end

return watch
