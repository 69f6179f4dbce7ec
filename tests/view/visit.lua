--- A view of a lesson in a process of its own, and those who ask it: for tests and timings.
local t = require "tests.harness"
local core = require "giemsa.core"
local json = require "giemsa.json"

local here = t.shell("pwd"):gsub("\n", "")
local giemsa = t.program:sub(1, 1) == "/" and t.program or here .. "/" .. t.program
local folder = t.tmpdir()
local views = 0

local visit = { giemsa = giemsa, folder = folder }

function visit.read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a" or ""
end

function visit.wait_for(what, is_so)
  local deadline = core.now() + (t.is_slow and 60 or 20)
  while true do
    local found = is_so()
    if found then return found end
    if core.now() > deadline then error("it never came: " .. what, 2) end
    os.execute "sleep 0.02"
  end
end

-- Starts `giemsa view` in a folder of its own; it ends with the test.
function visit.view(text, options)
  views = views + 1
  local place = ("%s/%d"):format(folder, views)
  os.execute("mkdir -p " .. place)
  local path = t.write(place .. "/lesson.lua", text)
  os.execute(("cd %s && { timeout 900 %s view lesson.lua %s >said 2>complained & echo $! >pid; }"):format(place, giemsa, options or ""))
  local address = visit.wait_for("the address", function()
    return visit.read(place .. "/said"):match "Ctrl%-C" and visit.read(place .. "/said"):match "^(%S+)\n"
  end)
  local port, token = address:match "^https?://[^/]-:(%d+)/(%w+)/lesson/$"
  t.ok(port, address)
  return { place = place, path = path, address = address, port = port, token = token, base = "/" .. token .. "/lesson/",
    watching = visit.read(place .. "/said"):match "watch only: https?://[^/]+(/%w+/lesson/)" }
end

function visit.leave(one)
  os.execute(("kill -INT $(cat %s/pid) 2>/dev/null; while kill -0 $(cat %s/pid) 2>/dev/null; do sleep 0.02; done"):format(one.place, one.place))
end

function visit.with_view(text, f, options)
  local one = visit.view(text, options)
  local ok, problem = xpcall(f, debug.traceback, one)
  visit.leave(one)
  if not ok then error(problem, 0) end
  return one
end

-- Sends bytes to the server, in a process of its own; what came back.
function visit.send(one, bytes)
  local request = t.write(one.place .. "/request", bytes)
  return (t.shell(("timeout 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/%s; cat %s >&3; cat <&3'"):format(one.port, request)))
end

-- The status, the body and all of the answer to a request.
function visit.ask(one, method, path, fields, body)
  local head = { ("%s %s HTTP/1.1"):format(method, path), "Connection: close", "Content-Length: " .. #(body or "") }
  local all = { Host = "127.0.0.1:" .. one.port, Origin = method == "POST" and "http://127.0.0.1:" .. one.port or nil }
  for name, value in pairs(fields or {}) do all[name] = value or nil end
  for name, value in pairs(all) do head[#head + 1] = name .. ": " .. value end
  local answer = visit.send(one, table.concat(head, "\r\n") .. "\r\n\r\n" .. (body or ""))
  return tonumber(answer:match "^HTTP/1.1 (%d+)"), answer:match "\r\n\r\n(.*)$", answer
end

function visit.order(one, name, fields)
  local status, body = visit.ask(one, "POST", one.base .. name, nil, json.encode(setmetatable(fields or {}, { __jsontype = "object" })))
  return status, json.decode(body or "")
end

-- A viewer: what he has been sent so far, put together as the page does it.
function visit.watch(one, last)
  views = views + 1
  local file = ("%s/events%d"):format(one.place, views)
  local request = t.write(file .. ".ask", ("GET %sevents HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n%s\r\n"):format(one.base, one.port,
    last and "Last-Event-ID: " .. last .. "\r\n" or ""))
  os.execute(("timeout 120 bash -c 'exec 3<>/dev/tcp/127.0.0.1/%s; cat %s >&3; exec cat <&3' >%s 2>/dev/null &"):format(one.port,
    request, file))
  local viewer = {}
  function viewer.text() return visit.read(file) end -- as it came
  function viewer.state()
    local state = { parts = {}, order = {}, status = {}, events = 0 }
    -- chunks of HTTP/1.1: their sizes stand on lines of their own
    local text = viewer.text():gsub("^.-\r\n\r\n", ""):gsub("\r\n%x+\r\n", ""):gsub("^%x+\r\n", "")
    for id, data in text:gmatch "id: (%S+)\ndata: ([^\n]*)\n\n" do
      local news = json.decode(data)
      if news then
        state.id, state.order, state.status, state.events = id, news.order, news.status, state.events + 1
        state.fresh = state.fresh or news.fresh
        for _, part in ipairs(news.parts) do state.parts[part.key] = part end
        state.last = news
      end
    end
    state.html = {}
    for i, key in ipairs(state.order) do state.html[i] = state.parts[key] and state.parts[key].html or "" end
    state.all = table.concat(state.html):gsub("\t", " ")
    return state
  end
  function viewer.wait(what, is_so)
    return visit.wait_for(what, function()
      local state = viewer.state()
      return is_so(state) and state
    end)
  end
  return viewer
end

return visit
