--- classification_report, confusion matrix, accuracy, ROC and AUC against scikit-learn. Labels in the files count from 0.
local metrics = require "giemsa.metrics"

local function from_one(parity, labels)
  if type(labels) == "string" then labels = parity:npy(labels):totable() end
  local out = {}
  for i, label in ipairs(labels) do out[i] = math.tointeger(label) + 1 end
  return out
end

local function one_report(parity, case)
  local t, p = from_one(parity, case.y_true or case.y_true_file), from_one(parity, case.y_pred or case.y_pred_file)
  local how = { target_names = case.target_names }
  parity:equal(case.report, metrics.classification_report(t, p, how), parity:read(case.report))
  local got = metrics.classification_report(t, p, { target_names = case.target_names, output = "table" })
  for key, field in pairs{ precision = "precision", recall = "recall", f1 = "f1-score" } do
    local values = {}
    for i, name in ipairs(case.target_names) do values[i] = got[name][field] end
    parity:close(case.id .. " " .. key, values, case[key], 1e-12)
  end
  for _, average in ipairs{ "macro", "weighted" } do
    local row = got[average .. " avg"]
    local want = case.averages_p_r_f1[average]
    parity:close(case.id .. " " .. average, { row.precision, row.recall, row["f1-score"] }, { want[1], want[2], want[3] }, 1e-12)
  end
  parity:close(case.id .. " accuracy", metrics.accuracy_score(t, p), case.accuracy, 1e-12)
  parity:close(case.id .. " confusion", metrics.confusion_matrix(t, p, how), case.confusion_matrix_rows_true, 0)
end

return function(parity)
  for _, case in ipairs(parity:json("cases.json")) do one_report(parity, case) end
  for i, case in ipairs(parity:json("roc.json").cases) do
    local y = {}
    for k, label in ipairs(case.y) do y[k] = label == 1 end
    parity:close(("roc %d auc"):format(i), metrics.roc_auc_score(y, case.score), case.auc, 1e-12)
    for name, drop in pairs{ curve_all = false, curve_drop_intermediate = true } do
      local fpr, tpr, thresholds = metrics.roc_curve(y, case.score, { drop_intermediate = drop })
      local want = case[name]
      parity:close(("roc %d %s fpr"):format(i, name), fpr, want.fpr, 1e-12)
      parity:close(("roc %d %s tpr"):format(i, name), tpr, want.tpr, 1e-12)
      table.remove(thresholds, 1)
      parity:close(("roc %d %s thresholds"):format(i, name), thresholds, { table.unpack(want.thresholds, 2) }, 1e-12)
    end
  end
end
