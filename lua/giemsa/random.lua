--- Random numbers that repeat. One global stream, seeded 42 at the start, gives a lesson's own
--- draws in file order; seed(n) starts it anew. Everything else that needs randomness (layers,
--- shuffling, augmentation) draws from streams of its own, named by (seed, consumer, ...), so no
--- draw depends on another's or on the threads.
local core = require "giemsa.core"

local random = {}

local FRESH = 42
local seed_now, consumers, arrays, stream

-- Consumer 0 is the global stream itself: numbers one by one in (0, 0, 0), whole tensors in (0, n,
-- 1).
local function start(seed)
  seed_now, consumers, arrays, stream = seed, 0, 0, core.stream(seed, 0, 0, 0)
end
start(FRESH)

local function need(kind, who, value, level)
  local ok = type(value) == "number" and (kind ~= "integer" or value % 1 == 0)
  if not ok then
    local what = kind == "integer" and "a whole number" or "a number"
    error(("%s: expected %s, got %s"):format(who, what, tostring(value)), (level or 2) + 1)
  end
  return kind == "integer" and math.tointeger(value) or value
end

-- GIEMSA_SEED in the environment (giemsa run --seed) is the seed of the start and of the first seed(n):
-- what a lesson's own "seed(42)" says is a default.
local asked = math.tointeger(tonumber(os.getenv "GIEMSA_SEED"))
if asked then start(asked) end

--- Starts the global stream anew.
---@param n integer
function random.seed(n)
  start(asked or need("integer", "seed", n))
  asked = nil
end

--- The seed the global stream was started with (42 when none was given).
---@return integer
function random.get_seed() return seed_now end

--- Where the global stream stands, as plain numbers.
---@return {seed: integer, consumers: integer, arrays: integer, position: integer}
function random.get_state()
  return { seed = seed_now, consumers = consumers, arrays = arrays,
    position = core.stream_position(stream) }
end

--- Goes on where get_state() was called: the draws that followed it then follow again.
---@param state {seed: integer, consumers: integer, arrays: integer, position: integer}
function random.set_state(state)
  if type(state) ~= "table" then
    error("set_state: expected what get_state() gave, got " .. type(state), 2)
  end
  for _, key in ipairs{ "seed", "consumers", "arrays", "position" } do
    need("integer", "set_state: " .. key, state[key], 2)
  end
  start(state.seed)
  consumers, arrays = state.consumers, state.arrays
  core.stream_position(stream, state.position)
end

--- A number for somebody who needs a stream of his own: 1, 2, 3, ... since the last seed(). For
--- library code: core.uniform(shape, low, high, random.get_seed(), random.consumer(), b, c).
---@return integer
function random.consumer()
  consumers = consumers + 1
  return consumers
end

--- The name (seed, a, b, c) of the stream of the next whole tensor: of the given seed, else the
--- global one's next.
---@param seed integer?
---@return integer seed, integer a, integer b, integer c
function random.stream(seed)
  if seed then return need("integer", "seed", seed), 0, 0, 0 end
  arrays = arrays + 1
  return seed_now, 0, arrays, 1
end

--- A number in [low, high), or a tensor of them.
---@param low number? default 0
---@param high number? default 1
---@param shape integer[]?
---@return number|tensor
function random.uniform(low, high, shape)
  low, high = need("number", "uniform", low or 0), need("number", "uniform", high or 1)
  if high < low then error(("uniform: high (%g) is below low (%g)"):format(high, low), 2) end
  if shape then return core.uniform(shape, low, high, random.stream()) end
  return low + (high - low) * core.stream_uniform(stream)
end

--- A number, or a tensor of them, from a normal distribution.
---@param mean number? default 0
---@param std number? standard deviation, default 1
---@param shape integer[]?
---@return number|tensor
function random.normal(mean, std, shape)
  mean, std = need("number", "normal", mean or 0), need("number", "normal", std or 1)
  if std < 0 then error(("normal: the standard deviation (%g) is negative"):format(std), 2) end
  if shape then return core.normal(shape, mean, std, random.stream()) end
  return mean + std * core.stream_normal(stream)
end

--- A whole number low..high, both included; integer(n) is 1..n.
---@param low integer
---@param high integer?
---@return integer
function random.integer(low, high)
  if high == nil then low, high = 1, low end
  low, high = need("integer", "integer", low), need("integer", "integer", high)
  local count = high - low + 1
  if count < 1 or count > 0xffffffff then
    error(("integer: there is no range %d..%d to draw from (at most 2^32-1 values)")
      :format(low, high), 2)
  end
  return low + core.stream_below(stream, count)
end

--- The numbers 1..n in random order.
---@param n integer
---@return integer[]
function random.permutation(n)
  n = need("integer", "permutation", n)
  if n < 0 then error("permutation: n is negative", 2) end
  return core.stream_permutation(stream, n)
end

local function need_list(who, list)
  if type(list) ~= "table" then error(("%s: expected a list, got %s"):format(who, type(list)), 3) end
  return list
end

local function reorder(list, order)
  local old = table.move(list, 1, #list, 1, {})
  for i, from in ipairs(order) do list[i] = old[from] end
  return list
end

--- Puts a list in random order, in place, and returns it.
---@generic T
---@param list T[]
---@return T[]
function random.shuffle(list)
  return reorder(need_list("shuffle", list), core.stream_permutation(stream, #list))
end

--- One element of a list.
---@generic T
---@param list T[]
---@return T
function random.choice(list)
  if #need_list("choice", list) == 0 then error("choice: the list is empty", 2) end
  return list[1 + core.stream_below(stream, #list)]
end

--- k different elements of a list, in random order.
---@generic T
---@param list T[]
---@param k integer
---@return T[]
function random.sample(list, k)
  need_list("sample", list)
  k = need("integer", "sample", k)
  if k < 0 or k > #list then
    error(("sample: cannot take %d of %d elements"):format(k, #list), 2)
  end
  local order, taken = core.stream_permutation(stream, #list), {}
  for i = 1, k do taken[i] = list[order[i]] end
  return taken
end

-- ---- the generators of Python and NumPy, to repeat their numbers

---@class giemsa.twister
local twister = {}

-- Called in brackets: a tail call would leave the error level short of one.
local function new_twister(who, make, seed, below, order)
  seed = need("integer", who, seed, 3)
  if seed < 0 or seed > 0xffffffff then
    error(("%s: the seed must be in 0..2^32-1, got %d"):format(who, seed), 3)
  end
  local self = { state = make(seed), below_core = below, order_core = order }
  return setmetatable(self, { __index = twister })
end

--- The next number in [0, 1), 53 bits.
---@return number
function twister:random() return core.twister_uniform(self.state) end
twister.random_sample = twister.random -- its name in NumPy
--- The next 32 random bits.
---@return integer
function twister:bits32() return core.twister_u32(self.state) end
--- A number in [low, high).
---@return number
function twister:uniform(low, high)
  low, high = low or 0, high or 1
  return low + (high - low) * self:random()
end
--- A whole number 0..n-1 (Python's randrange; NumPy's legacy masked draw).
---@param n integer
---@return integer
function twister:below(n) return self.below_core(self.state, n) end
--- The order shuffling puts n things in: the element that comes i-th was the order[i]-th, from 1.
---@param n integer
---@return integer[]
function twister:permutation(n) return self.order_core(self.state, n) end
--- Shuffles a list in place as Python's random.shuffle or NumPy's shuffle would, and returns it.
function twister:shuffle(list) return reorder(need_list("shuffle", list), self:permutation(#list)) end

--- Python's random.Random(seed): random(), bits32() (getrandbits(32)), below(n) (randrange),
--- shuffle(list).
---@param seed integer 0..2^32-1
---@return giemsa.twister
function random.python(seed)
  local below, order = core.twister_python_below, core.twister_python_order
  return (new_twister("python", core.twister_python, seed, below, order))
end

--- numpy.random.RandomState(seed): random_sample(), uniform(low, high), permutation(n) (from 1;
--- NumPy's is from 0), shuffle(list).
---@param seed integer 0..2^32-1
---@return giemsa.twister
function random.numpy(seed)
  local below, order = core.twister_numpy_below, core.twister_numpy_order
  return (new_twister("numpy", core.twister_numpy, seed, below, order))
end

--- The order that Python's `random.seed(seed); random.shuffle(list)` puts n things in, from 1.
---@param n integer
---@param seed integer 0..2^32-1
---@return integer[]
function random.python_shuffle(n, seed)
  n = need("integer", "python_shuffle", n)
  if n < 0 then error("python_shuffle: n is negative", 2) end
  return random.python(seed):permutation(n)
end

return random
