--- Values between two processes as bytes: nil, booleans, numbers, strings, tables without metatable,
-- tensors. Anything else (a function, a model) stays where it is, and only a number for it crosses.
-- The other side may be hostile: what comes is data or an error, never code, and it is bounded.
--
--   value = "z" | "t" | "f" | "i" int64 | "d" float64 | "s" size bytes | "{" {value value} "}"
--         | "T" dimensions {size} bytes | "r" number kind   an object of the sender
--         | "o" number                                      one of the receiver's, given back
local core = require "giemsa.core"

local wire = {}

local MAX_DEPTH = 60
local type, pairs, getmetatable, math_type = type, pairs, getmetatable, math.type
local pack, unpack, concat = string.pack, string.unpack, table.concat
local to_bytes, from_bytes, is_tensor = core.to_bytes, core.from_bytes, core.is_tensor

local function put(out, value, export, depth)
  local kind = type(value)
  if depth > MAX_DEPTH then
    error(("tables are nested deeper than %d, or in a circle"):format(MAX_DEPTH), 0)
  elseif value == nil then out[#out + 1] = "z"
  elseif kind == "boolean" then out[#out + 1] = value and "t" or "f"
  elseif kind == "number" then
    out[#out + 1] = math_type(value) == "integer" and pack("<c1i8", "i", value)
      or pack("<c1d", "d", value)
  elseif kind == "string" then out[#out + 1] = pack("<c1s8", "s", value)
  elseif kind == "table" and getmetatable(value) == nil then
    out[#out + 1] = "{"
    for key, one in next, value do
      put(out, key, export, depth + 1)
      put(out, one, export, depth + 1)
    end
    out[#out + 1] = "}"
  elseif is_tensor(value) then
    local shape = value.shape
    out[#out + 1] = pack("<c1I1", "T", #shape)
    for _, size in ipairs(shape) do out[#out + 1] = pack("<i4", size) end
    out[#out + 1] = pack("<s8", to_bytes(value))
  else
    out[#out + 1] = export(value, kind)
  end
end

--- The bytes of a value.
---@param value any
---@param export fun(value: any, kind: string): string the bytes for what cannot cross
---@return string
function wire.encode(value, export)
  local out = {}
  put(out, value, export, 1)
  return concat(out)
end

--- The bytes for an object that stays with the sender.
---@param number integer
---@param kind string its type
---@return string
function wire.object(number, kind) return pack("<c1i8s1", "r", number, kind) end

--- The bytes for an object of the receiver's.
---@param number integer
---@return string
function wire.own(number) return pack("<c1i8", "o", number) end

local get

local function get_table(bytes, at, import, depth)
  local value = {}
  while bytes:sub(at, at) ~= "}" do
    local key, one
    key, at = get(bytes, at, import, depth + 1)
    one, at = get(bytes, at, import, depth + 1)
    if key == nil or key ~= key then error("a key that is none", 0) end
    value[key] = one
  end
  return value, at + 1
end

local function get_tensor(bytes, at)
  local dimensions, shape, data = nil, {}, nil
  dimensions, at = unpack("<I1", bytes, at)
  if dimensions > 4 then error("a tensor of too many dimensions", 0) end
  local size = 1
  for i = 1, dimensions do
    shape[i], at = unpack("<i4", bytes, at)
    size = size * shape[i]
    if shape[i] < 0 or size > 1 << 30 then error("a tensor of no possible size", 0) end
  end
  data, at = unpack("<s8", bytes, at)
  if #data ~= 4 * size then error("a tensor of another size", 0) end
  return from_bytes(data, "F32", shape), at
end

function get(bytes, at, import, depth)
  if depth > MAX_DEPTH then error("nested too deeply", 0) end
  local tag = bytes:sub(at, at)
  at = at + 1
  if tag == "z" then return nil, at
  elseif tag == "t" then return true, at
  elseif tag == "f" then return false, at
  elseif tag == "i" then return unpack("<i8", bytes, at)
  elseif tag == "d" then return unpack("<d", bytes, at)
  elseif tag == "s" then return unpack("<s8", bytes, at)
  elseif tag == "{" then return get_table(bytes, at, import, depth)
  elseif tag == "T" then return get_tensor(bytes, at)
  elseif tag == "r" or tag == "o" then
    local number, kind
    number, at = unpack("<i8", bytes, at)
    if tag == "r" then kind, at = unpack("<s1", bytes, at) end
    return import(number, kind), at
  end
  error("no value begins with this byte", 0)
end

local function refuse() error("an object where there can be none", 0) end

--- The value that bytes stand for; raises for bytes that are none.
---@param bytes string
---@param import? fun(number: integer, kind: string?): any kind: nil for one of our own given back
---@return any
function wire.decode(bytes, import)
  local value, at = get(bytes, 1, import or refuse, 1)
  if at ~= #bytes + 1 then error("bytes behind the value", 0) end
  return value
end

--- The bytes of plain data: raises for anything else.
---@param value any
---@return string
function wire.plain(value)
  return wire.encode(value, function(_, kind) error("a " .. kind .. " cannot be sent", 0) end)
end

return wire
