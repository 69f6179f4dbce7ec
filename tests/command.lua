--- `giemsa run`, `giemsa convert`, `giemsa lint` as a user sees them: outputs, exit codes, times, limits,
-- Ctrl-C; and stepping, in a (pseudo) terminal.
local t = require "tests.harness"
local json = require "giemsa.json"
local runlog = require "giemsa.runlog"

local folder = t.tmpdir()
local here = t.shell("pwd"):gsub("\n", "")
local giemsa = t.program:sub(1, 1) == "/" and t.program or here .. "/" .. t.program

-- The thread sanitizer holds signals back until the program calls into the C library, which a loop never does.
local function need_signals()
  if t.sanitizer == "thread" then t.skip("the thread sanitizer holds signals back") end
end

local function lesson(text) return t.write(folder .. "/lesson.lua", text) end

-- Runs a command in the scratch folder: what it printed, and its exit code.
local function command(line, setting)
  return t.shell(("cd %s && %s GIEMSA_IMAGES=none LANG=C.UTF-8 timeout -k 5 60 %s %s"):format(folder, setting or "", giemsa, line))
end

local function log() return assert(runlog.read(folder .. "/out/runs/lesson/latest/log.jsonl")) end
local function statuses()
  local out = {}
  for number, cell in pairs(log().cells) do out[number] = cell.status end
  return out
end

t.test("a run prints what the script prints, and its fingerprint", function()
  local path = lesson '-- %% name="a"\nlocal x = ...\nprint(x, arg[0], #arg)\n-- %%\nio.write "no line end"\n-- %%\nprint "b"\n'
  local plain = t.shell(("cd %s && %s lesson.lua word"):format(folder, giemsa))
  local output, code = command "run lesson.lua -- word"
  t.equal(code, 0)
  t.equal(output:gsub("fingerprint: code %x%x%x%x\n", ""), plain)
  t.equal(log().finish.fingerprint.code, output:match "fingerprint: code (%x+)")
  t.equal(command("run lesson.lua --lang zh -- word"):gsub("指纹：代码 %x%x%x%x\n", ""), plain)
  t.equal(statuses(), { "ok", "ok", "ok" })
  t.equal(log().start.source, io.open(path):read "a")
end)

t.test("an error: file, line, message, cell; exit code 1; what follows does not run, or does", function()
  lesson '-- %% name="a"\nlocal x = 1\n-- %% name="bad"\nerror "boom"\n-- %% name="after"\nprint("x is", x)\n'
  local output, code = command "run lesson.lua"
  t.equal(code, 1)
  t.equal(output, "lesson.lua:4: boom\n  in cell 'bad'\n  lesson.lua:4: in main chunk\n")
  output, code = command "run lesson.lua --keep-going"
  t.equal(code, 1)
  t.ok(output:find("x is\t1", 1, true), output)
  t.equal(statuses(), { "ok", "failed", "ok" })
  lesson '-- %% tags=["raises-exception"]\nerror "wanted"\n-- %%\nprint "goes on"\n'
  output, code = command "run lesson.lua"
  t.ok(code == 0 and output:find "goes on", output)
  lesson '-- %% tags=["raises-exception"]\nlocal x = 1\n'
  t.ok(select(2, command "run lesson.lua") == 1)
  lesson "-- %%\nx = = 1\n"
  t.equal({ command "run lesson.lua" }, { "lesson.lua:2: unexpected symbol near '='\n", 1 })
  t.equal({ command "run nowhere.lua" }, { "nowhere.lua: No such file or directory\n", 1 })
end)

t.test("options: --to, --seed, --quick, --help, mistakes", function()
  lesson '-- %% name="a"\nlocal r = require "giemsa.random" r.seed(42) print("seed", r.get_seed(), os.getenv "GIEMSA_QUICK")\n-- %% name="b"\nprint "b"\n'
  local function says(options, text, wanted_code)
    local output, code = command("run lesson.lua " .. options)
    t.equal(code, wanted_code or 0, output)
    t.ok(output:find(text, 1, true), output)
    return output
  end
  t.ok(not says("--to a", "seed\t42\tnil"):find "\nb\n")
  says("--seed 7 --quick", "seed\t7\t1")
  t.equal((says("--from b", "b\n"):gsub("fingerprint[^\n]*\n", "")), "b\n")
  t.equal(log().cells[1].outputs[1].text, "seed\t42\tnil\n")
  says("--to c", "lesson.lua has no cell 'c'", 1)
  says("--steb", "unknown option --steb (did you mean --step?)", 2)
  says("--help", "usage: giemsa run")
  t.ok(command("lint --help"):find "usage: giemsa lint")
  t.ok(command("convert --help"):find "usage: giemsa convert")
end)

t.test("a quick run takes the small sizes, and says so once", function()
  lesson '-- %%\nlocal giemsa = require "giemsa"\nlocal n = giemsa.quick(25, 2)\n-- %%\nprint(n, giemsa.quick("a", "b"))\n'
  local full, quick = "25\ta\n", "a quick run: sizes are small, so numbers and pictures are not those of the text\n2\tb\n"
  local function without_fingerprint(output) return (output:gsub("fingerprint[^\n]*\n", "")) end
  t.equal(command "lesson.lua", full)
  t.equal(command("lesson.lua", "GIEMSA_QUICK=0"), full)
  t.equal(command("lesson.lua", "GIEMSA_QUICK=1"), quick)
  t.equal(without_fingerprint(command "run lesson.lua"), full)
  t.equal(without_fingerprint(command "run --quick lesson.lua"), quick)
end)

t.test("times are kept, and given with the next run", function()
  lesson '-- %% name="slow"\nos.execute "sleep 0.2"\n'
  command "run lesson.lua"
  local first = log().cells[1]
  command "run lesson.lua"
  t.ok(first.seconds >= 0.2 and first.before == nil)
  t.equal(log().cells[1].before, first.seconds)
end)

t.test("limits: of a cell, of the command, of the whole; code that catches everything", function()
  need_signals()
  lesson [[
-- %% timeout=0.2
while true do pcall(function() while true do end end) end
-- %%
coroutine.wrap(function() while true do end end)()
-- %%
print "end"
]]
  local output, code = command "run lesson.lua --cell-timeout 0.3 --keep-going"
  t.equal(code, 1)
  t.equal(statuses(), { "timeout", "timeout", "ok" })
  t.ok(output:find("lesson.lua:2: timed out", 1, true) and output:find("\nend\n", 1, true), output)
  lesson "-- %%\nlocal x = 1\n-- %%\nwhile true do end\n-- %%\nprint 'end'\n"
  output, code = command "run lesson.lua --timeout 0.3 --keep-going"
  t.equal(statuses(), { "ok", "timeout" })
  t.ok(code == 1 and not output:find "\nend\n", output)
  lesson "-- %% timeout=0.2\nlocal ok = pcall(function() while true do end end)\n-- %%\nprint 'no'\n"
  output, code = command "run lesson.lua" -- it caught the error and ended well, but too late
  t.equal(statuses(), { "timeout" })
  t.ok(output:find "timed out", output)
end)

t.test("Ctrl-C ends the cell, in coroutines and through pcall; the log says so", function()
  need_signals()
  for _, body in ipairs { "while true do end", "while true do pcall(function() while true do end end) end",
    "coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()",
    "local a = giemsa.tensor.full({ 3000, 3000 }, 0.5) while true do pcall(function() return a:matmul(a) end) end",
    "local m = giemsa.nn.Sequential{ giemsa.nn.Dense{ 2000, input_shape = { 2000 } } } local a = giemsa.tensor.zeros(4000, 2000) "
      .. "while true do pcall(m.predict, m, a) end" } do
    lesson("-- %%\nlocal giemsa = require 'giemsa'\n-- %%\n" .. body .. "\n-- %%\nprint 'never'\n")
    local output, code = t.shell(("cd %s && timeout -k 10 --foreground -s INT 0.5 %s run lesson.lua"):format(folder, giemsa))
    t.equal(code, 124) -- timeout's own
    t.ok(output:find "lesson.lua:4: interrupted!" and not output:find "never", output)
    t.equal(statuses(), { "ok", "interrupted" })
    t.equal(log().finish.status, "interrupted")
  end
end)

t.test("goto and return among cells mean what they mean to lua5.4", function()
  for _, text in ipairs {
    "-- %%\nprint 'one'\ngoto on\n-- %%\nprint 'two'\n-- %%\n::on:: print 'three'\n-- %%\nprint 'four'\n",
    "-- %%\nlocal n = 0\n::again::\n-- %%\nn = n + 1\nif n < 3 then goto again end\n-- %%\nprint(n)\n",
    "-- %%\nprint 'one'\nif true then return end\n-- %% [markdown]\n-- text\n-- %%\nprint 'two'\n", "\xEF\xBB\xBF-- %%\nprint 'one'\n" } do
    lesson(text)
    local output, code = command "run lesson.lua"
    t.equal({ (output:gsub("fingerprint[^\n]*\n", "")), code }, { (t.shell(("cd %s && lua5.4 lesson.lua"):format(folder))), 0 })
  end
end)

t.test("a second Ctrl-C ends the process in the middle of a C function; the log is kept", function()
  need_signals()
  lesson "-- %%\nprint 'before'\n-- %%\nstring.find(('a'):rep(30000), ('.-'):rep(20) .. 'b')\n"
  local output, code = t.shell(("cd %s && { %s run lesson.lua & pid=$!; sleep 0.5; kill -INT $pid; sleep 0.3; kill -INT $pid; wait $pid; }")
    :format(folder, "env --default-signal=INT " .. giemsa))
  t.equal(code, 130, output)
  t.shell "sleep 0.2"
  t.equal(log().finish.status, "killed")
  t.equal(log().cells[1].outputs[1].text, "before\n")
end)

t.test("lint and convert", function()
  lesson '-- %% name="a"\nlocal x = math.random()\n'
  t.equal({ command "lint lesson.lua" }, { "lesson.lua:2: warning: math.random is seeded differently at each start: take giemsa.random\n", 0 })
  t.equal(select(2, command "convert lesson.lua a.ipynb && cd . "), 0)
  t.equal({ command "convert a.ipynb b.lua" }, { "", 0 })
  t.equal(t.shell(("cmp %s/lesson.lua %s/b.lua"):format(folder, folder)), "")
  t.write(folder .. "/bad.ipynb", "{")
  local output, code = command "convert bad.ipynb b.lua"
  t.ok(code == 1 and output:find "giemsa: bad.ipynb: it is not JSON", output)
  lesson '-- %% name="a"\n-- %% name="a"\n'
  t.equal(select(2, command "lint lesson.lua"), 1)
end)

t.test("a wrong option ends with 2, a failed lesson with 1", function()
  lesson '-- %% name="a"\nerror "no"\n'
  t.equal({ command "run --seed x lesson.lua" }, { "giemsa: --seed needs a whole number, got 'x'\n", 2 })
  t.equal(select(2, command "run lesson.lua"), 1)
end)

t.test("a script called run is a script with a path", function()
  t.write(folder .. "/run.lua", "print 'mine'")
  t.equal(command "./run.lua", "mine\n")
  t.equal(command "run.lua", "mine\n")
end)

t.test("a hundred thousand lines are in the log and cut on the terminal", function()
  lesson "-- %%\nfor i = 1, 100000 do print('line ' .. i) end\n"
  local output = command "run lesson.lua"
  t.ok(#output < 210000 and output:find("\nline 100000\n", 1, true))
  t.ok(log().cells[1].outputs[1].text:find "\nline 99999\nline 100000\n$")
end)

t.test("a log that cannot be written any more: said once, shown all the same, and the run has failed", function()
  lesson "-- %%\nfor i = 1, 200000 do print('line ' .. i) end\n-- %%\nprint 'last'\n"
  local output, code = t.shell(("cd %s && ulimit -f 1000 && %s run lesson.lua"):format(folder, giemsa)) -- blocks of 512 or 1024 bytes
  t.equal(code, 1, output)
  local _, count = output:gsub("giemsa: cannot write out/runs/lesson/%d+/log.jsonl: File too large; what comes now is shown and not kept\n", "")
  t.equal(count, 1, output)
  t.ok(output:find("\nline 200000\n", 1, true) and output:find("\nlast\n", 1, true), output)
  t.ok(#log().cells[1].outputs[1].text > 1000, "what was written can be read")
end)

-- ---- stepping, in a terminal made by `script`

-- Types each entry after its "after" text has been shown since the last one. Returns all that was shown.
local function step(entries, setting, options)
  need_signals()
  return t.typed(("cd %s; env LANG=C.UTF-8 GIEMSA_IMAGES=none GIEMSA_HISTORY= %s %s run lesson.lua %s; echo code $?")
    :format(folder, setting or "", giemsa, options or "--step"), entries)
end

t.test("a terminal that is closed: the run goes on to its end", function()
  need_signals()
  if select(2, t.shell("command -v script")) ~= 0 then t.skip("no `script` (util-linux) here") end
  lesson '-- %%\nprint "begun"\n-- %%\nos.execute "sleep 1"\nprint "ended"\nrequire "giemsa.display"{ text = "shown" }\n'
  local inner = ("cd %s; env GIEMSA_IMAGES=none %s run lesson.lua"):format(folder, giemsa)
  t.shell(("script -qefc %s %s/shown </dev/null >/dev/null 2>&1 & pid=$!; sleep 0.6; kill -9 $pid"):format(t.quote(inner), folder))
  for _ = 1, 200 do
    if log().finish then break end
    t.shell "sleep 0.02"
  end
  t.equal(log().finish.status, "ok")
  t.equal({ log().cells[2].outputs[1].text, log().cells[2].outputs[2].data }, { "ended\n", { ["text/plain"] = "shown" } })
end)

local STEPS = '-- ---\n-- title: T\n-- ---\n\n-- %% [markdown] name="goal"\n-- # The goal\n\n-- %% name="one"\nlocal n = 1\nprint("one", n)\n'
  .. '\n-- %% [markdown] name="middle"\n-- **Look** here.\n\n-- %% [markdown] name="middle-zh" lang="zh"\n-- 看\n\n-- %% name="two"\nn = n + 1\nprint("two", n)\n'
  .. '\n-- %% name="three"\nprint("three", n)\n'

t.test("--step: text and code are shown, Enter runs, r again, b back, q quits", function()
  lesson(STEPS)
  local shown = step { { after = "q quit", type = "\r" }, { after = "q quit", type = "\r" }, { after = "q quit", type = "r" },
    { after = "q quit", type = "b" }, { after = "q quit", type = "\r" }, { after = "q quit", type = "\r" } }
  local plain = shown:gsub("\27%[[%d;]*[mK]", "")
  local at = 1
  for _, text in ipairs { "The goal", "── one ─", "local n = 1", "one\t1", "Look here.", "── two ─", "two\t2", "── three",
    "two\t3", "── three", "── two ─", "two\t4", "three\t4", "the end of the lesson", "code 0" } do
    local _, stop = plain:find(text, at, true)
    if not stop then error(("%q does not follow:\n%s"):format(text, plain)) end
    at = stop + 1
  end
  t.ok(not plain:find("看", 1, true), "the other language is shown")
  t.ok(shown:find("\27[35mlocal\27[0m", 1, true), "no colours")
  t.ok(step({ { after = "q 退出", type = "q" } }, nil, "--step --lang zh"):find "code 0", "in the language of the reader")
end)

t.test("--step: a prompt sees and sets the lesson's variables", function()
  lesson(STEPS)
  local shown = step { { after = "q quit", type = "\r" }, { after = "q quit", type = "i" }, { after = "lesson", type = "n * 100\r" },
    { after = "100", type = "n = 41\r" }, { after = "lesson", type = "(nil).x\r" }, { after = "attempt to index", type = "\4" },
    { after = "q quit", type = "\r" }, { after = "two\t42", type = "" }, { after = "q quit", type = "q" } }
  t.ok(shown:find "code 0", shown)
end)

t.test("--step: a failing cell is edited and run again; Ctrl-C ends a cell, not the lesson", function()
  lesson '-- %% name="a"\nlocal x = 1\n-- %% name="b"\nprint(x + nil)\n-- %% name="c"\nwhile x do end\n-- %% name="d"\nprint("d", x)\n'
  local editor = t.write(folder .. "/editor", "#!/bin/sh\nsed -i 's/x + nil/x + 4/' lesson.lua\n")
  t.shell("chmod +x " .. editor)
  local shown = step({ { after = "q quit", type = "\r" }, { after = "q quit", type = "\r" }, { after = "e edits it", type = "e" },
    { after = "q quit", type = "\r" }, { after = "q quit", type = "\r" }, { after = "\n", type = "" }, { after = "", type = "\3" },
    { after = "interrupted!", type = "" }, { after = "q quit", type = "\r" } }, "EDITOR=" .. editor)
  t.ok(shown:find "lesson.lua:4: attempt to perform arithmetic", shown)
  t.ok(shown:find "K5\r\n", shown)
  t.ok(shown:find "d\t1", shown)
  t.ok(shown:find("code 0", 1, true), shown)
end)

t.test("--step: an editor that fails is told of; b and then r runs the cell that is shown", function()
  lesson(STEPS)
  local shown = step({ { after = "q quit", type = "e" }, { after = "the editor `false` ended with code 1", type = "" },
    { after = "goes on as it was", type = "" }, { after = "q quit", type = "\r" }, { after = "one\t1", type = "" }, { after = "q quit", type = "\r" },
    { after = "two\t2", type = "" }, { after = "q quit", type = "b" }, { after = "q quit", type = "b" }, { after = "q quit", type = "r" },
    { after = "one\t1", type = "" }, { after = "q quit", type = "q" } }, "VISUAL= EDITOR=false")
  t.ok(shown:find("code 0", 1, true), shown)
end)

t.test("a value that nobody prints is shown as little as by the plain script; a prompt shows it", function()
  lesson '-- %% name="a"\nlocal function f() return "forty" .. "-two" end\nf()\n-- %% name="b"\nf();\n'
  t.equal(command "lesson.lua", "")
  t.equal((command("run lesson.lua"):gsub("fingerprint[^\n]*\n", "")), "")
  t.equal({ log().cells[1].outputs, log().cells[2].outputs }, { {}, {} })
  local shown = step { { after = "q quit", type = "\r" }, { after = "q quit", type = "i" }, { after = "lesson", type = "f()\r" },
    { after = "forty-two", type = "\4" }, { after = "q quit", type = "q" } }
  t.equal(select(2, shown:gsub("forty%-two", "")), 1, shown)
end)

t.test("a live bar is redrawn in place and begins anew below what is printed", function()
  lesson [[
-- %%
local bar = require("giemsa.progress").bar{ total = 3, label = "work" }
os.execute "sleep 0.15"
bar:update(1) print "between" os.execute "sleep 0.15"
bar:update(2) bar:finish()
]]
  local shown = step({}, nil, "")
  local plain = shown:gsub("\27%[[%d;]*m", "")
  t.ok(plain:find "work\27%[K\r\n0/3[^\n]*\r\27%[1Awork\27%[K\r\n1/3[^\n]*\27%[K\r\nbetween\r\n\rwork\27%[K\r\n2/3", plain)
  t.ok(not log().cells[1].outputs[1].data["text/plain"]:find "\27", "control bytes in the log")
end)

t.done()
