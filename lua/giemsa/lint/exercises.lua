--- Rules of the linter for exercises: what `giemsa student` and `giemsa grade` need.
local exercise = require "giemsa.exercise"

local rules = {}

--- BEGIN and END of solutions and hidden tests belong together, within a cell.
function rules.marks(book, _, tell)
  for _, cell in ipairs(book.cells) do
    local blocks, message, line = exercise.blocks(cell)
    if not blocks then tell(line, message, true) end
  end
end

--- In a master, what is graded has a name, so that it is found in what a student sends.
function rules.graded_names(book, _, tell)
  local is_master = false
  for _, cell in ipairs(book.cells) do
    is_master = is_master or #(exercise.blocks(cell) or {}) > 0
  end
  for _, cell in ipairs(book.cells) do
    local is_graded = exercise.is_region(cell) or exercise.is_check(cell)
    if is_master and is_graded and not cell.name then
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

--- Of two checks with one name the worse result counts, and one of their points is lost.
function rules.check_names(book, _, tell)
  for _, cell in ipairs(book.cells) do
    local seen, line = {}, cell.first - 1
    for text in (exercise.is_check(cell) and cell.body or ""):gmatch "[^\n]*" do
      line = line + 1
      local _, name = text:gsub("^%s*%-%-.*", ""):match "%f[%w_]check[%.%a]*%s*%(%s*([\"'])(.-)%1"
      if name and seen[name] then
        tell(line, ("another check is named '%s', on line %d: only the worse result of the two counts"):format(name, seen[name]))
      end
      if name then seen[name] = seen[name] or line end
    end
  end
end

return rules
