--- Reports, matrices and curves against scikit-learn's numbers; intervals against published and
-- worked values.
local t = require "tests.harness"
local json = require "dkjson"
local core = require "giemsa.core"
local metrics = require "giemsa.metrics"

local function read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end

local function cases(name) return json.decode(read(t.need_fixtures() .. "/report/" .. name)) end

-- Fixtures count classes from 0 and keep long lists in a file of bytes.
local function labels(list)
  if type(list) == "string" then
    list = core.npy_load(t.fixtures .. "/report/" .. list):totable()
  end
  local out = {}
  for i, v in ipairs(list) do out[i] = math.tointeger(v) + 1 end
  return out
end

t.test("every report is scikit-learn's text to the byte", function()
  for _, case in ipairs(cases "cases.json") do
    local got = metrics.classification_report(labels(case.y_true), labels(case.y_pred),
      { target_names = case.target_names })
    t.equal(got, read(t.fixtures .. "/report/" .. case.report), case.id)
  end
end)

t.test("tensors do as well as arrays", function()
  local case = cases("cases.json")[2]
  local y_true, y_pred = core.from_table(labels(case.y_true)), core.from_table(labels(case.y_pred))
  t.equal(metrics.classification_report(y_true, y_pred:reshape(-1, 1),
    { target_names = case.target_names }),
    read(t.fixtures .. "/report/" .. case.report))
end)

t.test("the numbers behind the reports", function()
  for _, case in ipairs(cases "cases.json") do
    local y_true, y_pred, names = labels(case.y_true), labels(case.y_pred), case.target_names
    local given = { target_names = names }
    local precision, recall, f1, support = metrics.precision_recall_f1(y_true, y_pred, given)
    t.close(precision, case.precision, 1e-12, 0, case.id)
    t.close(recall, case.recall, 1e-12, 0, case.id)
    t.close(f1, case.f1, 1e-12, 0, case.id)
    t.equal(support, case.support)
    local report = metrics.classification_report(y_true, y_pred,
      { target_names = names, output = "table" })
    for kind, want in pairs(case.averages_p_r_f1) do
      local row = report[kind .. " avg"]
      if row then
        t.close({ row.precision, row.recall, row["f1-score"] }, want, 1e-12, 0,
          case.id .. " " .. kind)
      end
      local all = {}
      for i = 1, #names do all[i] = i end
      t.close({ metrics.precision_score(y_true, y_pred, { average = kind, labels = all }),
        metrics.recall_score(y_true, y_pred, { average = kind, labels = all }),
        metrics.f1_score(y_true, y_pred, { average = kind, labels = all }) }, want, 1e-12, 0,
          case.id .. " " .. kind)
    end
    t.close(report.accuracy, case.accuracy, 1e-12)
    t.close(metrics.accuracy_score(y_true, y_pred), case.accuracy, 1e-12)
    t.close(metrics.confusion_matrix(y_true, y_pred, { target_names = names }),
      case.confusion_matrix_rows_true, 0)
  end
end)

t.test("ROC curves and areas", function()
  for i, case in ipairs(cases("roc.json").cases) do
    for _, kind in ipairs { { "curve_all", false }, { "curve_drop_intermediate", nil } } do
      local want = case[kind[1]]
      local given = { drop_intermediate = kind[2] }
      local fpr, tpr, thresholds = metrics.roc_curve(case.y, case.score, given)
      t.close(fpr, want.fpr, 1e-12, 0, "case " .. i .. " fpr")
      t.close(tpr, want.tpr, 1e-12, 0, "case " .. i .. " tpr")
      t.equal(thresholds[1], math.huge)
      t.close({ table.unpack(thresholds, 2) }, { table.unpack(want.thresholds, 2) }, 0)
      t.close(metrics.auc(fpr, tpr), case.auc, 1e-12)
    end
    t.close(metrics.roc_auc_score(case.y, case.score), case.auc, 1e-12)
    local area, low, high = metrics.auc_interval(case.y, case.score)
    t.close(area, case.auc, 1e-12)
    t.ok(0 < low and low < area and area < high and high < 1)
    -- the other class with the scores turned round is the same question
    local turned = {}
    for k, s in ipairs(case.score) do turned[k] = -s end
    t.close(metrics.roc_auc_score(case.y, turned, { positive = 0 }), case.auc, 1e-12)
  end
end)

t.test("the area is the chance that a positive beats a negative", function()
  local y, s = { 1, 1, 2, 2, 1, 2 }, { 0.9, 0.4, 0.4, 0.1, 0.8, 0.85 }
  local wins, pairs_seen = 0, 0
  for i = 1, #y do
    for j = 1, #y do
      if y[i] == 1 and y[j] == 2 then
        pairs_seen = pairs_seen + 1
        wins = wins + (s[i] > s[j] and 1 or s[i] == s[j] and 0.5 or 0)
      end
    end
  end
  t.close(metrics.roc_auc_score(y, s), wins / pairs_seen, 1e-15)
  t.equal(select("#", metrics.auc_interval({ 1, 1, 0, 0 }, { 4, 3, 2, 1 })), 3)
  t.equal((metrics.auc_interval({ true, true, false, false }, { 4, 3, 2, 1 })), 1.0)
end)

t.test("DeLong's interval on a case worked by hand", function()
  -- placements of positives: 1, 3/4, 1/2, of negatives: 1, 1, 2/3, 1/3; variances 1/16, 11/108
  local y, s = { 1, 0, 1, 0, 1, 0, 0 }, { 7, 6.5, 6, 4, 3.5, 3, 2 }
  local area, low, high = metrics.auc_interval(y, s)
  t.close(area, (1 + 3 / 4 + 2 / 4) / 3, 1e-15)
  local deviation = math.sqrt((1 / 16) / 3 + (11 / 108) / 4)
  local spread = 1.959963984540054 * deviation / (area * (1 - area))
  t.close(low, 1 / (1 + math.exp(spread) * (1 - area) / area), 1e-12)
  t.close(high, 1 / (1 + math.exp(-spread) * (1 - area) / area), 1e-12)
end)

t.test("classes without names, some left out, none predicted", function()
  local y_true, y_pred = { 1, 1, 2, 3, 3, 3 }, { 1, 2, 2, 3, 1, 3 }
  t.equal(metrics.classification_report(y_true, y_pred, { labels = { 1, 2 }, digits = 3 }), [[
              precision    recall  f1-score   support

           1      0.500     0.500     0.500         2
           2      0.500     1.000     0.667         1

   micro avg      0.500     0.667     0.571         3
   macro avg      0.500     0.750     0.583         3
weighted avg      0.500     0.667     0.556         3
]])
  t.equal(metrics.classification_report(y_true, y_pred):match "accuracy +(%d.%d+) +6\n", "0.67")
  t.equal(metrics.confusion_matrix(y_true, y_pred), { { 1, 1, 0 }, { 0, 1, 0 }, { 1, 0, 2 } })
  t.equal(metrics.precision_score({ 2, 2 }, { 2, 2 }), 0.0)
  t.equal(metrics.recall_score(y_true, y_pred, { positive = 2 }), 1.0)
end)

t.test("names are measured in characters", function()
  local names = { "疟原虫", "trophozoïte" }
  local text = metrics.classification_report({ 1, 2 }, { 1, 2 }, { target_names = names })
  t.ok(text:find("\n         疟原虫       1.00", 1, true), text)
  local matrix = metrics.confusion_matrix({ 1, 2, 2 }, { 1, 2, 1 },
    { target_names = { "ill", "well" } })
  t.equal(tostring(matrix), [[
true \ predicted  ill  well
             ill    1     0
            well    1     1]])
end)

t.test("Wilson's interval", function()
  local low, high = metrics.wilson(8, 10) -- Newcombe 1998 and any table
  t.close({ low, high }, { 0.490162471521, 0.943317849 }, 1e-7)
  t.close({ metrics.wilson(81, 263) }, { 0.2553, 0.3662 }, 5e-5) -- Newcombe 1998, table I
  t.close({ metrics.wilson(0, 20) }, { 0.0, 0.1611 }, 5e-5)
  t.equal({ metrics.wilson(0, 0) }, {})
  t.raises(metrics.wilson, "cannot be", 3, 2)
  t.raises(metrics.wilson, "0.90, 0.95 or 0.99", 1, 2, 0.5)
end)

t.test("sensitivity and specificity of the positive class by name", function()
  local y_true, y_pred = {}, {}
  local function add(n, a, b)
    for _ = 1, n do y_true[#y_true + 1], y_pred[#y_pred + 1] = a, b end
  end
  add(90, 1, 1) add(10, 1, 2) add(5, 2, 1) add(195, 2, 2)
  local r = metrics.sensitivity_specificity(y_true, y_pred,
    { target_names = { "Parasitized", "Uninfected" }, positive = "Parasitized",
      prevalence = { 0.5, 0.01 } })
  t.equal({ r.tp, r.fn, r.fp, r.tn }, { 90, 10, 5, 195 })
  t.equal({ r.sensitivity.value, r.specificity.value, r.accuracy.value }, { 0.9, 0.975, 0.95 })
  t.close({ r.sensitivity.low, r.sensitivity.high }, { metrics.wilson(90, 100) }, 0)
  t.close({ r.ppv.value, r.npv.value }, { 90 / 95, 195 / 205 }, 1e-15)
  t.close(r.at[1].ppv, 0.45 / (0.45 + 0.0125), 1e-15)
  t.close(r.at[2].ppv, 0.009 / (0.009 + 0.025 * 0.99), 1e-15)
  t.close(r.at[2].npv, 0.975 * 0.99 / (0.975 * 0.99 + 0.001), 1e-15)
  t.equal(tostring(r), [[
Positive means Parasitized.
sensitivity   90.0 %   95 % interval 82.6 % to 94.5 %   90 of 100 Parasitized found
specificity   97.5 %   95 % interval 94.3 % to 98.9 %   195 of 200 Uninfected recognised
Prevalence 50.0 %: of 1000, 500 are Parasitized; 450 found, 50 missed, 13 false alarms.
  A positive answer is right in 97.3 % (PPV), a negative one in 90.7 % (NPV).
Prevalence 1.0 %: of 1000, 10 are Parasitized; 9 found, 1 missed, 25 false alarms.
  A positive answer is right in 26.7 % (PPV), a negative one in 99.9 % (NPV).]])
  local other = metrics.sensitivity_specificity(y_true, y_pred, { positive = 2 })
  t.equal({ other.positive, other.rest, other.sensitivity.value },
    { "class 2", "not class 2", 0.975 })
  local none = metrics.sensitivity_specificity({ 2, 2 }, { 2, 2 })
  t.equal(none.sensitivity.value, nil)
  t.ok(tostring(none):find("sensitivity  unknown", 1, true))
end)

t.test("wrong use is explained", function()
  local report, y = metrics.classification_report, { 1, 2 }
  t.raises(report, "y_true has 2 classes and y_pred has 1", y, { 1 })
  t.raises(report, "nothing to score", {}, {})
  t.raises(report, "class 0 occurs.*counted from 1", { 0, 1 }, { 0, 1 },
    { target_names = { "a", "b" } })
  t.raises(report, "class 3 occurs, but the 2 target_names", { 1, 3 }, { 1, 1 },
    { target_names = { "a", "b" } })
  t.raises(report, "y_pred%[1%] is 0.5, not a class", y, { 0.5, 1 })
  t.raises(report, "argmax", y, core.from_table { { 0.1, 0.9 }, { 0.5, 0.5 } })
  t.raises(report, "did you mean 'target_names'", y, y, { target_name = {} })
  t.raises(report, "3 labels but 2 target_names", y, y,
    { labels = { 1, 2, 3 }, target_names = { "a", "b" } })
  t.raises(report, "output must be one of text, table", y, y, { output = "dict" })
  t.raises(report, "must be an array or a tensor", "ab", y)
  t.raises(metrics.roc_curve, "none are of class 3", y, { 0.1, 0.2 }, { positive = 3 })
  t.raises(metrics.roc_curve, "scores%[2%] is ", y, { 0.1, 0 / 0 })
  t.raises(metrics.roc_auc_score, "scores has 3", y, { 1, 2, 3 })
  t.raises(metrics.auc, "turns back", { 0, 1, 0.5 }, { 0, 1, 1 })
  t.raises(metrics.sensitivity_specificity, "none of the target_names", y, y,
    { positive = "Ring", target_names = { "a", "b" } })
  t.raises(metrics.sensitivity_specificity, "prevalence is a share", y, y, { prevalence = 5 })
  t.raises(metrics.f1_score, "average must be one of", y, y, { average = "mean" })
  local where = t.raises(function() metrics.accuracy_score(y, { 1 }) end, "match one to one")
  t.ok(where:find("tests/metrics.lua", 1, true), "the error points to the caller: " .. where)
end)

t.done()
