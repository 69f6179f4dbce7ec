--- Lua source in colour: one lexer, and two writers that every byte of the source passes through.
--
--   highlight.tokens "x = 1"   { {kind = "name", text = "x"}, {kind = "space", text = " "}, ... }
--   highlight.ansi(source)     for a terminal
--   highlight.html(source)     <span class="keyword">...; the page's style sheet has the colours
--
-- Kinds: keyword, constant (nil, true, false), number, string, comment, call (a name that is called
-- or defined as a function), name, operator, space, other (what is no Lua). What is half typed is
-- read as far as it goes.
local highlight = {}

---@class giemsa.token
---@field kind string
---@field text string
---@field unfinished boolean? a string or comment whose end has not come

local KINDS = { ["nil"] = "constant", ["true"] = "constant", ["false"] = "constant" }
for word in ("and break do else elseif end for function goto if in local not or repeat return then "
  .. "until while"):gmatch "%a+" do
  KINDS[word] = "keyword"
end

local OPERATORS = { -- the long ones; any other sign is one by itself
  "^%.%.%.", "^%.%.", "^[=~<>]=", "^//", "^::", "^<<", "^>>",
}

-- Each reader gives the last byte of its token that starts at `at`, and whether it is unfinished.

local function read_long_bracket(source, at, level)
  local _, last = source:find("]" .. level .. "]", at, true)
  return last or #source, last == nil
end

local function read_comment(source, at)
  local _, opened, level = source:find("^%[(=*)%[", at + 2)
  if opened then return read_long_bracket(source, opened + 1, level) end
  return source:find("[\r\n]", at) and source:find("[\r\n]", at) - 1 or #source, false
end

-- Ends before a line break that is not escaped.
local function read_quoted(source, at)
  local quote, i = source:sub(at, at), at + 1
  while true do
    local stop = source:find("[\\\r\n" .. quote .. "]", i)
    local sign = stop and source:sub(stop, stop)
    if sign == quote then return stop, false end
    if sign ~= "\\" then return stop and stop - 1 or #source, true end
    local _, last = source:find("^z%s*", stop + 1)
    if not last then _, last = source:find("^\r?.", stop + 1) end
    i = (last or stop) + 1
  end
end

local function read_number(source, at)
  local _, last = source:find("^0[xX][%x.]*[pP][+-]?%w*", at)
  if not last then _, last = source:find("^0[xX][%w.]*", at) end
  if not last then _, last = source:find("^[%d.]+[eE][+-]?%w*", at) end
  if not last then _, last = source:find("^[%d.]+%w*", at) end
  return last
end

local function read_operator(source, at)
  for _, pattern in ipairs(OPERATORS) do
    local _, last = source:find(pattern, at)
    if last then return last end
  end
  return at
end

-- The kind, the last byte, and whether the token is unfinished.
local function token_at(source, at)
  local sign = source:sub(at, at)
  if sign:find "%s" then return "space", select(2, source:find("^%s+", at)) end
  if sign:find "[%a_]" then
    local last = select(2, source:find("^[%w_]+", at))
    return KINDS[source:sub(at, last)] or "name", last
  end
  if source:find("^%.?%d", at) then return "number", read_number(source, at) end
  if source:find("^%-%-", at) then return "comment", read_comment(source, at) end
  if sign == '"' or sign == "'" then return "string", read_quoted(source, at) end
  local _, opened, level = source:find("^%[(=*)%[", at)
  if opened then return "string", read_long_bracket(source, opened + 1, level) end
  if sign:find "[^%p]" or sign:find "[`$!?@\\]" then
    return "other", select(2, source:find("^[^%w%s%p_]+", at)) or at
  end
  return "operator", read_operator(source, at)
end

-- A name is a call when its arguments follow: f(x), f{x}, f"x", f[[x]].
local function mark_calls(tokens)
  local following
  for i = #tokens, 1, -1 do
    local token = tokens[i]
    local takes = following and (following.kind == "string" or following.text == "("
      or following.text == "{")
    if token.kind == "name" and takes then token.kind = "call" end
    if token.kind ~= "space" and token.kind ~= "comment" then following = token end
  end
end

--- The tokens of a source, finished or not. Joined again they are the source.
---@param source string
---@return giemsa.token[]
function highlight.tokens(source)
  local tokens, at = {}, 1
  if source:find "^#" then -- the first line of a script that names its interpreter
    at = (source:find("[\r\n]") or #source + 1)
    tokens[1] = { kind = "comment", text = source:sub(1, at - 1) }
  end
  while at <= #source do
    local kind, last, unfinished = token_at(source, at)
    tokens[#tokens + 1] = { kind = kind, text = source:sub(at, last),
      unfinished = unfinished or nil }
    at = last + 1
  end
  mark_calls(tokens)
  return tokens
end

-- ---- the writers

-- Of the sixteen colours that everybody sets to their liking, on dark and on light.
local COLOURS = { keyword = "35", constant = "36", number = "36", string = "32", comment = "90",
  call = "94" }

--- Colours for a terminal. No colour crosses a line break, so lines can be cut apart.
---@param source string
---@return string
function highlight.ansi(source)
  local out = {}
  for i, token in ipairs(highlight.tokens(source)) do
    local colour = COLOURS[token.kind]
    out[i] = colour and token.text:gsub("[^\r\n]+", "\27[" .. colour .. "m%0\27[0m") or token.text
  end
  return table.concat(out)
end

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }
local PLAIN = { space = true, name = true, other = true } -- need no colour

--- Spans whose classes are the kinds, for the inside of a <pre>.
---@param source string
---@return string
function highlight.html(source)
  local out = {}
  for i, token in ipairs(highlight.tokens(source)) do
    local text = token.text:gsub("[&<>]", ENTITIES)
    out[i] = PLAIN[token.kind] and text or ('<span class="%s">%s</span>'):format(token.kind, text)
  end
  return table.concat(out)
end

return highlight
