--- The live page (`giemsa view`): who may ask, what it writes, how it follows the file and the run; and in a browser, as its
-- readers use it.
local t = require "tests.harness"
local json = require "giemsa.json"
local visit = require "tests.view.visit"

local ask, giemsa, folder, leave, order, read, send = visit.ask, visit.giemsa, visit.folder, visit.leave, visit.order, visit.read,
  visit.send
local wait_for, watch, with_view = visit.wait_for, visit.watch, visit.with_view

local LESSON = [[
-- ---
-- title: A lesson
-- ---

-- %% [markdown] name="text"
-- # A live lesson
--
-- With some *text*.

-- %% name="one"
local x = 1
print("one", x)

-- %% name="two"
x = x + 1
print("two", x)

-- %% name="three"
print("three", x)
]]

if not pcall(require, "giemsa.microhttpd") then
  t.test("the live page", function() t.skip "built without libmicrohttpd" end)
  t.done()
end

-- ---- what is asked again and again

local function is_done(state) return state.status.state == "ready" end
local function has(pattern)
  return function(state) return state.all:find(pattern) ~= nil end
end

-- ---- who may ask

t.test("options that cannot be are refused", function()
  for options, pattern in pairs { ["--port 99999"] = "--port needs", ["--port -1"] = "--port needs", ["--address nonsense"] = "--address needs",
    ["--lang xx"] = "--lang is en or zh", ["--host 'a b'"] = "--host needs", ["--host a:80"] = "--host needs", ["b.lua"] = "'b.lua' is one word too many" } do
    local output, code = t.shell(("timeout 20 %s view a.lua %s"):format(giemsa, options))
    t.ok(code == 2 and output:find(pattern, 1, true), options .. ": " .. output)
  end
end)

t.test("who does not know the address, or speaks for another page, gets nothing", function()
  with_view(LESSON, function(one)
    local status, body, whole = ask(one, "GET", one.base)
    t.equal(status, 200)
    t.ok(body:find("EventSource", 1, true) and whole:find("script-src 'nonce-", 1, true) and whole:find("Referrer-Policy: no-referrer", 1, true))
    t.equal(ask(one, "GET", "/"), 404)
    t.equal(ask(one, "GET", "/" .. one.token:reverse() .. "/lesson/"), 404)
    t.equal(ask(one, "GET", one.base, { Host = "evil.example:" .. one.port }), 403)
    t.equal(ask(one, "GET", one.base, { Host = "127.0.0.1" }), 403)
    t.equal(ask(one, "GET", one.base, { Host = "localhost:" .. one.port }), 200)
    t.equal(ask(one, "GET", one.base, { Host = "LocalHost:" .. one.port }), 200)
    t.equal(ask(one, "GET", one.base, { Origin = "http://evil.example" }), 403)
    t.equal(ask(one, "POST", one.base .. "run", { Origin = "http://evil.example" }, "{}"), 403)
    t.equal(ask(one, "POST", one.base .. "run", { Origin = "null" }, "{}"), 403)
    t.equal(ask(one, "POST", one.base .. "run", { Origin = false }, "{}"), 403)
    t.equal(ask(one, "POST", one.watching .. "run", nil, "{}"), 403)
    t.equal(ask(one, "GET", one.watching), 200)
    t.equal(ask(one, "POST", one.base .. "run", nil, "no JSON"), 400)
    t.equal(ask(one, "POST", one.base .. "fly", nil, "{}"), 404)
    t.equal(ask(one, "PUT", one.base .. "run", nil, "{}"), 405)
    for _, path in ipairs { "run/1/../../../lesson.lua", "run/1/..%2f..%2flesson.lua", "run/../1/x.png", "run/1/x.png", "lesson.lua" } do
      t.equal(ask(one, "GET", one.base .. path), 404, path)
    end
    t.equal(t.shell(("ls %s/out 2>/dev/null"):format(one.place)), "", "nothing has run")
  end)
end)

t.test("requests are bounded, and one who sends half of one keeps nobody waiting", function()
  with_view(LESSON, function(one)
    t.equal(ask(one, "POST", one.base .. "edit", nil, ("x"):rep(2 << 20)), 413)
    local status = ask(one, "GET", one.base, { Cookie = ("x"):rep(1 << 16) })
    t.ok(status == 431 or status == 413 or status == nil, tostring(status))
    local half = t.write(one.place .. "/half", "POST " .. one.base .. "run HTTP/1.1\r\nHost: 127.0.0.1:" .. one.port
      .. "\r\nContent-Length: 100\r\n\r\n{")
    os.execute(("timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/%s; cat %s >&3; sleep 20' & "):format(one.port, half))
    t.equal(ask(one, "GET", one.base), 200)
  end)
end)

t.test("other machines are let in by TLS only", function()
  local place = folder .. "/tls"
  os.execute("mkdir -p " .. place)
  t.write(place .. "/lesson.lua", LESSON)
  local output, code = t.shell(("cd %s && timeout 20 %s view lesson.lua --address 0.0.0.0"):format(place, giemsa))
  t.equal(code, 1)
  t.ok(output:find("0.0.0.0 is seen from other machines: that needs --certificate and --key", 1, true), output)
  output, code = t.shell(("cd %s && timeout 20 %s view lesson.lua --certificate none.pem --key none.pem"):format(place, giemsa))
  t.ok(code == 1 and output:find("none.pem: No such file", 1, true), output)
  output, code = t.shell(("cd %s && timeout 20 %s view lesson.lua --address 0.0.0.0 --certificate lesson.lua --key lesson.lua"):format(place, giemsa))
  t.ok(code == 1 and output:find("--address 0.0.0.0 needs --host NAME", 1, true), output)
  output, code = t.shell(("cd %s && timeout 20 %s view lesson.lua --certificate lesson.lua --key lesson.lua"):format(place, giemsa))
  t.ok(code == 1 and output:find("the certificate or its key cannot be used", 1, true), output)
  if select(2, t.shell "command -v openssl") ~= 0 then t.skip "openssl, which makes a certificate, is not installed" end
  t.shell(("cd %s && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"):format(place))
  with_view(LESSON, function(one)
    t.ok(one.address:find "^https://")
    local request = t.write(one.place .. "/request", ("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n"):format(one.base, one.port))
    local answer = t.shell(("timeout 10 openssl s_client -quiet -connect 127.0.0.1:%s <%s 2>/dev/null"):format(one.port, request))
    t.ok(answer:find "^HTTP/1.1 200" and answer:find("EventSource", 1, true), answer:sub(1, 300))
    t.ok(not send(one, read(one.place .. "/request")):find("EventSource", 1, true), "nothing without TLS")
  end, ("--certificate %s/cert.pem --key %s/key.pem"):format(place, place))
end)

t.test("a port that is taken, a lesson that is not there", function()
  with_view(LESSON, function(one)
    local output, code = t.shell(("cd %s && timeout 20 %s view lesson.lua --port %s"):format(one.place, giemsa, one.port))
    t.equal(code, 1)
    t.ok(output:find("cannot listen at 127.0.0.1, port " .. one.port, 1, true), output)
    output, code = t.shell(("cd %s && timeout 20 %s view none.lua"):format(one.place, giemsa))
    t.ok(code == 1 and output:find("none.lua: there is no such file", 1, true), output)
  end)
end)

-- Whether a text is in Chinese, if it is in words at all.
local function is_chinese(text) return not text:find "%a" or text:find "[\xe3-\xe9]" ~= nil end

t.test("for a Chinese reader every word of the page, its tips and its messages are Chinese", function()
  with_view(LESSON:gsub('print%("three", x%)', 'error "no more"'), function(one)
    local _, body = ask(one, "GET", one.base)
    local count = 0
    for word, said in pairs(json.decode(body:match "const GIEMSA = (%b{});").words) do
      count = count + 1
      t.ok(is_chinese(said), word)
    end
    t.ok(count > 20, count)
    for _, name in ipairs { "title", "aria%-label" } do
      for said in body:gmatch(" " .. name .. '="(.-)"') do t.ok(is_chinese(said), said) end
    end
    local viewer = watch(one)
    viewer.wait("the page", function(s) return #s.order == 4 end)
    t.equal(select(2, order(one, "stop")).message, "这里没有运行中的单元")
    order(one, "run")
    viewer.wait("the failure", function(s) return s.status.message == "cell 'three' 出错" end)
  end, "--lang zh")
end)

-- ---- the file

t.test("an edit writes its cell and nothing else; what changed underneath is not overwritten", function()
  with_view(LESSON:gsub("\n", "\r\n"), function(one)
    local viewer = watch(one)
    local state = viewer.wait("the page", has "A live lesson" and function(s) return #s.order == 4 end)
    local two = state.order[3]
    t.equal(state.parts[two].source, 'x = x + 1\nprint("two", x)')
    local before = read(one.path)
    t.equal(order(one, "edit", { key = two, before = state.parts[two].source, source = 'x = x + 10\nprint("ten", x)' }), 200)
    t.equal(read(one.path), (before:gsub('x = x %+ 1\r\nprint%("two", x%)', 'x = x + 10\r\nprint("ten", x)')))
    viewer.wait("the edit", has "ten")
    -- another editor puts a cell on top and changes this one
    before = read(one.path)
    t.write(one.path, (before:gsub("%-%- %%%% name=\"one\"", "-- %%%% name=\"zero\"\r\nlocal z = 0\r\n\r\n%0"):gsub("ten", "TEN")))
    state = viewer.wait("the other's edit", has "TEN")
    t.equal(state.order[4], two, "the cell is the same one, though it stands elsewhere")
    local text = read(one.path)
    local status, answer = order(one, "edit", { key = two, before = 'x = x + 10\nprint("ten", x)', source = "mine" })
    t.equal(status, 409)
    t.equal(answer.source, 'x = x + 10\nprint("TEN", x)')
    t.equal(read(one.path), text)
    -- and one takes it away
    t.write(one.path, (text:gsub("%-%- %%%% name=\"two\".-\r\n\r\n", "")))
    state = viewer.wait("the cell to go", function(s) return #s.order == 4 end)
    t.equal(order(one, "edit", { key = two, before = "x", source = "y" }), 409)
    t.equal(order(one, "edit", { key = state.order[1], before = 1, source = "y" }), 409)
    -- a marker begins another cell
    local code, now = order(one, "edit", { key = state.order[4], before = 'print("three", x)', source = 'print("three")\n\n-- %% name="more"\nmore = 1\n\n' })
    t.equal({ code, now.source }, { 200, 'print("three")' })
    t.equal(viewer.wait("one cell more", function(s) return #s.order == 5 end).parts[state.order[4]].source, 'print("three")')
    -- text cells are written as comments
    state = viewer.state()
    t.equal(order(one, "edit", { key = state.order[1], before = state.parts[state.order[1]].source, source = "# New\n\nwords" }), 200)
    t.ok(read(one.path):find("-- # New\r\n--\r\n-- words\r\n", 1, true))
  end)
end)

t.test("a new cell goes behind the one it is added to, with a name of its own; all else stays byte by byte", function()
  with_view(LESSON:gsub("\n", "\r\n"), function(one)
    local viewer = watch(one)
    local state = viewer.wait("the page", function(s) return #s.order == 4 end)
    local two, source = state.order[3], 'x = x + 1\nprint("two", x)'
    local before = read(one.path)
    local status, answer = order(one, "add", { key = two, before = source, kind = "code" })
    t.equal(status, 200)
    local added = '-- %% name="new-code"\r\n\r\n\r\n'
    t.equal(read(one.path), (before:gsub('%-%- %%%% name="three"', function(marker) return added .. marker end)))
    state = viewer.wait("the cell", function(s) return #s.order == 5 end)
    t.equal({ state.order[3], state.order[4], state.parts[answer.key].source }, { two, answer.key, "" })
    t.equal(order(one, "edit", { key = answer.key, before = "", source = "y = 1" }), 200)
    t.ok(read(one.path):find('-- %% name="new-code"\r\ny = 1\r\n\r\n-- %% name="three"', 1, true), read(one.path))
    -- a text, and another code of the same name
    t.equal(order(one, "add", { key = two, before = source, kind = "markdown" }), 200)
    t.equal(order(one, "add", { key = two, before = source, kind = "code" }), 200)
    t.ok(read(one.path):find('two", x)\r\n\r\n-- %% name="new-code-2"\r\n\r\n\r\n-- %% [markdown] name="new-text"\r\n\r\n\r\n-- %% name="new-code"',
      1, true), read(one.path))
    -- what was changed underneath, or asked for badly, writes nothing
    t.write(one.path, (read(one.path):gsub('print%("two"', 'print("TWO"')))
    local text = read(one.path)
    status, answer = order(one, "add", { key = two, before = source, kind = "code" })
    t.equal({ status, answer.source }, { 409, 'x = x + 1\nprint("TWO", x)' })
    t.equal(order(one, "add", { key = "cell-99", before = source, kind = "code" }), 409)
    t.equal(order(one, "add", { key = two, before = answer.source, kind = "raw" }), 409)
    t.equal(ask(one, "POST", one.watching .. "add", nil, "{}"), 403)
    t.equal(read(one.path), text)
  end)
end)

t.test("a text that does not compile is told above the page; the file may be away for a moment", function()
  with_view(LESSON, function(one)
    local viewer = watch(one)
    viewer.wait("the page", function(s) return #s.order == 4 end)
    t.write(one.path, (LESSON:gsub("x = x %+ 1", "x = = 1")))
    viewer.wait("the complaint", function(s) return s.parts.head.html:find("lesson.lua:15: unexpected symbol near &#39;=&#39;", 1, true) end)
    t.equal(order(one, "run"), 200)
    viewer.wait("the refusal", function(s) return (s.status.message or ""):find "lesson.lua:15" end)
    os.remove(one.path)
    os.execute "sleep 0.3"
    t.write(one.path, LESSON)
    viewer.wait("all well", function(s) return not s.parts.head.html:find "lesson.lua:15" end)
  end)
end)

-- ---- the run

t.test("run all, run from here with the variables that are there, run again: what is out of date says so", function()
  with_view(LESSON, function(one)
    local viewer = watch(one)
    local state = viewer.wait("the page", function(s) return #s.order == 4 end)
    local first, second, third = state.order[2], state.order[3], state.order[4]
    t.equal(order(one, "run"), 200)
    state = viewer.wait("the run", function(s) return is_done(s) and has "three 2"(s) and s.parts["end"].html:find "Fingerprint" end)
    t.ok(state.all:find "one 1" and state.all:find "two 2")
    -- again from the second on: its variable is the one that is there
    t.equal(order(one, "run", { from = second }), 200)
    state = viewer.wait("the second run", function(s) return is_done(s) and has "three 3"(s) end)
    t.ok(state.all:find "two 3" and state.all:find "one 1" and not state.all:find "stale")
    -- the first alone: those behind it are out of date
    t.equal(order(one, "run", { from = first, to = first }), 200)
    state = viewer.wait("the first alone", function(s) return s.parts[third].html:find "chip stale" end)
    t.ok(not state.parts[first].html:find "stale" and state.parts[second].html:find "chip stale")
    viewer.wait("its end", is_done)
    -- an edited cell runs as it is now
    t.equal(order(one, "edit", { key = second, before = 'x = x + 1\nprint("two", x)', source = 'print("deux", x)' }), 200)
    t.equal(order(one, "run", { from = second, to = second }), 200)
    state = viewer.wait("the edited cell", function(s) return is_done(s) and has "deux 1"(s) end)
    t.ok(not state.parts[second].html:find "stale" and state.parts[third].html:find "chip stale")
    viewer.wait("its end", is_done)
    -- afresh
    t.equal(order(one, "run"), 200)
    viewer.wait("a fresh run", function(s) return is_done(s) and has "three 1"(s) and not has "stale"(s) end)
    t.equal(order(one, "run", { from = "cell-99" }), 409)
  end)
end)

t.test("stop ends the cell and keeps the variables; a cell that fails stops the run", function()
  with_view(LESSON:gsub('print%("three", x%)', 'if x < 5 then while true do end end\nprint("three", x)\nerror "no more"'), function(one)
    local viewer = watch(one)
    local third = viewer.wait("the page", function(s) return #s.order == 4 end).order[4]
    t.equal(order(one, "stop"), 409)
    order(one, "run")
    viewer.wait("the loop", function(s) return s.status.cell == third and s.status.state == "running" end)
    t.equal(order(one, "run"), 409, "one run at a time")
    os.execute "sleep 0.5"
    t.ok(watch(one).wait("who comes later", function(s) return s.last end).last.seconds >= 0.4, "he sees for how long it has run")
    t.equal(order(one, "stop"), 200)
    local state = viewer.wait("the stop", is_done)
    t.ok(state.parts[third].html:find "chip interrupted", state.parts[third].html)
    local second = state.order[3]
    order(one, "edit", { key = second, before = 'x = x + 1\nprint("two", x)', source = "x = x + 10" })
    order(one, "run", { from = second })
    state = viewer.wait("what it raised", function(s) return is_done(s) and has "no more"(s) end)
    t.ok(state.all:find "three 12" and state.parts[third].html:find "chip failed")
    t.equal(state.status.message, "cell 'three' failed")
  end)
end)

t.test("one stop ends a cell that runs programs in a loop, also those that ignore Ctrl-C; the variables stay", function()
  with_view(LESSON:gsub('print%("three", x%)', 'while x < 5 do x = x + 1 os.execute "sleep 100" end\nprint("three", x)'), function(one)
    local viewer = watch(one)
    local third = viewer.wait("the page", function(s) return #s.order == 4 end).order[4]
    local function stop_in_loop(what)
      order(one, "run", { from = third })
      viewer.wait("the loop", function(s) return s.status.cell == third and s.status.state == "running" end)
      t.equal(order(one, "stop"), 200)
      local state = viewer.wait("the stop of " .. what, is_done)
      t.ok(state.parts[third].html:find "chip interrupted", state.parts[third].html)
      t.equal(state.status.message)
    end
    stop_in_loop "a program"
    local source = viewer.state().parts[third].source
    for _, program in ipairs { "sleep 100 & wait; sleep 100", "trap '' INT; sleep 100" } do
      local new = source:gsub('"sleep 100"', ("%q"):format(program))
      t.equal(order(one, "edit", { key = third, before = viewer.state().parts[third].source, source = new }), 200)
      viewer.wait("the edit", has(program:sub(1, 6)))
      stop_in_loop(program)
    end
    t.equal(order(one, "edit", { key = third, before = viewer.state().parts[third].source, source = 'print("now", x)' }), 200)
    order(one, "run", { from = third })
    viewer.wait("the variable", has "now 5")
  end)
end)

t.test("a process that ends itself, or is ended by a second stop, is told; the next run is a new one", function()
  with_view(LESSON:gsub('print%("three", x%)', 'os.exit(3)'), function(one)
    local viewer = watch(one)
    viewer.wait("the page", function(s) return #s.order == 4 end)
    order(one, "run")
    viewer.wait("its end", function(s) return (s.status.message or ""):find "ended with code 3; its variables are gone" end)
    t.write(one.path, (LESSON:gsub('print%("three", x%)', 'pcall(function() while true do os.execute "trap \'\' INT TERM; echo on$((4+3)); sleep 100" end end)')))
    local third = viewer.wait("the new text", has "sleep").order[4]
    order(one, "run")
    viewer.wait("the loop", has "on7") -- from now on it ignores what stops it
    order(one, "stop")
    os.execute "sleep 1.2"
    order(one, "stop")
    viewer.wait("its end", function(s) return is_done(s) and s.status.message end)
    viewer.wait("the cell's end", function(s) return s.parts[third].html:find("killed", 1, true) end)
    t.write(one.path, LESSON)
    viewer.wait("the new text", function(s) return not has "sleep"(s) end)
    order(one, "run")
    viewer.wait("a run that is well", has "three 2")
  end)
end)

t.test("a run from another terminal is followed, and one from before the page was opened", function()
  with_view(LESSON, function(one)
    local viewer = watch(one)
    viewer.wait("the page", function(s) return #s.order == 4 end)
    local output, code = t.shell(("cd %s && timeout 60 %s run lesson.lua --quick"):format(one.place, giemsa))
    t.equal(code, 0, output)
    viewer.wait("its results", has "three 2")
    leave(one)
    os.remove(one.place .. "/said")
    os.execute(("cd %s && { timeout 100 %s view lesson.lua >said 2>complained & echo $! >pid; }"):format(one.place, giemsa))
    local address = wait_for("the address", function() return read(one.place .. "/said"):match "^(%S+)\n.*Ctrl" end)
    one.port, one.token = address:match ":(%d+)/(%w+)/"
    one.base = "/" .. one.token .. "/lesson/"
    watch(one).wait("the results again", has "three 2")
  end)
end)

t.test("who comes back gets what is new; who knew another process gets all", function()
  with_view(LESSON, function(one)
    local viewer = watch(one)
    local state = viewer.wait("the page", function(s) return #s.order == 4 end)
    t.ok(state.fresh)
    t.write(one.path, (LESSON:gsub('print%("two", x%)', 'print("deux", x)')))
    viewer.wait("the edit", has "deux")
    local back = watch(one, state.id)
    local news = back.wait("the news", has "deux")
    t.ok(not news.fresh)
    t.equal(#news.last.parts, 1)
    t.equal(watch(one, "abc-5").wait("all", has "deux").fresh, true)
  end)
end)

t.test("the list of lessons, and one of them", function()
  with_view(LESSON, function(one)
    os.execute(("mkdir -p %s/notebooks; cp %s %s/notebooks/07_mine.lua"):format(one.place, one.path, one.place))
    local status, body = ask(one, "GET", "/" .. one.token .. "/")
    t.equal(status, 200)
    t.ok(body:find('href="07_mine/"', 1, true) and body:find("A live lesson", 1, true), body:sub(-1500))
    t.equal(ask(one, "GET", "/" .. one.token .. "/07_mine/"), 200)
    t.equal(ask(one, "GET", "/" .. one.token .. "/08_nobodys/"), 404)
    t.equal(ask(one, "GET", (one.watching:gsub("lesson", "07_mine"))), 200, "it is open")
    t.equal(ask(one, "GET", (one.watching:gsub("lesson", "05_train"))), 404, "who watches opens none")
  end)
end)

t.done()
