--- What a call of the core must do at least: arithmetic (a multiply-add is two operations) and
--- memory that is read or written, were every tensor touched once.
local core = require "giemsa.core"

local cost = {}

-- A convolution does, for each of its outputs, a multiply-add with every weight of that channel.
local function convolution(outputs, kernel)
  return 2 * outputs.size * kernel.size / kernel.shape[kernel.ndim]
end

local function product(a, y, transposed)
  return 2 * y.size * a.shape[transposed and a.ndim - 1 or a.ndim]
end

-- Both gradients of one or two convolutions of one picture.
local function gradients(args)
  local sum = 0
  for i = 3, 4 do
    local branch = args[i]
    if branch then
      local passes = (branch.want_dw and 1 or 0) + (args[2].want_dx and 1 or 0)
      sum = sum + passes * convolution(branch.map_x or branch.dy, branch.w)
    end
  end
  return sum
end

-- op -> operations, from its arguments and its first result
local flops = {
  conv2d = function(args, y) return convolution(y, args[2]) end,
  conv2d_dx = function(args) return convolution(args[1], args[2]) end,
  conv2d_dw = function(args, dw) return convolution(args[1], dw) end,
  conv2d_grad = gradients,
  matmul = function(args, y) return product(args[1], y, args[3]) end,
}

--- Floating-point operations of a call; nil where arithmetic is not what counts.
---@param name string of a function of the core
---@param args table its arguments
---@param result any its first result
---@return number?
function cost.flops(name, args, result)
  local f = flops[name]
  return f and f(args, result)
end

--- Bytes of all tensors in a list, and in the tables of options in it.
---@param list table with n, as of table.pack
---@return integer
function cost.bytes(list)
  local sum = 0
  for _, value in pairs(list) do
    if core.is_tensor(value) then sum = sum + 4 * value.size
    elseif type(value) == "table" and type(value[1]) ~= "number" then
      sum = sum + cost.bytes(value)
    end
  end
  return sum
end

return cost
