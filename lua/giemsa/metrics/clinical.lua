--- As a clinic reads it: with P = tp + fn positives and N = fp + tn negatives, sensitivity tp/P,
-- specificity tn/N, and what a positive or negative answer is worth where few are ill (by Bayes).
local arguments = require "giemsa.metrics.arguments"
local intervals = require "giemsa.metrics.intervals"
local options = require "giemsa.options"

local metrics = {}

local labels_for, pairs_of_classes = arguments.labels_for, arguments.pairs_of_classes

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
  local low, high = intervals.of_share(hits, n, z)
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
  local z = intervals.quantile(who, o.level, 2)
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

-- What answers are worth; a kind of answer that was never given is worth nothing known.
local function worth_line(at)
  local positive, negative = percent(at.ppv), percent(at.npv)
  if not at.npv then
    return ("  A positive answer is right in %s (PPV); there are no negative ones.")
      :format(positive)
  elseif not at.ppv then
    return ("  A negative answer is right in %s (NPV); there are no positive ones.")
      :format(negative)
  end
  return ("  A positive answer is right in %s (PPV), a negative one in %s (NPV).")
    :format(positive, negative)
end

local function prevalence_lines(r, at)
  if not at.found then return {} end
  local function per_thousand(x) return math.floor(1000 * x + 0.5) end
  return {
    ("Prevalence %s: of 1000, %d are %s; %d found, %d missed, %d false alarms."):format(
      percent(at.prevalence), per_thousand(at.prevalence), r.positive, per_thousand(at.found),
      per_thousand(at.missed), per_thousand(at.false_alarms)),
    worth_line(at),
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
