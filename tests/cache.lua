--- Kept results of cells: the second run shows and computes the same without running them; what cannot
-- be kept rightly is refused, with the reason.
local t = require "tests.harness"
local runlog = require "giemsa.runlog"

local folder = t.tmpdir()
local here = t.shell("pwd"):gsub("\n", "")
local giemsa = t.program:sub(1, 1) == "/" and t.program or here .. "/" .. t.program
local SETUP = '-- %% name="setup"\nlocal giemsa = require "giemsa"\nlocal core = require "giemsa.core"\nlocal tensor = giemsa.tensor\n'
  .. 'giemsa.random.seed(5)\nlocal base, number = { 1, { 2 } }, 7\nlocal w = tensor.zeros(2)\nlocal function bump() base[1] = base[1] + 1 return base[1] end\n'

local function run(text, options, setting)
  t.write(folder .. "/lesson.lua", text)
  return t.shell(("cd %s && %s GIEMSA_IMAGES=none %s run lesson.lua %s"):format(folder, setting or "", giemsa, options or ""))
end

local function status(name)
  local log = assert(runlog.read(folder .. "/out/runs/lesson/latest/log.jsonl"))
  for _, cell in pairs(log.cells) do
    if cell.name == name then return cell.status, cell.outputs end
  end
end

local function need_hash()
  if not pcall(require, "giemsa.hash") then t.skip "no nettle here" end
end

t.test("values, outputs, pictures and random numbers are those of the first run", function()
  need_hash()
  local text = SETUP .. [[
-- %% name="slow" cache=true
local x = tensor.uniform{ 3, 3 }
local data = { list = { 1, 2.5, "x\n\0" }, [true] = 0.1, inf = 1 / 0, empty = {} }
data.self = data
G = { 7 }
local k <const> = 5
print("computing", x[1][1]) io.stderr:write "to stderr\n"
require "giemsa.display"(giemsa.image.from_tensor(tensor.zeros(4, 4, 3)))
-- %% name="use"
print(x[3][2], data.list[3] == "x\n\0", data.self == data, data[true], data.inf, next(data.empty), G[1], k, giemsa.random.uniform())
data.list[1] = 2 number = number + k
print(number)
]]
  local first, code = run(text)
  t.equal(code, 0, first)
  t.equal({ (status "slow") }, { "ok" })
  local _, before = status "slow"
  local second = run(text)
  t.equal(second:gsub("runs/lesson/%d+", ""), (first:gsub("runs/lesson/%d+", "")))
  local now, after = status "slow"
  t.equal(now, "cached")
  t.equal(#after, #before)
  for i, output in ipairs(after) do t.equal({ output.kind, output.text, output.data }, { before[i].kind, before[i].text, before[i].data }) end
  run(text, "--fresh")
  t.equal({ (status "slow") }, { "ok" })
  run(text)
  t.equal({ (status "slow") }, { "cached" })
end)

t.test("what it depends on: its text, earlier code, earlier values, seed, arguments, files, settings", function()
  need_hash()
  local text = SETUP .. '-- %% name="before"\nlocal f <close> = io.open "value"\nlocal value = f and f:read "a"\n'
    .. '-- %% name="slow" cache=true\nlocal y = { value, base[1] }\nlocal other = os.getenv "OTHER"\nfor line in io.lines "data" do y[#y + 1] = line end\n'
  local function is(wanted, what, changed, options, setting)
    local output = run(changed or text, options, setting)
    t.equal(status "slow", wanted, what .. "\n" .. output)
  end
  t.write(folder .. "/data", "1\n")
  is("ok", "first")
  is("cached", "second")
  is("ok", "its text", text .. "-- more\n")
  is("ok", "earlier code", (text:gsub("number = { 1", "number = { 1.5")))
  is("cached", "again")
  t.write(folder .. "/value", "another")
  is("ok", "an earlier value")
  is("cached", "again")
  is("ok", "seed", nil, "--seed 9")
  is("ok", "arguments", nil, "-- word")
  t.write(folder .. "/data", "2\n")
  is("ok", "a file that it reads")
  is("ok", "a setting that it reads", nil, nil, "OTHER=1")
end)

local function refused(body, reason)
  local output = run(SETUP .. '-- %% name="slow" cache=true\n' .. body .. "\n")
  t.ok(output:find("cell 'slow' is not cached: " .. reason, 1, true), output)
  run(SETUP .. '-- %% name="slow" cache=true\n' .. body .. "\n")
  t.ok(status "slow" ~= "cached", body)
end

t.test("what cannot be kept rightly is refused, and why", function()
  need_hash()
  refused("base[2][1] = 5", "it changes 'base', which an earlier cell made")
  refused("number = 8", "it changes 'number', which an earlier cell made")
  refused("w:fill(1)", "it changes 'w', which an earlier cell made")
  refused("bump()", "it changes 'bump', which an earlier cell made")
  refused("local function f() end", "'f' holds a function")
  refused("local a = { base }", "'a' shares something with earlier cells")
  refused("local co = coroutine.create(print)", "'co' holds a thread")
  refused("local u = tensor.zeros(4) local v = u:reshape(2, 2)", "'u' holds a tensor that shares its memory with another")
  refused("local v = w:reshape(1, 2)", "'v' holds a tensor that shares its memory with another")
  refused("local o = setmetatable({}, {})", "'o' holds an object with a metatable")
  refused("io.open('written', 'w'):close()", "it writes a file (written)")
  refused("core.write_file('written', 'x')", "it writes a file (written)")
  refused("os.execute 'true'", "it starts a program (true)")
  refused("error 'no'", "it failed")
end)

t.test("a model is kept whole", function()
  need_hash()
  local text = SETUP .. [[
-- %% name="slow" cache=true
local model = giemsa.nn.ResNet.build(32, 32, 3, 2, { 1, 1 }, { 4, 8, 16 })
-- %% name="use"
print(model:predict(tensor.ones(1, 32, 32, 3), { verbose = 0 })[1][1])
]]
  local first = run(text)
  t.equal(status "slow", "ok", first)
  t.equal(run(text), first)
  t.equal(status "slow", "cached")
end)

t.test("a damaged entry is no entry", function()
  need_hash()
  local text = SETUP .. '-- %% name="slow" cache=true\nlocal y = { 1 }\n-- %%\nprint(y[1])\n'
  run(text)
  for _, damage in ipairs { "echo 'x' > $f/values", "echo '{' > $f/entry.json", "rm $f/values" } do
    t.shell(("cd %s && for f in out/cache/lesson/*; do %s; done"):format(folder, damage))
    local output, code = run(text)
    t.equal({ code, (status "slow") }, { 0, "ok" }, output)
  end
end)

t.done()
