--- Tables that are tables: a list of records, { { name = "a", n = 1 }, ... }, and columns of one length,
-- { epoch = { 1, 2 }, loss = { 0.7, 0.5 } }, as a history is. They are shown in rows and columns.
local escape = require "giemsa.html.escape"

local MOST_ROWS, MOST_COLUMNS = 40, 20

local function is_plain(value) return type(value) == "table" and getmetatable(value) == nil end

local SCALAR = { number = true, string = true, boolean = true }

-- The string keys of a table, sorted; nil when it has others, or values that accept refuses.
local function names_of(t, accept)
  local names = {}
  for key, value in next, t do
    if type(key) ~= "string" or not accept(value) then return nil end
    names[#names + 1] = key
  end
  table.sort(names)
  return names
end

local function is_scalar(value) return SCALAR[type(value)] == true end

-- The names in all records of a list, and how many records; nil when it is no such list.
local function records(list)
  local seen, names = {}, {}
  for i, record in ipairs(list) do
    local own = is_plain(record) and names_of(record, is_scalar)
    if not own then return nil end
    for _, name in ipairs(own) do
      if not seen[name] then seen[name], names[#names + 1] = true, name end
    end
  end
  for key in next, list do
    if math.type(key) ~= "integer" or key < 1 or key > #list then return nil end
  end
  return names, #list, function(row, name) return list[row][name] end
end

local function is_list_of_scalars(value)
  if not is_plain(value) then return false end
  for key, item in next, value do
    if math.type(key) ~= "integer" or not is_scalar(item) then return false end
  end
  return true
end

local function columns(t)
  local names = names_of(t, is_list_of_scalars)
  if not names then return nil end
  local length = #t[names[1]]
  for _, name in ipairs(names) do
    if #t[name] ~= length then return nil end
  end
  return names, length, function(row, name) return t[name][row] end
end

local function cell_text(value)
  if value == nil then return "" end
  if math.type(value) == "float" then return ("%.7g"):format(value) end
  return escape(tostring(value))
end

local function html_of(names, count, get)
  local parts = { "<table><thead><tr><th></th>" }
  local function add(text, ...) parts[#parts + 1] = text:format(...) end
  for _, name in ipairs(names) do add("<th>%s</th>", escape(name)) end
  add "</tr></thead><tbody>\n"
  for row = 1, math.min(count, MOST_ROWS) do
    add("<tr><th>%d</th>", row)
    for _, name in ipairs(names) do add("<td>%s</td>", cell_text(get(row, name))) end
    add "</tr>\n"
  end
  add "</tbody></table>"
  if count > MOST_ROWS then add("\n<p>%d of %d rows</p>", MOST_ROWS, count) end
  return table.concat(parts)
end

--- The HTML of a table that is one in rows and columns; nil for all else.
---@param value any
---@return string?
return function(value)
  if not is_plain(value) or next(value) == nil then return nil end
  local names, count, get = (value[1] ~= nil and records or columns)(value)
  if not names or #names == 0 or #names > MOST_COLUMNS or count == 0 then return nil end
  return html_of(names, count, get)
end
