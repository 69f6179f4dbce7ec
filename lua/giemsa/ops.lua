--- Differentiable functions on tensors. Loading this file also puts them on tensors as methods and
--- operators: x:relu(), a + b, (x * w):sum() are recorded as giemsa.ops.relu(x) and so on are. Not
--- recorded: x[i], x:copy(), comparisons, argmax, round, floor, sign, and everything under
--- grad.no_grad.
local core = require "giemsa.core"
require "giemsa.methods"

---@class giemsa.ops
local ops = {}

for _, part in ipairs { "giemsa.ops.arithmetic", "giemsa.ops.conv", "giemsa.ops.maps",
  "giemsa.ops.layers" } do
  for name, f in pairs(require(part)) do ops[name] = f end
end
ops.batch_norm = require("giemsa.ops.norm").batch_norm

local takes_a_list = { concat = true, l2 = true }
for name, f in pairs(ops) do
  if not takes_a_list[name] then core.tensor_methods[name] = f end
end

local metatable = core.tensor_metatable
metatable.__add, metatable.__sub = ops.add, ops.sub
metatable.__mul, metatable.__div, metatable.__pow = ops.mul, ops.div, ops.pow
metatable.__unm = function(x) return ops.neg(x) end -- Lua passes the operand twice

return ops
