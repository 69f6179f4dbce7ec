--- The program: like lua5.4 on the command line. Its prompt is in tests/prompt.lua.
local t = require "tests.harness"

local giemsa = t.program
local folder = t.tmpdir()
local function file(name, text) return t.write(folder .. "/" .. name, text) end

local script = file("script.lua", [[print(#arg, arg[0] and "script", ...) return 7]])
local failing = file("failing.lua", "local function f() error('broken') end\nf()")
local object = file("object.lua", "error(setmetatable({}, {__tostring = function() return 'an object' end}))")
file("module.lua", "return {name = ...}")

-- Each must print the same, and end with the same code, as under lua5.4.
local COMMANDS = {
  "-e 'print(1 + 1)'", "-e 'x = 5' -e 'print(x)'", "-e'print(3)'", "-e 'error(\"no\")'", "-e 'x ='", "-e 'error({})'",
  "-e 'error(nil)'", "-e 'os.exit(3)'", "-e 'os.exit(true, true)'", "-e 'warn(\"@on\") warn(\"hm\")'", "-W -e 'warn(\"hm\")'",
  "-v", "-v -e 'print(2)'", "-l module -e 'print(module.name)'", "-l m=module -e 'print(m.name)'", "-l nowhere 2>&1 | head -2",
  script, script .. " a 'b c' d", "-- " .. script .. " x", "-e 'y = 1' " .. script .. " -e z", "- a b < " .. script, "- < /dev/null",
  failing, object, folder .. "/missing.lua", "< " .. script, "-i -e 'print(9)' < /dev/null",
  "-e 'print(...)' -", "-e 'for i = -2, 3 do print(arg[i]) end' | tail -5",
  "-e 'print(coroutine.wrap(function(...) return select(\"#\", ...), coroutine.isyieldable() end)(1, 2))'",
  "-e 'coroutine.wrap(function() error(\"inside\") end)()' 2>&1 | head -1", "-e 'coroutine.resume(1)' 2>&1 | head -1",
  "-e 'print(pcall(coroutine.wrap(function() local x <close> = setmetatable({}, {__close = print}) error({}) end)))' | cut -c1-5",
  "-e 'f = coroutine.wrap(function() coroutine.yield(1, nil) end) print(f()) print(f()) print(pcall(f))'",
  "-e 'print(coroutine.close(coroutine.create(print)), coroutine.resume(coroutine.create(print), 1, 2))'",
  "-e 'print(pcall(coroutine.close, 1)) print(pcall(coroutine.close, coroutine.running())) coroutine.close(1)'",
  "-e 'm = coroutine.running() print(coroutine.wrap(function() return pcall(coroutine.close, m) end)())'",
  "-e 'c = coroutine.create(error) coroutine.resume(c, 7) print(coroutine.close(c)) print(coroutine.close(c))'",
  "-e 'c = coroutine.wrap(function() local x <close> = setmetatable({}, {__close = function() error(8, 0) end}) error(7, 0) end) print(pcall(c))'",
  "-e 'print(collectgarbage(\"incremental\"))'",
}

-- The command line under one of the programs, with that program's name and addresses taken out of what it prints.
local function behaviour(program, command)
  local output, code = t.shell(("cd %s && LUA_PATH='./?.lua' %s %s"):format(folder, program, command))
  output = output:gsub(program:gsub("%p", "%%%0"), "PROGRAM"):gsub("0x%x+", "ADDRESS")
  return output, code
end

local has_lua = select(2, t.shell("command -v lua5.4")) == 0
local absolute = giemsa:sub(1, 1) == "/" and giemsa or (t.shell("pwd"):gsub("\n", "")) .. "/" .. giemsa
for _, command in ipairs(COMMANDS) do
  t.test("as lua5.4: " .. command:gsub(folder, "."), function()
    if not has_lua then t.skip("no lua5.4 here") end
    local want, want_code = behaviour("lua5.4", command)
    local got, code = behaviour(absolute, command)
    t.equal(got, want)
    t.equal(code, want_code)
  end)
end

t.test("LUA_INIT", function()
  t.equal(t.shell("LUA_INIT='print(1)' LUA_INIT_5_4='print(2)' " .. giemsa .. " -e 'print(3)'"), "2\n3\n")
  t.equal(t.shell("LUA_INIT='@" .. script .. "' " .. giemsa .. " -e 'print(3)'"), "2\tscript\n3\n")
  t.equal(t.shell("LUA_INIT='print(1)' " .. giemsa .. " -E -e 'print(3)'"), "3\n")
  local output, code = t.shell("LUA_INIT='error(\"early\")' " .. giemsa .. " -e 'print(3)'")
  t.ok(output:find("LUA_INIT:1: early") and code == 1, output)
end)

t.test("bad options", function()
  for option, message in pairs { ["-x"] = "unrecognized option '-x'", ["-vv"] = "unrecognized option '-vv'",
    ["-e"] = "'-e' needs argument", ["--nothing"] = "unrecognized option '--nothing'" } do
    local output, code = t.shell(giemsa .. " " .. option)
    t.ok(output:find(message, 1, true) and output:find("usage:") and code == 1, output)
  end
end)

t.test("--help and --version", function()
  local help, code = t.shell(giemsa .. " --help")
  t.ok(help:find("^usage: ") and help:find("%-%-version") and code == 0, help)
  local version
  version, code = t.shell(giemsa .. " --version")
  t.ok(version:find("^giemsa %d+%.%d+%.%d+\nLua 5%.4") and code == 0, version)
end)

t.test("modules are found from anywhere, and through a link", function()
  local link = folder .. "/link"
  t.shell(("ln -s %s %s"):format(absolute, link))
  t.equal(t.shell(("cd / && env -u LUA_PATH -u LUA_CPATH %s -E -e 'print(#require(\"giemsa.core\").isa() > 0)'"):format(link)), "true\n")
end)

t.test("make install: the program and plain lua5.4 find giemsa; make uninstall leaves nothing", function()
  if t.sanitizer ~= "" or not giemsa:find("^" .. t.build) then t.skip("installed from an ordinary build only") end
  local prefix = folder .. "/prefix"
  local make = ("env -u MAKEFLAGS -u MAKELEVEL make -s -o all BUILD=%s PREFIX=%s "):format(t.build, prefix)
  local output, code = t.shell(make .. "install")
  t.equal(code, 0, output)
  local script = t.quote("print(package.searchpath('giemsa', package.path), #require('giemsa.core').isa() > 0)")
  local where = prefix .. "/share/lua/5.4/giemsa/init.lua\ttrue\n"
  t.equal(t.shell(("cd / && %s/bin/giemsa -E -e %s"):format(prefix, script)), where)
  t.equal(t.shell(("cd / && LUA_PATH='%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua' LUA_CPATH=%s/lib/lua/5.4/?.so lua5.4 -e %s"):format(
    prefix, prefix, prefix, script)), where)
  t.equal(t.shell(make .. "uninstall && find " .. prefix .. " -name '*giemsa*'"), "")
end)

t.test("GIEMSA_ISA", function()
  local isa = t.sanitizer == "" and "base" or require("giemsa.core").isa() -- those are built for one only
  t.equal(t.shell("GIEMSA_ISA=" .. isa .. " " .. giemsa .. " -e 'print(require(\"giemsa.core\").isa())'"), isa .. "\n")
  local output, code = t.shell("GIEMSA_ISA=v9 " .. giemsa .. " -e 'require \"giemsa.core\"'")
  t.ok(code == 1 and output:find("no core for GIEMSA_ISA=v9.*" .. isa), output)
end)

t.test("OpenBLAS is loaded for a large product, and not before", function()
  local code = ([[
    local giemsa = require "giemsa"
    local function count()
      return select(2, io.open("/proc/self/maps"):read("a"):gsub("openblas", "")) > 0
    end
    local nn, x = giemsa.nn, giemsa.tensor.ones(2, 8, 8, 3)
    local model = nn.Sequential{ nn.Conv2D{ 4, 3, input_shape = { 8, 8, 3 } }, nn.Flatten{}, nn.Dense{ 2 } }
    print(model(x).shape[2], count())
    local big = giemsa.tensor.ones(100, 100)
    print(big:matmul(big)[100][100], count())
  ]]):gsub("\n", " ")
  t.equal(t.shell(giemsa .. " -e " .. t.quote(code)), "2\tfalse\n100.0\ttrue\n")
end)

-- The thread sanitizer holds signals back until the program calls into the C library, which a loop never does.
local function need_signals()
  if t.sanitizer == "thread" then t.skip("the thread sanitizer holds signals back") end
end

t.test("a misspelt command is told from a script that is not there", function()
  local output, code = t.shell(t.program .. " lesons")
  t.ok(code == 1 and output:find("no file and no command 'lesons'", 1, true) and output:find("--help", 1, true), output)
  output, code = t.shell(t.program .. " lesons.lua")
  t.ok(code == 1 and output:find("cannot open lesons.lua", 1, true), output)
end)

t.test("Ctrl-C ends an endless loop, and one in a coroutine", function()
  need_signals()
  for _, loop in ipairs { "while true do end", [[
    c = coroutine.create(function()
      local x <close> = setmetatable({}, { __close = function() while true do end end })
      coroutine.yield()
    end)
    coroutine.resume(c)
    error(select(2, coroutine.close(c)))]], "coroutine.wrap(function() while true do end end)()",
    "f = coroutine.create(function() coroutine.wrap(function() while true do end end)() end) error((select(2, coroutine.resume(f))))" } do
    local output, code = t.shell(("timeout -k 10 --foreground -s INT 0.5 %s -e %s"):format(giemsa, t.quote(loop)))
    t.ok(output:find("interrupted!"), output)
    t.equal(code, 124) -- timeout's own way to say that it sent the signal
  end
end)

t.done()
