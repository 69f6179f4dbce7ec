--- Tensors: float32 numbers in at most 4 dimensions, contiguous, the last dimension fastest.
--- Pictures are (batch, height, width, channels). Rows and axes count from 1; axis -1 is the last.
local core = require "giemsa.core"
local ops = require "giemsa.ops" -- makes arithmetic record its gradients
local options = require "giemsa.options"
local random = require "giemsa.random"

-- Makes a complaint of the core that of our caller. Always called in brackets: a tail call has no
-- level to count.
local checked = require("giemsa.ops.base").result

---@class giemsa.tensor
---@overload fun(values: table|number|tensor): tensor
local tensor = {}

--- A tensor of the numbers in a nested table, of one number, or a copy of a tensor.
---@param values table|number|tensor {{1, 2}, {3, 4}}: every row as long as the first, at most 4 levels
---@return tensor
function tensor.from(values)
  if core.is_tensor(values) then return values:copy() end
  if type(values) == "number" then return core.full({}, values) end
  if type(values) ~= "table" then
    error("tensor: expected a table of numbers, a number or a tensor, got " .. type(values), 2)
  end
  return (checked("tensor", pcall(core.from_table, values)))
end

--- Is x a tensor?
---@return boolean
function tensor.is_tensor(x) return core.is_tensor(x) end

--- All zeros: tensor.zeros(2, 3) or tensor.zeros{2, 3}.
---@param ... integer|integer[] the shape; none for a single number
---@return tensor
function tensor.zeros(...) return (checked("zeros", pcall(core.zeros, ...))) end

-- The shape of (2, 3) or ({2, 3}).
local function shape_of(...) return type(...) == "table" and ... or { ... } end

--- All ones.
---@param ... integer|integer[] the shape
---@return tensor
function tensor.ones(...)
  local shape = select("#", ...) == 0 and {} or shape_of(...)
  return (checked("ones", pcall(core.full, shape, 1)))
end

--- All the same value.
---@param shape integer[]
---@param value number
---@return tensor
function tensor.full(shape, value) return (checked("full", pcall(core.full, shape, value))) end

--- Ones on the diagonal, zeros elsewhere.
---@param rows integer
---@param columns integer? default rows
---@return tensor # (rows, columns)
function tensor.eye(rows, columns)
  local t = checked("eye", pcall(core.zeros, rows, columns or rows))
  for i = 1, math.min(#t, t.shape[2]) do t[i][i] = 1 end
  return t
end

-- start + step * (0, 1, ..., n-1), each worked out in double and rounded once.
local function progression(who, start, step, n)
  if n ~= n or n > 2 ^ 31 - 1 then error(who .. ": too many numbers", 3) end
  local values = {}
  for i = 1, n do values[i] = start + step * (i - 1) end
  return core.from_table(values)
end

local function need_numbers(who, ...)
  for i = 1, select("#", ...) do
    local x = select(i, ...)
    if type(x) ~= "number" then
      error(("%s: expected numbers, argument %d is a %s"):format(who, i, type(x)), 3)
    end
  end
end

--- As NumPy's arange: start, start + step, ... before stop (stop itself is left out); arange(n) is
--- 0, 1, ..., n-1.
---@param start number
---@param stop number?
---@param step number? default 1
---@return tensor # (n,)
function tensor.arange(start, stop, step)
  if stop == nil then start, stop = 0, start end
  step = step or 1
  need_numbers("arange", start, stop, step)
  if step == 0 then error("arange: the step is 0", 2) end
  return (progression("arange", start, step, math.max(0, math.ceil((stop - start) / step))))
end

--- n numbers evenly from start to stop, both included.
---@param start number
---@param stop number
---@param n integer? default 50
---@return tensor # (n,)
function tensor.linspace(start, stop, n)
  n = n or 50
  need_numbers("linspace", start, stop, n)
  if n < 0 or n % 1 ~= 0 then
    error(("linspace: the number of points must be a whole number >= 0, got %s"):format(n), 2)
  end
  local t = progression("linspace", start, n > 1 and (stop - start) / (n - 1) or 0, n)
  if n > 1 then t[n] = stop end
  return t
end

-- {2, 3, low = 0, seed = 7}, or ({2, 3}, {low = 0, seed = 7}), or (2, 3): the shape and the options.
local function shape_and_options(who, known, ...)
  local given, more = ...
  if type(given) ~= "table" then return { ... }, {} end
  if select("#", ...) > 2 or more ~= nil and type(more) ~= "table" then
    error(who .. ": expected a shape and perhaps a table of options", 3)
  end
  options.check(who, given, known, 4)
  return table.move(given, 1, #given, 1, {}), more and options.check(who, more, known, 4) or given
end

--- Random numbers, evenly from low up to (not including) high: tensor.uniform{2, 3, low = -1, high
--- = 1, seed = 7}. Without a seed they come from giemsa.random's global stream.
---@param ... integer|table the shape (2, 3); or a table: shape, low (0), high (1), seed; or both: {2, 3}, {seed = 7}
---@return tensor
function tensor.uniform(...)
  local known = { low = "number", high = "number", seed = "integer" }
  local shape, given = shape_and_options("uniform", known, ...)
  local low, high = given.low or 0, given.high or 1
  return (checked("uniform", pcall(core.uniform, shape, low, high, random.stream(given.seed))))
end

--- Random numbers from a normal distribution: tensor.normal{2, 3, mean = 0, std = 1, seed = 7}.
---@param ... integer|table the shape (2, 3); or a table: shape, mean (0), std (1), seed; or both: {2, 3}, {seed = 7}
---@return tensor
function tensor.normal(...)
  local known = { mean = "number", std = "number", seed = "integer" }
  local shape, given = shape_and_options("normal", known, ...)
  local mean, std = given.mean or 0, given.std or 1
  return (checked("normal", pcall(core.normal, shape, mean, std, random.stream(given.seed))))
end

--- A tensor from a NumPy file: float32, or float64, uint8, int32, int64, bool converted.
---@param path string
---@return tensor
function tensor.load(path)
  if type(path) ~= "string" then error("load: expected a path, got " .. type(path), 2) end
  local t, why = core.npy_load(path)
  return t or error(why, 2)
end

--- Joins tensors of one shape along a new axis.
---@param list tensor[]
---@param axis integer? where the new axis stands in the result; default 1
---@return tensor
function tensor.stack(list, axis)
  if type(list) ~= "table" or #list == 0 then error("stack: expected a list of tensors", 2) end
  axis = axis or 1
  local widened = {}
  for i, t in ipairs(list) do
    if not core.is_tensor(t) then
      error(("stack: element %d is a %s, not a tensor"):format(i, type(t)), 2)
    end
    local shape = t.shape
    local place = axis < 0 and axis + #shape + 2 or axis
    if math.type(place) ~= "integer" or place < 1 or place > #shape + 1 then
      error(("stack: axis %s is not in 1..%d"):format(axis, #shape + 1), 2)
    end
    table.insert(shape, place, 1)
    widened[i] = checked("stack", pcall(t.reshape, t, shape))
  end
  return (checked("stack", pcall(ops.concat, widened, axis)))
end

--- Joins tensors along an axis; their other dimensions must agree.
---@param list tensor[]
---@param axis integer
---@return tensor
tensor.concat = ops.concat

--- Takes a where the condition is not 0, else b. All three broadcast.
---@param condition tensor|number
---@param a tensor|number
---@param b tensor|number
---@return tensor
tensor.where = ops.where

--- Rows of 0 with a 1 at each class number.
---@param numbers integer[]|tensor class numbers 1..classes
---@param classes integer
---@return tensor # (n, classes)
function tensor.one_hot(numbers, classes)
  return (checked("one_hot", pcall(core.one_hot, numbers, classes)))
end

return setmetatable(tensor, { __call = function(_, values) return tensor.from(values) end })
