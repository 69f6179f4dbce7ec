--- What the metrics are given: classes and scores as arrays or tensors, checked, and what all of
-- them count with.
local core = require "giemsa.core"

local arguments = {}

-- Classes counted from 1: an array, or a tensor of shape (n,) or (n, 1).
---@alias giemsa.classes integer[]|giemsa.tensor

local function shape_text(t)
  return "(" .. table.concat(t.shape, ", ") .. (t.ndim == 1 and ",)" or ")")
end

-- A plain array of numbers from an array or a tensor with one column.
function arguments.numbers(who, name, values, level)
  if not core.is_tensor(values) then
    if type(values) == "table" then return values end
    error(("%s: %s must be an array or a tensor, got %s")
      :format(who, name, type(values)), level + 1)
  end
  local columns = values.ndim == 2 and values.shape[2] or 1
  if values.ndim ~= 1 and (values.ndim ~= 2 or columns ~= 1) then
    error(("%s: %s must have shape (n,), got %s; :argmax(2) picks classes from probabilities")
      :format(who, name, shape_text(values)), level + 1)
  end
  return values:reshape(-1):totable()
end

local function classes(who, name, values, level)
  local out = {}
  for i, v in ipairs(arguments.numbers(who, name, values, level + 1)) do
    local class = math.tointeger(v)
    if not class then
      error(("%s: %s[%d] is %s, not a class number"):format(who, name, i, tostring(v)), level + 1)
    end
    out[i] = class
  end
  return out
end

-- Both arrays of classes, of one length and not empty.
function arguments.pairs_of_classes(who, y_true, y_pred, level)
  level = level or 2
  local t = classes(who, "y_true", y_true, level + 1)
  local p = classes(who, "y_pred", y_pred, level + 1)
  if #t ~= #p then
    error(("%s: y_true has %d classes and y_pred has %d; they must match one to one")
      :format(who, #t, #p), level + 1)
  end
  if #t == 0 then error(who .. ": there is nothing to score (no classes given)", level + 1) end
  return t, p
end

function arguments.sorted_union(t, p)
  local seen, out = {}, {}
  for _, list in ipairs { t, p } do
    for _, class in ipairs(list) do
      if not seen[class] then seen[class], out[#out + 1] = true, class end
    end
  end
  table.sort(out)
  return out, seen
end

-- The classes to report on: those asked for, else one for each name, else all that occur.
function arguments.labels_for(who, o, t, p, level)
  if o.labels then
    if o.target_names and #o.labels ~= #o.target_names then
      error(("%s: %d labels but %d target_names")
        :format(who, #o.labels, #o.target_names), level + 1)
    end
    return o.labels
  end
  local seen = arguments.sorted_union(t, p)
  if not o.target_names then return seen end
  local count = #o.target_names
  if seen[1] < 1 or seen[#seen] > count then
    error(("%s: class %d occurs, but the %d target_names are classes 1 to %d (counted from 1)")
      :format(who, seen[1] < 1 and seen[1] or seen[#seen], count, count), level + 1)
  end
  local labels = {}
  for i = 1, count do labels[i] = i end
  return labels
end

function arguments.name_of(o, i, label)
  return o.target_names and o.target_names[i] or tostring(label)
end

function arguments.ratio(a, b) return b == 0 and 0.0 or a / b end

--- The mean, or with weights the weighted mean.
function arguments.average(values, weights)
  local total, weight = 0, 0
  for i, v in ipairs(values) do
    local w = weights and weights[i] or 1
    total, weight = total + w * v, weight + w
  end
  return arguments.ratio(total, weight)
end

return arguments
