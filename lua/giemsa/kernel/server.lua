--- The side of the kernel that talks to Jupyter. It runs nobody's code, so it always answers: the heartbeat, an interrupt,
-- a shutdown, also while a cell runs. What needs the notebook's variables is a request to the worker (kernel/worker.lua),
-- one at a time and in order; the worker's events go out as messages that belong to the request.
local core = require "giemsa.core"
local json = require "giemsa.json"
local version = require "giemsa.version"
local wire = require "giemsa.kernel.wire"
local Streams = require "giemsa.kernel.streams"
local zmq = require "giemsa.zmq"

local TICK_SECONDS = 1 -- how soon a parent or a worker that is gone is noticed at the latest
local END_SECONDS = 2 -- for variables declared <close>, when the kernel is shut down

---@class giemsa.kernel.Server
---@field key string
---@field sockets table<string, userdata> shell, control, stdin, iopub, hb
---@field worker userdata
---@field streams giemsa.kernel.Streams
---@field queue giemsa.kernel.Message[] of the shell, not begun yet
---@field current giemsa.kernel.Message? what the worker is at
---@field parent string header of the last request: outputs belong to it
---@field asked integer? the id of the worker's question that waits for an input_reply
---@field code integer? of the process, once it is to end
local Server = {}
Server.__index = Server

-- ---- messages

function Server:publish(kind, content, parent)
  self.sockets.iopub:send(wire.pack(self.key, { kind }, kind, parent or self.parent, content))
end

function Server:send(socket, request, kind, content)
  self.sockets[socket]:send(wire.pack(self.key, request.ids, kind, request.header_text, content))
end

function Server:status(state, request)
  self:publish("status", json.encode{ execution_state = state }, request.header_text)
end

local function complain(text, ...) io.stderr:write("giemsa kernel: ", text:format(...), "\n") end

-- The next message of a socket. One that is none is dropped; it is said once, for there may be many.
function Server:receive(name)
  while true do
    local frames = self.sockets[name]:receive()
    if not frames then return nil end
    local message, why = wire.unpack(self.key, frames)
    if message then return message end
    if not self.has_complained then complain("a message was dropped: %s", why) end
    self.has_complained = true
  end
end

-- ---- what needs no worker

local HELP = { { text = "Lua 5.4", url = "https://www.lua.org/manual/5.4/" } }

local answers = {}

function answers.kernel_info_request()
  return "kernel_info_reply", { status = "ok", protocol_version = wire.VERSION, implementation = "giemsa",
    implementation_version = version, banner = ("giemsa %s, %s. Tab completes, ?name explains."):format(version, _VERSION),
    help_links = wire.array(HELP), debugger = false, language_info = { name = "lua", version = _VERSION:match "[%d.]+",
      mimetype = "text/x-lua", file_extension = ".lua", pygments_lexer = "lua", codemirror_mode = "lua" } }
end

function answers.comm_info_request() return "comm_info_reply", { status = "ok", comms = {} } end

-- There are no widgets here: whoever opens a line to one is told that it is closed.
function answers.comm_open(self, request)
  local id = request.content.comm_id
  if type(id) ~= "string" then return end
  self:publish("comm_close", json.encode{ comm_id = wire.clean(id), data = {} }, request.header_text)
end

function answers.interrupt_request(self)
  self.worker:interrupt()
  return "interrupt_reply", { status = "ok" }
end

function answers.shutdown_request(self, request)
  self.code = 0
  return "shutdown_reply", { status = "ok", restart = request.content.restart == true }
end

-- Answers on the socket where it was asked; what nobody knows is answered by silence between busy and idle.
function Server:answer(socket, request)
  self:status("busy", request)
  local answer = answers[request.header.msg_type]
  local kind, content
  if answer then kind, content = answer(self, request) end
  if kind then self:send(socket, request, kind, json.encode(content)) end
  self:status("idle", request)
end

-- Tells whoever listens from now on that nothing will be missed.
function Server:welcome()
  local subscription = (self.sockets.iopub:receive() or { "" })[1]
  if subscription:sub(1, 1) ~= "\1" then return end
  self:publish("iopub_welcome", json.encode{ subscription = wire.clean(subscription:sub(2)) }, "{}")
end

-- ---- what the worker does

local FOR_WORKER = { execute_request = true, complete_request = true, inspect_request = true, is_complete_request = true,
  history_request = true }

function Server:begin(request)
  local kind = request.header.msg_type
  if not FOR_WORKER[kind] then return self:answer("shell", request) end
  self.current, self.parent, self.interrupts = request, request.header_text, self.worker:interrupts()
  self:status("busy", request)
  self.streams:begin(request.content.silent == true)
  self.worker:send(0, ("s1s4"):pack(kind, request.content_text))
end

-- Begins requests as long as the worker is free.
function Server:advance()
  while not self.current and self.queue[1] and not self.code do self:begin(table.remove(self.queue, 1)) end
end

-- An error, where the worker has not told of one itself.
local function error_content(name, message)
  return { status = "error", ename = name, evalue = message, traceback = wire.array{ message } }
end

function Server:finish(kind, content)
  local request = self.current
  self.streams:finish()
  self:send("shell", request, kind, content)
  self.current, self.asked = nil, nil
  self:status("idle", request)
end

-- A cell failed: those that were sent behind it do not run.
function Server:abort_queue()
  local rest = {}
  for _, request in ipairs(self.queue) do
    if request.header.msg_type ~= "execute_request" then rest[#rest + 1] = request
    else
      self:status("busy", request)
      local content = error_content("Aborted", "not run: a cell before it failed or was interrupted")
      content.execution_count = 0
      self:send("shell", request, "execute_reply", json.encode(content))
      self:status("idle", request)
    end
  end
  self.queue = rest
end

-- Takes what was sent so far.
function Server:fill_queue()
  for request in function() return self:receive "shell" end do table.insert(self.queue, request) end
end

local events = {}

function events.iopub(self, _, kind, content)
  self.streams:flush(true)
  self:publish(kind, content)
end

-- What is sent once the reply is out was sent by somebody who knows of the failure.
function events.failed(self, _, kind, content)
  self:fill_queue()
  self:finish(kind, content)
  self:abort_queue()
end

-- Whoever interrupts a cell does not want those behind it, though it ended well: a training returns what it has.
function events.reply(self, id, kind, content)
  local asked = self.current.content
  local is_cut = self.worker:interrupts() ~= self.interrupts and kind == "execute_reply" and asked.stop_on_error ~= false
  if is_cut then return events.failed(self, id, kind, content) end
  self:finish(kind, content)
end

function events.ask(self, id, kind, content)
  self.streams:flush(true)
  self.asked = id
  self:send("stdin", self.current, kind, content)
  return true -- the answer comes later
end

-- The next event that has come whole, as its id and bytes. A picture comes in many pieces: they are joined once.
function Server:next_event()
  local bytes = self.worker:read "events" or ""
  self.pieces[#self.pieces + 1], self.received = bytes, self.received + #bytes
  if self.received < self.needed then return nil end
  local all = table.concat(self.pieces)
  local id, size = ("=I4I4"):unpack(all)
  self.pieces, self.needed = { all }, 8 + size
  if #all < self.needed then return nil end
  self.pieces, self.received, self.needed = {}, 0, 8 -- the worker waits for the answer: nothing comes behind
  return id, all:sub(9)
end

-- Each event is answered when it is done, behind all that was printed before it.
function Server:take_events()
  local id, bytes = self:next_event()
  if not id then return end
  local event, kind, content = ("s1s1s4"):unpack(bytes)
  self:take_output()
  if not events[event](self, id, kind, content) then self.worker:send(id, "") end
end

-- What is in the pipes now, and no more: a program in the background may never stop writing.
function Server:take_output()
  for pipe, name in pairs{ out = "stdout", err = "stderr" } do
    self.streams:add(name, self.worker:read(pipe) or "")
  end
end

function Server:take_input()
  local message = self:receive "stdin"
  if not message or message.header.msg_type ~= "input_reply" or not self.asked then return end
  local value = message.content.value
  self.worker:send(self.asked, type(value) == "string" and value or "")
  self.asked = nil
end

-- The worker ended, by os.exit or by a crash: so does the kernel, and Jupyter starts another.
function Server:mourn(status)
  self:take_output()
  local how = status > 128 and "was killed by signal " .. status - 128 or "ended with code " .. status
  local message = ("the process that ran the cells %s; its variables are gone"):format(how)
  if self.current then
    local content = error_content("KernelDied", message)
    self.streams:flush(true)
    self:publish("error", json.encode(content))
    content.execution_count = 0
    self:finish((self.current.header.msg_type:gsub("request$", "reply")), json.encode(content))
  end
  complain("%s", message)
  self.code = status == 0 and 0 or 1
end

-- ---- the loop

-- What the loop waits for, each with what it does then.
function Server:sources()
  local list, actions = {}, {}
  local function add(source, action)
    if source then list[#list + 1], actions[#actions + 1] = source, action end
  end
  add(self.sockets.hb, function() self.sockets.hb:send(self.sockets.hb:receive() or {}) end)
  add(self.sockets.control, function()
    for request in function() return self:receive "control" end do self:answer("control", request) end
  end)
  add(self.sockets.stdin, self.take_input)
  add(self.sockets.iopub, self.welcome)
  add(self.worker:fd "events", self.take_events)
  add(self.worker:fd "out", self.take_output)
  add(self.worker:fd "err", self.take_output)
  add(self.sockets.shell, self.fill_queue)
  return list, actions
end

function Server:turn()
  local list, actions = self:sources()
  local wait = self.streams.due and math.max(self.streams.due - core.now(), 0) or TICK_SECONDS
  local ready = zmq.poll(list, math.min(wait, TICK_SECONDS))
  for i, action in ipairs(actions) do
    if ready[i] then action(self) end
  end
  if self.streams.due and core.now() >= self.streams.due then self.streams:flush() end
  self:advance()
  local status = self.worker:status()
  if status and not self.code then self:mourn(status) end
end

-- Jupyter names itself in JPY_PARENT_PID; when it is gone, nobody will shut us down.
local function parent_watch()
  local parent, started_by = math.tointeger(tonumber(os.getenv "JPY_PARENT_PID")), core.parent()
  return function()
    return parent ~= nil and (not core.process_lives(parent) or parent == started_by and core.parent() ~= parent)
  end
end

-- A worker that is idle may close what is declared <close>.
local function end_worker(self)
  local deadline = core.now() + END_SECONDS
  if self.current or not self.worker:send(0, ("s1s4"):pack("shutdown_request", "{}")) then return end
  while not self.worker:status() and core.now() < deadline do
    self:take_events()
    self:take_output()
    zmq.poll({}, 0.01)
  end
end

--- Serves until Jupyter says so, is gone, or the worker has ended.
---@return integer code of the process
function Server:serve()
  local is_orphan = parent_watch()
  while not self.code do
    self:turn()
    if is_orphan() then self.code = 1 end
  end
  end_worker(self)
  self.streams:finish()
  self.worker:close()
  for _, socket in pairs(self.sockets) do socket:close() end
  zmq.finish()
  return self.code
end

-- ---- starting

local KINDS = { shell = "router", control = "router", stdin = "router", iopub = "xpub", hb = "rep" }

local function endpoint(connection, name)
  local port = connection[name .. "_port"]
  return ("%s://%s%s%s"):format(connection.transport, connection.ip, connection.transport == "ipc" and "-" or ":", port)
end

--- A server that listens at Jupyter's ports.
---@param connection table what the connection file says
---@param worker userdata of core.start_worker
---@return giemsa.kernel.Server? server nil and why: a port is taken
---@return string? message
function Server.new(connection, worker)
  local self = setmetatable({ key = connection.key, worker = worker, sockets = {}, queue = {}, parent = "{}",
    pieces = {}, received = 0, needed = 8 }, Server)
  for name, kind in pairs(KINDS) do
    local socket, message = zmq.bind(kind, endpoint(connection, name))
    if not socket then return nil, message end
    self.sockets[name] = socket
  end
  self.streams = Streams.new(function(kind, content) self:publish(kind, content) end)
  self:publish("status", json.encode{ execution_state = "starting" })
  return self
end

return Server
