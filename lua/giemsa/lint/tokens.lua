--- What rules of the linter read of a notebook's code: its tokens, cell by cell.
local highlight = require "giemsa.highlight"

--- Calls f(tokens, cell) for each code cell: the tokens with a meaning, each with its line in the file.
---@param book giemsa.Notebook
---@param f fun(tokens: giemsa.token[], cell: giemsa.Cell)
local function each_cell(book, f)
  for _, cell in ipairs(book.cells) do
    local tokens, line = {}, cell.first
    for _, token in ipairs(cell.kind == "code" and highlight.tokens(cell.body) or {}) do
      token.line = line
      line = line + select(2, token.text:gsub("\n", ""))
      if token.kind ~= "space" and token.kind ~= "comment" then tokens[#tokens + 1] = token end
    end
    if cell.kind == "code" then f(tokens, cell) end
  end
end

return each_cell
