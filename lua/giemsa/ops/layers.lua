--- Differentiable ops of a net's layers: dense, softmax, dropout, the L2 term.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local random = require "giemsa.random"
local base = require "giemsa.ops.base"

local ops = {}

local accumulate, record, target = grad.accumulate, grad.op, grad.target
local result, check = base.result, base.check

--- x w + b.
---@param x tensor (n, in)
---@param w tensor (in, out)
---@param b tensor? (out)
---@return tensor y (n, out)
function ops.dense(x, w, b)
  local y = result("dense", pcall(core.matmul, x, w))
  if b then result("dense", pcall(core.add_, y, b)) end
  local to_x, to_w, to_b = target(x), target(w), target(b)
  local for_x, for_w = to_x and w, to_w and x -- each gradient reads the other operand
  return record(y, { to_x, to_w, to_b }, function(dy)
    if to_b then accumulate(to_b, core.sum_to(dy, to_b.shape)) end
    if to_w then accumulate(to_w, core.matmul(for_w, dy, true, false)) end
    if to_x then accumulate(to_x, core.matmul(dy, for_x, false, true)) end
  end, "dense")
end

--- exp(x) / sum exp(x) over the last axis; the largest x is subtracted first, so nothing overflows.
---@param x tensor (..., classes)
---@return tensor
function ops.softmax(x)
  local y, to_x = result("softmax", pcall(core.softmax, x)), target(x)
  return record(y, { to_x }, function(dy) accumulate(to_x, core.softmax_dx(dy, y)) end, "softmax")
end

---@class giemsa.ops.Key which random numbers: those of a seed for a consumer (a, b, c)
---@field seed integer
---@field a integer?
---@field b integer?
---@field c integer?
local dropout_options = base.options {
  seed = "integer", a = "integer", b = "integer", c = "integer",
}

--- Sets each value to 0 with probability rate and divides the others by 1 - rate, so that the mean
--- stays. Which ones depends only on the key: the same key drops the same places.
---@param x tensor
---@param rate number 0 <= rate < 1
---@param key giemsa.ops.Key? nil: a new draw of the global stream
---@return tensor
function ops.dropout(x, rate, key)
  key = check("dropout", key, dropout_options)
  local seed, a, b, c = key.seed, key.a or 0, key.b or 0, key.c or 0
  if not seed then seed, a = random.get_seed(), random.consumer() end
  local y, to_x = result("dropout", pcall(core.dropout, x, rate, seed, a, b, c)), target(x)
  return record(y, { to_x }, function(dy)
    accumulate(to_x, core.dropout(dy, rate, seed, a, b, c))
  end, "dropout")
end

--- The sum of factor * sum(w^2) over a list of weights: without the 1/2 of some textbooks, as in
--- Keras.
---@param list {[1]: tensor, [2]: number}[] pairs {w, factor}
---@return tensor scalar
function ops.l2(list)
  local total, targets = 0, {}
  for i, pair in ipairs(list) do
    total = total + result("l2", pcall(core.sum_squares, pair[1])) * pair[2]
    targets[i] = target(pair[1])
  end
  return record(core.full({}, total), targets, function(dy)
    for i, pair in ipairs(list) do
      if targets[i] then accumulate(targets[i], core.mul(pair[1], 2 * pair[2] * dy:item())) end
    end
  end, "l2")
end

return ops
