--- A lesson as a hand-out: text and code without results, the exercises at the end, room for notes.
-- What would give the answers away (solutions, checks) is left out.
local handout = {}

local function is_answer(cell)
  return cell:has_tag "solution" or cell:has_tag "check" or cell:has_tag "hidden"
end

local function has_code_after(cells, i)
  for k = i + 1, #cells do
    if cells[k].kind == "code" then return true end
  end
end

-- Whether a text is the one before a cell to be filled in; only its translation may stand between.
local function asks(cells, i)
  for k = i + 1, #cells do
    local cell = cells[k]
    if cell.kind == "code" then return cell:has_tag "solution" or cell:has_tag "exercise" end
    if not cell.lang then return false end
  end
end

--- The lesson of the hand-out: what explains, then what asks, then what comes after all code.
---@param lesson giemsa.Notebook
---@return giemsa.Notebook
---@return table<giemsa.Cell, true> asking the text cells that want an answer
function handout.of(lesson)
  local explaining, exercises, last, asking = {}, {}, {}, {}
  for i, cell in ipairs(lesson.cells) do
    local is_text = cell.kind == "markdown"
    local list = explaining
    if is_text and not has_code_after(lesson.cells, i) then list = last
    elseif is_text and asks(lesson.cells, i) then list = exercises end
    if not is_answer(cell) then
      list[#list + 1] = cell
      asking[cell] = list ~= explaining or nil
    end
  end
  local cells = table.move(exercises, 1, #exercises, #explaining + 1, explaining)
  table.move(last, 1, #last, #cells + 1, cells)
  return setmetatable({ cells = cells, meta = lesson.meta, path = lesson.path },
    getmetatable(lesson)), asking
end

return handout
