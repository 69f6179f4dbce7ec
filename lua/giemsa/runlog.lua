--- The run log: everything a run of a lesson does and shows, one JSON object a line, appended
-- before anybody sees it. Pages, notebooks and terminals are made from it without running again.
--
--   out/runs/<lesson>/<n>/log.jsonl        out/runs/<lesson>/latest is a link to the newest <n>
--
-- Events, in the order they happen (pictures are files beside the log, named by their content):
--   start   lesson, title, seed, time, version, source (the whole text of the lesson)
--   edit    source: the lesson was edited, and goes on from this text; numbers are its own
--   cell    cell (its number in the file; text cells count), name, line: the cell begins
--   stream  cell, name ("stdout", "stderr"), text
--   display cell, id, data: { MIME type = text, or {file, width, height} for a picture }
--   update  id, data: replaces what the display of that id shows
--   result  cell, data: the value of the cell's last expression
--   error   cell, message, traceback: list of lines
--   done    cell, status, seconds, before (seconds of the run before);
--           status: ok, failed, cached, skipped, timeout, interrupted
--   end     status, seconds, fingerprint {data, code, weights}; status "killed" when the run was
local core = require "giemsa.core"
local json = require "giemsa.json"

local runlog = {}

-- ---- writing

---@class giemsa.RunLog
---@field folder string
---@field path string of the log
---@field is_quiet boolean? what is printed goes to the log and is not shown
---@field is_lost boolean? the log could not be written any more
---@field uses table<string, integer> how many displays show a picture of the folder
local Log = {}
Log.__index = Log

local SHOWN_BYTES = 200000 -- of a cell's output, in the terminal; the log has all of it

-- The lesson's name: its path without folders and ".lua".
local function name_of(lesson)
  return (lesson:match("([^/]+)$") or lesson):gsub("%.lua$", "")
end

--- The folder of a lesson's runs.
---@param lesson string
---@return string
function runlog.folder(lesson) return "out/runs/" .. name_of(lesson) end

--- The log of a lesson's newest run, nil when there is none.
---@param lesson string
---@return string? path
function runlog.latest(lesson)
  local path = runlog.folder(lesson) .. "/latest/log.jsonl"
  return core.file_info(path) and path
end

--- The folder of a lesson's newest run, by its own name; nil when there is none.
---@param lesson string
---@return string? folder
function runlog.newest(lesson)
  local name = core.read_link(runlog.folder(lesson) .. "/latest")
  return name and runlog.folder(lesson) .. "/" .. name
end

-- A folder that no other run has, and the helper that writes the log in it.
local function claim(parent)
  local n = 0
  while true do
    repeat n = n + 1 until not core.file_info(("%s/%d"):format(parent, n))
    local folder = ("%s/%d"):format(parent, n)
    local ok, message, exists = core.make_folder(folder)
    if ok then ok, message, exists = core.capture_start(folder .. "/log.jsonl", SHOWN_BYTES) end
    if ok then return folder, n end
    if not exists then return nil, message end
  end
end

--- Begins a run: makes its folder and starts the helper process that owns the log (see
--- core/capture.h). One run a process; nothing is captured before log:capture(true).
---@param lesson string path of the lesson
---@return giemsa.RunLog? log nil and why when the folder cannot be written
---@return string? message
function runlog.start(lesson)
  local parent = runlog.folder(lesson)
  local folder, n = claim(parent)
  if not folder then return nil, n end
  core.symlink(tostring(n), parent .. "/latest")
  return setmetatable({ folder = folder, path = folder .. "/log.jsonl", cell = 0, uses = {} }, Log)
end

--- Appends an event. Returns when it is in the log, after all output that was written before it.
---@param event table
function Log:write(event)
  if event.event == "cell" then self.cell = event.cell end
  if event.event == "done" then self.cell = 0 end
  self:send(json.encode(event) .. "\n")
end

-- A line for the log, perhaps none; then all output so far is in the log and shown.
function Log:send(line)
  local is_broken, is_mid_line, is_lost = core.capture_event(line, self.cell, self.is_live, self.is_quiet)
  self.is_broken = is_broken or self.is_broken
  self.is_mid_line, self.is_lost = is_mid_line, is_lost
end

--- Waits until all output so far is in the log and shown. Returns whether it ended its last line.
---@return boolean
function Log:sync()
  self:send("")
  return not self.is_mid_line
end

--- Whether outputs go to the log (print, io.write, C libraries, other programs), or to the
--- terminal.
---@param on boolean
function Log:capture(on) core.capture(on) end

--- The last event; ends the helper.
---@param event table
function Log:close(event)
  self:write(event)
  core.capture_stop()
end

-- ---- displays in the log

local function digest(bytes)
  local has_hash, hash = pcall(require, "giemsa.hash")
  return has_hash and hash.sha256(bytes):sub(1, 16)
end

-- Without nettle pictures are numbered.
function Log:picture(bytes, ending)
  self.pictures = (self.pictures or 0) + 1
  local file = (digest(bytes) or ("picture-%d"):format(self.pictures)) .. ending
  local ok, message = core.write_file(self.folder .. "/" .. file, bytes)
  if not ok then error("display: " .. message, 0) end
  self.uses[file] = (self.uses[file] or 0) + 1
  local picture = { file = file }
  if ending == ".png" then picture.width, picture.height = (">I4I4"):unpack(bytes, 17) end
  return picture
end

--- The data of an event: what display's forms are by MIME type.
---@param forms table
---@return table<string, any>
function Log:data(forms)
  local png, svg = forms:png(), forms:svg()
  local uncoloured = forms.ansi and forms.ansi:gsub("\27%[[%d;]*m", "")
  local data = { ["text/plain"] = forms.text or uncoloured, ["text/html"] = forms.html }
  if png then data["image/png"] = self:picture(png, ".png") end
  if svg then data["image/svg+xml"] = self:picture(svg, ".svg") end
  if png and not forms.path then forms.path = self.folder .. "/" .. data["image/png"].file end
  return data
end

-- One display less shows this picture; the last one takes the file along.
function Log:retire(file)
  self.uses[file] = self.uses[file] - 1
  if self.uses[file] == 0 then os.remove(self.folder .. "/" .. file) end
end

local UPDATE_SECONDS = 0.5
local KEPT = 4 -- pictures of a display: who follows the log may be a little behind

local Sink = {}
Sink.__index = Sink

--- The sink of display that writes to the log.
function Log:sink() return setmetatable({ log = self, at = {}, files = {} }, Sink) end

-- What a display looked like long ago is not needed again: a curve that grows for hours has thousands of states.
function Sink:remember(id, data)
  local files = self.files[id] or {}
  self.files[id] = files
  for _, kind in ipairs { "image/png", "image/svg+xml" } do
    if data[kind] then files[#files + 1] = data[kind].file end
  end
  while #files > KEPT do self.log:retire(table.remove(files, 1)) end
end

function Sink:show(id, forms)
  local log, data = self.log, self.log:data(forms)
  log:write{ event = "display", cell = log.cell, id = id, data = data }
  self:remember(id, data)
  self.at[id] = core.now()
end

-- A live thing is logged twice a second at most, and at its end.
function Sink:update(id, forms)
  if forms.live and core.now() - (self.at[id] or 0) < UPDATE_SECONDS then return end
  self:write_update(id, forms)
  self.at[id] = core.now()
end

function Sink:write_update(id, forms)
  local data = self.log:data(forms)
  self.log:write{ event = "update", id = id, data = data }
  self:remember(id, data)
end

function Sink:close(id, forms)
  if forms then self:write_update(id, forms) end
  self.at[id], self.files[id] = nil, nil
end

--- Where display's terminal sink writes while outputs are captured: the terminal itself, in order
--- with what the helper passes on. `is_live` says that the cursor stays at the end of the text.
function Log:terminal()
  local display = require "giemsa.display"
  local log = self
  return {
    columns = display.columns,
    write = function(text)
      if not log.is_quiet then core.capture_show(text) end
    end,
    begin = function(is_live)
      log.is_live = is_live
      log:send("")
      local is_broken = log.is_broken
      log.is_broken = nil
      return is_broken
    end,
  }
end

-- ---- reading

--- Reads a log, of a run that may still be going on or was killed: a last line without its end is
--- left out. See runlog/read.lua.
---@param path string
---@return giemsa.Run? run nil and why when the file cannot be read or is no log
---@return string? message
function runlog.read(path) return require("giemsa.runlog.read").whole(path) end

--- Reads a log as it grows, of a run that goes on.
---@param path string
---@return giemsa.Follower? follower whose read() takes what has come; nil and why
---@return string? message
function runlog.follow(path) return require("giemsa.runlog.read").follow(path) end

local HEAD, TAIL = 16000, 4000

--- A long text as it is shown: its beginning, how much is left out and where all of it is, its end.
--- Cut at line breaks where there are some; a short text comes back as it is.
---@param text string UTF-8
---@param path string? of the log that has all of it
---@return string shown
---@return boolean is_cut
function runlog.shown(text, path)
  if #text <= HEAD + TAIL + 1000 then return text, false end
  local head = text:sub(1, HEAD):match("^(.*\n)") or text:sub(1, utf8.offset(text, 0, HEAD) - 1)
  local tail = text:sub(-TAIL)
  tail = tail:match("\n(.*)$") or tail:sub((tail:find("[^\x80-\xBF]")))
  local _, lines = text:gsub("\n", "")
  local cut, place = #text - #head - #tail, path and "; all is in " .. path or ""
  return ("%s%s[... %d of %d bytes (%d lines in all) are not shown%s]\n%s")
    :format(head, head:sub(-1) == "\n" and "" or "\n", cut, #text, lines, place, tail), true
end

return runlog
