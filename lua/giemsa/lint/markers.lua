--- Rules of the linter for what stands in markers and in the header: names, options, tags.
local json = require "giemsa.json"
local options = require "giemsa.options"

local rules = {}

local KNOWN = { name = "string", tags = "table", cache = "boolean", timeout = "number",
  points = "number", lang = "string" }

-- The tags that mean something.
local TAGS = { solution = true, check = true, hidden = true, ["skip-execution"] = true,
  ["raises-exception"] = true, ["hide-input"] = true, ["hide-output"] = true }

--- A name finds a cell again: one that can stand in an address, and each once.
function rules.names(book, _, tell)
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
  elseif not expected and options.nearest(key, KNOWN) then
    tell(cell.line, ("unknown option '%s'%s"):format(key, options.hint(key, KNOWN)))
  end
end

--- Options have their types, and no near misses.
function rules.options(book, _, tell)
  for _, cell in ipairs(book.cells) do
    if cell.problem then tell(cell.line, cell.problem, true) end
    for key, value in pairs(cell.options) do check_option(cell, key, value, tell) end
  end
end

--- A title has no "=": options begin at the word before one.
function rules.titles(book, _, tell)
  for _, cell in ipairs(book.cells) do
    local first = cell.order[1]
    if cell.title:find "=" then
      tell(cell.line, ("the title '%s' holds '=', at which other notebook programs begin the options"):format(cell.title))
    elseif cell.title ~= "" and first and not KNOWN[first] and not options.nearest(first, KNOWN) and #first < 3 then
      tell(cell.line, ("'%s=' is read as an option, not as a part of the title: a title has no '='"):format(first))
    end
  end
end

--- Tags are words of their own, each once, and no near misses.
function rules.tags(book, _, tell)
  for _, cell in ipairs(book.cells) do
    local seen = {}
    for _, tag in ipairs(cell.tags) do
      tag = tostring(tag)
      local near = not TAGS[tag] and options.nearest(tag, TAGS)
      if tag:find "[,;]" then
        tell(cell.line, ("tag '%s' is one tag: write tags=[\"a\", \"b\"] for two"):format(tag), true)
      elseif near then
        local is_leak = near == "hidden" -- students would get the cell
        tell(cell.line, ("unknown tag '%s'%s"):format(tag, options.hint(tag, TAGS)), is_leak)
      elseif seen[tag] then
        tell(cell.line, ("tag '%s' stands here twice"):format(tag))
      end
      seen[tag] = true
    end
  end
end

--- The header ends, and its seed is one.
function rules.header(book, text, tell)
  if text:find "^%-%- %-%-%-%s*\n" and not book:yaml() then
    tell(1, "the header has no end, '-- ---'", true)
  end
  local seed = book.meta.seed
  if seed == nil or type(seed) == "number" and math.tointeger(seed) then return end
  local line = select(2, (text:match "^(.-)%-%- ?seed:" or ""):gsub("\n", "")) + 1
  tell(line, ("seed: a whole number is wanted, got '%s'"):format(type(seed) == "table" and "a list" or tostring(seed)), true)
end

return rules
