--- The HTTP server that the live page stands on: requests come whole or not at all, streams end when their client does, nothing
-- piles up. The server is in this process, its clients are shells.
local t = require "tests.harness"
local core = require "giemsa.core"

local has_it, http = pcall(require, "giemsa.microhttpd")
if not has_it then
  t.test("an HTTP server", function() t.skip "built without libmicrohttpd" end)
  t.done()
end

local folder = t.tmpdir()
local clients = 0

-- A client that sends some bytes and writes down what comes back, until the end or for `seconds`.
local function client(server, bytes, seconds)
  clients = clients + 1
  local file = ("%s/%d"):format(folder, clients)
  t.write(file .. ".ask", bytes)
  os.execute(("{ timeout %g bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d; cat %s.ask >&3 & exec cat <&3' >%s 2>/dev/null; echo >%s.over; } &")
    :format(seconds or 20, server:port(), file, file, file))
  local one = {}
  function one.is_over() return core.file_info(file .. ".over") ~= nil end
  function one.text()
    local from <close> = io.open(file, "rb")
    return from and from:read "a" or ""
  end
  return one
end

-- Serves until it is so.
local function serve(server, answer, is_so)
  local deadline = core.now() + 30
  while not is_so() do
    if core.now() > deadline then error("it never came", 2) end
    for _, request in ipairs(server:poll(0.01)) do answer(request) end
  end
end

local function listen(options)
  return assert(http.listen(options or {}))
end

local function get(path, more) return ("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n"):format(path, more or "") end

local function resident()
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmRSS:%s*(%d+)"
    if kb then return tonumber(kb) / 1024 end
  end
end

t.test("a request comes with its path, query, headers and body; several over one connection", function()
  local server <close> = listen()
  local bytes = "\0\1\r\n\255"
  local asking = client(server, "POST /a%20b/c?x=1&y=%26&z HTTP/1.1\r\nHost: me\r\nX-Odd: Value\r\nContent-Length: " .. #bytes .. "\r\n\r\n" .. bytes
    .. get "/second" .. get("/third", "Connection: close\r\nhost: other\r\n"))
  local seen = {}
  serve(server, function(request)
    seen[#seen + 1] = request
    request:respond(200, { ["X-Number"] = tostring(#seen) }, request.body .. #seen)
  end, asking.is_over)
  t.equal(#seen, 3)
  t.equal({ seen[1].method, seen[1].path, seen[1].body, seen[1].headers["x-odd"] }, { "POST", "/a b/c", bytes, "Value" })
  t.equal(seen[1].query, { x = "1", y = "&", z = "" })
  t.equal(seen[2].path, "/second")
  t.equal(seen[3].headers.host, "a, other") -- and so no host that is known
  t.ok(asking.text():find("X-Number: 1\r\n", 1, true) and asking.text():find(bytes .. "1", 1, true) and asking.text():find "3$")
end)

t.test("HEAD gets no body; other methods, and bodies that are too long, are refused", function()
  local server <close> = listen{ body_max = 10 }
  local function ask(bytes)
    local asking, seen = client(server, bytes), 0
    serve(server, function(request) seen = seen + 1 request:respond(200, {}, "BODY") end, asking.is_over)
    return asking.text(), seen
  end
  local text, seen = ask "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
  t.ok(seen == 1 and text:find "^HTTP/1.1 200" and not text:find "BODY")
  text, seen = ask "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"
  t.ok(seen == 0 and text:find "^HTTP/1.1 405" and text:find "Allow: GET, HEAD, POST", text)
  text, seen = ask "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890"
  t.ok(seen == 0 and text:find "^HTTP/1.1 413", text)
  text, seen = ask "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n"
  t.ok(seen == 0 and not text:find "200", text)
end)

t.test("a request that nobody answers gets 500; one is answered once", function()
  local server <close> = listen()
  local asking = client(server, get("/", "Connection: close\r\n"))
  serve(server, function() collectgarbage() end, function() collectgarbage() return asking.is_over() end)
  t.ok(asking.text():find "^HTTP/1.1 500", asking.text())
  asking = client(server, get("/", "Connection: close\r\n"))
  serve(server, function(request)
    t.raises(request.respond, "headers are a table", request, 200, { a = 5 }, "")
    t.raises(request.respond, "headers are a table", request, 200, { a = "b\r\nc: d" }, "")
    t.raises(request.respond, "between 100 and 599", request, 20, {}, "")
    request:respond(200, {}, "once")
    t.raises(request.respond, "answered already", request, 200, {}, "twice")
    t.raises(request.stream, "answered already", request, 200, {})
  end, asking.is_over)
  t.ok(asking.text():find "once$")
end)

t.test("a stream sends what is written at once, and ends with its client or by close", function()
  local server <close> = listen()
  local asking, stream = client(server, get "/"), nil
  serve(server, function(request) stream = request:stream(200, {}) end, function() return stream ~= nil end)
  t.ok(stream:write "first" and stream:is_open())
  serve(server, error, function() return asking.text():find "first" end)
  t.equal(stream:waiting(), 0)
  stream:write "second"
  stream:close()
  serve(server, error, function() return asking.text():find "second" end)
  t.ok(not stream:is_open() and stream:write "x" == false)
  local leaving = client(server, get "/", 0.2)
  stream = nil
  serve(server, function(request) stream = request:stream(200, {}) end, function() return stream ~= nil end)
  serve(server, error, leaving.is_over)
  serve(server, error, function() return not stream:write "are you there" end)
  t.ok(not stream:is_open())
end)

t.test("who does not read is cut off, and keeps nobody waiting", function()
  local server <close> = listen{ backlog = 1 << 20 }
  local stream
  clients = clients + 1
  os.execute(("timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d; printf \"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\" >&3; sleep 10' &"):format(server:port()))
  serve(server, function(request) stream = request:stream(200, {}) end, function() return stream ~= nil end)
  local piece, written = ("x"):rep(1 << 16), 0
  serve(server, error, function()
    if not stream:write(piece) then return true end
    written = written + #piece
    return written > 1 << 28
  end)
  t.ok(written < 1 << 26, written .. " bytes were taken for a client that reads none")
  local asking = client(server, get("/", "Connection: close\r\n"))
  serve(server, function(request) request:respond(200, {}, "well") end, asking.is_over)
  t.ok(asking.text():find "well")
end)

t.test("nothing piles up: thousands of requests, and megabytes through a stream", function()
  local server <close> = listen()
  local count = t.is_slow and 500 or 4000
  local function ask_many()
    local asking, seen = client(server, get("/" .. ("x"):rep(100)):rep(count) .. get("/", "Connection: close\r\n"), 60), 0
    serve(server, function(request) seen = seen + 1 request:respond(200, {}, ("y"):rep(1000)) end, asking.is_over)
    t.equal(seen, count + 1)
    collectgarbage()
  end
  ask_many()
  local before = resident()
  ask_many()
  t.ok(resident() < before + 4, ("%.1f MB, then %.1f"):format(before, resident()))
  local asking, stream = client(server, get("/", "Connection: close\r\n")), nil
  serve(server, function(request) stream = request:stream(200, {}) end, function() return stream ~= nil end)
  before = resident()
  local piece = ("z"):rep(1 << 15)
  for _ = 1, t.is_slow and 100 or 1000 do
    serve(server, error, function() return stream:waiting() < 1 << 18 end)
    t.ok(stream:write(piece))
  end
  serve(server, error, function() return stream:waiting() == 0 end)
  t.ok(resident() < before + 4, ("%.1f MB, then %.1f"):format(before, resident()))
  stream:close()
  serve(server, error, asking.is_over)
end)

t.test("options, ports, and an end with everything open", function()
  t.raises(http.listen, "unknown option 'prot'", { prot = 5 })
  t.raises(http.listen, "port must lie between 0 and 65535", { port = 65536 })
  t.raises(http.listen, "certificate and key go together", { certificate = "x" })
  local server = listen()
  local second, why = http.listen{ port = server:port() }
  t.ok(second == nil and why:find("port " .. server:port(), 1, true), why)
  second, why = http.listen{ address = "no such address" }
  t.ok(second == nil and why:find "no such address", why)
  local streams, waiting = {}, {}
  for _ = 1, 3 do client(server, get "/stream") client(server, get "/wait") end
  serve(server, function(request)
    if request.path == "/wait" then waiting[#waiting + 1] = request else streams[#streams + 1] = request:stream(200, {}) end
  end, function() return #streams == 3 and #waiting == 3 end)
  server:close()
  server:close()
  t.raises(server.poll, "was closed", server, 0)
  t.equal(streams[1]:write "x", false)
  waiting[1]:respond(200, {}, "too late, which is no error")
end)

-- (that nothing is left of them, the address sanitizer says at the end)
t.test("a stream that nobody has begun to send when the server ends, or that is opened later, is nothing", function()
  local server, late, stream = listen(), nil, nil
  for _ = 1, 2 do client(server, get "/") end
  serve(server, function(request)
    if late then stream = request:stream(200, {}) else late = request end
  end, function() return stream ~= nil end)
  server:close()
  t.ok(not stream:is_open() and not stream:write "x")
  stream = late:stream(200, {})
  t.ok(not stream:is_open() and not stream:write "x")
end)

t.test("a signal ends the waiting", function()
  local server <close> = listen()
  core.interrupt_begin()
  os.execute "{ sleep 0.2; kill -INT $PPID; } &"
  local start = core.now()
  server:poll(20)
  t.ok(core.now() - start < 10 and core.interrupted())
  core.interrupt_clear()
  core.interrupt_end()
end)

t.done()
