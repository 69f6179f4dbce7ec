--- The run log: nothing is lost (many lines, other programs, a crash, kill -9), all is in order, and
-- it reads back as cells with their outputs.
local t = require "tests.harness"
local core = require "giemsa.core"
local json = require "giemsa.json"
local runlog = require "giemsa.runlog"

local here = t.shell("pwd"):gsub("\n", "")
local folder = t.tmpdir()
local function absolute(path) return path:sub(1, 1) == "/" and path or here .. "/" .. path end
local interpreter = t.interpreter:gsub("^[^ ]*/[^ ]*", absolute)
local PATHS = ("LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' LUA_CPATH='%s/lib/?.so;;'"):format(here, here,
  absolute(t.build))

-- Runs a script that has a log `log`, in a folder of its own; what was shown, the code, the run.
local function run(body, redirection)
  t.shell("rm -rf " .. folder .. "/out")
  local path = t.write(folder .. "/script.lua", [[
    local core, json = require "giemsa.core", require "giemsa.json"
    local display, runlog = require "giemsa.display", require "giemsa.runlog"
    local log = assert(runlog.start "lessons/one.lua")
    log:write{ event = "start", lesson = "lessons/one.lua", source = "" }
    display.sinks = { log:sink(), display.terminal(log:terminal()) }
    log:capture(true)
    local function cell(n) log:write{ event = "cell", cell = n, name = "c" .. n, line = n } end
    local function done(n) log:write{ event = "done", cell = n, status = "ok", seconds = 1 } end
    local function finish() log:close{ event = "end", status = "ok", seconds = 1 } end
  ]] .. body)
  local output, code = t.shell(("cd %s && GIEMSA_IMAGES=none %s timeout 60 %s %s %s"):format(folder, PATHS, interpreter, path,
    redirection or ""))
  local log = assert(runlog.read(folder .. "/out/runs/one/latest/log.jsonl"))
  return output, code, log
end

t.test("what is printed, by whom ever, is in the log under its cell, and shown", function()
  local output, code, log = run [[
    cell(1) print "one" io.write "two\n" os.execute "echo three; echo four >&2" done(1)
    cell(2) io.stderr:write "five\n" io.write "six" done(2)
    finish()
  ]]
  t.equal(code, 0, output)
  t.equal(log.order, { 1, 2 })
  t.equal(log.cells[1].outputs, { { kind = "stream", name = "stdout", text = "one\ntwo\nthree\n" },
    { kind = "stream", name = "stderr", text = "four\n" } })
  t.equal(log.cells[2].name, "c2")
  t.equal(log.cells[2].status, "ok")
  t.equal(log.finish.status, "ok")
  for _, word in ipairs { "one\ntwo\nthree\n", "four\n", "five\n", "six" } do
    t.ok(output:find(word, 1, true), output)
  end
end)

t.test("a hundred thousand lines, and none is lost", function()
  local output, code, log = run([[
    cell(1) for i = 1, 100000 do print("line " .. i) end done(1) finish()
  ]], ">shown")
  t.equal(code, 0, output)
  local n = 0
  for line in log.cells[1].outputs[1].text:gmatch("[^\n]+") do
    n = n + 1
    if line ~= "line " .. n then error(("line %d reads %q"):format(n, line)) end
  end
  t.equal(n, 100000)
  local file <close> = io.open(folder .. "/shown")
  local shown = file:read("a")
  t.ok(#shown < 210000, #shown .. " bytes are shown")
  t.ok(shown:find("^line 1\n") and shown:find("\nline 100000\n$"), "head and tail")
  t.ok(shown:find("%[%.%.%. %d+ bytes are not shown; all is in out/runs/one/1/log.jsonl%]"), "a note")
end)

t.test("bytes that are no text are marked, a character is never cut", function()
  local _, code, log = run [[
    cell(1)
    io.write "\xC3" io.stdout:flush() io.write "\xBC \xFF \xED\xA0\x80 \0\1\127\"\\ \xF0\x9F\xA6\xA0\n" io.write "\xE2\x82"
    done(1) finish()
  ]]
  t.equal(code, 0)
  local bad = "\u{FFFD}"
  t.equal(log.cells[1].outputs[1].text,
    "ü " .. bad .. " " .. bad:rep(3) .. " \0\1\127\"\\ \u{1F9A0}\n" .. bad:rep(2))
end)

t.test("of a picture that is drawn again and again a few states are kept, and what others show too", function()
  local output, code, log = run [[
    cell(1)
    local function svg(i) return "<svg xmlns='http://www.w3.org/2000/svg'><title>" .. i .. "</title></svg>" end
    display{ svg = svg(1) }
    local changing = display{ svg = svg(1) }
    for i = 2, 60 do changing:update{ svg = svg(i) } end
    done(1) finish()
  ]]
  t.equal(code, 0, output)
  local files = {}
  for _, entry in ipairs(core.list_folder(folder .. "/out/runs/one/latest")) do
    if entry[1]:find "%.svg$" then files[#files + 1] = entry[1] end
  end
  t.equal(#files, 5) -- the first, which another display shows, and the last four
  for i, number in ipairs { 1, 60 } do
    local path = folder .. "/out/runs/one/latest/" .. log.cells[1].outputs[i].data["image/svg+xml"].file
    t.ok(io.open(path):read "a":find("<title>" .. number .. "<", 1, true))
  end
end)

t.test("displays are files beside the log, updates replace them, live ones end with their last state", function()
  local output, code, log = run [[
    local png = require("giemsa.image").from_tensor(core.from_table{ { { 1, 2, 3 }, { 1, 2, 3 } } })
    cell(1)
    print "before" local d = display(png) print "after"
    local h = display{ text = "a", html = "<b>a</b>" } h:update{ text = "b" }
    local live = display{ text = "0 %", live = true }
    for i = 1, 1000 do live:update{ text = i / 10 .. " %" } end
    live:close{ text = "all" }
    done(1) finish()
  ]]
  t.equal(code, 0, output)
  local outputs = log.cells[1].outputs
  t.equal({ outputs[1].text, outputs[3].text }, { "before\n", "after\n" })
  local picture = outputs[2].data["image/png"]
  t.equal({ picture.width, picture.height }, { 2, 1 })
  t.ok(assert(log:bytes(picture)):sub(1, 4) == "\x89PNG")
  t.equal(outputs[4].data, { ["text/plain"] = "b" })
  t.equal(outputs[5].data, { ["text/plain"] = "all" })
  t.equal(output, ("before\n[image 2x1 -> out/runs/one/1/%s]\nafter\na\nall\n"):format(picture.file))
end)

t.test("after kill -9 and after a crash the log is whole, and says so", function()
  for _, last in ipairs { "os.execute('kill -9 ' .. io.open('/proc/self/stat'):read('n'))", "os.exit(3)" } do
    local _, code, log = run([[ cell(1) for i = 1, 1000 do print(i) end io.stdout:flush() ]] .. last)
    t.ok(code ~= 0)
    for _ = 1, 100 do -- the helper outlives it for a moment
      if log.finish then break end
      t.shell("sleep 0.02")
      log = assert(runlog.read(log.path))
    end
    t.equal(log.finish.status, "killed")
    t.ok(log.cells[1].outputs[1].text:find("\n1000\n$"))
    t.equal(log.cells[1].status, nil)
  end
end)

t.test("whoever reads the output may go away: the run goes on", function()
  local _, _, log = run([[
    cell(1) for i = 1, 50000 do print("line " .. i) end done(1) finish()
  ]], "| head -1")
  t.equal(log.finish.status, "ok")
  t.ok(log.cells[1].outputs[1].text:find("\nline 50000\n$"))
end)

t.test("runs are counted, the newest is the latest", function()
  run "finish()"
  t.shell(("cd %s && %s %s script.lua"):format(folder, PATHS, interpreter))
  local list = t.shell(("ls %s/out/runs/one && readlink %s/out/runs/one/latest"):format(folder, folder))
  t.equal(list, "1\n2\nlatest\n2\n")
end)

t.test("a log that is still written, or damaged", function()
  local path = folder .. "/log.jsonl"
  local start = json.encode{ event = "start", lesson = "a.lua", source = "" } .. "\n"
  t.write(path, start .. '{"event":"cell","cell":1}\n{"event":"stream","cell":1,"name":"stdout","text":"x"}\n{"event":"str')
  local log = assert(runlog.read(path))
  t.equal(log.cells[1].outputs, { { kind = "stream", name = "stdout", text = "x" } })
  t.write(path, start .. "oops\n" .. start)
  local ok, message = runlog.read(path)
  t.ok(not ok and message:find("log.jsonl:2: it is not JSON", 1, true), message)
  t.write(path, "")
  t.ok(select(2, runlog.read(path)):find("begins with its start", 1, true))
  t.ok(select(2, runlog.read(folder .. "/none")):find("No such file", 1, true))
end)

t.test("a long text is shown by its head and tail", function()
  local lines = {}
  for i = 1, 5000 do lines[i] = "number " .. i end
  local text = table.concat(lines, "\n")
  local shown, is_cut = runlog.shown(text, "L")
  t.ok(is_cut and #shown < 21000)
  t.ok(shown:find("^number 1\n") and shown:find("\nnumber 5000$") and shown:find("all is in L]", 1, true))
  t.equal(runlog.shown("short", "L"), "short")
  t.ok(utf8.len((runlog.shown(("ü"):rep(50000), "L"))), "no character is cut")
end)

-- ---- a log that grows

local path = folder .. "/growing.jsonl"
local growing

local function begin()
  growing = assert(io.open(path, "wb"))
  growing:setvbuf "no"
  return assert(runlog.follow(path))
end

local function add(...)
  for _, event in ipairs { ... } do growing:write(type(event) == "table" and json.encode(event) .. "\n" or event) end
end

local SOURCE = "-- %% name=\"a\"\nx = 1\n\n-- %% name=\"b\"\nprint(x)\n"

t.test("a log is followed as it grows, a line whose end has not come included", function()
  local follower = begin()
  local run = follower.run
  t.equal({ follower:read() }, { {}, false })
  add({ event = "start", source = SOURCE }, { event = "cell", cell = 1 }, '{"event":"stream","cell":1,"na')
  t.equal((follower:read()), { [0] = true, [1] = true })
  t.ok(run.running == 1 and not run.cells[1].outputs[1])
  add('me":"stdout","text":"one"}\n')
  t.equal((follower:read()), { [1] = true })
  t.equal(run.cells[1].outputs[1].text, "one")
  add({ event = "stream", cell = 1, name = "stdout", text = "two" }, { event = "display", cell = 1, id = "d", data = { ["text/plain"] = "old" } })
  follower:read()
  t.equal(run.cells[1].outputs[1].text, "onetwo")
  add({ event = "done", cell = 1, status = "ok" }, { event = "cell", cell = 2 })
  follower:read()
  add({ event = "update", id = "d", data = { ["text/plain"] = "new" } })
  t.equal((follower:read()), { [1] = true }, "an update belongs to the cell that showed it")
  t.equal(run.cells[1].outputs[2].data["text/plain"], "new")
  t.equal(run.running, 2)
  add({ event = "end", status = "ok" })
  follower:read()
  t.ok(run.finish and not run.running)
  add({ event = "cell", cell = 1 })
  follower:read()
  t.ok(not run.finish and #run.cells[1].outputs == 0, "it goes on, and the cell begins anew")
  add("no event\n", { event = "stream" }, { event = "done", cell = 1, status = "failed" })
  follower:read()
  t.equal(run.cells[1].status, "failed", "what is no event is left out")
  add({ event = "end", status = "ok" }, { event = "end", status = "killed" })
  follower:read()
  t.equal(run.finish.status, "ok")
  growing:close()
end)

t.test("results go with their cells when the lesson is edited in between", function()
  local follower = begin()
  add({ event = "start", source = SOURCE }, { event = "cell", cell = 1 }, { event = "done", cell = 1, status = "ok" },
    { event = "cell", cell = 2 }, { event = "stream", cell = 2, name = "stdout", text = "1" }, { event = "done", cell = 2, status = "ok" },
    { event = "edit", source = '-- %% name="new"\ny = 1\n\n' .. SOURCE:gsub("x = 1", "x = 2") }, { event = "cell", cell = 2 },
    { event = "done", cell = 2, status = "ok" })
  follower:read()
  local run = follower.run
  t.equal({ run.cells[1], run.cells[2].cell, run.cells[3].cell }, { nil, 2, 3 })
  t.equal(run.cells[3].outputs[1].text, "1")
  t.equal({ run.cells[2].text, run.cells[3].text }, { nil, "print(x)" }, "the code of what ran before the edit")
  t.ok(run.cells[2].turn > run.cells[3].turn)
  growing:close()
  follower:close()
  t.equal(assert(runlog.read(path)).cells[3].outputs[1].text, "1", "read at once it is the same")
end)

t.test("a stream without end keeps its head and its tail, and no more", function()
  local follower = begin()
  add({ event = "start", source = SOURCE }, { event = "cell", cell = 1 })
  local lines, bytes = ("a line of text\n"):rep(1000), 0
  for i = 1, 300 do
    local text = i .. "\n" .. lines
    bytes = bytes + #text
    add({ event = "stream", cell = 1, name = "stdout", text = text })
    follower:read()
    t.ok(#follower.run.cells[1].outputs[1].text < 800000)
  end
  local text = follower.run.cells[1].outputs[1].text
  local head, left_out, tail = text:match "^(.*\n)%[%.%.%. (%d+) bytes are not shown; all is in [^\n]*%]\n(.*)$"
  t.ok(head:find "^1\n" and tail:find("300\n" .. lines .. "$"))
  t.equal(#head + tonumber(left_out) + #tail, bytes)
  growing:close()
  follower:close()
end)

t.done()
