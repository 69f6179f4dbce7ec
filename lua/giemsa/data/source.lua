--- A data source: n samples, delivered in batches. One pass over it is
---
---     for x, y in source:batches() do ... end
---
--- What a pass gives depends only on the seed and the pass's number (its epoch): the order of
--- samples, each sample's transform, and the order of batches are each drawn from a stream of their
--- own. Batches are made ahead of their use. A kind of source adds `reader(seed, epoch)`, which
--- returns an object with submit(rows), wait() -> x, y or nil and why, and `closing` (a
--- to-be-closed value or nil).
local core = require "giemsa.core"
local options = require "giemsa.options"
local random = require "giemsa.random"

---@class giemsa.Source
---@field n integer samples
---@field batch_size integer
---@field shuffle boolean
---@field seed integer names the streams
---@field fresh boolean every batch is made of new tensors that nobody else holds: fit gives them
--- back after the step
---@field seeks boolean batches{first = i} skips what was before at no cost
local Source = { fresh = true, seeks = true }
Source.__index = Source

local AHEAD = 3 -- batches under way while one is used
-- Streams (seed, epoch, 0, .) of orders; those of transforms end in ...1 (core/loader.h).
local SAMPLE_ORDER, BATCH_ORDER = 0xDA7A0002, 0xDA7A0003

--- Gives a table the fields every source has.
---@param self table with n, batch_size, shuffle, and seed or nil: then every source has streams of
--- its own, which repeat after giemsa.random.seed
function Source.init(self)
  self.seed = self.seed or random.get_seed() ~ random.consumer() << 32
  self.passes = 0
  return self
end

--- Batches in a pass; the last may be smaller.
function Source:__len() return (self.n + self.batch_size - 1) // self.batch_size end

-- The sample numbers of a batch.
local function rows_of(self, order, batch)
  local first = (batch - 1) * self.batch_size + 1
  return table.move(order, first, math.min(first + self.batch_size - 1, self.n), 1, {})
end

local function in_order(n)
  local order = {}
  for i = 1, n do order[i] = i end
  return order
end

--- The order of samples in a pass: a permutation of 1..n when the source shuffles.
---@param seed integer
---@param epoch integer
---@return integer[]
function Source:order(seed, epoch)
  return self.shuffle and core.permutation(self.n, seed, epoch, 0, SAMPLE_ORDER) or in_order(self.n)
end

local function start_pass(self, o)
  local epoch = o.epoch
  if not epoch then
    self.passes = self.passes + 1
    epoch = self.passes
  end
  local seed = o.seed or self.seed
  local batches = o.shuffle_batches and core.permutation(#self, seed, epoch, 0, BATCH_ORDER)
    or in_order(#self)
  return self:reader(seed, epoch), self:order(seed, epoch), batches
end

local BATCHES = { epoch = "integer", steps = "integer", first = "integer",
  shuffle_batches = "boolean", seed = "integer" }

--- One pass: an iterator of (x, y) for the generic `for`. Leaving the loop early stops what was
--- being made.
---
--- Raises, at the batch concerned, when a picture cannot be read; the message has its path.
---@param given? {epoch?: integer, steps?: integer, first?: integer, shuffle_batches?: boolean,
--- seed?: integer} epoch: the pass's number, counted from 1 by the source itself when absent; steps:
--- the pass ends after so many batches; first: it begins with this one (1); shuffle_batches: the batches come in random order too (so the small last one is
--- anywhere); seed: in place of the source's own
---@return fun(): giemsa.Tensor?, giemsa.Tensor?
function Source:batches(given)
  local o = options.check("batches", given, BATCHES)
  local reader, order, batches = start_pass(self, o)
  local steps, before = math.min(o.steps or #batches, #batches), (o.first or 1) - 1
  local submitted, delivered = before, before

  local function submit_next()
    submitted = submitted + 1
    reader:submit(rows_of(self, order, batches[submitted]))
  end
  local function next_batch()
    if delivered >= steps then return nil end
    delivered = delivered + 1
    local x, y = reader:wait()
    if submitted < steps then submit_next() end
    if not x then error(y, 2) end
    return x, y
  end

  while submitted < math.min(before + AHEAD, steps) do submit_next() end
  return next_batch, nil, nil, reader.closing
end

--- The next batch of an endless run through passes, as Keras's next().
---@return giemsa.Tensor x, giemsa.Tensor? y
function Source:next()
  for _ = 1, 2 do
    local step, _, _, closing = self.running, nil, nil, self.running_closing
    if not step then step, _, _, closing = self:batches() end
    self.running, self.running_closing = step, closing
    local ok, x, y = pcall(step)
    if not ok then
      if tostring(x):find("interrupted!", 1, true) then self:reset() end -- that pass is over
      error(x, 2)
    end
    if x then return x, y end
    self:reset()
  end
  error("next: this source has no batches", 2)
end

--- next() begins a new pass. (batches() and batch() are not concerned, as in Keras.)
function Source:reset()
  local closing = self.running_closing
  self.running, self.running_closing = nil, nil
  if closing then closing:close() end
end

--- Batch number i (from 1) of a pass: the current one's when no epoch is given.
---@param i integer
---@param given? {epoch?: integer, seed?: integer}
---@return giemsa.Tensor x, giemsa.Tensor? y
function Source:batch(i, given)
  local o = options.check("batch", given, { epoch = "integer", seed = "integer" })
  if math.type(i) ~= "integer" or i < 1 or i > #self then
    error(("batch: there is no batch %s, this source has %d"):format(tostring(i), #self), 2)
  end
  local seed, epoch = o.seed or self.seed, o.epoch or math.max(1, self.passes)
  local reader <const> = self:reader(seed, epoch)
  local closing <close> = reader.closing
  reader:submit(rows_of(self, self:order(seed, epoch), i))
  local x, y = reader:wait()
  if not x then error(y, 2) end
  return x, y
end

-- ---- what it is

local HASH_BYTES = 1 << 22 -- so many at a time

--- SHA-256 of the shapes and numbers of tensors; false stands for one that is not there.
---@param tensors (giemsa.Tensor|false)[]
---@return string 64 hex digits
function Source.hash_tensors(tensors)
  local sum = require("giemsa.hash").new()
  for _, t in ipairs(tensors) do
    local shape = t and t.shape or {}
    sum:update(table.concat(shape, "x") .. ";")
    local n = t and #t or 0
    local rows = math.max(1, HASH_BYTES // math.max(4 * (n > 0 and t.size // n or 1), 1))
    for first = 1, n, rows do
      sum:update(core.to_bytes(t:rows(first, math.min(first + rows - 1, n))))
    end
  end
  return sum:hex()
end

--- What the batches of this source depend on besides the seed, as plain values: two sources with
--- the same identity and seed give the same batches. It reads all the data once.
---@return table<string, any>
function Source:identity()
  self.hashed = self.hashed or Source.hash_tensors{ self.x, self.y or false }
  return { samples = self.n, batch_size = self.batch_size, shuffle = self.shuffle,
    data = self.hashed }
end

-- A reader for rows that are tensors already: nothing to make ahead.
local Gather = {}
Gather.__index = Gather

function Gather:submit(rows) self[#self + 1] = rows end

function Gather:wait()
  local rows = table.remove(self, 1)
  return core.take(self.x, rows), self.y and core.take(self.y, rows)
end

--- A reader of rows of x and y as they are.
function Source.gather(x, y) return setmetatable({ x = x, y = y }, Gather) end

--- A class of sources: its table of methods, with those of Source behind it.
---@return table class to be given methods; also the metatable of its objects
function Source.extend()
  local class = { __len = Source.__len }
  class.__index = class
  return setmetatable(class, { __index = Source })
end

return Source
