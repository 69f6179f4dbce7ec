--- The layer classes, one entry each: all a class is stands in its entry, so a new layer made of
--- ops is one entry here.
--
--   order    names of the positional values              options   key -> type, as giemsa.options
--   wants it defaults key -> value                                 check(config)  brings values to
--   their plain, saved form shape(config, input) -> output shape; shapes are without the batch
--   axis; `merges` classes get a list of shapes weights(config, input) -> array of { name, shape,
--   initializer, regularizer = , trainable = } prepare(row)   once, for what forward wants ready   
--    forward(row, x, training, model) -> y macs(config, input, output) -> multiply-adds of one
--    image
--   aliases        forward may return its input or a view of it
--
-- check and shape raise plain text (level 0); the caller adds the layer's name.
local checks = require "giemsa.nn.checks"
local ops = require "giemsa.ops"

local fail, pair, whole, shape_text = checks.fail, checks.pair, checks.whole, checks.shape_text
local need_map, windows, size_of = checks.need_map, checks.windows, checks.size_of
local kernel_options, kernel_defaults, kernel_weights = checks.kernel_options,
  checks.kernel_defaults, checks.kernel_weights

local function same_shape(_, input) return input end

local classes = {}

-- ---- input --------------------------------------------------------------------------------------

--- Where a net begins: the shape of one sample, without the batch.
---@class giemsa.Input
---@field shape integer[] {64, 64, 3} for pictures, {2} for two numbers
classes.Input = {
  order = { "shape" }, options = { shape = "table" },
  check = function(config)
    local shape = config.shape or fail("needs a shape, for example nn.Input{shape = {64, 64, 3}}")
    if #shape > 3 then
      fail("a shape has at most 3 numbers (the batch axis comes by itself), got %d", #shape)
    end
    local plain = {}
    for i, n in ipairs(shape) do plain[i] = whole(n, "shape", 1) end
    config.shape = plain
  end,
  shape = function(config) return config.shape end,
}

-- ---- convolutions and dense ---------------------------------------------------------------------

--- A convolution: each of `filters` kernels slides over the map, and a value is the sum of a window
--- times the kernel (cross-correlation, as everywhere in deep learning). (h, w, c) -> (h', w', filters).
---@class giemsa.Conv2D : giemsa.KernelOptions
---@field filters integer how many maps come out
---@field kernel_size integer|integer[] side of the window, or {height, width}
---@field strides integer|integer[] how far the window moves; 2 halves the map
---@field padding "valid"|"same" "same" surrounds the map with zeros, so that with strides 1 it keeps its size
---@field dilation_rate integer|integer[] distance between the window's taps
---@field groups integer maps and kernels in so many groups that do not see each other
classes.Conv2D = {
  order = { "filters", "kernel_size" },
  options = kernel_options{ filters = "integer", kernel_size = "integer|table",
    strides = "integer|table",
    padding = "string", dilation_rate = "integer|table", groups = "integer" },
  defaults = kernel_defaults{ strides = 1, padding = "valid", dilation_rate = 1, groups = 1 },
  check = function(config)
    config.filters = whole(config.filters, "filters", 1)
    config.groups = whole(config.groups, "groups", 1)
    checks.divides(config.filters, config.groups, "filters")
    pair(config, "kernel_size")
    pair(config, "strides")
    pair(config, "dilation_rate")
    checks.padding(config)
    checks.kernel_and_bias(config)
  end,
  shape = function(config, input)
    need_map(input)
    checks.divides(input[3], config.groups, "channels of the input")
    local h, w = windows(config, input, config.kernel_size, config.strides, config.dilation_rate)
    return { h, w, config.filters }
  end,
  weights = function(config, input)
    local k = config.kernel_size
    local inputs = input[3] // config.groups
    return kernel_weights(config, { k[1], k[2], inputs, config.filters }, config.filters)
  end,
  prepare = function(row)
    local config = row.config
    row.options = { strides = config.strides, padding = config.padding,
      dilation = config.dilation_rate, groups = config.groups > 1 and config.groups or nil }
  end,
  forward = function(row, x)
    local w = row.weights
    return ops.conv2d(x, w.kernel, w.bias, row.options)
  end,
  macs = function(config, input, output)
    local k = config.kernel_size
    return size_of(output) * k[1] * k[2] * (input[3] // config.groups)
  end,
}

--- The way back of a convolution: strides make the map larger. (h, w, c) -> (h * strides, w * strides,
--- filters) with padding = "same".
---@class giemsa.Conv2DTranspose : giemsa.KernelOptions
---@field filters integer how many maps come out
---@field kernel_size integer|integer[] side of the window, or {height, width}
---@field strides integer|integer[] how many times larger the map becomes
---@field padding "valid"|"same"
classes.Conv2DTranspose = {
  order = { "filters", "kernel_size" },
  options = kernel_options{ filters = "integer", kernel_size = "integer|table",
    strides = "integer|table",
    padding = "string" },
  defaults = kernel_defaults{ strides = 1, padding = "valid" },
  check = function(config)
    config.filters = whole(config.filters, "filters", 1)
    pair(config, "kernel_size")
    pair(config, "strides")
    checks.padding(config)
    checks.kernel_and_bias(config)
  end,
  shape = function(config, input)
    local h, w = need_map(input)
    local k, s, more = config.kernel_size, config.strides, { 0, 0 }
    if config.padding == "valid" then
      more = { math.max(k[1] - s[1], 0), math.max(k[2] - s[2], 0) }
    end
    return { h * s[1] + more[1], w * s[2] + more[2], config.filters }
  end,
  weights = function(config, input) -- out before in: the kernel of the convolution this one undoes
    local k = config.kernel_size
    return kernel_weights(config, { k[1], k[2], config.filters, input[3] }, config.filters)
  end,
  prepare = function(row) row.options = { strides = row.config.strides,
    padding = row.config.padding } end,
  forward = function(row, x)
    local w = row.weights
    return ops.conv2d_transpose(x, w.kernel, w.bias, row.options)
  end,
  macs = function(config, input) return size_of(
    input) * config.kernel_size[1] * config.kernel_size[2] * config.filters end,
}

--- Every output is a weighted sum of all inputs, plus a bias: x W + b. (..., n) -> (..., units).
---@class giemsa.Dense : giemsa.KernelOptions
---@field units integer how many numbers come out; for a classifier as many as classes
classes.Dense = {
  order = { "units" },
  options = kernel_options{ units = "integer" },
  defaults = kernel_defaults{},
  check = function(config)
    config.units = whole(config.units, "units", 1)
    checks.kernel_and_bias(config)
  end,
  shape = function(config, input)
    if #input == 0 then fail("the input has no axis besides the batch") end
    local output = { table.unpack(input) }
    output[#output] = config.units
    return output
  end,
  weights = function(config, input)
    return kernel_weights(config, { input[#input], config.units }, config.units)
  end,
  forward = function(row, x) -- on more than two axes it works on the last one, as in Keras
    local w, ndim = row.weights, x.ndim
    if ndim == 2 then return ops.dense(x, w.kernel, w.bias) end
    local shape = x.shape
    local y = ops.dense(ops.reshape(x, { -1, shape[ndim] }), w.kernel, w.bias)
    shape[ndim] = row.config.units
    return ops.reshape(y, shape)
  end,
  macs = function(config, input) return size_of(input) * config.units end,
}

for class, entry in pairs(require "giemsa.nn.depthwise") do classes[class] = entry end

-- ---- normalisation, activation, dropout ---------------------------------------------------------

--- Brings each channel to mean 0 and variance 1, then scales and shifts it by what it learns (gamma,
--- beta). In training the batch's own statistics are used and a running mean of them is kept, which
--- is used otherwise. The shape stays.
---@class giemsa.BatchNormalization
---@field axis integer the channels' axis: -1, the last
---@field momentum number the share of the old running statistics that each batch keeps
---@field epsilon number is added to the variance
---@field center boolean learn a shift (beta)
---@field scale boolean learn a factor (gamma)
classes.BatchNormalization = {
  order = { "axis", "momentum", "epsilon" },
  options = { axis = "integer", momentum = "number", epsilon = "number", center = "boolean",
    scale = "boolean" },
  defaults = { axis = -1, momentum = 0.99, epsilon = 1e-3, center = true, scale = true },
  check = function(config)
    if not (config.momentum >= 0 and config.momentum <= 1) then
      fail("momentum must be from 0 to 1")
    end
    if not (config.epsilon > 0) then fail("epsilon must be above 0") end
  end,
  shape = function(config, input)
    if config.axis ~= -1 and config.axis ~= #input + 1 then
      fail("axis must be the last one (-1 or %d): channels come last here, got %s", #input + 1,
        config.axis)
    end
    return input
  end,
  weights = function(config, input)
    local c, ones, zeros, list = { input[#input] }, { name = "ones" }, { name = "zeros" }, {}
    if config.scale then list[1] = { "gamma", c, ones } end
    if config.center then list[#list + 1] = { "beta", c, zeros } end
    list[#list + 1] = { "moving_mean", c, zeros, trainable = false }
    list[#list + 1] = { "moving_variance", c, ones, trainable = false }
    return list
  end,
  prepare = function(row)
    local c = row.config
    row.options = { [true] = { training = true, momentum = c.momentum, epsilon = c.epsilon },
      [false] = { training = false, momentum = c.momentum, epsilon = c.epsilon } }
  end,
  forward = function(row, x, training)
    local w = row.weights
    -- frozen: keeps its statistics, as in tf.keras
    training = training and row.config.trainable ~= false
    return ops.batch_norm(x, w.gamma, w.beta, w.moving_mean, w.moving_variance,
      row.options[training])
  end,
}

--- A function of each value: "relu", "sigmoid", "tanh", "softmax" (over the last axis), "linear". The
--- shape stays.
---@class giemsa.Activation
---@field activation string|function its name, or a function of a tensor
classes.Activation = {
  order = { "activation" }, options = { activation = "string|function" }, aliases = true,
  check = function(config)
    if not config.activation then fail("needs a name, for example nn.Activation{\"relu\"}") end
    checks.activation(config)
  end,
  shape = same_shape,
  forward = function(_, x) return x end, -- the row's activation does it
}

--- max(x, 0). The shape stays.
---@class giemsa.ReLU
classes.ReLU = { order = {}, options = {}, shape = same_shape,
  forward = function(_, x) return ops.relu(x) end }

--- exp(x) / sum exp(x) over the last axis: scores become probabilities. The shape stays.
---@class giemsa.Softmax
classes.Softmax = { order = {}, options = {}, shape = same_shape,
  forward = function(_, x) return ops.softmax(x) end }

--- In training sets each value to 0 with probability `rate` and divides the others by 1 - rate;
--- otherwise does nothing. The shape stays.
---@class giemsa.Dropout
---@field rate number from 0 to below 1
classes.Dropout = {
  order = { "rate" }, options = { rate = "number" }, aliases = true,
  check = function(config)
    if not (config.rate and config.rate >= 0 and config.rate < 1) then
      fail("rate must be from 0 to below 1")
    end
  end,
  shape = same_shape,
  prepare = function(row) row.options = {} end,
  forward = function(row, x, training, model)
    if not training or row.config.rate == 0 then return x end
    local key = row.options
    key.seed, key.a, key.b, key.c = model.seed, model.number, row.index, model:draw_number()
    return ops.dropout(x, row.config.rate, key)
  end,
}

-- ---- pooling, padding, shape --------------------------------------------------------------------

local function pooling(op)
  return {
    order = { "pool_size" },
    options = { pool_size = "integer|table", strides = "integer|table", padding = "string" },
    defaults = { pool_size = 2, padding = "valid" },
    check = function(config)
      pair(config, "pool_size")
      config.strides = config.strides or { table.unpack(config.pool_size) }
      pair(config, "strides")
      checks.padding(config)
    end,
    shape = function(config, input)
      need_map(input)
      local h, w = windows(config, input, config.pool_size, config.strides)
      return { h, w, input[3] }
    end,
    prepare = function(row)
      local c = row.config
      row.options = { pool = c.pool_size, strides = c.strides, padding = c.padding }
    end,
    forward = function(row, x) return ops[op](x, row.options) end,
  }
end

--- The largest value of each window, channel by channel. (h, w, c) -> (h / 2, w / 2, c) when nothing is
--- said.
---@class giemsa.MaxPooling2D
---@field pool_size integer|integer[] side of the window, or {height, width}
---@field strides integer|integer[] how far the window moves; as far as it is wide when absent
---@field padding "valid"|"same"
classes.MaxPooling2D = pooling("max_pool2d")

--- The mean of each window, channel by channel. (h, w, c) -> (h / 2, w / 2, c) when nothing is said.
---@class giemsa.AveragePooling2D
---@field pool_size integer|integer[] side of the window, or {height, width}
---@field strides integer|integer[] how far the window moves; as far as it is wide when absent
---@field padding "valid"|"same"
classes.AveragePooling2D = pooling("avg_pool2d")

local function global_pooling(op)
  return {
    order = {}, options = {},
    shape = function(_, input)
      need_map(input)
      return { input[3] }
    end,
    forward = function(_, x) return ops[op](x) end,
  }
end

--- The mean of each channel over the whole map. (h, w, c) -> (c).
---@class giemsa.GlobalAveragePooling2D
classes.GlobalAveragePooling2D = global_pooling("global_avg_pool2d")

--- The largest value of each channel over the whole map. (h, w, c) -> (c).
---@class giemsa.GlobalMaxPooling2D
classes.GlobalMaxPooling2D = global_pooling("global_max_pool2d")

--- Repeats rows and columns. (h, w, c) -> (h * size, w * size, c).
---@class giemsa.UpSampling2D
---@field size integer|integer[] how many times, or {rows, columns}
---@field interpolation "nearest" the only one there is
classes.UpSampling2D = {
  order = { "size" }, options = { size = "integer|table", interpolation = "string" },
  defaults = { size = 2, interpolation = "nearest" },
  check = function(config)
    pair(config, "size")
    if config.interpolation ~= "nearest" then
      fail("interpolation must be \"nearest\", got '%s'", config.interpolation)
    end
  end,
  shape = function(config, input)
    local h, w, c = need_map(input)
    return { h * config.size[1], w * config.size[2], c }
  end,
  forward = function(row, x) return ops.upsample(x, row.config.size) end,
}

--- Zeros around the map.
---@class giemsa.ZeroPadding2D
---@field padding integer|table n on each side, {rows, columns}, or {{top, bottom}, {left, right}}
classes.ZeroPadding2D = {
  order = { "padding" }, options = { padding = "integer|table" }, defaults = { padding = 1 },
  check = function(config) -- n, {rows, columns} or {{top, bottom}, {left, right}}
    local p = config.padding
    if type(p) ~= "table" then p = { p, p } end
    local plain = {}
    for i = 1, 2 do
      local side = type(p[i]) == "table" and p[i] or { p[i], p[i] }
      plain[i] = { whole(side[1], "padding", 0), whole(side[2], "padding", 0) }
    end
    config.padding = plain
  end,
  shape = function(config, input)
    local h, w, c = need_map(input)
    local p = config.padding
    return { h + p[1][1] + p[1][2], w + p[2][1] + p[2][2], c }
  end,
  forward = function(row, x) return ops.zero_pad2d(x, row.config.padding) end,
}

--- All values of a sample in one row. (h, w, c) -> (h * w * c).
---@class giemsa.Flatten
classes.Flatten = {
  order = {}, options = {}, aliases = true,
  shape = function(_, input) return { size_of(input) } end,
  forward = function(_, x) return ops.flatten(x) end,
}

--- The same values in another shape; one number may be -1 and is worked out.
---@class giemsa.Reshape
---@field target_shape integer[] without the batch
classes.Reshape = {
  order = { "target_shape" }, options = { target_shape = "table" }, aliases = true,
  check = function(config)
    local target = config.target_shape
      or fail("needs target_shape, for example nn.Reshape{target_shape = {8, 8, 4}}")
    if #target > 3 then fail("target_shape has at most 3 numbers, got %d", #target) end
    local plain = {}
    for i, n in ipairs(target) do plain[i] = n == -1 and -1 or whole(n, "target_shape", 1) end
    config.target_shape = plain
  end,
  shape = function(config, input)
    local output, unknown, known = { table.unpack(config.target_shape) }, nil, 1
    for i, n in ipairs(output) do
      if n == -1 then unknown = i else known = known * n end
    end
    if unknown then output[unknown] = size_of(input) // known end
    if size_of(output) ~= size_of(input) then
      fail("target_shape %s does not hold the %d values of an input %s",
        shape_text(config.target_shape),
        size_of(input), shape_text(input))
    end
    return output
  end,
  forward = function(row, x)
    local s = row.shape
    return ops.reshape(x, { x.shape[1], table.unpack(s) })
  end,
}

-- ---- several inputs -----------------------------------------------------------------------------

--- The sum of maps of one shape: nn.Add{}{a, b}. This is what makes a shortcut.
---@class giemsa.Add
classes.Add = {
  order = {}, options = {}, merges = true,
  shape = function(_, inputs)
    for i = 2, #inputs do
      local a, b = shape_text(inputs[1]), shape_text(inputs[i])
      if a ~= b then
        fail("adds maps of one shape, got %s and %s "
          .. "(a 1x1 Conv2D can bring a shortcut to the other's shape)", a, b)
      end
    end
    return inputs[1]
  end,
  forward = function(_, list)
    local y = ops.add(list[1], list[2])
    for i = 3, #list do y = ops.add(y, list[i]) end
    return y
  end,
}

--- Maps side by side: nn.Concatenate{}{a, b}; shapes must agree in the other axes.
---@class giemsa.Concatenate
---@field axis integer -1, the last: channels; counted from 1 with the batch as the first
classes.Concatenate = {
  order = { "axis" }, options = { axis = "integer" }, defaults = { axis = -1 }, merges = true,
  shape = function(config, inputs)
    local output = { table.unpack(inputs[1]) }
    local axis = config.axis < 0 and #output + 1 + config.axis or config.axis - 1
    if not output[axis] then
      fail("axis %s is none of %s, counted from 1 with the batch as the first (or -1, the last)",
        config.axis,
        shape_text(output, true))
    end
    for i = 2, #inputs do
      for d = 1, math.max(#output, #inputs[i]) do
        if d ~= axis and inputs[i][d] ~= output[d] then
          fail("shapes %s and %s differ in more than axis %d", shape_text(inputs[1]),
            shape_text(inputs[i]), axis + 1)
        end
      end
      output[axis] = output[axis] + inputs[i][axis]
    end
    return output
  end,
  prepare = function(row) row.axis = row.config.axis < 0 and #row.shape + 2 + row.config.axis
    or row.config.axis end,
  forward = function(row, list) return ops.concat(list, row.axis) end,
}

-- ---- a free function ----------------------------------------------------------------------------

--- A function of your own as a layer: nn.Lambda(function(x) return x * 2 end). A model with one trains, but
--- only its weights can be saved.
---@class giemsa.Lambda
---@field fn function of a tensor with the batch in front
---@field output_shape integer[] without the batch; tried out when absent
classes.Lambda = {
  order = { "fn", "output_shape" }, options = { fn = "function", output_shape = "table" },
    aliases = true,
  check = function(config)
    if not config.fn then
      fail("needs a function of a tensor, for example nn.Lambda(function(x) return x * 2 end)")
    end
  end,
  shape = function(config, input)
    if config.output_shape then return config.output_shape end
    local grad, core = require "giemsa.grad", require "giemsa.core"
    local y = grad.no_grad(config.fn, core.zeros{ 1, table.unpack(input) }) -- try it once to see
    if not core.is_tensor(y) then fail("its function must return a tensor, got %s", type(y)) end
    return { table.unpack(y.shape, 2) }
  end,
  forward = function(row, x) return row.config.fn(x) end,
}

return { classes = classes, shape_text = shape_text }
