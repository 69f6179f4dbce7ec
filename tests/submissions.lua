--- What a class hands in: folders and archives as platforms make them, and what must not be read.
local t = require "tests.harness"
local submissions = require "giemsa.grade.submissions"
local report = require "giemsa.grade.report"
local zip_of = require "tests.made.zip"

local folder = t.tmpdir()
local has_zip = pcall(require, "giemsa.zip")
local SIZE_MAX = 1 << 20

-- "student: text", or "student: (problem)", a line each.
local function listed(path)
  local list, others = submissions.list(path, "lesson.lua")
  if not list then return nil, others end
  local lines = {}
  for i, one in ipairs(list) do
    lines[i] = one.student .. ": " .. (one.text or "(" .. one.problem .. ")") .. (one.note and " [" .. one.note .. "]" or "")
  end
  return table.concat(lines, "\n"), table.concat(others, " ")
end

local function zipped(list)
  if not has_zip then t.skip "built without libzip" end
  return listed(t.write(folder .. "/class.zip", zip_of(list)))
end

t.test("a folder: a file a student, or a folder a student", function()
  local class = folder .. "/class"
  t.shell(("mkdir -p %s && cd %s && mkdir -p eva/answers empty two __MACOSX .git && ln -s /dev/zero zero.lua && ln -s /etc/passwd two/lesson.lua")
    :format(class, class))
  for _, name in ipairs { "ada.lua", "._ada.lua", "BO.LUA", "notes.txt", "eva/answers/mine.lua", "eva/._mine.lua", "__MACOSX/x.lua", "two/a.lua" } do
    t.write(class .. "/" .. name, name)
  end
  t.equal({ listed(class) }, { "BO: BO.LUA\nada: ada.lua\nempty: (the folder holds 0 .lua files and no lesson.lua)\n"
    .. "eva: eva/answers/mine.lua\ntwo: (cannot be read: it is a link)\nzero: (cannot be read: it is a link)", "notes.txt" })
  t.write(class .. "/Ada.lua", "x")
  t.ok(listed(class):find("Ada: x [2 submissions have this name]", 1, true))
end)

t.test("a file of 100 MB, a device and a pipe are not read", function()
  local class = folder .. "/large"
  t.shell(("mkdir %s && cd %s && truncate -s 100M ada.lua && mkfifo bo.lua && (mknod eva.lua c 1 5 || mkfifo eva.lua)"):format(class, class))
  t.equal(listed(class), "ada: (cannot be read: it is too long (104857600 bytes))\nbo: (cannot be read: it is no ordinary file)\n"
    .. "eva: (cannot be read: it is no ordinary file)")
end)

t.test("an archive: the same, with or without the folder that it was made of", function()
  local flat = { { "bo.lua", "2" }, { "ada.lua", "1" }, { "eva_123_assignsubmission_file_/lesson.lua", "3" }, { "readme.txt", "4" } }
  local want = { "ada: 1\nbo: 2\neva_123_assignsubmission_file_: 3", "readme.txt" }
  t.equal({ zipped(flat) }, want)
  local deep = { { "__MACOSX/class/._ada.lua", "x" } }
  for i, entry in ipairs(flat) do deep[i + 1] = { "./class/" .. entry[1], entry[2] } end
  t.equal({ zipped(deep) }, want)
  t.equal(zipped { { "ada/lesson.lua", "1" } }, "ada: 1")
  t.equal(zipped { { "ada/deep/er/mine.lua", "1" }, { "bo/x.pdf", "2" } }, "ada: 1\nbo: (the folder holds 0 .lua files and no lesson.lua)")
end)

t.test("an archive: names that lead elsewhere are rows, not files", function()
  t.equal(zipped { { "../../evil.lua", "x" }, { "/etc/evil.lua", "x" }, { "a\\b.lua", "x" }, { "a/./b/c.lua", "x" }, { ("d/"):rep(9) .. "c.lua", "x" },
    { "class/bo.lua", "2" }, { "class/ada.lua", "1" } }, "ada: 1\nbo: 2\n../../evil.lua: (cannot be read: the name leads out of the folder (..))\n"
    .. "/etc/evil.lua: (cannot be read: the name is an absolute path)\na\\b.lua: (cannot be read: the name has a backslash)\n"
    .. "a/./b/c.lua: (cannot be read: its name has a part '.')\n" .. ("d/"):rep(9) .. "c.lua: (cannot be read: it lies too many folders deep)")
  t.equal(t.shell("ls /etc/evil.lua ../evil.lua ../../evil.lua 2>/dev/null"), "")
end)

t.test("an archive: one name twice, a lying size, a damaged file", function()
  t.equal(zipped { { "ada.lua", "1" }, { "ada.lua", "2" } }, "ada (entry 2): 2\nada: 1")
  local text = zipped { { "ada.lua", "1", crc = 7 }, { "bo.lua", "hello", size = 3 }, { "eva.lua", "1" } }
  t.ok(text:find "^ada: %(cannot be read: ada.lua: damaged: CRC.*\nbo: %(cannot be read: bo.lua: .*\neva: 1$", text)
end)

t.test("an archive: a bomb is not unpacked", function()
  local large = (" "):rep(SIZE_MAX)
  t.ok(zipped { { "ada.lua", large .. " " }, { "bo.lua", "1" } }:find("ada: (cannot be read: ada.lua: 1048577 bytes unpacked is more than the 1048576 allowed)\nbo: 1", 1, true))
  local list = { { "s000.lua", large } }
  for i = 1, 299 do list[i + 1] = { ("s%03d.lua"):format(i), large, same = true } end -- 1 MB that claims to be 300
  if not t.is_slow then
    local text = zipped(list)
    t.ok(text:find("s299: (cannot be read: all files of the archive together are too large)", 1, true) and not text:find "s255: %(", text:gsub(" +", " "))
  end
  list = {}
  for i = 1, 20001 do list[i] = { i .. ".lua", "" } end
  t.ok(select(2, zipped(list)):find "class.zip: 20001 entries are too many for submissions")
end)

t.test("what is neither a folder nor an archive says so", function()
  t.equal({ listed(folder .. "/absent") }, { nil, "cannot open the folder " .. folder .. "/absent: No such file or directory" })
  if not has_zip then t.skip "built without libzip" end
  t.ok(select(2, listed(t.write(folder .. "/ada.lua", "local x = 1"))):find "ada.lua: not a zip archive")
end)

t.test("the table has no formulas", function()
  local function row_of(student)
    return report.csv({ { student = student, points = 1, of = 1, exercises = {}, notes = {} } }, {}):match "\n(.*)\n"
  end
  for _, name in ipairs { "=1", "+1", "-1", "@a", "\t=1", "\u{ff1d}1", "\u{ff0b}1", "\u{ff0d}1", "\u{ff20}a" } do
    t.equal(row_of(name), "\"'" .. name .. "\",1,1,")
  end
  for _, name in ipairs { "ada", "\u{674e}", "a=1" } do t.equal(row_of(name), name .. ",1,1,") end
end)

t.done()
