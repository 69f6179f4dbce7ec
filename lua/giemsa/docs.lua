--- The documentation that stands at definitions, read from the Lua files when somebody asks.
--
-- A block is the comment lines right above a definition, the first of which starts with three
-- dashes: prose, then LuaLS annotations (@param, @return, @class, @field). What else is known of a
-- function comes from Lua itself: its parameters, and the options that its body checks.
local core = require "giemsa.core"
local highlight = require "giemsa.highlight"
local lookup = require "giemsa.lookup"

local docs = {}

---@class giemsa.docs.value
---@field name string?
---@field type string?
---@field text string

---@class giemsa.docs.entry
---@field name string "Model:fit" as it stands in the file
---@field prose string lines joined by line breaks
---@field params giemsa.docs.value[]
---@field returns giemsa.docs.value[]
---@field fields giemsa.docs.value[]
---@field class string? when the block describes one
---@field parent string? the class it extends
---@field is_made boolean? it stands above `local NAME = maker(...)`
---@field path string
---@field first integer the line of the block's start
---@field line integer the line of the definition

-- ---- annotations

-- Splits "fun(a: b): c the rest" after the type.
local function split_type(text)
  local depth, at = 0, 1
  while at <= #text do
    local sign = text:sub(at, at)
    if sign:find "[({<%[]" then depth = depth + 1
    elseif sign:find "[)}>%]]" then depth = depth - 1
    elseif sign == " " and depth == 0 and not text:find("^%s*|", at)
      and not text:sub(1, at - 1):find "[:,|]$" then
      break
    end
    at = at + 1
  end
  return text:sub(1, at - 1), (text:sub(at + 1):gsub("^%s*#?%s*", ""))
end

local readers = {}

function readers.param(entry, text)
  local name, rest = text:match "^(%S+)%s*(.*)$"
  if not name then return end
  local kind, more = split_type(rest)
  local is_optional = name:sub(-1) == "?"
  entry.params[#entry.params + 1] = { name = name:gsub("%?$", ""),
    type = is_optional and kind:sub(-1) ~= "?" and kind .. "?" or kind, text = more }
end

readers["return"] = function(entry, text)
  local kind, more = split_type(text)
  entry.returns[#entry.returns + 1] = { type = kind, text = more }
end

function readers.field(entry, text)
  local name, rest = text:gsub("^private%s+", ""):match "^(%S+)%s*(.*)$"
  if not name then return end
  local kind, more = split_type(rest)
  if name:sub(-1) == "?" then name, kind = name:sub(1, -2), kind .. "?" end
  entry.fields[#entry.fields + 1] = { name = name, type = kind, text = more }
end

function readers.class(entry, text)
  entry.class, entry.parent = text:match "^([%w_.]+)%s*:?%s*([%w_.]*)"
end

local function read_block(lines, path, first)
  local entry = { prose = "", params = {}, returns = {}, fields = {}, path = path, first = first }
  local prose, annotations = {}, {}
  for _, line in ipairs(lines) do
    local text = line:gsub("^%s*%-%-%-?", "")
    if text:find "^@" then annotations[#annotations + 1] = text:sub(2)
    elseif #annotations > 0 then -- goes on
      annotations[#annotations] = annotations[#annotations] .. " " .. text:gsub("^%s+", "")
    else prose[#prose + 1] = text:gsub("^ ", "") end
  end
  entry.prose = table.concat(prose, "\n"):gsub("^%s*\n", ""):gsub("%s+$", "")
  for _, annotation in ipairs(annotations) do
    local kind, text = annotation:match "^(%a+)%s*(.*)$"
    if readers[kind] then readers[kind](entry, text) end
  end
  return entry
end

-- The name that a line of code defines, or nil.
local function defined_name(line)
  return line:match "^%s*local%s+function%s+([%w_]+)" or line:match "^%s*function%s+([%w_.:]+)"
    or line:match "^%s*local%s+([%w_]+)%s*=" or line:match "^%s*([%w_.]+)%s*=[^=]"
end

-- ---- files

local files = {} -- what was read, or a text that was kept and nobody asked for yet

---@class giemsa.docs.file
---@field lines string[]
---@field head string the prose at the file's start
---@field by_line table<integer, giemsa.docs.entry>
---@field entries giemsa.docs.entry[]

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

local function read_lines(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local lines = {}
  for line in file:lines() do lines[#lines + 1] = line end
  file:close()
  return lines
end

local function add_entry(parsed, block, path, first, at)
  local entry = read_block(block, path, first)
  local code = parsed.lines[at]
  entry.line, entry.name = at, code and defined_name(code) or entry.class or ""
  entry.is_made = code and code:find "^local %w+ = %a[%w_]*%s*[({]" ~= nil
  if first == 1 and not entry.class and (code == nil or code:find "^%s*$"
    or code:find "^local [%w_, ]+ = require" or code:find "^require") then
    parsed.head = entry.prose
    return
  end
  parsed.by_line[at] = entry
  parsed.entries[#parsed.entries + 1] = entry
end

local function parse(lines, path)
  local parsed = { lines = lines, head = "", by_line = {}, entries = {} }
  local block, first
  for at = 1, #lines + 1 do
    local line = lines[at] or ""
    if block and line:find "^%s*%-%-" then block[#block + 1] = line
    elseif line:find "^%s*%-%-%-" and not line:find "^%s*%-%-%-%-" then block, first = { line }, at
    elseif block then
      add_entry(parsed, block, path, first, at)
      block = nil
    end
  end
  return parsed
end

--- A file's blocks, or nil when it cannot be read.
---@param path string
---@return giemsa.docs.file?
function docs.file(path)
  local known = files[path]
  if known == nil or type(known) == "string" then
    local lines = known and lines_of(known) or read_lines(path)
    files[path] = lines and parse(lines, path) or false
  end
  return files[path] or nil
end

--- Keeps a text that is in no file, such as what was typed at a prompt.
---@param source string the chunk's name with its "=", as debug.getinfo gives it
---@param text string? nil: it is needed no more
function docs.keep(source, text) files[source] = text end

local function list_files(folder, into)
  for _, entry in ipairs(core.list_folder(folder) or {}) do
    local name, kind = entry[1], entry[2]
    if kind ~= "file" then list_files(folder .. name .. "/", into)
    elseif name:find "%.lua$" then into[#into + 1] = folder .. name end
  end
  return into
end

local all_paths

--- The paths of all of giemsa's Lua files.
---@return string[]
function docs.paths()
  all_paths = all_paths or list_files(lookup.home, {})
  return all_paths
end

local classes

--- The entry of a class by its full name, as "giemsa.Model".
---@param name string
---@return giemsa.docs.entry?
function docs.class(name)
  if not classes then
    classes = {}
    for _, path in ipairs(docs.paths()) do
      for _, entry in ipairs(docs.file(path).entries) do
        if entry.class then classes[entry.class] = entry end
      end
    end
  end
  return classes[name]
end

--- The field of a class or of the classes it extends.
---@param class_name string?
---@param name string
---@return giemsa.docs.value?
function docs.field(class_name, name)
  local class = class_name and docs.class(class_name)
  if not class then return nil end
  for _, field in ipairs(class.fields) do
    if field.name == name then return field end
  end
  return docs.field(class.parent, name)
end

-- The name under which docs.file knows a function's source.
local function path_of(source)
  return source:sub(1, 1) == "@" and source:sub(2) or files[source] and source or nil
end

-- "optim.SGD" is made by a maker of such functions; its words stand above `local SGD = maker(...)`.
local function entry_named(parsed, name)
  for _, entry in ipairs(parsed and name and parsed.entries or {}) do
    if entry.name == name and entry.is_made then return entry end
  end
end

--- The block above a function's definition; `name` helps where functions are made by another.
---@param f function
---@param name string?
---@return giemsa.docs.entry?
function docs.of_function(f, name)
  local info = debug.getinfo(f, "S")
  local parsed = path_of(info.source) and docs.file(path_of(info.source))
  if not parsed then return nil end
  return parsed.by_line[info.linedefined] or entry_named(parsed, name)
end

-- ---- what Lua itself knows

--- The names of a Lua function's parameters ("..." at the end of variable ones); nil for C.
---@param f function
---@return string[]?
function docs.parameters(f)
  local info = debug.getinfo(f, "Su")
  if info.what == "C" then return nil end
  local names = {}
  for i = 1, info.nparams do names[i] = debug.getlocal(f, i) end
  if info.isvararg then names[#names + 1] = "..." end
  return names
end

--- The text of a function, with its block above it.
---@param f function
---@return string? text
---@return string? path
---@return integer? first the line it starts at
function docs.source(f)
  local info = debug.getinfo(f, "S")
  local parsed = path_of(info.source) and docs.file(path_of(info.source))
  if not parsed or info.linedefined <= 0 then return nil end
  local entry = parsed.by_line[info.linedefined]
  local first = entry and entry.first or info.linedefined
  return table.concat(parsed.lines, "\n", first, math.min(info.lastlinedefined, #parsed.lines)),
    path_of(info.source), first
end

-- ---- options

local function upvalue(f, wanted)
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then return nil end
    if name == wanted then return value end
  end
end

-- The tokens of a function's body that are no space and no comment.
local function code_tokens(f)
  local source = docs.source(f)
  local list = {}
  for _, token in ipairs(source and highlight.tokens(source) or {}) do
    if token.kind ~= "space" and token.kind ~= "comment" then list[#list + 1] = token end
  end
  return list
end

-- Where argument number n of the call whose "(" is at `open` starts.
local function argument_at(tokens, open, n)
  local depth, count = 0, 1
  for i = open, #tokens do
    local text = tokens[i].text
    if depth == 1 and count == n then return i end
    if text == "(" or text == "{" then depth = depth + 1
    elseif text == ")" or text == "}" then depth = depth - 1
    elseif text == "," and depth == 1 then count = count + 1 end
    if depth == 0 then return nil end
  end
end

-- { key = "type", ... } written out at token `at`.
local function literal_options(tokens, at)
  local found = {}
  for i = at + 1, #tokens - 2 do
    if tokens[i].text == "}" then break end
    if tokens[i + 1].text == "=" and tokens[i + 2].kind == "string" then
      found[tokens[i].text] = tokens[i + 2].text:sub(2, -2)
    end
  end
  return found
end

local function is_options(value)
  if type(value) ~= "table" then return false end
  for key, kind in next, value do
    if type(key) ~= "string" or type(kind) ~= "string" then return false end
  end
  return next(value) ~= nil
end

-- The known options at a call options.check(who, given, KNOWN): an upvalue, or written out.
local function known_at(f, tokens, i)
  local at = argument_at(tokens, i + 1, 3)
  if not at then return nil end
  if tokens[at].text == "{" then return literal_options(tokens, at) end
  local known = upvalue(f, tokens[at].text)
  if type(known) == "table" and is_options(known.known) then known = known.known end -- ops.base
  return is_options(known) and known or nil
end

local function checked_options(f, depth)
  local tokens = code_tokens(f)
  for i, token in ipairs(tokens) do
    if token.text == "check" and tokens[i + 1] and tokens[i + 1].text == "(" then
      local known = known_at(f, tokens, i)
      if known then return known end
    end
  end
  for i, token in ipairs(depth > 0 and tokens or {}) do -- a helper may do it
    local helper = token.kind == "call" and upvalue(f, token.text)
    if token.kind == "call" and i > 2 and tokens[i - 1].text == "." then
      helper = lookup.get(upvalue(f, tokens[i - 2].text), token.text)
    end
    if type(helper) == "function" and lookup.is_ours(debug.getinfo(helper, "S").source) then
      local known = checked_options(helper, depth - 1)
      if known then return known end
    end
  end
end

-- {epochs: integer?, name?: string} and names of classes with fields, into `found`.
local function typed_options(kind, found)
  for key, mark, value in kind:gmatch "([%a_][%w_]*)(%??):%s*([^,}]+)" do
    if kind:find "^{" then found[key] = found[key] or value .. mark end
  end
  local class = docs.class(kind:gsub("%?$", ""))
  while class and not found[class] do
    for _, field in ipairs(class.fields) do
      found[field.name] = field.type .. (field.text ~= "" and "  " .. field.text or "")
    end
    found[class] = true
    class = class.parent and docs.class(class.parent)
  end
end

local function is_options_name(name)
  return name == "opts" or name == "given" or name == "options" or name == "o" or name == "spec"
end

--- The block of a layer class, as of "Conv2D": it stands where the class is described, not at the
--- function nn.Conv2D.
---@param f function?
---@param name string?
---@return giemsa.docs.entry?
function docs.layer(f, name)
  local is_maker = f and name and debug.getinfo(f, "S").source:find "/nn%.lua$"
  return is_maker and docs.class("giemsa." .. name) or nil
end

-- Layers keep theirs in a table of classes.
local function layer_options(name)
  local layers = package.loaded["giemsa.nn.layers"]
  local class = layers and name and layers.classes[name]
  if not class then return nil end
  local said = {}
  typed_options("giemsa." .. name, said)
  local found = { name = "string  for summary and get_layer",
    trainable = "boolean  false: its weights stay as they are",
    input_shape = "table  of the first layer of an nn.Sequential" }
  for key, kind in next, class.options do
    local default = class.defaults and class.defaults[key]
    found[key] = (said[key] or kind) .. (type(default) ~= "table" and default ~= nil
      and ("%s default %s"):format((said[key] or ""):find "  " and ";" or " ", default) or "")
  end
  return found, class.order
end

--- The options a function takes by name: key -> type and perhaps what it means. Empty when none.
---@param f function
---@param name string? its last name, as for of_function
---@return table<string, string>
---@return string[]? order the names of positional ones, where a layer has them
function docs.options(f, name)
  local source = debug.getinfo(f, "S").source
  if not lookup.is_ours(source) then return {} end
  if source:find "/nn%.lua$" and layer_options(name) then return layer_options(name) end
  local found, entry = {}, docs.of_function(f, name)
  for _, param in ipairs(entry and entry.params or {}) do
    if is_options_name(param.name) or param.type:find "^{" then typed_options(param.type, found) end
  end
  if entry and entry.class then typed_options(entry.class, found) end
  for key, kind in pairs(checked_options(f, 2) or {}) do found[key] = found[key] or kind end
  for key in pairs(found) do if type(key) ~= "string" then found[key] = nil end end
  return found
end

return docs
