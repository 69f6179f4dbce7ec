--- Rules of the linter for exercises: what `giemsa student` and `giemsa grade` need.
local each_cell = require "giemsa.lint.tokens"
local exercise = require "giemsa.exercise"

local rules = {}

--- BEGIN and END of solutions and hidden tests belong together, within a cell.
function rules.marks(book, _, tell)
  for _, cell in ipairs(book.cells) do
    local blocks, message, line = exercise.blocks(cell)
    if not blocks then tell(line, message, true) end
  end
end

local function is_master(book)
  for _, cell in ipairs(book.cells) do
    if #(exercise.blocks(cell) or {}) > 0 or cell:has_tag "hidden" then return true end
  end
end

--- In a master, a solution is marked: else students get it.
function rules.unmarked(book, _, tell)
  for _, cell in ipairs(is_master(book) and book.cells or {}) do
    if cell.kind == "code" and cell:has_tag "solution" and #(exercise.blocks(cell) or { 1 }) == 0 then
      tell(cell.line, "this cell is tagged \"solution\" and has no BEGIN SOLUTION: students get all of it")
    end
  end
end

--- In a master, what is graded has a name, so that it is found in what a student sends.
function rules.graded_names(book, _, tell)
  for _, cell in ipairs(is_master(book) and book.cells or {}) do
    local is_graded = exercise.is_region(cell) or exercise.is_check(cell)
    if is_graded and not cell.name then
      tell(cell.line, "a cell that is graded needs a name", true)
    end
  end
end

--- Points are given for checks.
function rules.points(book, _, tell)
  for _, cell in ipairs(book.cells) do
    if cell.points and not exercise.is_check(cell) then
      tell(cell.line, "points stand at a cell with checks (tag \"check\"); here they do nothing")
    end
  end
end

-- The string token that names the check whose call begins at tokens[i].
local function name_of_check(tokens, i)
  local function text(k) return (tokens[k] or {}).text end
  if text(i) ~= "check" then return end
  if text(i + 1) == "." and (text(i + 2) == "near" or text(i + 2) == "answer") then i = i + 2 end
  local name = text(i + 1) == "(" and tokens[i + 2]
  return name and name.kind == "string" and name or nil
end

--- Of two checks with one name the second has failed, whatever it finds.
function rules.check_names(book, _, tell)
  local lines = {}
  each_cell(book, function(tokens)
    for i = 1, #tokens do
      local token = name_of_check(tokens, i)
      local name = token and token.text:sub(2, -2)
      if name and lines[name] then
        tell(token.line, ("another check is named '%s', on line %d: the second one counts as failed"):format(name, lines[name]))
      end
      if name then lines[name] = lines[name] or token.line end
    end
  end)
end

return rules
