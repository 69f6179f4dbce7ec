--- Random numbers: the same at every run and on any number of threads, spread as they should be, and Python's and NumPy's
--- own sequences where asked for.
local t = require "tests.harness"
local core = require "giemsa.core"
local random = require "giemsa.random"
local tensor = require "giemsa.tensor"

local function list(n, f)
  local out = {}
  for i = 1, n do out[i] = f(i) end
  return out
end
local function sorted(values) return table.sort(values) or values end
local function from_zero(order) return list(#order, function(i) return order[i] - 1 end) end

t.test("the global stream starts at 42 and repeats", function()
  t.equal(random.get_seed(), 42)
  local function draws()
    return { random.uniform(), random.normal(), random.integer(100), random.permutation(5), random.uniform(0, 1, { 3 }):totable(),
      tensor.normal(2):totable(), random.consumer(), random.choice { "a", "b", "c" }, random.sample({ 1, 2, 3, 4 }, 2) }
  end
  local fresh = draws()
  random.seed(42)
  t.equal(draws(), fresh)
  random.seed(43)
  t.equal(random.get_seed(), 43)
  local other = draws()
  t.ok(other[1] ~= fresh[1] and other[5][1] ~= fresh[5][1])
  t.equal(other[7], 1) -- consumers are counted from the last seed()
  t.equal(random.consumer(), 2)
  random.seed(-5)
  t.ok(random.uniform() < 1)
end)

t.test("draws of one kind do not move those of another", function()
  random.seed(1)
  local a = random.uniform()
  random.seed(1)
  random.uniform(0, 1, { 1000 })
  random.consumer()
  tensor.uniform { 3, seed = 9 }
  t.equal(random.uniform(), a)
end)

t.test("Philox as published", function()
  -- Random123's known answers for philox4x32-10 with counter and key 0, read through the stream (0, 0, 0) of seed 0.
  local words = { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 }
  local x = core.uniform({ 4 }, 0, 1, 0, 0, 0, 0)
  for i, word in ipairs(words) do t.equal(x[i], (word >> 8) / 2 ^ 24) end
  local stream = core.stream(0, 0, 0, 0)
  t.equal(core.stream_uniform(stream), ((words[1] >> 5) * 67108864 + (words[2] >> 6)) / 9007199254740992)
end)

t.test("tensors are the same on any number of threads, and streams differ", function()
  local before = core.threads()
  for _, make in ipairs { core.uniform, core.normal } do
    core.threads(1)
    local one = make({ 100003 }, 0, 1, 5, 1, 2, 3)
    for _, n in ipairs { 2, 3 } do
      core.threads(n)
      t.ok(make({ 100003 }, 0, 1, 5, 1, 2, 3) == one)
    end
    t.ok(make({ 10 }, 0, 1, 5, 1, 2, 3) == one:rows(1, 10), "a longer tensor begins like a shorter one")
    for _, name in ipairs { { 6, 1, 2, 3 }, { 5, 2, 2, 3 }, { 5, 1, 1, 3 }, { 5, 1, 2, 4 } } do
      t.ok(core.max(core.abs(make({ 100003 }, 0, 1, table.unpack(name)) - one)):item() > 0.5)
    end
  end
  core.threads(before)
end)

t.test("uniform and normal numbers are spread as they should be", function()
  local n = t.is_slow and 20000 or 200000
  local slack = 5 / math.sqrt(n) -- five standard errors, about
  local u = tensor.uniform { n, low = -2, high = 2, seed = 1 }
  t.close(core.mean(u), 0, 2 * slack)
  t.close(core.var(u), 4 / 3, 2 * slack)
  t.ok(core.min(u):item() >= -2 and core.max(u):item() < 2)
  for edge = -1.5, 1.5, 0.5 do t.close(core.mean(u:lt(edge)), (edge + 2) / 4, slack) end
  local z = tensor.normal { n, seed = 1 }
  t.close(core.mean(z), 0, slack)
  t.close(core.var(z), 1, 2 * slack)
  t.close(core.mean(z * z * z), 0, 6 * slack)
  t.close(core.mean(z:lt(1)), 0.841345, slack)
  t.close(core.mean(z:lt(-2)), 0.022750, slack)
  t.close(core.mean(core.mul(z:rows(1, n - 1), z:rows(2, n))), 0, 2 * slack) -- neighbours know nothing of each other
  t.ok(core.max(tensor.uniform { n, low = 1, high = 1 + 2 ^ -23, seed = 2 }):item() == 1) -- never high itself
  t.equal(core.min(tensor.uniform { 5, low = 3, high = 3 }):item(), 3.0)
end)

t.test("whole numbers, orders and samples", function()
  random.seed(3)
  local counts = { 0, 0, 0, 0, 0, 0 }
  for _ = 1, 6000 do
    local i = random.integer(6)
    counts[i] = counts[i] + 1
  end
  for _, n in ipairs(counts) do t.close(n, 1000, 150) end
  for _ = 1, 100 do
    local i = random.integer(-3, -1)
    t.ok(math.type(i) == "integer" and i >= -3 and i <= -1)
  end
  t.equal(random.integer(7, 7), 7)
  t.equal(sorted(random.permutation(100)), list(100, function(i) return i end))
  t.equal(random.permutation(0), {})
  local items = { "a", "b", "c", "d" }
  t.ok(random.shuffle(items) == items)
  t.equal(sorted(items), { "a", "b", "c", "d" })
  local taken = random.sample({ 1, 2, 3, 4, 5 }, 5)
  t.equal(sorted(taken), { 1, 2, 3, 4, 5 })
  local first = { 0, 0, 0 }
  for _ = 1, 3000 do
    local p = random.permutation(3)
    first[p[1]] = first[p[1]] + 1
  end
  for _, n in ipairs(first) do t.close(n, 1000, 150) end
  local scalars = list(5000, function() return random.normal(3, 2) end)
  t.close(core.mean(tensor(scalars)), 3, 0.15)
  t.close(core.std(tensor(scalars)), 2, 0.15)
end)

-- ---- Python and NumPy

local PYTHON_42 = { 0.6394267984578837, 0.025010755222666936, 0.27502931836911926, 0.22321073814882275, 0.7364712141640124 }
local NUMPY_0 = { 0.5488135039273248, 0.7151893663724195, 0.6027633760716439, 0.5448831829968969, 0.4236547993389047 }

t.test("Python's sequence", function()
  local python = random.python(42)
  t.equal(list(5, function() return python:random() end), PYTHON_42)
  t.equal(from_zero(random.python_shuffle(10, 42)), { 7, 3, 2, 8, 5, 6, 9, 4, 0, 1 })
  local letters = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" }
  t.equal(table.concat(random.python(42):shuffle(letters)), "hdcifgjeab")
  t.equal(random.python_shuffle(0, 1), {})
  t.equal(random.python_shuffle(1, 1), { 1 })
end)

t.test("NumPy's legacy sequence", function()
  local numpy = random.numpy(0)
  t.equal(list(5, function() return numpy:random_sample() end), NUMPY_0)
  t.equal(from_zero(random.numpy(0):permutation(12)), { 6, 11, 4, 10, 2, 8, 1, 7, 9, 3, 0, 5 })
  t.close(random.numpy(0):uniform(-20, 20), -20 + 40 * NUMPY_0[1], 1e-14)
end)

t.test("the fixtures' sequences", function()
  local file <close> = assert(io.open(t.need_fixtures() .. "/misc/misc.json"))
  local misc = require("dkjson").decode(file:read "a")
  local p = misc.python_random -- each list goes on where the one before ended
  local python = random.python(p.seed)
  t.equal(list(#p.random, function() return python:random() end), p.random)
  t.equal(list(#p.getrandbits32, function() return python:bits32() end), p.getrandbits32)
  t.equal(list(#p.randrange_1000, function() return python:below(1000) end), p.randrange_1000)
  for n, want in pairs(misc.python_random_seed42_shuffle) do
    local order = from_zero(random.python_shuffle(tonumber(n), 42))
    t.equal(table.move(order, 1, #want.permutation_first, 1, {}), want.permutation_first)
    t.equal(table.move(order, #order - #want.permutation_last + 1, #order, 1, {}), want.permutation_last)
  end
  local n = misc.numpy_randomstate
  local numpy = random.numpy(n.seed)
  t.equal(list(#n.random_sample, function() return numpy:random_sample() end), n.random_sample)
  t.close(list(#n.uniform_m20_20, function() return numpy:uniform(-20, 20) end), n.uniform_m20_20, 1e-12)
  t.equal(from_zero(numpy:permutation(12)), n.permutation_12)
  t.equal(from_zero(numpy:permutation(100)), n.permutation_100)
end)

t.test("the global stream goes on from a remembered place", function()
  for drawn = 0, 9 do
    random.seed(3)
    for _ = 1, drawn do random.integer(7) end -- a word each: every place in a block
    random.consumer()
    random.uniform(0, 1, { 2 })
    local state = random.get_state()
    local function draws()
      return { random.uniform(), random.normal(), random.integer(100), random.consumer(),
        random.uniform(0, 1, { 2 }):totable(), random.permutation(9), random.get_seed() }
    end
    local want = draws()
    random.seed(99)
    random.uniform()
    random.set_state(state)
    t.equal(draws(), want, ("after %d draws"):format(drawn))
  end
end)

t.test("wrong use is explained where it happened", function()
  local function fails(pattern, f)
    local message = t.raises(f, pattern)
    t.ok(message:find("^%S*tests/random.lua:%d+:") or message:find("^%S*random.lua:%d+:") and not message:find("giemsa/random.lua", 1, true), message)
  end
  fails("seed: expected a whole number, got 1.5", function() random.seed(1.5) end)
  fails("seed: expected a whole number, got nil", function() random.seed() end)
  fails("uniform: expected a number, got a", function() random.uniform("a") end)
  fails("uniform: high %(1%) is below low %(2%)", function() random.uniform(2) end)
  fails("normal: the standard deviation %(%-1%) is negative", function() random.normal(0, -1) end)
  fails("integer: there is no range 3..2", function() random.integer(3, 2) end)
  fails("integer: there is no range 1..0", function() random.integer(0) end)
  fails("set_state: seed: expected a whole number, got nil", function() random.set_state{} end)
  fails("permutation: n is negative", function() random.permutation(-1) end)
  fails("shuffle: expected a list, got number", function() random.shuffle(3) end)
  fails("choice: the list is empty", function() random.choice {} end)
  fails("sample: cannot take 3 of 2", function() random.sample({ 1, 2 }, 3) end)
  fails("python: the seed must be in 0..2%^32%-1, got %-1", function() random.python(-1) end)
  fails("numpy: the seed must be in", function() random.numpy(1 << 32) end)
  fails("python_shuffle: n is negative", function() random.python_shuffle(-1, 1) end)
  t.raises(core.uniform, "is not in 0..2%^32%-1", { 1 }, 0, 1, 0, -1)
  t.raises(core.uniform, "table expected", 3, 0, 1, 0)
  t.raises(core.stream_below, "no whole number below 0", core.stream(1), 0)
  t.raises(core.stream_uniform, "giemsa.stream expected", core.twister_python(1))
end)

t.done()
