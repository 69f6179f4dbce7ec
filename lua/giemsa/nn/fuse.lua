--- Two rows in one op: saves a pass over memory, changes no value but by rounding. A rule looks at
-- a row and at the only row that reads it, and gives the forward of both, or nil. GIEMSA_FUSE=0
-- runs the plain composition.
local ops = require "giemsa.ops"

local fuse = { wanted = os.getenv("GIEMSA_FUSE") ~= "0" }

local rules = {}

-- BatchNormalization, then ReLU.
function rules.norm_relu(row, reader)
  if row.class ~= "BatchNormalization" then return end
  if not (reader.class == "ReLU" or reader.class == "Activation"
    and reader.config.activation == "relu") then
    return
  end
  local w, options = row.weights, {}
  for training, given in pairs(row.options) do
    options[training] = { relu = true }
    for key, value in pairs(given) do options[training][key] = value end
  end
  return function(_, x, training)
    training = training and row.config.trainable ~= false
    return ops.batch_norm(x, w.gamma, w.beta, w.moving_mean, w.moving_variance, options[training])
  end
end

-- ZeroPadding2D, then MaxPooling2D without padding of its own: zeros that are never stored.
function rules.pad_pool(row, reader)
  if row.class ~= "ZeroPadding2D" or reader.class ~= "MaxPooling2D"
    or reader.config.padding ~= "valid" then
    return
  end
  local rows, columns, window = row.config.padding[1], row.config.padding[2],
    reader.config.pool_size
  if math.max(rows[1], rows[2]) >= window[1] or math.max(columns[1], columns[2]) >= window[2] then
    return
  end
  local given = { pool = window, strides = reader.config.strides,
    padding = { rows[1], rows[2], columns[1], columns[2] } }
  return function(_, x) return ops.max_pool2d(x, given) end
end

-- BatchNormalization of the net's input, then Conv2D: no gradient of what stands between.
function rules.norm_conv(row, reader)
  if row.class ~= "BatchNormalization" or reader.class ~= "Conv2D" then return end
  if reader.config.groups > 1 then return end
  local w, kernel, options = row.weights, reader.weights, {}
  if not (w.gamma and w.beta) then return end
  local norm = { w.gamma, w.beta, w.moving_mean, w.moving_variance }
  for training, given in pairs(row.options) do
    options[training] = {}
    for key, value in pairs(given) do options[training][key] = value end
    for key, value in pairs(reader.options) do options[training][key] = value end
  end
  return function(_, x, training)
    training = training and row.config.trainable ~= false
    return ops.norm_conv2d(x, norm, kernel.kernel, kernel.bias, options[training])
  end
end

--- The forward (row, x, training) -> y of both rows, when a rule knows them.
---@param row table
---@param reader table the only row that reads `row`
---@return function?
function fuse.pair(row, reader)
  if not fuse.wanted then return end
  for _, rule in pairs(rules) do
    local forward = rule(row, reader)
    if forward then return forward end
  end
end

return fuse
