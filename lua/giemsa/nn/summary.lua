--- model:summary(): what a net is made of and what it costs. Every column is as wide as its longest
-- cell, so nothing is ever cut off. MACs (multiply-adds) count convolutions and dense layers, which
-- is where the time goes; activations are the float32 values of a layer's output. Both are for one
-- image. Peak is what training holds for one image while the gradient of that layer is worked out:
-- all that the layers up to it have kept for the backward pass, and the gradients on both sides of
-- it. Layers without one are done by another on the way (nn/fuse.lua) and keep nothing.
local layers = require "giemsa.nn.layers"
local Model = require "giemsa.nn.model"
local plan = require "giemsa.nn.plan"

local function thousands(n)
  local text = ("%d"):format(n)
  local sign, digits = text:match("^(-?)(%d+)$")
  return sign .. digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
end

local function bytes_text(n)
  if n >= 1024 * 1024 then return ("%.1f MiB"):format(n / (1024 * 1024)) end
  return ("%.1f KiB"):format(n / 1024)
end

local function size_of(shape)
  local size = 1
  for _, n in ipairs(shape) do size = size * n end
  return size
end

local function macs_of(row)
  local macs = layers.classes[row.class].macs
  return macs and macs(row.config, row.input_shape, row.shape) or 0
end

local function params_of(row)
  local count = 0
  for _, weight in ipairs(row.variables) do count = count + weight.tensor.size end
  return count
end

local function readers_text(model, row)
  local names = {}
  for i, from in ipairs(row.inputs) do names[i] = model.rows[from].name end
  return table.concat(names, ", ")
end

-- What training keeps of each row, in floats: row -> peak, the sum of all, the largest peak.
local function training_of(model)
  local peaks, kept, most = {}, 0, 0
  for _, row in ipairs(model.rows) do
    if row.class == "Input" then kept = kept + size_of(row.shape) end
  end
  for _, step in ipairs(plan.of(model, false, {}).list) do
    local row = model.rows[step.to]
    local own = not (step.lends or layers.classes[row.class].aliases and not step.activation)
    local size, gradients = size_of(row.shape), 0
    for _, from in ipairs(step.row.inputs) do
      gradients = gradients + size_of(model.rows[from].shape)
    end
    if own then
      kept = kept + size
      peaks[step.to] = kept + size + gradients
      most = math.max(most, peaks[step.to])
    end
  end
  return peaks, kept, most
end

local function cells_of(model)
  local lines = { { "Layer", "Class", "Output shape", "Params", "MACs", "Activations", "Peak",
    "Reads" } }
  local total = { macs = 0, values = 0 }
  local peaks
  peaks, total.kept, total.peak = training_of(model)
  for _, row in ipairs(model.rows) do
    local macs, values = macs_of(row), size_of(row.shape)
    total.macs, total.values = total.macs + macs, total.values + values
    lines[#lines + 1] = {
      row.name, row.class .. (row.config.trainable == false and " (frozen)" or ""),
        layers.shape_text(row.shape, true),
      thousands(params_of(row)), thousands(macs), bytes_text(4 * values),
      peaks[row.index] and bytes_text(4 * peaks[row.index]) or "", readers_text(model, row),
    }
  end
  return lines, total
end

local right = { [4] = true, [5] = true, [6] = true, [7] = true }

local function laid_out(lines)
  local widths = {}
  for _, cells in ipairs(lines) do
    for i, cell in ipairs(cells) do
      widths[i] = math.max(widths[i] or 0, utf8.len(cell) or #cell)
    end
  end
  local out = {}
  for n, cells in ipairs(lines) do
    local parts = {}
    for i, cell in ipairs(cells) do
      local gap = (" "):rep(widths[i] - (utf8.len(cell) or #cell))
      parts[i] = right[i] and gap .. cell or cell .. gap
    end
    out[n] = table.concat(parts, "  "):gsub("%s+$", "")
  end
  local width = 2 * (#widths - 1)
  for _, w in ipairs(widths) do width = width + w end
  return out, width
end

--- The text that summary() prints.
---@return string
function Model:summary_text()
  local lines, total = cells_of(self)
  local out, width = laid_out(lines)
  local rule = ("─"):rep(width)
  table.insert(out, 1, ("Model: %s"):format(self.name))
  table.insert(out, 2, rule)
  table.insert(out, 4, rule)
  local params, trainable = self:count_params()
  local function add(text, ...) out[#out + 1] = text:format(...) end
  out[#out + 1] = rule
  add("Total params: %s (%s)", thousands(params), bytes_text(4 * params))
  add("Trainable params: %s", thousands(trainable))
  add("Non-trainable params: %s", thousands(params - trainable))
  add("Multiply-adds, one image forward: %s", thousands(total.macs))
  add("Activations, one image: %s (a batch of 32: %s)", bytes_text(4 * total.values),
    bytes_text(4 * 32 * total.values))
  add("Training, one image: keeps %s for the backward pass, holds %s at most (a batch of 32: %s)",
    bytes_text(4 * total.kept), bytes_text(4 * total.peak), bytes_text(4 * 32 * total.peak))
  return table.concat(out, "\n")
end

--- Prints the layers with their shapes, parameters, multiply-adds and activation memory, and the
--- totals.
function Model:summary() io.write(self:summary_text(), "\n") end

return Model
