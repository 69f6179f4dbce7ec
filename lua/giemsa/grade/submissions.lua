--- The submissions in a folder: a file a student (ada.lua), or a folder a student with a file in it
-- (ada/lesson.lua). Only ordinary files of a sensible size are read; what is something else is a
-- submission with a problem, and gets its row too.
local core = require "giemsa.core"
local unicode = require "giemsa.unicode"

local submissions = {}

local SIZE_MAX = 1 << 20

local function read(path)
  local text, why = core.read_ordinary(path, SIZE_MAX)
  return text, not text and ("cannot be read: " .. why) or nil
end

-- The file in a student's folder: of the master's name, else the only one.
local function file_in(folder, name)
  local entries, message = core.list_folder(folder)
  local lua = {}
  for _, entry in ipairs(entries or {}) do
    if entry[1] == name then return folder .. "/" .. name end
    if entry[1]:find "%.lua$" then lua[#lua + 1] = entry[1] end
  end
  if #lua == 1 then return folder .. "/" .. lua[1] end
  return nil, message or ("the folder holds %d .lua files and no %s"):format(#lua, name)
end

local function one_of(folder, entry, name)
  local path, kind = folder .. "/" .. entry[1], entry[2]
  local student, text, problem = entry[1], nil, nil
  if kind == "linked folder" then
    problem = "cannot be read: it is a link"
  elseif kind == "folder" then
    if student:find "%.lua$" then student = student:sub(1, -5) end
    path, problem = file_in(path, name)
    if path then text, problem = read(path) end
  else
    if not student:find "%.lua$" then return end
    student = student:sub(1, -5)
    text, problem = read(path)
  end
  return { student = unicode.clean(student), text = text, problem = problem }
end

--- All submissions, in the order of their names.
---@param folder string
---@param name string of the master's file
---@return {student: string, text: string?, problem: string?}[]? list nil and why
---@return string? message
function submissions.list(folder, name)
  local entries, message = core.list_folder(folder)
  if not entries then return nil, message end
  local list = {}
  for _, entry in ipairs(entries) do
    if entry[1]:sub(1, 1) ~= "." then list[#list + 1] = one_of(folder, entry, name) end
  end
  return list
end

return submissions
