--- The one progress primitive, a live display. At a terminal a line that is redrawn at most ten times
-- a second, in the shape Keras's students know; anywhere else (a pipe, a file, CI) exactly one plain
-- line at the end, no control bytes:
--
--   Epoch 1/25
--     3/120 ━━━───────────────── 12s 98ms/step - accuracy: 0.8731 - loss: 0.3312 - 325 images/s
--
-- While running the time is what is still to come; at the end it is what it took.
local core = require "giemsa.core"
local display = require "giemsa.display"
local options = require "giemsa.options"

local progress = {}

local BAR_WIDTH, REDRAW_SECONDS = 20, 0.1

--- "12s", "1:05", "1:02:03".
---@param seconds number
---@return string
function progress.time_text(seconds)
  local s = seconds // 1 | 0
  if s >= 3600 then return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60) end
  if s >= 60 then return ("%d:%02d"):format(s // 60, s % 60) end
  return ("%ds"):format(s)
end

local function per_unit_text(seconds, unit)
  if seconds >= 1 then return ("%.0fs/%s"):format(seconds, unit) end
  if seconds >= 1e-3 then return ("%.0fms/%s"):format(seconds * 1e3, unit) end
  return ("%.0fus/%s"):format(seconds * 1e6, unit)
end

-- {"loss", 0.3312} -> "loss: 0.3312"; a string stands for itself. Keras writes small numbers as
-- 1.0000e-04.
local function value_text(value)
  if type(value) == "string" then return value end
  local name, x = value[1], value[2]
  if type(x) ~= "number" then return name .. ": " .. tostring(x) end
  local small = x ~= 0 and math.abs(x) < 1e-3
  return (small and "%s: %.4e" or "%s: %.4f"):format(name, x)
end

local function values_text(values)
  local parts = {}
  for _, value in ipairs(values or {}) do parts[#parts + 1] = " - " .. value_text(value) end
  return parts
end

---@class giemsa.ProgressBar
local Bar = {}
Bar.__index = Bar

local plain_colour = os.getenv("NO_COLOR") ~= nil

-- 20 cells, the done part green and thick, the rest grey and thin: they differ also where colours
-- are lost.
local function cells_text(bar, width)
  local done = bar.total and math.min(bar.done / math.max(bar.total, 1), 1) * width // 1 | 0 or 0
  local thick, thin = ("━"):rep(done), ("─"):rep(width - done)
  return plain_colour and thick .. thin or "\27[32m" .. thick .. "\27[90m" .. thin .. "\27[0m"
end

local function count_text(bar)
  if not bar.total then return ("%d"):format(bar.done) end
  local total = ("%d"):format(bar.total)
  return ("%" .. #total .. "d/%s"):format(bar.done, total)
end

local function time_part(bar, finished)
  local elapsed = core.now() - bar.started
  local each = elapsed / math.max(bar.done, 1)
  local time = elapsed
  if not finished and bar.total then time = each * (bar.total - bar.done) end
  return progress.time_text(time) .. " " .. per_unit_text(each, bar.unit)
end

local function width_of(text) return utf8.len(text) or #text end

-- The line and the values that had no room on it. It is never wider than the terminal: first the
-- cells shrink, then values are left out from the end.
local function line_text(bar, values, finished)
  local columns = display.columns() or 80
  local count, time, parts = count_text(bar), time_part(bar, finished), values_text(values)
  local used, width, rest = width_of(count) + #time + 2, BAR_WIDTH, {}
  for _, part in ipairs(parts) do used = used + width_of(part) end
  while used + width >= columns and width > 4 do width = width - 1 end
  while used + width >= columns and #parts > 0 do
    local part = table.remove(parts)
    used = used - width_of(part)
    table.insert(rest, 1, part)
  end
  if used + width >= columns then
    return (count .. " " .. time):sub(1, math.max(columns - 1, 1)), rest
  end
  return ("%s %s %s%s"):format(count, cells_text(bar, width), time, table.concat(parts)), rest
end

-- What had no room, on lines of its own under a finished bar.
local function overflow_text(rest)
  local columns, lines, line = display.columns() or 80, {}, "   "
  for _, part in ipairs(rest) do
    if width_of(line .. part) >= columns and line ~= "   " then
      lines[#lines + 1] = line
      line = "   "
    end
    line = line .. part
  end
  if line ~= "   " then lines[#lines + 1] = line end
  return #lines > 0 and "\n" .. table.concat(lines, "\n") or ""
end

local function uncoloured(text) return (text:gsub("\27%[[%d;]*m", "")) end

-- The forms of a bar that runs, or of a finished one at a terminal.
local function bar_text(bar, values, finished)
  local line, rest = line_text(bar, values, finished)
  return (bar.label and bar.label .. "\n" or "") .. line
    .. (finished and overflow_text(rest) or "")
end

local function plain_line(bar, values)
  local elapsed = core.now() - bar.started
  return ("%s%s - %s%s"):format(bar.label and bar.label .. " - " or "", progress.time_text(elapsed),
    per_unit_text(elapsed / math.max(bar.done, 1), bar.unit), table.concat(values_text(values)))
end

local last_drawn_at = -math.huge -- any bar: short epochs may follow one another fast

local function draw(bar, values)
  local text = bar_text(bar, values, false)
  local below = bar.below and bar.below()
  local forms = { text = uncoloured(text), ansi = text .. (below and "\n" .. below or ""),
    live = true, after = bar.first }
  if bar.shown then bar.shown:update(forms) else bar.shown = display(forms) end
  bar.drawn_at, last_drawn_at = core.now(), core.now()
end

--- A bar over `total` units of work. Nothing is written before the first update (at a terminal: the
--- label at once).
---@param opts {total: integer?, label: string?, unit: string?, quiet: boolean?, plain: boolean?,
---  below: (fun(): string?)?, after: giemsa.ProgressBar?} unit default "step"; quiet writes nothing; plain writes one
---  line even at a terminal; below gives what stands under the bar in a terminal while it runs; after is the bar before
---  it in a series
---@return giemsa.ProgressBar
function progress.bar(opts)
  opts = options.check("progress.bar", opts, { total = "integer", label = "string", unit = "string",
    quiet = "boolean", plain = "boolean", below = "function", after = "table" }, 3)
  local bar = setmetatable({ total = opts.total, label = opts.label, unit = opts.unit or "step",
    quiet = opts.quiet, plain = opts.plain, below = opts.below, done = 0, started = core.now(),
    drawn_at = -math.huge, first = opts.after and (opts.after.first or opts.after.shown) }, Bar)
  local is_soon = core.now() - last_drawn_at < REDRAW_SECONDS
  if bar.label and not bar.quiet and not bar.plain and not is_soon then draw(bar) end
  return bar
end

--- Work done so far.
---@param done integer units
---@param values (string|table)[]? what to show: {"loss", 0.3312} or "325 images/s"
function Bar:update(done, values)
  self.done, self.values = done, values
  if self.quiet or self.plain or core.now() - self.drawn_at < REDRAW_SECONDS then return end
  draw(self, values)
end

--- The last line. Away from a terminal it is the only one.
---@param values (string|table)[]?
function Bar:finish(values)
  if self.closed then return end
  self.closed = true
  if self.quiet then return end
  values = values or self.values
  local forms = { text = plain_line(self, values), after = self.first }
  if not self.plain then forms.ansi = bar_text(self, values, true) end
  if self.shown then self.shown:close(forms) else self.shown = display(forms) end
end

--- Leaves an unfinished bar: ends its line and writes no more.
function Bar:abandon()
  if self.closed then return end
  self.closed = true
  if self.shown then self.shown:close{ ansi = bar_text(self, self.values, false), live = true } end
end

local function over(what, label)
  local list = type(what) == "table" and what or nil
  local total = list and #list or math.tointeger(what)
  if not total or total < 0 then
    error(("progress: expected a list or how often, got %s"):format(tostring(what)), 3)
  end
  local bar, i = progress.bar{ total = total, label = label, unit = "item" }, 0
  local function next_item()
    if i > 0 then bar:update(i) end
    i = i + 1
    if i <= total then return i, list and list[i] end
    bar:finish()
  end
  return next_item, nil, nil, setmetatable({}, { __close = function() bar:abandon() end })
end

--- Shows how far a loop is: for i in progress(100, "cells") do ... end, and of a list
--- for i, path in progress(paths) do ... end. Leaving the loop early ends the line.
---@overload fun(what: integer|table, label?: string): fun(): integer?, any
return setmetatable(progress, { __call = function(_, what, label)
  local next_item, state, control, closing = over(what, label)
  return next_item, state, control, closing
end })
