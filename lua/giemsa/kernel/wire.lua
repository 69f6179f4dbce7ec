--- Jupyter's messages as they go over the wire (protocol 5.3):
--
--   [who...] "<IDS|MSG>" signature header parent_header metadata content [buffers...]
--
-- The four in the middle are JSON; the signature is the HMAC-SHA256 of them, as they are sent. JSON that goes out is
-- made once, by who knows what is in it, and handed on as text.
local core = require "giemsa.core"
local hash = require "giemsa.hash"
local json = require "giemsa.json"
local unicode = require "giemsa.unicode"

local wire = { VERSION = "5.3" }

local DELIMITER = "<IDS|MSG>"
local ARRAY = { __jsontype = "array" }

--- A table that is an array in JSON also when it is empty. Other empty tables are objects.
---@param list table?
---@return table
function wire.array(list) return setmetatable(list or {}, ARRAY) end

--- The text as UTF-8, which JSON has to be: what is none is marked.
---@param text string
---@return string
function wire.clean(text) return utf8.len(text) and text or unicode.repair(text) end

-- ---- in

---@class giemsa.kernel.Message
---@field ids string[] who sent it
---@field header table
---@field header_text string JSON: the parent of what answers it
---@field content table
---@field content_text string JSON

local function place_of_delimiter(frames)
  for i, frame in ipairs(frames) do
    if frame == DELIMITER then return i end
  end
end

-- An object, and its JSON as it may be sent on; nil of what is none, or holds what is no UTF-8.
local function object_of(text)
  local value = json.decode(text, json.null)
  if type(value) ~= "table" or value == json.null then return nil end
  local clean = json.encode(value)
  if utf8.len(clean) then return value, clean end
end

--- Reads a message that came from outside, whatever it is.
---@param key string "": messages are not signed
---@param frames string[]
---@return giemsa.kernel.Message? message nil and what is wrong with it
---@return string? why
function wire.unpack(key, frames)
  local at = place_of_delimiter(frames)
  if not at or #frames < at + 5 then return nil, "it is no message of Jupyter" end
  local signature, given_header, parent, metadata, given_content = table.unpack(frames, at + 1)
  if key ~= "" and signature ~= hash.hmac_sha256(key, given_header, parent, metadata, given_content) then
    return nil, "its signature is wrong"
  end
  local header, header_text = object_of(given_header)
  local content, content_text = object_of(given_content)
  if not header or type(header.msg_type) ~= "string" or not content then return nil, "its header or content is none" end
  return { ids = table.move(frames, 1, at - 1, 1, {}), header = header, header_text = header_text,
    content = content, content_text = content_text }
end

-- ---- out

local function random_hex(bytes)
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  return (file:read(bytes):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

--- This kernel, for ids that are nobody else's.
wire.session = random_hex(16)

local sent = 0

-- "2026-01-02T03:04:05.678901Z"
local function now_text()
  local now = core.time()
  local seconds = now // 1 | 0
  return ("%s.%06dZ"):format(os.date("!%Y-%m-%dT%H:%M:%S", seconds), (now - seconds) * 1e6 // 1 | 0)
end

--- The frames of a message.
---@param key string
---@param ids string[] to whom; for a broadcast its topic
---@param kind string msg_type
---@param parent string header of what it answers, JSON
---@param content string JSON
---@return string[]
function wire.pack(key, ids, kind, parent, content)
  sent = sent + 1
  local header = json.encode{ msg_id = ("%s_%d"):format(wire.session, sent), session = wire.session,
    username = "kernel", date = now_text(), msg_type = kind, version = wire.VERSION }
  local frames = table.move(ids, 1, #ids, 1, {})
  local signature = key == "" and "" or hash.hmac_sha256(key, header, parent, "{}", content)
  table.move({ DELIMITER, signature, header, parent, "{}", content }, 1, 6, #frames + 1, frames)
  return frames
end

return wire
