--- The Jupyter kernel's messages: server and worker in one process, between them tables in place of pipes, and around them
--- tables in place of ZeroMQ's sockets. Whatever comes, the server goes on, what it sends is signed JSON, and each request gets
--- busy, its one reply, and idle, in this order.
local bend = require "tests.fuzz.bend"
local core = require "giemsa.core"
local hash = require "giemsa.hash"
local jansson = require "giemsa.jansson" -- takes nothing but JSON
local json = require "giemsa.json"

local one_of, random = bend.one_of, math.random
local KEY = "secret"
local QUIET_TURNS = 3 -- after which nothing more will come

-- ---- the outside: sockets that are queues

local sockets -- by name: {inbox, outbox}

local Socket = {}
Socket.__index = Socket
function Socket:receive() return table.remove(self.inbox, 1) end
function Socket:send(frames) table.insert(self.outbox, frames) return true end
function Socket:close() end

local NAMES = { [1] = "shell", [2] = "control", [3] = "stdin", [4] = "iopub", [5] = "hb" }
local CONNECTION = { key = KEY, transport = "tcp", ip = "-" }
for port, name in ipairs(NAMES) do CONNECTION[name .. "_port"] = port end

package.loaded["giemsa.zmq"] = {
  bind = function(_, endpoint)
    local socket = setmetatable({ inbox = {}, outbox = {} }, Socket)
    sockets[NAMES[tonumber(endpoint:match "%d+$")]] = socket
    return socket
  end,
  poll = function(list)
    local ready = {}
    for i in ipairs(list) do ready[i] = true end
    return ready
  end,
}
local Server, wire = require "giemsa.kernel.server", require "giemsa.kernel.wire"

-- ---- the inside: a worker that is a coroutine

local server, requests, events, answers, running

local Worker = {}
Worker.__index = Worker
function Worker:fd() return 0 end
function Worker:read(pipe)
  if pipe ~= "events" then return random(20) == 1 and one_of { "text\n", "\xff", "\xe4\xb8", ("x"):rep(3000) } or "" end
  return table.remove(events, 1) or ""
end
function Worker:send(id, bytes)
  if id == 0 then table.insert(requests, bytes) else answers[id] = bytes end
  return true
end
function Worker:status() return coroutine.status(running) == "dead" and 1 or nil end
function Worker:interrupt() end
function Worker:interrupts() return 0 end
function Worker:close() end

local asked = 0

local function event(bytes)
  asked = asked + 1
  table.insert(events, ("=I4s4"):pack(asked, bytes))
  return asked
end

core.worker_begin = function() return true end
core.worker_event = event
core.worker_request = function()
  if not requests[1] then coroutine.yield() end
  return table.remove(requests, 1)
end
core.worker_ask = function(bytes)
  local id = event(bytes)
  for _ = 1, QUIET_TURNS do server:turn() end
  return answers[id]
end

local work = require "giemsa.kernel.worker"
local interrupt, typed = require "giemsa.interrupt", require "giemsa.kernel.typed"
interrupt.only_resumes()
typed.take_over()
interrupt.only_resumes, typed.take_over = function() end, function() end -- once is enough
io.output "/dev/null"
io.stderr = { write = function() end } -- it tells of dropped messages
os.execute, io.popen = function() end, function() end -- bent code may say anything

local function begin()
  sockets, requests, events, answers = {}, {}, {}, {}
  running = coroutine.create(work)
  server = assert(Server.new(CONNECTION, setmetatable({}, Worker)))
end

-- ---- what is sent to it

local CODE = { "x = 1 + 1", "return 1, 'a', {}", "x", "error 'no'", "error({})", "local y <const> = 2", "?x", "??string.rep", ":names", ":time 1",
  "display{ html = '<b>' }", "io.read()", "io.read('n', 'L')", "x =", "'\\xff'", "require 'giemsa.display'{ text = 'a' }", "x;", "" }
local CODE_WORDS = { "(", ")", "{", "}", "'", "x", "=", "1", ".", ":", "?", "return ", "local ", "io.read", "\n", "\0", "\xff", "--", "[[", ";", "end" }
local REQUESTS = {
  { "execute_request", { code = "x = 1", silent = false, store_history = true, user_expressions = { a = "x" }, allow_stdin = true,
    stop_on_error = true } },
  { "execute_request", { code = "error 'no'", silent = false, store_history = true, user_expressions = {}, allow_stdin = false } },
  { "complete_request", { code = "string.", cursor_pos = 7 } },
  { "inspect_request", { code = "string.rep", cursor_pos = 3, detail_level = 1 } },
  { "is_complete_request", { code = "for i = 1, 2 do" } },
  { "history_request", { output = true, raw = true, hist_access_type = "range", session = 0, start = 0, stop = 5 } },
  { "history_request", { output = false, hist_access_type = "search", n = 3, pattern = "x*?", unique = true } },
  { "history_request", { hist_access_type = "tail", n = 2 } },
  { "kernel_info_request", {} }, { "comm_info_request", { target_name = "a" } }, { "comm_open", { comm_id = "a", data = {} } },
  { "comm_msg", { comm_id = "a", data = {} } }, { "interrupt_request", {} }, { "input_reply", { value = "12" } },
  { "shutdown_request", { restart = true } }, { "nonsense_request", {} },
}
local deep = {}
for _ = 1, 90 do deep = { deep } end
local VALUES = { 0, 1, -1, 1.5, 1e308, -2 ^ 53, math.mininteger, math.maxinteger, "", "x", "\xff", "\0", "%", ("y"):rep(300), true, false,
  json.null, {}, { 1 }, { a = 1 }, deep, "execute_request", "code", "tail", "range", "search" }
local PIECES = { "{", "}", "[", "]", '"', ":", ",", "\\", "\\ud800", "1e999", "-", "null", "true", "/* */", "\0", "\xff", " ", ("["):rep(200) }

local function message()
  local kind, content = table.unpack(bend.copy(one_of(REQUESTS)))
  local whole = { header = { msg_id = "id", session = "s", username = "u", date = "d", msg_type = kind, version = "5.3" },
    content = content }
  if content.code and random(2) == 1 then content.code = one_of(CODE) end
  if content.code and random(4) == 1 then content.code = bend.text(content.code, CODE_WORDS) end
  while random(2) == 1 do bend.value(whole, VALUES) end
  return whole
end

-- JSON, or not quite.
local function text_of(value)
  local ok, text = pcall(json.encode, value)
  if not ok then text = "{}" end
  return random(6) == 1 and bend.text(text, PIECES) or text
end

local function frames_of(whole)
  local header, parent, metadata, content = text_of(whole.header), text_of{}, text_of{}, text_of(whole.content)
  local frames = { "who", "<IDS|MSG>", hash.hmac_sha256(KEY, header, parent, metadata, content), header, parent, metadata, content }
  if random(12) == 1 then
    local at = random(#frames)
    frames[at] = bend.text(frames[at], PIECES)
  end
  if random(20) == 1 then table.remove(frames, random(#frames)) end
  if random(20) == 1 then table.insert(frames, random(#frames), one_of(frames)) end
  return frames
end

local target = {}

function target.input()
  local list = {}
  for i = 1, random(6) do
    list[i] = { socket = one_of { "shell", "shell", "shell", "control", "stdin", "hb" }, frames = frames_of(message()) }
  end
  return list
end

-- ---- what it must do

-- What was sent, by the header that it answers: {busy, REPLY..., idle}; raises where it is no message.
local function check_sent(frames, story)
  local at
  for i, frame in ipairs(frames) do at = at or frame == "<IDS|MSG>" and i end
  local signature, header, parent, metadata, content = table.unpack(frames, at + 1)
  assert(#frames == at + 5 and signature == hash.hmac_sha256(KEY, header, parent, metadata, content), "a wrong signature")
  for _, text in ipairs{ header, parent, metadata, content } do
    text = text:gsub("\\\\", "/"):gsub("\\u0000", "") -- in a key Jansson takes none
    assert(jansson.decode(text), "no JSON is sent: " .. text)
  end
  local kind, told = json.decode(header).msg_type, json.decode(content)
  local state = told.execution_state
  assert(told.ename ~= "KernelError", told.evalue)
  local of_parent = story[parent] or {}
  story[parent] = of_parent
  if state or kind:find "_reply$" then table.insert(of_parent, state or "reply") end
end

-- Busy and idle are told at another socket than the reply: their order is that of sending.
local function record(story)
  for _, name in ipairs{ "shell", "control", "stdin", "iopub" } do
    sockets[name].send = function(_, frames) check_sent(frames, story) return true end
  end
end

-- The requests that are in order, and so must be answered.
local function sound(list)
  local headers = {}
  for _, one in ipairs(list) do
    local request = (one.socket == "shell" or one.socket == "control") and wire.unpack(KEY, one.frames)
    if request then headers[#headers + 1] = request.header_text end
  end
  return headers
end

function target.try(list)
  begin()
  local story = {}
  record(story)
  for _, one in ipairs(list) do table.insert(sockets[one.socket].inbox, one.frames) end
  local quiet = 0
  while quiet < QUIET_TURNS and not server.code do
    server:turn()
    quiet = (server.current or server.queue[1]) and 0 or quiet + 1
    if requests[1] then assert(coroutine.resume(running)) end
  end
  if server.code then return assert(server.code == 0, "the kernel died") end -- it was told to
  local times = {}
  for _, header in ipairs(sound(list)) do times[header] = (times[header] or 0) + 1 end
  for header, count in pairs(times) do
    local told = table.concat(story[header] or {}, " ")
    local rest = told:gsub("busy reply idle", ""):gsub("busy idle", "")
    assert(#told > 0 and not rest:find "%S" and select(2, told:gsub("busy", "")) == count, "not answered in order: " .. told)
  end
end

return target
