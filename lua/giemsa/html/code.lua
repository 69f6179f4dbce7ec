--- Lua in colour, in few bytes: half of a page is code, so its classes have one letter, and
-- operators and names have none.
local escape = require "giemsa.html.escape"
local highlight = require "giemsa.highlight"

local CLASSES = { keyword = "k", constant = "n", number = "n", string = "s", comment = "c",
  call = "f" }

-- Quotes need no escape in the text of an element.
local function text_of(text) return (escape(text):gsub("&quot;", '"'):gsub("&#39;", "'")) end

--- For the inside of a <pre>.
---@param source string
---@return string
local function code(source)
  local out = {}
  for i, token in ipairs(highlight.tokens(source)) do
    local class, text = CLASSES[token.kind], text_of(token.text)
    out[i] = class and ("<i class=%s>%s</i>"):format(class, text) or text
  end
  return table.concat(out)
end

return code
