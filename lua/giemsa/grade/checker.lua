--- Checks one submission: the master's own cells and checks, in a process of their own that no
-- student's code has ever run in. Where the master has a region, its variables get the values that
-- the student's process gives: plain data and tensors as copies, functions and other objects as
-- stand-ins that ask that process.
local check = require "giemsa.check"
local core = require "giemsa.core"
local exercise = require "giemsa.exercise"
local notebook = require "giemsa.notebook"
local options = require "giemsa.options"
local wire = require "giemsa.grade.wire"

local checker = {}

local MESSAGE_MAX = 16 << 20 -- of what a submission gives back at a time

-- ---- the student's process, from here

---@class giemsa.grade.Peer
---@field fd integer
---@field seconds number that an answer may take
---@field region string? where its values come from just now
---@field lost {region: string, why: string}? it will not answer again
local Peer = {}
Peer.__index = Peer

local numbers, peers, origins = setmetatable({}, { __mode = "k" }), {}, {}

local function lose(peer, why)
  peer.lost = peer.lost or { region = peer.region, why = why }
  error(why, 0)
end

local WHY = { ["timed out"] = "it did not end in time", closed = "its process ended",
  ["too long"] = "it gave back too much" }

-- Arguments: data, and objects that came from there.
local function export(value, kind)
  if numbers[value] then return wire.own(numbers[value]) end
  error("a " .. kind .. " cannot be handed to a submission's function", 0)
end

-- A table that came whole: no stand-in, which would ask for what it holds.
local function is_data(value) return type(value) == "table" and getmetatable(value) == nil end

function Peer:ask(what, ...)
  if self.lost then error(self.lost.why, 0) end
  local request = table.pack(...)
  request.what = what
  local sent, why = core.send_message(self.fd, wire.encode(request, export), self.seconds)
  local bytes
  if sent then bytes, why = core.receive_message(self.fd, self.seconds, MESSAGE_MAX) end
  if not bytes then lose(self, WHY[why] or why) end
  local ok, answer = pcall(wire.decode, bytes, function(number, kind)
    return kind and self:stand_in(number, kind) or error("no such object", 0)
  end)
  local well = ok and is_data(answer) and (answer[1] == false or is_data(answer[2]))
  if not well then lose(self, "its process answered nonsense") end
  if not answer[1] then error(tostring(answer[2]), 0) end
  local n = math.tointeger(answer[2].n)
  if not n or n < 0 or n > 200 then lose(self, "its process answered nonsense") end
  return table.unpack(answer[2], 1, n)
end

local Object = { __metatable = false, __name = "object of the submission" }

local function on(object, what, ...)
  local peer, before = peers[1], peers[1].region
  peer.region = origins[object] or before
  local results = table.pack(pcall(peer.ask, peer, what, numbers[object], ...))
  if not peer.lost then peer.region = before end
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

function Object.__call(object, ...) return on(object, "call", table.pack(...)) end
function Object.__index(object, key) return on(object, "index", key) end
function Object.__len(object) return on(object, "length") end
function Object.__newindex() error("the submission's objects cannot be changed", 2) end
function Object.__tostring(object) return "object " .. numbers[object] .. " of the submission" end

-- A function is a function here too, so that `type(f) == "function"` holds.
function Peer:stand_in(number, kind)
  peers[1] = self
  local object = setmetatable({}, Object)
  local handle = object
  if kind == "function" then handle = function(...) return on(object, "call", table.pack(...)) end end
  numbers[object], numbers[handle] = number, number
  origins[object] = self.region
  return handle
end

-- ---- the submission's regions

-- The code of a piece that was cut off by a marker of the student's own.
local function pieces_after(book, number, known)
  local parts, count = {}, 0
  for i = number + 1, #book.cells do
    local one = book.cells[i]
    if one.kind ~= "code" or one.name or known[one:source()] then break end
    parts[#parts + 1] = one.body
    count = count + 1
  end
  return table.concat(parts), count
end

local function by_name(book)
  local found = {}
  for _, one in ipairs(book.cells) do
    if one.name then
      found[one.name] = found[one.name] or {}
      table.insert(found[one.name], one)
    end
  end
  return found
end

local function with_end(body) return body:sub(-1) == "\n" and body or body .. "\n" end

-- The unknown names, each with the nearest region that is missing.
local function tell_unknown(found, lesson, missing, tell)
  local names = {}
  for name, cells in pairs(found) do
    if not lesson[name] and cells[1].kind == "code" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    tell(("cell '%s' is not in the lesson, and was not looked at%s"):format(name:sub(1, 64),
      options.hint(name, missing)))
  end
end

--- What a submission holds for each region.
---@param text string
---@param lesson giemsa.Notebook as the students got it
---@param regions giemsa.Cell[] of the lesson
---@param tell fun(note: string)
---@return table<string, string> bodies by the region's name
function checker.bodies(text, lesson, regions, tell)
  local book = notebook.parse(text)
  local found, own, bodies, missing, known = by_name(book), by_name(lesson), {}, {}, {}
  for _, one in ipairs(lesson.cells) do known[one:source()] = true end
  if not utf8.len(text) then tell "the file is not valid UTF-8" end
  for _, region in ipairs(regions) do
    local name, cells = region.name, found[region.name] or {}
    local one = cells[1]
    if not one or one.kind ~= "code" then
      missing[name] = true
      tell(("region '%s' is missing"):format(name))
    else
      if cells[2] then tell(("region '%s' is there %d times; the first counts"):format(name, #cells)) end
      local rest, count = pieces_after(book, one.number, known)
      if count > 0 then
        tell(("region '%s' was split into %d cells, and put together"):format(name, count + 1))
      end
      bodies[name] = with_end(with_end(one.body) .. rest)
    end
  end
  tell_unknown(found, own, missing, tell)
  local changed = {}
  for _, one in ipairs(lesson.cells) do
    local theirs = found[one.name]
    if theirs and exercise.is_check(one) and theirs[1]:source() ~= one:source() then
      changed[#changed + 1] = one.name
    end
  end
  if #changed > 0 then
    tell(("other checks stand in %s; the instructor's were used"):format(table.concat(changed, ", ")))
  end
  return bodies
end

-- ---- a submission

-- The table that an answer holds.
local function table_of(peer, value)
  return is_data(value) and value or lose(peer, "its process answered nonsense")
end

-- What the region gives goes into the master's variables.
local function import(session, region, peer)
  local names = exercise.made(region)
  peer.region = region.name
  local ok, message, values = pcall(peer.ask, peer, "run_to", region.name, names)
  if not ok then lose(peer, message) end -- it broke what runs it, or made what cannot be sent
  table_of(peer, values)
  local locals = {}
  for _, name in ipairs(session:declared(region.number)) do locals[name] = { values[name] } end
  session:skip(region.number, locals)
  for _, name in ipairs(names) do
    if not locals[name] then session:assign(name, values[name]) end
  end
  return message
end


-- The checks of a cell.
local function run_checks(session, number)
  local outcome = session:run(number)
  local results = {}
  for i, one in ipairs(check.of(session.notebook.cells[number])) do
    results[i] = { name = one.name, status = one.status,
      message = one.message and one.message:sub(1, 1000) }
  end
  return results, not outcome.ok and tostring(outcome.message):sub(1, 1000) or nil
end

local function about(message) return tostring(message):sub(1, 1000) end

-- Through the lesson, from where the session stands.
local function go_through(o, peer, tell)
  local session = o.session
  while session.next and session.next <= o.last do
    local one = session.notebook.cells[session.next]
    if exercise.is_region(one) then
      local message = import(session, one, peer)
      if message then tell{ what = "region", name = one.name, message = about(message) } end
    elseif exercise.is_check(one) then
      local results, message = run_checks(session, one.number)
      if peer.lost then return end
      tell{ what = "cell", number = one.number, results = results, message = message }
    else
      session:run(one.number)
    end
  end
end

local function grade(o, peer, tell)
  local bodies = checker.bodies(o.text, o.lesson, o.regions, function(text)
    tell{ what = "note", text = text }
  end)
  for name in pairs(o.excluded) do bodies[name] = nil end
  peer.region = o.regions[1].name
  local problems = table_of(peer, peer:ask("take", bodies))
  for _, region in ipairs(o.regions) do
    local why = problems[region.name]
    if why then tell{ what = "region", name = region.name, message = about(why) } end
  end
  go_through(o, peer, tell)
end

--- Grades a submission, in a process of its own whose session stands before the first region.
---@param o {session: giemsa.Session, regions: giemsa.Cell[], lesson: giemsa.Notebook, text: string,
--- excluded: table<string, string>, fd: integer, seconds: number, last: integer}
---@param tell fun(event: table) "note", "region", "cell" and "lost" events, then "done"
function checker.run(o, tell)
  local peer = setmetatable({ fd = o.fd, seconds = o.seconds }, Peer)
  local ok, message = pcall(grade, o, peer, tell)
  if peer.lost then
    tell{ what = "lost", region = peer.lost.region, why = peer.lost.why }
  elseif not ok then
    tell{ what = "trouble", text = "grading ended early: " .. about(message) }
  end
  tell{ what = "done" }
end

return checker
