--- The evaluator: a notebook means what the script means. Each sample prints the same as a plain
-- script, run forward, and with every cell compiled alone.
local t = require "tests.harness"
local cell = require "giemsa.cell"
local notebook = require "giemsa.notebook"
local syntax = require "giemsa.syntax"

local SAMPLES = {}
local function sample(name, text) SAMPLES[#SAMPLES + 1] = { name = name, text = text } end

sample("closures and cells share variables", [[
-- %% name="a"
local x = 1
local function get() return x end
local function set(v) x = v end
-- %% name="b"
x = x + 1 print(get())
set(10) print(x)
-- %% name="c"
local x = "new" print(x, get()) set(11)
-- %% name="d"
print(x, get())
for i = 1, 3 do local x = i set(x) end print(x, get())
]])
sample("constants of both kinds", [[
-- %%
local a <const>, s <const>, t <const>, n <const>, f <const>, z <const> = 5, "two\nlines\"", { 1 }, nil, 0.1, false
local k <const> = 7
local text <const> = "a\nb"
local none <const> = nil
local no <const> = false
-- %%
t[1] = t[1] + k print(a, s, t[1], n, f, z, k, text, none, no)
-- %%
local function g() return k + a + t[1], text end
-- %%
print(g()) print(load("return 1")())
]])
sample("goto, labels, loops, blocks", [[
-- %%
local i = 1
do local hidden = 5 goto over print "no" ::over:: print(hidden) end
-- %%
for j = 1, 3 do if j == 2 then goto continue end print(j) ::continue:: end
while i < 3 do i = i + 1 if i == 2 then goto skip end break ::skip:: end print(i)
repeat local done = true until done
-- %%
goto finish
print "not reached"
::finish:: print "end"
]])
sample("names declared again, functions that call themselves", [[
-- %%
local function fact(n) return n < 2 and 1 or n * fact(n - 1) end
local a, b, a = 1, 2, 3
-- %%
print(fact(5), a, b)
local a = a + 1
local function fact() return "other" end
-- %%
print(fact(), a) local a = a * 2 local a = a * 2 print(a)
-- %%
function global_function() a = a + 1 return a end
print(global_function(), a) global_function = nil
]])
sample("variables that are closed", [[
-- %%
local function closing(name) return setmetatable({ name = name }, { __close = function(self) print("close " .. self.name) end }) end
local one <close> = closing "one"
-- %%
local two <close>, three = closing "two", 3
do local inner <close> = closing "inner" end
-- %%
print(one.name, two.name, three)
]])
sample("coroutines, generators, pcall", [[
-- %%
local function gen(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end) end
local co = coroutine.create(function(a) local b = coroutine.yield(a + 1) return b * 2 end)
-- %%
for v in gen(3) do print(v) end
print(coroutine.resume(co, 1))
-- %%
print(coroutine.resume(co, 10)) print(coroutine.status(co), pcall(error, "e"))
print(pcall(function() coroutine.wrap(function() error "inside" end)() end))
]])
sample("metatables, varargs, environments", [[
-- %%
local mt = { __index = function(_, k) return k .. "!" end, __call = function(self, ...) return select("#", ...) end }
local o = setmetatable({}, mt)
print(o.x, o(1, nil, nil), select("#", ...))
-- %%
do local _ENV = { print = print } x = 5 print(x) end
print(x)
-- %%
local print = function(...) print("mine", ...) end
-- %%
print(o.y)
]])
sample("an environment of one's own at the top level", [[
-- %%
local print, G = print, _G
local _ENV = { z = 1 }
-- %%
z = z + 1 w = 3
-- %%
print(z, w, G.z)
]])
sample("text cells, comments, odd ends", [[
#!/usr/bin/env lua5.4
-- ---
-- title: T
-- ---

-- %% [markdown]
-- print "text"

-- %%
local x = 1 -- a comment
-- %% [markdown]
-- # more
-- %%
(print)(x) --[=[ long
comment ]=]
-- %%
-- nothing but a comment
-- %%
local s = [==[
two lines]==] print(s) -- end]])
sample("a return at the end", "-- %%\nlocal x = 1\n-- %%\nprint(x)\nreturn x, 2\n")
sample("a return within a block, before the last cell", "-- %%\nlocal x = 1 print(x)\nif x then return end\n-- %%\nprint 'no'\n")
sample("a byte order mark", "\xEF\xBB\xBF#! anything\n-- %%\nlocal x = 1\n-- %%\nprint(x)\n")
sample("code before the first marker", "local x = 5 print(x)\n-- %%\nprint(x + 1)")
sample("no cell at all", "print 'plain'")
sample("an empty file", "")

do -- as many locals as a function may have
  local names, sum = {}, {}
  for i = 1, 198 do names[i], sum[i] = "v" .. i, i end
  sample("198 locals", ("-- %%%%\nlocal %s = %s\n-- %%%%\nlocal total = 0\n%s\n-- %%%%\nprint(total, v1, v198)\nv7 = 0\n"
    .. "-- %%%%\nprint((function() return v7 + v198 end)())")
    :format(table.concat(names, ","), table.concat(sum, ","), (table.concat(names, "\n"):gsub("v%d+", "total = total + %0"))))
end

-- What f prints, and what it gives.
local function printed(f)
  local lines, print_before = {}, print
  print = function(...)
    local words = table.pack(...)
    for i = 1, words.n do words[i] = tostring(words[i]) end
    lines[#lines + 1] = table.concat(words, "\t")
  end
  local result = table.pack(pcall(f))
  print = print_before
  if not result[1] then error(result[2], 0) end
  return table.concat(lines, "\n"), result[2]
end

local function plainly(text)
  return printed(function() return assert(load(syntax.script(text), "@lesson.lua"))() end)
end

-- Runs all cells; `before` is called before each.
local function by_cells(text, before)
  return printed(function()
    local session = assert(cell.session(notebook.parse(text, "lesson.lua")))
    local outcome
    while session.next do
      if before then before(session) end
      outcome = session:run(session.next)
      if not outcome.ok then error(outcome.message .. "\n" .. table.concat(outcome.traceback, "\n"), 0) end
    end
    session:close()
    return outcome and outcome.values[1]
  end)
end

for _, one in ipairs(SAMPLES) do
  t.test(one.name .. ": forward", function()
    t.equal(table.pack(by_cells(one.text)), table.pack(plainly(one.text)))
  end)
  t.test(one.name .. ": each cell alone", function()
    local text = one.text
    local alone = by_cells(text, function(session) session:leave_forward() end)
    t.equal(alone, (plainly(text)))
  end)
  t.test(one.name .. ": forward, then alone", function()
    local n = 0
    local mixed = by_cells(one.text, function(session)
      n = n + 1
      if n == 3 then session:leave_forward() end
    end)
    t.equal(mixed, (plainly(one.text)))
  end)
end

local function session_of(text) return assert(cell.session(notebook.parse(text, "lesson.lua"))) end

t.test("a loop over cells with goto runs forward as the script does", function()
  local text = "-- %%\nlocal i = 0\n-- %%\n::top:: i = i + 1\n-- %%\nprint(i)\nif i < 3 then goto top end\n"
  t.equal(by_cells(text), (plainly(text)))
end)

t.test("errors: true file and line, the script's frames only", function()
  local text = "-- %%\nlocal function f()\n  error 'oops'\nend\n-- %%\nlocal kept = 5\nlocal function g() f() end g()\n-- %%\nprint(kept)\n"
  for _, forward in ipairs { true, false } do
    local session = session_of(text)
    if not forward then session:leave_forward() end
    t.ok(session:run(1).ok)
    local outcome = session:run(2)
    t.equal(outcome.message, "lesson.lua:3: oops")
    t.equal(#outcome.traceback, 3)
    t.ok(outcome.traceback[1]:find("^lesson.lua:3: in .*'f'"), outcome.traceback[1])
    t.equal(outcome.traceback[3], "lesson.lua:7: in main chunk")
    t.equal(session:eval("kept").values[1], 5) -- the state stays
    t.equal(printed(function() t.ok(session:run(3).ok) end), "5")
  end
end)

t.test("errors that are no text, and in every corner", function()
  local function told(body) return session_of("-- %%\n" .. body):run(1).message end
  t.equal(told "error({})", "(error object is a table value)")
  t.equal(told "error(setmetatable({}, { __tostring = function() return 'obj' end }))", "obj")
  t.equal(told "error()", "(error object is a nil value)")
  t.equal(told "local x = nil + 1", "lesson.lua:2: attempt to perform arithmetic on a nil value")
  t.equal(told "\n\ncoroutine.yield(1)", "lesson.lua:4: attempt to yield from outside a coroutine")
  t.ok(told("coroutine.wrap(function() error 'deep' end)()"):find "lesson.lua:2: deep")
  t.ok(told("local function f() return f() + 1 end f()"):find "stack overflow")
end)

t.test("what does not compile is told as lua tells it", function()
  local function told(text) return select(2, cell.session(notebook.parse(text, "lesson.lua"))) end
  t.equal(told "-- %%\nx = = 1", "lesson.lua:2: unexpected symbol near '='")
  t.ok(told("-- %%\nreturn 1\n-- %%\nprint(1)"):find "lesson.lua:4: <eof> expected near 'print'")
  t.ok(told("-- %%\nfor i = 1, 2 do\n-- %%\nend"):find("lesson.lua:2: a block that begins here goes on in the next cell", 1, true))
  t.ok(told("-- %%\nlocal s = [[\n-- %% x\n]]"):find("lesson.lua:3: this marker lies within a string", 1, true))
  local many = {}
  for i = 1, 201 do many[i] = "local v" .. i end
  t.ok(told("-- %%\n" .. table.concat(many, "\n")):find("lesson.lua:202: too many local variables", 1, true))
end)

t.test("the prompt reads and writes the lesson's variables", function()
  local session = session_of "-- %%\nlocal x, k <const> = 1, 2\nlocal c <const> = 3\n-- %%\nprint(x)\n-- %%\nlocal late = 1\n"
  session:run(1)
  t.equal(session:names(), { "c", "k", "x" })
  t.equal(session:eval("x = 5").ok, true)
  t.equal(session:eval("x, k, c").values, { n = 3, 5, 2, 3 })
  for _, name in ipairs { "k", "c" } do
    t.equal(session:eval(name .. " = 1").message, "stdin:1: attempt to assign to const variable '" .. name .. "'")
  end
  t.equal(session:eval("local mine = 3\nmine").values[1], 3)
  t.equal(session:eval("mine + x").values[1], 8)
  t.equal(printed(function() session:run(2) end), "5") -- still forward
  t.ok(session.thread, "the script goes on as one")
  t.equal(session:eval("late").values[1], nil)
  t.equal(session:eval("x = ").message, "stdin:1: unexpected symbol near <eof>")
  t.equal(session:eval("local a = 1; a + 1").values[1], 2)
  t.equal(session:eval("local t = {\n1, 2,\n}\n#t").values[1], 2)
  t.equal(session:eval("f = math.abs\nf(-2)").values[1], 2)
  t.equal(session:eval("x = math.abs(\n-7)\n").values.n, 0)
  t.equal(session:get "x", 7)
  f = nil
end)

t.test("a cell run again: new variables for what it declares, the old ones stay with old closures", function()
  local session = session_of "-- %%\nlocal n = 0\n-- %%\nlocal list = {}\nn = n + 1\n-- %%\nlocal function get() return n, list end\n"
  session:run(1) session:run(2) session:run(2) session:run(3)
  t.equal(session:eval("n").values[1], 2)
  session:go_to(1) session:run(1)
  t.equal(session:eval("n").values[1], 0)
  t.equal(session:eval("get").values[1], nil) -- it is after the place where the lesson stands
end)

t.test("an edited cell", function()
  local text = "-- %%\nlocal a = 1\n-- %%\nlocal b = a\n-- %%\nprint(a, b, c)\n"
  local session = session_of(text)
  session:run(1) session:run(2)
  local ok, message = session:replace(notebook.parse(text:gsub("b = a", "b = = a"), "lesson.lua"))
  t.ok(not ok and message:find "lesson.lua:4: unexpected", message)
  t.ok(session:replace(notebook.parse(text:gsub("local b = a", "local b, c = a + 1, 'c'"), "lesson.lua")))
  session:go_to(2) session:run(2)
  t.equal(printed(function() t.ok(session:run(3).ok) end), "1\t2\tc")
end)

t.test("a cell that is not to run keeps its lines", function()
  local text = "-- %%\nlocal a = 1\n-- %% tags=[\"skip-execution\"]\na = 2\nerror 'no'\n-- %%\nprint(a) error 'here'\n"
  local session = session_of(text)
  local shown = printed(function()
    session:run(1) t.ok(session:run(2).ok)
    t.equal(session:run(3).message, "lesson.lua:7: here")
  end)
  t.equal(shown, "1")
end)

t.done()
