--- The prompt in a terminal: edited lines with history, completion and colours.
local commands = require "giemsa.repl.commands"
local complete = require "giemsa.complete"
local editor = require "giemsa.lineedit"
local giemsa = require "giemsa"
local highlight = require "giemsa.highlight"
local present = require "giemsa.repl.present"
local Prompt = require "giemsa.repl.prompt"
local repl = require "giemsa.repl"
local syntax = require "giemsa.syntax"

local terminal = {}

local history_file

local function start_history()
  local home = os.getenv("HOME")
  history_file = os.getenv("GIEMSA_HISTORY") or home and home .. "/.giemsa_history"
  if history_file == "" then history_file = nil end
  if history_file then editor.load_history(history_file) end
end

local function remember(text)
  if text:find("%S") then editor.remember(text, history_file) end
end

-- What Tab does at the end of a line.
local function tab(self, so_far, before)
  if before:find "^%s*$" then return 0, "  ", nil end
  local word = before:match "^%s*:(%a*)$"
  if word and not so_far then
    local names = {}
    for _, name in ipairs(commands.names()) do
      if name:sub(1, #word) == word then names[#names + 1] = name end
    end
    return complete.edit({ word = word, list = names, after = " " }, present.columns())
  end
  local text = (so_far and so_far .. "\n" or "") .. (before:gsub("^%s*:%a+%s+", ""))
  local function names() return self.session:names() end
  local found = complete.at(text, { scope = self:scope(), names = names })
  local replaced, with, below = complete.edit(found, present.columns())
  return replaced, with, below and present.dim(below)
end

-- Colours for a line that goes on from earlier ones: those may have opened a string or a comment.
local function coloured(so_far, line)
  if not so_far then return highlight.ansi(line) end
  local text, start = highlight.ansi(so_far .. "\n" .. line), 1
  for _ in (so_far .. "\n"):gmatch "\n" do start = text:find("\n", start, true) + 1 end
  return text:sub(start)
end

local function read_edited(self)
  local interrupts = 0 -- in a row
  return function(so_far)
    editor.on_tab(function(before) return tab(self, so_far, before) end)
    editor.on_paint(present.colour and function(before, after)
      local line = before .. after
      if line == "" then return nil end
      return (line:find "^%s*[?:]" and not so_far) and line or coloured(so_far, line)
    end or nil)
    local own = so_far == nil and (self.lesson and self.lesson .. "> " or "> ") or nil
    local text = repl.prompt(so_far == nil, own)
    -- libedit drops what takes no room at the very end
    local sign, gap = text:match "^(%S.-)(%s+)$"
    if sign and present.colour then text = "\1\27[1;32m\1" .. sign .. "\1\27[0m\1" .. gap end
    local line, why = editor.read(text)
    interrupts = why == "interrupt" and interrupts + 1 or 0
    if interrupts == 2 then io.write(present.dim "Ctrl-D or :quit leaves\n") end
    return line, why
  end
end

local BANNER = "%s, %s. Tab completes, ?name explains, :help tells the rest.\n"

-- Statements may be followed by an expression, whose value is shown: "x = 1; x + 1".
local function compile(text)
  local plain = text:gsub("^%s*=", "", 1)
  local chunk = load(syntax.with_value(plain), "=input", "t")
  if chunk then return chunk end
  local _, message = repl.compile(text, "=input")
  return nil, message, syntax.is_unfinished(plain)
end

-- Does what was typed: a question, a command, or code. True when that is to be all.
local function obey(self, text)
  local is_done, ends = commands.obey(self, text)
  if is_done then return ends end
  self:run(text)
end

local function read_and_obey(self)
  local read = read_edited(self)
  while true do
    local text = repl.read(read, compile)
    if not text then break end
    remember(text)
    local ok, ends = self.call(obey, self, text)
    if ok and ends then break end
    if not ok then present.complain(ends) end
  end
end

--- Serves the person at the terminal until Ctrl-D or :quit.
---@param call fun(f: function, ...): boolean, ... a protected call that Ctrl-C can interrupt
---@param path string? a lesson to run first and to stay in
---@param ... string its arguments; `--to NAME` stops behind that cell
function terminal.serve(call, path, ...)
  local prompt = Prompt.new(call)
  start_history()
  if path then
    local args, name = { ... }, nil
    if args[1] == "--to" then name, args = args[2], table.move(args, 3, #args, 1, {}) end
    prompt:open_lesson(path, name, args)
  else
    io.write(BANNER:format(giemsa._VERSION, _VERSION))
  end
  read_and_obey(prompt)
  prompt.session:close()
end

--- The same inside a lesson that somebody else runs.
---@param call fun(f: function, ...): boolean, ...
---@param session giemsa.Session
---@param name string the lesson's
function terminal.inside(call, session, name)
  local prompt = Prompt.new(call)
  prompt:enter(session, name)
  start_history()
  read_and_obey(prompt)
end

return terminal
