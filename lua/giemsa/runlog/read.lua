--- Reading a run log: the cells of a run with their outputs. At once (runlog.read), or as it grows
-- (runlog.follow).
local changes = require "giemsa.notebook.changes"
local json = require "giemsa.json"
local notebook = require "giemsa.notebook"

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
---@field text string? the code that ran, where the lesson was edited afterwards
---@field turn integer how many cells had begun before it
---@field status string? nil while it runs, and when the run was killed in it
---@field seconds number?
---@field before number?
---@field outputs giemsa.RunOutput[]

---@class giemsa.Run
---@field folder string where the pictures are
---@field path string
---@field start table the start event; its source is the lesson as it was last taken
---@field cells table<integer, giemsa.RunCell> by number; a cell that ran again: its last time
---@field order integer[] the numbers in the order of their (last) beginning
---@field running integer? the code cell that has begun and is not done
---@field finish table? the end event; nil while it runs
local Run = {}
Run.__index = Run

local function is_same_stream(output, event)
  return output and output.kind == "stream" and output.name == event.name
end

-- What an event must hold to be read; a file that another program wrote, or damaged, may not.
local FIELDS = {
  start = { source = "string" }, edit = { source = "string" }, cell = { cell = "number" }, done = { cell = "number" },
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
  for _, output in ipairs(run.cells[event.cell] and run.cells[event.cell].outputs or {}) do
    if output.id then run.displays[output.id] = nil end -- it runs again
  end
  run.turns = run.turns + 1
  run.cells[event.cell] = { cell = event.cell, name = event.name, line = event.line, outputs = {},
    turn = run.turns }
  run.running, run.finish = event.cell, nil
end

-- The lesson was edited in between: results go with their cells, and remember what ran.
function readers.edit(run, event)
  local old, new = notebook.parse(run.start.source), notebook.parse(event.source)
  local to, cells, order = changes(old, new), {}, {}
  to[0] = 0
  for _, number in ipairs(run.order) do
    local cell, now = run.cells[number], to[number]
    if now then
      local ran = old.cells[number]
      cell.text, cell.cell = cell.text or ran and ran:source(), now
      cells[now], order[#order + 1] = cell, now
    end
  end
  run.cells, run.order, run.start.source = cells, order, event.source
end

-- What stands outside of every cell belongs to cell 0.
local function cell_of(run, event)
  local number = event.cell or 0
  if not run.cells[number] then readers.cell(run, { cell = number }) end
  return run.cells[number]
end

function readers.stream(run, event)
  local outputs = cell_of(run, event).outputs
  local last = outputs[#outputs]
  if not is_same_stream(last, event) then
    last = { kind = "stream", name = event.name, parts = {}, size = 0 }
    outputs[#outputs + 1] = last
  end
  last.parts[#last.parts + 1] = event.text
  last.size = last.size + #event.text
end

function readers.display(run, event)
  local output, cell = { kind = "display", id = event.id, data = event.data }, cell_of(run, event)
  table.insert(cell.outputs, output)
  run.displays[event.id] = { output = output, cell = cell }
end

function readers.update(run, event)
  local shown = run.displays[event.id]
  if shown then shown.output.data = event.data end
end

function readers.error(run, event)
  table.insert(cell_of(run, event).outputs,
    { kind = "error", message = event.message, traceback = event.traceback })
end

function readers.done(run, event)
  local cell = run.cells[event.cell]
  if run.running == event.cell then run.running = nil end
  if not cell then return end
  cell.status, cell.seconds, cell.before = event.status, event.seconds, event.before
end

-- One that had come to its end, and could go on, is no worse for being killed then.
readers["end"] = function(run, event)
  if event.status == "killed" and run.finish then return end
  run.finish, run.running = event, nil
end

local function join_streams(run)
  for _, cell in pairs(run.cells) do
    for _, output in ipairs(cell.outputs) do
      if output.parts then output.text, output.parts, output.size = table.concat(output.parts), nil, nil end
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

-- A run of which nothing has been read yet.
local function new_run(path)
  return setmetatable({ folder = path:match("^(.*)/[^/]*$") or ".", path = path, cells = {},
    order = {}, displays = {}, turns = 0, lines = 0 }, Run)
end

-- Takes a whole line. Returns its event; nil and what is wrong with it.
local function take(run, line)
  run.lines = run.lines + 1
  local event, message = json.decode(line)
  if type(event) == "table" then message = complaint(event)
  else message = message or "an event is an object" end
  if message then return nil, ("%s:%d: %s"):format(run.path, run.lines, message) end
  if readers[event.event] then readers[event.event](run, event) end
  return event
end

local read = {}

--- Reads a log (runlog.read).
function read.whole(path)
  local file <close>, problem = io.open(path, "rb")
  if not file then return nil, problem end
  local run = new_run(path)
  for line in file:lines("L") do
    if line:sub(-1) ~= "\n" then break end -- the end of it has not come, or never will
    local event, message = take(run, line)
    if not event then return nil, message end
  end
  if not run.start then return nil, path .. ": a run log begins with its start" end
  join_streams(run)
  return run
end

-- ---- as it grows

local KEPT = 1 << 17 -- bytes of a stream's beginning, and at least of its end, that are kept
local CUT = "[... %d bytes are not shown; all is in %s]\n"

-- A stream that goes on for hours keeps its head and its tail.
local function shorten(stream)
  local text = table.concat(stream.parts)
  if not stream.head then
    stream.head, stream.left_out = text:sub(1, KEPT):match "^.*\n" or text:sub(1, KEPT) .. "\n", 0
    text = text:sub(#stream.head + 1)
  end
  local tail = text:sub(-KEPT)
  tail = tail:match "\n(.*)$" or tail
  stream.left_out = stream.left_out + #text - #tail
  stream.parts, stream.size = { tail }, #tail
end

local function join_kept(stream, path)
  if stream.size > 4 * KEPT then shorten(stream) end
  local text = table.concat(stream.parts)
  stream.parts = { text }
  stream.text = stream.head and stream.head .. CUT:format(stream.left_out, path) .. text or text
end

---@class giemsa.Follower
---@field run giemsa.Run what has come so far; its streams' texts are complete after each call of read
---@field file file*
---@field rest string[] of a line whose end has not come
local Follower = {}
Follower.__index = Follower

local CHUNK = 1 << 20

--- Takes what was added to the log since the last call, at most a megabyte. Raises nothing: a line
--- that is no event is left out.
---@return table<integer, true> changed numbers of the cells that are not as they were; in a run whose
--- lesson was edited, all
---@return boolean is_any whether anything came
function Follower:read()
  local run, changed = self.run, {}
  self.file:seek("cur", 0) -- else the end of the file, once met, would stay
  local bytes = self.file:read(CHUNK)
  if not bytes then return changed, false end
  local last = bytes:find "\n[^\n]*$"
  if not last then
    table.insert(self.rest, bytes)
    return changed, true
  end
  local text = table.concat(self.rest) .. bytes:sub(1, last)
  self.rest = { bytes:sub(last + 1) }
  for line in text:gmatch "[^\n]+" do
    local running = run.running
    local event = take(run, line)
    if event and event.event == "end" and running then changed[running] = true end -- killed in the middle of it
    if event and event.event == "edit" then
      for number in pairs(run.cells) do changed[number] = true end
    elseif event then
      local shown = event.event == "update" and run.displays[event.id]
      changed[shown and shown.cell.cell or event.cell or 0] = true
    end
  end
  for number in pairs(changed) do
    for _, output in ipairs(run.cells[number] and run.cells[number].outputs or {}) do
      if output.parts then join_kept(output, run.path) end
    end
  end
  return changed, true
end

--- Follows a log from its beginning (runlog.follow).
---@param path string
---@return giemsa.Follower? follower nil and why when the file cannot be read
---@return string? message
function read.follow(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  return setmetatable({ run = new_run(path), file = file, rest = {} }, Follower)
end

--- Closes the file.
function Follower:close() self.file:close() end

return read
