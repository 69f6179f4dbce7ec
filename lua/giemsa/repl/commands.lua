--- Commands of the prompt: `:name argument`. Each is one entry; a prefix that is no other's will
-- do.
local core = require "giemsa.core"
local editor = require "giemsa.editor"
local inspect = require "giemsa.inspect"
local options = require "giemsa.options"
local present = require "giemsa.repl.present"

local commands = {}

---@class giemsa.repl.command
---@field usage string
---@field about string
---@field run fun(prompt: giemsa.Prompt, argument: string): boolean? true ends the prompt

local list = {}

local HEAD = [[
Lua is typed as it is. An expression shows its value; `_` is the last one; `;` at the end keeps
quiet.
  ?name       what it does and takes (?nn.Conv2D, ?model:fit, ?x.sum);  ??name  its source
  Tab         completes names, methods, option names, paths in strings
  Up          earlier commands, those with what is typed;  Ctrl-R  searches
  Alt-Enter   a line break;  an unfinished chunk goes on by itself
  Ctrl-C      gives up the line, or stops what runs (twice: ends giemsa);  Ctrl-D  leaves
]]

list.help = { usage = ":help [name]", about = "this, or the documentation of a name",
  run = function(prompt, argument)
    if argument ~= "" then return prompt:explain(argument, false) end
    local lines = { HEAD }
    for _, name in ipairs(commands.names()) do
      lines[#lines + 1] = ("  %-22s %s\n"):format(list[name].usage, list[name].about)
    end
    present.page(table.concat(lines))
  end }

list.quit = { usage = ":quit", about = "leaves", run = function() return true end }

list.time = { usage = ":time CODE", about = "runs code and tells the time it took",
  run = function(prompt, argument)
    local started = core.now()
    local outcome = prompt:evaluate(argument)
    local seconds = core.now() - started
    if outcome.ok then
      present.values(outcome.values)
      io.write(present.dim(seconds < 1 and ("took %.3g ms"):format(seconds * 1e3)
        or ("took %.2f s"):format(seconds)), "\n")
    end
  end }

list.names = { usage = ":names", about = "your variables and what they are",
  run = function(prompt)
    local rows, widest = {}, 0
    for _, name in ipairs(prompt:own_names()) do
      local value = prompt:get(name)
      local text = inspect.text(value, { columns = math.max(present.columns() - 24, 20) })
      rows[#rows + 1] = { name, (text:match "^[^\n]*") }
      widest = math.max(widest, #name)
    end
    for _, row in ipairs(rows) do io.write(("%-" .. widest .. "s  %s\n"):format(row[1], row[2])) end
  end }

list.lesson = { usage = ":lesson FILE [CELL]",
  about = "runs a lesson, to its end or through the cell named, and goes inside",
  run = function(prompt, argument)
    local path, name = argument:match "^(%S+)%s*(%S*)$"
    if not path then return io.write(list.lesson.usage, "\n") and nil end
    prompt:open_lesson(path, name ~= "" and name or nil)
  end }

list.next = { usage = ":next [CELL]",
  about = "runs the lesson's next cell, or on through the cell named",
  run = function(prompt, argument) prompt:next_cell(argument ~= "" and argument or nil) end }

list.history = { usage = ":history [N]", about = "the last commands of this time",
  run = function(prompt, argument)
    local past = prompt.past
    local first = math.max(1, #past - (math.tointeger(tonumber(argument)) or 20) + 1)
    for i = first, #past do
      io.write(present.dim(("%3d  "):format(i)), past[i]:gsub("\n", "\n     "), "\n")
    end
  end }

-- Runs an editor on a file that holds the text; what was saved.
local function edited(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text, "\n")
  file:close()
  local ok, message = editor.open(path)
  if not ok then io.write(message, "\n") end
  file = ok and io.open(path)
  local saved = file and file:read "a"
  if file then file:close() end
  os.remove(path)
  return saved
end

list.edit = { usage = ":edit", about = "the last command in $EDITOR, and runs what you save",
  run = function(prompt)
    if not core.is_terminal(0) then
      io.write "an editor needs a terminal; in Jupyter edit the cell itself\n"
      return
    end
    local text = edited(prompt.past[#prompt.past] or "")
    if not text or not text:find "%S" then return end
    io.write(present.dim(text:gsub("%s*$", "")), "\n")
    prompt:run((text:gsub("%s*$", "")))
  end }

--- The commands' names, sorted.
---@return string[]
function commands.names()
  local names = {}
  for name in pairs(list) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- The commands that a word is the start of.
local function meant(word)
  if list[word] then return { word } end
  local found = {}
  for _, name in ipairs(word ~= "" and commands.names() or {}) do
    if name:sub(1, #word) == word then found[#found + 1] = name end
  end
  return found
end

--- Runs a line that starts with ":".
---@param prompt giemsa.Prompt
---@param line string
---@return boolean? ends the prompt
function commands.run(prompt, line)
  local word, argument = line:match "^%s*:%s*(%a*)%s*(.-)%s*$"
  local found = meant(word)
  if #found == 1 then return list[found[1]].run(prompt, argument) end
  if #found > 1 then
    io.write(("':%s' may be :%s\n"):format(word, table.concat(found, " or :")))
  else
    local hint = options.hint(word, list)
    io.write(("there is no command ':%s'%s; :help lists them\n"):format(word, hint))
  end
end

--- Does what was typed when it is no code: `?name`, `??name`, `:command`.
---@param prompt giemsa.Prompt
---@param text string
---@return boolean is_done false: it is code
---@return boolean? ends the prompt
function commands.obey(prompt, text)
  local mark, topic = text:match "^%s*(%?%??)(.*)$"
  if mark and topic:find "%S" then return true, prompt:explain(topic, mark == "??") end
  if mark then return true, commands.run(prompt, ":help") end
  if not text:find "^%s*:" or text:find "^%s*::" then return false end
  return true, commands.run(prompt, text)
end

return commands
