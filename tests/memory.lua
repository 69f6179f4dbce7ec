--- Memory: loops that make garbage stay flat, views keep their storage, nothing is lost when an allocation fails.
local t = require "tests.harness"
local core = require "giemsa.core"
local tensor = require "giemsa.tensor"

local function collect()
  collectgarbage()
  collectgarbage()
  return core.memory()
end

-- Runs f `times` times from a clean start; the most memory in use by then.
local function peak_of(f, times)
  collect()
  core.trim()
  local peak = 0
  for _ = 1, times do
    f()
    peak = math.max(peak, core.memory().in_use)
  end
  return peak
end

local function stays_flat(f, times)
  local short, long = peak_of(f, times), peak_of(f, 10 * times)
  t.ok(long <= 1.1 * short + 2 ^ 18, ("%d bytes after %d rounds, %d after ten times as many"):format(short, times, long))
end

t.test("a loop that makes garbage stays flat over ten times the rounds", function()
  local x = tensor.uniform { 256, 256, seed = 1 }
  local rounds = 300 -- 256 KB a result: the first rounds already make more garbage than is waited for
  stays_flat(function() return x + 1 end, rounds)
  stays_flat(function() return core.sum(core.sqrt(core.abs(x)), 1) end, rounds // 2)
  stays_flat(function() return x:reshape(-1):rows(1, 10):copy(), x[3], core.transpose(x) end, rounds)
  stays_flat(function() return tensor.uniform { 100, 100 }, core.concat({ x, x }, 1), core.var(x, 1) end, rounds // 2)
  stays_flat(function() pcall(core.add, x, tensor { 1, 2 }) pcall(core.take, x, { 1, 999 }) pcall(core.one_hot, { 0 }, 5) end, rounds)
  local path = t.tmpdir() .. "/flat.npy"
  core.npy_save(path, x)
  stays_flat(function() core.npy_load(path) core.npy_load(path .. "x") end, rounds)
  stays_flat(function() core.npy_save(path, x) end, 3)
end)

t.test("after the first rounds a loop asks the system for nothing", function()
  local x = tensor.uniform { 100, 1000, seed = 1 }
  local function step() for _ = 1, 300 do local _ <close> = core.exp(x) end end
  step()
  local before = core.memory().system_calls
  step()
  t.equal(core.memory().system_calls, before)
end)

t.test("released and closed tensors give their memory back at once", function()
  local before = collect().in_use
  local x = tensor.zeros(1000, 100)
  t.ok(core.memory().in_use >= before + 400000)
  x:release()
  t.ok(core.memory().in_use <= before + 4096)
  x:release() -- twice does no harm
  t.raises(function() return x + 1 end, "released")
  t.raises(function() return x[1] end, "released")
  do local y <close> = tensor.zeros(1000, 100) t.equal(#y, 1000) end
  t.ok(core.memory().in_use <= before + 4096)
end)

t.test("views keep the storage they look into", function()
  local function view_of_lost() return tensor.arange(1000):reshape(10, 100):rows(5, 6)[2]:reshape(100) end
  local view = view_of_lost()
  collect()
  for _ = 1, 50 do tensor.full({ 10, 100 }, -1) end -- would take the place
  collect()
  for _ = 1, 50 do tensor.full({ 10, 100 }, -1) end
  t.equal({ view[1], view[100] }, { 500.0, 599.0 })
  local owner = tensor.arange(10)
  local part = owner:rows(3, 4)
  owner:release()
  t.equal(part:totable(), { 2.0, 3.0 })
end)

t.test("a tensor's fields live as long as it does, and no longer", function()
  local x = tensor.zeros(2)
  x.grad = tensor.full({ 2 }, 7)
  collect()
  t.equal(x.grad[2], 7.0)
  local gone = setmetatable({ tensor.zeros(3) }, { __mode = "v" })
  x.grad = gone[1]
  x.grad = nil
  collect()
  t.equal(gone[1], nil)
  local circle = setmetatable({ tensor.zeros(3) }, { __mode = "v" })
  circle[1].node = { circle[1] }
  collect()
  t.equal(circle[1], nil)
end)

-- ---- a failing allocation

local x = tensor.uniform { 5, 6, seed = 1 }
local path = t.tmpdir() .. "/x.npy"
x:save(path)
local WORK = {
  making = function() return tensor { { 1, 2 }, { 3, 4 } }, tensor.zeros(3), tensor.ones(2), tensor.eye(3), tensor.arange(5), tensor.linspace(0, 1, 4) end,
  ["random numbers"] = function() return tensor.uniform { 3, seed = 1 }, tensor.normal(4), core.permutation(5, 1), require("giemsa.random").python_shuffle(9, 1) end,
  views = function() return x:reshape(-1), x:rows(1, 2), x[3], x:copy() end,
  arithmetic = function() return core.add(x, 1), core.where(x, x, 0), core.exp(x), core.clip(x, 0, 1), core.pow(x, 2) end,
  ["in place"] = function() local y = x:copy() return core.add_(y:rows(2, 5), y:rows(1, 4)), core.axpy_(y, 2, x) end,
  reductions = function() return core.sum(x, 1), core.mean(x), core.var(x, 2), core.max(x, 1), core.argmax(x), core.argmin(x, 1), core.sum_to(x, { 1 }) end,
  products = function() return core.matmul(x, x, true), core.transpose(x) end,
  moving = function() return core.concat({ x, x }, 2), core.slice(x, 1, 2, 3), core.pad(x, { { 1, 1 }, { 0, 2 } }), x:take { 1, 3 }, core.one_hot({ 1, 2 }, 3), core.add_rows_(x:copy(), { 1 }, x:rows(1, 1)) end,
  files = function() assert(core.npy_save(path, x)) return assert(core.npy_load(path)) end,
}

-- Calls f with the n-th allocation failing, for n = 1, 2, ... until f needs fewer: it ends well (memory was found after
-- a collection) or raises "out of memory", and keeps nothing. `lasting`: all later ones fail too, so it must raise.
local function survives(f, lasting)
  f()
  local before = collect().in_use
  for n = 1, 1000 do
    core.fail_after(lasting and -n or n)
    local ok, message = pcall(function() f() end) -- the results are dropped
    core.fail_after(lasting and -1000000 or 1000000)
    local after = collect().in_use
    core.fail_after(0)
    if not ok then t.ok(tostring(message):find("out of memory"), "another error: " .. tostring(message)) end
    t.equal(after, before, ("bytes in use after allocation %d failed"):format(n))
    if lasting and ok then return t.ok(n > 1, "it allocated nothing") end
    if not lasting and n > 60 then return end
  end
  error("still failing after 1000 allocations")
end

for name, f in pairs(WORK) do
  t.test(name .. ": every allocation in turn fails once", function() survives(f, false) end)
  t.test(name .. ": every allocation in turn fails for good", function() survives(f, true) end)
end

t.test("a tensor too large for the machine is refused with its size", function()
  if t.is_slow then t.skip "a sanitizer ends the program instead" end
  t.raises(function() return tensor.zeros(1000000, 1000000) end, "out of memory: a tensor of shape %(1000000, 1000000%) needs 4000000000000 bytes")
end)

t.done()
