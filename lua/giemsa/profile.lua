--- Where the time of a function goes, op by op:
--
--   local report = giemsa.profile(function() giemsa.train.step(model, x, y) end)
--   print(report)                  -- a table: op, pass, calls, ms, share, GFLOP/s, GB/s, MB
--   print(report:layers())         -- the same time by layer, forward and backward
--   report:plot():save "out/profile.png"
--
-- While it runs, every function of the core is replaced by one that looks at the clock before and
-- after; afterwards the core is as it was, so that nothing is paid when nobody profiles. The tape
-- knows whose op runs (grad.layer, grad.visiting). What no op accounts for is Lua itself: the
-- tape, the loop over the layers, the collector.
local core = require "giemsa.core"
local cost = require "giemsa.profile.cost"
local grad = require "giemsa.grad"
local options = require "giemsa.options"
local report = require "giemsa.profile.report"

local now, pack = core.now, table.pack

-- Too short to be worth a clock, and called everywhere.
local ignored = { now = true, dims = true, is_tensor = true, is_picture = true, threads = true,
  isa = true, interrupted = true, interrupt_begin = true, interrupt_end = true,
  interrupt_clear = true, is_terminal = true, memory = true, trim = true, fail_after = true, fail_lua_after = true, stream = true,
  worker_event = true, worker_ask = true }
local methods_of_interest = { copy = true, copy_from = true, fill = true }

local function pass_of(name)
  if name:find("_step$") then return "update" end
  return grad.visiting and "backward" or "forward"
end

-- The row of (op, pass, layer) in `rows`, made when first asked for.
local function row_of(rows, name, layer)
  local pass = pass_of(name)
  local key = name .. "/" .. pass .. "/" .. (layer and layer.name or "")
  local row = rows[key]
  if not row then
    row = { op = name, pass = pass, layer = layer and layer.name, calls = 0, seconds = 0, flops = 0,
      bytes = 0 }
    rows[key] = row
    rows[#rows + 1] = row
  end
  return row
end

local function account(rows, name, args, start, ...)
  local stop = now()
  local elapsed = stop - start
  local row = row_of(rows, name, (grad.visiting or grad).layer)
  row.calls, row.seconds = row.calls + 1, row.seconds + elapsed
  row.flops = row.flops + (cost.flops(name, args, (...)) or 0)
  row.bytes = row.bytes + cost.bytes(args) + cost.bytes(pack(...))
  rows.book_keeping = rows.book_keeping + now() - stop
  return ...
end

local function timed(rows, name, f)
  return function(...) return account(rows, name, pack(...), now(), f(...)) end
end

-- Replaces functions of C in a table; adds what puts them back to `saved`.
local function replace(from, wanted, rows, saved, prefix)
  for name, f in pairs(from) do
    if type(f) == "function" and wanted(name) and debug.getinfo(f, "S").what == "C" then
      saved[#saved + 1] = { from, name, f }
    end
  end
  for i = 1, #saved do
    local t, name, f = table.unpack(saved[i])
    if t == from then t[name] = timed(rows, (prefix or "") .. name, f) end
  end
end

local restore = { __close = function(saved)
  for _, entry in ipairs(saved) do
    local t, name, f = table.unpack(entry)
    t[name] = f
  end
end }

-- Runs f with the clocks in place; the rows, and the seconds of the whole without our own.
local function measure(f, runs)
  local rows, saved <close> = { book_keeping = 0 }, setmetatable({}, restore)
  grad.layer = nil
  replace(core, function(name) return not ignored[name] end, rows, saved)
  replace(core.tensor_methods, function(name) return methods_of_interest[name] end, rows, saved)
  local loader = debug.getregistry()["giemsa.loader"] -- waiting for pictures
  if loader then
    replace(loader.__index, function(name) return name == "wait" end, rows, saved, "loader_")
  end
  local start = now()
  for _ = 1, runs do f() end
  return rows, now() - start - rows.book_keeping
end

--- Profiles a function. The figures are means over the runs; one run before them warms up memory
--- and caches and is not counted.
---@param f fun() for example one training step; it is called warm_up + runs times
---@param opts {runs: integer?, warm_up: integer?}? default 5 and 1
---@return giemsa.ProfileReport
local function profile(f, opts)
  opts = options.check("profile", opts, { runs = "integer", warm_up = "integer" }, 3)
  if type(f) ~= "function" then
    error("profile: expected a function to run, got " .. type(f)
      .. "; for example giemsa.profile(function() giemsa.train.step(model, x, y) end)", 2)
  end
  local runs = opts.runs or 5
  if runs < 1 then error("profile: runs must be 1 or more, got " .. runs, 2) end
  for _ = 1, opts.warm_up or 1 do f() end
  local rows, seconds = measure(f, runs)
  return report.new(rows, seconds, runs)
end

return profile
