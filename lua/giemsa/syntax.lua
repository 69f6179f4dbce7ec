--- What a piece of Lua does at its top level, read from its tokens: which locals it declares,
-- whether it returns, whether all its blocks are closed. Enough to run a script cell by cell.
local highlight = require "giemsa.highlight"

local syntax = {}

---@class giemsa.Local
---@field name string
---@field attribute string? "const" or "close"
---@field line integer in the piece, from 1
---@field at integer? the byte at which the attribute's name begins

---@class giemsa.Scan
---@field locals giemsa.Local[] declared at the top level, in order; a name may come twice
---@field returns integer? the byte at which a `return` at the top level begins
---@field open integer? the line of a block, bracket, string or comment that does not end
---@field starts integer[] the bytes of tokens that begin a line or follow ";", outside blocks

local OPENS = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true,
  ["("] = true, ["{"] = true, ["["] = true }
local CLOSES = { ["end"] = true, ["until"] = true, [")"] = true, ["}"] = true, ["]"] = true }

-- The tokens that mean something, each with its line and its first byte.
local function meaningful(source)
  local out, line, at = {}, 1, 1
  for _, token in ipairs(highlight.tokens(source)) do
    if token.kind ~= "space" and token.kind ~= "comment" or token.unfinished then
      token.line, token.at = line, at
      token.is_sign = token.kind == "operator" or token.kind == "keyword"
      out[#out + 1] = token
    end
    line = line + select(2, token.text:gsub("\n", ""))
    at = at + #token.text
  end
  return out
end

-- a <const>, b = ...: declares the names from tokens[i] on.
local function read_names(tokens, i, found)
  repeat
    local one = { name = tokens[i].text, line = tokens[i].line }
    found[#found + 1] = one
    i = i + 1
    if tokens[i] and tokens[i].text == "<" and tokens[i + 1] then
      one.attribute, one.at = tokens[i + 1].text, tokens[i + 1].at
      i = i + 3
    end
    i = i + 1
  until not tokens[i] or tokens[i - 1].text ~= ","
end

--- A script as Lua sees the text of its file: a byte order mark is no Lua, nor is a first line "#!...".
---@param text string
---@return string
function syntax.script(text) return (text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", "")) end

--- Scans a piece of Lua; what does not compile is scanned as far as it makes sense.
---@param source string
---@return giemsa.Scan
function syntax.scan(source)
  local tokens, scan, blocks = meaningful(source), { locals = {}, starts = {} }, {}
  for i, token in ipairs(tokens) do
    local before, after = tokens[i - 1], tokens[i + 1]
    if token.unfinished then scan.open = scan.open or token.line end
    if #blocks == 0 and (not before or before.line < token.line or before.text == ";") then
      table.insert(scan.starts, token.at)
    end
    if #blocks == 0 and token.text == "local" and token.is_sign and after then
      if after.text == "function" and tokens[i + 2] then
        table.insert(scan.locals, { name = tokens[i + 2].text, line = token.line })
      elseif after.kind == "name" or after.kind == "call" then
        read_names(tokens, i + 1, scan.locals)
      end
    end
    if #blocks == 0 and token.text == "return" and token.is_sign then
      scan.returns = scan.returns or token.at
    end
    if token.is_sign and OPENS[token.text] then blocks[#blocks + 1] = token.line end
    if token.is_sign and CLOSES[token.text] then blocks[#blocks] = nil end
  end
  scan.open = scan.open or blocks[1]
  return scan
end

--- The lines of strings and comments, after their first, for which is_marker is true.
---@param source string
---@param is_marker fun(line: string): boolean
---@return integer[] lines
function syntax.hidden_lines(source, is_marker)
  local found, line = {}, 1
  for _, token in ipairs(highlight.tokens(source)) do
    local n = 0
    if token.kind == "string" or token.kind == "comment" then
      for text in (token.text .. "\n"):gmatch "(.-)\n" do
        if n > 0 and is_marker(text) then found[#found + 1] = line + n end
        n = n + 1
      end
    end
    line = line + select(2, token.text:gsub("\n", ""))
  end
  return found
end

-- The source with "return" before its last statement, when that is an expression and the rest
-- before it is a chunk of its own.
local function returning(source)
  for _, at in ipairs(syntax.scan(source).starts) do
    local head, tail = source:sub(1, at - 1), source:sub(at)
    if load("return " .. tail, "=", "t") and load(head, "=", "t") then
      return head .. "return " .. tail
    end
  end
end

-- What load says of a text that more lines could complete. A quoted string ends on its line, if that does not end in "\\".
local function is_cut(source, why)
  if not why or not why:find "near <eof>$" then return false end
  return not why:find "unfinished string" or source:find "\\\n?$" ~= nil or source:find "\\z%s*$" ~= nil
end

--- Could more lines complete a piece that does not compile? Also where its last expression ends early, as `x +` does.
---@param source string
---@return boolean
function syntax.is_unfinished(source)
  if is_cut(source, select(2, load(source, "=", "t"))) then return true end
  for _, at in ipairs(syntax.scan(source).starts) do
    local is_early = is_cut(source, select(2, load("return " .. source:sub(at), "=", "t")))
    if is_early and load(source:sub(1, at - 1), "=", "t") then return true end
  end
  return false
end

--- What to compile so that a piece gives the value of its last expression: at a prompt `x + 1`, and
--- `f(x)` at the end of several lines.
---@param source string
---@return string
function syntax.with_value(source)
  if load("return " .. source, "=", "t") then return "return " .. source end
  return returning(source) or source
end

return syntax
