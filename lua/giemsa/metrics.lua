--- How good is it? Reports, confusion matrix, ROC, sensitivity and specificity from true and
-- predicted classes. The numbers and the report's text are scikit-learn's (1.2.1); classes are
-- counted from 1, in the order of their names.

---@class giemsa.metrics
local metrics = { wilson = require("giemsa.metrics.intervals").wilson }

for _, part in ipairs { "report", "roc", "clinical" } do
  for name, f in pairs(require("giemsa.metrics." .. part)) do metrics[name] = f end
end

return metrics
