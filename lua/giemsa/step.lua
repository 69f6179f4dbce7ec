--- Stepping through a lesson in a terminal (`giemsa run --step`): the text of each cell is shown,
-- then its code, and a key says what to do with it.
--
--   Enter  run the cell        r  run the one before again     e  edit it in $EDITOR
--   i      a prompt inside the lesson, with its variables      b  back one cell     q  quit
local core = require "giemsa.core"
local editor = require "giemsa.editor"
local highlight = require "giemsa.highlight"
local markdown = require "giemsa.markdown"
local notebook = require "giemsa.notebook"
local repl = require "giemsa.repl"
local words = require "giemsa.words"

local step = {}

local WIDEST = 100

local function width() return math.min(core.terminal_size() or 80, WIDEST) end

local function write(text)
  io.stdout:write(text)
  io.stdout:flush()
end

local function grey(text) return "\27[90m" .. text .. "\27[0m" end

-- Says a thing of the stepper's own, in the reader's language.
local function say(runner, text) write(grey(words(runner.opts.lang, text)) .. "\n") end

-- ---- showing

-- "── fit-code ─────────── 7/15 ──"
local function rule(runner, one)
  local place = (" %d/%d ──"):format(one.number, #runner.session.notebook.cells)
  local name = "── " .. (one.name or one.title ~= "" and one.title or words(runner.opts.lang, "cell")) .. " "
  local room = width() - (utf8.len(name) or #name) - (utf8.len(place) or #place)
  return grey(name .. ("─"):rep(math.max(room, 2)) .. place) .. "\n"
end

local function show_text(one)
  write("\n" .. markdown.terminal(one:source(), width(), true))
end

local function show_code(runner, one)
  write("\n" .. rule(runner, one))
  if not one:has_tag "hide-input" then write(highlight.ansi(one:source()) .. "\n") end
end

-- The text cells right before a code cell, of the reader's language; of the last cell: all after
-- it.
local function texts_before(runner, number)
  local found = {}
  for _, one in ipairs(runner.session.notebook:in_language(runner.opts.lang)) do
    if number and one.number >= number then break end
    if one.kind == "code" then found = {} else found[#found + 1] = one end
  end
  return found
end

local function arrive(runner)
  local number = runner.session.next
  for _, one in ipairs(texts_before(runner, number)) do
    if one.kind == "markdown" then show_text(one) end
  end
  if number then show_code(runner, runner.session.notebook.cells[number]) end
end

-- ---- keys

local HINT = "Enter run · r again · e edit · i prompt · b back · q quit"

local KEYS = { ["\r"] = "run", ["\n"] = "run", [" "] = "run", r = "again", e = "edit", i = "prompt",
  b = "back", q = "quit", ["\3"] = "quit", ["\4"] = "quit", [""] = "quit" }

-- What to do, by a key. Without a terminal on stdin: by the first letter of a line.
local function ask(runner)
  local is_terminal = core.is_terminal(0)
  while true do
    write(grey(words(runner.opts.lang, HINT)))
    local key = is_terminal and core.terminal_key() or not is_terminal and io.read "L" or ""
    write "\r\27[K"
    local action = KEYS[key:sub(1, 1)]
    if action then return action end
  end
end

-- ---- what the keys do

local actions = {}

local function run_cell(runner, number)
  local one = runner.session.notebook.cells[number]
  local status = runner:cell(one)
  if status == "ok" or status == "interrupted" then return end
  runner.session:go_to(number) -- to be put right, and run again
  say(runner, "the cell failed: e edits it, r runs it again, b goes back")
  runner.has_failed = true
end

function actions.run(runner)
  local number = runner.session.next
  runner.previous = number
  runner.has_failed = false
  run_cell(runner, number)
  if not runner.has_failed then arrive(runner) end
end

function actions.again(runner)
  local number = runner.has_failed and runner.session.next or runner.previous
  if not number then return say(runner, "no cell has run yet") end
  runner.session:go_to(number)
  runner.previous, runner.has_failed = number, false
  run_cell(runner, number)
  if not runner.has_failed then arrive(runner) end
end

local function code_cell_before(runner, number)
  local cells = runner.session.notebook.cells
  for i = (number or #cells + 1) - 1, 1, -1 do
    if cells[i].kind == "code" then return i end
  end
end

function actions.back(runner)
  local number = code_cell_before(runner, runner.session.next)
  if not number then return say(runner, "this is the first cell") end
  runner.session:go_to(number)
  runner.previous, runner.has_failed = number, false -- r is now for the cell that is shown
  arrive(runner)
end

function actions.edit(runner)
  local session = runner.session
  local one = session.notebook.cells[session.next or runner.previous]
  local book
  local ok, message = editor.open(session.path, one and one.line)
  if ok then book, message = notebook.read(session.path) end
  if book then ok, message = runner:replace(book) else ok = nil end
  if not ok then
    write(message .. "\n")
    return say(runner, "the lesson goes on as it was")
  end
  arrive(runner)
end

function actions.prompt(runner)
  say(runner, "a prompt inside the lesson; Ctrl-D leaves it")
  repl.inside(runner.session, runner.session.path:match "([^/]+)%.lua$")
  arrive(runner)
end

-- Runs what stands before the cell where the reader goes on: its outputs are in the log alone.
local function catch_up(runner)
  local session, first = runner.session, runner.first
  while first and session.next and session.next < first.number do
    local number = session.next
    local one = session.notebook.cells[number]
    write(grey("· " .. (one.name or one:label())) .. "\n")
    if runner:cell(one) ~= "ok" then
      session:go_to(number)
      break
    end
    runner.previous = number
  end
  runner.first, runner.log.is_quiet = nil, false -- whoever goes back sees all
end

--- Steps through a lesson until its end, or q; from the cell `from` on when the run has one.
---@param runner giemsa.Runner
function step.through(runner)
  catch_up(runner)
  arrive(runner)
  while true do
    local session = runner.session
    local last = runner.last
    if last and runner.previous == last.number and not runner.has_failed then return end
    if not session.next then
      return say(runner, "the end of the lesson")
    end
    local action = ask(runner)
    if action == "quit" then return end
    actions[action](runner)
  end
end

return step
