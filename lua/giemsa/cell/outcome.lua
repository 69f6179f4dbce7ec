--- How a piece of a script ends: at the next stop, with values, or with an error and the frames of
-- the script that lead to it.
local lookup = require "giemsa.lookup"

local debug = debug -- as it is now: a lesson may change the global

local outcomes = {}

local STOP = {} -- marks our own yields

--- Stops the script here, before a cell (0: at its end).
---@param number integer
---@param keeper function
function outcomes.stop(number, keeper) coroutine.yield(STOP, number, keeper) end

--- An error as text. Lua's own words for objects without one.
function outcomes.message_of(problem)
  if type(problem) == "string" then return problem end
  local mt = getmetatable(problem)
  if type(problem) == "number" or type(mt) == "table" and mt.__tostring then
    return tostring(problem)
  end
  return ("(error object is a %s value)"):format(type(problem))
end

--- The level of a coroutine's outermost function, found in few steps: looking at a level takes time
--- in proportion.
---@param thread thread
---@return integer
function outcomes.last_level(thread)
  local low, high = 0, 1
  while debug.getinfo(thread, high, "S") do low, high = high, high * 2 end
  while low + 1 < high do
    local middle = (low + high) // 2
    if debug.getinfo(thread, middle, "S") then low = middle else high = middle end
  end
  return low
end

-- "lesson.lua:12: in function 'step'", for a frame of the lesson or its own modules.
local function frame_text(info, is_last)
  local place = ("%s:%d: in "):format(info.short_src, info.currentline)
  if is_last then return place .. "main chunk" end -- the function that holds the script
  if info.name then return ("%s%s '%s'"):format(place, info.namewhat ~= "" and info.namewhat
    or "function", info.name) end
  return ("%sfunction <line %d>"):format(place, info.linedefined)
end

local MOST_FRAMES = 20

-- The frames of a dead coroutine from where it failed outwards, without C's and giemsa's own.
local function frames_of(thread, last)
  local frames = {}
  for level = 0, last do
    local info = debug.getinfo(thread, level, "Slnt")
    if info.what ~= "C" and not lookup.is_ours(info.source) then
      frames[#frames + 1] = frame_text(info, level == last)
    end
    if #frames == MOST_FRAMES and level < last then
      frames[#frames + 1] = ("... %d more"):format(last - level)
      break
    end
  end
  return frames
end

---@class giemsa.Outcome
---@field ok boolean
---@field values table? packed: what the piece returned
---@field message string? "file:line: ..."
---@field traceback string[]?
---@field problem any? what was raised
---@field stopped "interrupted"|"timeout"|nil by Ctrl-C, by the clock

-- A yield that is not ours is one outside of every coroutine, to the script.
local STRAY = "attempt to yield from outside a coroutine"

local function failure(thread, problem)
  return { ok = false, message = outcomes.message_of(problem), problem = problem,
    traceback = frames_of(thread, outcomes.last_level(thread)) }
end

-- The outcome of what coroutine.resume gave; of a stop also its cell and keeper.
local function outcome_of(thread, results)
  if not results[1] then return failure(thread, results[2]) end
  if coroutine.status(thread) == "dead" then
    return { ok = true, values = table.pack(table.unpack(results, 2, results.n)) }
  end
  if results[2] == STOP then return { ok = true, values = { n = 0 } }, results[3], results[4] end
  local info = debug.getinfo(thread, 1, "Sl") or {}
  local where = info.currentline and ("%s:%d: "):format(info.short_src, info.currentline) or ""
  return failure(thread, where .. STRAY)
end

-- Ctrl-C ends what is resumed and nothing else, where the program offers that.
local has_interrupt, interrupt = pcall(require, "giemsa.interrupt")

--- Goes on until the next stop or the end.
---@param thread thread
---@return giemsa.Outcome outcome
---@return integer? number of the cell that comes, at a stop
---@return function? keeper
function outcomes.resume(thread, ...)
  if not has_interrupt then return outcome_of(thread, table.pack(coroutine.resume(thread, ...))) end
  local results = table.pack(interrupt.resume(thread, ...))
  local stopped = interrupt.last()
  local outcome, number, keeper = outcome_of(thread, results)
  outcome.stopped = stopped
  return outcome, number, keeper
end

-- ---- what it means for a cell

local STOPPED = { interrupted = "interrupted!", timeout = "timed out" }

-- "lesson.lua:12: message" of a cell that itself raised nothing.
local function fail(outcome, path, one, message)
  outcome.ok, outcome.traceback = false, {}
  outcome.message = ("%s:%d: %s"):format(path, one.first, message)
end

--- Whether a cell has run well; an outcome that is not gets its message.
---@param outcome giemsa.Outcome
---@param one giemsa.Cell
---@param path string of the lesson
---@return "ok"|"failed"|"interrupted"|"timeout"
function outcomes.status(outcome, one, path)
  if outcome.ok and outcome.stopped then fail(outcome, path, one, STOPPED[outcome.stopped]) end -- it caught the error
  if outcome.stopped then return outcome.stopped end
  local should_fail = one:has_tag "raises-exception"
  if outcome.ok and should_fail then
    fail(outcome, path, one, "the cell should have raised an error (tag raises-exception)")
    return "failed"
  end
  return (outcome.ok or should_fail) and "ok" or "failed"
end

return outcomes
