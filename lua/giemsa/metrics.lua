--- How good is it? Reports, confusion matrix, ROC, sensitivity and specificity from true and
-- predicted classes. The numbers and the report's text are scikit-learn's (1.2.1); classes are
-- counted from 1, in the order of their names.
-- With P = tp + fn positives and N = fp + tn negatives: sensitivity tp/P (recall), specificity
-- tn/N, precision tp/(tp + fp).
local core = require "giemsa.core"
local options = require "giemsa.options"

local metrics = {}

-- Classes counted from 1: an array, or a tensor of shape (n,) or (n, 1).
---@alias giemsa.classes integer[]|giemsa.tensor

-- ---- arguments

local function shape_text(t)
  return "(" .. table.concat(t.shape, ", ") .. (t.ndim == 1 and ",)" or ")")
end

-- A plain array of numbers from an array or a tensor with one column.
local function numbers(who, name, values, level)
  if not core.is_tensor(values) then
    if type(values) == "table" then return values end
    error(("%s: %s must be an array or a tensor, got %s")
      :format(who, name, type(values)), level + 1)
  end
  local columns = values.ndim == 2 and values.shape[2] or 1
  if values.ndim ~= 1 and (values.ndim ~= 2 or columns ~= 1) then
    error(("%s: %s must have shape (n,), got %s; :argmax(2) picks classes from probabilities")
      :format(who, name, shape_text(values)), level + 1)
  end
  return values:reshape(-1):totable()
end

local function classes(who, name, values, level)
  local out = {}
  for i, v in ipairs(numbers(who, name, values, level + 1)) do
    local class = math.tointeger(v)
    if not class then
      error(("%s: %s[%d] is %s, not a class number"):format(who, name, i, tostring(v)), level + 1)
    end
    out[i] = class
  end
  return out
end

-- Both arrays of classes, of one length and not empty.
local function pairs_of_classes(who, y_true, y_pred, level)
  level = level or 2
  local t = classes(who, "y_true", y_true, level + 1)
  local p = classes(who, "y_pred", y_pred, level + 1)
  if #t ~= #p then
    error(("%s: y_true has %d classes and y_pred has %d; they must match one to one")
      :format(who, #t, #p), level + 1)
  end
  if #t == 0 then error(who .. ": there is nothing to score (no classes given)", level + 1) end
  return t, p
end

local function sorted_union(t, p)
  local seen, out = {}, {}
  for _, list in ipairs { t, p } do
    for _, class in ipairs(list) do
      if not seen[class] then seen[class], out[#out + 1] = true, class end
    end
  end
  table.sort(out)
  return out, seen
end

-- The classes to report on: those asked for, else one for each name, else all that occur.
local function labels_for(who, o, t, p, level)
  if o.labels then
    if o.target_names and #o.labels ~= #o.target_names then
      error(("%s: %d labels but %d target_names")
        :format(who, #o.labels, #o.target_names), level + 1)
    end
    return o.labels
  end
  local seen = sorted_union(t, p)
  if not o.target_names then return seen end
  local count = #o.target_names
  if seen[1] < 1 or seen[#seen] > count then
    error(("%s: class %d occurs, but the %d target_names are classes 1 to %d (counted from 1)")
      :format(who, seen[1] < 1 and seen[1] or seen[#seen], count, count), level + 1)
  end
  local labels = {}
  for i = 1, count do labels[i] = i end
  return labels
end

local function name_of(o, i, label)
  return o.target_names and o.target_names[i] or tostring(label)
end

local function ratio(a, b) return b == 0 and 0.0 or a / b end

-- ---- counting

-- Per label: hits, predicted and true counts.
local function count(t, p, labels)
  local tp, predicted, support, known = {}, {}, {}, {}
  for i, label in ipairs(labels) do tp[i], predicted[i], support[i], known[label] = 0, 0, 0, i end
  for k = 1, #t do
    local i, j = known[t[k]], known[p[k]]
    if i then support[i] = support[i] + 1 end
    if j then predicted[j] = predicted[j] + 1 end
    if i and i == j then tp[i] = tp[i] + 1 end
  end
  return tp, predicted, support
end

local function sum(list)
  local total = 0
  for _, v in ipairs(list) do total = total + v end
  return total
end

local function f1_of(precision, recall) return ratio(2 * precision * recall, precision + recall) end

local function scores(t, p, labels)
  local tp, predicted, support = count(t, p, labels)
  local precision, recall, f1 = {}, {}, {}
  for i = 1, #labels do
    precision[i], recall[i] = ratio(tp[i], predicted[i]), ratio(tp[i], support[i])
    f1[i] = f1_of(precision[i], recall[i])
  end
  local micro = { ratio(sum(tp), sum(predicted)), ratio(sum(tp), sum(support)) }
  micro[3] = f1_of(micro[1], micro[2])
  return { precision, recall, f1 }, support, micro
end

local function average(values, weights)
  local total, weight = 0, 0
  for i, v in ipairs(values) do
    local w = weights and weights[i] or 1
    total, weight = total + w * v, weight + w
  end
  return ratio(total, weight)
end

local function averages(per_label, weights)
  return { average(per_label[1], weights), average(per_label[2], weights),
    average(per_label[3], weights) }
end

--- Precision, recall and F1 for each label, and how many true ones it has. 0/0 counts as 0.
---@param y_true giemsa.classes
---@param y_pred giemsa.classes
---@param opts? {labels?: integer[], target_names?: string[]}
---@return number[] precision, number[] recall, number[] f1, integer[] support
function metrics.precision_recall_f1(y_true, y_pred, opts)
  local o = options.check("precision_recall_f1", opts, { labels = "table", target_names = "table" })
  local t, p = pairs_of_classes("precision_recall_f1", y_true, y_pred)
  local per_label, support = scores(t, p, labels_for("precision_recall_f1", o, t, p, 2))
  return per_label[1], per_label[2], per_label[3], support
end

local AVERAGES = { "binary", "macro", "weighted", "micro" }

-- One number: of the positive class, or an average. which: 1 precision, 2 recall, 3 F1.
local function one_score(who, which, y_true, y_pred, opts)
  local known = { average = "string", positive = "integer", labels = "table" }
  local o = options.check(who, opts, known, 4)
  local kind = options.one_of(who, "average", o.average or "binary", AVERAGES, 4)
  local t, p = pairs_of_classes(who, y_true, y_pred, 3)
  local labels = kind == "binary" and { o.positive or 1 } or o.labels or sorted_union(t, p)
  local per_label, support, micro = scores(t, p, labels)
  if kind == "micro" then return micro[which] end
  return average(per_label[which], kind == "weighted" and support or nil)
end

--- Of those called positive, the share that is. `average`: "binary" (the class `positive`, 1 when
--- absent), "macro", "weighted" or "micro" over all classes.
---@param y_true giemsa.classes
---@param y_pred giemsa.classes
---@param opts? {average?: string, positive?: integer, labels?: integer[]}
---@return number
function metrics.precision_score(y_true, y_pred, opts)
  return (one_score("precision_score", 1, y_true, y_pred, opts))
end

--- Of the positives, the share that was found (sensitivity). Options as precision_score.
---@return number
function metrics.recall_score(y_true, y_pred, opts)
  return (one_score("recall_score", 2, y_true, y_pred, opts))
end

--- 2 P R / (P + R). Options as precision_score.
---@return number
function metrics.f1_score(y_true, y_pred, opts)
  return (one_score("f1_score", 3, y_true, y_pred, opts))
end

local function accuracy(t, p)
  local hits = 0
  for i = 1, #t do if t[i] == p[i] then hits = hits + 1 end end
  return hits / #t
end

--- The share of classes that are right.
---@param y_true giemsa.classes
---@param y_pred giemsa.classes
---@return number
function metrics.accuracy_score(y_true, y_pred)
  return accuracy(pairs_of_classes("accuracy_score", y_true, y_pred))
end

-- ---- the report

-- Right-aligned by characters, as Python does (string.format counts bytes).
local function pad(text, width) return (" "):rep(width - (utf8.len(text) or #text)) .. text end

local function report_rows(t, p, labels, o)
  local per_label, support, micro = scores(t, p, labels)
  local known, all_known = {}, true
  for _, label in ipairs(labels) do known[label] = true end
  for _, label in ipairs(sorted_union(t, p)) do all_known = all_known and known[label] or false end
  local rows, total = {}, sum(support)
  for i, label in ipairs(labels) do
    rows[i] = { name = name_of(o, i, label), per_label[1][i], per_label[2][i], per_label[3][i],
      support = support[i] }
  end
  local function add(name, values)
    rows[#rows + 1] = { name = name, values[1], values[2], values[3], support = total,
      summary = true }
  end
  if all_known then
    add("accuracy", {})
    rows[#rows].accuracy = accuracy(t, p)
  else
    add("micro avg", micro) -- some classes are left out: hits over all is no accuracy then
  end
  add("macro avg", averages(per_label))
  add("weighted avg", averages(per_label, support))
  return rows
end

local function report_text(rows, digits)
  local width = math.max(#"weighted avg", digits)
  for _, row in ipairs(rows) do width = math.max(width, utf8.len(row.name) or #row.name) end
  local number = "%9." .. digits .. "f"
  local out = { pad("", width) .. " " }
  for _, heading in ipairs { "precision", "recall", "f1-score", "support" } do
    out[#out + 1] = " " .. pad(heading, 9)
  end
  out[#out + 1] = "\n\n"
  for i, row in ipairs(rows) do
    if row.summary and not (rows[i - 1] or {}).summary then out[#out + 1] = "\n" end
    out[#out + 1] = pad(row.name, width) .. " "
    for k = 1, 3 do
      local value = row.accuracy and (k == 3 and row.accuracy or nil) or row[k]
      out[#out + 1] = " " .. (value and number:format(value) or pad("", 9))
    end
    out[#out + 1] = (" %9d\n"):format(row.support)
  end
  return table.concat(out)
end

local function report_table(rows)
  local out = {}
  for _, row in ipairs(rows) do
    out[row.name] = row.accuracy
      or { precision = row[1], recall = row[2], ["f1-score"] = row[3], support = row.support }
  end
  return out
end

--- Precision, recall and F1 of every class and their averages: scikit-learn's text to the byte, or
--- a table of the numbers (output = "table": report["Parasitized"].recall, report.accuracy,
--- report["macro avg"]["f1-score"], ...).
---
--- Classes with a name in `target_names` are all reported, also those that do not occur. Ends with
--- a line end.
---@param y_true giemsa.classes
---@param y_pred giemsa.classes
---@param opts? {target_names?: string[], labels?: integer[], digits?: integer, output?: string}
---@return string|table
function metrics.classification_report(y_true, y_pred, opts)
  local who = "classification_report"
  local o = options.check(who, opts, { target_names = "table", labels = "table", digits = "integer",
    output = "string" })
  local output = options.one_of(who, "output", o.output or "text", { "text", "table" })
  local digits = o.digits or 2
  if digits < 0 or digits > 15 then
    error(("%s: digits must be 0 to 15, got %d"):format(who, digits), 2)
  end
  local t, p = pairs_of_classes(who, y_true, y_pred)
  local rows = report_rows(t, p, labels_for(who, o, t, p, 2), o)
  if output == "table" then return report_table(rows) end
  return report_text(rows, math.tointeger(digits))
end

-- ---- confusion matrix

local Matrix = {}

-- Rows are what is true, columns what was said.
function Matrix:__tostring()
  local names, out = getmetatable(self).names, {}
  local first, widths = #"true \\ predicted", {}
  for j, name in ipairs(names) do
    first = math.max(first, utf8.len(name) or #name)
    widths[j] = utf8.len(name) or #name
    for i = 1, #self do widths[j] = math.max(widths[j], #tostring(self[i][j])) end
  end
  out[1] = pad("true \\ predicted", first)
  for j, name in ipairs(names) do out[1] = out[1] .. "  " .. pad(name, widths[j]) end
  for i, row in ipairs(self) do
    out[i + 1] = pad(names[i], first)
    for j, n in ipairs(row) do out[i + 1] = out[i + 1] .. "  " .. pad(tostring(n), widths[j]) end
  end
  return table.concat(out, "\n")
end

--- How often class i (row) was taken for class j (column): matrix[i][j]. Printed, it shows the
--- names.
---@param y_true giemsa.classes
---@param y_pred giemsa.classes
---@param opts? {target_names?: string[], labels?: integer[]}
---@return integer[][]
function metrics.confusion_matrix(y_true, y_pred, opts)
  local o = options.check("confusion_matrix", opts, { target_names = "table", labels = "table" })
  local t, p = pairs_of_classes("confusion_matrix", y_true, y_pred)
  local labels = labels_for("confusion_matrix", o, t, p, 2)
  local matrix, known, names = {}, {}, {}
  for i, label in ipairs(labels) do
    matrix[i], known[label], names[i] = {}, i, name_of(o, i, label)
    for j = 1, #labels do matrix[i][j] = 0 end
  end
  for k = 1, #t do
    local i, j = known[t[k]], known[p[k]]
    if i and j then matrix[i][j] = matrix[i][j] + 1 end
  end
  return setmetatable(matrix, { __tostring = Matrix.__tostring, names = names })
end

-- ---- ROC

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
---@param opts? {positive?: integer, drop_intermediate?: boolean} drop_intermediate (true): leave out
--- points on a straight line
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

-- ---- intervals

local NORMAL_QUANTILE = { [0.90] = 1.6448536269514722, [0.95] = 1.959963984540054,
  [0.99] = 2.5758293035489004 }

local function quantile(who, level, error_level)
  local z = NORMAL_QUANTILE[level or 0.95]
  if not z then
    error(("%s: level must be 0.90, 0.95 or 0.99, got %s")
      :format(who, tostring(level)), error_level + 1)
  end
  return z
end

local function wilson(hits, n, z)
  if n == 0 then return nil, nil end
  local p, shrink = hits / n, 1 + z * z / n
  local centre = (p + z * z / (2 * n)) / shrink
  local half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  return math.max(0.0, centre - half), math.min(1.0, centre + half)
end

--- Wilson's interval for a share hits/n: unlike p +- z sqrt(p(1-p)/n) it stays right near 0 and 1
--- and for small n.
---@param hits integer
---@param n integer
---@param level? number 0.90, 0.95 (default) or 0.99
---@return number? low, number? high nil when n is 0
function metrics.wilson(hits, n, level)
  local z = quantile("wilson", level, 2)
  if not (hits >= 0 and hits <= n) then
    error(("wilson: %s hits out of %s cannot be"):format(tostring(hits), tostring(n)), 2)
  end
  return wilson(hits, n, z)
end

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
  local z = quantile("auc_interval", o.level, 2)
  local order, s, is_positive, P, N = ranked("auc_interval", y_true, scored, o.positive or 1, 2)
  local positive, negative = placements(order, s, is_positive, P, N)
  local area = average(positive)
  if P < 2 or N < 2 or area <= 0 or area >= 1 then return area, nil, nil end
  local deviation = math.sqrt(variance(positive, area) / P + variance(negative, area) / N)
  local logit, spread = math.log(area / (1 - area)), z * deviation / (area * (1 - area))
  local function back(x) return 1 / (1 + math.exp(-x)) end
  return area, back(logit - spread), back(logit + spread)
end

-- ---- as a clinic reads it

local Clinical = {}
Clinical.__index = Clinical

-- The number of the positive class, and the names of it and of the rest.
local function positive_class(who, o, t, p, level)
  local positive = o.positive or 1
  if type(positive) == "string" then
    local found
    for i, name in ipairs(o.target_names or {}) do if name == positive then found = i end end
    if not found then
      error(("%s: positive = '%s' is none of the target_names (%s)")
        :format(who, positive, table.concat(o.target_names or {}, ", ")), level + 1)
    end
    positive = found
  end
  labels_for(who, { target_names = o.target_names }, t, p, level + 1)
  local names = o.target_names or {}
  local name = names[positive] or "class " .. positive
  local rest = #names == 2 and names[3 - positive] or "not " .. name
  return positive, name, rest
end

local function share(hits, n, z)
  local low, high = wilson(hits, n, z)
  return { hits = hits, n = n, value = n > 0 and hits / n or nil, low = low, high = high }
end

-- What a result means where a share `prevalence` of all are positive (Bayes' rule).
local function at_prevalence(r, prevalence)
  local sensitivity, specificity = r.sensitivity.value, r.specificity.value
  if not (sensitivity and specificity) then return { prevalence = prevalence } end
  local found, false_alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
  local missed, cleared = (1 - sensitivity) * prevalence, specificity * (1 - prevalence)
  return {
    prevalence = prevalence,
    found = found, missed = missed, false_alarms = false_alarms, cleared = cleared,
    ppv = found + false_alarms > 0 and found / (found + false_alarms) or nil,
    npv = cleared + missed > 0 and cleared / (cleared + missed) or nil,
  }
end

--- Sensitivity and specificity of one class against the rest, with Wilson intervals; printed, it
--- explains them.
---
--- Fields: positive, rest (names), tp, fn, fp, tn, level, and sensitivity, specificity, ppv, npv,
--- accuracy, each {value, low, high, hits, n}. ppv and npv are those of this sample; `at[i]` has
--- them {ppv, npv, found, missed, false_alarms, cleared} for each `prevalence`, since a screening
--- meets fewer positives than a balanced test set.
---@param y_true giemsa.classes
---@param y_pred giemsa.classes
---@param opts? {positive?: string|integer, target_names?: string[], prevalence?: number|number[],
--- level?: number}
---@return table
function metrics.sensitivity_specificity(y_true, y_pred, opts)
  local who = "sensitivity_specificity"
  local o = options.check(who, opts, { positive = "string|integer", target_names = "table",
    prevalence = "number|table", level = "number" })
  local z = quantile(who, o.level, 2)
  local t, p = pairs_of_classes(who, y_true, y_pred)
  local positive, name, rest = positive_class(who, o, t, p, 2)
  local r = { positive = name, rest = rest, level = o.level or 0.95, at = {},
    tp = 0, fn = 0, fp = 0, tn = 0 }
  for i = 1, #t do
    local key = (t[i] == positive) == (p[i] == positive) and "t" or "f"
    key = key .. (p[i] == positive and "p" or "n")
    r[key] = r[key] + 1
  end
  r.sensitivity, r.specificity = share(r.tp, r.tp + r.fn, z), share(r.tn, r.tn + r.fp, z)
  r.ppv, r.npv = share(r.tp, r.tp + r.fp, z), share(r.tn, r.tn + r.fn, z)
  r.accuracy = share(r.tp + r.tn, #t, z)
  local shares = o.prevalence or 0.05
  for i, prevalence in ipairs(type(shares) == "table" and shares or { shares }) do
    if not (prevalence >= 0 and prevalence <= 1) then
      error(("%s: prevalence is a share from 0 to 1, got %s"):format(who, tostring(prevalence)), 2)
    end
    r.at[i] = at_prevalence(r, prevalence)
  end
  return setmetatable(r, Clinical)
end

local function percent(x) return x and ("%.1f %%"):format(100 * x) or "unknown" end

local function share_line(label, s, level, meaning)
  if s.n == 0 then return ("%-12s unknown: %s"):format(label, meaning) end
  return ("%-12s %7s   %d %% interval %s to %s   %s")
    :format(label, percent(s.value), math.floor(level * 100 + 0.5), percent(s.low), percent(s.high),
      meaning)
end

local function prevalence_lines(r, at)
  if not at.found then return {} end
  local function per_thousand(x) return math.floor(1000 * x + 0.5) end
  return {
    ("Prevalence %s: of 1000, %d are %s; %d found, %d missed, %d false alarms."):format(
      percent(at.prevalence), per_thousand(at.prevalence), r.positive, per_thousand(at.found),
      per_thousand(at.missed), per_thousand(at.false_alarms)),
    ("  A positive answer is right in %s (PPV), a negative one in %s (NPV).")
      :format(percent(at.ppv), percent(at.npv)),
  }
end

function Clinical:__tostring()
  local out = {
    ("Positive means %s."):format(self.positive),
    share_line("sensitivity", self.sensitivity, self.level,
      ("%d of %d %s found"):format(self.tp, self.tp + self.fn, self.positive)),
    share_line("specificity", self.specificity, self.level,
      ("%d of %d %s recognised"):format(self.tn, self.tn + self.fp, self.rest)),
  }
  for _, at in ipairs(self.at) do
    for _, line in ipairs(prevalence_lines(self, at)) do out[#out + 1] = line end
  end
  return table.concat(out, "\n")
end

return metrics
