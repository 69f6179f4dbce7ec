--- Which results are not those of the lesson run from its top: the code was edited since, or a cell
-- before it was, or ran later.
---@param lesson giemsa.Notebook
---@param results table<giemsa.Cell, giemsa.RunCell>
---@param ran giemsa.Notebook from which they ran
---@return table<giemsa.Cell, boolean>
local function stale(lesson, results, ran)
  local found, latest, is_stale = {}, 0, false
  for _, cell in ipairs(lesson.cells) do
    local result = cell.kind == "code" and results[cell]
    if result then
      local turn = result.turn or latest
      local text = result.text or ran.cells[result.cell]:source()
      is_stale = is_stale or text ~= cell:source() or turn < latest
      latest = math.max(latest, turn)
      found[cell] = is_stale
    end
  end
  return found
end

return stale
