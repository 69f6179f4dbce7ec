--- Where a reader is in a lesson: which cells were stepped through, where the next one is, which
-- exercises are solved. Kept beside the lesson's runs, in out/runs/<lesson>/bookmark.json. Losing
-- it loses nothing else: what cannot be read is as if the lesson had not been begun.
local core = require "giemsa.core"
local json = require "giemsa.json"
local runlog = require "giemsa.runlog"

local bookmark = {}

---@class giemsa.Bookmark
---@field seen table<string, true> cells that ran, by name (by number where there is none)
---@field next string? the cell before which the reader stopped; nil at the end
---@field checks table<string, "passed"|"failed"|"open"> by name
---@field time string? when it was written, UTC

local function path_of(lesson) return runlog.folder(lesson) .. "/bookmark.json" end

-- What there is of a table of strings with such keys, "number" or "string".
local function strings_of(value, kind)
  local out = {}
  for key, text in pairs(type(value) == "table" and value or {}) do
    if type(key) == kind and type(text) == "string" then out[key] = text end
  end
  return out
end

--- The bookmark of a lesson, an empty one when there is none.
---@param lesson string path
---@return giemsa.Bookmark mark
---@return string? message when there is one that cannot be read
function bookmark.read(lesson)
  local mark = { seen = {}, checks = {} }
  local file <close> = io.open(path_of(lesson), "rb")
  local text = file and file:read "a"
  if not text then return mark end
  local kept = json.decode(text)
  if type(kept) ~= "table" then
    return mark, path_of(lesson) .. " is damaged: this lesson counts as not begun"
  end
  for _, name in pairs(strings_of(kept.seen, "number")) do mark.seen[name] = true end
  mark.checks = strings_of(kept.checks, "string")
  mark.next = type(kept.next) == "string" and kept.next or nil
  mark.time = type(kept.time) == "string" and kept.time or nil
  return mark
end

--- Keeps a bookmark, with the time.
---@param lesson string path
---@param mark giemsa.Bookmark
---@return true|nil ok nil and why when it cannot be written
---@return string? message
function bookmark.write(lesson, mark)
  local seen = setmetatable({}, { __jsontype = "array" })
  for name in pairs(mark.seen) do seen[#seen + 1] = name end
  table.sort(seen)
  return core.write_file(path_of(lesson), json.encode{ seen = seen, next = mark.next,
    checks = setmetatable(mark.checks, { __jsontype = "object" }),
    time = os.date "!%Y-%m-%dT%H:%M:%SZ" } .. "\n")
end

return bookmark
