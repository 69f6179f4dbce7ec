--- Reading a run log: the cells of a run with their outputs.
local json = require "giemsa.json"

---@class giemsa.RunOutput
---@field kind "stream"|"display"|"error"
---@field name string? of a stream
---@field text string? of a stream: all of it
---@field id string? of a display
---@field data table<string, any>? by MIME type
---@field message string? of an error
---@field traceback string[]?

---@class giemsa.RunCell
---@field cell integer its number in the file
---@field name string?
---@field line integer?
---@field status string? nil while it runs, and when the run was killed in it
---@field seconds number?
---@field before number?
---@field outputs giemsa.RunOutput[]

---@class giemsa.Run
---@field folder string where the pictures are
---@field path string
---@field start table the start event
---@field cells table<integer, giemsa.RunCell> by number; a cell that ran again: its last time
---@field order integer[] the numbers in the order of their (last) beginning
---@field finish table? the end event; nil while it runs
local Run = {}
Run.__index = Run

local function is_same_stream(output, event)
  return output and output.kind == "stream" and output.name == event.name
end

-- What an event must hold to be read; a file that another program wrote, or damaged, may not.
local FIELDS = {
  start = { source = "string" }, cell = { cell = "number" }, done = { cell = "number" },
  stream = { name = "string", text = "string" }, display = { id = "string", data = "table" },
  update = { id = "string", data = "table" }, result = { data = "table" },
  error = { message = "string" },
}

-- nil when an event is as it should be, else what is wrong.
local function complaint(event)
  for field, kind in pairs(FIELDS[event.event] or {}) do
    if type(event[field]) ~= kind then
      return ("the field '%s' of the event '%s' is no %s"):format(field, event.event, kind)
    end
  end
end

local readers = {}

function readers.start(run, event) run.start = event end

function readers.cell(run, event)
  for i, number in ipairs(run.order) do
    if number == event.cell then table.remove(run.order, i) break end
  end
  table.insert(run.order, event.cell)
  run.cells[event.cell] = { cell = event.cell, name = event.name, line = event.line, outputs = {} }
end

-- What stands outside of every cell belongs to cell 0.
local function outputs_of(run, event)
  local number = event.cell or 0
  if not run.cells[number] then readers.cell(run, { cell = number }) end
  return run.cells[number].outputs
end

function readers.stream(run, event)
  local outputs = outputs_of(run, event)
  local last = outputs[#outputs]
  if not is_same_stream(last, event) then
    last = { kind = "stream", name = event.name, parts = {} }
    outputs[#outputs + 1] = last
  end
  last.parts[#last.parts + 1] = event.text
end

function readers.display(run, event)
  local output = { kind = "display", id = event.id, data = event.data }
  table.insert(outputs_of(run, event), output)
  run.displays[event.id] = output
end

function readers.update(run, event)
  local output = run.displays[event.id]
  if output then output.data = event.data end
end

function readers.error(run, event)
  table.insert(outputs_of(run, event),
    { kind = "error", message = event.message, traceback = event.traceback })
end

function readers.done(run, event)
  local cell = run.cells[event.cell]
  if not cell then return end
  cell.status, cell.seconds, cell.before = event.status, event.seconds, event.before
end

readers["end"] = function(run, event) run.finish = event end

local function join_streams(run)
  for _, cell in pairs(run.cells) do
    for _, output in ipairs(cell.outputs) do
      if output.parts then output.text, output.parts = table.concat(output.parts), nil end
    end
  end
end

--- The bytes of a picture of the run: of {file = ...} in an output's data.
---@param picture {file: string}
---@return string? bytes, string? message
function Run:bytes(picture)
  if picture.file:find("/", 1, true) then return nil, picture.file .. ": not a file of the run" end
  local file <close>, message = io.open(self.folder .. "/" .. picture.file, "rb")
  if not file then return nil, message end
  return file:read("a")
end

--- Reads a log (runlog.read).
return function(path)
  local file <close>, problem = io.open(path, "rb")
  if not file then return nil, problem end
  local run = setmetatable({ folder = path:match("^(.*)/[^/]*$") or ".", path = path, cells = {},
    order = {}, displays = {} }, Run)
  local number = 0
  for line in file:lines("L") do
    number = number + 1
    local event, message = json.decode(line)
    local is_whole = line:sub(-1) == "\n"
    if type(event) == "table" then message = complaint(event)
    else message = message or "an event is an object" end
    if message and is_whole then return nil, ("%s:%d: %s"):format(path, number, message) end
    if is_whole and readers[event.event] then readers[event.event](run, event) end
  end
  if not run.start then return nil, path .. ": a run log begins with its start" end
  join_streams(run)
  return run
end
