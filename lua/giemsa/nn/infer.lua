--- Answering, without gradients: a model as a program of the core (core/program.h), with batch
--- normalisations folded into the convolutions before them, or done by those behind them.
---
--- A program holds copies of the weights; it is made again when one of them was changed
--- (core.changes). Models with layers that no maker below knows run by plan.lua, as does everything
--- under GIEMSA_FUSE=0.
local core = require "giemsa.core"
local fuse = require "giemsa.nn.fuse"
local plan = require "giemsa.nn.plan"
local window = require "giemsa.ops.window"

local infer = {}

-- While a program is made, what a row gives is { buffer =, shape =, norm =, norm_relu = }: numbers
-- in a buffer, perhaps still to be normalised by who reads them.

local Making = {}
Making.__index = Making

local function floats_of(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

function Making:add(step, shape)
  step.output = #self.floats + 1
  self.floats[step.output] = floats_of(shape)
  self.steps[#self.steps + 1] = step
  return { buffer = step.output, shape = shape }
end

-- The only row that reads row `index`.
function Making:only_reader(index)
  local readers = self.readers[index]
  if #readers ~= 1 or self.wanted == index then return nil end
  return self.rows[readers[1]]
end

local function is_relu(row)
  if not row then return false end
  return row.class == "ReLU" or row.class == "Activation" and row.config.activation == "relu"
end

local function is_conv(row) return row.class == "Conv2D" and row.config.groups == 1 end

-- The row that also takes over the relu behind row `last`, if there is one.
function Making:with_relu(last)
  local reader = self:only_reader(last.index)
  if is_relu(reader) then return reader, true end
  return last, false
end

local function norm_rows(row)
  local w = row.weights
  return core.norm_fixed(w.moving_mean, w.moving_variance, w.gamma, w.beta, row.config.epsilon)
end

-- A value with its batch normalisation done, for who cannot do it on the way.
function Making:plain(value)
  if not value.norm then return value end
  local shape = value.shape
  return self:add({ kind = "norm", input = value.buffer, norm = value.norm,
    norm_relu = value.norm_relu, floats = floats_of(shape),
    rows = floats_of(shape) // shape[#shape] }, shape)
end

-- ---- a maker for each class: (making, row, value, ...) -> value, and the row it stands for;
-- nothing when it cannot

local makers = {}

-- Conv2D with what follows: BatchNormalization, or Add of something that is there; ReLU.
function makers.Conv2D(making, row, x, padding)
  if not is_conv(row) then return end
  local w, bias, last = row.weights.kernel, row.weights.bias, row
  local activation, relu, other = row.config.activation or "linear", false, nil
  if activation == "relu" then relu = true elseif activation ~= "linear" then return end
  local reader = not relu and making:only_reader(row.index)
  if reader and reader.class == "BatchNormalization" then
    local norm = norm_rows(reader)
    local mean, scale, offset = norm[1], norm[2], norm[3]
    local shifted = bias and core.sub(bias, mean) or core.neg(mean)
    w, bias, last = core.mul(w, scale), core.add(core.mul(shifted, scale), offset), reader
  elseif reader and reader.class == "Add" and #reader.inputs == 2 then
    local index = reader.inputs[1] == row.index and reader.inputs[2] or reader.inputs[1]
    local value = making.values[index]
    if value then other, last = making:plain(value), reader end
  end
  if not relu then last, relu = making:with_relu(last) end
  local picture, options = x.shape, { padding = padding }
  for key, value in pairs(row.options) do options[key] = options[key] or value end
  local like_x = core.empty{ 1, table.unpack(picture) }
  local geometry = { select(3, window.geometry("conv2d", like_x, w, options)) }
  return making:add({ kind = "conv", input = x.buffer, other = other and other.buffer, w = w,
    bias = bias, relu = relu, norm = x.norm, norm_relu = x.norm_relu, geometry = geometry,
    size = { picture[1], picture[2] }, out = { row.shape[1], row.shape[2] } }, row.shape), last
end

-- A convolution over pictures of one pixel.
function makers.Dense(making, row, x)
  x = making:plain(x)
  local w, n = row.weights.kernel, #x.shape
  if n ~= 1 then return end
  local activation = row.config.activation or "linear"
  if making.skip == row.index then activation = "linear" end
  local inputs, units = w.shape[1], w.shape[2]
  local y = making:add({ kind = "conv", input = x.buffer, w = w:reshape(1, 1, inputs, units),
    bias = row.weights.bias, relu = activation == "relu", size = { 1, 1 }, out = { 1, 1 },
    geometry = { 1, 1, 0, 0, 0, 0, 1, 1 } }, row.shape)
  if activation == "linear" or activation == "relu" then return y, row end
  return making:activate(activation, y), row
end

function makers.BatchNormalization(making, row, x)
  local last, relu = making:with_relu(row)
  local value = { buffer = x.buffer, shape = x.shape, norm = norm_rows(row), norm_relu = relu }
  if x.norm then value.buffer = making:plain(x).buffer end
  for _, reader in ipairs(making.readers[last.index]) do
    local row = making.rows[reader]
    if row.class == "ZeroPadding2D" then row = making:only_reader(reader) or row end
    if not is_conv(row) then return making:plain(value), last end
  end
  return making.wanted == last.index and making:plain(value) or value, last
end

-- relu, softmax or sigmoid of a value
function Making:activate(name, x)
  if name ~= "relu" and name ~= "softmax" and name ~= "sigmoid" then return end
  x = self:plain(x)
  local shape = x.shape
  return self:add({ kind = name, input = x.buffer, floats = floats_of(shape),
    rows = floats_of(shape) // shape[#shape] }, shape)
end

function makers.Activation(making, row, x)
  if row.config.activation == "linear" then return x, row end
  return making:activate(row.config.activation, x), row
end
function makers.ReLU(making, row, x) return making:activate("relu", x), row end
function makers.Softmax(making, row, x) return making:activate("softmax", x), row end

function makers.Add(making, row, a, b, more)
  if more or not b then return end
  a, b = making:plain(a), making:plain(b)
  local last, relu = making:with_relu(row)
  return making:add({ kind = "add", input = a.buffer, other = b.buffer, relu = relu,
    floats = floats_of(row.shape) }, row.shape), last
end

local function pool(kind)
  return function(making, row, x, padding)
    x = making:plain(x)
    local config, shape = row.config, x.shape
    local size, strides = config.pool_size or { shape[1], shape[2] }, config.strides or { 1, 1 }
    local top, bottom, left, right = window.padding_of(row.class, padding or config.padding,
      shape[1], shape[2], size[1], size[2], strides[1], strides[2])
    local out = #row.shape == 1 and { 1, 1 } or row.shape
    return making:add({ kind = kind, input = x.buffer, size = shape, out = { out[1], out[2] },
      window = { size[1], size[2], strides[1], strides[2], top, bottom, left, right },
      zeros = padding ~= nil }, row.shape), row
  end
end
makers.MaxPooling2D, makers.GlobalMaxPooling2D = pool "max_pool", pool "max_pool"
makers.AveragePooling2D, makers.GlobalAveragePooling2D = pool "mean_pool", pool "mean_pool"

function makers.ZeroPadding2D(making, row, x)
  local reader = making:only_reader(row.index)
  if not (reader and reader.config.padding == "valid") then return end
  local p, size = row.config.padding, reader.config.pool_size
  local padding = { p[1][1], p[1][2], p[2][1], p[2][2] }
  if reader.class == "Conv2D" then return makers.Conv2D(making, reader, x, padding) end
  if reader.class ~= "MaxPooling2D" then return end
  if math.max(p[1][1], p[1][2]) >= size[1] or math.max(p[2][1], p[2][2]) >= size[2] then return end
  return makers.MaxPooling2D(making, reader, x, padding)
end

local function same_numbers(making, row, x)
  x = making:plain(x)
  return { buffer = x.buffer, shape = row.shape }, row
end
makers.Flatten, makers.Reshape, makers.Dropout = same_numbers, same_numbers, same_numbers

-- ---- buffers ------------------------------------------------------------------------------------

-- Gives each value a place that is free by then; the input and the output have their own.
local function share_buffers(making, output)
  local last_use, place, free, floats = {}, { 1 }, {}, { making.floats[1] }
  for number, step in ipairs(making.steps) do
    last_use[step.input] = number
    if step.other then last_use[step.other] = number end
  end
  local function take(size)
    for i, candidate in ipairs(free) do
      if floats[candidate] >= size then return table.remove(free, i) end
    end
    floats[#floats + 1] = size
    return #floats
  end
  for number, step in ipairs(making.steps) do
    local input, other = step.input, step.other
    if step.output ~= output then place[step.output] = take(making.floats[step.output]) end
    step.input, step.other = place[input], other and place[other]
    for value in pairs{ [input] = true, [other or input] = true } do
      if value ~= 1 and last_use[value] == number then free[#free + 1] = place[value] end
    end
    step.output = place[step.output] or false
  end
  floats[#floats + 1] = making.floats[output]
  for _, step in ipairs(making.steps) do step.output = step.output or #floats end
  return floats
end

-- ---- making and keeping programs ----------------------------------------------------------------

local function values_of(making, row)
  local list = {}
  for i, from in ipairs(row.inputs) do list[i] = making.values[from] end
  return table.unpack(list, 1, #row.inputs)
end

-- Walks the rows; false when there is one that no maker knows.
local function make_steps(making, needed)
  local done = {}
  for index, row in ipairs(making.rows) do
    if needed[index] and row.class ~= "Input" and not done[index] then
      local maker = makers[row.class]
      if not maker then return false end
      local value, last = maker(making, row, values_of(making, row))
      if not value then return false end
      for i = index, last.index do done[i] = done[i] or i == index or i == last.index end
      -- What stands between row and last (a folded normalisation) is done as well.
      local reader = row
      while reader.index ~= last.index do
        reader = making.rows[making.readers[reader.index][1]]
        done[reader.index] = true
      end
      making.values[last.index] = value
    end
  end
  return true
end

local function make(model, logits)
  if #model.outputs ~= 1 or #model.input_rows ~= 1 then return false end
  local out, skip = plan.last_row(model, logits)
  local needed, readers = plan.reading(model, { out })
  local input = model.rows[model.input_rows[1]]
  local making = setmetatable({ rows = model.rows, readers = readers, wanted = out, skip = skip,
    values = { [input.index] = { buffer = 1, shape = input.shape } },
    floats = { floats_of(input.shape) }, steps = {} }, Making)
  if not make_steps(making, needed) then return false end
  local value = making:plain(making.values[out])
  if value.buffer == 1 then return false end
  local floats = share_buffers(making, value.buffer)
  return { shape = model.rows[out].shape, run = core.program(making.steps, floats) }
end

local function tensors_of(model)
  local list = {}
  for i, weight in ipairs(model:weights()) do list[i] = weight.tensor end
  return list
end

--- The model's output for x, or nothing when it has to be worked out by plan.lua.
---@param model giemsa.Model
---@param x tensor (N, ...) of the right shape
---@param logits boolean? stop before a final softmax or sigmoid
---@return tensor? y
function infer.run(model, x, logits)
  if not fuse.wanted then return end
  local which = logits and "logits" or "all"
  local programs = model.programs
  if not programs then
    programs = { tensors = tensors_of(model) }
    model.programs = programs
  end
  local changes = core.changes(programs.tensors)
  if programs.changes ~= changes then
    programs.all, programs.logits, programs.changes = nil, nil, changes
  end
  if programs[which] == nil then programs[which] = make(model, logits) end
  local program = programs[which]
  if not program then return end
  return core.program_run(program.run, x, { #x, table.unpack(program.shape) })
end

return infer
