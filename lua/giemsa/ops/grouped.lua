--- Convolutions in groups of channels: every output channel sees only the inputs of its own group.
--- Depthwise is the extreme, each input channel a group by itself, and has a kernel of its own in
--- the core; other groups are ordinary convolutions side by side.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local base = require "giemsa.ops.base"
local window = require "giemsa.ops.window"

local grouped = {}

local accumulate, record, target = grad.accumulate, grad.op, grad.target
local result, check = base.result, base.check

-- An op made of a forward pass and its two gradients (as core.conv2d, conv2d_dx, conv2d_dw are).
-- Ops end with a call of it, so that a mistake is told at the line of their caller.
local function convolve(who, passes, x, w, b, opts)
  local _, height, width = window.dims_of(who, x)
  local kh, kw, sh, sw, top, bottom, left, right, dh, dw = window.geometry(who, x, w, opts)
  local y = result(who, pcall(passes.forward, x, w, sh, sw, top, bottom, left, right, dh, dw, b))
  local to_x, to_w, to_b = target(x), target(w), target(b)
  if not (to_x or to_w or to_b) then return y end
  local for_x, for_w = to_x and w, to_w and x -- each gradient reads the other operand
  return record(y, { to_x, to_w, to_b }, function(dy)
    if to_b then accumulate(to_b, core.sum_to(dy, to_b.shape)) end
    if to_w then
      accumulate(to_w, passes.dw(dy, for_w, kh, kw, sh, sw, top, bottom, left, right, dh, dw))
    end
    if to_x then
      accumulate(to_x, passes.dx(dy, for_x, height, width,
        sh, sw, top, bottom, left, right, dh, dw))
    end
  end, who)
end

-- ---- depthwise ----------------------------------------------------------------------------------

local depthwise = {
  forward = core.depthwise_conv2d, dx = core.depthwise_conv2d_dx, dw = core.depthwise_conv2d_dw,
}

---@class giemsa.ops.DepthwiseOptions
---@field strides (integer|integer[])? default 1
---@field padding ("same"|"valid"|integer[])? default "valid"; or {top, bottom, left, right}
---@field dilation (integer|integer[])? default 1
local depthwise_options = base.options {
  strides = "integer|table", padding = "string|table", dilation = "integer|table",
}

--- Convolution of each channel by itself, with `multiplier` kernels a channel: outputs
--- (c - 1) * multiplier + 1 to c * multiplier come from input c.
---@param x tensor (n, h, w, channels)
---@param w tensor (kernel_h, kernel_w, channels, multiplier)
---@param b tensor? (channels * multiplier)
---@param opts giemsa.ops.DepthwiseOptions?
---@return tensor y (n, out_h, out_w, channels * multiplier)
function grouped.depthwise_conv2d(x, w, b, opts)
  opts = check("depthwise_conv2d", opts, depthwise_options)
  return convolve("depthwise_conv2d", depthwise, x, w, b, opts)
end

-- The same numbers with the kernel as a grouped convolution has it: (kh, kw, 1, outputs).
local function by_channel(channels)
  local function view(w)
    local kh, kw, _, outputs = core.dims(w)
    return core.reshape(w, { kh, kw, channels, outputs // channels })
  end
  return {
    forward = function(x, w, ...) return core.depthwise_conv2d(x, view(w), ...) end,
    dx = function(dy, w, ...) return core.depthwise_conv2d_dx(dy, view(w), ...) end,
    dw = function(dy, x, kh, kw, ...)
      local dw = core.depthwise_conv2d_dw(dy, x, kh, kw, ...)
      return core.reshape(dw, { kh, kw, 1, dw.shape[3] * dw.shape[4] })
    end,
  }
end

-- ---- groups -------------------------------------------------------------------------------------

-- A pass for each group, on its share of the channels of a and b; the results side by side.
local function in_groups(groups, pass, a, b, ...)
  local function share(t, g)
    local n = t.shape[4] // groups
    return core.slice(t, 4, (g - 1) * n + 1, g * n)
  end
  local parts = {}
  for g = 1, groups do parts[g] = pass(share(a, g), share(b, g), ...) end
  return core.concat(parts, 4)
end

local function side_by_side(groups)
  return {
    forward = function(x, w, sh, sw, top, bottom, left, right, dh, dw, b)
      local y = in_groups(groups, core.conv2d, x, w, sh, sw, top, bottom, left, right, dh, dw)
      return b and core.add_(y, b) or y
    end,
    dx = function(dy, w, ...) return in_groups(groups, core.conv2d_dx, dy, w, ...) end,
    dw = function(dy, x, ...) return in_groups(groups, core.conv2d_dw, dy, x, ...) end,
  }
end

-- Groups of a few outputs would leave vectors empty. Some of them, n, make one convolution with a
-- kernel that is zero between them: n copies of theirs, of which a mask keeps each output's own.
-- (A NaN in one group is then seen in all n.)
local WIDTH = 16 -- outputs of a vector, where they are widest

local function how_many_together(groups, outputs)
  for n = 1, groups do
    if groups % n == 0 and outputs // groups * n >= WIDTH then return n end
  end
  return groups
end

local masks = {} -- made once for every shape

local function mask_of(groups, n, inputs, outputs)
  local key = table.concat({ groups, n, inputs, outputs }, " ")
  if masks[key] then return masks[key] end
  local rows, of_group = {}, outputs // groups
  for i = 1, n * inputs do
    rows[i] = {}
    for o = 1, outputs do
      rows[i][o] = (o - 1) // of_group % n == (i - 1) // inputs and 1 or 0
    end
  end
  masks[key] = core.from_table(rows)
  return masks[key]
end

local function together(groups, n, inputs, outputs)
  local joined, mask = side_by_side(groups // n), mask_of(groups, n, inputs, outputs)
  local function spread(w)
    local copies = {}
    for i = 1, n do copies[i] = w end
    return core.mul(core.concat(copies, 3), mask)
  end
  return {
    forward = function(x, w, ...) return joined.forward(x, spread(w), ...) end,
    dx = function(dy, w, ...) return joined.dx(dy, spread(w), ...) end,
    dw = function(...)
      local all, dw = core.mul(joined.dw(...), mask), nil
      for i = 0, n - 1 do
        local own = core.slice(all, 3, i * inputs + 1, (i + 1) * inputs)
        dw = dw and core.add(dw, own) or own
      end
      return dw
    end,
  }
end

local function shape_text(t)
  return "(" .. table.concat(t.shape, ", ") .. (t.ndim == 1 and ",)" or ")")
end

local function check_groups(groups, x, w, b)
  local function refuse(message, ...) -- at the line of who called ops.conv2d
    error("conv2d: " .. message:format(...), 4)
  end
  local channels, outputs = x.shape[4], w.shape[4]
  if math.type(groups) ~= "integer" or groups < 1 then
    refuse("groups must be a whole number from 1 up, got %s", groups)
  end
  if channels % groups ~= 0 then
    refuse("the input's %d channels do not divide into %d groups (x is %s)", channels, groups,
      shape_text(x))
  end
  if outputs % groups ~= 0 then
    refuse("the kernel's %d outputs do not divide into %d groups (w is %s)", outputs, groups,
      shape_text(w))
  end
  if w.shape[3] ~= channels // groups then
    refuse("with %d groups each output sees %d of the input's %d channels: "
      .. "w must be (%d, %d, %d, %d), got %s", groups, channels // groups, channels,
      w.shape[1], w.shape[2], channels // groups, outputs, shape_text(w))
  end
  if b and not (b.ndim == 1 and b.size == outputs) then
    refuse("the bias must be (%d,), got %s", outputs, shape_text(b))
  end
end

local function passes_of(groups, w)
  local inputs, outputs = w.shape[3], w.shape[4]
  if inputs == 1 then return by_channel(groups) end
  local n = how_many_together(groups, outputs)
  return n > 1 and together(groups, n, inputs, outputs) or side_by_side(groups)
end

-- What ops.conv2d does when opts.groups is not 1.
function grouped.conv2d(x, w, b, opts)
  window.dims_of("conv2d", x)
  window.dims_of("conv2d", w, "w")
  check_groups(opts.groups, x, w, b)
  return convolve("conv2d", passes_of(opts.groups, w), x, w, b, opts)
end

return grouped
