--- Text as HTML, whatever it was: the five characters that mean something there are written as
-- entities, bytes that are no UTF-8 and control characters do not get into a page.
local unicode = require "giemsa.unicode"

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
  ["'"] = "&#39;" }

--- For the text of an element and for an attribute in double quotes.
---@param text string
---@return string
local function escape(text) return (unicode.clean(text):gsub("[&<>\"']", ENTITIES)) end

return escape
