--- A gradient that is not worked out yet: what comes out of a batch normalisation,
--
--   dx = a * g + b * (x - mean) + c  (+ add)
--
-- with a row of each coefficient in `map` (core.norm_gradient). A convolution applies it while it
-- reads (core.conv2d_grad); whoever cannot, calls dense(). It owns g and add, but not x.
local core = require "giemsa.core"

---@class giemsa.MappedGradient
---@field g tensor the shape of x
---@field x tensor
---@field map tensor (4, channels)
---@field add tensor? the shape of x
---@field pool table? {taps, and the eight numbers of the window}, as core.max_pool2d takes them
---@field shape integer[]
local Mapped = {}
Mapped.__index = Mapped

local mapped = {}

---@param g tensor taken over
---@param x tensor
---@param map tensor
---@param pool table?
---@return giemsa.MappedGradient
function mapped.new(g, x, map, pool)
  return setmetatable({ g = g, x = x, map = map, pool = pool, shape = x.shape }, Mapped)
end

---@return boolean
function mapped.is(value) return getmetatable(value) == Mapped end

--- More gradient for the same tensor; the first dense one is taken over.
---@param more tensor
function Mapped:plus(more) self.add = self.add and core.add(self.add, more) or more end

--- The numbers themselves, as a new tensor.
---@return tensor
function Mapped:dense()
  local g = self.g
  if self.pool then
    g = core.max_pool2d_dx(g, self.pool[1], self.shape[2], self.shape[3],
      table.unpack(self.pool, 2, 9))
  end
  local dx = core.norm_dx(g, self.x, self.map)
  if self.add then core.add_(dx, self.add) end
  return dx
end

function Mapped:release()
  self.g:release()
  if self.add then self.add:release() end
end

return mapped
