--- The submissions as a class hands them in: a folder, or the .zip that a learning platform makes of one. A file a student
-- (ada.lua), or a folder a student with a file in it (ada/lesson.lua). Only ordinary files of a sensible size are read; what is
-- something else is a submission with a problem, and gets its row too.
local archive = require "giemsa.grade.archive"
local core = require "giemsa.core"
local unicode = require "giemsa.unicode"

local submissions = {}

local SIZE_MAX = 1 << 20

---@class giemsa.Submission
---@field student string
---@field text string?
---@field problem string? why there is no text
---@field note string? for the instructor

---@class giemsa.grade.Source where submissions lie; "" is its top
---@field list fun(folder: string): {[1]: string, [2]: string}[]?, string? names and kinds, as core.list_folder gives them
---@field refused {[1]: string, [2]: string}[]? of an archive: names that are no paths, and why
---@field read fun(path: string): string?, string? the bytes of an ordinary file; nil and why

local function folder_source(top)
  local function at(path) return path == "" and top or top .. "/" .. path end
  return { list = function(folder) return core.list_folder(at(folder)) end,
    read = function(path) return core.read_ordinary(at(path), SIZE_MAX) end }
end

local function is_lua(name) return name:lower():find "%.lua$" ~= nil end

-- What whoever packed a folder did not put there: "._ada.lua", "__MACOSX".
local function is_hidden(name) return name:find "^%." ~= nil or name == "__MACOSX" end

-- The file in a student's folder: of the master's name, else the only one; a folder that is alone is looked into.
local function file_in(source, folder, name)
  local entries, message = source.list(folder)
  local lua, folders = {}, {}
  for _, entry in ipairs(entries or {}) do
    local path, kind = folder .. "/" .. entry[1], entry[2]
    if entry[1] == name then return path end
    if is_hidden(entry[1]) then -- nobody's
    elseif is_lua(entry[1]) then lua[#lua + 1] = path
    elseif kind == "folder" then folders[#folders + 1] = path end
  end
  if #lua == 1 then return lua[1] end
  if #lua == 0 and #folders == 1 then return file_in(source, folders[1], name) end
  return nil, message or ("the folder holds %d .lua files and no %s"):format(#lua, name)
end

-- A submission; nil when the entry is none.
local function one_of(source, path, entry, name)
  local student, text, problem = entry[1], nil, nil
  if entry[2] == "linked folder" then
    problem = "it is a link"
  elseif entry[2] == "folder" then
    local file, why = file_in(source, path, name)
    if not file then return { student = student:gsub("%.lua$", ""), problem = why } end
    text, problem = source.read(file)
  elseif is_lua(student) then
    text, problem = source.read(path)
  else
    return nil
  end
  return { student = is_lua(student) and student:sub(1, -5) or student, text = text,
    problem = problem and "cannot be read: " .. problem }
end

-- Two files of one name, for a file system that tells "Ada" from "ada" and for a table that does not.
local function tell_namesakes(list)
  local count = {}
  for _, one in ipairs(list) do
    local key = one.student:lower()
    count[key] = (count[key] or 0) + 1
  end
  for _, one in ipairs(list) do
    local n = count[one.student:lower()]
    if n > 1 then one.note = ("%d submissions have this name"):format(n) end
  end
end

-- The folder that an archive was made of, when it is in it as a whole.
local function top_of(source, name)
  local folder
  for _, entry in ipairs(source.list "") do
    if not is_hidden(entry[1]) then
      if folder or entry[2] ~= "folder" then return "" end
      folder = entry[1]
    end
  end
  for _, entry in ipairs(folder and source.list(folder) or {}) do
    if entry[1] == name then return "" end -- a class of one
  end
  return folder or ""
end

--- All submissions, in the order of their names.
---@param path string a folder, or a zip archive
---@param name string of the master's file
---@return giemsa.Submission[]? list nil and why
---@return string[]|string others the names that are neither .lua files nor folders; or the message
function submissions.list(path, name)
  local info = core.file_info(path)
  local source, why = folder_source(path), nil
  if info and info.kind == "file" then source, why = archive.open(path, SIZE_MAX) end
  if not source then return nil, why end
  local top = source.refused and top_of(source, name) or ""
  local entries, message = source.list(top)
  if not entries then return nil, message end
  local list, others = {}, {}
  for _, entry in ipairs(entries) do
    if not is_hidden(entry[1]) then
      local one = one_of(source, top == "" and entry[1] or top .. "/" .. entry[1], entry, name)
      if one then one.student = unicode.clean(one.student) else others[#others + 1] = unicode.clean(entry[1]) end
      list[#list + 1] = one
    end
  end
  for _, one in ipairs(source.refused or {}) do
    list[#list + 1] = { student = unicode.clean(one[1]), problem = "cannot be read: " .. one[2] }
  end
  tell_namesakes(list)
  return list, others
end

return submissions
