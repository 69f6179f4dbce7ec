--- The percent format: cells, options, header; any bytes come back as they were; traps are found.
local t = require "tests.harness"
local changes = require "giemsa.notebook.changes"
local json = require "giemsa.json"
local lint = require "giemsa.lint"
local notebook = require "giemsa.notebook"

local GOLDEN = [==[
#!/usr/bin/env lua5.4
-- -*- coding: utf-8 -*-
-- ---
-- title: 'It''s a lesson'
-- seed: 7
-- requires: [cells, "a b"]
-- draft: true   # not yet
-- jupyter:
--   kernelspec:
--     name: lua
-- ---

local before = 1

-- %% A title, here [markdown] name="goal" lang="en"
-- # Head
--
-- text -- with dashes
--indented

-- %% name="fit" tags=["check", "hide-input"] cache=true timeout=2.5 points=3 mine={"a": [1, "}"]} flag
print "fit"


  --%%
bare()
-- %%%% Deeper {"name": "sub", "tags": []}
-- %% [raw]
-- raw text
-- %% only a title
-- not %% a marker
--%%%not one either
-- %%nor this
]==]

t.test("cells, their kinds, titles, options, places", function()
  local book = notebook.parse(GOLDEN, "g.lua")
  t.equal(book.meta, { title = "It's a lesson", seed = 7, requires = { "cells", "a b" }, draft = true })
  local shown = {}
  for i, cell in ipairs(book.cells) do
    shown[i] = ("%d %s %d %d %q %s"):format(cell.number, cell.kind, cell.line, cell.depth, cell.title, cell.name)
  end
  t.equal(shown, { '1 code 13 0 "" nil', '2 markdown 15 0 "A title, here" goal', '3 code 21 0 "" fit', '4 code 25 0 "" nil',
    '5 code 27 2 "Deeper" sub', '6 raw 28 0 "" nil', '7 code 30 0 "only a title" nil' })
  local goal, fit = book.cells[2], book.cells[3]
  t.equal({ goal.lang, fit.timeout, fit.points, fit.cache, fit:has_tag "check", fit:has_tag "x" }, { "en", 2.5, 3, true, true, false })
  t.equal(fit.options.mine, { a = { 1, "}" } })
  t.equal(fit.options.flag, json.null)
  t.equal(fit.order, { "name", "tags", "cache", "timeout", "points", "mine", "flag" })
  t.equal(goal:source(), "# Head\n\ntext -- with dashes\nindented")
  t.equal(fit:source(), 'print "fit"')
  t.equal(book.cells[6]:source(), "raw text")
  t.equal({ goal.first, goal:label(), book.cells[7]:label(), book.cells[4]:label() },
    { 16, "cell 'goal'", "cell 'only a title'", "cell 4" })
  t.equal({ book:find("fit"), book:find("3") }, { fit, fit })
  t.ok(select(2, book:find "fti"):find "no cell 'fti' %(did you mean 'fit'%?%)")
  t.equal(book:text(), GOLDEN)
  local titled = notebook.parse "-- %% Encoding: one-hot, and coding: by hand\nx = 1\n"
  t.equal({ titled.header, titled.cells[1].title }, { "", "Encoding: one-hot, and coding: by hand" })
end)

t.test("a changed cell changes no other byte", function()
  local book = notebook.parse(GOLDEN)
  for _, cell in ipairs(book.cells) do cell:set_source(cell:source()) end
  t.equal(book:text(), GOLDEN)
  book.cells[3]:set_source "print 'two'\nprint 'lines'"
  t.equal(book:text(), (GOLDEN:gsub('print "fit"\n', "print 'two'\nprint 'lines'\n")))
  book.cells[3]:set_source 'print "fit"'
  t.equal(book:text(), GOLDEN)
  local windows = notebook.parse "-- %% [markdown] name=\"a\"\r\n-- one\r\n\r\n-- %%\r\nx = 1\r\n"
  t.equal({ windows.cells[1].name, windows.cells[1]:source(), windows.cells[2].kind }, { "a", "one", "code" })
  windows.cells[1]:set_source "one\n\ntwo"
  t.equal(windows:text(), "-- %% [markdown] name=\"a\"\r\n-- one\r\n--\r\n-- two\r\n\r\n-- %%\r\nx = 1\r\n")
  local unfinished = notebook.parse "x = 1\n-- %% name=\"last\""
  unfinished.cells[2]:set_source "y = 2"
  t.equal(unfinished:text(), "x = 1\n-- %% name=\"last\"\ny = 2\n")
end)

t.test("what is written anew", function()
  t.equal(notebook.marker_text{ kind = "markdown", title = "T", depth = 1, options = { z = json.null, tags = { "a" }, name = "n", b = 1.5 } },
    '-- %%% T [markdown] name="n" tags=["a"] b=1.5 z')
  t.equal(notebook.cell_text({ kind = "markdown", options = {} }, "a\n\nb"), "-- %% [markdown]\n-- a\n--\n-- b\n")
  t.equal(notebook.cell_text({ kind = "code" }, ""), "-- %%\n")
  for path in t.shell("ls notebooks/*.lua"):gmatch "%S+" do
    local book = assert(notebook.read(path))
    local parts = { notebook.header_text(book:yaml()) }
    for i, cell in ipairs(book.cells) do
      parts[#parts + 1] = notebook.cell_text(cell, cell:source()) .. (i < #book.cells and "\n" or "")
    end
    t.equal(table.concat(parts), book:text(), path)
  end
end)

t.test("languages: a translation stands for the cell before it", function()
  local book = notebook.parse [[
-- %% [markdown] name="a"
-- hello
-- %% [markdown] name="a-zh" lang="zh"
-- ni hao
-- %% name="code"
-- %% [markdown] name="b"
-- only english
-- %% [markdown] name="c-de" lang="de"
-- nur deutsch
]]
  local function names(lang)
    local out = {}
    for i, cell in ipairs(book:in_language(lang)) do out[i] = cell.name end
    return table.concat(out, " ")
  end
  t.equal({ names "en", names "zh", names "de" }, { "a code b", "a-zh code b", "a code c-de" })
end)

t.test("a cell more: behind another and its translations, between blank lines, with a name of its own", function()
  local function with(text, number, kind, source)
    local book = notebook.parse(text)
    local made, place = book:text_with(number, { kind = kind, options = { name = book:free_name "a" } }, source)
    t.equal(notebook.parse(made).cells[place]:source(), source)
    return made
  end
  t.equal(with('-- %% name="b"\nx = 1', 1, "code", "y = 2"), '-- %% name="b"\nx = 1\n\n-- %% name="a"\ny = 2\n')
  t.equal(with("-- %%", 1, "code", ""), '-- %%\n\n-- %% name="a"\n\n')
  t.equal(with('x = 1\n\n-- %% name="a"\ny = 2\n', 1, "markdown", "hello"),
    'x = 1\n\n-- %% [markdown] name="a-2"\n-- hello\n\n-- %% name="a"\ny = 2\n')
  t.equal(with('-- %%\r\nx = 1\r\n-- %%\r\n', 1, "code", "a\nb"), '-- %%\r\nx = 1\r\n\r\n-- %% name="a"\r\na\r\nb\r\n\r\n-- %%\r\n')
  local text = '-- %% [markdown]\n-- t\n\n-- %% [markdown] lang="zh"\n-- z\n\n'
  t.equal(with(text .. '-- %% [markdown] lang="de"\n-- d\n', 1, "code", "x = 1"),
    text .. '-- %% [markdown] lang="de"\n-- d\n\n-- %% name="a"\nx = 1\n')
  t.equal(with(text .. '-- %% [markdown] lang="zh"\n-- w\n', 2, "code", "x = 1"),
    text .. '-- %% name="a"\nx = 1\n\n-- %% [markdown] lang="zh"\n-- w\n', "another text of the same language is no translation")
end)

t.test("any bytes come back as they were", function()
  local random = require "giemsa.random"
  random.seed(1)
  local pieces = { "\xEF\xBB\xBF", "-- %%", "--%%", " ", "\n", "\r\n", "-- ---", "#!", "title: x", "[markdown]", "name=", '"', "{", "}", "[", "\\", "%", "--",
    "\0", "\255", "x = 1", "=", "tags", "]]", "[[", ",", "-- text", "null", "1e5" }
  for round = 1, 3000 do
    local parts = {}
    for i = 1, random.integer(1, 40) do
      parts[i] = round % 3 == 0 and string.char(random.integer(0, 255)) or pieces[random.integer(1, #pieces)]
    end
    local text = table.concat(parts)
    local book = notebook.parse(text)
    if book:text() ~= text then error(("%q became %q"):format(text, book:text())) end
    for _, cell in ipairs(book.cells) do cell:source() cell:label() end
    lint.check(book)
  end
end)

-- ---- lint

local function findings(text)
  local out = {}
  for _, one in ipairs(lint.check(notebook.parse(text))) do
    out[#out + 1] = one.line .. (one.is_error and " error " or " warning ") .. one.message
  end
  return out
end

local function finds(text, ...)
  local found, wanted = findings(text), { ... }
  t.equal(#found, #wanted, table.concat(found, "\n"))
  for i, pattern in ipairs(wanted) do
    t.ok(found[i]:find(pattern), ("%s\n  expected %s"):format(found[i], pattern))
  end
end

t.test("lint finds the traps, with their lines", function()
  finds "-- %% name=\"a\"\nlocal x = 1\n"
  finds("-- %%\nlocal s = [[\n-- %% x\n]]\n", "^2 error what begins here goes on", "^3 error this marker lies within")
  finds("-- %%\n--[[ note\n-- %%\n]]\n", "^2 error", "^3 error this marker")
  finds("-- %%\n-- %matplotlib inline\n-- 5 % more\n", "^2 warning Jupyter takes")
  finds("-- %%\nlocal r = math.random(3) -- math.random\n-- math.random\n", "^2 warning math.random is seeded")
  finds("-- %%\nif x then\n-- %%\nend\n", "^2 error what begins here")
  finds("-- %%\nreturn 1\n-- %%\n-- x\n", "^2 error the script returns here")
  finds("-- %% [markdown]\nprint 'code'\n", "^2 error a line of a text cell")
  finds("-- %% [markdown]\n--[[ a ]]\n", "^2 error a text cell is lines of")
  finds("-- %% name=\"a b\"\n-- %% name=\"c\"\n-- %% name=\"c\"\n", "^1 error name 'a b'", "^3 error another cell is named 'c', on line 2")
  finds("-- %% name=5\n-- %% tags=[\"chekc\"] tiemout=3\n", "^1 error option 'name' is a string, got 5",
    "^2 warning unknown option 'tiemout' %(did you mean 'timeout'%?%)", "^2 warning unknown tag 'chekc'")
  finds("-- %% name=\"a\n", "^1 error option 'name': it is not JSON")
  finds("-- ---\n-- title: x\n", "^1 error the header has no end")
  finds("-- %%\nx = = 1\n", "^2 error unexpected symbol near '='")
  local many = {}
  for i = 1, 160 do many[i] = "local v" .. i .. " = 1" end
  finds("-- %%\n" .. table.concat(many, "\n") .. "\n", "^151 warning 'v150' is local number 150 of the script; Lua takes 200")
end)

t.test("lint finds what exercises lack, paths of one machine, and predictions in an unknown order", function()
  finds("-- %% name=\"a\" tags=[\"solution\"]\n-- BEGIN SOLUTION\nlocal x = 1\n", "^2 error BEGIN SOLUTION without its END")
  finds("-- %% [markdown]\n-- END HIDDEN TESTS\n", "^2 error END HIDDEN TESTS without its BEGIN")
  finds("-- %% tags=[\"solution\"]\nlocal x\n") -- a lesson for readers: nothing is graded
  finds("-- %%\n-- BEGIN SOLUTION\nlocal x\n-- END SOLUTION\n-- %% tags=[\"check\"]\nlocal y\n",
    "^1 error a cell that is graded needs a name", "^5 error a cell that is graded")
  finds("-- %% name=\"a\" points=2\nlocal x\n", "^1 warning points stand at a cell with checks")
  finds("-- %%\nlocal a, b = '/mnt/ada/cells', 'data/mnt/'\nlocal c = [[C:\\cells]] -- /tmp/x\n", "^2 warning the path '/mnt/ada/cells'")
  finds("-- %%\nlocal c = \"C:/cells\"\n", "^2 warning the path 'C:/cells'")
  local flow = "-- %%%%\nlocal source = images:flow_from_directory(folder, { batch_size = 2%s })\n-- %%%%\nmodel:predict(source)\n"
  finds(flow:format(""), "^4 warning 'source' shuffles")
  finds(flow:format(", shuffle = true"), "^4 warning 'source' shuffles")
  finds(flow:format(", shuffle = false"))
end)

t.test("lint: markers that other programs read differently, tags that are none, a seed that is none", function()
  finds("-- %% Loss = mean\nx = 1\n", "^1 warning the title 'Loss = mean' holds '='")
  finds("-- %% Set x=1\nx = 1\n", "^1 warning 'x=' is read as an option")
  finds("-- %% The mean name=\"a\" slideshow={\"a\": 1}\nx = 1\n-- %% Slide slideshow={\"a\": 1}\nx = 2\n")
  finds("-- %% tags=[\"solution,check\"]\n-- %% tags=[\"check\", \"check\"]\n", "^1 error tag 'solution,check' is one tag", "^2 warning tag 'check' stands here twice")
  finds("-- %% tags=[\"hiden\"]\n", "^1 error unknown tag 'hiden'")
  finds("-- ---\n-- title: x\n-- seed: abc\n-- ---\n", "^3 error seed: a whole number is wanted, got 'abc'")
  finds("-- ---\n-- seed: 1.5\n-- ---\n", "^2 error seed")
  finds "-- ---\n-- seed: 42 # of all\n-- ---\n"
end)

t.test("lint: math.random by any name, and not in texts and comments", function()
  local told = "warning math.random is seeded"
  finds("-- %%\nlocal m <const> = math\nlocal x = m.random(3)\n", "^3 " .. told)
  finds("-- %%\nlocal m = math\n-- %%\nlocal x = m[\"random\"](3) + math['random']()\n", "^4 " .. told, "^4 " .. told)
  finds("-- %%\nlocal r = math.random\nmath.randomseed(1)\n", "^2 " .. told, "^3 " .. told)
  finds("-- %%\nprint 'math.random'\n--[[ math.random ]]\n--[==[\nmath.random()\n]==]\nlocal s = [[\nmath.random ]]\nlocal f = math.floor(giemsa.random.uniform(0, 1):item())\n")
end)

t.test("lint: a local declared anew, where a function of an earlier cell keeps the old one", function()
  local old = "-- %%\nlocal n, k <const> = 1, 2\nlocal function f() return n + k end\n-- %%\n"
  finds(old .. "local n = 2\nprint(f())\n", "^5 warning 'n' is declared anew: the function of line 3 keeps that of line 2")
  finds(old .. "n = 2\n-- %%\nlocal m = 3\n")
  finds "-- %%\nlocal n = 1\nlocal function f(n) return n end\nlocal g = function() local n = 1 return { n = n }, x.n end\n-- %%\nlocal n = 2\n"
  finds "-- %%\nlocal n = 1\nprint(n)\n-- %%\nlocal n = 2\nlocal function f() for i, n in ipairs {} do print(n) end end\n"
end)

t.test("lint: two checks of one name, on one line, in two cells; not in texts and comments", function()
  finds("-- %%\ncheck('q', 1) check('q', 2)\n-- %%\ngiemsa.check.near(\"q\", 1, 1, 0)\n",
    "^2 warning another check is named 'q', on line 2", "^4 warning another check is named 'q', on line 2")
  finds("-- %%\ncheck('q', 1)\n--[[\ncheck('q', 1) ]]\nlocal s = \"check('q')\"\ncheck.answer('r', 1)\ncheck(name, 'q')\n")
end)

t.test("the lessons are free of them", function()
  for path in t.shell("ls notebooks/*.lua"):gmatch "%S+" do
    local found = lint.check(assert(notebook.read(path)))
    t.ok(#found == 0, found[1] and ("%s:%d: %s"):format(path, found[1].line, found[1].message))
  end
end)

-- ---- which cell of an edited notebook is which

-- Letters are code cells of that text, "name:text" has a name, and "-" goes before a text cell.
local function book(words)
  local parts = {}
  for word in words:gmatch "%S+" do
    local name, text = word:match "^(%a+):(.*)$"
    local is_text = word:sub(1, 1) == "-"
    parts[#parts + 1] = "-- %%" .. (is_text and " [markdown]" or "") .. (name and (' name="%s"'):format(name) or "") .. "\n"
      .. (is_text and "-- " or "") .. (text or word) .. "\n"
  end
  return notebook.parse(table.concat(parts))
end

t.test("where each cell of an edited notebook went", function()
  for _, case in ipairs {
    { "a b c", "a b c", { 1, 2, 3 } },
    { "a b c", "a x b c", { 1, 3, 4 } }, -- put in
    { "a b c", "a c", { 1, nil, 2 } }, -- taken away
    { "a b c", "a B c", { 1, 2, 3 } }, -- edited: what is left between the same neighbours
    { "a b c d", "a B C d", { 1, 2, 3, 4 } },
    { "a b c", "x a B y c", { 2, 3, 5 } },
    { "one:a two:b", "two:b one:a", { 2, 1 } }, -- names go before places
    { "one:a two:b", "two:a", { nil, 1 } },
    { "one:a b", "b", { nil, 1 } },
    { "a -b", "-a b", { nil, 1 } }, -- a text cell is no code cell
    { "a a a", "a a", { 1, 2 } },
    { "", "a b", {} },
    { "a b", "", {} },
  } do
    local to = changes(book(case[1]), book(case[2]))
    for i = 1, 4 do t.equal(to[i], case[3][i], ("%s -> %s: cell %d"):format(case[1], case[2], i)) end
  end
end)

t.test("thousands of cells, edited all over, are matched at their ends in a moment", function()
  local old, new = {}, {}
  for i = 1, 3000 do old[i], new[i] = "a" .. i, i > 1 and i < 3000 and "b" .. i or "a" .. i end
  local to = changes(book(table.concat(old, " ")), book(table.concat(new, " ")))
  t.equal(to[1], 1)
  t.equal(to[3000], 3000)
end)

t.done()
