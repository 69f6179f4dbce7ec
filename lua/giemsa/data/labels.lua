--- Labels as people read them: from rows of y, and of what a net gives, to classes and names.
local core = require "giemsa.core"

local labels = {}

local function numbers(row) return core.is_tensor(row) and row:reshape(-1):totable() or { row } end

local function largest(values)
  local best = 1
  for i, v in ipairs(values) do if v > values[best] then best = i end end
  return best
end

-- Row i as plain numbers; nil when it is no label but a picture or a mask.
local function row_of(y, i)
  if not y or y.ndim > 2 then return nil end
  return numbers(y[i])
end

--- The class (from 1) that row i of the labels names; nil when it names none.
---@param y giemsa.Tensor? one-hot (n, classes), or a number a row: the class from 1, or with
---  class_mode "binary" 0 and 1
---@param i integer
---@param class_mode string?
---@return integer?
function labels.class_of(y, i, class_mode)
  local values = row_of(y, i)
  if not values then return nil end
  if #values > 1 then return largest(values) end
  local whole = math.tointeger(values[1])
  if class_mode == "binary" then return whole and whole + 1 end
  return class_mode == "sparse" and whole or nil
end

--- What row i of the labels says, for a caption.
---@param y giemsa.Tensor?
---@param i integer
---@param about {class_mode: string?, class_names: string[]?}
---@return string?
function labels.text(y, i, about)
  local class = labels.class_of(y, i, about.class_mode)
  if class then return about.class_names and about.class_names[class] or "class " .. class end
  local values = row_of(y, i)
  return values and ("%g"):format(values[1]) or nil
end

--- The answer in row i of a net's output: the class, its probability, and all probabilities.
---@param output giemsa.Tensor (n, classes), or (n, 1): the probability of class 2
---@param i integer
---@return integer class
---@return number probability
---@return number[] probabilities
function labels.answer(output, i)
  local values = numbers(output[i])
  if #values == 1 then values = { 1 - values[1], values[1] } end
  local class = largest(values)
  return class, values[class], values
end

--- The name of a class.
---@param class integer?
---@param names string[]?
---@return string
function labels.name(class, names)
  return class and (names and names[class] or "class " .. class) or "?"
end

return labels
