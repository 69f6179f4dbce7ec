--- Rows of a net put together into fewer passes over memory; no value changes but by rounding.
--- GIEMSA_FUSE=0 runs the plain composition. What is put together:
--
--   BatchNormalization (+ ReLU), read by convolutions only    they do it while they read
--   the same, read by a max pool                              the pool does it, on what it chose
--   two convolutions of one BatchNormalization                their gradients come back in one pass
--   Conv2D, then Add                                          the convolution adds
--   BatchNormalization, then Add (+ ReLU)                     one pass over memory each way
--   Conv2D, read by a BatchNormalization                      the convolution sums the moments
--   BatchNormalization of the input, then Conv2D              no gradient of what stands between
--   ZeroPadding2D, then MaxPooling2D or Conv2D                those know the zeros
--
-- A rule looks at a row and who reads it, and gives { last = row that the result stands for,
-- forward = function(row, x, training, model, values) }, perhaps with more: `reads`, rows whose
-- values it reads besides its inputs; `covers`, other rows that need no step of their own; `lends`,
-- when its value only stands for its input.
local norm = require "giemsa.ops.norm"
local ops = require "giemsa.ops"

local fuse = { wanted = os.getenv("GIEMSA_FUSE") ~= "0" }

-- ---- looking around -----------------------------------------------------------------------------

---@class giemsa.nn.Surroundings
---@field rows table[]
---@field readers table<integer, integer[]>
---@field kept table<integer, boolean> rows whose own value is wanted
---@field pairs table<integer, table> convolution -> the other one that is done with it
---@field early table<integer, boolean> rows whose value is there before their turn

-- The only row that reads row `index`, when nobody else wants its value.
local function only_reader(around, index)
  local readers = around.readers[index]
  if around.kept[index] or #readers ~= 1 then return nil end
  return around.rows[readers[1]]
end

local function is_relu(row)
  return row.class == "ReLU" or row.class == "Activation" and row.config.activation == "relu"
end

local function is_plain_conv(row)
  local activation = row.config.activation
  return row.class == "Conv2D" and row.config.groups == 1
    and (activation == nil or activation == "linear")
end

-- The batch normalisation's last row (itself or its relu), and whether there is a relu.
local function end_of_norm(row, around)
  local reader = only_reader(around, row.index)
  if reader and is_relu(reader) then return reader, true end
  return row, false
end

local function all_readers(around, index, test)
  if around.kept[index] or #around.readers[index] == 0 then return false end
  for _, reader in ipairs(around.readers[index]) do
    if not test(around.rows[reader]) then return false end
  end
  return true
end

-- ---- rules, the first that fits -----------------------------------------------------------------

-- Options of the op for training and not, with `relu` as found.
local function norm_options(row, relu)
  local options = {}
  for training, given in pairs(row.options) do
    options[training] = { relu = relu }
    for key, value in pairs(given) do options[training][key] = value end
  end
  return options
end

local function trains(row, training) return training and row.config.trainable ~= false end

-- BatchNormalization of the net's input, then Conv2D.
local function norm_of_input(row, around)
  local reader = only_reader(around, row.index)
  if around.rows[row.inputs[1]].class ~= "Input" then return end
  if not (reader and is_plain_conv(reader)) then return end
  local w, kernel, options = row.weights, reader.weights, {}
  if not (w.gamma and w.beta) then return end
  local weights = { w.gamma, w.beta, w.moving_mean, w.moving_variance }
  for training, given in pairs(row.options) do
    options[training] = { moments = training and around.wants_moments(reader.index) }
    for key, value in pairs(given) do options[training][key] = value end
    for key, value in pairs(reader.options) do options[training][key] = value end
  end
  return { last = reader, forward = function(_, x, training, _, values)
    local y, moments =
      ops.norm_conv2d(x, weights, kernel.kernel, kernel.bias, options[trains(row, training)])
    values.moments[reader.index] = moments
    return y
  end }
end

-- The two convolutions that are all that reads row `index`, when they can be done together.
local function find_pair(around, index)
  local readers = around.readers[index]
  if #readers ~= 2 then return end
  local first, second = around.rows[readers[1]], around.rows[readers[2]]
  if first.class ~= "Conv2D" or second.class ~= "Conv2D" then return end
  if first == second or first.weights.bias or second.weights.bias then return end
  if around.wants_moments(second.index) or around.kept[second.index] then return end
  around.pairs[first.index], around.early[second.index] = second, true
end

-- BatchNormalization (+ ReLU), as what stands for it.
local function lend(row, relu)
  local w, options, from = row.weights, norm_options(row, relu), row.inputs[1]
  return function(x, training, values)
    return norm.normalised(x, w.gamma, w.beta, w.moving_mean, w.moving_variance,
      options[trains(row, training)], values.moments[from])
  end
end

-- The convolution behind a ZeroPadding2D row, with the padding among its options.
local function padded_conv(row, around)
  local reader = row.class == "ZeroPadding2D" and only_reader(around, row.index)
  if not (reader and is_plain_conv(reader) and reader.config.padding == "valid") then return end
  local rows, columns = row.config.padding[1], row.config.padding[2]
  local options = { padding = { rows[1], rows[2], columns[1], columns[2] } }
  for key, value in pairs(reader.options) do options[key] = options[key] or value end
  return reader, options
end

-- BatchNormalization (+ ReLU), read by convolutions only.
local function norm_into_convs(row, around)
  local last, relu = end_of_norm(row, around)
  local function is_conv(reader) return is_plain_conv(reader) or padded_conv(reader, around) end
  if not all_readers(around, last.index, is_conv) then return end
  find_pair(around, last.index)
  local normalised = lend(row, relu)
  return { last = last, lends = true,
    forward = function(_, x, training, _, values) return normalised(x, training, values) end }
end

-- The max pool that row is, or leads to by zero padding, with the op's options.
local function pool_of(row, around)
  if row.class == "MaxPooling2D" then return row, row.options end
  if row.class ~= "ZeroPadding2D" then return end
  local reader = only_reader(around, row.index)
  if not (reader and reader.class == "MaxPooling2D" and reader.config.padding == "valid") then
    return
  end
  local rows, columns, window = row.config.padding[1], row.config.padding[2],
    reader.config.pool_size
  if math.max(rows[1], rows[2]) >= window[1] or math.max(columns[1], columns[2]) >= window[2] then
    return
  end
  return reader, { pool = window, strides = reader.config.strides,
    padding = { rows[1], rows[2], columns[1], columns[2] } }
end

-- BatchNormalization + ReLU, read by a max pool.
local function norm_into_pool(row, around)
  local last, relu = end_of_norm(row, around)
  local reader = relu and only_reader(around, last.index)
  if not reader then return end
  local pool, options = pool_of(reader, around)
  if not pool then return end
  local normalised = lend(row, relu)
  return { last = pool, covers = { last.index, reader.index },
    forward = function(_, x, training, _, values)
      return ops.norm_max_pool2d(normalised(x, training, values), options)
    end }
end

-- The Add of two that alone reads a row, and the other row, when that is there already.
local function add_of(row, around)
  local reader = only_reader(around, row.index)
  if not (reader and reader.class == "Add" and #reader.inputs == 2) then return end
  local other = reader.inputs[1] == row.index and reader.inputs[2] or reader.inputs[1]
  if other >= row.index and not around.early[other] then return end
  return reader, other
end

-- BatchNormalization, then Add (+ ReLU): the end of a residual block.
local function norm_add(row, around)
  local add, other = add_of(row, around)
  if not add then return end
  local last, relu = end_of_norm(add, around)
  local w, options, from = row.weights, norm_options(row, relu), row.inputs[1]
  -- A normalised shortcut that is only added here, nobody reads again, nor does its gradient.
  local spent = around.rows[other].class == "BatchNormalization" and only_reader(around, other)
  return { last = last, covers = { add.index }, reads = { other },
    forward = function(_, x, training, _, values)
      local y = norm.batch_norm_add(x, values[other], w.gamma, w.beta, w.moving_mean,
        w.moving_variance, options[trains(row, training)], values.moments[from])
      if spent then values[other]:release() end
      return y
    end }
end

-- BatchNormalization (+ ReLU), written down.
local function norm_alone(row, around)
  local last, relu = end_of_norm(row, around)
  local w, options, from = row.weights, norm_options(row, relu), row.inputs[1]
  return { last = last, forward = function(_, x, training, _, values)
    return ops.batch_norm(x, w.gamma, w.beta, w.moving_mean, w.moving_variance,
      options[trains(row, training)], values.moments[from])
  end }
end

-- Conv2D with what it can take along: a shortcut to add, moments for a batch normalisation.
local function conv_with(row, around, given)
  local add, other = add_of(row, around)
  local last = add or row
  local moments, w = around.wants_moments(last.index), row.weights
  -- What a convolution gave only to be added here, nobody reads again, nor does its gradient.
  local spent = other and is_plain_conv(around.rows[other]) and only_reader(around, other)
  return { last = last, reads = { other }, forward = function(_, x, training, _, values)
    local options = { moments = moments and training and true or nil, add = values[other] }
    for key, value in pairs(given) do options[key] = value end
    local y, sums = ops.conv2d(x, w.kernel, w.bias, options)
    values.moments[last.index] = sums
    if spent then values[other]:release() end
    return y
  end }
end

local function conv(row, around)
  if is_plain_conv(row) then return conv_with(row, around, row.options) end
end

-- ZeroPadding2D, then Conv2D.
local function pad_conv(row, around)
  local reader, options = padded_conv(row, around)
  if not reader then return end
  local fused = conv_with(reader, around, options)
  fused.covers = { reader.index }
  return fused
end

-- Two convolutions of one normalised picture.
local function conv_pair(row, around)
  local second = around.pairs[row.index]
  if not second then return end
  local moments = around.wants_moments(row.index)
  return { last = row, covers = { second.index }, forward = function(_, x, training, _, values)
    local options = { moments = moments and training and true or nil }
    for key, value in pairs(row.options) do options[key] = value end
    local y, y2, sums = ops.conv2d_pair(x, row.weights.kernel, options, second.weights.kernel,
      second.options)
    values[second.index], values.moments[row.index] = y2, sums
    return y
  end }
end

-- ZeroPadding2D, then MaxPooling2D without padding of its own: zeros that are never stored.
local function pad_pool(row, around)
  local pool, options = pool_of(row, around)
  return pool and { last = pool, forward = function(_, x) return ops.max_pool2d(x, options) end }
end

local rules = {
  BatchNormalization = { norm_of_input, norm_into_convs, norm_into_pool, norm_add, norm_alone },
  Conv2D = { conv_pair, conv },
  ZeroPadding2D = { pad_conv, pad_pool },
}

--- What row and those behind it become together, when a rule knows them.
---@param row table
---@param around giemsa.nn.Surroundings
---@return {last: table, forward: function, reads: integer[]?, covers: integer[]?, lends: boolean?}?
function fuse.rows(row, around)
  if not fuse.wanted then return end
  around.wants_moments = around.wants_moments or function(index)
    for _, reader in ipairs(around.readers[index]) do
      local class = around.rows[reader].class
      if class == "BatchNormalization" and trains(around.rows[reader], true) then return true end
    end
    return false
  end
  for _, rule in ipairs(rules[row.class] or {}) do
    local found = rule(row, around)
    if found then return found end
  end
end

return fuse
