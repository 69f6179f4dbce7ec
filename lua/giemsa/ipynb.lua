--- Jupyter notebooks (nbformat 4.5), out and in. One source: the .lua file. An .ipynb is made of
-- it, with the outputs of a run if wanted, and gives the same bytes back: where a cell's text is
-- not in the form in which giemsa writes it, the text is kept in the cell's metadata and used while
-- it still says the same as the cell. The same run gives the same bytes: there are no times in it,
-- ids are cell names.
local base64 = require "giemsa.base64"
local json = require "giemsa.json"
local notebook = require "giemsa.notebook"
local runlog = require "giemsa.runlog"

local ipynb = {}

local ARRAY = { __jsontype = "array" }
local OBJECT = { __jsontype = "object" }
local function array(t) return setmetatable(t or {}, ARRAY) end
local function object(t) return setmetatable(t or {}, OBJECT) end

-- ---- JSON as Jupyter writes it: keys sorted, one space a level

local pretty

local function pretty_list(open, items, close, indent)
  if #items == 0 then return open .. close end
  local inner = "\n" .. (" "):rep(indent + 1)
  return open .. inner .. table.concat(items, "," .. inner) .. "\n" .. (" "):rep(indent) .. close
end

function pretty(value, indent)
  if type(value) ~= "table" or value == json.null then return json.encode(value) end
  local items, kind = {}, (getmetatable(value) or {}).__jsontype
  if kind == "array" or kind ~= "object" and value[1] ~= nil then
    for i, item in ipairs(value) do items[i] = pretty(item, indent + 1) end
    return pretty_list("[", items, "]", indent)
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do
    items[i] = json.encode(key) .. ": " .. pretty(value[key], indent + 1)
  end
  return pretty_list("{", items, "}", indent)
end

-- Text as a list of lines that keep their line breaks.
local function lines_of(text)
  local lines = array()
  for line in text:gmatch "[^\n]*\n?" do
    if line ~= "" then lines[#lines + 1] = line end
  end
  return lines
end

-- ---- outputs

-- Bytes that are no text are marked, as in the log.
local function clean(text)
  if utf8.len(text) then return text end
  return (text:gsub("[\x80-\xFF]+", function(bytes)
    return utf8.len(bytes) and bytes or ("\u{FFFD}"):rep(#bytes)
  end))
end

local function bundle(run, data)
  local out, metadata = object(), object()
  for mime, value in pairs(data) do
    if type(value) == "string" then
      out[mime] = lines_of(clean(value))
    elseif mime == "image/png" then
      out[mime] = base64.encode(run:bytes(value) or "")
      metadata[mime] = { width = value.width, height = value.height }
    else
      out[mime] = lines_of(run:bytes(value) or "")
    end
  end
  if not out["text/plain"] then out["text/plain"] = lines_of "[display]" end
  return out, metadata
end

local function output_of(run, output)
  if output.kind == "stream" then
    local text = runlog.shown(output.text, run.path)
    return { output_type = "stream", name = output.name, text = lines_of(clean(text)) }
  end
  if output.kind == "error" then
    return { output_type = "error", ename = "LuaError", evalue = clean(output.message),
      traceback = array{ clean(output.message), table.unpack(output.traceback or {}) } }
  end
  local data, metadata = bundle(run, output.data)
  return { output_type = "display_data", data = data, metadata = metadata }
end

-- ---- a cell as a text

-- An array or an object.
local function is_table(value) return type(value) == "table" and value ~= json.null end

-- What Jupyter's programs keep for themselves.
local THEIRS = { collapsed = true, scrolled = true, autoscroll = true, trusted = true,
  execution = true, ExecuteTime = true, jupyter = true, outputId = true, colab = true,
  giemsa_text = true, title = true, cell_depth = true }

-- The source of a cell: a text, or a list of its pieces. Nil when it is something else.
local function source_of(cell)
  local source = cell.source or ""
  if not is_table(source) then return type(source) == "string" and source or nil end
  for _, piece in ipairs(source) do
    if type(piece) ~= "string" then return nil end
  end
  return table.concat(source)
end

local function options_of(cell)
  local found = {}
  for key, value in pairs(cell.metadata) do
    if type(key) == "string" and not THEIRS[key] then found[key] = value end
  end
  if is_table(found.tags) then found.tags = array(found.tags) end
  return found
end

-- The bytes of a cell in the form in which giemsa writes it, without blank lines at its end.
local function usual_text(cell, is_last)
  local title = type(cell.metadata.title) == "string" and cell.metadata.title or ""
  return notebook.cell_text({ kind = cell.cell_type, title = title, options = options_of(cell),
    depth = math.tointeger(cell.metadata.cell_depth) or 0 }, (source_of(cell):gsub("%s+$", "")))
    .. (is_last and "" or "\n")
end

-- ---- out

-- A cell's id: its name where that can be one. taken: each id, with the last number that was put behind it.
local function id_of(one, taken)
  local base = one.name or ""
  if not base:find "^[%w_-]+$" or #base > 60 then base = ("cell-%d"):format(one.number) end
  local id, n = base, taken[base] or 1
  while taken[id] do
    n = n + 1
    id = ("%s-%d"):format(base, n)
  end
  taken[id], taken[base] = 1, n
  return id
end

local function is_tags(value)
  if not is_table(value) then return false end
  local seen = {}
  for _, tag in ipairs(value) do
    if type(tag) ~= "string" or tag:find "," or seen[tag] then return false end
    seen[tag] = true
  end
  return true
end

-- The options, as far as Jupyter's rules for metadata allow.
local function metadata_of(one)
  local metadata = object()
  for key, value in pairs(one.options) do metadata[key] = value end
  if type(metadata.name) ~= "string" or metadata.name == "" then metadata.name = nil end
  metadata.tags = is_tags(metadata.tags) and array(metadata.tags) or nil
  metadata.title = one.title ~= "" and one.title or nil
  metadata.cell_depth = one.depth > 0 and one.depth or nil
  metadata.giemsa_text = nil
  return metadata
end

local function cell_of(one, taken, is_last)
  local cell = { cell_type = one.kind, id = id_of(one, taken), metadata = metadata_of(one),
    source = lines_of(one:source()) }
  local is_like_header = one.number == 1 and one.kind == "raw" and one:source():find "^%-%-%-\n"
  local text = one.marker .. one.body
  if text ~= usual_text(cell, is_last) or is_like_header then cell.metadata.giemsa_text = text end
  if one.kind == "code" then
    cell.execution_count, cell.outputs = json.null, array()
  end
  return cell
end

local function header_cell(book, taken)
  local yaml = book:yaml()
  if not yaml then return end
  local id = "header"
  while taken[id] do id = id .. "-" end
  return { cell_type = "raw", id = id, metadata = object(),
    source = lines_of("---\n" .. yaml .. "\n---") }
end

local function add_outputs(cell, result, run, count)
  cell.execution_count = count
  for _, output in ipairs(result.outputs) do
    table.insert(cell.outputs, output_of(run, output))
  end
end

-- What a run of this very text printed; of another text only cells that are the same.
local function result_of(run, ran, one)
  local then_ = run and ran.cells[one.number]
  local result = run and run.cells[one.number]
  if result and then_ and then_.kind == "code" and then_:source() == one:source() then
    return result
  end
end

local function encode(book, run)
  local cells, taken, count = array(), {}, 0
  local ran = run and notebook.parse(run.start.source)
  for i, one in ipairs(book.cells) do
    local cell = cell_of(one, taken, i == #book.cells)
    local result = one.kind == "code" and result_of(run, ran, one)
    if result then
      count = count + 1
      add_outputs(cell, result, run, count)
    end
    cells[i] = cell
  end
  local header = header_cell(book, taken)
  if header then table.insert(cells, 1, header) end
  local metadata = { kernelspec = { name = "giemsa", display_name = "Lua (giemsa)",
    language = "lua" }, language_info = { name = "lua", file_extension = ".lua",
    mimetype = "text/x-lua" } }
  local yaml = book:yaml()
  if book.header ~= (yaml and notebook.header_text(yaml) or "") then
    metadata.giemsa_header = book.header
  end
  return pretty({ cells = cells, metadata = metadata, nbformat = 4, nbformat_minor = 5 }, 0) .. "\n"
end

--- The notebook of a lesson, without outputs.
---@param text string of the .lua file
---@param path string?
---@return string? ipynb nil and why: bytes that are no text
---@return string? message
function ipynb.from_lua(text, path)
  if not utf8.len(text) then
    return nil, (path or "the lesson") .. ": not UTF-8, which a Jupyter notebook has to be"
  end
  return encode(notebook.parse(text, path))
end

--- The notebook of a run, by its log.
---@param log_path string
---@param text string? the lesson as it is now; what ran when absent
---@return string? ipynb nil and why
---@return string? message
function ipynb.from_run(log_path, text)
  local run, message = runlog.read(log_path)
  if not run then return nil, message end
  text = text or run.start.source
  if not utf8.len(text) then return nil, run.start.lesson .. ": not UTF-8" end
  return encode(notebook.parse(text, run.start.lesson), run)
end

-- ---- in

local function equal(a, b)
  if not is_table(a) or not is_table(b) then return a == b end
  for key, value in pairs(a) do
    if not equal(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- The text kept in a cell, while it says the same as the cell.
local function kept_text(cell, is_first)
  local text, title = cell.metadata.giemsa_text, cell.metadata.title or ""
  if type(text) ~= "string" then return nil end
  local book = notebook.parse("-- ---\n-- ---\n" .. text)
  local one = book.cells[1]
  local is_same = one and #book.cells == 1 and one.kind == cell.cell_type and one.title == title
    and one:source() == source_of(cell) and (one.marker ~= "" or is_first)
  if not is_same then return nil end
  local metadata = metadata_of(one)
  for key, value in pairs(cell.metadata) do
    if not THEIRS[key] and not equal(metadata[key], value) then return nil end
  end
  return text
end

-- The YAML of a first raw cell that is a header.
local function header_yaml(cell)
  if not cell or cell.cell_type ~= "raw" or cell.metadata.giemsa_text then return nil end
  return source_of(cell):match "^%-%-%-\n(.-)\n?%-%-%-%s*$"
end

local function header_of(metadata, yaml)
  local kept = metadata.giemsa_header
  if type(kept) == "string" and notebook.parse(kept):yaml() == yaml
    and #notebook.parse(kept).cells == 0 then
    return kept
  end
  return yaml and notebook.header_text(yaml) or ""
end

local KINDS = { code = true, markdown = true, raw = true }

local function check(book, path)
  local where = path or "the notebook"
  if type(book) ~= "table" or book.nbformat ~= 4 or type(book.cells) ~= "table" then
    return where .. ": not a Jupyter notebook of format 4 (open and save it in Jupyter)"
  end
  local language = type(book.metadata) == "table" and type(book.metadata.language_info) == "table"
    and book.metadata.language_info.name or "lua"
  if type(language) == "string" and language:lower() ~= "lua" then
    return ("%s: a notebook in %s, not in Lua"):format(where, language)
  end
  for i, cell in ipairs(book.cells) do
    if type(cell) ~= "table" or not KINDS[cell.cell_type] then
      return ("%s: cell %d is of no kind that is known"):format(where, i)
    end
    if type(cell.metadata) ~= "table" or cell.metadata == json.null then cell.metadata = {} end
    if not source_of(cell) then return ("%s: cell %d has no text"):format(where, i) end
  end
end

--- The .lua file of a Jupyter notebook in Lua; outputs are left out.
---@param text string
---@param path string?
---@return string? lua nil and why
---@return string? message
function ipynb.to_lua(text, path)
  local book, problem = json.decode(text, json.null)
  if book == nil then return nil, (path or "the notebook") .. ": " .. problem end
  local message = check(book, path)
  if message then return nil, message end
  local yaml = header_yaml(book.cells[1])
  if yaml then table.remove(book.cells, 1) end
  local metadata = type(book.metadata) == "table" and book.metadata or {}
  local parts = { header_of(metadata, yaml) }
  for i, cell in ipairs(book.cells) do
    parts[#parts + 1] = kept_text(cell, i == 1) or usual_text(cell, i == #book.cells)
  end
  return table.concat(parts)
end

return ipynb
