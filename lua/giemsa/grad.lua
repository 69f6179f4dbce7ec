--- Automatic differentiation: the tape. It hangs off the outputs, so a graph nobody holds is
--- ordinary garbage.
--
-- An op that computes y from tracked inputs gives y a node: { sequence, backward, inputs, grad }.
-- `inputs` holds what gradients flow to next: the node of a computed tensor, or a leaf tensor
-- itself. A node does not hold its own y, so only the backward closures decide which values stay
-- alive. backward() visits nodes by falling sequence number, which is a valid order because an op
-- can only use what existed before it:
--   dL/dx = sum over the ops that used x of (their dL/dy) * (dy/dx)
-- (the chain rule; each closure adds one term).
-- Gradients are never written in place once handed on: tensors may share them safely.
local core = require "giemsa.core"
local mapped = require "giemsa.grad.mapped"
local options = require "giemsa.options"

local grad = {}

--- Whose ops are recorded now: a step of a model's plan (it has a name), nil outside of models.
--- Nodes keep it, and while backward() runs, grad.visiting is the node whose closure runs: so a
--- profile can tell layers and passes apart.
grad.layer, grad.visiting = nil, nil

local enabled = true
local sequence = 0
local current_gradient -- the dy of the closure that is running

-- node -> its y while y is alive (weak: a node must not keep its value).
local value_of = setmetatable({}, { __mode = "kv" })

core.reshape = core.reshape or core.tensor_methods.reshape -- the plain one; ops.lua's records
local view = core.reshape

local function shape_text(shape)
  return "(" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")")
end

local function same_shape(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do if a[i] ~= b[i] then return false end end
  return true
end

--- Where gradients of t go: its node when it was computed, t itself when it is a leaf with
--- requires_grad, false when nothing is recorded. Closures keep this instead of t, so that t's
--- values can go while its gradient is awaited.
---@param t tensor|table|false|nil a tensor, or already a target
---@return table|tensor|false
function grad.target(t)
  if not enabled or not t then return false end
  if type(t) == "table" then return t end
  return t.node or t.requires_grad and t or false
end
local target = grad.target

--- Records the op that made y, when recording is on and an input is tracked. Returns y.
---@param y tensor the result, a tensor
---@param inputs table tensors or targets (grad.target); false for an input that is not there
---@param backward fun(dy: tensor) calls grad.accumulate(input, gradient) for each input; dy must
---  not be changed
---@param name string? for messages
---@return tensor y
function grad.op(y, inputs, backward, name)
  if not enabled then return y end
  local targets
  for i = 1, #inputs do
    local to = target(inputs[i])
    if to then
      targets = targets or {}
      targets[#targets + 1] = to
    end
  end
  if not targets then return y end
  sequence = sequence + 1
  local node = { sequence = sequence, inputs = targets, backward = backward, name = name }
  node.shape, node.layer = y.shape, grad.layer
  y.node = node
  value_of[node] = y
  return y
end

-- The sum of two gradients of one tensor; either may be a mapped one, which takes a dense one
-- along.
local function sum(before, g)
  if mapped.is(before) and mapped.is(g) then g = g:dense() end
  if mapped.is(g) then before, g = g, before end
  if not mapped.is(before) then return core.add(before, g) end
  before:plus(rawequal(g, current_gradient) and view(g, g.shape) or g)
  return before
end

--- Adds gradient g to what t has so far; takes g over when that was nothing. Does nothing when t
--- is not tracked.
---@param t tensor|table|false a tensor or a target; its shape must be that of g
---@param g tensor|giemsa.MappedGradient
function grad.accumulate(t, g)
  local to = t
  if type(t) == "userdata" then to = t.node or t.requires_grad and t end
  if not to then return end
  local shape, given = to.shape, g.shape
  if not same_shape(shape, given) then
    local got, want = shape_text(given), shape_text(shape)
    error(("a gradient has shape %s, its tensor has shape %s"):format(got, want), 2)
  end
  if type(to) == "userdata" and mapped.is(g) then g = g:dense() end -- a leaf shows plain numbers
  local before = to.grad
  if before then
    to.grad = sum(before, g)
  elseif rawequal(g, current_gradient) then
    to.grad = view(g, given) -- shares the storage, so that each holder can let go by itself
  else
    to.grad = g
  end
end

--- Takes away what a computed tensor's gradient is so far, for an op that adds its own term while
--- it makes that and gives the sum back; the op releases it. nil when there is none, or none such.
---@param to table|tensor|false a target
---@return tensor?
function grad.take(to)
  local before = type(to) == "table" and to.grad or nil
  if not before or mapped.is(before) then return nil end
  to.grad = nil
  return before
end

-- The nodes that lead to `root`, by sequence number, and those numbers in rising order.
local function reachable(root)
  local nodes, order, waiting = { [root.sequence] = root }, { root.sequence }, { root }
  while #waiting > 0 do
    local node = table.remove(waiting)
    if not node.backward then
      error("backward: this graph was already walked with free = true; compute the value again", 3)
    end
    for _, input in ipairs(node.inputs) do
      if type(input) == "table" and not nodes[input.sequence] then
        nodes[input.sequence] = input
        order[#order + 1] = input.sequence
        waiting[#waiting + 1] = input
      end
    end
  end
  table.sort(order)
  return nodes, order
end

local none = {}

-- Runs one node's closure; then either leaves the gradient where a person can read it, or frees all
-- it can.
local function visit(node, is_root, free)
  local dy = node.grad
  node.grad, grad.visiting = nil, node
  local y = value_of[node]
  local keep = is_root or y and y.requires_grad
  if mapped.is(dy) and (not node.takes_mapped or y and (keep or not free)) then
    local was = dy
    dy = was:dense()
    was:release()
  end
  if dy then
    current_gradient = dy
    node.backward(dy)
    current_gradient = nil
  end
  grad.visiting = nil
  if y and (keep or not free) then y.grad = dy end
  if not free then return end
  node.backward, node.inputs = nil, nil
  for _, tensor in ipairs(node.owns or none) do tensor:release() end
  if keep then return end
  if dy then dy:release() end
  if y then y:release() end
end

-- A pass that raises must not keep the gradient it was at.
local forget = setmetatable({}, { __close = function()
  current_gradient, grad.visiting = nil, nil
end })

--- Computes the gradient of t (usually a loss) for every tracked tensor it was computed from.
---
--- Leaves (requires_grad = true) add to their `.grad`; a computed tensor's `.grad` is that of the
--- last pass. With free = true the values and gradients in between are released as soon as they
--- were used: right for a training step, but the graph and its tensors cannot be used again (set
--- requires_grad = true on those to be kept). poll is called before each op: it may raise, so that a
--- long pass can be broken off; what leaves have in .grad by then is not all of their gradient.
---@param t tensor a tensor; a scalar unless opts.grad is given
---@param opts {grad: tensor?, free: boolean?, poll: fun()?}?
function grad.backward(t, opts)
  opts = options.check("backward", opts,
    { grad = "tensor", free = "boolean", poll = "function" }, 3)
  local seed, poll = opts.grad, opts.poll
  if not seed then
    if t.size ~= 1 then
      local shape = shape_text(t.shape)
      error("backward: start from a scalar, or give grad = a tensor of shape " .. shape, 2)
    end
    seed = core.full(t.shape, 1)
  end
  if not same_shape(seed.shape, t.shape) then
    local got, want = shape_text(seed.shape), shape_text(t.shape)
    error(("backward: grad has shape %s, the tensor has shape %s"):format(got, want), 2)
  end
  local root = t.node
  if not root then
    if not t.requires_grad then
      error("backward: this tensor does not depend on any tensor with requires_grad = true"
        .. " (or was made under no_grad)", 2)
    end
    return grad.accumulate(t, seed)
  end
  local nodes, order = reachable(root)
  for _, number in ipairs(order) do nodes[number].grad = nil end -- left by a pass that raised
  root.grad = seed
  local _ <close> = forget
  for i = #order, 1, -1 do
    if poll then poll() end
    local node = nodes[order[i]]
    nodes[order[i]] = nil
    visit(node, node == root, opts.free)
  end
end

core.tensor_methods.backward = grad.backward

--- t:detach(): the same numbers (shared), cut off from the graph.
core.tensor_methods.detach = function(t) return view(t, t.shape) end

--- Forgets the gradients of these tensors (they would add up from step to step otherwise).
---@param tensors table array of tensors
function grad.zero(tensors)
  for _, t in ipairs(tensors) do t.grad = nil end
end

--- Whether ops are recorded now.
---@return boolean
function grad.enabled() return enabled end

local restore = { __close = function(saved) enabled = saved.enabled end }

--- Calls f(...) with recording off, returns its results. Also when f raises, recording is as before
--- afterwards.
function grad.no_grad(f, ...)
  local saved <close> = setmetatable({ enabled = enabled }, restore)
  enabled = false
  return f(...)
end

--- The same with recording on (inside a no_grad).
function grad.with_grad(f, ...)
  local saved <close> = setmetatable({ enabled = enabled }, restore)
  enabled = true
  return f(...)
end

--- Compares the gradients of f with central differences; raises when one is wrong. See
--- giemsa/grad/check.lua.
---@param f fun(...: tensor): tensor
---@param inputs tensor[]
---@param opts giemsa.grad.CheckOptions?
---@return giemsa.grad.CheckReport report
function grad.check(f, inputs, opts)
  local report = require("giemsa.grad.check")(f, inputs, opts)
  return report
end

return grad
