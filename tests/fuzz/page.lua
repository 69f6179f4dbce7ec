--- What a live page is asked (giemsa.view.server), without a network: whatever a request holds, it is answered once; who does
-- not know the secret, or speaks for another page, changes nothing and learns nothing; an edit writes its cell and no more,
-- a cell that is added takes nothing away.
local bend = require "tests.fuzz.bend"
local core = require "giemsa.core"
local json = require "giemsa.json"

local one_of, random = bend.one_of, math.random

-- ---- the outside

package.loaded["giemsa.microhttpd"] = { listen = function()
  return { port = function() return 4000 end, poll = function() return {} end, close = function() end }
end }
core.start_worker = function() error "a request of this target starts no process" end

local Server = require "giemsa.view.server"


local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local folder = os.tmpname()
os.remove(folder)
core.make_folder(folder .. "/out")
local path = folder .. "/lesson.lua"
local LESSON = "-- %% [markdown]\n-- # Title\n\n-- %% name=\"one\"\nlocal x = 1\n\n-- %% name=\"two\"\nprint(x)\n"
core.write_file(path, LESSON)

local server, one, ran
local runs = {}
function runs.run() ran = true return true end
function runs.stop() return nil, "nothing runs here" end

local function begin()
  server = assert(Server.new{ address = "127.0.0.1", port = 0, options = {} })
  one = server:open("lesson", path)
  one.run, one.stop = runs.run, runs.stop
end

-- ---- requests

local Request = {}
Request.__index = Request
function Request:respond(status, headers, body)
  assert(not self.status, "answered twice")
  assert(math.type(status) == "integer" and type(body) == "string")
  for name, value in pairs(headers) do assert(not (name .. value):find "[\r\n]") end
  self.status, self.answer = status, body
end
function Request:stream(status)
  self:respond(status, {}, "")
  return { is_open = function() return false end, waiting = function() return 0 end, write = function() return false end }
end

local WORDS = { "run", "stop", "edit", "add", "events", "run/1/a.png", "run/1/../../lesson.lua", "run/1/%2e%2e", "", "none", "x/y", "\xff", "..",
  "run/99999999999999999999/a.svg", ("a"):rep(3000) }
local HOSTS = { "127.0.0.1:4000", "localhost:4000", "127.0.0.1", "evil.example", "127.0.0.1:4000.evil.example", "", "[::1]:4000" }
local ORIGINS = { "http://127.0.0.1:4000", "http://localhost:4000", "null", "http://evil.example", "https://127.0.0.1:4000", "" }

local function text() return one_of { "local x = 1", "print(x)", "# Title", "-- %% name=\"three\"\nx = 2", "", "\r\n", "\0\xff", "]]", ("y"):rep(500) } end

local SOURCES = { "# Title", "local x = 1", "print(x)" }
local JSON_WORDS = { "{", "}", "[", "null", "\"key\"", "1e999", "\\u0000", ":", "," }

local function body()
  local keys = { "cell-1", "cell-2", "cell-3", "cell-9", 7, true, json.null }
  local number = random(3)
  local order = { key = random(4) > 1 and "cell-" .. number or one_of(keys), from = one_of(keys), to = one_of(keys),
    before = random(4) > 1 and SOURCES[number] or one_of { text(), 5 }, source = random(9) > 1 and text() or {},
    kind = one_of { "code", "markdown", "raw", 7 } }
  for name in pairs(order) do
    if random(8) == 1 then order[name] = nil end
  end
  local whole = json.encode(setmetatable(order, { __jsontype = "object" }))
  return random(5) == 1 and bend.text(whole, JSON_WORDS) or whole
end

-- Mostly the first of the list.
local function mostly(list) return random(8) > 1 and list[1] or one_of(list) end

--- The next request, with which token it has; all else is chance.
local function input()
  return { method = one_of { "GET", "POST", "POST", "HEAD" }, token = mostly { "edit", "watch", "wrong", "none" },
    name = mostly { "lesson", "other", "..", "" }, word = random(3) > 1 and one_of { "edit", "edit", "add", "run", "stop" } or one_of(WORDS),
    host = mostly(HOSTS), origin = mostly(ORIGINS), has_origin = random(4) > 1, body = body(),
    last = one_of { "", "abc-5", "-1", "99999999999999999999999-9", "x" } }
end

-- The lesson as it was, so that edits find what they name.
local function begin_again()
  core.write_file(path, LESSON)
  one:turn()
  one:turn()
end

-- Whether a text is another with some bytes put in at one place.
local function has_only_more(after, before)
  local same, more = 0, #after - #before
  while same < #before and after:byte(same + 1) == before:byte(same + 1) do same = same + 1 end
  return more > 0 and after:sub(same + more + 1) == before:sub(same + 1)
end

local function try(given)
  if not server then begin() end
  ran = nil
  local before = read(path)
  local token = server.tokens[given.token] or given.token == "wrong" and ("0"):rep(32)
  local request = setmetatable({ method = given.method, body = given.body, query = { since = given.last },
    path = token and ("/%s/%s/%s"):format(token, given.name, given.word) or "/" .. given.word,
    headers = { host = given.host, origin = given.has_origin and given.origin or nil, ["last-event-id"] = given.last } }, Request)
  server:answer(request)
  assert(request.status, "no answer")
  local ours = given.host == "127.0.0.1:4000" or given.host == "localhost:4000"
  local own_origin = given.has_origin and given.origin == "http://" .. given.host or not given.has_origin and given.method ~= "POST"
  local after = read(path)
  if request.status == 200 then assert(ours and own_origin and server.tokens[given.token], "let in") end
  if not (ours and own_origin and given.token == "edit" and given.method == "POST") then
    assert(after == before and not ran, "changed something")
    if not server.tokens[given.token] or not ours then assert(not request.answer:find("Title", 1, true), "told something") end
  end
  if after ~= before then
    assert((given.word == "edit" or given.word == "add") and request.status == 200)
    assert(given.word == "edit" or has_only_more(after, before), "more than a new cell")
    assert(after:sub(1, 16) == "-- %% [markdown]", "the first marker stays")
  end
  if after ~= before and random(2) == 1 then begin_again() end
end

return { input = input, try = try }
