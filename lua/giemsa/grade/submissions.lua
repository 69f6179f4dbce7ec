--- The submissions in a folder or a .zip archive of one: a file a student (ada.lua), or a folder a student with a file in
-- it (ada/lesson.lua). Only ordinary files of a sensible size are read; what is something else is a submission with a
-- problem, and gets its row too.
local archive = require "giemsa.grade.archive"
local core = require "giemsa.core"
local unicode = require "giemsa.unicode"

local submissions = {}

local SIZE_MAX = 1 << 20

-- A folder of the disk, as giemsa.grade.archive has those of an archive.
local disk = {}
function disk:list(folder)
  local entries, message = core.list_folder(folder)
  local seen = {}
  for _, entry in ipairs(entries or {}) do
    if entry[1]:sub(1, 1) ~= "." then seen[#seen + 1] = entry end
  end
  return entries and seen, message
end

function disk:read(path, limit) return core.read_ordinary(path, limit) end

local function join(folder, name) return folder == "" and name or folder .. "/" .. name end

local function read(source, path)
  local text, why = source:read(path, SIZE_MAX)
  return text, not text and ("cannot be read: " .. why) or nil
end

-- The file in a student's folder: of the master's name, else the only one.
local function file_in(source, folder, name)
  local entries, message = source:list(folder)
  local lua = {}
  for _, entry in ipairs(entries or {}) do
    if entry[1] == name then return join(folder, name) end
    if entry[1]:find "%.lua$" then lua[#lua + 1] = entry[1] end
  end
  if #lua == 1 then return join(folder, lua[1]) end
  return nil, message or ("the folder holds %d .lua files and no %s"):format(#lua, name)
end

local PROBLEMS = { ["linked folder"] = "it is a link", unsafe = "its name leads out of the archive, or is none" }

local function one_of(source, folder, entry, name)
  local path, kind = join(folder, entry[1]), entry[2]
  local student, text, problem = entry[1]:gsub("%.lua$", ""), nil, nil
  if PROBLEMS[kind] then
    problem = "cannot be read: " .. PROBLEMS[kind]
  elseif kind == "folder" then
    path, problem = file_in(source, path, name)
    if path then text, problem = read(source, path) end
  else
    if not entry[1]:find "%.lua$" then return end
    text, problem = read(source, path)
  end
  return { student = unicode.clean(student), text = text, problem = problem }
end

local function all(source, folder, name)
  local entries, message = source:list(folder)
  if not entries then return nil, message end
  local list = {}
  for _, entry in ipairs(entries) do
    list[#list + 1] = one_of(source, folder, entry, name)
  end
  return list
end

--- All submissions, in the order of their names.
---@param path string a folder, or a .zip archive
---@param name string of the master's file
---@return {student: string, text: string?, problem: string?}[]? list nil and why
---@return string? message
function submissions.list(path, name)
  local info = core.file_info(path)
  if not info or info.kind == "folder" then return all(disk, path, name) end
  if not path:lower():find "%.zip$" then return nil, path .. " is neither a folder nor a .zip archive" end
  local source, message = archive.open(path)
  if not source then return nil, message end
  local list = all(source, source:root(name), name)
  source:close()
  return list
end

return submissions
