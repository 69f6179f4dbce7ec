--- Counts of hits: precision, recall, F1, accuracy, the classification report and the confusion
-- matrix. With tp hits of a class: precision tp / predicted as it, recall tp / truly it.
local arguments = require "giemsa.metrics.arguments"
local options = require "giemsa.options"

local metrics = {}

local average, ratio = arguments.average, arguments.ratio
local labels_for, name_of = arguments.labels_for, arguments.name_of
local pairs_of_classes, sorted_union = arguments.pairs_of_classes, arguments.sorted_union

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

return metrics
