--- Values as a reader wants to see them: tensors with their statistics, models by their summary,
-- tables nested, sorted and cut, functions with their parameters and place.
--
--   inspect.text({ loss = { 0.69, 0.52 } })   --> { loss = { 0.69, 0.52 } }
local core = require "giemsa.core"
local docs = require "giemsa.docs"
local format = require "giemsa.format"
local highlight = require "giemsa.highlight"
local lookup = require "giemsa.lookup"

local inspect = {}

local DEEPEST, MOST_ITEMS, MOST_NUMBERS, MOST_LINES, MOST_TENSOR_LINES = 5, 30, 60, 60, 20
local LONGEST_STRING, LONGEST_INNER_STRING = 2000, 60

local function width_of(text) return utf8.len(text) or #text end

-- ---- strings and numbers

-- The first n bytes at most, not ending inside a character.
local function cut(text, n)
  if #text <= n then return text, false end
  while n > 0 and (text:byte(n + 1) & 0xc0) == 0x80 do n = n - 1 end
  return text:sub(1, n), true
end

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

local function quoted(text, longest)
  local shown, is_cut = cut(text, longest)
  shown = shown:gsub('[%c\\"]', function(c) return ESCAPES[c] or ("\\%d"):format(c:byte()) end)
  if not utf8.len(shown) then
    shown = shown:gsub("[\128-\255]", function(c) return ("\\%d"):format(c:byte()) end)
  end
  return ('"%s"'):format(shown) .. (is_cut and ("... (%d bytes)"):format(#text) or "")
end

-- By itself: text of several lines is shown as text.
local function string_text(text)
  if not text:find "\n" or text:find "[^%g%s\128-\255\27]" then
    return quoted(text, LONGEST_STRING)
  end
  local shown, is_cut = cut(text, LONGEST_STRING)
  return shown .. (is_cut and ("\n... (%d bytes)"):format(#text) or "")
end

-- Inside a table seven digits do, which is what a float32 holds.
local function number_text(x)
  return math.type(x) == "integer" and ("%d"):format(x) or ("%.7g"):format(x)
end

-- ---- functions

local function place_of(info)
  local path = info.source:match "^@(.*)"
  if not path then return info.short_src:find "^%[" and "" or info.short_src end
  return (lookup.is_ours(info.source) and "giemsa/" .. path:sub(#lookup.home + 1) or path)
    .. ":" .. info.linedefined
end

local function function_text(f)
  local parameters = docs.parameters(f)
  if not parameters then return "function (built in)" end
  local entry = docs.of_function(f)
  return ("function %s(%s)  %s"):format(entry and entry.name or "", table.concat(parameters, ", "),
    place_of(debug.getinfo(f, "S")))
end

-- ---- tensors

local function count_nan(t)
  return math.tointeger(core.sum(core.ne(t, t)):item() // 1) or 0
end

-- "min 0  mean 0.4312  max 1", and how many are NaN.
local function statistics(t)
  local nan = count_nan(t)
  local parts = { nan > 0 and ("%d NaN"):format(nan) or nil }
  local plain = nan > 0 and core.where(core.ne(t, t), 0, t) or t
  local low, high = plain, plain
  if nan > 0 then
    low, high = core.where(core.ne(t, t), math.huge, t), core.where(core.ne(t, t), -math.huge, t)
  end
  local mean = core.sum(plain):item() / math.max(t.size - nan, 1)
  if nan < t.size then
    table.insert(parts, 1, ("min %.4g  mean %.4g  max %.4g"):format(core.min(low):item(), mean,
      core.max(high):item()))
  end
  return table.concat(parts, "  ")
end

-- One line about a tensor that stands inside something else.
local function tensor_line(t)
  if t:is_released() then return "tensor (released)" end
  return "tensor " .. format.shape(t.shape)
end

-- The first and the last lines of a text that is longer.
local function both_ends(text, most)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  if #lines <= most then return text end
  local head = table.concat(lines, "\n", 1, most // 2)
  return head .. "\n ...\n" .. table.concat(lines, "\n", #lines - most // 2 + 2)
end

local function tensor_text(t, dim)
  if t:is_released() or t.size <= 16 then return tostring(t) end
  local about = ("%s  %s"):format(tensor_line(t), dim(statistics(t)))
  local values = format.values(t)
  if select(2, values:gsub("\n", "")) >= MOST_TENSOR_LINES then values = format.values(t, 0) end
  return about .. "\n" .. both_ends(values, MOST_TENSOR_LINES)
end

-- ---- tables

local RESERVED = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat "
  .. "return then true until while"):gmatch "%a+" do RESERVED[word] = true end

local function key_text(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" and not RESERVED[key] then return key end
  local text = type(key) == "string" and quoted(key, LONGEST_INNER_STRING) or tostring(key)
  return "[" .. text .. "]"
end

-- Numbers first, then strings, then the rest by what they are.
local function sorted_keys(t, length)
  local keys = {}
  for key in next, t do
    local in_array = math.type(key) == "integer" and key >= 1 and key <= length
    if not in_array then keys[#keys + 1] = key end
  end
  local rank = { number = 1, string = 2 }
  table.sort(keys, function(a, b)
    local a_rank, b_rank = rank[type(a)] or 3, rank[type(b)] or 3
    if a_rank ~= b_rank then return a_rank < b_rank end
    if a_rank == 3 then return tostring(a) < tostring(b) end
    return a < b
  end)
  return keys
end

local function all_numbers(t, length)
  for i = 1, length do if type(rawget(t, i)) ~= "number" then return false end end
  return length > 0
end

local write

-- The items of a table as texts. Long lists show both ends.
local function items_of(t, state, depth)
  local length, items = rawlen(t), {}
  local most = all_numbers(t, length) and MOST_NUMBERS or MOST_ITEMS
  local head = length > most and most * 3 // 4 or length
  for i = 1, head do items[#items + 1] = write(rawget(t, i), state, depth + 1) end
  if head < length then
    items[#items + 1] = ("...%d more..."):format(length - most)
    for i = length - (most - head) + 1, length do
      items[#items + 1] = write(rawget(t, i), state, depth + 1)
    end
  end
  local keys = sorted_keys(t, length)
  for i = 1, math.min(#keys, MOST_ITEMS) do
    items[#items + 1] = key_text(keys[i]) .. " = " .. write(rawget(t, keys[i]), state, depth + 1)
  end
  if #keys > MOST_ITEMS then items[#items + 1] = ("...%d more..."):format(#keys - MOST_ITEMS) end
  return items, length > 0 and #keys == 0
end

-- On one line where there is room; else short items side by side, others on a line each.
local function laid_out(items, is_list, state, depth)
  local indent = ("  "):rep(depth)
  local room = state.columns - #indent - 12 -- a key may stand before it
  local line, multiline, longest = "{ " .. table.concat(items, ", ") .. " }", false, 0
  for _, item in ipairs(items) do
    multiline, longest = multiline or item:find "\n" ~= nil, math.max(longest, width_of(item))
  end
  if not multiline and width_of(line) <= room then return line end
  local lines, current = {}, ""
  for i, item in ipairs(items) do
    local text = item .. (i < #items and "," or "")
    local fits = is_list and not multiline and longest < 24 and current ~= ""
      and width_of(current) + 1 + width_of(text) <= state.columns - #indent - 2
    if fits then current = current .. " " .. text
    else
      if current ~= "" then lines[#lines + 1] = current end
      current = text
    end
  end
  lines[#lines + 1] = current
  return "{\n" .. indent .. "  " .. table.concat(lines, "\n" .. indent .. "  ") .. "\n"
    .. indent .. "}"
end

local function class_name(t)
  local metatable = debug.getmetatable(t)
  local name = type(metatable) == "table" and rawget(metatable, "__name")
  return type(name) == "string" and name .. " " or ""
end

local function own_text(value)
  local metatable = debug.getmetatable(value)
  if type(metatable) ~= "table" or not rawget(metatable, "__tostring") then return nil end
  local ok, text = pcall(tostring, value)
  return ok and text or nil
end

local function write_table(t, state, depth)
  local text = own_text(t)
  if text and not text:find "\n" then return text end
  if text then return class_name(t) .. "{...}" end
  if state.open[t] then return "{...}" end -- a ring
  if next(t) == nil then return class_name(t) .. "{}" end
  if depth >= DEEPEST then return "{...}" end
  state.open[t] = true
  local items, is_list = items_of(t, state, depth)
  state.open[t] = nil
  return class_name(t) .. laid_out(items, is_list, state, depth)
end

function write(value, state, depth)
  local kind = type(value)
  if kind == "string" then return quoted(value, LONGEST_INNER_STRING) end
  if kind == "number" then return number_text(value) end
  if kind == "table" then return write_table(value, state, depth) end
  if kind == "function" then return (function_text(value):gsub("%s%s.*$", "")) end
  if core.is_tensor(value) then return tensor_line(value) end
  return tostring(value)
end

local function cut_lines(text, most)
  local at, count = 0, 0
  while count < most do
    at = text:find("\n", at + 1, true)
    if not at then return text end
    count = count + 1
  end
  local _, breaks = text:gsub("\n", "")
  return text:sub(1, at - 1) .. ("\n... %d more lines"):format(breaks + 1 - count)
end

-- ---- the call

-- A module is told by its names.
local function module_text(value, columns)
  for name, loaded in next, package.loaded do
    if rawequal(loaded, value) and type(name) == "string" and value ~= _G then
      local lines, line = {}, ("module %s:"):format(name)
      for _, member in ipairs(lookup.names(value)) do
        if width_of(line) + #member + 1 > columns then lines[#lines + 1], line = line, " " end
        line = line .. " " .. member
      end
      lines[#lines + 1] = line
      return table.concat(lines, "\n")
    end
  end
end

local function is_figure(value)
  return type(value) == "table" and rawget(value, "script") == nil and lookup.get(value, "script")
    and lookup.get(value, "png")
end

--- A value as text, without a line break at its end.
---@param value any
---@param opts? {columns?: integer, colour?: boolean} 80 and false when absent
---@return string
function inspect.text(value, opts)
  opts = opts or {}
  local function dim(text) return opts.colour and "\27[90m" .. text .. "\27[0m" or text end
  local kind = type(value)
  if core.is_tensor(value) then return tensor_text(value, dim) end
  if kind == "userdata" or kind == "thread" or kind == "boolean" or kind == "nil" then
    return tostring(value)
  end
  if is_figure(value) then
    return value.says or ("figure %dx%d"):format(value.width, value.height)
  end
  local text = kind == "table" and (own_text(value) or module_text(value, opts.columns or 80))
  if text then return text end
  if kind == "string" then text = string_text(value)
  elseif kind == "number" then text = tostring(value)
  elseif kind == "function" then text = function_text(value)
  else
    text = cut_lines(write_table(value, { columns = opts.columns or 80, open = {} }, 0), MOST_LINES)
  end
  local is_plain = kind == "string" and text:sub(1, 1) ~= '"'
  return opts.colour and not is_plain and highlight.ansi(text) or text
end

return inspect
