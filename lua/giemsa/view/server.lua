--- The live page over HTTP: who may ask, for what, and what goes out to those who watch.
--
--   /TOKEN/                       the lessons (GET)
--   /TOKEN/NAME/                  a lesson's page
--   /TOKEN/NAME/events            what changes on it, as server-sent events
--   /TOKEN/NAME/run/N/FILE        a picture of a run
--   /TOKEN/NAME/run, stop, edit, add   commands (POST, JSON)
--
-- There are two tokens: one to run and to edit, one only to watch. Who knows neither learns nothing.
-- The Host and the Origin of a request must be ours, so that no other page in the browser, and no name
-- that was pointed at this machine, can speak for the reader.
local core = require "giemsa.core"
local desk = require "giemsa.view.desk"
local http = require "giemsa.microhttpd"
local index = require "giemsa.html.index"
local json = require "giemsa.json"
local lessons = require "giemsa.lessons"
local notebook = require "giemsa.notebook"
local page = require "giemsa.view.page"
local runlog = require "giemsa.runlog"

---@class giemsa.view.Server
---@field http userdata
---@field tokens {edit: string, watch: string}
---@field origin string "http://127.0.0.1:41233"
---@field hosts table<string, true> what the Host of a request may be
---@field desks table<string, giemsa.view.Desk> by the name of the lesson
---@field viewers giemsa.view.Viewer[]
local Server = {}
Server.__index = Server

-- ---- answers

local POLICY = "default-src 'none'; script-src 'nonce-%s'; style-src 'unsafe-inline'; img-src 'self' data:; "
  .. "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

local COMMON = { ["X-Content-Type-Options"] = "nosniff", ["Referrer-Policy"] = "no-referrer",
  ["Cache-Control"] = "no-store", ["Cross-Origin-Resource-Policy"] = "same-origin" }

local function headers(kind, more)
  local all = { ["Content-Type"] = kind }
  for name, value in pairs(COMMON) do all[name] = value end
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

local function refuse(request, status, why)
  request:respond(status, headers "text/plain; charset=utf-8", why .. "\n")
end

local function send_json(request, status, fields)
  request:respond(status, headers "application/json", json.encode(fields))
end

local function send_page(request, make)
  local nonce = page.token()
  request:respond(200, headers("text/html; charset=utf-8",
    { ["Content-Security-Policy"] = POLICY:format(nonce) }), make(nonce))
end

-- ---- who may ask

-- The role of a request; nil and a status with the reason for one that is refused.
function Server:role(request)
  local host, origin = (request.headers.host or ""):lower(), request.headers.origin
  if not self.hosts[host] then return nil, 403, "this page has another address" end
  if origin and origin:lower() ~= self.scheme .. host or request.method == "POST" and not origin then
    return nil, 403, "only the page itself may ask"
  end
  local token = request.path:match "^/(%w+)/"
  for role, own in pairs(self.tokens) do
    if token == own then return role end
  end
  return nil, 404, "there is nothing here: the address is the one that giemsa view printed"
end

-- ---- what is there

--- Opens a lesson.
---@param name string in addresses
---@param path string
---@return giemsa.view.Desk
function Server:open(name, path)
  self.desks[name] = self.desks[name] or desk.new(path, self.options)
  return self.desks[name]
end

-- A lesson's desk; nil when there is none of that name. Only who may edit opens another lesson: that may copy it here.
function Server:desk(name, role)
  if self.desks[name] or role ~= "edit" then return self.desks[name] end
  for _, lesson in ipairs(lessons.all()) do
    if lesson.name == name and lessons.own(lesson) then return self:open(name, lesson.path) end
  end
end

local TYPES = { png = "image/png", svg = "image/svg+xml" }

-- A picture is named by its content: whoever has it need not ask again.
local function send_picture(request, one, run, file)
  local ending = file:match "^[%w-]+%.(%a+)$"
  local stream <close> = TYPES[ending] and io.open(("%s/%s/%s"):format(runlog.folder(one.path), run, file), "rb")
    or nil
  if not stream then return refuse(request, 404, "there is no such picture") end
  request:respond(200, headers(TYPES[ending], { ["Cache-Control"] = "private, max-age=31536000, immutable",
    ["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox" }), stream:read "a")
end

function Server:send_index(request)
  local entries = {}
  for i, lesson in ipairs(lessons.all()) do
    local log = runlog.latest(lesson.path)
    entries[i] = { lesson = notebook.read(lesson.path), href = lesson.name .. "/", run = log and runlog.read(log) }
  end
  send_page(request, function() return index.html(entries, { lang = self.options.lang, progress = true }) end)
end

-- ---- commands

local commands = {}

-- The number of a cell that a command names; nil: it names none.
local function number_of(one, key)
  if key == nil then return nil end
  local number = one.parts:number(key)
  return number, not number and one:say "the cell is no longer in the file" or nil
end

function commands.run(one, order)
  local from, problem = number_of(one, order.from)
  local to, trouble = number_of(one, order.to)
  if problem or trouble then return nil, problem or trouble end
  return one:run(from, to)
end

function commands.stop(one) return one:stop() end

function commands.edit(one, order)
  if type(order.before) ~= "string" or type(order.source) ~= "string" then
    return nil, "an edit needs the cell, the source before it and the new one"
  end
  return one:edit(order.key, order.before, order.source)
end

function commands.add(one, order)
  if type(order.before) ~= "string" or order.kind ~= "code" and order.kind ~= "markdown" then
    return nil, "a new cell needs the cell before it, its source, and the kind: code or markdown"
  end
  return one:add(order.key, order.before, order.kind)
end

local function obey(request, role, one, name)
  if role ~= "edit" then return refuse(request, 403, "this address is only for watching") end
  local order = json.decode(request.body)
  if type(order) ~= "table" then return refuse(request, 400, "a command is a JSON object") end
  local ok, why, more = commands[name](one, order)
  more = more or {}
  more.message = why
  send_json(request, ok and 200 or 409, more)
end

-- ---- who watches

---@class giemsa.view.Viewer
---@field stream userdata
---@field desk giemsa.view.Desk
---@field seen integer the version of the page that has been sent

local CROWDED = 1 << 18 -- bytes that a viewer has not taken: what comes next waits, and is sent as one
local HEARTBEAT = 15 -- seconds

-- A viewer who comes back tells what he saw last. What he saw of another process counts for nothing.
function Server:watch(request, one)
  local stream = request:stream(200, headers "text/event-stream")
  local boot, seen = (request.headers["last-event-id"] or request.query.since or ""):match "^(%w+)%-(%d+)$"
  table.insert(self.viewers, { stream = stream, desk = one,
    seen = boot == self.boot and math.tointeger(tonumber(seen)) or 0 })
  self:tell_news()
end

-- News since a version, as an event; made once for all who have seen the same.
function Server:news(one, seen, made)
  local known = made[one] or {}
  made[one] = known
  if not known[seen] then
    local list = setmetatable({}, { __jsontype = "array" })
    for i, part in ipairs(one.parts:since(seen)) do list[i] = part end
    local order = setmetatable(table.move(one.parts.order, 1, #one.parts.order, 1, {}), { __jsontype = "array" })
    known[seen] = ("id: %s-%d\ndata: %s\n\n"):format(self.boot, one.parts.version, json.encode{ parts = list,
      order = order, status = one:status(), seconds = one:seconds(), fresh = seen == 0 })
  end
  return known[seen]
end

-- Sends each viewer what is new to him, as far as he keeps up.
function Server:tell_news()
  local made, still = {}, {}
  local is_beat = core.now() > (self.beat or 0) + HEARTBEAT
  if is_beat then self.beat = core.now() end
  for _, viewer in ipairs(self.viewers) do
    local version, is_there = viewer.desk.parts.version, viewer.stream:is_open()
    if is_there and viewer.seen < version and viewer.stream:waiting() < CROWDED then
      is_there = viewer.stream:write(self:news(viewer.desk, viewer.seen, made))
      viewer.seen = version
    elseif is_there and is_beat then
      is_there = viewer.stream:write ": \n\n"
    end
    if is_there then still[#still + 1] = viewer end
  end
  self.viewers = still
end

-- ---- requests

--- Answers a request.
---@param request table
function Server:answer(request)
  local role, status, why = self:role(request)
  if not role then return refuse(request, status, why) end
  local name, rest = request.path:match "^/%w+/([^/]+)/(.*)$"
  if not name then
    if request.path:match "^/%w+/$" and request.method ~= "POST" then return self:send_index(request) end
    return refuse(request, 404, "there is no such page")
  end
  local one = self:desk(name, role)
  if not one then return refuse(request, 404, "there is no lesson of this name") end
  if request.method == "POST" then
    if commands[rest] then return obey(request, role, one, rest) end
    return refuse(request, 404, "there is no such command")
  end
  if rest == "" then return send_page(request, function(nonce) return page.html(one, role, nonce, self.boot) end) end
  if rest == "events" then return self:watch(request, one) end
  local run, file = rest:match "^run/(%d+)/([^/]+)$"
  if run then return send_picture(request, one, run, file) end
  refuse(request, 404, "there is no such page")
end

local TICK, IDLE = 0.025, 0.25 -- seconds between two looks, with viewers and without

--- Serves until Ctrl-C.
function Server:serve()
  while not core.interrupted() do self:turn() end
end

--- Answers who has asked, looks at all lessons that are open, tells their viewers.
function Server:turn()
  for _, request in ipairs(self.http:poll(#self.viewers > 0 and TICK or IDLE)) do self:answer(request) end
  for _, one in pairs(self.desks) do one:turn() end
  self:tell_news()
end

--- Ends the runs, then the server.
function Server:close()
  for _, one in pairs(self.desks) do one:close(function(seconds) self.http:poll(seconds) end) end
  self.http:close()
end

--- The address of a lesson's page, or of the list of lessons.
---@param role "edit"|"watch"
---@param name string? of the lesson
---@return string
function Server:address(role, name)
  return ("%s/%s/%s"):format(self.origin, self.tokens[role], name and name .. "/" or "")
end

-- ---- starting

-- What browsers ask for: without the port where it is the scheme's own.
local function hosts_of(address, port, scheme)
  local hosts, is_usual = {}, port == (scheme == "https://" and 443 or 80)
  local names = address:find "^127%." and { address, "localhost" } or { address:find ":" and "[" .. address .. "]"
    or address }
  for _, name in ipairs(names) do
    hosts[name:lower() .. ":" .. port] = true
    hosts[name:lower()] = is_usual or nil
  end
  return hosts, names[1]
end

local CONNECTIONS = 200 -- a class, each with a page and what it asks for

--- A server.
---@param o {address: string, port: integer, certificate: string?, key: string?, host: string?, options: table}
--- certificate and key: PEM; host: the name by which browsers know this machine; options: of the runs
---@return giemsa.view.Server? server nil and why
---@return string? message
local function new(o)
  local listening, problem = http.listen{ address = o.address, port = o.port, certificate = o.certificate,
    key = o.key, connections = CONNECTIONS }
  if not listening then return nil, problem end
  local port = listening:port()
  local scheme = o.certificate and "https://" or "http://"
  local hosts, first = hosts_of(o.host or o.address, port, scheme)
  return setmetatable({ http = listening, hosts = hosts, scheme = scheme,
    origin = ("%s%s:%d"):format(scheme, first, port), options = o.options, desks = {}, viewers = {},
    boot = page.token(), tokens = { edit = page.token(), watch = page.token() } }, Server)
end

return { new = new }
