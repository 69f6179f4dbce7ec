--- First values of weights. Each draw is keyed by (seed, model number, layer row, weight), so a
-- layer's first values do not depend on what else was drawn, nor on threads. Variance scaling as in
-- Keras, with fan = receptive field * channels:
--   glorot_uniform  U(-a, a), a = sqrt(6 / (fan_in + fan_out))      glorot_normal  N(0, 2 / (fan_in
--   + fan_out)) he_uniform      U(-a, a), a = sqrt(6 / fan_in)                  he_normal      N(0,
--   2 / fan_in) (Keras cuts its normals off at two deviations and widens them to the same variance;
--   ours are plain normals.)
local core = require "giemsa.core"
local options = require "giemsa.options"

local initializers = {}

-- The kernel's last two axes are channels; what stands before them is the receptive field.
local function fans(shape)
  local n, field = #shape, 1
  if n < 2 then return shape[1] or 1, shape[1] or 1 end
  for i = 1, n - 2 do field = field * shape[i] end
  return shape[n - 1] * field, shape[n] * field
end

local function uniform(limit)
  return function(shape, key, config)
    local a = limit(config, fans(shape))
    return core.uniform(shape, -a, a, table.unpack(key))
  end
end

local function normal(deviation)
  return function(shape, key, config)
    return core.normal(shape, config.mean or 0, deviation(config, fans(shape)), table.unpack(key))
  end
end

local function constant(value_of)
  return function(shape, _, config) return core.full(shape, value_of(config)) end
end

-- name -> { its options, make(shape, key, config) }
local known = {
  zeros = { {}, constant(function() return 0 end) },
  ones = { {}, constant(function() return 1 end) },
  constant = { { value = "number" }, constant(function(config) return config.value or 0 end) },
  glorot_uniform = { {},
    uniform(function(_, fan_in, fan_out) return math.sqrt(6 / (fan_in + fan_out)) end) },
  glorot_normal = { {},
    normal(function(_, fan_in, fan_out) return math.sqrt(2 / (fan_in + fan_out)) end) },
  he_uniform = { {}, uniform(function(_, fan_in) return math.sqrt(6 / fan_in) end) },
  he_normal = { {}, normal(function(_, fan_in) return math.sqrt(2 / fan_in) end) },
  random_uniform = { { limit = "number" },
    uniform(function(config) return config.limit or 0.05 end) },
  random_normal = { { mean = "number", stddev = "number" },
    normal(function(config) return config.stddev or 0.05 end) },
}

local names = {}
for name in pairs(known) do names[#names + 1] = name end
table.sort(names)

--- The plain form { name = "glorot_uniform", ... } of a name or such a table; raises (level 0) on
--- an unknown one.
---@param value string|table "he_normal", or { "constant", value = 0.1 }, or the plain form
---@return table plain
function initializers.plain(value)
  if type(value) == "string" then value = { name = value } end
  local name = value.name or value[1]
  if not known[name] then options.one_of("initializer", "its name", name, names, 0) end
  local given = { name = name }
  for key, v in pairs(value) do if key ~= 1 then given[key] = v end end
  local allowed = { name = "string" }
  for key, kind in pairs(known[name][1]) do allowed[key] = kind end
  return options.check("initializer " .. name, given, allowed, 0)
end

--- A new weight.
---@param config table the plain form
---@param shape integer[]
---@param key integer[] seed, model number, layer row, weight number
---@return userdata tensor
function initializers.make(config, shape, key) return known[config.name][2](shape, key, config) end

return initializers
