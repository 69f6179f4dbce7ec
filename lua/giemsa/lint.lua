--- What may go wrong with a notebook, found without running it: traps of the format, in which other
-- notebook programs read something else than Lua does, and traps of Lua scripts cut into cells.
local core_options = require "giemsa.options"
local exercises = require "giemsa.lint.exercises"
local json = require "giemsa.json"
local notebook = require "giemsa.notebook"
local sources = require "giemsa.lint.sources"
local syntax = require "giemsa.syntax"

local lint = {}

---@class giemsa.Finding
---@field line integer
---@field is_error boolean false: it works, and may surprise
---@field message string

local LOCALS_NEAR, LOCALS_MAX = 150, 200

local KNOWN = { name = "string", tags = "table", cache = "boolean", timeout = "number",
  points = "number", lang = "string" }
--- The tags that mean something.
lint.TAGS = { solution = true, check = true, hidden = true, ["skip-execution"] = true,
  ["raises-exception"] = true, ["hide-input"] = true, ["hide-output"] = true }

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

local function randomness(book, _, tell)
  for _, cell in ipairs(book.cells) do
    local line = cell.first
    local source = cell.kind == "code" and cell.body or ""
    for text in (source .. "\n"):gmatch "(.-)\n" do
      if text:gsub("%-%-.*$", ""):find "%f[%w_]math%.random" then
        tell(line, "math.random is seeded differently at each start: take giemsa.random")
      end
      line = line + 1
    end
  end
end

local function names(book, _, tell)
  local lines = {}
  for _, cell in ipairs(book.cells) do
    local name = cell.name
    if name and (not name:find "^[%w_-]+$" or #name > 64) then
      tell(cell.line, ("name '%s': letters, digits, '-' and '_', at most 64"):format(name), true)
    elseif name and lines[name] then
      tell(cell.line, ("another cell is named '%s', on line %d"):format(name, lines[name]), true)
    end
    if name then lines[name] = lines[name] or cell.line end
  end
end

local function check_option(cell, key, value, tell)
  local expected = KNOWN[key]
  if expected and type(value) ~= expected then
    local got = value == json.null and "nothing" or json.encode(value)
    tell(cell.line, ("option '%s' is a %s, got %s"):format(key, expected, got), true)
  elseif not expected and core_options.nearest(key, KNOWN) then
    tell(cell.line, ("unknown option '%s'%s"):format(key, core_options.hint(key, KNOWN)))
  end
end

local function marker_options(book, _, tell)
  for _, cell in ipairs(book.cells) do
    if cell.problem then tell(cell.line, cell.problem, true) end
    for key, value in pairs(cell.options) do check_option(cell, key, value, tell) end
    for _, tag in ipairs(cell.tags) do
      if not lint.TAGS[tag] and core_options.nearest(tostring(tag), lint.TAGS) then
        local is_leak = core_options.nearest(tostring(tag), lint.TAGS) == "hidden" -- students would get the cell
        tell(cell.line, ("unknown tag '%s'%s"):format(tag, core_options.hint(tag, lint.TAGS)), is_leak)
      end
    end
  end
end

local function header(book, text, tell)
  if text:find "^%-%- %-%-%-%s*\n" and not book:yaml() then
    tell(1, "the header has no end, '-- ---'", true)
  end
end

local RULES = { compiles, hidden_markers, blocks, many_locals, returns, text_lines, magics,
  randomness, names, marker_options, header, exercises.marks, exercises.unmarked, exercises.graded_names,
  exercises.points, exercises.check_names, sources.paths, sources.shuffled }

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
