--- Completion: what may stand where the cursor is. Names through metatables, paths in strings, the
-- options of the function that is being called, modules behind require. It runs nobody's code.
local core = require "giemsa.core"
local docs = require "giemsa.docs"
local highlight = require "giemsa.highlight"
local lookup = require "giemsa.lookup"

local complete = {}

---@class giemsa.completion
---@field word string what is to be replaced: the end of the text
---@field list string[] what it may become, sorted as it should be shown
---@field after string? what follows when there is one choice
---@field about string? a line about the call the cursor is in

-- ---- matching

local function starting(names, word, accept)
  local list = {}
  for _, name in ipairs(names) do
    if accept(name, word) then list[#list + 1] = name end
  end
  return list
end

local MATCHES = { -- the first that gives something counts
  function(name, word) return name:sub(1, #word) == word end,
  function(name, word) return name:lower():sub(1, #word) == word:lower() end,
  function(name, word) return name:lower():find(word:lower(), 1, true) ~= nil end,
}

-- The names that a word may become. Private ones only when it starts like them.
local function matching(names, word)
  for i, accept in ipairs(MATCHES) do
    if i < #MATCHES or #word > 1 then
      local list = starting(names, word, accept)
      if #list > 0 then
        local public = starting(list, word, function(name) return name:sub(1, 1) ~= "_" end)
        return word:sub(1, 1) ~= "_" and #public > 0 and public or list
      end
    end
  end
  return {}
end

-- ---- the code before the cursor

-- Its tokens without spaces; each knows whether a space comes before it.
local function tokens_of(text)
  local list, spaced = {}, false
  for _, token in ipairs(highlight.tokens(text)) do
    if token.kind == "space" then spaced = true
    else
      token.spaced, spaced = spaced, false
      list[#list + 1] = token
    end
  end
  return list, spaced
end

local function is_name(token) return token and (token.kind == "name" or token.kind == "call") end

local OPENED_BY = { ["]"] = "[", [")"] = "(", ["}"] = "{" }

-- The token that opens what token `at` closes.
local function opener(tokens, at)
  local depth = 0
  for i = at, 1, -1 do
    if OPENED_BY[tokens[i].text] then depth = depth + 1
    elseif tokens[i].text:find "^[%[({]$" then depth = depth - 1 end
    if depth == 0 then return i end
  end
end

-- The path "a.b[1].c" that ends in token `last`, or nil.
local function path_before(tokens, last)
  local first = last
  while first > 0 do
    local token = tokens[first]
    if token.text == "]" then
      local open = opener(tokens, first)
      if not open or open == 1 then return nil end
      first = open - 1
    elseif is_name(token) then
      local link = tokens[first - 1]
      if not link or link.text ~= "." and link.text ~= ":" then break end
      first = first - 2
    else return nil end
  end
  if first < 1 or not is_name(tokens[first]) then return nil end
  local parts = {}
  for i = first, last do parts[#parts + 1] = tokens[i].text end
  return table.concat(parts)
end

-- The call that the cursor is in: its path, and whether the cursor stands where a key may.
local function enclosing_call(tokens, last)
  local depth, in_braces = 0, false
  for i = last, 1, -1 do
    local text = tokens[i].text
    if OPENED_BY[text] then depth = depth + 1
    elseif text == "(" or text == "{" or text == "[" then
      depth = depth - 1
      if depth < 0 then
        local path = text ~= "[" and tokens[i - 1] and path_before(tokens, i - 1)
        if path then
          local before = tokens[last].text
          return path, (in_braces or text == "{") and (before == "{" or before == ","), i - 1
        end
        if text ~= "{" then return nil end
        depth, in_braces = 0, true
      end
    end
  end
end

-- ---- the kinds of places

local function split_path(text)
  local folder, name = text:match "^(.*/)([^/]*)$"
  return folder or "", name or text
end

local function path_choices(text)
  local folder, word = split_path(text)
  local names = {}
  for _, entry in ipairs(core.list_folder(folder == "" and "." or folder) or {}) do
    local name, kind = entry[1], entry[2]
    local is_hidden = name:sub(1, 1) == "."
    if name:sub(1, #word) == word and (not is_hidden or word:sub(1, 1) == ".") then
      names[#names + 1] = name .. (kind ~= "file" and "/" or "")
    end
  end
  return { word = word, list = names }
end

local function module_choices(word)
  local names = { "giemsa" }
  for _, path in ipairs(docs.paths()) do
    local module = path:sub(#lookup.home + 1):gsub("%.lua$", ""):gsub("/", ".")
    if module ~= "init" then names[#names + 1] = "giemsa." .. module end
  end
  for name in next, package.loaded do
    if not name:find "^giemsa" then names[#names + 1] = name end
  end
  table.sort(names)
  return { word = word, list = matching(names, word) }
end

local function in_string(tokens)
  local token, before = tokens[#tokens], tokens[#tokens - 1]
  local before2 = tokens[#tokens - 2]
  local text = token.text:sub(2)
  local is_module = before and (before.text == "require"
    or before.text == "(" and before2 and before2.text == "require")
  local found = is_module and module_choices(text) or path_choices(text)
  local only = #found.list == 1 and found.list[1]
  if only and only:sub(-1) ~= "/" then found.after = token.text:sub(1, 1) end
  return found
end

local function callable(value)
  if type(value) == "function" then return value end
  local metatable = debug.getmetatable(value)
  return type(metatable) == "table" and rawget(metatable, "__call")
end

local function members(owner, word, is_method)
  local names = lookup.names(owner)
  if is_method then
    local methods = {}
    for _, name in ipairs(names) do
      local value
      local is_table = type(owner) == "table"
      if is_table then value = rawget(owner, name) else value = lookup.get(owner, name) end
      local is_inherited = is_table and value == nil
      if is_inherited or callable(value) then methods[#methods + 1] = name end
    end
    names = methods
  end
  return { word = word, list = matching(names, word) }
end

local KEYWORDS = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat "
  .. "return then true until while"):gmatch "%a+" do KEYWORDS[#KEYWORDS + 1] = word end

local function free_names(word, opts)
  local seen, list = {}, {}
  local function add(names)
    for _, name in ipairs(names) do
      if not seen[name] then seen[name], list[#list + 1] = true, name end
    end
  end
  add(opts.names and opts.names() or {})
  add(lookup.names(_G))
  if word ~= "" then add(KEYWORDS) end
  table.sort(list)
  return matching(list, word)
end

local function call_signature(path, f)
  local known = require "giemsa.help.standard"[f]
  if known then return known.call .. "  " .. known.text end
  local entry = docs.of_function(f, path:match "[%w_]+$")
  local names, order = docs.parameters(f) or {}, select(2, docs.options(f, path:match "[%w_]+$"))
  if path:find ":" and names[1] then table.remove(names, 1) end
  local text = order and ("%s{%s}"):format(path, table.concat(order, ", "))
    or ("%s(%s)"):format(path, table.concat(names, ", "))
  local first = entry and entry.prose:match "^[^\n]+"
  return text .. (first and "  " .. first or "")
end

-- The option keys of the call around the word; and a line about that call.
local function call_choices(tokens, last, word, opts)
  if last < 1 then return {} end
  local path, is_key = enclosing_call(tokens, last)
  local value = path and lookup.resolve(path, opts.scope)
  local f = value ~= nil and callable(value)
  if not f then return {} end
  local keys = {}
  for key in pairs(is_key and docs.options(f, path:match "[%w_]+$") or {}) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return matching(keys, word), call_signature(path, f)
end

-- "text" or ("text") before a dot or colon
local function is_string_before(tokens, last)
  if last > 2 and tokens[last].text == ")" then last = last - 1 end
  return last > 0 and tokens[last].kind == "string"
end

local function in_code(tokens, is_apart, opts)
  local last = #tokens
  local token = tokens[last]
  local word = ""
  local is_word = token and not is_apart and (is_name(token) or token.kind == "keyword"
    or token.kind == "constant")
  if is_word then word, last = token.text, last - 1 end
  local link = tokens[last]
  if link and (link.text == "." or link.text == ":") then
    local path = last > 1 and path_before(tokens, last - 1)
    local owner = path and lookup.resolve(path, opts.scope)
    if is_string_before(tokens, last - 1) then owner = "" end
    if owner == nil then return { word = word, list = {} } end
    return members(owner, word, link.text == ":")
  end
  local keys, about = call_choices(tokens, last, word, opts)
  if keys and #keys > 0 then
    return { word = word, list = keys, after = " = ", about = about }
  end
  local is_asking = word == "" and about
  return { word = word, list = is_asking and {} or free_names(word, opts), about = about }
end

-- ---- the call

--- What may stand at the end of a text.
---@param text string all that was typed up to the cursor, earlier lines too
---@param opts? {scope?: function, names?: function} scope: what a first name means; names: more
---  first names (locals)
---@return giemsa.completion
function complete.at(text, opts)
  opts = opts or {}
  opts.scope = opts.scope or lookup.globals
  local asked = text:match "^%s*%?%??%s*([%w_.:]*)$"
  if asked and text:find "^%s*%?" then text = asked end
  local tokens, is_apart = tokens_of(text)
  local token = tokens[#tokens]
  if token and token.unfinished and token.kind == "string" and token.text:find "^[\"']" then
    return in_string(tokens)
  end
  if token and token.kind == "comment" and (token.unfinished or not is_apart) then
    return { word = "", list = {} }
  end
  return in_code(tokens, is_apart, opts)
end

--- What somebody may be asking about who stands in a text: the name there, then the call around it.
---@param text string
---@param at integer the cursor stands behind this byte; 0: before the first
---@return string[] paths such as "nn.Dense"
function complete.topics(text, at)
  text = text:sub(1, at) .. text:match("^[%w_]*", at + 1)
  local asked = text:match "^%s*%?%??%s*([%w_.:]+)$"
  if asked then return { asked } end
  local tokens, is_apart = tokens_of(text)
  local last = #tokens
  local is_at_name = last > 0 and not is_apart and is_name(tokens[last])
  local topics = { is_at_name and path_before(tokens, last) or nil }
  topics[#topics + 1] = last > 0 and enclosing_call(tokens, last) or nil
  return topics
end

-- ---- for a line editor

local function common_start(list)
  local start = list[1] or ""
  for _, text in ipairs(list) do
    while text:sub(1, #start) ~= start do start = start:sub(1, -2) end
  end
  while #start > 0 and not utf8.len(start) do start = start:sub(1, -2) end
  return start
end

local MOST_SHOWN = 200

--- Names in columns, down and then across.
---@param list string[]
---@param columns integer of the terminal
---@return string
function complete.columns(list, columns)
  local widest, shown = 0, table.move(list, 1, math.min(#list, MOST_SHOWN), 1, {})
  for _, text in ipairs(shown) do widest = math.max(widest, utf8.len(text) or #text) end
  local across = math.max(1, (columns + 1) // (widest + 2))
  local rows = math.ceil(#shown / across)
  local lines = {}
  for row = 1, rows do
    local cells = {}
    for i = row, #shown, rows do
      local gap = i + rows <= #shown and widest + 2 - (utf8.len(shown[i]) or #shown[i]) or 0
      cells[#cells + 1] = shown[i] .. (" "):rep(gap)
    end
    lines[row] = table.concat(cells)
  end
  if #list > MOST_SHOWN then lines[#lines + 1] = ("... %d more"):format(#list - MOST_SHOWN) end
  return table.concat(lines, "\n")
end

--- What Tab does: how many characters to replace, by what, and what to show below.
---@param found giemsa.completion
---@param columns integer
---@return integer replaced
---@return string? text nil: nothing to be done
---@return string? below
function complete.edit(found, columns)
  local length = utf8.len(found.word) or 0
  if #found.list == 0 then
    if found.about and found.word == "" then return 0, "", found.about end
    return 0, nil, nil
  end
  if #found.list == 1 then return length, found.list[1] .. (found.after or ""), nil end
  local start = common_start(found.list)
  if #start > #found.word then return length, start, nil end
  local below = complete.columns(found.list, columns)
  return 0, "", found.about and found.about .. "\n" .. below or below
end

return complete
