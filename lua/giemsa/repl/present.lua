--- What the prompt shows: values, pictures, errors, times.
local core = require "giemsa.core"
local display = require "giemsa.display"
local inspect = require "giemsa.inspect"
local lookup = require "giemsa.lookup"

local present = {}

local MENTIONED_SECONDS = 0.5

--- Does the terminal take colours?
present.colour = not os.getenv "NO_COLOR" and os.getenv "TERM" ~= "dumb"

local function paint(code, text)
  return present.colour and ("\27[%sm%s\27[0m"):format(code, text) or text
end

--- Quiet words beside the matter.
---@param text string
---@return string
function present.dim(text) return paint("90", text) end

--- Columns of the terminal.
---@return integer
function present.columns()
  local columns = core.terminal_size()
  return columns and columns > 0 and columns or 80
end

--- Text through $PAGER (less) when it is higher than the terminal.
---@param text string
function present.page(text)
  local columns, rows = core.terminal_size()
  local _, lines = text:gsub("\n", "")
  local pager = os.getenv "PAGER" or "less -RFX"
  local look = "command -v " .. pager:match "%S+" .. " >/dev/null"
  if columns and lines >= rows - 1 and os.execute(look) then
    local pipe = io.popen(pager, "w")
    if pipe then
      pipe:write(text)
      pipe:close()
      return
    end
  end
  io.write(text)
end

-- ---- values

--- Figures and pictures are looked at, not read.
function present.is_drawable(value)
  if type(value) == "userdata" then
    return rawget(debug.getmetatable(value) or {}, "__name") == "giemsa.picture"
  end
  return type(value) == "table" and lookup.get(value, "script") and lookup.get(value, "png")
end

--- Shows values, one below the other.
---@param values table packed
function present.values(values)
  for i = 1, values.n do
    local value = values[i]
    if display.is_shown(value) then -- enough
    elseif present.is_drawable(value) then display(value)
    else
      local text = inspect.text(value, { columns = present.columns(), colour = present.colour })
      io.write(text, "\n")
    end
  end
end

--- Says how long a command took when it was long.
---@param seconds number
function present.time(seconds)
  if seconds < MENTIONED_SECONDS then return end
  io.write(present.dim(("took %.1f s"):format(seconds)), "\n")
end

-- ---- errors

--- A message on stderr, behind what was printed so far.
---@param message any
function present.complain(message)
  io.stdout:flush()
  io.stderr:write(tostring(message), "\n")
end

-- "notebooks/05.lua:12: in upvalue 'step'" -> its place and the function's name
local function frame_of(line)
  local place, rest = line:match "^(.-:%d+):%s*(.*)$"
  return place, rest and rest:match "'(.-)'"
end

-- What was typed last has no name that anybody knows: its lines do.
local function placed(message, current)
  local line, rest = message:match("^" .. current:gsub("%p", "%%%0") .. ":(%d+): (.*)$")
  if not line then return message end
  return rest, tonumber(line)
end

--- Shows an error: the message, and the reader's own frames that led to it.
---@param outcome giemsa.Outcome
---@param current string the name of the chunk that was typed last
---@param is_long boolean whether it has several lines
function present.error(outcome, current, is_long)
  local message, line = placed(outcome.message, current)
  if line and is_long then message = ("line %d: %s"):format(line, message) end
  local is_stopped = message:find "interrupted!$" ~= nil
  local lines = { is_stopped and paint("31", message) or paint("1;31", "error: ") .. message }
  for _, text in ipairs(outcome.traceback or {}) do
    local place, name = frame_of(text)
    local is_typed = place and place:match "^(.*):%d+$" == current
    if place and not (is_typed and not name) then
      lines[#lines + 1] = present.dim(("  at %s%s"):format(place, name and " in " .. name or ""))
    end
  end
  if #lines == 2 and lines[2]:find(message:match "^(.-:%d+): " or "\0", 1, true) then
    lines[2] = nil -- says no more than the message
  end
  present.complain(table.concat(lines, "\n"))
end

return present
