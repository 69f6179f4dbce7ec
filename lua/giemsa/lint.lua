--- What may go wrong with a notebook, found without running it: traps of the format, in which other
-- notebook programs read something else than Lua does, and traps of Lua scripts cut into cells.
local exercises = require "giemsa.lint.exercises"
local markers = require "giemsa.lint.markers"
local notebook = require "giemsa.notebook"
local shadows = require "giemsa.lint.shadows"
local sources = require "giemsa.lint.sources"
local syntax = require "giemsa.syntax"

local lint = {}

---@class giemsa.Finding
---@field line integer
---@field is_error boolean false: it works, and may surprise
---@field message string

local LOCALS_NEAR, LOCALS_MAX = 150, 200

-- ---- rules: each calls tell(line, message, is_error)

local function compiles(book, text, tell)
  local chunk, message = load(syntax.script(text), "=", "t")
  if chunk then return end
  local line, rest = message:match "^:?(%d+): (.*)$"
  tell(tonumber(line) or 1, rest or message, true)
end

local function hidden_markers(book, text, tell)
  for _, line in ipairs(syntax.hidden_lines(text, notebook.is_marker)) do
    tell(line, "this marker lies within a string or comment, where notebook programs begin a cell",
      true)
  end
end

local function blocks(book, _, tell)
  for _, cell in ipairs(book.cells) do
    local open = cell.kind == "code" and syntax.scan(cell.body).open
    if open then tell(cell.first + open - 1, "what begins here goes on in the next cell", true) end
  end
end

local function many_locals(book, _, tell)
  local count = 0
  for _, cell in ipairs(book.cells) do
    local locals = cell.kind == "code" and syntax.scan(cell.body).locals or {}
    for _, one in ipairs(locals) do
      count = count + 1
      if count == LOCALS_NEAR then
        tell(cell.first + one.line - 1, ("'%s' is local number %d of the script; Lua takes %d. "
          .. "Put some into tables or do ... end"):format(one.name, count, LOCALS_MAX))
      end
    end
  end
end

local function returns(book, _, tell)
  local last
  for _, cell in ipairs(book.cells) do
    if cell.kind == "code" then last = cell end
  end
  for _, cell in ipairs(book.cells) do
    local at = cell.kind == "code" and cell ~= last and syntax.scan(cell.body).returns
    if at then
      local _, before = cell.body:sub(1, at):gsub("\n", "")
      tell(cell.first + before, "the script returns here, before its last cell", true)
    end
  end
end

-- Lines of the cells of a kind: f(line number, text).
local function each_line(book, kinds, f)
  for _, cell in ipairs(book.cells) do
    local n = cell.first
    for line in cell.body:gmatch "([^\n]*)\n?" do
      if kinds[cell.kind] then f(n, line:gsub("\r$", "")) end
      n = n + 1
    end
  end
end

local function text_lines(book, _, tell)
  each_line(book, { markdown = true, raw = true }, function(n, line)
    if line:find "^%-%-%[=*%[" then
      tell(n, "a text cell is lines of '-- text'; other programs do not read block comments", true)
    elseif not line:find "^%-%-" and line:find "%S" then
      tell(n, "a line of a text cell begins with '-- '; this one would run as code", true)
    end
  end)
end

local function magics(book, _, tell)
  each_line(book, { code = true }, function(n, line)
    local rest = line:match "^%s*(.*)$"
    if rest:sub(1, 2) ~= "--" then return end
    while rest:sub(1, 2) == "--" do rest = rest:gsub("^%-%- ?", "") end
    if rest:find "^%%%%?%%?%a" then
      tell(n, "Jupyter takes a comment that begins with % and a letter for a command of its own")
    end
  end)
end

local RULES = { compiles, hidden_markers, blocks, many_locals, returns, text_lines, magics, sources.random,
  markers.names, markers.options, markers.titles, markers.tags, markers.header, exercises.marks, exercises.unmarked,
  exercises.graded_names, exercises.points, exercises.check_names, sources.paths, sources.shuffled, shadows }

--- Checks a notebook. Findings come in the order of lines.
---@param book giemsa.Notebook
---@return giemsa.Finding[]
function lint.check(book)
  local found, text = {}, book:text()
  local function tell(line, message, is_error)
    found[#found + 1] = { line = line, message = message, is_error = is_error or false,
      order = #found }
  end
  for _, rule in ipairs(RULES) do rule(book, text, tell) end
  table.sort(found, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.order < b.order
  end)
  return found
end

return lint
