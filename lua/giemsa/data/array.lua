--- A source of tensors in memory, in batches.
local core = require "giemsa.core"
local options = require "giemsa.options"
local Source = require "giemsa.data.source"

---@class giemsa.ArraySource : giemsa.Source
local ArraySource = Source.extend()

function ArraySource:reader() return Source.gather(self.x, self.y) end

local ARRAY = { batch_size = "integer", shuffle = "boolean", seed = "integer" }

local function has_rows(t) return core.is_tensor(t) and t.ndim > 0 end

--- A source of rows of tensors as they are.
---@param x giemsa.Tensor (n, ...)
---@param y giemsa.Tensor? (n, ...)
---@param given? {batch_size?: integer, shuffle?: boolean, seed?: integer} 32, true
---@return giemsa.ArraySource
local function array(x, y, given)
  local o = options.check("array", given, ARRAY)
  if not has_rows(x) then error("array: expected a tensor with a row a sample", 2) end
  if y ~= nil and not has_rows(y) then error("array: y must be a tensor with a row a sample", 2) end
  if y and #y ~= #x then error(("array: x has %d rows, y has %d"):format(#x, #y), 2) end
  local size = math.tointeger(o.batch_size or 32)
  if size < 1 then error(("array: batch_size must be at least 1, got %d"):format(size), 2) end
  return setmetatable(Source.init {
    n = #x, samples = #x, x = x, y = y, batch_size = size,
    shuffle = o.shuffle ~= false, seed = o.seed,
  }, ArraySource)
end

return array
