--- One lesson on its live page: follows the file and the newest run, runs cells, takes edits. Nothing
-- here waits; `turn` looks at everything once.
local core = require "giemsa.core"
local json = require "giemsa.json"
local notebook = require "giemsa.notebook"
local parts = require "giemsa.view.parts"
local runlog = require "giemsa.runlog"
local syntax = require "giemsa.syntax"

---@class giemsa.view.Desk
---@field path string of the lesson
---@field options table of the runs: see run.start
---@field parts giemsa.view.Parts
---@field text string? of the file, as the page shows it
---@field seen string? of the file, as it was last read
---@field follower giemsa.Follower? of the newest run
---@field worker userdata? the process that runs cells
---@field is_busy boolean it is at it
---@field folder string? of the worker's run
---@field asked_to_stop number? when
---@field insisted boolean? what the cell had started, and did not stop, was ended
---@field since number when what is the case began
---@field message string? why the last command was not done
local Desk = {}
Desk.__index = Desk

-- In the first language of the page.
function Desk:say(text, ...) return self.parts.page:word(text, ...) end

-- ---- the file

-- Why a text cannot be run, for one who is just writing it; nil when it can.
local function complaint(text, path)
  local ok, message = load(syntax.script(text), "@" .. path, "t")
  return not ok and message or nil
end

local TEXT_MAX = 16 << 20

local function read(path) return core.read_ordinary(path, TEXT_MAX) end

function Desk:follow_file()
  local text, problem = read(self.path)
  if not text then -- an editor may be about to put a new one in its place
    self.missing = self.missing or core.now()
    if self.text and core.now() - self.missing > 1 then self.parts:tell(problem or self.path) end
    return
  end
  local is_half = self.text and text ~= self.seen -- perhaps: many editors empty a file, then write it
  self.seen = text
  if is_half or text == self.text and not self.missing then return end
  self:take_text(text)
end

function Desk:take_text(text)
  self.missing = nil
  if text ~= self.text then
    self.text = text
    self.parts.problem = nil
    self.parts:take_text(notebook.parse(text, self.path))
  end
  self.parts:tell(complaint(text, self.path))
end

-- ---- the run

local function close_follower(self)
  if self.follower then self.follower:close() end
  self.follower = nil
end

local NEWS_SECONDS = 0.2 -- between two looks at a run that goes on: a cell is made anew as a whole
local READS = 4 -- megabytes at a look

-- Which cells have changed; nil when nothing has come.
local function read_some(follower)
  local changed
  for _ = 1, READS do
    local more, is_any = follower:read()
    if not is_any then break end
    changed = changed or {}
    for number in pairs(more) do changed[number] = true end
  end
  return changed
end

function Desk:follow_run()
  local folder = runlog.newest(self.path)
  if folder and folder ~= self.run_folder then
    local follower = runlog.follow(folder .. "/log.jsonl")
    if not follower then return end
    close_follower(self)
    self.follower, self.run_folder = follower, folder
    self.is_new_run, self.rests_until = true, 0
  end
  local goes_on = self.is_busy or self.run_folder ~= self.folder
  if not self.follower or goes_on and core.now() < self.rests_until then return end
  local changed = read_some(self.follower)
  if changed then self.rests_until = core.now() + NEWS_SECONDS end
  if changed and self.follower.run.start then
    self.parts:take_results(self.follower.run, not self.is_new_run and changed or nil)
    self.is_new_run = false
  end
end

-- ---- the process

local function close_worker(self)
  if self.worker then self.worker:close() end
  self.worker, self.is_busy, self.folder, self.asked_to_stop, self.insisted = nil, false, nil, nil, nil
  self.pieces = ""
end

-- What it says goes where its page has no part in it: errors, to this terminal.
local function pass_on(worker)
  worker:read "out"
  io.stderr:write(worker:read "err" or "")
end

local ENDS = { failed = "%s failed", timeout = "%s took too long" } -- that the reader did not ask for

local function take_answer(self, answer)
  if answer.folder then self.folder = answer.folder end
  if not answer.done then return end
  self.is_busy, self.asked_to_stop, self.insisted = false, nil, nil
  local how = ENDS[answer.done]
  self.message = answer.problem or how and self:say(how, answer.at)
end

-- Answers that have come whole: an id, a size, JSON. Each is answered, or the worker would wait.
local function take_answers(self)
  self.pieces = self.pieces .. (self.worker:read "events" or "")
  while #self.pieces >= 8 do
    local id, size = ("=I4I4"):unpack(self.pieces)
    if #self.pieces < 8 + size then return end
    local answer = json.decode(self.pieces:sub(9, 8 + size))
    self.pieces = self.pieces:sub(9 + size)
    self.worker:send(id, "")
    take_answer(self, answer)
  end
end

local PATIENCE = 1 -- seconds after which a stop ends the programs that the cell runs, and a second one the process

local function is_overdue(self) return self.asked_to_stop and core.now() - self.asked_to_stop > PATIENCE end

function Desk:follow_worker()
  if not self.worker then return end
  pass_on(self.worker)
  take_answers(self)
  if is_overdue(self) and not self.insisted then
    self.insisted = true
    self.worker:end_children()
  end
  local status = self.worker:status()
  if not status then return end
  if status > 128 then
    self.message = self:say("the process that ran the lesson was ended by signal %d; its variables are gone", status - 128)
  else
    self.message = self:say("the process that ran the lesson ended with code %d; its variables are gone", status)
  end
  close_worker(self)
end

local function start_worker(self)
  close_worker(self)
  local worker, problem = core.start_worker({ core.program_path(), "view", "--runner" }, true)
  if not worker then return nil, problem end
  self.worker = worker
  return true
end

-- ---- what a viewer may ask for

--- Runs cells: from the top in a fresh process, or from a cell on with the variables that are there.
---@param from integer? the first cell; nil: from the top
---@param to integer? the last; nil: all
---@return boolean? ok nil and why not
---@return string? message
function Desk:run(from, to)
  if self.is_busy then return nil, self:say "it runs already" end
  local is_ours = self.worker and self.folder == self.run_folder
  if not (from and is_ours) then
    local ok, problem = start_worker(self)
    if not ok then return nil, problem end
    from = nil
  end
  local ok, problem = self.worker:send(0, json.encode{ lesson = self.path, options = self.options, from = from,
    to = to })
  if not ok then return nil, problem end
  self.is_busy, self.message = true, nil
  return true
end

--- Stops the running cell, as Ctrl-C does; asked again, ends the process.
---@return boolean? ok nil and why not
---@return string? message
function Desk:stop()
  if not self.is_busy then return nil, self:say "nothing runs here" end
  if is_overdue(self) then
    close_worker(self)
    self.message = self:say "the process was ended; its variables are gone"
    return true
  end
  self.asked_to_stop = self.asked_to_stop or core.now()
  self.worker:send(0, json.encode{ stop = true })
  self.worker:interrupt()
  return true
end

-- The lesson as it is in the file now, and in it the cell of a key, when it is as the writer saw it. nil, why not, and
-- what another than the writer has written.
local function find_as_seen(self, key, before)
  local present, message = read(self.path)
  if not present then return nil, message end
  self:take_text(present)
  local book = notebook.parse(present, self.path)
  local cell = book.cells[self.parts:number(key)]
  if not cell then return nil, self:say "the cell is no longer in the file" end
  if cell:source() ~= before then
    return nil, self:say "the cell was changed in the file meanwhile", { source = cell:source() }
  end
  return book, cell
end

local function write(self, text)
  local ok, problem = core.write_file(self.path, text)
  if ok then self:take_text(text) end
  return ok, problem
end

--- Writes one cell to the file; nothing else in it changes.
---@param key string of the cell
---@param before string its source as the writer saw it
---@param source string the new one
---@return boolean? ok nil and why not
---@return string? message
---@return {source: string}? now the cell's source in the file: without blank lines at its end, up to a marker of another
--- cell; of an edit that was refused: what another than the writer has written
function Desk:edit(key, before, source)
  local book, cell, theirs = find_as_seen(self, key, before)
  if not book then return nil, cell, theirs end
  cell:set_source((source:gsub("%s+$", ""))) -- the blank lines behind it stay as they are
  local ok, problem = write(self, book:text())
  if not ok then return nil, problem end
  return true, nil, { source = self.parts.book.cells[cell.number]:source() }
end

local NEW = { code = "new-code", markdown = "new-text" } -- names, where they are free

--- Writes a new, empty cell to the file, behind another; nothing else in it changes.
---@param key string of the cell before it
---@param before string the source of that as the writer saw it
---@param kind "code"|"markdown"
---@return boolean? ok nil and why not
---@return string? message
---@return {key: string}? now of the new cell
function Desk:add(key, before, kind)
  local book, cell, theirs = find_as_seen(self, key, before)
  if not book then return nil, cell, theirs end
  local text, number = book:text_with(cell.number, { kind = kind, options = { name = book:free_name(NEW[kind]) } }, "")
  local ok, problem = write(self, text)
  if not ok then return nil, problem end
  return true, nil, { key = self.parts.keys[number] }
end

-- ---- all of it

--- What runs, for the line above the page.
---@return table
function Desk:status()
  local run = self.follower and self.follower.run
  local number = run and run.running and self.parts.to and self.parts.to[run.running]
  local is_elsewhere = not self.is_busy and run and run.start and not run.finish
    and self.run_folder ~= self.folder
  local state = self.asked_to_stop and "stopping" or self.is_busy and "running"
    or is_elsewhere and "elsewhere" or "ready"
  return { state = state, cell = number and self.parts.keys[number], message = self.message }
end

-- Since when the cell runs; a stop that is asked for begins nothing new.
function Desk:note_time(status)
  local what = (status.state == "stopping" and "running" or status.state) .. (status.cell or "")
  if what ~= self.what then self.what, self.since = what, core.now() end
end

--- For how many seconds the status has been what it is.
---@return number
function Desk:seconds() return core.now() - self.since end

--- Looks at the file, the run and the process once.
function Desk:turn()
  self:follow_file()
  self:follow_worker()
  self:follow_run()
  local now = self:status()
  self:note_time(now)
  local status = json.encode(now)
  if status ~= self.shown_status then
    self.shown_status = status
    self.parts.version = self.parts.version + 1
  end
end

local GRACE = 2 -- seconds for variables declared <close>

-- Turns until it is so, or the time is over.
local function wait_until(self, deadline, is_so, wait)
  while self.worker and not is_so() and core.now() < deadline do
    wait(0.01)
    self:follow_worker()
  end
end

--- Ends what runs.
---@param wait fun(seconds: number)
function Desk:close(wait)
  if self.worker then
    local deadline = core.now() + GRACE
    if self.is_busy then self.worker:interrupt() end
    wait_until(self, deadline, function() return not self.is_busy end, wait)
    if self.worker and not self.is_busy then self.worker:send(0, json.encode{ leave = true }) end
    wait_until(self, deadline, function() return false end, wait)
  end
  close_worker(self)
  close_follower(self)
end

local desk = {}

--- A lesson's desk; its page is complete after the first turn.
---@param path string
---@param o {lang: string?, seed: integer?, quick: boolean?}
---@return giemsa.view.Desk
function desk.new(path, o)
  local self = setmetatable({ path = path, options = { seed = o.seed, quick = o.quick or nil,
    lang = o.lang }, parts = parts.new(path, o.lang), pieces = "", is_busy = false }, Desk)
  self:turn()
  return self
end

return desk
