--- Whatever fit, evaluate and predict are given, brought into the form of a data source: a
-- generator as it is, tensors (x, y), or a plain function that returns the next batch at each call.
local array = require "giemsa.data.array"
local core = require "giemsa.core"

local feed = {}

local function check_rows(who, x, y, level)
  if not core.is_tensor(x) then
    error(("%s: expected a tensor or a data source, got %s"):format(who, type(x)), level + 1)
  end
  if x.ndim == 0 or #x == 0 then error(("%s: there are no samples"):format(who), level + 1) end
  if y ~= nil and not core.is_tensor(y) then
    error(("%s: the labels must be a tensor, got %s"):format(who, type(y)), level + 1)
  end
  if y and #x ~= #y then error(("%s: %d samples, but %d labels"):format(who, #x, #y), level + 1) end
end

local function from_tensors(who, x, y, opts, level)
  check_rows(who, x, y, level + 1)
  local batch_size = opts.batch_size or 32
  if batch_size < 1 then
    error(("%s: batch_size must be at least 1, got %s"):format(who, batch_size), level + 1)
  end
  local source = array(x, y, { batch_size = batch_size, shuffle = opts.shuffle or false,
    seed = opts.seed or 0 })
  source.tensors = true
  return source
end

-- Every batch is the next call; so there is no end but the number of steps.
local function from_function(next_batch)
  return {
    batches = function(_, given)
      local left = given.steps
      return function()
        if left == 0 then return nil end
        left = left and left - 1
        return next_batch()
      end
    end,
  }
end

function feed.is_source(data) return type(data) == "table" and type(data.batches) == "function" end

--- A source of whatever was given.
---@param who string for messages
---@param data any a source, a function, a tensor, or {x, y}
---@param y userdata? labels when data is a tensor
---@param opts {batch_size: integer?, shuffle: boolean?, seed: integer?}
---@param level integer error level
---@return giemsa.Source
function feed.source(who, data, y, opts, level)
  if feed.is_source(data) then
    if opts.batch_size then
      error(("%s: batch_size is the data source's own (%s); set it there")
        :format(who, tostring(data.batch_size)), level + 1)
    end
    return data
  end
  if type(data) == "function" then return from_function(data) end
  if type(data) == "table" and core.is_tensor(data[1]) then data, y = data[1], data[2] end
  local source = from_tensors(who, data, y, opts, level + 1)
  return source
end

--- How many batches to take: what was asked for, at most what there is. nil: until the source ends.
---@return integer? steps
---@return string? note what should be said about it
function feed.steps(who, name, source, asked, level)
  local has = source.n and #source
  if asked and (math.tointeger(asked) or -1) < 0 then
    error(("%s: %s must be a whole number from 0 up"):format(who, name), level + 1)
  end
  if not has then
    if not asked then
      error(("%s: give %s, a function has no end of its own"):format(who, name), level + 1)
    end
    return asked
  end
  if not asked then return has end
  if asked == 0 then
    return has, ("%s = 0 (fewer samples than a batch of %d?): all %d batches are used")
      :format(name, source.batch_size, has)
  end
  if asked > has then
    return has, ("%s = %d, but the source has %d batches: %d are used")
      :format(name, asked, has, has)
  end
  return asked
end

--- Splits the arguments of fit and evaluate: (source, opts), ({x, y}, opts) or (x, y, opts).
---@return any data, userdata? y, table? opts
function feed.arguments(data, second, third)
  if core.is_tensor(second) then return data, second, third end
  return data, nil, second
end

return feed
