--- grad.check: are the gradients right? The output y of f is projected on a random direction r,
--- which makes a scalar L = sum(r * y); backward() gives dL/dx, and for single elements x_i it is
--- compared with the central difference
---   (L(x_i + h) - L(x_i - h)) / 2h.
-- The difference is taken in y before projecting, so what does not depend on x_i cancels exactly.
-- Float32 leaves about three digits; a wrong formula is usually wrong in the first. Where the two
-- disagree h is made smaller before judging: beside a kink (relu, max) a long step may reach across
-- it.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local options = require "giemsa.options"

local STEPS = { 1, 1 / 4, 1 / 16 } -- times eps

-- sum r (y2 - y1), in double.
local function projected_difference(r, y1, y2)
  local sum = 0
  for i = 1, #r do
    if y1[i] ~= y2[i] then sum = sum + r[i] * (y2[i] - y1[i]) end
  end
  return sum
end

local function values(t) return core.reshape(t, -1):totable() end

-- f's output as a list of numbers, with nothing recorded.
local function evaluate(f, inputs)
  local y = grad.no_grad(f, table.unpack(inputs))
  return values(y)
end

local function numeric_slope(f, inputs, flat, i, h, r)
  local x = flat[i]
  flat[i] = x + h
  local high = flat[i] -- as rounded to float32
  local y2 = evaluate(f, inputs)
  flat[i] = x - h
  local low = flat[i]
  local y1 = evaluate(f, inputs)
  flat[i] = x
  return projected_difference(r, y1, y2) / (high - low)
end

-- dL/d(each input) by backward(), as lists of numbers; requires_grad and grad are left as they
-- were.
local function analytic_slopes(f, inputs, direction)
  local before = {}
  for k, x in ipairs(inputs) do
    before[k] = { x.requires_grad, x.grad }
    x.requires_grad, x.grad = true, nil
  end
  local ok, problem = pcall(grad.with_grad, function()
    local y = f(table.unpack(inputs))
    if y.node then grad.backward(y, { grad = direction }) end
  end)
  local slopes = {}
  for k, x in ipairs(inputs) do
    slopes[k] = x.grad and values(x.grad) or (function()
      local zeros = {}
      for i = 1, x.size do zeros[i] = 0 end
      return zeros
    end)()
    x.requires_grad, x.grad = before[k][1], before[k][2]
  end
  if not ok then error(problem, 0) end
  return slopes
end

-- Up to `most` element numbers, spread evenly over 1..n.
local function some_of(n, most)
  local list = {}
  for k = 1, math.min(n, most) do
    list[k] = n <= most and k or 1 + (k - 1) * (n - 1) // (most - 1)
  end
  return list
end

local function check_input(f, inputs, k, slopes, r, opts)
  local flat = core.reshape(inputs[k], -1)
  local chosen, scale, numeric = some_of(#slopes, opts.samples), 0, {}
  for _, i in ipairs(chosen) do
    numeric[i] = numeric_slope(f, inputs, flat, i, opts.eps, r)
    scale = math.max(scale, math.abs(numeric[i]), math.abs(slopes[i]))
  end
  local worst = { input = k, checked = #chosen, elements = #slopes, scale = scale,
    max_error = 0, element = chosen[1] }
  for _, i in ipairs(chosen) do
    local value, distance = numeric[i], nil
    for step = 1, #STEPS do
      if step > 1 then value = numeric_slope(f, inputs, flat, i, opts.eps * STEPS[step], r) end
      local d = math.abs(value - slopes[i]) / math.max(scale, 1e-8)
      if d ~= d then d = math.huge end
      if not distance or d < distance then distance, numeric[i] = d, value end
      if distance <= opts.tol then break end
    end
    if distance >= worst.max_error then
      worst.max_error, worst.element = distance, i
      worst.analytic, worst.numeric = slopes[i], numeric[i]
    end
  end
  return worst
end

---@class giemsa.grad.CheckOptions
---@field eps number? the step of the difference; default 0.01
---@field tol number? the allowed error; default 0.005
---@field samples integer? elements tried for each input; default 200
---@field seed integer? of the direction; default 1
---@field raise boolean? false: return the report of a wrong gradient instead of raising it
local known = { eps = "number", tol = "number", seed = "integer", samples = "integer",
  raise = "boolean" }

---@class giemsa.grad.CheckReport
---@field ok boolean
---@field text string
---@field inputs table[] for each input { max_error, scale, element, analytic, numeric, checked }
local report_metatable = { __tostring = function(report) return report.text end }

local function line(w, tol)
  local verdict = w.max_error <= tol and "ok" or "WRONG"
  return ("input %d: %s, largest error %.2g of the largest gradient %.3g"):format(w.input, verdict,
    w.max_error, w.scale)
    .. (" (%d of %d elements; worst is element %d: backward() gives %.6g, differences give %.6g)")
      :format(w.checked, w.elements, w.element, w.analytic or 0, w.numeric or 0)
end

--- Compares the gradients of f with central differences, input by input; raises when one is wrong.
---
--- f must give the same result each time (a dropout needs a fixed key). The error is measured
--- against the largest gradient of the input. An input that does not matter for y has gradient 0,
--- which is right.
---@param f fun(...: tensor): tensor called with the inputs
---@param inputs tensor[]
---@param opts giemsa.grad.CheckOptions?
---@return giemsa.grad.CheckReport report tostring(report) is its text
return function(f, inputs, opts)
  opts = options.check("grad.check", opts, known, 4)
  local settings = { eps = opts.eps or 0.01, tol = opts.tol or 0.005 }
  settings.samples = math.max(opts.samples or 200, 2)
  if core.is_tensor(inputs) then inputs = { inputs } end
  local y = grad.no_grad(f, table.unpack(inputs))
  if not core.is_tensor(y) then
    error("grad.check: f must return a tensor, it returned a " .. type(y), 3)
  end
  local again = evaluate(f, inputs)
  for i, v in ipairs(values(y)) do
    if v ~= again[i] and v == v then
      error("grad.check: f gave two results for the same inputs; fix its random numbers"
        .. " (a key for dropout)", 3)
    end
  end
  local direction = core.normal(y.shape, 0, 1, opts.seed or 1, 0, 0, 0)
  local r, slopes = values(direction), analytic_slopes(f, inputs, direction)
  local report = { ok = true, inputs = {} }
  local lines = {}
  for k = 1, #inputs do
    local worst = check_input(f, inputs, k, slopes[k], r, settings)
    report.inputs[k], lines[k] = worst, line(worst, settings.tol)
    report.ok = report.ok and worst.max_error <= settings.tol
  end
  report.text = table.concat(lines, "\n")
  if not report.ok and opts.raise ~= false then
    error("grad.check: a gradient is wrong\n" .. report.text, 3)
  end
  return setmetatable(report, report_metatable)
end
