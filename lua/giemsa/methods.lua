--- The plain methods and operators of tensors, from the core. giemsa.ops then replaces those that
--- have a gradient by ones that record it; what stays here (comparison, argmax, isnan, ...) is
--- never recorded.
local core = require "giemsa.core"
require "giemsa.format"

--- Shapes broadcast as NumPy's: lined up at the last dimension, where one has 1 or nothing its
--- value is used again. Axes are 1-based, negative from the end; without an axis a reduction is
--- over everything and gives a single number as a tensor. Wrong types, shapes and axes raise.
---@class tensor : userdata
---@field shape integer[] a fresh table
---@field ndim integer
---@field size integer number of elements
---@field grad tensor? what backward() left here
---@field requires_grad boolean?
---@field name string?
---@field [integer] tensor|number a row (a view), or a number of a tensor with one dimension
---@field add fun(self: tensor, other: tensor|number): tensor
---@field sub fun(self: tensor, other: tensor|number): tensor
---@field mul fun(self: tensor, other: tensor|number): tensor
---@field div fun(self: tensor, other: tensor|number): tensor
---@field pow fun(self: tensor, other: tensor|number): tensor
---@field maximum fun(self: tensor, other: tensor|number): tensor the larger of the two; NaN when one is
---@field minimum fun(self: tensor, other: tensor|number): tensor
---@field eq fun(self: tensor, other: tensor|number): tensor 1 where equal, else 0
---@field ne fun(self: tensor, other: tensor|number): tensor
---@field lt fun(self: tensor, other: tensor|number): tensor
---@field le fun(self: tensor, other: tensor|number): tensor
---@field gt fun(self: tensor, other: tensor|number): tensor
---@field ge fun(self: tensor, other: tensor|number): tensor
---@field matmul fun(self: tensor, other: tensor): tensor (m,k) by (k,n) gives (m,n); both may have a batch in front
---@field neg fun(self: tensor): tensor
---@field exp fun(self: tensor): tensor
---@field log fun(self: tensor): tensor
---@field sqrt fun(self: tensor): tensor
---@field abs fun(self: tensor): tensor
---@field square fun(self: tensor): tensor
---@field tanh fun(self: tensor): tensor
---@field sigmoid fun(self: tensor): tensor
---@field relu fun(self: tensor): tensor
---@field sign fun(self: tensor): tensor -1, 0 or 1
---@field round fun(self: tensor): tensor halves to the even number
---@field floor fun(self: tensor): tensor
---@field clip fun(self: tensor, low: number, high: number): tensor
---@field sum fun(self: tensor, axis: integer?, keepdims: boolean?): tensor
---@field mean fun(self: tensor, axis: integer?, keepdims: boolean?): tensor NaN when there is nothing
---@field var fun(self: tensor, axis: integer?, keepdims: boolean?): tensor divided by n
---@field max fun(self: tensor, axis: integer?, keepdims: boolean?): tensor NaN when there is one; raises on nothing
---@field min fun(self: tensor, axis: integer?, keepdims: boolean?): tensor
---@field argmax fun(self: tensor, axis: integer, keepdims: boolean?): tensor place of the first largest, from 1
---@field argmin fun(self: tensor, axis: integer, keepdims: boolean?): tensor without an axis: one integer
---@field reshape fun(self: tensor, ...: integer|integer[]): tensor a view; one dimension may be -1
---@field rows fun(self: tensor, first: integer, last: integer): tensor a view, both included
---@field slice fun(self: tensor, axis: integer, first: integer, last: integer): tensor a copy, both included
---@field take fun(self: tensor, rows: integer[]|tensor): tensor the rows with these numbers, in this order
---@field pad fun(self: tensor, pads: integer[][], value: number?): tensor {{before, after}, ...}, one pair a dimension
---@field transpose fun(self: tensor, i: integer?, j: integer?): tensor two axes swapped, the last two by default
---@field copy fun(self: tensor): tensor
---@field copy_from fun(self: tensor, source: tensor): tensor self, overwritten; as many elements
---@field fill fun(self: tensor, value: number): tensor self
---@field totable fun(self: tensor): table|number nested
---@field item fun(self: tensor): number of a tensor with one element
---@field release fun(self: tensor) gives the memory back now; using the tensor afterwards raises
---@field is_released fun(self: tensor): boolean
---@operator add(tensor|number): tensor
---@operator sub(tensor|number): tensor
---@operator mul(tensor|number): tensor
---@operator div(tensor|number): tensor
---@operator pow(tensor|number): tensor
---@operator unm: tensor
---@operator len: integer
local methods = core.tensor_methods
local metatable = core.tensor_metatable

for _, name in ipairs {
  "add", "sub", "mul", "div", "pow", "maximum", "minimum", "matmul",
  "neg", "exp", "log", "sqrt", "abs", "square", "tanh", "sigmoid", "relu", "sign", "round", "floor", "clip",
  "eq", "ne", "lt", "le", "gt", "ge",
  "sum", "mean", "var", "max", "min", "argmax", "argmin",
  "transpose", "slice", "pad", "take",
} do
  methods[name] = core[name]
end

--- Standard deviation (divided by n) over an axis, or over all.
---@param t tensor
---@param axis integer?
---@param keepdims boolean?
---@return tensor
function core.std(t, axis, keepdims) return core.sqrt(core.var(t, axis, keepdims)) end
methods.std = core.std

--- 1 where the value is NaN, else 0.
---@return tensor
function methods:isnan() return core.ne(self, self) end

--- Are all values equal to other's within abs + rel * |other|? Shapes must broadcast; NaN equals
--- nothing.
---@param other tensor|number
---@param abs number? default 1e-6
---@param rel number? default 1e-5
---@return boolean
function methods:allclose(other, abs, rel)
  abs, rel = abs or 1e-6, rel or 1e-5
  local distance, allowed = core.abs(core.sub(self, other)), nil
  if type(other) == "number" then allowed = abs + rel * math.abs(other)
  else allowed = core.add(core.mul(core.abs(other), rel), abs) end
  local near = core.maximum(core.le(distance, allowed), core.eq(self, other)) -- equal infinities are close
  return near.size == 0 or core.min(near):item() == 1
end

--- Writes the values to a NumPy file (float32). The old file stays whole until the new one is.
---@param path string must end in .npy
function methods:save(path)
  if type(path) ~= "string" then error("save: expected a path, got " .. type(path), 2) end
  if not path:find("%.npy$") then error(("save: %s: a tensor is saved as .npy"):format(path), 2) end
  local ok, why = core.npy_save(path, self)
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
    error(("'%s' compares single numbers; for every element use a:%s(b), which gives a tensor of 0 and 1")
      :format(sign, name), 4)
  end
  return number(a), number(b)
end

function metatable.__lt(a, b) a, b = single(a, b, "<", "lt") return a < b end
function metatable.__le(a, b) a, b = single(a, b, "<=", "le") return a <= b end

local function text(x) return core.is_tensor(x) and tostring(x) or x end
function metatable.__concat(a, b) return text(a) .. text(b) end

-- for i, row in pairs(t)
local function next_row(t, i)
  if i < #t then return i + 1, t[i + 1] end
end
function metatable.__pairs(t) return next_row, t, 0 end

return methods
