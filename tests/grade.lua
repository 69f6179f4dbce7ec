--- Grading: attacks and accidents. Each submission gets its row, whatever it does to itself, and nothing else changes.
local t = require "tests.harness"
local core = require "giemsa.core"

local folder = t.tmpdir()
local here = t.shell("pwd"):gsub("\n", "")
local giemsa = t.program:sub(1, 1) == "/" and t.program or here .. "/" .. t.program

local scratch = folder .. "/scratch"
t.shell("mkdir " .. t.quote(scratch))

local function command(line)
  return t.shell(("cd %s && TMPDIR=%s LANG=C.UTF-8 timeout -k 5 600 %s %s"):format(t.quote(folder), t.quote(scratch), giemsa, line))
end

local MASTER = [==[
-- ---
-- title: Two exercises
-- ---

-- %% name="setup"
local giemsa = require "giemsa"
local check = giemsa.check
local numbers = { 1, 2, 3, 4 }

-- %% name="mean" tags=["solution"]
-- BEGIN SOLUTION
local mean = 0
for _, x in ipairs(numbers) do mean = mean + x / #numbers end
-- END SOLUTION

-- %% name="check-mean" tags=["check"] points=2
check.near("mean", mean, 2.5, 0.01)
-- BEGIN HIDDEN TESTS
check("not a text", type(mean) == "number")
-- END HIDDEN TESTS

-- %% name="double" tags=["solution"]
local function double(x)
  -- BEGIN SOLUTION
  return 2 * x
  -- END SOLUTION
end

-- %% name="check-double" tags=["check"]
check("a number", function() return double(4) == 8 end, "twice as much")
-- BEGIN HIDDEN TESTS
check("a tensor", function() return double(giemsa.tensor{ 1, 2 }) == giemsa.tensor{ 2, 4 } end)
check("a text", function() return ("<%s>"):format(tostring(double(173))) == "<346>" end)
-- END HIDDEN TESTS
]==]

t.write(folder .. "/master.lua", MASTER)

-- ---- the students' file

t.test("student: solutions and hidden tests are out, and what is left runs", function()
  local output, code = command "student master.lua -o lesson.lua"
  t.equal({ output, code }, { "lesson.lua: 6 lines of solutions and hidden tests taken out\n", 0 })
  local lesson = io.open(folder .. "/lesson.lua"):read "a"
  t.ok(lesson:find("local mean -- YOUR CODE HERE\n", 1, true), lesson)
  t.ok(lesson:find("local function double(x)\n  -- YOUR CODE HERE\nend\n", 1, true), lesson)
  for _, word in ipairs { "SOLUTION", "HIDDEN", "2 * x", "173", "not a text" } do
    t.ok(not lesson:find(word, 1, true), word)
  end
  output, code = command "check lesson.lua"
  t.equal({ output, code }, { "cell 'check-mean': 0 of 2 points\n  ○ mean: not answered yet\n"
    .. "cell 'check-double': 0 of 1 points\n  ✗ a number: twice as much\n0 of 3 points\n", 1 })
  t.equal(select(2, command "lesson.lua"), 0)
  output, code = command "check master.lua"
  t.ok(code == 0 and output:find "5 of 5 points\n$", output)
end)

t.test("student: marks that do not match, and answers that can be read elsewhere", function()
  local function says(text, pattern)
    t.write(folder .. "/bad.lua", text)
    os.remove(folder .. "/out.lua")
    local output, code = command "student bad.lua -o out.lua"
    t.ok(code == 1 and output:find(pattern), output)
    return io.open(folder .. "/out.lua")
  end
  t.ok(not says("-- %%\n-- BEGIN SOLUTION\nlocal x\n", "bad.lua:2: BEGIN SOLUTION without its END"))
  t.ok(not says("-- %%\n-- END HIDDEN TESTS\n", "bad.lua:2: END HIDDEN TESTS without its BEGIN"))
  t.ok(not says("-- %%\n-- BEGIN SOLUTION\n-- BEGIN HIDDEN TESTS\n", "bad.lua:3: BEGIN HIDDEN TESTS within"))
  t.ok(not says("-- %%\n-- BEGIN SOLUTION\nif a then\n-- END SOLUTION\nend\n", "does not compile"))
  t.ok(says("-- %% name=\"a\"\n-- BEGIN SOLUTION\nlocal auc = 0.9124\n-- END SOLUTION\n\n-- %% [markdown]\n-- It is 0.9124.\n",
    "out.lua:5: `0.9124` of the solution %(bad.lua:3%) can be read here"))
  local output, code = command "student master.lua -o master.lua"
  t.ok(code == 2 and output:find "cannot be the master", output)
end)

t.test("student: the master stays, by whatever path it is called; marks that are none are found", function()
  t.write(folder .. "/keep.lua", MASTER)
  t.shell(("cd %s && ln -sf keep.lua other.lua && ln -f keep.lua hard.lua && cp keep.lua second.lua"):format(folder))
  for _, out in ipairs { "./keep.lua", "other.lua", "hard.lua", "second.lua" } do
    local output, code = command("student keep.lua -o " .. out)
    t.ok(code == 2 and (output:find("cannot be the master", 1, true) or output:find("holds solutions", 1, true)), output)
    t.equal(io.open(folder .. "/" .. out):read "a", MASTER)
  end
  for _, text in ipairs { "-- %%\n-- BEGIN SOLUTION\nlocal x = 1\n", "-- %% tags=[\"hidden\"]\nlocal x = 1\n" } do -- one that is being written
    t.write(folder .. "/second.lua", text)
    t.equal(select(2, command "student keep.lua -o second.lua"), 2)
  end
  for _, mark in ipairs { "-- begin solution", "-- BEGIN_SOLUTION", "-- Begin solutions.", "local y = 1 -- BEGIN SOLUTION", "--[==[\nBEGIN SOLUTION\n]==]",
    "-- BEGIN SOLUTION HERE", "-- ### begin   solution ###", "-- BEGIN SOLUTON", "-- BEGIN SOLUTION (2 points)", "--[[ BEGIN SOLUTION ]]", "-- Begin Solution:" } do
    t.write(folder .. "/bad.lua", "-- %% name=\"a\"\n" .. mark .. "\nlocal x = 1\n-- END SOLUTION\n")
    local output, code = command "student bad.lua -o out.lua"
    t.ok(code == 1 and output:find "bad.lua:[23]: this comment marks nothing: write `%-%- BEGIN SOLUTION`", mark .. ": " .. output)
    output, code = command "lint bad.lua"
    t.ok(code == 1 and output:find("this comment marks nothing", 1, true), output)
  end
  t.write(folder .. "/bad.lua", "-- %%\n-- the solution begins here: begin with solutions of your own\n-- END SECTION\n-- Begin a session\nlocal x = 1\n"
    .. "-- The solution:\n-- bad solution\n-- End of the solution\n-- begin solution by reading\n-- end selection\n-- BEGIN\n-- hidden tests\n")
  t.equal(command "lint bad.lua", "")
  local output, code = command "student bad.lua -o out.lua"
  t.ok(code == 1 and output:find("holds no solutions", 1, true), output)
  t.write(folder .. "/bad.lua", MASTER .. "-- %% name=\"c\" tags=[\"solution\"]\nlocal y = 1\n-- %% name=\"d\" tags=[\"hiden\"]\n")
  output, code = command "student bad.lua -o out.lua"
  t.ok(code == 1 and output:find("students get all of it", 1, true) and output:find("did you mean 'hidden'", 1, true), output)
  output, code = command "lint bad.lua"
  t.ok(code == 1 and output:find "warning: this cell is tagged \"solution\"" and output:find "%d: unknown tag 'hiden'", output)
end)

t.test("check: neither os.exit, nor points=0, nor a second check of the name, nor an endless loop is a success", function()
  local function checks(text, pattern)
    t.write(folder .. "/c.lua", "-- %%\nlocal check = require 'giemsa.check'\n" .. text)
    local output, code = command "check c.lua"
    t.ok(code == 1 and output:find(pattern), output)
  end
  checks("-- %% tags=[\"check\"]\ncheck('q', true)\n-- %%\nos.exit(0)\n", "os.exit ends the lesson.*1 of 1 points")
  checks("-- %% tags=[\"check\"] points=0\ncheck('q', false, 'wrong')\n", "✗ q: wrong")
  checks("-- %% tags=[\"check\"] points=2\ncheck('q', false, 'wrong')\ncheck('q', true)\n", "0 of 2 points")
  t.ok(command("lint c.lua"):find("c.lua:5: warning: another check is named 'q', on line 4: the second one counts as failed", 1, true))
  checks("-- %% tags=[\"check\"] timeout=0.2\ncheck('q', true)\nwhile true do end\n", "timed out")
  checks("-- %% tags=[\"check\"] timeout=0.2\ncheck('q', true)\npcall(function() while true do end end)\n", "1 of 2 points.*timed out")
  checks("-- %%\nprint 'nothing'\n", "c.lua has no checks")
  checks("-- %% tags=[\"check\"]\nlocal x = 1\n", "c.lua has no checks")
end)

t.test("check: what is caught, what does not come, what stands elsewhere is no success", function()
  local function checks(text, pattern, wanted)
    t.write(folder .. "/c.lua", "-- %%\nlocal check = require 'giemsa.check'\n" .. text)
    local output, code = command "check c.lua"
    t.ok(code == (wanted or 1) and output:find(pattern), output)
  end
  local cell = "-- %% name=\"a\" tags=[\"check\"]\n"
  checks(cell .. "check('q', true)\npcall(os.exit, 0)\n", "1 of 2 points.*os.exit was called")
  checks("-- %% tags=[\"raises-exception\"]\nos.exit(0)\n" .. cell .. "check('q', true)\n", "os.exit ends the lesson")
  checks("-- %% tags=[\"raises-exception\"]\nerror 'wanted'\n" .. cell .. "check('q', true)\n", "1 of 1 points\n$", 0)
  checks("-- %% tags=[\"raises-exception\"]\nlocal x = 1\n" .. cell .. "check('q', true)\n", "should have raised an error")
  checks("-- %%\ncheck('p', true)\nif true then return end\n" .. cell .. "check('q', false)\n", "cell 'a': the lesson did not come to it")
  checks("-- %% name=\"b\"\ncheck('p', false, 'wrong')\n" .. cell .. "check('q', true)\n", "cell 'b'\n  ✗ p: wrong\n.*1 of 1 points")
  checks(cell .. "check('q', false)\n-- %% name=\"b\" tags=[\"check\"]\ncheck('q', true)\n",
    "cell 'b': 0 of 1 points\n  ✗ q: two checks are named 'q'\n0 of 2 points")
end)

t.test("new: a lesson that lints, runs, and is a master", function()
  os.remove(folder .. "/03_stain.lua")
  t.equal({ command "new 03_stain.lua" }, { "03_stain.lua\n", 0 })
  t.equal({ command "new 03_stain.lua" }, { "giemsa: 03_stain.lua is there already\n", 1 })
  t.equal({ command "lint 03_stain.lua" }, { "", 0 })
  local output, code = command "check 03_stain.lua"
  t.ok(code == 0 and output:find "2 of 2 points\n$", output)
  t.equal(select(2, command "student 03_stain.lua -o stain.lua"), 0)
  output, code = command "check stain.lua"
  t.ok(code == 1 and output:find "0 of 2 points\n$", output)
  t.ok(io.open(folder .. "/stain.lua"):read "a":find "%-%- YOUR ANSWER HERE\n")
  output = t.shell(("LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' LUA_CPATH='%s/lib/?.so;;' lua5.4 %s/03_stain.lua")
    :format(here, here, t.build:sub(1, 1) == "/" and t.build or here .. "/" .. t.build, folder))
  if not t.is_slow then t.ok(output:find "✓ mean of the pixels", output) end
end)

t.test("student: the line ends of the master are those of the lesson", function()
  t.write(folder .. "/windows.lua", (MASTER:gsub("\n", "\r\n")) .. "-- %% [markdown]\r\n-- BEGIN SOLUTION\r\n-- because\r\n-- END SOLUTION\r\n")
  t.equal(select(2, command "student windows.lua -o unix.lua"), 0)
  local text = io.open(folder .. "/unix.lua", "rb"):read "a"
  t.ok(text:find("YOUR CODE HERE\r\n", 1, true) and text:find("YOUR ANSWER HERE\r\n", 1, true), text)
  t.ok(not text:find "[^\r]\n", text)
end)

t.test("check speaks the reader's language, and so do its checks", function()
  t.write(folder .. "/c.lua", "-- %% name=\"a\" tags=[\"check\"]\nlocal check = require 'giemsa.check'\ncheck('p', true)\ncheck('q', nil)\n")
  local wanted = "单元 'a'：1 / 2 分\n  ✓ p\n  ○ q: 尚未作答\n得分 1 / 2\n"
  t.equal(command "check c.lua --lang zh", wanted)
  for _, setting in ipairs { "GIEMSA_LANG=zh LANG=C.UTF-8", "GIEMSA_LANG= LC_ALL= LC_MESSAGES= LANG=zh_CN.UTF-8" } do
    t.equal(t.shell(("cd %s && env %s %s check c.lua"):format(t.quote(folder), setting, giemsa)), wanted, setting)
  end
end)

t.test("words too many, and names that are none, are refused", function()
  for _, line in ipairs { "check master.lua b.lua", "check --hash a 1 2", "new a.lua b.lua", "student master.lua extra -o out.lua", "grade master.lua a b",
    "run master.lua b.lua", "convert master.lua b.ipynb c.ipynb" } do
    local output, code = command(line)
    t.ok(code == 2 and output:find "is one word too many", line .. ": " .. output)
  end
  t.ok(not io.open(folder .. "/a.lua"))
  for name, pattern in pairs { ["$'a\\nb.lua'"] = "control characters", [".lua"] = "needs a name before", ["x/.lua"] = "needs a name before", ["a"] = "ends in .lua" } do
    local output, code = t.shell(("cd %s && bash -c %s"):format(t.quote(folder), t.quote(giemsa .. " new " .. name)))
    t.ok(code == 2 and output:find(pattern), name .. ": " .. output)
  end
end)

t.test("check --hash gives the line that checks an answer", function()
  if not pcall(require, "giemsa.hash") then t.skip("it needs the hash module") end
  local line = command "check --hash auc 0.9124 --digits 3"
  local check = require "giemsa.check"
  t.equal(line, ("check.answer(\"auc\", answer, %q, nil, { digits = 3 })\n"):format(check.digest("auc", 0.9124, { digits = 3 })))
end)

-- ---- submissions

local MEAN, DOUBLE = "local mean = 2.5", "local function double(x) return 2 * x end"

local function lesson(mean, double)
  return ("-- %%%% name=\"mean\" tags=[\"solution\"]\n%s\n\n-- %%%% name=\"double\"\n%s\n"):format(mean or MEAN, double or DOUBLE)
end

local submissions, expected = folder .. "/submissions", {}

-- A submission: its points of 5, and a pattern that its notes must (or, false, need not) match.
local function submits(name, text, points, notes)
  if text then t.write(submissions .. "/" .. name .. ".lua", text) end
  expected[name] = { points = points, notes = notes == nil and "^$" or notes or "" }
end

local function code(mean) return lesson(mean) end -- 3 points are the other exercise's

-- True in the student's process when a file could be opened.
local function opens(path, mode)
  return code(("local mean\nif io.open(%q, %q) then mean = 2.5 end"):format(path, mode or "r"))
end

local function attacks()
  submits("good", lesson(), 5)
  -- the checks
  submits("check-replaced", code [[
check = setmetatable({ near = function() return true end }, { __call = function() return true end })
giemsa.check, package.loaded["giemsa.check"] = check, check
require("giemsa.check").results = { { name = "mean", status = "passed" } }
local mean = 0]], 4)
  submits("string-metatable", code [[
getmetatable("").__index = function() return function() return "<346>" end end
getmetatable("").__sub = function() return 0 end
getmetatable("").__lt = function() return true end
local mean = "x"]], 3, "region 'mean'")
  submits("tensor-metatable", lesson(nil, [[
local meta = getmetatable(giemsa.tensor{ 1 })
if type(meta) == "table" then meta.__eq = function() return true end end
debug.setmetatable = nil
local function double(x) return giemsa.tensor{ 9, 9 } end]]), 2)
  submits("liar", lesson("local mean = setmetatable({}, { __lt = function() return true end, __sub = function() return 0 end })",
    "local yes = setmetatable({}, { __eq = function() return true end, __tostring = function() return '346' end })\n"
    .. "local function double() return yes end"), 0)
  submits("builtins-replaced", code [[
math.abs = function() return 0 end  type = function() return "number" end  tostring = function() return "346" end
local mean = 0]], 4, false)
  submits("package-loaded", code [[
for name in pairs(package.loaded) do package.loaded[name] = nil end
string.pack, string.unpack, table.unpack, pcall = nil
local mean = 0]], 3, "region 'mean'")
  submits("nan", code "local mean = 0 / 0", 4)
  -- its own process
  submits("os-exit", code "os.exit(0)", 3, "region 'mean': its process ended by itself %(os.exit%?%), with code 0")
  submits("os-exit-later", lesson(nil, "local function double() os.exit(7, true) end"), 2, "region 'double': .* code 7")
  submits("endless-loop", code "while true do end", 3, "region 'mean': it did not end in time")
  submits("endless-find", code "local mean = string.find(('a'):rep(1e6), ('.-'):rep(30) .. 'b')", 3, "did not end in time")
  submits("endless-pcall", code "while true do pcall(function() while true do end end) end", 3, "did not end in time")
  submits("endless-coroutine", code [[
local spin = coroutine.wrap(function() while true do pcall(coroutine.yield) end end)
while true do spin() end]], 3, "did not end in time")
  submits("endless-call", lesson(nil, "local function double(x) while x do end end"), 2, "region 'double': it did not end in time")
  submits("both-endless", lesson("while true do end", "local function double(x) while x do end end"), 0, "double.*mean")
  submits("at-exit", code [[
trap = setmetatable({}, { __gc = function() while true do end end })
local closed <close> = setmetatable({}, { __close = function() while true do end end })
local mean = 2.5]], 5, false)
  submits("gc-loop", code [[
for i = 1, 100 do setmetatable({}, { __gc = function() while true do end end }) end
collectgarbage()
local mean = 2.5]], 3, "did not end in time")
  submits("prints-much", code "local s = ('x'):rep(1 << 20) for i = 1, 1024 do io.write(s) end\nlocal mean = 2.5", 5)
  submits("allocates-string", code "local big = ('x'):rep(1 << 20):rep(1 << 10)\nlocal mean = big .. big .. big .. big .. big .. big .. big .. big .. big .. big", 3, false)
  submits("allocates-tables", code "local all, s = {}, ('x'):rep(1 << 20)\nfor i = 1, 1e9 do all[i] = s:rep(100 + i) end", 3, false)
  submits("allocates-tensor", code "local mean = giemsa.tensor.zeros(50000, 50000)", 3, false)
  submits("deep-recursion", code "local function f() return 1 + f() end\nf()", 3, false)
  submits("gives-much", code "local mean = ('x'):rep(100 << 20)", 3, "region 'mean': it gave back too much")
  submits("gives-circle", code "local mean = {} mean.mean = mean", 3, "nested deeper")
  -- other processes
  submits("fork-bomb", code [[
for i = 1, 100 do os.execute("touch stolen &") io.popen("touch stolen; sleep 100") end
local core = require "giemsa.core"
for i = 1, 100 do
  core.fork() core.start_program{ "touch", "stolen" } core.run_program{ "touch", "stolen" }
  pcall(core.start_worker, { "sleep", "100" })
end
core.exec({ "/bin/touch", "stolen" }, 9)
local mean = 2.5]], 5)
  submits("kills", code [[
local core = require "giemsa.core"
core.kill_session(core.parent())
for pid = 2, 70000 do core.kill_session(pid) end
local mean = 2.5]], 5)
  submits("network", code [[
local mean
local core = require "giemsa.core"
if core.socket_pair() then mean = 2.5 end
local ok, curl = pcall(require, "giemsa.curl")
if ok and pcall(curl.get, "http://127.0.0.1:9/") then mean = 2.5 end]], 3)
  -- files
  submits("reads-master", opens(folder .. "/master.lua"), 3)
  submits("reads-neighbour", opens(submissions .. "/good.lua"), 3)
  submits("reads-system", opens "/etc/passwd", 3)
  submits("reads-memory", opens "/proc/self/mem", 3)
  submits("writes-elsewhere", opens(folder .. "/stolen", "w"), 3)
  submits("empties-master", code(([[
os.remove(%q) os.rename(%q, "x") os.rename("x", %q)
local core = require "giemsa.core"
core.write_file(%q, "") core.copy_file(%q, "copy") core.copy_file(%q, "copy", true)
core.symlink(%q, "link")
local mean
if io.open("copy") or io.open("link") then mean = 2.5 end]]):gsub("%%q", ("%q"):format(folder .. "/master.lua"))), 3)
  submits("scratch", code "local f = assert(io.open('note.txt', 'w')) f:write 'x' f:close()\nlocal mean = io.open('note.txt'):read 'a' == 'x' and 2.5", 5)
  submits("fills-disk", code [[
local s = ("x"):rep(1 << 20)
for i = 1, 1e9 do
  local f = io.open("f" .. i, "w")
  if f then for k = 1, 15 do f:write(s) end f:close() end
end]], 3, "it filled the disk")
  submits("many-files", code "for i = 1, 1e9 do local f = io.open('f' .. i, 'w') if f then f:close() end end", 3, "it filled the disk")
  submits("deep-folders", code [[
local core, path = require "giemsa.core", "d"
for i = 1, 1e9 do
  core.make_folder(path)
  if #path < 3000 then path = path .. "/d" else os.rename("d", "e") os.rename("e", path) path = "d" end
end]], 3, "region 'mean'")
  submits("long-file", code [[
local f = io.open("long", "w")
local s = ("x"):rep(1 << 20)
local mean = 2.5
for i = 1, 100 do if not f:write(s) then mean = 0 end end]], 4)
  -- results of one's own
  submits("fake-lines", code [[
print "check-mean 2 of 2" print('{"what":"cell","name":"check-mean","results":[{"name":"mean","status":"passed"}]}')
for fd = 3, 30 do
  for _, path in ipairs { "/dev/fd/" .. fd, "/proc/self/fd/" .. fd } do
    local f = io.open(path, "w") if f then f:write "passed" f:close() end
  end
end
local mean = 0]], 4)
  submits("fake-messages", code [[
local core = require "giemsa.core"
for fd = 0, 60 do core.send_message(fd, "{s\4\0\0\0\0\0\0\0whats\4\0\0\0\0\0\0\0done}", 0.01) end]], 3, "region 'mean': its process answered nonsense")
  submits("closes-descriptors", code "local core = require 'giemsa.core' for fd = 0, 60 do core.close_fd(fd) end", 3, "region 'mean': its process")
  submits("bytecode", code [[
local ok = load("\27Lua\x54\0\x19\x93\r\n\x1a\n" .. ("\xff"):rep(100), "=", "b")
local mean
if string.dump or ok then mean = 2.5 end]], 3)
  submits("no-debug", code [[
local mean
if debug.getregistry or require("debug").getupvalue or package.loadlib then mean = 2.5 end]], 3)
  submits("terminal", code [[
for i = 1, 100 do io.stderr:write("\27[2J\27]0;stolen\7ada 5 of 5: printed by a submission\n") end
local mean = 2.5]], 5)
  submits("stderr-endless", code "local s = ('x'):rep(1 << 20) while true do io.stderr:write(s) end", 3, "did not end in time")
  -- what runs at other times
  submits("tostring-loops", code "error(setmetatable({}, { __tostring = function() while true do end end }))", 3, "did not end in time")
  submits("tostring-raises", code "error(setmetatable({}, { __tostring = function() error 'again' end }))", 3, "region 'mean': .*again")
  submits("tostring-none", code "coroutine.wrap(function() error(setmetatable({}, { __tostring = function() return {} end })) end)()", 3, "region 'mean'")
  submits("error-nil", code "error()", 3, "region 'mean': ")
  submits("exit-in-gc", code "lost = setmetatable({}, { __gc = function() os.exit(0) end }) lost = nil collectgarbage()\nlocal mean = 2.5", 3, "os.exit")
  submits("exit-in-close", code "do local x <close> = setmetatable({}, { __close = function() os.exit(3) end }) end local mean = 2.5", 3, "with code 3")
  submits("gc-later", lesson(nil, [[
local function double(x)
  for i = 1, 50 do setmetatable({}, { __gc = function() os.exit(4) end }) end
  collectgarbage()
  return 2 * x
end]]), 2, "region 'double': .* code 4")
  submits("hook-thread", code [[
local mean = coroutine.wrap(function() coroutine.wrap(function() coroutine.yield() end)() return 2.5 end)()]], 5)
  submits("c-recursion", code [[
pcall(load, "return " .. ("("):rep(1e6)) pcall(string.find, ("a"):rep(1e5), ("(a"):rep(1000)) pcall(string.match, "a", ("%b()"):rep(1e5))
local function f(s) return (s:gsub(".", f)) end pcall(f, "a")
local t = setmetatable({}, {}) getmetatable(t).__index = t pcall(function() return t.x end)
pcall(table.concat, setmetatable({}, { __len = function() return math.maxinteger end })) pcall(string.rep, "x", math.maxinteger)
pcall(table.unpack, {}, 1, 1e6)
local mean = 2.5]], 5)
  submits("format-replaced", lesson("local mean = 0", [[
string.format = function() return "<346>" end  math.abs = function() return 0 end  tostring = string.format
pairs, ipairs, next, rawequal = nil
local function double() return 173 end]]), 1, false)
  submits("internals", code [[
for _, name in ipairs { "exercise", "notebook", "cell", "check", "grade.wire", "grade.student", "grade.checker" } do
  local module = require("giemsa." .. name)
  for key in pairs(module) do module[key] = function() return true end end
end
local mean = 0]], 3, "region 'mean'")
  submits("preload", code [[
package.preload["giemsa.check"] = function() return { near = print } end
package.searchers, package.path, package.cpath = {}, "", ""
_G.require = function() return check end
local mean = 0]], 4)
  submits("debug-again", code [[
local mean
for _, place in ipairs { package.loaded, package.preload, _G } do
  if place.debug and place.debug.sethook then mean = 2.5 end
end
local found = package.searchpath and package.searchpath("debug", package.cpath)
if found or pcall(require, "debug.c") then mean = 2.5 end]], 3)
  -- other processes and what the kernel offers
  submits("stays-behind", code [[
local core = require "giemsa.core"
for _, start in ipairs { "start_program", "start_worker", "run_program" } do
  pcall(core[start], { "/bin/sh", "-c", "sleep 2; touch stolen" })
end
if core.fork(9) == 0 then while true do end end
local mean = 2.5]], 5)
  submits("environment", code [[
local core = require "giemsa.core"
core.set_environment("LD_PRELOAD", "./evil.so") core.set_environment("GIEMSA_THREADS", "99") pcall(core.threads, 64)
local mean = 2.5]], 5)
  submits("scratch-lives", code [[
local core = require "giemsa.core"
local path = core.make_scratch()
core.remove_tree "../checks" core.remove_tree ".." core.remove_tree "."
local mean = path and 0 or 2.5]], 5)
  submits("reads-descriptors", code [[
local mean
for fd = 3, 30 do
  for _, path in ipairs { "/dev/fd/" .. fd, "/proc/self/fd/" .. fd, "/proc/self/fdinfo/" .. fd } do
    if io.open(path) then mean = 2.5 end
  end
end
for _, name in ipairs { "maps", "environ", "cmdline", "root/etc/passwd", "cwd/x", "task" } do
  if io.open("/proc/self/" .. name) or io.open("/proc/1/" .. name) then mean = 2.5 end
end]], 3)
  submits("reads-devices", code [[
local mean
for _, path in ipairs { "/dev/tty", "/dev/mem", "/dev/shm/x", "/dev/pts/0", "/sys/kernel", "/var/tmp/x", "/run" } do
  if io.open(path) or io.open(path, "a") then mean = 2.5 end
end]], 3)
  -- accidents
  submits("crlf", lesson():gsub("\n", "\r\n"), 5)
  submits("bom", "\u{feff}" .. lesson(), 5)
  submits("bom-crlf", "\u{feff}" .. lesson():gsub("\n", "\r\n"), 5)
  submits("utf-16", "\xff\xfe" .. lesson():gsub(".", "%0\0"), 0, "not valid UTF%-8; region 'mean' is missing")
  submits("nul", code "local mean = 2.5 -- a \0 in a comment", 5)
  submits("nul-in-code", code "local mean = \0 2.5", 3, "region 'mean': ")
  submits("\27[31mred", lesson(), 5)
  submits("deleted", "-- %% name=\"double\"\n" .. DOUBLE, 3, "region 'mean' is missing")
  submits("doubled", lesson("local mean = 1") .. lesson(), 4, "region 'mean' is there 2 times; the first counts")
  submits("renamed", (lesson():gsub("name=\"mean\"", "name=\"maen\"")), 3, "region 'mean' is missing; cell 'maen' is not in the lesson, and was not looked at %(did you mean 'mean'%?%)")
  submits("split", lesson("local mean\n-- %%\nmean = 2.5"), 5, "region 'mean' was split into 2 cells, and put together")
  submits("unknown", lesson() .. "-- %% name=\"mine\"\nprint 'hello'\n", 5, "cell 'mine' is not in the lesson")
  submits("other-checks", lesson() .. "-- %% name=\"check-mean\" tags=[\"check\"]\n", 5, "other checks stand in check%-mean")
  submits("syntax", code "local mean = = 1", 3, "region 'mean': .*unexpected symbol")
  submits("unbalanced", lesson("local mean = 1 end do", nil), 3, "region 'mean': ")
  submits("raises", code "local mean = nil + 1", 3, "region 'mean': .*arithmetic on a nil value")
  submits("not-utf8", code "local mean = 2.5 -- \xff\xfe", 5, "the file is not valid UTF%-8")
  submits("empty", "", 0, "region 'mean' is missing; region 'double' is missing")
  submits("binary", ("\0\1\27Lua\255%\n"):rep(1000), 0, "not valid UTF%-8")
  submits("huge", (" "):rep(2 << 20), 0, "cannot be read: it is too long")
  submits("blank", (" "):rep(1000000), 0, false)
  t.shell(("cd %s && mkdir a-folder.lua nobody ada && ln -s ../master.lua linked.lua && ln -s .. folders && mkfifo pipe.lua && cp good.lua ada/master.lua")
    :format(t.quote(submissions)))
  submits("a-folder", nil, 0, "the folder holds 0 .lua files and no master.lua")
  submits("nobody", nil, 0, "the folder holds 0 .lua files")
  submits("ada", nil, 5)
  submits("linked", nil, 0, "cannot be read: it is a link")
  submits("folders", nil, 0, "cannot be read: it is a link")
  submits("pipe", nil, 0, "cannot be read: it is no ordinary file")
  submits("=cmd|' C calc'!A0", lesson(), 5)
  submits("a,b \"c\"\nd", lesson(), 5)
end

local function count_of(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

-- The rows of a CSV file, as lists of fields.
local function rows_of(text)
  local rows, row, at = {}, {}, 1
  while at <= #text do
    local field
    if text:sub(at, at) == '"' then
      local last = at
      repeat last = text:find('"', last + 1, true) + (text:find('^""', text:find('"', last + 1, true)) and 1 or 0)
      until text:sub(last + 1, last + 1):find "^[,\n]" and text:sub(at + 1, last):gsub('""', ""):sub(-1) == '"'
      field, at = text:sub(at + 1, last - 1):gsub('""', '"'), last + 1
    else
      local last = text:find("[,\n]", at)
      field, at = text:sub(at, last - 1), last
    end
    row[#row + 1] = field
    if text:sub(at, at) == "\n" then rows[#rows + 1], row = row, {} end
    at = at + 1
  end
  return rows
end

-- The rows by student, and what the command printed.
local function graded(options)
  local output, code = command("grade master.lua submissions -o grades.csv " .. (options or ""))
  t.equal(code, 0, output)
  local rows = {}
  for i, row in ipairs(rows_of(io.open(folder .. "/grades.csv"):read "a")) do
    if i > 1 then rows[row[1]:gsub("^'", "")] = row end
  end
  return rows, output
end

local function need_sandbox()
  if t.is_slow then t.skip("limits on memory and time do not fit here") end
  local ok, why = core.sandbox_check()
  if not ok then t.skip(why) end
end

local function listing() return (t.shell(("cd %s && find . -not -path './feedback*' -not -name grades.csv | sort"):format(t.quote(folder)))) end

t.test("a region that is put together ends its last line", function()
  local checker, notebook = require "giemsa.grade.checker", require "giemsa.notebook"
  local lesson = notebook.parse '-- %% name="a" tags=["solution"]\nx = 1\n\n-- %% name="b" tags=["solution"]\ny = 2\n'
  local bodies = checker.bodies('-- %% name="b"\ny = 3\n-- %% name="a"\nx = 2\n-- %%\nx = 3', lesson, lesson.cells, function() end)
  t.equal(bodies, { a = "x = 2\nx = 3\n", b = "y = 3\n" })
end)

t.test("an object in place of an answer is nonsense", function()
  local cell, checker = require "giemsa.cell", require "giemsa.grade.checker"
  local notebook, wire = require "giemsa.notebook", require "giemsa.grade.wire"
  local lesson = notebook.parse('-- %% name="a" tags=["solution"]\nx = 1\n', "lesson.lua")
  local ours, theirs = core.socket_pair()
  for _ = 1, 2 do core.send_message(theirs, wire.object(1, "userdata"), 5) end
  local events = {}
  checker.run({ session = cell.session(lesson), regions = lesson.cells, lesson = lesson, text = lesson:text(), excluded = {}, fd = ours,
    seconds = 5, last = 1 }, function(event) events[#events + 1] = event end)
  core.close_fd(ours)
  core.close_fd(theirs)
  t.equal(events, { { what = "lost", region = "a", why = "its process answered nonsense" }, { what = "done" } })
end)

t.test("each attack and accident gets its row, and nothing else changes", function()
  need_sandbox()
  t.shell("mkdir " .. t.quote(submissions))
  attacks()
  local before = listing()
  local rows, output = graded "--seconds 4 --memory 1024"
  t.ok(not output:find "printed by a submission" and not output:find("\27", 1, true) and #output < 100 * count_of(expected), "a submission writes on the terminal")
  local problems, count = {}, 0
  for name, wanted in pairs(expected) do
    local row = rows[name:gsub("\27", "")] or {}
    count = count + 1
    local is_right = row[2] == tostring(wanted.points) and row[3] == "5"
    if not is_right or not row[6]:find(wanted.notes) then
      problems[#problems + 1] = ("%s: wanted %s points (%s), got %s of %s (%s)"):format(name, wanted.points, wanted.notes,
        tostring(row[2]), tostring(row[3]), tostring(row[6]))
    end
  end
  table.sort(problems)
  t.ok(#problems == 0, "\n  " .. table.concat(problems, "\n  "))
  t.ok(count >= 25)
  t.equal(count_of(rows), count)
  t.equal(listing(), before)
  t.equal(io.open(folder .. "/master.lua"):read "a", MASTER)
end)

t.test("the pages and the table are safe to open", function()
  need_sandbox()
  t.shell(("rm -rf %s && mkdir %s"):format(t.quote(submissions), t.quote(submissions)))
  t.write(submissions .. "/<b>&.lua", lesson("error '<script>'"))
  t.write(submissions .. "/=1+1.lua", lesson())
  graded()
  local page = io.open(folder .. "/feedback/_b__.html"):read "a"
  t.ok(page:find("&lt;script&gt;", 1, true) and not page:find("<script", 1, true) and page:find("&lt;b&gt;&amp;", 1, true), page)
  t.ok(page:find("<strong>3</strong> of 5 points", 1, true) and page:find('<li class="passed">a tensor', 1, true), page)
  t.ok(not page:find("twice as much", 1, true), "a hint for what is right")
  local table_text = io.open(folder .. "/grades.csv"):read "a"
  t.ok(table_text:find("\n\"'=1+1\",5,5,2,3,\n", 1, true), table_text)
  t.ok(table_text:find "^student,points,of,check%-mean,check%-double,notes\n", table_text)
end)

-- Runs a command with a kernel that does not know these system calls (a seccomp filter answers ENOSYS).
local WITHOUT = [==[
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
calls = [int(n) for n in sys.argv[1].split(",")]
code = [(0x20, 0, 0, 0)] # load the number of the call
for i, n in enumerate(calls):
    code.append((0x15, len(calls) - i, 0, n)) # is it this one: the last line
code += [(0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050000 | 38)]
filter = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(filter)))
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
    sys.exit("no seccomp here")
os.execvp(sys.argv[2], sys.argv[2:])
]==]

t.test("where Landlock, seccomp or limits are missing nothing is graded, and it says why", function()
  need_sandbox()
  if select(2, t.shell "command -v python3") ~= 0 then t.skip "it takes python3 to hide a system call" end
  local is_arm = t.shell "uname -m":find "aarch64"
  local launcher = t.write(folder .. "/without.py", WITHOUT)
  t.shell(("cd %s && rm -rf one && mkdir one && rm -f one.csv"):format(t.quote(folder)))
  t.write(folder .. "/one/ada.lua", lesson(("io.open(%q, 'w')\n%s"):format(folder .. "/was-run", MEAN)))
  for _, missing in ipairs { { calls = "444,445,446", says = "Landlock" }, { calls = is_arm and "277,167" or "317,157", says = "seccomp" },
    { calls = is_arm and "164,261" or "160,302", says = "limits" } } do
    local output, exit_code = t.shell(("cd %s && python3 %s %s %s grade master.lua one -o one.csv"):format(t.quote(folder), launcher, missing.calls, giemsa))
    t.equal(exit_code, 1, output)
    t.ok(output:find("submissions cannot be enclosed, so they are not run", 1, true) and output:find(missing.says, 1, true), output)
  end
  t.ok(not io.open(folder .. "/one.csv") and not io.open(folder .. "/was-run"))
end)

t.test("on a system that cannot enclose nothing is graded", function()
  local ok, why = core.sandbox_check()
  if ok then t.skip "this one can" end
  t.write(folder .. "/master.lua", MASTER)
  t.shell(("cd %s && mkdir -p one && rm -f one.csv"):format(t.quote(folder)))
  t.write(folder .. "/one/ada.lua", lesson(("io.open(%q, 'w')\n%s"):format(folder .. "/was-run", MEAN)))
  t.equal({ command "grade master.lua one -o one.csv" }, { "giemsa: submissions cannot be enclosed, so they are not run: " .. why .. "\n", 1 })
  t.ok(not io.open(folder .. "/one.csv") and not io.open(folder .. "/was-run"))
end)

t.test("nothing is graded when a submission could read the master or its neighbours; the master is no table", function()
  need_sandbox()
  t.shell(("cd %s && rm -rf course && mkdir -p course/data course/all && cp master.lua course && ln -s . course/link"):format(t.quote(folder)))
  t.write(folder .. "/course/data/n.txt", "2.5")
  t.write(folder .. "/course/all/ada.lua", lesson "local mean = tonumber(io.open('data/n.txt'):read 'a')")
  local function says(words, pattern, wanted)
    local output, exit_code = command("grade " .. words)
    t.ok(exit_code == wanted and output:find(pattern), output)
  end
  for _, data in ipairs { "course", "course/", "course/../course", "course/link", ".", "/", folder } do
    says("course/master.lua course/all -o course.csv --data " .. data, "every submission could read course/master.lua, since it lies in /", 1)
  end
  says("master.lua course/all -o course.csv --data course/all", "every submission could read course/all", 1)
  t.ok(not io.open(folder .. "/course.csv"))
  says("course/master.lua course/all -o course.csv --data course/data", "ada +5 of 5", 0)
  local output, exit_code = t.shell(("cd %s/course/data && TMPDIR=%s %s grade ../master.lua ../all -o ../../course.csv --data ."):format(folder, scratch, giemsa))
  t.ok(exit_code == 0 and output:find "ada +5 of 5", output)
  says("course/master.lua course/all -o course/master.lua", "the table of grades; it cannot be course/master.lua", 2)
  says("course/master.lua course/all -o other.lua", "the table of grades, a .csv; not other.lua", 2)
  t.equal(io.open(folder .. "/course/master.lua"):read "a", MASTER)
  says("master.lua course/data -o course.csv", "left out, as no .lua files: n.txt\n.*holds no submissions", 1)
  t.equal(t.shell(("ls %s"):format(t.quote(scratch))), "", "a scratch folder stays")
end)

t.test("Ctrl-C, or no place for scratch folders: no grades, and nothing stays behind", function()
  need_sandbox()
  t.shell(("cd %s && rm -rf one one.csv && mkdir one"):format(t.quote(folder)))
  t.write(folder .. "/one/ada.lua", lesson "while true do end")
  local output, exit_code = t.shell(("cd %s && TMPDIR=%s timeout --preserve-status -s INT 2 %s grade master.lua one -o one.csv --seconds 50"):format(folder, scratch, giemsa))
  t.equal({ output, exit_code }, { "giemsa: no grades were written: interrupted!\n", 130 })
  output, exit_code = t.shell(("cd %s && TMPDIR=%s/absent %s grade master.lua one -o one.csv"):format(folder, scratch, giemsa))
  t.ok(exit_code == 1 and output:find("^giemsa: no grades were written: cannot make a folder in .*/absent: No such file or directory\n$"), output)
  t.ok(not io.open(folder .. "/one.csv"))
  t.equal(t.shell(("ls %s"):format(t.quote(scratch))), "", "a scratch folder stays")
end)

t.test("an archive of a class is graded like the folder", function()
  need_sandbox()
  if not pcall(require, "giemsa.zip") then t.skip "built without libzip" end
  t.write(folder .. "/class.zip", require "tests.made.zip" { { "class/ada_1_file_/mine.lua", lesson() }, { "class/bo.lua", lesson "os.exit(0)" },
    { "class/../../eva.lua", lesson() } })
  local output, exit_code = command "grade master.lua class.zip -o class.csv"
  t.equal(exit_code, 0, output)
  t.equal(io.open(folder .. "/class.csv"):read "a":match "\n(.*)", "ada_1_file_,5,5,2,3,\n"
    .. "bo,3,5,0,3,\"region 'mean': its process ended by itself (os.exit?), with code 0\"\n"
    .. "class/../../eva.lua,0,5,0,0,cannot be read: the name leads out of the folder (..)\n")
end)

t.test("a master that cannot grade says why", function()
  need_sandbox()
  local function says(text, pattern)
    t.write(folder .. "/wrong.lua", text)
    local output, exit_code = command "grade wrong.lua submissions -o wrong.csv"
    t.ok(exit_code == 1 and output:find(pattern), output)
    t.ok(not io.open(folder .. "/wrong.csv"))
  end
  says("-- %%\nlocal x = 1\n", "wrong.lua: no cell is tagged \"solution\"")
  says("-- %% tags=[\"solution\"]\nlocal x = 1\n", "wrong.lua:1: a cell that is graded needs a name of its own")
  says("-- %% name=\"a\" tags=[\"solution\"]\nlocal x = 1\n", "no checks stand behind")
  says((MASTER:gsub("return 2 %* x", "return 3 * x")), "its own solutions do not pass when graded:\n  check 'a number': twice as much\n  check 'a tensor'")
  says((MASTER:gsub('check%("not a text"', 'check("mean"')), "check 'mean': two checks are named 'mean'")
  says((MASTER:gsub('check%("a number"', 'check("mean"')), "check 'mean': two checks are named 'mean'")
  says((MASTER:gsub("local numbers", "error 'no data'\nlocal numbers")), "wrong.lua:%d+: no data")
end)

t.done()
