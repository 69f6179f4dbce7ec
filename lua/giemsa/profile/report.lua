--- What a profile found: as text and as a chart, by op and by layer.
local core = require "giemsa.core"
local options = require "giemsa.options"
local plot = require "giemsa.plot"

---@class giemsa.ProfileReport
---@field ms number the whole, for one run
---@field runs integer
---@field ops table[] by falling time: { op, pass, calls, ms, share, flops, bytes }, for one run;
---  pass is "forward", "backward" or "update"
---@field rest number ms that no op accounts for
local Report = {}
Report.__index = Report

-- ---- grouping -----------------------------------------------------------------------------------

-- The rows with the same key(row) added up, by falling time.
local function grouped(rows, key, runs)
  local groups = {}
  for _, row in ipairs(rows) do
    local name = key(row)
    local group = groups[name]
    if not group then
      group = { op = row.op, pass = row.pass, layer = row.layer, calls = 0, ms = 0, flops = 0,
        bytes = 0, forward = 0, backward = 0, update = 0 }
      groups[name] = group
      groups[#groups + 1] = group
    end
    local ms = row.seconds * 1e3 / runs
    group.calls, group.ms = group.calls + row.calls / runs, group.ms + ms
    group.flops, group.bytes = group.flops + row.flops / runs, group.bytes + row.bytes / runs
    group[row.pass] = group[row.pass] + ms
  end
  table.sort(groups, function(a, b) return a.ms > b.ms end)
  return groups
end

--- Made by giemsa.profile.
---@param rows table[] { op, pass, layer, calls, seconds, flops, bytes }
---@param seconds number
---@param runs integer
---@return giemsa.ProfileReport
function Report.new(rows, seconds, runs)
  local self = setmetatable({ ms = seconds * 1e3 / runs, runs = runs }, Report)
  self.ops = grouped(rows, function(row) return row.op .. "/" .. row.pass end, runs)
  self.by_layer = grouped(rows, function(row) return row.layer or "" end, runs)
  self.rest = self.ms
  for _, op in ipairs(self.ops) do
    op.share = op.ms / self.ms
    self.rest = self.rest - op.ms
  end
  return self
end

-- ---- text ---------------------------------------------------------------------------------------

local function rate(amount, ms, unit)
  if amount == 0 then return "" end
  return ("%.1f"):format(amount / (ms * 1e-3) / unit)
end

-- Columns as wide as their longest cell; the first `left` of them flush left.
local function laid_out(lines, left)
  local widths = {}
  for _, cells in ipairs(lines) do
    for i, cell in ipairs(cells) do widths[i] = math.max(widths[i] or 0, #cell) end
  end
  local out = {}
  for n, cells in ipairs(lines) do
    local parts = {}
    for i, cell in ipairs(cells) do
      parts[i] = ("%" .. (i <= left and "-" or "") .. widths[i] .. "s"):format(cell)
    end
    out[n] = table.concat(parts, "  "):gsub("%s+$", "")
  end
  return table.concat(out, "\n")
end

function Report:title()
  return ("%.2f ms a run (mean of %d; %d threads, %s)"):format(self.ms, self.runs, core.threads(),
    core.isa())
end

local function share(ms, all) return ("%.1f %%"):format(100 * ms / all) end

-- Operations that take less than this share stand in one line.
local SMALL = 0.002

--- The table by op; print(report) shows it.
---@return string
function Report:__tostring()
  local lines = { { "op", "pass", "calls", "ms", "share", "GFLOP/s", "GB/s", "MB" } }
  local small, calls = 0, 0
  for _, op in ipairs(self.ops) do
    if op.share < SMALL then
      small, calls = small + op.ms, calls + op.calls
    else
      lines[#lines + 1] = { op.op, op.pass, ("%.0f"):format(op.calls), ("%.2f"):format(op.ms),
        share(op.ms, self.ms), rate(op.flops, op.ms, 1e9), rate(op.bytes, op.ms, 1e9),
        op.bytes > 0 and ("%.1f"):format(op.bytes / 1e6) or "" }
    end
  end
  if calls > 0 then
    lines[#lines + 1] = { "(smaller ones)", "", ("%.0f"):format(calls), ("%.2f"):format(small),
      share(small, self.ms), "", "", "" }
  end
  lines[#lines + 1] = { "(Lua)", "", "", ("%.2f"):format(self.rest), share(self.rest, self.ms), "",
    "", "" }
  return self:title() .. "\n" .. laid_out(lines, 2)
end

local OUTSIDE = "(no layer)"

-- The `most` dearest groups by name, and what remains as one.
local function dearest(groups, name_of, most)
  local list, index = {}, {}
  for _, group in ipairs(groups) do
    local name = name_of(group)
    if not index[name] and #list >= most then name = "(others)" end
    local place = index[name]
    if not place then
      place = #list + 1
      index[name], list[place] = place, { name = name, ms = 0, flops = 0, bytes = 0, forward = 0,
        backward = 0, update = 0 }
    end
    for key, value in pairs(list[place]) do
      if key ~= "name" then list[place][key] = value + group[key] end
    end
  end
  return list
end

local function layer_name(group) return group.layer or OUTSIDE end

--- The table by layer; layers that run as one op stand in one line. Loss, regularisation and the
--- update of the weights are no layer's.
---@param most integer? lines, the dearest layers first; default 25
---@return string
function Report:layers(most)
  local lines = { { "layer", "forward ms", "backward ms", "share", "GFLOP/s", "MB" } }
  for _, layer in ipairs(dearest(self.by_layer, layer_name, most or 25)) do
    lines[#lines + 1] = { layer.name, ("%.2f"):format(layer.forward + layer.update),
      ("%.2f"):format(layer.backward), share(layer.ms, self.ms), rate(layer.flops, layer.ms, 1e9),
      ("%.1f"):format(layer.bytes / 1e6) }
  end
  return self:title() .. "\n" .. laid_out(lines, 1)
end

-- ---- chart --------------------------------------------------------------------------------------

local PASSES = { { "forward", "blue" }, { "backward", "vermillion" }, { "update", "green" },
  { "Lua", "grey" } }

local known = { by = "string", most = "integer", title = "string" }

--- A chart of bars: forward, backward and update of the dearest ops, or layers.
---@param opts {by: ("op"|"layer")?, most: integer?, title: string?}? default "op", 14 bars
---@return giemsa.figure
function Report:plot(opts)
  opts = options.check("profile plot", opts, known, 3)
  local by = options.one_of("profile plot", "by", opts.by or "op", { "op", "layer" })
  local name_of = by == "op" and function(group) return group.op end or layer_name
  local list = dearest(by == "op" and self.ops or self.by_layer, name_of, opts.most or 14)
  list[#list + 1] = { name = "(Lua)", Lua = math.max(self.rest, 0) }
  local labels, series = {}, {}
  for i, bar in ipairs(list) do labels[i] = bar.name end
  for k, pass in ipairs(PASSES) do
    series[k] = { title = pass[1], color = pass[2], values = {} }
    for i, bar in ipairs(list) do series[k].values[i] = bar[pass[1]] or 0 end
  end
  return plot.bars{ labels = labels, series = series, stacked = true, horizontal = true,
    format = "%.1f", xlabel = "milliseconds", height = 120 + 26 * #labels,
    title = opts.title or "Where the time goes: " .. self:title() }
end

return Report
