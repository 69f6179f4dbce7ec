--- The file under models and checkpoints: safetensors whose metadata says what it is, with two
-- SHA-256 sums (of the header, of the tensors) that show whether it is still what was written; and
-- plain values as JSON, to the last bit. Everything here raises plain messages (level 0).
local core = require "giemsa.core"
local json = require "giemsa.json"
local safetensors = require "giemsa.safetensors"

local file = {}

local FORMAT_VERSION = "1"

local function sha256()
  local ok, hash = pcall(require, "giemsa.hash")
  if ok then return hash.new() end
  error("giemsa was built without its hash module, which saving and loading need; "
    .. "install nettle (sudo apt install nettle-dev) and build again", 0)
end

--- The keys of a table in order.
---@return string[]
function file.sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end
local sorted_keys = file.sorted_keys

--- "(3, 3, 32)", "(5,)"
function file.shape_text(shape)
  return "(" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")")
end

-- ---- numbers that JSON has not

local NOT_FINITE = { ["nan"] = 0 / 0, ["inf"] = math.huge, ["-inf"] = -math.huge }

local function number_to_json(x)
  if x == nil then return json.null end
  if x ~= x then return "nan" end
  if x == math.huge or x == -math.huge then return x > 0 and "inf" or "-inf" end
  return x
end

--- A history as text: name -> array with a value an epoch; an epoch may lack one.
---@param history table?
---@return string
function file.history_to_json(history)
  local out = setmetatable({}, { __jsontype = "object" })
  for name, values in pairs(history or {}) do
    if type(values) == "table" then
      local last = 0
      for i in pairs(values) do last = math.max(last, math.tointeger(i) or 0) end
      out[name] = setmetatable({}, { __jsontype = "array" })
      for i = 1, last do out[name][i] = number_to_json(values[i]) end
    end
  end
  return json.encode(out)
end

function file.history_from_json(text)
  local history, problem = json.decode(text, json.null)
  if type(history) ~= "table" then problem = problem or "it is not an object" end
  if problem then error("its history is damaged: " .. problem, 0) end
  for name, values in pairs(history) do
    if type(values) ~= "table" then error(("its history of '%s' is no array"):format(name), 0) end
    for i = #values, 1, -1 do
      local value = values[i]
      if value == json.null then values[i] = nil else values[i] = NOT_FINITE[value] or value end
    end
  end
  return history
end

-- ---- states: plain tables that may hold tensors and any number

local TAG = "$" -- {"$": "inf"} is a number, {"$": "tensor", "name": ...} a tensor of the file

--- A state as a value that JSON can hold; its tensors are appended to `entries`.
---@param value any nil, boolean, number, string, tensor, or a table of these
---@param entries {name: string, tensor: userdata}[]
---@param name string the path of the value: names its tensors, and stands in messages
function file.pack(value, entries, name)
  if core.is_tensor(value) then
    entries[#entries + 1] = { name = name, tensor = value }
    return { [TAG] = "tensor", name = name }
  end
  if type(value) == "number" then
    local plain = number_to_json(value)
    return type(plain) == "string" and { [TAG] = plain } or plain
  end
  if type(value) ~= "table" then
    if value == nil or type(value) == "boolean" or type(value) == "string" then return value end
    error(("%s is a %s, which cannot be saved"):format(name, type(value)), 0)
  end
  local is_array = #value > 0
  local out = setmetatable({}, { __jsontype = is_array and "array" or "object" })
  for key, one in pairs(value) do
    if is_array ~= (math.type(key) == "integer") then
      error(("%s mixes a list with names"):format(name), 0)
    end
    out[key] = file.pack(one, entries, name .. "/" .. key)
  end
  return out
end

--- What pack was given.
---@param value any
---@param tensors table<string, userdata>
function file.unpack(value, tensors)
  if type(value) ~= "table" then return value end
  local tag = value[TAG]
  if tag == "tensor" then
    return tensors[value.name] or error(("its tensor '%s' is missing"):format(value.name), 0)
  end
  if tag then return NOT_FINITE[tag] or error("its state is damaged", 0) end
  local out = {}
  for key, one in pairs(value) do out[key] = file.unpack(one, tensors) end
  return out
end

-- ---- sums

local function sum_of_tensors(entries)
  local sum = sha256()
  for _, entry in ipairs(entries) do sum:update(core.to_bytes(entry.tensor)) end
  return sum:hex()
end

-- Over the other metadata and the tensors' names and shapes, so that nothing of the header changes
-- unnoticed.
local function sum_of_header(metadata, entries)
  local sum = sha256()
  for _, key in ipairs(sorted_keys(metadata)) do
    if key ~= "header_sha256" then
      sum:update(("%d:%s=%d:%s;"):format(#key, key, #metadata[key], metadata[key]))
    end
  end
  for _, entry in ipairs(entries) do
    sum:update(("%d:%s %s;")
      :format(#entry.name, entry.name, file.shape_text(entry.shape or entry.tensor.shape)))
  end
  return sum:hex()
end

local function check_sum(metadata, key, found, what)
  if metadata[key] and metadata[key] ~= found then
    error(("its %s altered (the SHA-256 sum does not fit); take another copy of the file")
      :format(what), 0)
  end
end

-- ---- writing and reading

--- JSON of a plain value that is named in the message when it is none.
function file.plain(what, value)
  local ok, text = pcall(json.encode, value)
  if not ok then error(("%s cannot be saved: %s"):format(what, text), 0) end
  return text
end

--- Writes tensors and metadata, beside the old file, synced, then renamed over it.
---@param path string
---@param entries {name: string, tensor: userdata}[] in the order of the file
---@param metadata table<string, string> `content` says what it is
function file.write(path, entries, metadata)
  metadata.format, metadata.format_version = "giemsa", FORMAT_VERSION
  metadata.giemsa_version = require "giemsa.version"
  metadata.tensors_sha256 = sum_of_tensors(entries)
  metadata.header_sha256 = sum_of_header(metadata, entries)
  local ok, message = safetensors.write(path, entries, metadata)
  if not ok then error(message, 0) end
end

--- All tensors of a file, checked against the sums if it is one of ours.
---@param path string
---@return table<string, userdata> tensors, table<string, string> metadata
function file.read(path)
  local reader, message = safetensors.open(path)
  if not reader then error(message, 0) end
  local to_close <close> = reader
  local metadata, tensors, sum = reader.metadata, {}, sha256()
  check_sum(metadata, "header_sha256", sum_of_header(metadata, reader.entries), "header was")
  for _, entry in ipairs(reader.entries) do
    local tensor, bytes = reader:tensor(entry)
    sum:update(bytes)
    tensors[entry.name] = tensor
  end
  check_sum(metadata, "tensors_sha256", sum:hex(), "weights were")
  return tensors, metadata
end

--- Raises unless the file is ours, of this version, and holds what is wanted.
---@param metadata table<string, string>
---@param content string?
function file.check_format(metadata, content)
  if metadata.format ~= "giemsa" then
    error(("it holds tensors, but no giemsa model (format '%s'); save.read_safetensors reads it")
      :format(metadata.format or "unknown"), 0)
  end
  if tonumber(metadata.format_version or "?") ~= tonumber(FORMAT_VERSION) then
    error(("it has format version %s, this giemsa (%s) reads version %s; giemsa %s wrote it")
      :format(metadata.format_version or "?", require "giemsa.version", FORMAT_VERSION,
        metadata.giemsa_version or "?"), 0)
  end
  if content and metadata.content ~= content then
    error(("it holds a model's %s only, not the %s; build the net and use load_weights")
      :format(metadata.content or "?", content), 0)
  end
end

--- A table that stands in the metadata as JSON, nil when it is not there.
function file.json_field(metadata, key)
  if not metadata[key] then return nil end
  local value, problem = json.decode(metadata[key])
  if type(value) ~= "table" then problem = problem or "it is not an object" end
  if problem then error(("its %s is damaged: %s"):format(key, problem), 0) end
  return value
end

return file
