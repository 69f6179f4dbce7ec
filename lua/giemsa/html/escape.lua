--- Text as HTML: the five characters that mean something there.
local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
  ["'"] = "&#39;" }

--- For the text of an element and for an attribute in double quotes.
---@param text string valid UTF-8 (see giemsa.unicode.clean)
---@return string
local function escape(text) return (text:gsub("[&<>\"']", ENTITIES)) end

return escape
