--- What the worker prints, on its way to Jupyter: many small writes become few messages, a character that came in two
-- pieces is put together, and of a cell that never stops printing the beginning and the end are shown.
local core = require "giemsa.core"
local json = require "giemsa.json"
local wire = require "giemsa.kernel.wire"

local SHOWN_BYTES, TAIL_BYTES = 200000, 2000 -- of a cell's output, as in a run
local WAIT_SECONDS = 0.05 -- between two messages

---@class giemsa.kernel.Streams
---@field due number? when what is held wants to be sent
local Streams = {}
Streams.__index = Streams

--- Streams whose messages are given to publish(kind, content).
---@param publish fun(kind: string, content: string)
---@return giemsa.kernel.Streams
function Streams.new(publish)
  local self = setmetatable({ publish = publish, held = "", sent_at = -math.huge }, Streams)
  self:begin(false)
  return self
end

--- A new cell begins.
---@param is_quiet boolean nothing of it is shown
function Streams:begin(is_quiet)
  self:flush()
  self.is_quiet, self.shown, self.left_out, self.tail, self.name = is_quiet, 0, 0, "", nil
end

local function send(self, name, text)
  if text == "" then return end
  self.publish("stream", json.encode{ name = name, text = wire.clean(text) })
  self.sent_at = core.now()
end

-- The first bytes of a character at the end of a text whose last ones have not come yet.
local function unfinished(text)
  local first = text:match "()[\xC2-\xF4][\x80-\xBF]*$"
  if not first then return "" end
  local byte = text:byte(first)
  local length = byte < 0xE0 and 2 or byte < 0xF0 and 3 or 4
  return #text - first + 1 < length and text:sub(first) or ""
end

--- Sends what is held, as far as it is whole characters; with is_end all of it.
---@param is_end boolean?
function Streams:flush(is_end)
  local rest = is_end and "" or unfinished(self.held)
  send(self, self.name, self.held:sub(1, #self.held - #rest))
  self.held, self.due = rest, nil
end

-- What is over the limit is counted, and its end is kept.
local function take(self, bytes)
  local room = SHOWN_BYTES - self.shown
  local now, rest = bytes:sub(1, room), bytes:sub(room + 1)
  self.shown, self.left_out = self.shown + #now, self.left_out + #rest
  if rest ~= "" then self.tail = (self.tail .. rest):sub(-TAIL_BYTES) end
  return now
end

--- Takes output as it comes.
---@param name "stdout"|"stderr"
---@param bytes string
function Streams:add(name, bytes)
  if self.is_quiet or bytes == "" then return end
  if self.name ~= name then self:flush(true) end
  self.name = name
  self.held = self.held .. take(self, bytes)
  local due = self.sent_at + WAIT_SECONDS
  if core.now() >= due then self:flush() else self.due = due end
end

--- The cell is over: the rest, and the last lines of what was over the limit.
function Streams:finish()
  self:flush(true)
  if self.left_out == 0 then return end
  local tail = self.tail
  if self.left_out > #tail then
    tail = tail:match "\n(.*)$" or tail
    send(self, self.name, ("\n[... %d bytes are not shown]\n"):format(self.left_out - #tail))
  end
  send(self, self.name, tail)
  self.left_out, self.tail = 0, ""
end

return Streams
