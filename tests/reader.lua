--- A reader of the course: `giemsa lessons` lists, starts and continues; the bookmark survives everything; it works from
-- any folder, and where giemsa is installed.
local t = require "tests.harness"

local here = t.shell("pwd"):gsub("\n", "")
local giemsa = t.program:sub(1, 1) == "/" and t.program or here .. "/" .. t.program
local folder = t.tmpdir() .. "/course"
assert(os.execute("mkdir -p " .. t.quote(folder .. "/notebooks")))

local LESSON = [[
-- ---
-- title: %s
-- ---

-- %%%% [markdown] name="goal"
-- # %s lesson
--
-- **Goal:** see *it* work.

-- %%%% [markdown] name="goal-zh" lang="zh"
-- # 课
--
-- **目标**：看它运行。

-- %%%% name="one"
local n = 1
print("one", n)

-- %%%% name="two"
n = n + 1
print("two", n)

-- %%%% name="answers" tags=["solution"]
local answer = 42

-- %%%% name="checks" tags=["check"]
local check = require "giemsa.check"
check("the answer", answer and answer == 42)
check.near("the other one", nil, 1, 0.1)
]]

for name, title in pairs { ["80_first"] = "First", ["81_second"] = "Second" } do
  t.write(("%s/notebooks/%s.lua"):format(folder, name), LESSON:format(title, title))
end

local function command(line)
  return t.shell(("cd %s && LANG=C.UTF-8 GIEMSA_IMAGES=none timeout -k 5 60 %s %s </dev/null"):format(t.quote(folder), giemsa, line))
end

local function typed(line, entries)
  if t.sanitizer == "thread" then t.skip("the thread sanitizer holds signals back") end
  local shown = t.typed(("cd %s; env LANG=C.UTF-8 GIEMSA_IMAGES=none %s %s; echo code $?"):format(t.quote(folder), giemsa, line), entries)
  return (shown:gsub("\27%[[%d;]*[mK]", ""):gsub("\r", ""))
end

local function has(text, wanted) t.ok(text:find(wanted, 1, true), ("%q is not in:\n%s"):format(wanted, text)) end
local function lacks(text, wanted) t.ok(not text:find(wanted, 1, true), ("%q is in:\n%s"):format(wanted, text)) end

local MARK = folder .. "/out/runs/80_first/bookmark.json"

t.test("the list: title, goal, cells, exercises, in both languages", function()
  local output, code = command "lessons"
  t.equal(code, 0)
  has(output, "First lesson  80_first\n   See it work.\n")
  has(output, "not begun · exercises: 0 of 2 solved\n\nSecond lesson  81_second")
  has(command "lessons --lang zh", "课  80_first\n   看它运行。\n")
  t.equal(select(2, command "lessons start nothing"), 1)
  has(command "lessons start nothing", "no lesson is called 'nothing': there are ")
  has(command "lessons start 9", "no lesson is called '9'")
  t.equal(select(2, command "lessons start"), 1)
  has(command "lessons stop", "there is no 'giemsa lessons stop'")
  has(command "lessons --help", "usage: giemsa lessons")
end)

t.test("start, quit, continue: the reader goes on in the cell where he stopped, with its variables", function()
  local shown = typed("lessons start 80", { { after = "q quit", type = "\r" }, { after = "── two ", type = "" }, { after = "q quit", type = "q" } })
  has(shown, "one\t1") has(shown, "code 0")
  has(command "lessons", "1 of 4 cells · next: two · exercises: 0 of 2 solved")
  has(command "lessons", "giemsa lessons continue    80_first")
  shown = typed("lessons continue", { { after = "── two ", type = "" }, { after = "q quit", type = "\r" }, { after = "── answers", type = "" },
    { after = "q quit", type = "q" } })
  has(shown, "· one\n") has(shown, "two\t2")
  lacks(shown, "one\t1")
  shown = typed("run --step --from two notebooks/80_first.lua", { { after = "── two ", type = "" }, { after = "q quit", type = "b" },
    { after = "── one ", type = "" }, { after = "q quit", type = "\r" }, { after = "one\t1", type = "" }, { after = "q quit", type = "\r" },
    { after = "── answers", type = "" }, { after = "q quit", type = "q" } })
  has(command "lessons", "2 of 4 cells · next: answers")
  shown = typed("lessons continue 80_first", { { after = "q quit", type = "\r" }, { after = "q quit", type = "\r" },
    { after = "the end of the lesson", type = "" } })
  has(shown, "✓ the answer")
  has(command "lessons", "all 4 cells · exercises: 1 of 2 solved")
  has(command "lessons continue 80_first", "You have been through 80_first")
  has(command "lessons", "giemsa lessons continue    81_second")
end)

t.test("pages are made of whole runs, though the newest was stepped through in part; the bookmark stays", function()
  t.write(folder .. "/part.lua", '-- %% name="one"\nprint "first"\n-- %% name="two"\nprint "second"\n')
  t.equal(select(2, command "run part.lua --to one"), 0)
  local output, code = command "html --run part.lua --out pages"
  t.equal(code, 0, output)
  local file <close> = assert(io.open(folder .. "/pages/part.html"))
  local page = file:read "a"
  has(page, "<pre>second</pre>")
  lacks(page, "Cells without results")
  lacks(command "html --run part.lua --out pages", "second") -- not again
  has(command "lessons", "all 4 cells")
end)

t.test("a cell that fails, is quit or whose lesson changes is where one goes on", function()
  local path = folder .. "/notebooks/81_second.lua"
  t.write(path, (LESSON:format("S", "S"):gsub("n = n %+ 1", "n = n + nil")))
  typed("lessons start 81_second", { { after = "q quit", type = "\r" }, { after = "── two", type = "" }, { after = "q quit", type = "\r" },
    { after = "e edits it", type = "" }, { after = "q quit", type = "q" } })
  has(command "lessons", "1 of 4 cells · next: two")
  t.write(path, (LESSON:format("S", "S"):gsub('name="two"', 'name="deux"')))
  has(command "lessons", "1 of 4 cells · next: deux")
end)

t.test("who runs a lesson whole has not read it, but has solved what he solved", function()
  os.remove(MARK)
  t.equal(select(2, command "run notebooks/80_first.lua"), 0)
  has(command "lessons", "not begun · exercises: 1 of 2 solved")
end)

t.test("a damaged, lost or unwritable bookmark ends nothing", function()
  for _, bytes in ipairs { "", "{", "[1,2", "null", "7", '{"seen":7,"checks":[3],"next":{},"time":1}', "\0\255", ("["):rep(5000) } do
    t.write(MARK, bytes)
    local output, code = command "lessons"
    t.equal(code, 0, output)
    has(output, "First lesson  80_first")
  end
  t.write(MARK, "{")
  has(command "lessons", "bookmark.json is damaged: this lesson counts as not begun")
  os.remove(MARK)
  assert(os.execute("mkdir " .. t.quote(MARK)))
  local output, code = command "run notebooks/80_first.lua"
  t.equal(code, 0, output)
  has(output, "one\t1")
  has(output, "bookmark.json")
  os.execute("rmdir " .. t.quote(MARK))
end)

t.test("installed, from any folder: the lessons that came with it, of which the reader gets a copy", function()
  if t.is_slow then t.skip "too slow under a sanitizer or an emulator" end
  local prefix, away = t.tmpdir() .. "/prefix", t.tmpdir() .. "/away"
  local output, code = t.shell(("mkdir %s; env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS make -s install BUILD=%s PREFIX=%s")
    :format(away, t.quote(t.build), prefix))
  if code ~= 0 and output:find "command not found" then t.skip "no make here" end
  t.equal(code, 0, output)
  local function installed(line, input)
    return t.shell(("cd %s && printf '%s' | env -u LUA_PATH -u LUA_CPATH LANG=C.UTF-8 GIEMSA_IMAGES=none timeout 60 %s/bin/giemsa %s")
      :format(away, input or "", prefix, line))
  end
  has(installed "lessons", "05_train\n")
  output, code = installed("lessons start 0", "\\nq\\n")
  t.equal(code, 0, output)
  has(output, "notebooks/00_malaria.lua is your copy of the lesson")
  t.equal(t.shell(("cmp notebooks/00_malaria.lua %s/notebooks/00_malaria.lua"):format(away)), "")
  has(installed "lessons", "1 of 5 cells · next: where")
  output, code = installed("-e 'print(#require(\"datasets.split\").SIDES)'")
  t.equal({ output, code }, { "3\n", 0 })
  t.shell(("env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS make -s uninstall PREFIX=%s"):format(prefix))
  t.equal(t.shell(("find %s -type f -path '*giemsa*' | head"):format(prefix)), "")
end)

t.test("random bookmarks: read or refused, never a crash", function()
  t.write(folder .. "/fuzz.lua", [[
    local bookmark, json = require "giemsa.bookmark", require "giemsa.json"
    local values = { "one", 3, true, json.null, { "one", "two" }, { one = "passed" }, { { "x" } }, "passed" }
    math.randomseed(3)
    for _ = 1, 500 do
      local kept = {}
      for _, key in ipairs { "seen", "next", "checks", "time" } do
        if math.random(4) > 1 then kept[key] = values[math.random(#values)] end
      end
      local text = json.encode(setmetatable(kept, { __jsontype = "object" }))
      if math.random(3) == 1 then text = text:sub(1, math.random(0, #text)) end
      local file <close> = io.open("out/runs/80_first/bookmark.json", "w")
      file:write(text)
      file:close()
      local mark, message = bookmark.read "80_first.lua"
      assert(type(mark.seen) == "table" and type(mark.checks) == "table", text)
      for name, status in pairs(mark.checks) do assert(type(status) == "string", text) end
      assert(mark.next == nil or type(mark.next) == "string", text)
      assert(message == nil or message:find "is damaged", text)
      if not message then assert(bookmark.write("80_first.lua", mark)) end
    end
    print "fine"]])
  t.equal({ command "fuzz.lua" }, { "fine\n", 0 })
end)

t.done()
