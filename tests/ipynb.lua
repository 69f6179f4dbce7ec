--- Jupyter notebooks: valid by nbformat (where Python has it), stable, and the lesson comes back byte
--- by byte, also through a program that knows nothing of ours.
local t = require "tests.harness"
local ipynb = require "giemsa.ipynb"
local json = require "giemsa.json"
local notebook = require "giemsa.notebook"

local folder = t.tmpdir()

local ODD = {
  "", "\n", "print 'plain'", "local x = 1\n-- %%\nprint(x)\n", "#!/usr/bin/env lua\n-- %% name=\"a\"\nx = 1",
  "-- ---\n-- title: T\n-- jupyter:\n--   a: b\n-- ---\n-- %%\n-- %%\n\n\n-- %% [md]\n--text\n\n",
  "-- ---\n-- title: T\n-- ---\n\n\n\n-- %% A title [raw] name=\"r\" x={\"a\": [null, 1.5, {}]} flag tags=[]\n-- raw\n",
  "--%% x\ny = 1\r\n\r\n-- %%%% deeper name=5 tags=[\"a\", \"a\", 3]\nz = 2 -- ünicode \u{1F9A0}\n", "-- ---\n-- no end\n-- %%\n",
  "-- %% name=\"header\"\nx = 1\n\n-- %% name=\"header\"\ny = 2\n\n-- %% [raw]\n-- ---\n-- a: b\n-- ---\n", "-- %% [raw]\n-- ---\n-- a: b\n-- ---\n",
  "-- %% [markdown]\n-- # Head\n--\n", "-- %% name=5\nx = 1\n", "-- %% name=\"fit\" tags\nx = 1\n", -- Jupyter has no room for these
}

local function lessons()
  local list = {}
  for path in t.shell("ls notebooks/*.lua"):gmatch "%S+" do
    local file <close> = assert(io.open(path, "rb"))
    list[path] = file:read "a"
  end
  for i, text in ipairs(ODD) do list["odd " .. i] = text end
  return list
end

-- A Python that has nbformat: Debian's own, also where another one comes first.
local python
for _, candidate in ipairs { "python3", "/usr/bin/python3" } do
  local _, code = t.shell(candidate .. " -c 'import nbformat'")
  python = python or code == 0 and candidate or nil
end

t.test("every lesson comes back byte by byte", function()
  for name, text in pairs(lessons()) do
    local back = assert(ipynb.to_lua(assert(ipynb.from_lua(text))))
    if back ~= text then error(("%s: %q became %q"):format(name, text:sub(1, 300), back:sub(1, 300))) end
  end
end)

t.test("nbformat finds them valid, and writes them as we do", function()
  if not python then t.skip "no nbformat for Python here" end
  local n = 0
  for _, text in pairs(lessons()) do
    n = n + 1
    t.write(("%s/%d.ipynb"):format(folder, n), (ipynb.from_lua(text)))
  end
  local script = t.write(folder .. "/check.py", [[
import sys, nbformat
for i in range(1, int(sys.argv[2]) + 1):
    path = "%s/%d.ipynb" % (sys.argv[1], i)
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    text = nbformat.writes(book)
    if not text.endswith("\n"): text += "\n"
    open(path + ".again", "w").write(text)
]])
  local output, code = t.shell(("%s -W error::UserWarning %s %s %d"):format(python, script, folder, n))
  t.equal(code, 0, output)
  local i = 0
  for name, text in pairs(lessons()) do
    i = i + 1
    local file <close> = assert(io.open(("%s/%d.ipynb.again"):format(folder, i)))
    local again = file:read "a"
    t.equal(again, (ipynb.from_lua(text)), name)
    t.equal(ipynb.to_lua(again), text, name)
  end
end)

local LESSON = '-- %% [markdown] name="goal"\n-- # T\n\n-- %% name="one"\nprint(1)\n\n-- %%\nprint(2)\n'

t.test("ids are names; an edit in Jupyter changes its cell and no other", function()
  local book = json.decode((ipynb.from_lua(LESSON)))
  local ids = {}
  for i, cell in ipairs(book.cells) do ids[i] = cell.id end
  t.equal(ids, { "goal", "one", "cell-3" })
  local text = ipynb.from_lua(LESSON:gsub("print%(1%)", "print(1)  ") .. "\n\n")
  t.equal(ipynb.to_lua((text:gsub("# T", "# Title"))), (LESSON:gsub("# T", "# Title"):gsub("print%(1%)", "print(1)  ")) .. "\n\n")
end)

t.test("a notebook from elsewhere", function()
  local theirs = [[{"nbformat": 4, "nbformat_minor": 2, "metadata": {"language_info": {"name": "lua"}}, "cells": [
    {"cell_type": "markdown", "metadata": {"collapsed": false}, "source": "# A\n\nb"},
    {"cell_type": "code", "metadata": {"tags": ["check"], "scrolled": true}, "execution_count": 3, "outputs": [], "source": ["x = 1\n", "y = 2\n"]},
    {"cell_type": "code", "metadata": {}, "source": []}]}]]
  t.equal(ipynb.to_lua(theirs), '-- %% [markdown]\n-- # A\n--\n-- b\n\n-- %% tags=["check"]\nx = 1\ny = 2\n\n-- %%\n')
  t.ok(select(2, ipynb.to_lua("{", "a.ipynb")):find "^a.ipynb: it is not JSON")
  t.ok(select(2, ipynb.to_lua("[1]", "a.ipynb")):find "not a Jupyter notebook of format 4")
  t.ok(select(2, ipynb.to_lua('{"nbformat":3,"worksheets":[]}', "a")):find "format 4")
  t.ok(select(2, ipynb.to_lua(theirs:gsub('"lua"', '"python"'), "a")):find "a notebook in python, not in Lua")
  t.ok(select(2, ipynb.to_lua('{"nbformat":4,"cells":[{"cell_type":"heading"}]}', "a")):find "cell 1 is of no kind")
  t.ok(select(2, ipynb.to_lua('{"nbformat":4,"cells":[{"cell_type":"code","source":[{}]}]}', "a")):find "^a: cell 1 has no text")
end)

t.test("damaged notebooks are refused or read, and never crash", function()
  local random = require "giemsa.random"
  random.seed(3)
  local text = ipynb.from_lua(ODD[6] .. LESSON)
  for _ = 1, 2000 do
    local at = random.integer(1, #text)
    local piece = ({ "", "{}", "[]", "null", "1", '"', "x" })[random.integer(1, 7)]
    local ok, back, message = pcall(ipynb.to_lua, text:sub(1, at - 1) .. piece .. text:sub(at + random.integer(0, 9)))
    t.ok(ok, back)
    t.ok(back or message)
  end
end)

t.test("with the outputs of a run, the same bytes each time", function()
  local lesson = t.write(folder .. "/lesson.lua", LESSON .. [[

-- %% name="show"
local image, core = require "giemsa.image", require "giemsa.core"
require "giemsa.display"(image.from_tensor(core.from_table{ { { 1, 2, 3 } } }))
io.stderr:write "to stderr\n"

-- %% name="fails"
error "boom"
]])
  local program = t.program:sub(1, 1) == "/" and t.program or t.shell("pwd"):gsub("\n", "") .. "/" .. t.program
  local made = {}
  for i = 1, 2 do
    local output, code = t.shell(("cd %s && GIEMSA_IMAGES=none %s run lesson.lua --ipynb %d.ipynb"):format(folder, program, i))
    t.equal(code, 1, output)
    local file <close> = assert(io.open(("%s/%d.ipynb"):format(folder, i)))
    made[i] = file:read "a"
  end
  t.equal((made[1]:gsub("runs/lesson/1", "")), (made[2]:gsub("runs/lesson/2", "")))
  local book = json.decode(made[1])
  local outputs = {}
  for i, cell in ipairs(book.cells) do outputs[i] = cell.outputs end
  t.equal(outputs[2], { { output_type = "stream", name = "stdout", text = { "1\n" } } })
  t.equal(outputs[4][1].metadata, { ["image/png"] = { width = 1, height = 1 } })
  t.equal(outputs[4][2].text, { "to stderr\n" })
  t.equal({ outputs[5][1].ename, outputs[5][1].evalue }, { "LuaError", "lesson.lua:16: boom" })
  t.equal(book.cells[5].execution_count, 4)
  local file <close> = assert(io.open(lesson))
  t.equal(ipynb.to_lua(made[1]), file:read "a")
  if not python then t.skip "no nbformat for Python here" end
  local check = "import sys, nbformat; nbformat.validate(nbformat.read(sys.argv[1], as_version=4))"
  t.equal(t.shell(("%s -c %s %s/1.ipynb"):format(python, t.quote(check), folder)), "")
end)

t.done()
