--- The prompt: reads a chunk (over several lines when it ends too early), runs it, prints its values.
-- Reading, evaluating and printing are three functions; richer prompts replace them one at a time.
local repl = {}

local has_editor, editor = pcall(require, "giemsa.lineedit")
local history_file

-- Without libedit, or without a terminal.
local function read_plainly(prompt)
  io.write(prompt)
  io.flush()
  local line = io.read("l")
  if line then return line end
  return nil, "eof"
end

local function read_edited(prompt) return editor.read(prompt) end

local function remember(text)
  if text:find("%S") then editor.remember(text, history_file) end
end

local function start_history()
  local home = os.getenv("HOME")
  history_file = os.getenv("GIEMSA_HISTORY") or home and home .. "/.giemsa_history"
  if history_file == "" then history_file = nil end
  if history_file then editor.load_history(history_file) end
end

--- Compiles text as an expression, else as statements.
---@param text string
---@return function? chunk nil when it does not compile
---@return string? message why
---@return boolean? is_unfinished whether more lines could complete it
function repl.compile(text)
  local chunk = load("return " .. text:gsub("^=", ""), "=stdin") -- `=x` as in Lua 5.1
  if chunk then return chunk end
  local message
  chunk, message = load(text, "=stdin")
  return chunk, message, chunk == nil and message:find("<eof>", 1, true) ~= nil
end

local function prompt_of(first)
  local name = first and "_PROMPT" or "_PROMPT2"
  return _G[name] ~= nil and tostring(_G[name]) or first and "> " or ">> "
end

--- Reads one chunk. A line break in the middle of an unfinished chunk asks for more; Ctrl-C gives the chunk up.
---@param read fun(prompt: string): string?, string?
---@return string? text nil at the end of the input
---@return function? chunk
---@return string? message why there is no chunk
function repl.read(read)
  local text
  while true do
    local line, why = read(prompt_of(text == nil))
    if not line and why == "interrupt" then
      text = nil
    elseif not line then
      return text, nil, text and select(2, repl.compile(text))
    else
      text = text and text .. "\n" .. line or line
      local chunk, message, is_unfinished = repl.compile(text)
      if not is_unfinished then return text, chunk, message end
    end
  end
end

local function complain(message)
  io.stdout:flush()
  io.stderr:write(tostring(message), "\n")
end

-- The frames of the prompt itself are of no interest to who typed the chunk.
local function own_frames_cut(message)
  return type(message) == "string" and message:gsub("\n\t%[C%]: in [^\n]*'call'.*$", "") or message
end

local function show(call, ok, ...)
  if not ok then return complain(own_frames_cut((...))) end
  if select("#", ...) == 0 then return end
  local printed, message = call(print, ...)
  if not printed then complain(("error calling 'print' (%s)"):format(message)) end
end

--- Runs the prompt until the end of the input.
---@param call fun(f: function, ...): boolean, ... a protected call that Ctrl-C can interrupt; plain xpcall when absent
function repl.start(call)
  call = call or function(f, ...) return xpcall(f, debug.traceback, ...) end
  local is_edited = has_editor and editor.is_terminal()
  if is_edited then start_history() end
  if rawget(_G, "giemsa") == nil then giemsa = require("giemsa") end
  while true do
    local text, chunk, message = repl.read(is_edited and read_edited or read_plainly)
    if not text then break end
    if is_edited then remember(text) end
    if chunk then show(call, call(chunk)) else complain(message) end
  end
  if not is_edited then io.write("\n") end
end

return repl
