--- UTF-8 text that others wrote: made valid, and measured in columns of a terminal.
local unicode = {}

--- The text with each byte that is no UTF-8 as one U+FFFD.
---@param text string
---@return string
function unicode.repair(text)
  local out, at = {}, 1
  while at <= #text do
    local _, bad = utf8.len(text, at)
    out[#out + 1] = text:sub(at, (bad or #text + 1) - 1)
    if bad then out[#out + 1] = "\u{FFFD}" end
    at = (bad or #text) + 1
  end
  return table.concat(out)
end

--- The text as valid UTF-8 without control characters but tabs and line breaks, which become "\n".
---@param text string
---@return string
function unicode.clean(text)
  if not utf8.len(text) then text = unicode.repair(text) end
  text = text:gsub("\r\n?", "\n"):gsub("[%z\1-\8\11\12\14-\31\127]", ""):gsub("\xc2[\x80-\x9f]", "")
  return (text:gsub("\xef\xbf[\xbe\xbf]", "\u{FFFD}"))
end

-- Ranges of characters that take two columns, and of those that take none.
local WIDE = { 0x1100, 0x115f, 0x2e80, 0x303e, 0x3041, 0xa4cf, 0xac00, 0xd7a3, 0xf900, 0xfaff,
  0xfe30, 0xfe6f, 0xff00, 0xff60, 0xffe0, 0xffe6, 0x1f300, 0x1f64f, 0x1f680, 0x1f6ff,
  0x1f900, 0x1f9ff, 0x20000, 0x3fffd }
local NONE = { 0x300, 0x36f, 0x200b, 0x200f, 0xfe00, 0xfe0f, 0xfeff, 0xfeff }

local function is_in(ranges, code)
  for i = 1, #ranges, 2 do
    if code < ranges[i] then return false end
    if code <= ranges[i + 1] then return true end
  end
  return false
end

--- Columns a character takes: 0, 1 or 2.
---@param code integer
---@return integer
function unicode.columns(code)
  if code < 0x300 then return 1 end
  return is_in(NONE, code) and 0 or is_in(WIDE, code) and 2 or 1
end

--- Columns a text takes in a terminal. The text must be valid UTF-8, without escape sequences.
---@param text string
---@return integer
function unicode.width(text)
  if not text:find "[\x80-\xff]" then return #text end
  local sum = 0
  for _, code in utf8.codes(text) do sum = sum + unicode.columns(code) end
  return sum
end

return unicode
