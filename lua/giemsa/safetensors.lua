--- The safetensors file: 8 bytes n (little-endian), n bytes of JSON {name: {dtype, shape,
-- data_offsets}, "__metadata__": {string: string}}, then the tensors' bytes without a gap. A file
-- is not trusted: every size is checked before it is used.
local core = require "giemsa.core"
local json = require "giemsa.json"

local safetensors = {}

local HEADER_MAX = 100000000 -- as the reference library; a real header is some kilobytes
-- What core.from_bytes reads.
local BYTES = { F32 = 4, F16 = 2, BF16 = 2, F64 = 8, I64 = 8, I32 = 4, U8 = 1 }

-- ---- writing

-- {"a":..., ...} in the order of the list (plain JSON encoding would sort the keys).
local function header_text(entries, metadata)
  local parts, offset = { '"__metadata__":' .. json.encode(metadata) }, 0
  for i, entry in ipairs(entries) do
    local shape = setmetatable(entry.tensor.shape, { __jsontype = "array" })
    local size = 4 * entry.tensor.size
    parts[i + 1] = ('%s:{"dtype":"F32","shape":%s,"data_offsets":[%d,%d]}')
      :format(json.encode(entry.name), json.encode(shape), offset, offset + size)
    offset = offset + size
  end
  local text = "{" .. table.concat(parts, ",") .. "}"
  return text .. (" "):rep(-#text % 8) -- the tensors start at a multiple of 8
end

--- Writes tensors in the order given, beside the old file, synced, then renamed over it.
---@param path string
---@param entries {name: string, tensor: userdata}[]
---@param metadata table<string, string>
---@return true? ok, string? message
function safetensors.write(path, entries, metadata)
  local text = header_text(entries, metadata)
  local pieces = { string.pack("<I8", #text), text }
  for _, entry in ipairs(entries) do pieces[#pieces + 1] = entry.tensor end
  return core.write_file(path, pieces)
end

-- ---- what the file says about itself

-- A file of another kind that people may well try to load.
local function foreign_kind(start)
  if start:sub(1, 4) == "\x89HDF" then
    return "an HDF5 file (Keras's .h5): save it as safetensors in Python first"
  end
  if start:sub(1, 2) == "PK" then
    return "a zip file (PyTorch's .pt or Keras's .keras?): save it as safetensors in Python first"
  end
  if start:sub(1, 4) == "\x89PNG" then return "a PNG picture" end
  if start:sub(1, 1) == "\x80" then
    return "a Python pickle: it cannot be read safely; save it as safetensors in Python first"
  end
end

local function whole_number(x, most)
  x = math.tointeger(x)
  return x and x >= 0 and x <= most and x or nil
end

-- One entry of the header, checked; raises plain messages.
local function checked_entry(name, given, bytes)
  local function wrong(why) error(("tensor '%s': %s"):format(name, why), 0) end
  if type(name) ~= "string" then wrong "its name is no string" end
  if type(given) ~= "table" or type(given.shape) ~= "table" or type(given.data_offsets) ~= "table"
    or type(given.dtype) ~= "string" then
    wrong "its header entry is not {dtype, shape, data_offsets}"
  end
  local first, last = whole_number(given.data_offsets[1], bytes),
    whole_number(given.data_offsets[2], bytes)
  if not first or not last or first > last or #given.data_offsets ~= 2 then
    wrong "its data_offsets lie outside the file"
  end
  local shape, size = {}, 1.0
  for i, dimension in ipairs(given.shape) do
    shape[i] = whole_number(dimension, 0x7fffffff) or wrong "its shape is not made of whole numbers"
    size = size * shape[i] -- a float: it cannot overflow
  end
  for key in pairs(given.shape) do
    if not shape[key] then wrong "its shape is not an array" end
  end
  local width = BYTES[given.dtype]
  if width and size * width ~= last - first then
    wrong(("shape (%s) of %s needs %.0f bytes, but it has %d")
      :format(table.concat(shape, ", "), given.dtype, size * width, last - first))
  end
  return { name = name, dtype = given.dtype, shape = shape, first = first, last = last }
end

local function checked_metadata(given)
  if given ~= nil and type(given) ~= "table" then error("its __metadata__ is not an object", 0) end
  for key, value in pairs(given or {}) do
    if type(key) ~= "string" or type(value) ~= "string" then
      error("its __metadata__ does not hold strings only", 0)
    end
  end
  return given or {}
end

-- All entries by place in the file; together they must fill it from the header to the end, without
-- gap or overlap.
local function checked_entries(header, bytes)
  local entries = {}
  for name, given in pairs(header) do
    if name ~= "__metadata__" then entries[#entries + 1] = checked_entry(name, given, bytes) end
  end
  table.sort(entries, function(a, b)
    if a.first ~= b.first then return a.first < b.first end
    if a.last ~= b.last then return a.last < b.last end
    return a.name < b.name
  end)
  local place = 0
  for _, entry in ipairs(entries) do
    if entry.first ~= place then
      error(("tensor '%s' starts at byte %d, but the one before it ends at %d")
        :format(entry.name, entry.first, place), 0)
    end
    place = entry.last
  end
  if place ~= bytes then
    error(("%d bytes follow the last tensor; the file was altered"):format(bytes - place), 0)
  end
  return entries
end

-- The largest end of a tensor, to tell a truncated file from a wrong one.
local function announced_bytes(header)
  local most = 0
  for name, given in pairs(header) do
    local last = name ~= "__metadata__" and type(given) == "table"
      and type(given.data_offsets) == "table" and given.data_offsets[2]
    if math.type(last) == "integer" then most = math.max(most, last) end
  end
  return most
end

local function read_header(file, size)
  local start = file:read(8)
  if not start then
    error(size == 0 and "the file is empty" or "it cannot be read (is it a folder?)", 0)
  end
  if #start < 8 then
    error(("it is not a safetensors file: it has only %d bytes"):format(size), 0)
  end
  local length = string.unpack("<i8", start)
  local kind = (length < 2 or length > size - 8) and foreign_kind(start)
  if kind then error("it is not a safetensors file but " .. kind, 0) end
  if length < 2 or length > HEADER_MAX then
    error("it is not a safetensors file (no header of the announced size can be)", 0)
  end
  if length > size - 8 then
    error(("it is truncated or not a safetensors file: a header of %d bytes is announced, "
      .. "%d bytes follow"):format(length, size - 8), 0)
  end
  local header, problem = json.decode(file:read(length))
  if type(header) ~= "table" or #header > 0 then
    error("its header is damaged: " .. (problem or "it is not a JSON object"), 0)
  end
  local bytes = size - 8 - length
  local announced = announced_bytes(header)
  if announced > bytes then
    error(("it is truncated: %d of %d bytes of tensors are there"):format(bytes, announced), 0)
  end
  return header, 8 + length, bytes
end

-- ---- reading

---@class giemsa.safetensors
---@field metadata table<string, string>
---@field entries {name: string, dtype: string, shape: integer[]}[] in the order of the file
local Reader = {}
Reader.__index = Reader

--- The bytes of one entry.
---@return string
function Reader:bytes(entry)
  self.file:seek("set", self.start + entry.first)
  local bytes = entry.first == entry.last and "" or self.file:read(entry.last - entry.first)
  if not bytes or #bytes ~= entry.last - entry.first then
    error("it became shorter while it was read", 0)
  end
  return bytes
end

--- The tensor of an entry, as float32; F16, BF16, F64, I64, I32 and U8 are converted. Raises plain
--- messages.
---@return userdata tensor, string bytes
function Reader:tensor(entry)
  if not BYTES[entry.dtype] then
    error(("tensor '%s' has numbers of type %s, which giemsa cannot read")
      :format(entry.name, entry.dtype), 0)
  end
  if #entry.shape > 4 then
    error(("tensor '%s' has %d dimensions; giemsa's have at most 4")
      :format(entry.name, #entry.shape), 0)
  end
  local bytes = self:bytes(entry)
  return core.from_bytes(bytes, entry.dtype, entry.shape), bytes
end

function Reader:close() self.file:close() end
Reader.__close = Reader.close

--- Opens a file and reads its header.
---@param path string
---@return giemsa.safetensors? reader, string? message nil and why, with the path
function safetensors.open(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, "cannot read " .. problem end
  local size = file:seek("end")
  local ok, result = pcall(function()
    if not size or not file:seek("set") then error("it is not a regular file", 0) end
    local header, start, bytes = read_header(file, size)
    local metadata = checked_metadata(header.__metadata__)
    return setmetatable({ file = file, path = path, start = start, metadata = metadata,
      entries = checked_entries(header, bytes) }, Reader)
  end)
  if ok then return result end
  file:close()
  return nil, ("cannot read %s: %s"):format(path, result)
end

--- All tensors of a file, of any program.
---@param path string
---@return table<string, userdata>? tensors by name; nil and why when the file cannot be read
---@return table|string info {metadata = {...}, names = {in the file's order}, dtypes = {name =
--- "F16", ...}}
function safetensors.read(path)
  local reader, message = safetensors.open(path)
  if not reader then return nil, message end
  local tensors, info = {}, { metadata = reader.metadata, names = {}, dtypes = {} }
  local ok, problem = pcall(function()
    for i, entry in ipairs(reader.entries) do
      tensors[entry.name] = reader:tensor(entry)
      info.names[i], info.dtypes[entry.name] = entry.name, entry.dtype
    end
  end)
  reader:close()
  if not ok then return nil, ("cannot read %s: %s"):format(path, problem) end
  return tensors, info
end

return safetensors
