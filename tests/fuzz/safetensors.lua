--- Models' files, safetensors: each is refused in words that name it, or has the numbers that its header announces.
local bend = require "tests.fuzz.bend"
local json = require "giemsa.json"
local safetensors = require "giemsa.safetensors"

local random = math.random

local HEADERS = { -- each with the size of its numbers
  { 30, { ["__metadata__"] = { format = "pt", a = "b" }, w = { dtype = "F32", shape = { 2, 3 }, data_offsets = { 0, 24 } },
    b = { dtype = "F16", shape = { 3 }, data_offsets = { 24, 30 } } } },
  { 24, { x = { dtype = "BF16", shape = { 1, 2, 1, 2 }, data_offsets = { 0, 8 } }, y = { dtype = "F64", shape = {}, data_offsets = { 8, 16 } },
    z = { dtype = "I64", shape = { 1 }, data_offsets = { 16, 24 } } } },
  { 19, { u = { dtype = "U8", shape = { 0, 7 }, data_offsets = { 0, 0 } }, v = { dtype = "I32", shape = { 4 }, data_offsets = { 0, 16 } },
    odd = { dtype = "BOOL", shape = { 3 }, data_offsets = { 16, 19 } } } },
}
local VALUES = { 0, 1, 2, -1, 1.5, 8, 24, 1e308, 2 ^ 31, 2 ^ 53, math.maxinteger, math.mininteger, "", "F32", "F64", "x", "__metadata__", "dtype",
  true, json.null, {}, { 0, 24 }, { 1, 1, 1, 1, 1 }, { 2, 3 }, { a = 1 } }
local PIECES = { "{", "}", "[", "]", '"', ":", ",", "\\u0000", "1e999", "-1", "null", "9223372036854775808", "/* */", "\0", "\xff", ("["):rep(200) }

-- A file of a few hundred bytes.
local function file_of(header, numbers)
  local size = #header
  if random(10) == 1 then size = bend.one_of{ 0, -1, size - 1, size + 1, size + #numbers, 1 << 40, math.mininteger } end
  return ("<i8"):pack(size) .. header .. numbers
end

local target = {}

function target.input()
  local size, header = table.unpack(bend.copy(bend.one_of(HEADERS)))
  for _ = 1, random(0, 3) do bend.value(header, VALUES) end
  local ok, text = pcall(json.encode, header)
  if not ok then text = "{}" end
  if random(4) == 1 then text = bend.text(text, PIECES) end
  if random(8) == 1 then size = random(0, 40) end
  local bytes = file_of(text, ("\1\2\200"):rep(14):sub(1, size))
  return random(20) == 1 and bend.text(bytes, PIECES) or bytes
end

-- The files are in memory.
local File = {}
File.__index = File
function File:seek(whence, offset)
  if whence then self.at = (whence == "set" and 0 or #self.bytes) + (offset or 0) end
  return self.at
end
function File:read(count)
  local piece = self.bytes:sub(self.at + 1, self.at + count)
  self.at = self.at + #piece
  return (piece ~= "" or count == 0) and piece or nil
end
function File:close() self.bytes = nil end

local file -- the only one there is
io.open = function() return file end

local function check_tensor(tensor)
  local size = 1
  for _, dimension in ipairs(tensor.shape) do size = size * dimension end
  assert(tensor.size == size and #tensor:reshape(-1):totable() == size, "not all numbers are there")
end

function target.try(bytes)
  file = setmetatable({ bytes = bytes, at = 0 }, File)
  local tensors, info = safetensors.read "x.safetensors"
  assert(not file.bytes, "the file stays open")
  if not tensors then return assert(info:find "^cannot read x%.safetensors: " and not info:find "attempt to", info) end
  assert(#info.names > 0 or next(tensors) == nil)
  for _, name in ipairs(info.names) do check_tensor(tensors[name]) end
end

return target
