--- Intervals for shares: how far the truth may be from what a sample shows.
local intervals = {}

local NORMAL_QUANTILE = { [0.90] = 1.6448536269514722, [0.95] = 1.959963984540054,
  [0.99] = 2.5758293035489004 }

function intervals.quantile(who, level, error_level)
  local z = NORMAL_QUANTILE[level or 0.95]
  if not z then
    error(("%s: level must be 0.90, 0.95 or 0.99, got %s")
      :format(who, tostring(level)), error_level + 1)
  end
  return z
end

function intervals.of_share(hits, n, z)
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
function intervals.wilson(hits, n, level)
  local z = intervals.quantile("wilson", level, 2)
  if not (hits >= 0 and hits <= n) then
    error(("wilson: %s hits out of %s cannot be"):format(tostring(hits), tostring(n)), 2)
  end
  return intervals.of_share(hits, n, z)
end

return intervals
