--- Runs a lesson from top to bottom. It shows what the lesson prints and displays, as the plain script
-- does; the value of a cell's last expression is shown only where one asks for values: at a prompt, in
-- Jupyter. Outputs go to the run log first (giemsa.runlog), then to the terminal; cells are run by the
-- evaluator (giemsa.cell). `run.lesson` is `giemsa run`; what it does in between cells with --step is in
-- giemsa.step.
local bookmark = require "giemsa.bookmark"
local cell = require "giemsa.cell"
local core = require "giemsa.core"
local display = require "giemsa.display"
local fingerprint = require "giemsa.fingerprint"
local json = require "giemsa.json"
local notebook = require "giemsa.notebook"
local options = require "giemsa.options"
local outcomes = require "giemsa.cell.outcome"
local progress = require "giemsa.progress"
local runlog = require "giemsa.runlog"
local version = require "giemsa.version"

local run = {}

local has_interrupt, interrupt = pcall(require, "giemsa.interrupt")

---@class giemsa.Runner
---@field book giemsa.Notebook
---@field session giemsa.Session
---@field log giemsa.RunLog
---@field opts table
---@field before table<string, number> seconds of each cell in the run before
---@field is_unseen boolean? what cells print goes to the log alone
---@field status "ok"|"failed"|"timeout"|"interrupted"
local Runner = {}
Runner.__index = Runner

-- ---- what stands on the terminal beside the outputs: in grey, and only on a terminal

local function shown(runner, text)
  if display.columns() then core.capture_show("\27[90m" .. text .. "\27[0m\n") end
end

local function seconds_text(seconds)
  if seconds < 60 then return ("%.1f s"):format(seconds) end
  return progress.time_text(seconds)
end

-- "took 41.2 s (last 40.8 s)", of cells that take long enough to be noticed.
local NOTICED = 0.5

function Runner:show_time(one, seconds, before)
  if seconds < NOTICED and (before or 0) < NOTICED then return end
  local last = before and (" (last %s)"):format(seconds_text(before)) or ""
  shown(self, ("%s took %s%s"):format(one:label(), seconds_text(seconds), last))
end

local function complain(text)
  io.stdout:flush()
  io.stderr:write(text, "\n")
end

-- "file:line: message", then where: the cell, and the frames of the lesson.
function Runner:show_error(one, outcome)
  local lines = { outcome.message, "  in " .. one:label() }
  for _, frame in ipairs(outcome.traceback) do lines[#lines + 1] = "  " .. frame end
  complain(table.concat(lines, "\n"))
end

-- ---- times of the run before

local function times_path(lesson) return runlog.folder(lesson) .. "/times.json" end

local function read_times(lesson)
  local file <close> = io.open(times_path(lesson), "rb")
  local times = file and json.decode(file:read("a"))
  return type(times) == "table" and times or {}
end

function Runner:write_times()
  local times = {}
  for key, seconds in pairs(self.before) do times[key] = seconds end
  for key, seconds in pairs(self.times) do times[key] = seconds end
  core.write_file(times_path(self.book.path), json.encode(times) .. "\n")
end

-- ---- a cell

local function now_utc() return os.date "!%Y-%m-%dT%H:%M:%SZ" end

-- Seconds that the cell may take: its own limit, the command's, what is left of the whole run's.
function Runner:limit(one)
  local limit = one.timeout or self.opts.cell_timeout
  local total = self.opts.timeout
  if total > 0 then
    local left = math.max(self.started + total - core.now(), 0.01)
    limit = limit > 0 and math.min(limit, left) or left
  end
  return limit
end

function Runner:log_error(one, outcome)
  self.log:write{ event = "error", cell = one.number, message = outcome.message,
    traceback = setmetatable(outcome.traceback, { __jsontype = "array" }) }
end

-- What a cell prints is captured until it is over, whatever ends it.
function Runner:captured(one, f, ...)
  local limit = self:limit(one)
  self.log:capture(true)
  if has_interrupt then interrupt.limit(limit) end
  local outcome = f(self.session, ...)
  self.is_mid_line = not self.log:sync()
  if self.is_mid_line and display.columns() then
    core.capture_show("\n")
    self.is_mid_line = false
  end
  self.log:capture(false)
  return outcome
end

--- Begins a cell in the log: from here on outputs are its.
---@param one giemsa.Cell
function Runner:begin(one)
  self.log.is_quiet = self.is_unseen or self.first and one.number < self.first.number
  self.log:write{ event = "cell", cell = one.number, name = one.name, line = one.line }
end

function Runner:done(one, status, seconds)
  local before = self.before[one:key()]
  self.log:write{ event = "done", cell = one.number, status = status, seconds = seconds,
    before = before }
  if status == "ok" then self.times[one:key()] = seconds end
  self:show_time(one, seconds, before)
  if self.opts.step and not self.log.is_quiet then self:note(one, status) end
end

-- ---- the reader's bookmark: only who steps reads, but an exercise is solved in any run

local function check_results()
  local check = package.loaded["giemsa.check"]
  return check and check.results or {}
end

--- Notes that a cell has been stepped through (none: only where the reader is), and the exercises.
---@param one giemsa.Cell?
---@param status string? of that cell
function Runner:note(one, status)
  local results, opts = check_results(), self.opts
  if not opts.step and #results == 0 then return end
  local mark = self.mark or bookmark.read(self.book.path)
  self.mark = mark
  local has_run = one and (status == "ok" or status == "cached" or status == "skipped")
  if has_run then mark.seen[one:key()] = true end
  if opts.step then
    local at = one and not has_run and one or self.session.notebook.cells[self.session.next]
    mark.next = at and at:key()
  end
  for _, result in ipairs(results) do mark.checks[result.name] = result.status end
  local ok, message = bookmark.write(self.book.path, mark)
  if not ok and not self.is_unmarked then complain(message) end
  self.is_unmarked = not ok
end

-- "3 m 12 s", of the age of what is kept.
local function age_text(seconds)
  local units = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } }
  for i, unit in ipairs(units) do
    local n, rest = seconds // unit[1], seconds % unit[1]
    local smaller = units[i + 1]
    if n > 0 and smaller then
      return ("%d %s %d %s"):format(n, unit[2], rest // smaller[1], smaller[2])
    end
  end
  return ("%d s"):format(seconds)
end

-- Results of an earlier run, where the cell opted in and they may be used. Whether it was so.
function Runner:from_cache(one)
  if not one.cache or self.opts.fresh or not self.cache then return false end
  local entry = self.cache.find(self, one.number)
  if not entry then return false end
  self.cache.use(self, one.number, entry)
  self.log:write{ event = "done", cell = one.number, status = "cached", seconds = 0,
    before = entry.seconds }
  shown(self, ("%s cached %s ago (took %s)"):format(one:label(), age_text(os.time() - entry.at),
    seconds_text(entry.seconds)))
  return true
end

function Runner:execute(one)
  local function f() return self:captured(one, self.session.run, one.number) end
  if one.cache and self.cache then return self.cache.run(self, one.number, f) end
  return f()
end

--- Takes an edited text of the lesson: cells are run from it from now on.
---@param book giemsa.Notebook
---@return boolean? ok nil and why when it does not compile; the old one stays
---@return string? message
function Runner:replace(book)
  if book:text() == self.book:text() then return true end
  local ok, message = self.session:replace(book)
  if not ok then return nil, message end
  self.book = book
  self.log:write{ event = "edit", source = book:text() }
  return true
end

--- Runs a code cell. Returns its status.
---@param one giemsa.Cell
---@return string status
function Runner:cell(one)
  self:begin(one)
  if one:has_tag "skip-execution" then
    self.session:run(one.number)
    self:done(one, "skipped", 0)
    return "ok"
  end
  if self:from_cache(one) then return "ok" end
  local started = core.now()
  local outcome, keep = self:execute(one)
  local seconds = core.now() - started
  local status = outcomes.status(outcome, one, self.book.path)
  if not outcome.ok then
    self:log_error(one, outcome)
    self:show_error(one, outcome)
  end
  local reason = keep and keep(seconds)
  if reason then complain(("%s is not cached: %s"):format(one:label(), reason)) end
  self:done(one, status, seconds)
  return status
end

-- ---- the whole

-- The first status that is not "ok" is the run's.
local function worse(status, other) return status == "ok" and other or status end

-- Runs a code cell of the whole. Whether the run goes on.
function Runner:code(one)
  local status = self:cell(one)
  self.status = worse(self.status, status)
  return status == "ok" or status == "failed" and self.opts.keep_going
    or status == "timeout" and self.opts.keep_going and not self:is_over()
end

-- The prose between two cells.
function Runner:prose(after, before)
  for number = after + 1, before - 1 do
    if self.book.cells[number].kind ~= "code" then self:begin(self.book.cells[number]) end
  end
end

-- The session says which cell comes: after a goto it need not be the one below.
function Runner:all()
  local cells, session, at = self.book.cells, self.session, 0
  local last = self.last and self.last.number or #cells
  while session.next and session.next <= last do
    self:prose(at, session.next)
    at = session.next
    if not self:code(cells[at]) then return end
  end
  if not session.has_returned then self:prose(at, last + 1) end
end

function Runner:is_over()
  return self.opts.timeout > 0 and core.now() - self.started >= self.opts.timeout
end

-- Variables declared <close>, and objects with finalizers, may still print.
function Runner:finish()
  self.log:capture(true)
  local problem = self.session:close()
  self.log:capture(false)
  if problem then complain(problem) end
  local words = fingerprint.of(self.session)
  self.log:close{ event = "end", status = self.status, seconds = core.now() - self.started,
    fingerprint = words }
  if self.log.is_lost then self.status = worse(self.status, "failed") end
  self:write_times()
  self:note()
  local text = fingerprint.text(words, self.opts.lang)
  if text and self.status == "ok" then print((self.is_mid_line and "\n" or "") .. text) end
end

-- ---- starting

local OPTIONS = { to = "string", from = "string", fresh = "boolean", seed = "integer",
  timeout = "number", cell_timeout = "number", keep_going = "boolean", quick = "boolean",
  lang = "string", step = "boolean", args = "table" }

--- The language of a reader: asked for, else the locale's.
---@param given string?
---@return string
function run.language(given)
  if given and given ~= "" then return given end
  for _, name in ipairs { "LC_ALL", "LC_MESSAGES", "LANG" } do
    local value = os.getenv(name)
    if value and value ~= "" then return value:match "^%a%a" or "en" end
  end
  return "en"
end

local function set_environment(opts)
  if opts.seed then core.set_environment("GIEMSA_SEED", tostring(opts.seed)) end
  if opts.quick then core.set_environment("GIEMSA_QUICK", "1") end
  core.set_environment("GIEMSA_LANG", opts.lang)
end

local function start_event(book, opts)
  return { event = "start", lesson = book.path, title = book.meta.title, lang = opts.lang,
    seed = opts.seed or book.meta.seed, quick = opts.quick or nil, time = now_utc(),
    version = version, source = book:text() }
end

-- The cells named by --to and --from; nil and a message when there is none of the name.
local function named_cell(book, name)
  if not name or name == "" then return true end
  local one, message = book:find(name)
  if not one then return nil, message end
  return true, one
end

-- The cache, where a cell wants it and nettle is there.
local function cache_of(book)
  local has_hash = pcall(require, "giemsa.hash")
  for _, one in ipairs(book.cells) do
    if one.cache and has_hash then return require "giemsa.cache" end
  end
end

--- Prepares the run of a lesson: the log is begun, the display goes to it, nothing has run.
---@param path string
---@param opts table? see OPTIONS; timeouts in seconds, 0 for none
---@return giemsa.Runner? runner nil and why: the file, what does not compile, a name
---@return string? message
function run.start(path, opts)
  opts = setmetatable(options.check("run", opts, OPTIONS),
    { __index = { timeout = 0, cell_timeout = 0 } })
  opts.lang = run.language(opts.lang)
  local book, message = notebook.read(path)
  if not book then return nil, message end
  local found, last = named_cell(book, opts.to)
  if not found then return nil, last end
  local has_from, first = named_cell(book, opts.from)
  if not has_from then return nil, first end
  set_environment(opts)
  arg = table.move(opts.args or {}, 1, #(opts.args or {}), 1, { [0] = path })
  local session, problem = cell.session(book, opts.args)
  if not session then return nil, problem end
  local before = read_times(path)
  local log, trouble = runlog.start(path)
  if not log then return nil, trouble end
  local runner = setmetatable({ book = book, session = session, log = log, opts = opts,
    last = last, first = first, before = before, cache = cache_of(book), times = {}, status = "ok",
    started = core.now() }, Runner)
  log:write(start_event(book, opts))
  display.sinks = { log:sink(), display.terminal(log:terminal()) }
  return runner
end

--- Runs a lesson: all of it, or up to the cell `to`. Returns its status and the path of its log.
---@param path string
---@param opts table? see run.start
---@return string? status "ok", "failed", "timeout", "interrupted"; nil and why nothing ran
---@return string path_or_message
function run.lesson(path, opts)
  local runner, message = run.start(path, opts)
  if not runner then return nil, message end
  if runner.opts.step then
    require("giemsa.step").through(runner)
  else
    runner:all()
  end
  runner:finish()
  return runner.status, runner.log.path
end

return run
