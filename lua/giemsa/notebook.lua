--- A notebook is a .lua file in jupytext's percent format: a script that any Lua runs. This is the
-- only file that knows how cells are marked. What is not edited is written back byte by byte.
--
--   file     = [header] [cell without marker] {cell}
--   header   = ["#!" line] ["-- -*- coding: ..." line] [yaml] {blank line}
--   yaml     = "-- ---" {"-- " line} "-- ---"
--   cell     = marker {line}
--   marker   = space* "--" space* "%%" "%"* (line end | " " options line end)
--   options  = [title] ["[markdown]" | "[md]" | "[raw]"] ({key ["=" JSON value]} | JSON object)
--
-- More "%" make a sub-cell (depth). In a text cell every line is "-- text", or "--" alone. A cell's
-- text goes up to the next marker, the blank line before that included. Options with a meaning
-- here: name, tags, cache, timeout (seconds), points, lang; tags: solution, check, hidden,
-- skip-execution, raises-exception, hide-input, hide-output. Others are kept.
local header = require "giemsa.notebook.header"
local json = require "giemsa.json"
local options = require "giemsa.options"

local notebook = {}

---@class giemsa.Cell
---@field kind "code"|"markdown"|"raw"
---@field marker string the marker's line with its line break; "" for code before the first marker
---@field body string all bytes up to the next marker
---@field line integer the marker's line in the file
---@field first integer the line at which the body begins
---@field number integer its place among the cells, from 1
---@field title string
---@field depth integer 0, 1 for "%%%", ...
---@field options table<string, any> what stands in the marker; json.null for a key without value
---@field order string[] the keys of options as written
---@field name string? of these options: nil when absent or of another type
---@field tags string[]
---@field cache boolean
---@field timeout number? seconds
---@field points number?
---@field lang string?
---@field problem string? why the options cannot be read (they are kept)
local Cell = {}
Cell.__index = Cell

---@class giemsa.Notebook
---@field path string?
---@field header string all bytes before the first cell
---@field meta table<string, any> what the YAML header says: title, seed, ...
---@field cells giemsa.Cell[]
local Notebook = {}
Notebook.__index = Notebook

-- ---- options of a marker

-- The end of the JSON value at `at`.
local function value_end(text, at)
  local first = text:sub(at, at)
  if not first:find '["%[{]' then return (text:find("%s", at) or #text + 1) - 1 end
  local depth, i = 0, at
  while i <= #text do
    local sign = text:sub(i, i)
    if sign == '"' then
      repeat -- over escaped quotes
        i = text:find('["\\]', i + 1) or #text + 1
        local is_escape = text:sub(i, i) == "\\"
        if is_escape then i = i + 1 end
      until not is_escape
    elseif sign:find "[%[{]" then
      depth = depth + 1
    elseif sign:find "[%]}]" then
      depth = depth - 1
    end
    if depth == 0 then return i end
    i = i + 1
  end
  return #text
end

local KEY = "^%s*([%a_][%w_.%-]*)"

local function parse_pairs(cell, text)
  local at = 1
  while text:find("%S", at) do
    local _, last, key = text:find(KEY, at)
    if not key then
      local rest = text:sub(at):match "^%s*(.*)$"
      cell.problem = ("cannot read the options from '%s' on"):format(rest)
      return
    end
    local value = json.null
    at = last + 1
    if text:sub(at, at) == "=" then
      local stop = value_end(text, at + 1)
      local given, message = json.decode(text:sub(at + 1, stop), json.null)
      if given == nil then cell.problem = ("option '%s': %s"):format(key, message) end
      value, at = given, stop + 1
    end
    if cell.options[key] == nil then cell.order[#cell.order + 1] = key end
    cell.options[key] = value
  end
end

local function parse_object(cell, text)
  local given, message = json.decode(text, json.null)
  if type(given) ~= "table" then
    cell.problem = message or "the options are no JSON object"
    return
  end
  for key in pairs(given) do cell.order[#cell.order + 1] = tostring(key) end
  table.sort(cell.order)
  cell.options = given
end

local KINDS = { ["[markdown]"] = "markdown", ["[md]"] = "markdown", ["[raw]"] = "raw" }

-- Where the title ends: at the kind, at a first "key=", or at "{".
local function title_end(text)
  local best = #text + 1
  for word in pairs(KINDS) do best = math.min(best, text:find(word, 1, true) or best) end
  best = math.min(best, text:find("{", 1, true) or best)
  local _, key = text:find "^()[%a_][%w_.%-]*="
  if key then return 1 end
  local before = text:find "%s[%a_][%w_.%-]*="
  return math.min(best, before or best)
end

local function parse_marker(cell, percents, rest)
  local stop = title_end(rest)
  cell.depth = #percents
  cell.title = rest:sub(1, stop - 1):match("^%s*(.-)%s*$")
  rest = rest:sub(stop):match("^%s*(.-)%s*$")
  local word = rest:match("^%[%a+%]")
  cell.kind = KINDS[word] or "code"
  if KINDS[word] then rest = rest:sub(#word + 1) end
  if rest:find "^%s*{" then return parse_object(cell, rest) end
  return parse_pairs(cell, rest)
end

local function plain(cell, key, kind)
  local value = cell.options[key]
  return type(value) == kind and value or nil
end

local function name_options(cell)
  cell.name, cell.lang = plain(cell, "name", "string"), plain(cell, "lang", "string")
  cell.timeout, cell.points = plain(cell, "timeout", "number"), plain(cell, "points", "number")
  cell.tags, cell.cache = plain(cell, "tags", "table") or {}, cell.options.cache == true
end

-- The percent signs beyond two and what follows them, of a line that marks a cell.
local function marker_of(line)
  line = line:gsub("[\r\n]+$", "")
  local percents, rest = line:match("^%s*%-%-%s*%%%%(%%*)%s(.*)$")
  if not percents then percents, rest = line:match("^%s*%-%-%s*%%%%(%%*)()$"), "" end
  return percents, rest
end

--- Whether a line marks a cell.
---@param line string
---@return boolean
function notebook.is_marker(line) return marker_of(line) ~= nil end

-- ---- reading and writing

local function new_cell(marker, line)
  return setmetatable({ kind = "code", marker = marker, line = line, title = "", depth = 0,
    options = {}, order = {}, first = line + (marker == "" and 0 or 1) }, Cell)
end

--- Reads a notebook. Any bytes are one; notebook:text() gives the same bytes back.
---@param text string
---@param path string?
---@return giemsa.Notebook
function notebook.parse(text, path)
  local lines, byte_order_mark = {}, text:match "^\xEF\xBB\xBF" or ""
  text = text:sub(#byte_order_mark + 1)
  for line in text:gmatch "[^\n]*\n?" do
    if line ~= "" then lines[#lines + 1] = line end
  end
  local at, meta = header.parse(lines)
  local self = setmetatable({ path = path, meta = meta, cells = {},
    header = byte_order_mark .. table.concat(lines, "", 1, at - 1) }, Notebook)
  local cell, body
  local function finish()
    if cell then cell.body = table.concat(body) end
  end
  for i = at, #lines do
    local percents, rest = marker_of(lines[i])
    if percents or not cell then
      finish()
      cell, body = new_cell(percents and lines[i] or "", i), {}
      if percents then parse_marker(cell, percents, rest) end
      name_options(cell)
      cell.number = #self.cells + 1
      self.cells[cell.number] = cell
    end
    if not percents then body[#body + 1] = lines[i] end
  end
  finish()
  return self
end

--- Reads a notebook from a file.
---@param path string
---@return giemsa.Notebook? notebook nil and why
---@return string? message
function notebook.read(path)
  local file <close>, message = io.open(path, "rb")
  if not file then return nil, message end
  local text, problem = file:read("a")
  if not text then return nil, path .. ": " .. problem end
  return notebook.parse(text, path)
end

--- The bytes of the file.
---@return string
function Notebook:text()
  local parts = { self.header }
  for _, cell in ipairs(self.cells) do
    parts[#parts + 1] = cell.marker
    parts[#parts + 1] = cell.body
  end
  return table.concat(parts)
end

--- The cell of a name, or of a number; nil and a message with the nearest name.
---@param name string
---@return giemsa.Cell? cell, string? message
function Notebook:find(name)
  local names = {}
  for _, cell in ipairs(self.cells) do
    if cell.name == name then return cell end
    if cell.name then names[cell.name] = true end
  end
  local cell = self.cells[math.tointeger(tonumber(name))]
  if cell then return cell end
  return nil, ("%s has no cell '%s'%s"):format(self.path or "the notebook", name,
    options.hint(name, names))
end

--- Whether a reader of that language sees each cell: a text cell with another `lang` is left out,
--- and so is one without, when the text cell after it is its translation.
---@param lang string "en", "zh", ...
---@return giemsa.Cell[]
function Notebook:in_language(lang)
  local seen = {}
  for i, cell in ipairs(self.cells) do
    local own, after = cell.lang, self.cells[i + 1]
    local translated = not own and cell.kind == "markdown" and after and after.kind == "markdown"
      and after.lang == lang
    if not translated and (not own or own == lang) then seen[#seen + 1] = cell end
  end
  return seen
end

-- ---- a cell

--- What a message calls it: "cell 'fit-code'", "cell 7".
---@return string
function Cell:label()
  local name = self.name or self.title ~= "" and self.title
  return name and ("cell '%s'"):format(name) or ("cell %d"):format(self.number)
end

--- What finds it again: its name, else its number.
---@return string
function Cell:key() return self.name or tostring(self.number) end

---@param tag string
---@return boolean
function Cell:has_tag(tag)
  for _, own in ipairs(self.tags) do
    if own == tag then return true end
  end
  return false
end

local function has_trailing_break(text) return text:find "\n$" ~= nil end

-- The body without the blank lines at its end.
local function trimmed(body)
  local text = body:gsub("\r\n", "\n"):gsub("%s*$", "")
  return text
end

--- The text without comment signs (text cells), or the code; no line break at its end.
---@return string
function Cell:source()
  local text = trimmed(self.body)
  if self.kind == "code" or text == "" then return text end
  return (text:gsub("[^\n]+", header.uncommented))
end

local function commented(source)
  local out = {}
  for line in (source .. "\n"):gmatch "(.-)\n" do
    out[#out + 1] = line == "" and "--" or "-- " .. line
  end
  return table.concat(out, "\n")
end

--- Replaces the source; the blank lines up to the next cell stay as they are.
---@param source string
function Cell:set_source(source)
  if source == self:source() then return end
  local is_windows = self.body:find "\r\n" ~= nil
  local gap = self.body:match "\r?\n%s*$" or self.body:match "^%s*$" or ""
  local text = (self.kind ~= "code" and source ~= "") and commented(source) or source
  if is_windows then text = text:gsub("\n", "\r\n") end
  if self.marker ~= "" and not has_trailing_break(self.marker) then self.marker = self.marker .. "\n" end -- the file ended there
  self.body = text .. (has_trailing_break(gap) and gap or gap .. "\n")
end

-- ---- writing a cell anew

local FIRST = { name = 1, tags = 2, lang = 3 }

local function by_rank(a, b)
  local p, q = FIRST[a] or 9, FIRST[b] or 9
  if p ~= q then return p < q end
  return a < b
end

local function options_text(options_of_cell)
  local keys, parts, is_plain = {}, {}, true
  for key in pairs(options_of_cell) do
    keys[#keys + 1] = key
    is_plain = is_plain and key:find "^[%a_][%w_.%-]*$" ~= nil
  end
  if not is_plain then return " " .. json.encode(options_of_cell) end
  table.sort(keys, by_rank)
  for i, key in ipairs(keys) do
    local value = options_of_cell[key]
    parts[i] = " " .. (value == json.null and key or key .. "=" .. json.encode(value))
  end
  return table.concat(parts)
end

--- The marker of a cell in the form in which it is written: "-- %% Title [markdown] name="x"".
---@param cell {kind: string, title: string?, depth: integer?, options: table?}
---@return string line without line break
function notebook.marker_text(cell)
  local title = cell.title and cell.title:gsub("[{=%c]", " ") or "" -- those would end it
  return "-- %%" .. ("%"):rep(cell.depth or 0) .. (title ~= "" and " " .. title or "")
    .. (cell.kind ~= "code" and (" [%s]"):format(cell.kind) or "")
    .. options_text(cell.options or {})
end

--- The bytes of a cell in the form in which it is written; one blank line goes between cells.
---@param cell {kind: string, title: string?, depth: integer?, options: table?}
---@param source string
---@return string
function notebook.cell_text(cell, source)
  local text = cell.kind ~= "code" and source ~= "" and commented(source) or source
  return notebook.marker_text(cell) .. "\n" .. text .. (text ~= "" and "\n" or "")
end

-- The last of the translations of a text, which stand behind it; else the cell itself.
local function last_translation(cells, number)
  local own, last = cells[number], number
  local function is_translation(cell) return cell and cell.kind == "markdown" and cell.lang and cell.lang ~= own.lang end
  while own.kind == "markdown" and is_translation(cells[last + 1]) do last = last + 1 end
  return last
end

--- The bytes of the file with one cell more, behind another and its translations: a blank line stands before and after
--- it, all else is as it was.
---@param number integer of the cell that it comes after
---@param cell {kind: string, title: string?, depth: integer?, options: table?}
---@param source string
---@return string text
---@return integer number of the new cell
function Notebook:text_with(number, cell, source)
  number = last_translation(self.cells, number)
  local before, after = { self.header }, {}
  for i, one in ipairs(self.cells) do table.insert(i <= number and before or after, one.marker .. one.body) end
  local head, tail = table.concat(before), table.concat(after)
  local gap = head:find "\n\r?\n$" and "" or head:find "\n$" and "\n" or "\n\n"
  local line = source == "" and "\n" or "" -- for what will be written there
  local added = gap .. notebook.cell_text(cell, source) .. line .. (tail ~= "" and "\n" or "")
  if head:find "\r\n" then added = added:gsub("\n", "\r\n") end
  return head .. added .. tail, number + 1
end

--- A name that no cell has: the one given, or with a number.
---@param base string
---@return string
function Notebook:free_name(base)
  local taken, name, n = {}, base, 1
  for _, cell in ipairs(self.cells) do taken[cell.name or ""] = true end
  while taken[name] do
    n = n + 1
    name = base .. "-" .. n
  end
  return name
end

--- A header in the form in which it is written.
---@param yaml string its lines, without comment signs
---@return string
function notebook.header_text(yaml)
  return "-- ---\n" .. commented(yaml) .. "\n-- ---\n\n"
end

--- The lines of the YAML header, without comment signs; nil without one.
---@return string?
function Notebook:yaml()
  local lines = {}
  for line in self.header:gmatch "[^\n]+" do lines[#lines + 1] = header.uncommented(line) end
  local text = ("\n" .. table.concat(lines, "\n") .. "\n"):match "\n%-%-%-\n(.-)\n?%-%-%-\n"
  return text
end

return notebook
