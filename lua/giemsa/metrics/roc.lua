--- The ROC curve: what every threshold would do, the area under it, and how sure one may be of it.
local arguments = require "giemsa.metrics.arguments"
local intervals = require "giemsa.metrics.intervals"
local options = require "giemsa.options"

local metrics = {}

local average, numbers = arguments.average, arguments.numbers

-- Scores in descending order with their truth; true when the class is the positive one (or the
-- value true).
local function ranked(who, y_true, scored, positive, level)
  local s = numbers(who, "scores", scored, level + 1)
  local y = numbers(who, "y_true", y_true, level + 1)
  if #y ~= #s then
    error(("%s: y_true has %d values and scores has %d; they must match one to one")
      :format(who, #y, #s), level + 1)
  end
  local order, is_positive, P = {}, {}, 0
  for i = 1, #y do
    if type(s[i]) ~= "number" or s[i] ~= s[i] then
      error(("%s: scores[%d] is %s; every score must be a number")
        :format(who, i, tostring(s[i])), level + 1)
    end
    order[i], is_positive[i] = i, y[i] == positive or y[i] == true
    if is_positive[i] then P = P + 1 end
  end
  if P == 0 or P == #y then
    error(("%s: needs positive and negative samples; %s are of class %s")
      :format(who, P == 0 and "none" or "all", tostring(positive)), level + 1)
  end
  table.sort(order, function(a, b) return s[a] > s[b] or s[a] == s[b] and a < b end)
  return order, s, is_positive, P, #y - P
end

-- A point for each distinct score: (false positives, true positives) when all from it upwards are
-- called positive.
local function points_of(order, s, is_positive)
  local points, tp, fp = {}, 0, 0
  for k, i in ipairs(order) do
    if is_positive[i] then tp = tp + 1 else fp = fp + 1 end
    if s[order[k + 1]] ~= s[i] then points[#points + 1] = { fp, tp, s[i] } end
  end
  return points
end

-- Points in the middle of a straight run (equal steps) add nothing to the curve.
local function drop_collinear(points)
  local kept = {}
  for i, b in ipairs(points) do
    local a, c = points[i - 1], points[i + 1]
    if not (a and c) or c[1] - b[1] ~= b[1] - a[1] or c[2] - b[2] ~= b[2] - a[2] then
      kept[#kept + 1] = b
    end
  end
  return kept
end

--- The ROC curve: as the threshold falls, the share of negatives called positive (fpr) and of
--- positives found (tpr).
---
--- Starts at (0, 0) with the threshold math.huge. The positive class is number `positive`, 1 when
--- absent ("Parasitized" is class 1; labels 0/1 and booleans work too), and a score is its
--- probability: `probabilities:totable()[i][1]`.
---@param y_true giemsa.classes|boolean[]
---@param scored number[]|giemsa.tensor the higher, the more positive
---@param opts? {positive?: integer, drop_intermediate?: boolean} drop_intermediate (true): leave
--- out points on a straight line
---@return number[] fpr, number[] tpr, number[] thresholds
function metrics.roc_curve(y_true, scored, opts)
  local o = options.check("roc_curve", opts,
    { positive = "integer", drop_intermediate = "boolean" })
  local order, s, is_positive, P, N = ranked("roc_curve", y_true, scored, o.positive or 1, 2)
  local points = points_of(order, s, is_positive)
  if o.drop_intermediate ~= false then points = drop_collinear(points) end
  local fpr, tpr, thresholds = { 0.0 }, { 0.0 }, { math.huge }
  for i, point in ipairs(points) do
    fpr[i + 1], tpr[i + 1], thresholds[i + 1] = point[1] / N, point[2] / P, point[3]
  end
  return fpr, tpr, thresholds
end

--- The area under a curve by trapezoids; x must not turn back.
---@param x number[]
---@param y number[]
---@return number
function metrics.auc(x, y)
  if #x ~= #y or #x < 2 then
    error(("auc: needs two or more points, as many x as y; got %d and %d"):format(#x, #y), 2)
  end
  local area, direction = 0, 0
  for i = 2, #x do
    local dx = x[i] - x[i - 1]
    if dx * direction < 0 then error(("auc: x turns back at point %d"):format(i), 2) end
    if dx ~= 0 then direction = dx end
    area = area + dx * (y[i] + y[i - 1]) / 2
  end
  return direction < 0 and -area or area
end

--- The area under the ROC curve: the chance that a positive scores higher than a negative (ties
--- count half).
---@param y_true giemsa.classes|boolean[]
---@param scored number[]|giemsa.tensor
---@param opts? {positive?: integer}
---@return number
function metrics.roc_auc_score(y_true, scored, opts)
  local o = options.check("roc_auc_score", opts, { positive = "integer" })
  local order, s, is_positive, P, N = ranked("roc_auc_score", y_true, scored, o.positive or 1, 2)
  local area, fp, tp = 0, 0, 0
  for _, point in ipairs(points_of(order, s, is_positive)) do
    area = area + (point[1] - fp) * (point[2] + tp) / 2
    fp, tp = point[1], point[2]
  end
  return area / (P * N)
end

-- ---- the interval of an area

-- For each sample, the share of the other class it is on the right side of (ties count half):
-- DeLong's placements.
local function placements(order, s, is_positive, P, N)
  local positive, negative = {}, {}
  local tp, fp, k = 0, 0, 1
  while k <= #order do
    local first, tied = k, { [true] = 0, [false] = 0 }
    while k <= #order and s[order[k]] == s[order[first]] do
      tied[is_positive[order[k]]] = tied[is_positive[order[k]]] + 1
      k = k + 1
    end
    for _ = 1, tied[true] do positive[#positive + 1] = 1 - (fp + tied[false] / 2) / N end
    for _ = 1, tied[false] do negative[#negative + 1] = (tp + tied[true] / 2) / P end
    tp, fp = tp + tied[true], fp + tied[false]
  end
  return positive, negative
end

local function variance(values, mean)
  local total = 0
  for _, v in ipairs(values) do total = total + (v - mean) ^ 2 end
  return total / (#values - 1)
end

--- The area under the ROC curve with its interval (DeLong's variance, on the logit scale so that it
--- stays within 0..1). Needs two samples of each class; low and high are nil when the classes are
--- told apart without a single mistake: then the sample cannot say how far from perfect the truth
--- is.
---@param y_true giemsa.classes|boolean[]
---@param scored number[]|giemsa.tensor
---@param opts? {positive?: integer, level?: number}
---@return number auc, number? low, number? high
function metrics.auc_interval(y_true, scored, opts)
  local o = options.check("auc_interval", opts, { positive = "integer", level = "number" })
  local z = intervals.quantile("auc_interval", o.level, 2)
  local order, s, is_positive, P, N = ranked("auc_interval", y_true, scored, o.positive or 1, 2)
  local positive, negative = placements(order, s, is_positive, P, N)
  local area = average(positive)
  if P < 2 or N < 2 or area <= 0 or area >= 1 then return area, nil, nil end
  local deviation = math.sqrt(variance(positive, area) / P + variance(negative, area) / N)
  local logit, spread = math.log(area / (1 - area)), z * deviation / (area * (1 - area))
  local function back(x) return 1 / (1 + math.exp(-x)) end
  return area, back(logit - spread), back(logit + spread)
end

return metrics
