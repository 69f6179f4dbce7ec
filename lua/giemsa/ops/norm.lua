--- Batch normalisation: as an op on its own, and as a map that convolutions and pooling apply while
--- they read, so that the normalised picture is never written.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local mapped = require "giemsa.grad.mapped"
local base = require "giemsa.ops.base"

local norm = {}

local accumulate, record, target = grad.accumulate, grad.op, grad.target
local result, check = base.result, base.check

---@class giemsa.ops.NormOptions
---@field training boolean? default false
---@field momentum number? the share of the old moving statistics; default 0.99
---@field epsilon number? default 1e-3
---@field relu boolean? default false
local norm_options = base.options {
  training = "boolean", momentum = "number", epsilon = "number", relu = "boolean",
}

local function pixels_of(x) return x.size // x.shape[x.ndim] end

-- The coefficients (core.norm): by the batch's moments, moving the moving ones, or by those.
local function rows_of(x, gamma, beta, mean, variance, opts, moments)
  local epsilon = opts.epsilon or 1e-3
  if not opts.training then return core.norm_fixed(mean, variance, gamma, beta, epsilon) end
  moments = moments or core.moments(x)
  return core.norm(moments, pixels_of(x), gamma, beta, epsilon, mean, variance,
    opts.momentum or 0.99)
end

--- Batch normalisation over the last axis: (x - mean) / sqrt(variance + epsilon) * gamma + beta.
---
--- Training uses the batch's own mean and population variance (the gradient goes through both) and
--- moves the moving ones in place: moving = momentum * moving + (1 - momentum) * batch, with the
--- variance of the batch times n / (n - 1) (as TF 2). Otherwise the moving ones are used, as
--- constants. With relu = true the result is max(that, 0), in the same pass over memory.
---@param x tensor (..., c), at least 2 dimensions
---@param gamma tensor? (c); nil: ones
---@param beta tensor? (c); nil: zeros
---@param moving_mean tensor? (c); may be nil in training
---@param moving_variance tensor? (c); may be nil in training
---@param opts giemsa.ops.NormOptions?
---@param moments tensor? (3, c) of x, when its maker knows them (ops.conv2d's second result)
---@return tensor y the shape of x
function norm.batch_norm(x, gamma, beta, moving_mean, moving_variance, opts, moments)
  opts = check("batch_norm", opts, norm_options)
  local training, relu = opts.training or false, opts.relu or false
  local rows = result("batch_norm",
    pcall(rows_of, x, gamma, beta, moving_mean, moving_variance, opts, moments))
  local y = result("batch_norm", pcall(core.norm_apply, x, rows, relu))
  local to_x, to_gamma, to_beta = target(x), target(gamma), target(beta)
  if not (to_x or to_gamma or to_beta) then return y end
  return record(y, { to_x, to_gamma, to_beta }, function(dy)
    local sums = core.norm_sums(dy, x, rows, relu)
    local dgamma, dbeta, map = core.norm_gradient(sums, rows, pixels_of(x), training)
    accumulate(to_gamma, dgamma)
    accumulate(to_beta, dbeta)
    if to_x then accumulate(to_x, core.norm_dx(dy, x, map, relu and rows or nil)) end
  end, "batch_norm")
end

--- batch_norm(x) + shortcut, or with relu = true max(that, 0): the end of a residual block, in one
--- pass over memory each way. Arguments as of batch_norm.
---@param shortcut tensor the shape of x
---@return tensor y
function norm.batch_norm_add(x, shortcut, gamma, beta, moving_mean, moving_variance, opts, moments)
  opts = check("batch_norm", opts, norm_options)
  local training, relu = opts.training or false, opts.relu or false
  local rows = result("batch_norm",
    pcall(rows_of, x, gamma, beta, moving_mean, moving_variance, opts, moments))
  local y = result("batch_norm", pcall(core.norm_apply, x, rows, relu, shortcut))
  local to_x, to_shortcut = target(x), target(shortcut)
  local to_gamma, to_beta = target(gamma), target(beta)
  local cut = relu and y or nil
  return record(y, { to_x, to_shortcut, to_gamma, to_beta }, function(dy)
    local sums, g = core.norm_sums(dy, x, rows, false, cut)
    g = g or dy
    local dgamma, dbeta, map = core.norm_gradient(sums, rows, pixels_of(x), training)
    accumulate(to_gamma, dgamma)
    accumulate(to_beta, dbeta)
    if to_x then accumulate(to_x, mapped.new(core.reshape(g, g.shape), x, map)) end
    if to_shortcut then accumulate(to_shortcut, g) end
  end, "batch_norm")
end

-- ---- on the way into another op -----------------------------------------------------------------

--- A picture that stands for the batch normalisation of x (and relu of it). It has a node on the
--- tape like any op's result; `readers` ops have taken it, and in a backward pass `waiting` of them
--- have not given their gradient yet. The last one to do so also cuts off where relu did and takes
--- the sums that batch norm's gradient needs (node.sums), all in its own pass over memory.
---@class giemsa.Normalised
---@field x tensor
---@field rows tensor (5, c), as core.norm gives it
---@field relu boolean
---@field shape integer[]
---@field node table?
local Normalised = {}
Normalised.__index = Normalised

---@return boolean
function norm.is_normalised(value) return getmetatable(value) == Normalised end

function Normalised:release() end -- x is another's

--- Batch normalisation of x that ops.conv2d and norm.max_pool2d apply while they read; arguments as
--- of batch_norm.
---@param moments tensor? (3, c) of x, when its maker knows them (ops.conv2d's second result)
---@return giemsa.Normalised
function norm.normalised(x, gamma, beta, moving_mean, moving_variance, opts, moments)
  opts = check("batch_norm", opts, norm_options)
  local training, relu = opts.training or false, opts.relu or false
  local rows = result("batch_norm",
    pcall(rows_of, x, gamma, beta, moving_mean, moving_variance, opts, moments))
  local y = setmetatable({ x = x, rows = rows, relu = relu, shape = x.shape }, Normalised)
  local to_x, to_gamma, to_beta = target(x), target(gamma), target(beta)
  local node
  record(y, { to_x, to_gamma, to_beta }, function(dy)
    local sums = node.sums or core.norm_sums(dy, x, rows, relu)
    local dgamma, dbeta, map = core.norm_gradient(sums, rows, pixels_of(x), training)
    accumulate(to_gamma, dgamma)
    accumulate(to_beta, dbeta)
    if to_x and node.sums then
      accumulate(to_x, mapped.new(core.reshape(dy, dy.shape), x, map, node.pool))
    elseif to_x then accumulate(to_x, core.norm_dx(dy, x, map, relu and rows or nil)) end
    node.sums, node.pool, node.waiting = nil, nil, node.readers
  end, "batch_norm")
  node = y.node
  if node then node.readers, node.waiting = 0, 0 end
  return y
end

--- An op says that it reads y and will give its gradient.
---@param y giemsa.Normalised
---@return table? node where gradients go; nil when nothing is recorded
function norm.read(y)
  local node = grad.enabled() and y.node
  if not node then return nil end
  node.readers, node.waiting = node.readers + 1, node.waiting + 1
  return node
end

--- A reader is about to give its gradient: whether it is the last.
function norm.is_last(node)
  node.waiting = node.waiting - 1
  return node.waiting == 0
end

--- The last reader's gradient, cut off and summed; it holds what the others gave too (grad.take).
---@param node table
---@param dx tensor
---@param sums tensor (2, c)
---@param pool table? dx stands at the outputs of a max pool, see grad/mapped.lua
function norm.finish(node, dx, sums, pool)
  node.grad, node.sums, node.pool = dx, sums, pool
end

return norm
