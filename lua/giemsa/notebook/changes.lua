--- Which cell of an edited notebook is which of the old one.

local function is_same(a, b) return a.kind == b.kind and a.body == b.body end

local MOST = 1000000 -- pairs that are looked at: a file of thousands of cells, edited all over, has more

-- The cells from `first` on, up to the last of each list, that both have in the same order, as many
-- as there are (the longest common subsequence).
local function find_between(old, new, first, last_old, last_new, to)
  if (last_old - first + 1) * (last_new - first + 1) > MOST then return end
  local longest = {} -- [i][j]: how many from the i-th of the old and the j-th of the new on
  for i = last_old + 1, first, -1 do
    longest[i] = {}
    for j = last_new + 1, first, -1 do
      if i > last_old or j > last_new then longest[i][j] = 0
      elseif is_same(old[i], new[j]) then longest[i][j] = longest[i + 1][j + 1] + 1
      else longest[i][j] = math.max(longest[i + 1][j], longest[i][j + 1]) end
    end
  end
  local i, j = first, first
  while i <= last_old and j <= last_new do
    if is_same(old[i], new[j]) then
      to[old[i].number] = new[j].number
      i, j = i + 1, j + 1
    elseif longest[i + 1][j] >= longest[i][j + 1] then i = i + 1
    else j = j + 1 end
  end
end

-- Cells of the same kind and text.
local function find_same(old, new, to)
  local first, last_old, last_new = 1, #old, #new
  while first <= last_old and first <= last_new and is_same(old[first], new[first]) do
    to[old[first].number] = new[first].number
    first = first + 1
  end
  while first <= last_old and first <= last_new and is_same(old[last_old], new[last_new]) do
    to[old[last_old].number] = new[last_new].number
    last_old, last_new = last_old - 1, last_new - 1
  end
  find_between(old, new, first, last_old, last_new, to)
end

local function without_name(cells)
  local list = {}
  for _, cell in ipairs(cells) do
    if not cell.name then list[#list + 1] = cell end
  end
  return list
end

local function find_named(old, new, to)
  local number_of = {}
  for _, cell in ipairs(new.cells) do
    if cell.name then number_of[cell.name] = number_of[cell.name] or cell.number end
  end
  for _, cell in ipairs(old.cells) do
    local number = cell.name and number_of[cell.name]
    if number then to[cell.number], number_of[cell.name] = number, nil end
  end
end

-- Cells that were edited: what is left on both sides between the same two neighbours, one by one.
local function find_edited(old, new, to)
  local taken = {}
  for _, number in pairs(to) do taken[number] = true end
  local before = 0 -- where the last cell went that both have
  for i, cell in ipairs(old.cells) do
    local free = new.cells[before + 1]
    if to[i] then before = to[i]
    elseif free and not taken[free.number] and not free.name and not cell.name
      and free.kind == cell.kind then
      to[i], taken[free.number], before = free.number, true, free.number
    end
  end
end

--- Where each cell went: by its name; without one by its text, then by its place between those.
---@param old giemsa.Notebook
---@param new giemsa.Notebook
---@return table<integer, integer> to numbers in the new by numbers in the old; a deleted cell has none
local function changes(old, new)
  local to = {}
  find_named(old, new, to)
  find_same(without_name(old.cells), without_name(new.cells), to)
  find_edited(old, new, to)
  return to
end

return changes
