--- The prompt: reads a chunk (over several lines when it ends too early), runs it, shows its
-- values.
--
-- In a terminal (repl/terminal.lua) it edits lines, completes, explains, shows pictures and has
-- commands; fed by a pipe it is the plain prompt of Lua.
local repl = {}

--- Compiles text as an expression, else as statements.
---@param text string
---@param name string? of the chunk
---@return function? chunk nil when it does not compile
---@return string? message why
---@return boolean? is_unfinished whether more lines could complete it
function repl.compile(text, name)
  name = name or "=stdin"
  local chunk = load("return " .. text:gsub("^=", ""), name, "t") -- `=x` as in Lua 5.1
  if chunk then return chunk end
  local message
  chunk, message = load(text, name, "t")
  return chunk, message, chunk == nil and message:find "near <eof>$" ~= nil
end

--- Reads one chunk. A line break in the middle of an unfinished chunk asks for more; Ctrl-C gives
--- the chunk up.
---@param read fun(so_far: string?): string?, string? the next line, or nil and "eof" or "interrupt"
---@param compile function? instead of repl.compile
---@return string? text nil at the end of the input
---@return function? chunk
---@return string? message why there is no chunk
function repl.read(read, compile)
  compile = compile or repl.compile
  local text
  while true do
    local line, why = read(text)
    if not line and why == "interrupt" then
      text = nil
    elseif not line then
      return text, nil, text and select(2, compile(text))
    else
      text = text and text .. "\n" .. line or line
      if text:find "^%s*[?:]" and not text:find "^%s*::" then return text end
      local chunk, message, is_unfinished = compile(text)
      if not is_unfinished then return text, chunk, message end
    end
  end
end

--- What stands before a line.
---@param is_first boolean of a chunk
---@param own string? instead of "> "
---@return string
function repl.prompt(is_first, own)
  local name = is_first and "_PROMPT" or "_PROMPT2"
  return rawget(_G, name) ~= nil and tostring(_G[name]) or own or is_first and "> " or ">> "
end

-- ---- the plain prompt

local function read_plainly(so_far)
  io.write(repl.prompt(so_far == nil))
  io.flush()
  local line = io.read("l")
  if line then return line end
  return nil, "eof"
end

local function complain(message)
  io.stdout:flush()
  io.stderr:write(tostring(message), "\n")
end

-- The frames of the prompt itself are of no interest to who typed the chunk.
local function own_frames_cut(message)
  return type(message) == "string" and message:gsub("\n\t%[C%]: in [^\n]*'call'.*$", "") or message
end

local function print_results(call, ok, ...)
  if not ok then return complain(own_frames_cut((...))) end
  if select("#", ...) == 0 then return end
  local printed, message = call(print, ...)
  if not printed then complain(("error calling 'print' (%s)"):format(message)) end
end

local function run_plainly(call)
  while true do
    local text, chunk, message = repl.read(read_plainly)
    if not text then break end
    if chunk then print_results(call, call(chunk)) else complain(message) end
  end
  io.write("\n")
end

-- ---- either

-- The prompt for somebody at a terminal, or nil.
local function terminal()
  local has_editor, editor = pcall(require, "giemsa.lineedit")
  return has_editor and editor.is_terminal() and require "giemsa.repl.terminal"
end

local function plain_call(f, ...) return xpcall(f, debug.traceback, ...) end

--- Runs the prompt until the end of the input.
---@param call fun(f: function, ...): boolean, ... a protected call that Ctrl-C can interrupt; plain
---  xpcall when absent
---@param path string? a lesson to run first and to stay in
---@param ... string its arguments; `--to NAME` stops behind that cell
function repl.start(call, path, ...)
  if rawget(_G, "giemsa") == nil then giemsa = require("giemsa") end
  if not terminal() then return run_plainly(call or plain_call) end
  terminal().serve(call or plain_call, path, ...)
end

--- A prompt where a lesson stands, until the end of the input.
---@param session giemsa.Session
---@param name string the lesson's
function repl.inside(session, name)
  if terminal() then return terminal().inside(plain_call, session, name) end
  for text in function() return (repl.read(read_plainly)) end do
    local outcome = session:eval(text)
    if not outcome.ok then complain(outcome.message)
    elseif outcome.values.n > 0 then print(table.unpack(outcome.values, 1, outcome.values.n)) end
  end
end

return repl
