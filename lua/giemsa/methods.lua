--- The plain methods and operators of tensors, from the core. giemsa.ops then replaces those that have a gradient by
--- ones that record it; what stays here (comparison, argmax, take, ...) is never recorded.
local core = require "giemsa.core"
require "giemsa.format"

local methods, metatable = core.tensor_methods, core.tensor_metatable

for _, name in ipairs {
  "add", "sub", "mul", "div", "pow", "maximum", "minimum", "matmul",
  "neg", "exp", "log", "sqrt", "abs", "square", "tanh", "sigmoid", "relu", "sign", "round", "floor", "clip",
  "eq", "ne", "lt", "le", "gt", "ge",
  "sum", "mean", "var", "max", "min", "argmax", "argmin",
  "transpose", "slice", "pad", "take",
} do
  methods[name] = core[name]
end

--- Standard deviation (divided by n) over an axis (1-based, negative from the end), or over all.
function core.std(t, axis, keepdims) return core.sqrt(core.var(t, axis, keepdims)) end
methods.std = core.std

--- 1 where the value is NaN, else 0.
function methods.isnan(t) return core.ne(t, t) end

--- Are all values equal to other's within abs + rel * |other|? Shapes must broadcast; NaN equals nothing.
---@param t tensor
---@param other tensor|number
---@param abs number? default 1e-6
---@param rel number? default 1e-5
---@return boolean
function methods.allclose(t, other, abs, rel)
  local distance = core.abs(core.sub(t, other))
  local allowed = type(other) == "number" and (abs or 1e-6) + (rel or 1e-5) * math.abs(other)
    or core.add(core.mul(core.abs(other), rel or 1e-5), abs or 1e-6)
  local near = core.maximum(core.le(distance, allowed), core.eq(t, other)) -- equal infinities are close
  return near.size == 0 or core.min(near):item() == 1
end

--- Writes the values to a NumPy file (float32). The old file stays whole until the new one is.
---@param t tensor
---@param path string must end in .npy
function methods.save(t, path)
  if type(path) ~= "string" then error("save: expected a path, got " .. type(path), 2) end
  if not path:find("%.npy$") then error(("save: %s: a tensor is saved as .npy"):format(path), 2) end
  local ok, why = core.npy_save(path, t)
  if not ok then error(why, 2) end
end

metatable.__add, metatable.__sub, metatable.__mul, metatable.__div = core.add, core.sub, core.mul, core.div
metatable.__pow = core.pow
metatable.__unm = function(t) return core.neg(t) end

-- Lua makes true or false of what < and <= return, so they are for single numbers only.
local function single(a, b, sign, name)
  local function number(x)
    if type(x) == "number" then return x end
    if core.is_tensor(x) and x.size == 1 then return x:item() end
    error(("'%s' compares single numbers; for every element use a:%s(b), which gives a tensor of 0 and 1"):format(sign, name), 4)
  end
  return number(a), number(b)
end

function metatable.__lt(a, b) a, b = single(a, b, "<", "lt") return a < b end
function metatable.__le(a, b) a, b = single(a, b, "<=", "le") return a <= b end

local function text(x) return core.is_tensor(x) and tostring(x) or x end
function metatable.__concat(a, b) return text(a) .. text(b) end

return methods
