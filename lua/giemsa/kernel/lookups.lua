--- What can be asked of the notebook's variables without running anything: completion, explanations, whether a text is
-- whole, what was run. Each function takes the worker and a request's content, and gives the reply's.
local commands = require "giemsa.repl.commands"
local complete = require "giemsa.complete"
local help = require "giemsa.help"
local json = require "giemsa.json"
local syntax = require "giemsa.syntax"
local wire = require "giemsa.kernel.wire"

local array = wire.array

---@type table<string, fun(worker: giemsa.kernel.Worker, content: table): table>
local lookups = {}

-- The bytes before a position that is told in characters.
local function before(text, position)
  local characters = math.max(math.tointeger(position) or math.huge, 0)
  local at = characters < #text and utf8.offset(text, characters + 1) or #text + 1
  return text:sub(1, at - 1)
end

-- What may stand where the cursor is.
local function choices(self, text)
  local word = text:match "^%s*:(%a*)$"
  if not word then
    local names = function() return self.prompt.session:names() end
    return complete.at((text:gsub("^%s*:%a+%s+", "")), { scope = self.prompt:scope(), names = names })
  end
  local list = {}
  for _, name in ipairs(commands.names()) do
    if name:sub(1, #word) == word then list[#list + 1] = name end
  end
  return { word = word, list = list }
end

function lookups.complete(self, content)
  local text = before(content.code, content.cursor_pos)
  local found = choices(self, text)
  local matches = array()
  for i, match in ipairs(found.list) do matches[i] = wire.clean(match .. (#found.list == 1 and found.after or "")) end
  local stop = utf8.len(text) or #text
  return { status = "ok", matches = matches, metadata = {},
    cursor_start = stop - (utf8.len(found.word) or 0), cursor_end = stop }
end

function lookups.inspect(self, content)
  local wants_source = content.detail_level == 1
  for _, topic in ipairs(complete.topics(content.code, #before(content.code, content.cursor_pos))) do
    local how = { colour = true, scope = self.prompt:scope() }
    local text = wants_source and help.source(topic, how) or help.text(topic, how) -- of C there is no source
    if text then return { status = "ok", found = true, data = { ["text/plain"] = wire.clean(text) }, metadata = {} } end
  end
  return { status = "ok", found = false, data = {}, metadata = {} }
end

-- The indentation for the line after an unfinished text. What follows `else` is a block, as after `do`.
local function indent_after(code)
  local line = code:match "([^\n]*)\n*$"
  local alone = line:gsub("^%s*elseif%f[^%w_]", "if"):gsub("^%s*else%f[^%w_]", "do")
  return line:match "^%s*" .. (syntax.scan(alone).open and "  " or "")
end

function lookups.is_complete(_, content)
  local code = content.code
  if code:find "^%s*[?:]" and not code:find "^%s*::" then return { status = "complete" } end
  if load(syntax.with_value((code:gsub("^=", ""))), "=", "t") then return { status = "complete" } end
  if syntax.is_unfinished(code) then return { status = "incomplete", indent = indent_after(code) } end
  return { status = "invalid" }
end

-- "*" and "?" stand for any text and any character.
local function pattern_of(glob)
  local pattern = tostring(glob or "*"):gsub("%p", "%%%0"):gsub("%%%*", ".*"):gsub("%%%?", ".")
  return "^" .. pattern .. "$"
end

local selections = {}

function selections.tail(history) return history end

function selections.range(history, content)
  local list, start, stop = {}, math.tointeger(content.start) or 0, math.tointeger(content.stop) or math.huge
  for _, one in ipairs(history) do
    if one.line >= start and one.line < stop then list[#list + 1] = one end
  end
  return list
end

function selections.search(history, content)
  local list, pattern, last = {}, pattern_of(content.pattern), {}
  for i, one in ipairs(history) do last[one.text] = i end
  for i, one in ipairs(history) do
    if one.text:find(pattern) and (content.unique ~= true or last[one.text] == i) then list[#list + 1] = one end
  end
  return list
end

local SESSION = 1 -- the history is of this one

function lookups.history(self, content)
  local select = selections[content.hist_access_type] or selections.tail
  local list, history = select(self.history, content), array()
  local is_range = select == selections.range
  local most = not is_range and math.tointeger(content.n) or #list
  for i = math.max(#list - most + 1, 1), #list do
    local one = list[i]
    local text = content.output == true and array{ one.text, one.output or json.null } or one.text
    history[#history + 1] = array{ SESSION, one.line, text }
  end
  return { status = "ok", history = history }
end

return lookups
