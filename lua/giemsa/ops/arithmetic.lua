--- Differentiable arithmetic, reductions, and moving numbers about. Forward and backward of an op
--- stand together; a backward closure holds only what it reads. Broadcasting is NumPy's; axes count
--- from 1, or from -1 at the end.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local base = require "giemsa.ops.base"

local ops = {}

local accumulate, record = grad.accumulate, grad.op
local result, target, give_back = base.result, base.target, base.give_back

-- ---- two operands, either of which may be a number ----------------------------------------------

---@param a tensor|number
---@param b tensor|number
---@return tensor
function ops.add(a, b)
  local y, to_a, to_b = result("add", pcall(core.add, a, b)), target(a), target(b)
  return record(y, { to_a, to_b }, function(dy)
    if to_a then give_back(to_a, dy) end
    if to_b then give_back(to_b, dy) end
  end, "add")
end

---@param a tensor|number
---@param b tensor|number
---@return tensor
function ops.sub(a, b)
  local y, to_a, to_b = result("sub", pcall(core.sub, a, b)), target(a), target(b)
  return record(y, { to_a, to_b }, function(dy)
    if to_a then give_back(to_a, dy) end
    if to_b then give_back(to_b, core.neg(dy)) end
  end, "sub")
end

-- name -> makers of dL/da and dL/db from dL/dy (before broadcasting is undone); what is made holds
-- only what it reads.
local two_operands = {
  mul = {
    function(_, b) return function(dy) return core.mul(dy, b) end end,
    function(a) return function(dy) return core.mul(dy, a) end end,
  },
  div = {
    function(_, b) return function(dy) return core.div(dy, b) end end,
    function(_, b, y) return function(dy) return core.neg(core.mul(dy, core.div(y, b))) end end,
  },
  pow = {
    function(a, b)
      return function(dy)
        local less = type(b) == "number" and b - 1 or core.sub(b, 1)
        return core.mul(dy, core.mul(core.pow(a, less), b))
      end
    end,
    function(a, _, y)
      return function(dy)
        local log_a = type(a) == "number" and math.log(a) or core.log(a)
        return core.mul(dy, core.mul(y, log_a))
      end
    end,
  },
  maximum = { -- of equals, the first operand takes the gradient
    function(a, b) return function(dy) return core.where(core.ge(a, b), dy, 0) end end,
    function(a, b) return function(dy) return core.where(core.ge(a, b), 0, dy) end end,
  },
  minimum = {
    function(a, b) return function(dy) return core.where(core.le(a, b), dy, 0) end end,
    function(a, b) return function(dy) return core.where(core.le(a, b), 0, dy) end end,
  },
}

for name, makers in pairs(two_operands) do
  ops[name] = function(a, b)
    local y, to_a, to_b = result(name, pcall(core[name], a, b)), target(a), target(b)
    if not (to_a or to_b) then return y end
    local slope_a, slope_b = to_a and makers[1](a, b, y), to_b and makers[2](a, b, y)
    return record(y, { to_a, to_b }, function(dy)
      if to_a then give_back(to_a, slope_a(dy)) end
      if to_b then give_back(to_b, slope_b(dy)) end
    end, name)
  end
end

--- Matrix product: (m, k) by (k, n); a may be (batch, m, k), b then (k, n) or (batch, k, n).
---@param a tensor
---@param b tensor
---@return tensor
function ops.matmul(a, b)
  local y, to_a, to_b = result("matmul", pcall(core.matmul, a, b)), target(a), target(b)
  return record(y, { to_a, to_b }, function(dy)
    if to_a then accumulate(to_a, core.matmul(dy, b, false, true)) end
    if not to_b then return end
    local db = core.matmul(a, dy, true, false)
    accumulate(to_b, #to_b.shape < db.ndim and core.sum(db, 1) or db) -- one b for all of a batch
  end, "matmul")
end

-- ---- one operand --------------------------------------------------------------------------------

-- name -> dL/dx from dL/dy; those that read y only let x go.
local from_y = {
  neg = function(dy) return core.neg(dy) end,
  exp = function(dy, y) return core.mul(dy, y) end,
  sqrt = function(dy, y) return core.mul(core.div(dy, y), 0.5) end,
  relu = function(dy, y) return core.relu_dx(dy, y) end, -- 0 at 0
  sigmoid = function(dy, y) return core.sigmoid_dx(dy, y) end,
  tanh = function(dy, y) return core.tanh_dx(dy, y) end,
}
local from_x = {
  log = function(dy, x) return core.div(dy, x) end,
  abs = function(dy, x) return core.mul(dy, core.sign(x)) end,
  square = function(dy, x) return core.mul(core.mul(dy, x), 2) end,
}

for name, slope in pairs(from_y) do
  ops[name] = function(x)
    local y, to_x = result(name, pcall(core[name], x)), target(x)
    return record(y, { to_x }, function(dy) accumulate(to_x, slope(dy, y)) end, name)
  end
end

for name, slope in pairs(from_x) do
  ops[name] = function(x)
    local y, to_x = result(name, pcall(core[name], x)), target(x)
    return record(y, { to_x }, function(dy) accumulate(to_x, slope(dy, x)) end, name)
  end
end

--- min(max(x, low), high); the gradient is 0 where something was cut off.
---@param x tensor
---@param low number
---@param high number
---@return tensor
function ops.clip(x, low, high)
  local y, to_x = result("clip", pcall(core.clip, x, low, high)), target(x)
  return record(y, { to_x }, function(dy)
    accumulate(to_x, core.where(core.eq(x, y), dy, 0))
  end, "clip")
end

--- a where the condition is not 0, else b; all three broadcast. The condition has no gradient.
---@param condition tensor
---@param a tensor|number
---@param b tensor|number
---@return tensor
function ops.where(condition, a, b)
  local y, to_a, to_b = result("where", pcall(core.where, condition, a, b)), target(a), target(b)
  return record(y, { to_a, to_b }, function(dy)
    if to_a then give_back(to_a, core.where(condition, dy, 0)) end
    if to_b then give_back(to_b, core.where(condition, 0, dy)) end
  end, "where")
end

-- ---- reductions ---------------------------------------------------------------------------------

-- The shape of x with the reduced axis (nil: all) as 1: what broadcasts back over x.
local function kept_shape(shape, axis)
  local kept = {}
  for i = 1, #shape do
    local reduced = axis == nil or i == axis or i == axis + #shape + 1
    kept[i] = reduced and 1 or shape[i]
  end
  return kept
end

local function spread(dy, shape, axis)
  local wide = core.zeros(shape)
  core.add_(wide, core.reshape(dy, kept_shape(shape, axis)))
  return wide
end

local function count(shape, axis)
  local n = 1
  for i, kept in ipairs(kept_shape(shape, axis)) do n = n * (kept == 1 and shape[i] or 1) end
  return n
end

---@param x tensor
---@param axis integer? nil: over all
---@param keepdims boolean? leave a 1 where the axis was
---@return tensor
function ops.sum(x, axis, keepdims)
  local y, to_x = result("sum", pcall(core.sum, x, axis, keepdims)), target(x)
  return record(y, { to_x }, function(dy) accumulate(to_x, spread(dy, to_x.shape, axis)) end, "sum")
end

---@param x tensor
---@param axis integer?
---@param keepdims boolean?
---@return tensor
function ops.mean(x, axis, keepdims)
  local y, to_x = result("mean", pcall(core.mean, x, axis, keepdims)), target(x)
  return record(y, { to_x }, function(dy)
    local shape = to_x.shape
    accumulate(to_x, spread(core.div(dy, count(shape, axis)), shape, axis))
  end, "mean")
end

--- Mean squared distance from the mean (divided by n).
---@param x tensor
---@param axis integer?
---@param keepdims boolean?
---@return tensor
function ops.var(x, axis, keepdims)
  local y, to_x = result("var", pcall(core.var, x, axis, keepdims)), target(x)
  return record(y, { to_x }, function(dy)
    local shape = to_x.shape
    local slope = core.mul(core.sub(x, core.mean(x, axis, true)), 2 / count(shape, axis))
    accumulate(to_x, core.mul(slope, core.reshape(dy, kept_shape(shape, axis))))
  end, "var")
end

--- Standard deviation (divided by n).
function ops.std(x, axis, keepdims) return ops.sqrt(ops.var(x, axis, keepdims)) end

for _, name in ipairs { "max", "min" } do
  -- Equal largest (smallest) values share the gradient evenly.
  ops[name] = function(x, axis, keepdims)
    local y, to_x = result(name, pcall(core[name], x, axis, keepdims)), target(x)
    return record(y, { to_x }, function(dy)
      local kept = kept_shape(to_x.shape, axis)
      local chosen = core.eq(x, core.reshape(y, kept))
      local share = core.div(core.reshape(dy, kept), core.sum_to(chosen, kept))
      accumulate(to_x, core.mul(chosen, share))
    end, name)
  end
end

-- ---- moving numbers about -----------------------------------------------------------------------

--- The same numbers in another shape (a view): reshape(x, {2, -1}) or reshape(x, 2, -1); one size
--- may be -1.
---@param x tensor
---@param ... integer|integer[]
---@return tensor
function ops.reshape(x, ...)
  local y, to_x = result("reshape", pcall(core.reshape, x, ...)), target(x)
  return record(y, { to_x }, function(dy)
    accumulate(to_x, core.reshape(dy, to_x.shape))
  end, "reshape")
end

--- Everything behind the batch axis in one row: (n, h, w, c) -> (n, h * w * c), columns in the
--- order h, w, c.
---@param x tensor
---@return tensor
function ops.flatten(x)
  local shape = x.shape
  if #shape == 0 then error("flatten: a scalar has no batch axis", 2) end
  local columns = 1
  for i = 2, #shape do columns = columns * shape[i] end
  return ops.reshape(x, shape[1], columns)
end

--- Two axes swapped; the last two when none are given.
---@param x tensor
---@param i integer?
---@param j integer?
---@return tensor
function ops.transpose(x, i, j)
  local y, to_x = result("transpose", pcall(core.transpose, x, i, j)), target(x)
  return record(y, { to_x }, function(dy)
    accumulate(to_x, core.transpose(dy, i, j))
  end, "transpose")
end

local function positive(axis, ndim) return axis < 0 and axis + ndim + 1 or axis end

--- Tensors behind one another along an axis; their other dimensions must be equal.
---@param list tensor[]
---@param axis integer
---@return tensor
function ops.concat(list, axis)
  local y = result("concat", pcall(core.concat, list, axis))
  local targets, sizes = {}, {}
  axis = positive(axis, y.ndim)
  for i, x in ipairs(list) do targets[i], sizes[i] = target(x), x.shape[axis] end
  return record(y, targets, function(dy)
    local first = 1
    for i, size in ipairs(sizes) do
      if targets[i] then accumulate(targets[i], core.slice(dy, axis, first, first + size - 1)) end
      first = first + size
    end
  end, "concat")
end

-- Pairs {before, after} that set `size` numbers, beginning at `first`, back into `shape` along an
-- axis.
local function around(shape, axis, first, size)
  local pads = {}
  for d = 1, #shape do pads[d] = { 0, 0 } end
  pads[axis] = { first - 1, shape[axis] - (first - 1) - size }
  return pads
end

--- The places first..last (both included) of an axis, as a copy.
---@param x tensor
---@param axis integer
---@param first integer
---@param last integer
---@return tensor
function ops.slice(x, axis, first, last)
  local y, to_x = result("slice", pcall(core.slice, x, axis, first, last)), target(x)
  return record(y, { to_x }, function(dy)
    local shape = to_x.shape
    local at = positive(axis, #shape)
    accumulate(to_x, core.pad(dy, around(shape, at, first, dy.shape[at])))
  end, "slice")
end

local raw_rows = core.tensor_methods.rows

--- Rows first..last (both included), as a view.
---@param x tensor
---@param first integer
---@param last integer
---@return tensor
function ops.rows(x, first, last)
  local y, to_x = result("rows", pcall(raw_rows, x, first, last)), target(x)
  return record(y, { to_x }, function(dy)
    accumulate(to_x, core.pad(dy, around(to_x.shape, 1, first, dy.shape[1])))
  end, "rows")
end

--- The rows with these numbers (from 1), in this order.
---@param x tensor
---@param rows integer[]|tensor
---@return tensor
function ops.take(x, rows)
  local y, to_x = result("take", pcall(core.take, x, rows)), target(x)
  return record(y, { to_x }, function(dy)
    accumulate(to_x, core.add_rows_(core.zeros(to_x.shape), rows, dy))
  end, "take")
end

--- Set into a larger tensor filled with a value: pads = {{before, after}, ...}, a pair for each
--- dimension.
---@param x tensor
---@param pads integer[][]
---@param value number? default 0
---@return tensor
function ops.pad(x, pads, value)
  local y, to_x = result("pad", pcall(core.pad, x, pads, value)), target(x)
  return record(y, { to_x }, function(dy)
    local inside = dy
    for axis, size in ipairs(to_x.shape) do
      local before, after = pads[axis][1], pads[axis][2]
      if before + after > 0 then
        local cut = core.slice(inside, axis, before + 1, before + size)
        if not rawequal(inside, dy) then inside:release() end
        inside = cut
      end
    end
    accumulate(to_x, inside)
  end, "pad")
end

return ops
