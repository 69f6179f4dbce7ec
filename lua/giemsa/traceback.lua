--- Errors as a reader wants them: the message, and where in the reader's own files it came from.
-- Frames of giemsa's files and of C are left out; the whole traceback is kept beside.
local lookup = require "giemsa.lookup"

local traceback = {}

local MOST_FRAMES = 12

---@class giemsa.trouble
---@field message string
---@field frames {path: string, line: integer, name: string?}[] the innermost first
---@field full string Lua's own traceback

local function message_of(problem)
  if type(problem) == "string" then return problem end
  local metatable = debug.getmetatable(problem)
  if type(metatable) == "table" and metatable.__tostring or type(problem) == "number" then
    return tostring(problem)
  end
  return ("(error object is a %s value)"):format(type(problem))
end

local function frames_from(level)
  local frames = {}
  while #frames < MOST_FRAMES do
    local info = debug.getinfo(level, "Slnt")
    if not info then break end
    if info.what ~= "C" and not lookup.is_ours(info.source) then
      frames[#frames + 1] = { path = info.short_src, line = info.currentline,
        name = info.what ~= "main" and info.name or nil }
    end
    level = level + 1
  end
  return frames
end

--- A message handler for xpcall.
---@param problem any what was raised
---@return giemsa.trouble
function traceback.handler(problem)
  return { message = message_of(problem), frames = frames_from(3),
    full = debug.traceback(message_of(problem), 2) }
end

--- The frames as lines, "notebooks/05_train.lua:120: in 'step'".
---@param trouble giemsa.trouble
---@return string[]
function traceback.lines(trouble)
  local lines = {}
  for i, frame in ipairs(trouble.frames) do
    lines[i] = ("%s:%d%s"):format(frame.path, frame.line,
      frame.name and (": in '%s'"):format(frame.name) or "")
  end
  return lines
end

return traceback
