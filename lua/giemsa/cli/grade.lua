--- giemsa grade: all submissions of a lesson.
local args = require "giemsa.args"
local core = require "giemsa.core"
local output = require "giemsa.cli.output"

local USAGE = [[
usage: giemsa grade master.lua submissions [-o grades.csv] [options]

Grades each file NAME.lua in the folder `submissions`, or the lesson in each folder NAME; it may also
be the .zip of such a folder, as learning platforms make it (read in memory, never unpacked). Only
the cells of the master that hold solutions are taken from a submission; all else is the master's. A
student's code runs enclosed: it reads the lesson's data, writes a scratch folder, starts no program
and has no network. The checks run in another process. Where the kernel cannot enclose it, nothing is
graded.

  -o FILE          the table: student, points, of, each cell with checks, notes (grades.csv)
  --feedback DIR   where the students' pages go (feedback/ beside the table)
  --data DIR       a folder that the lesson reads (none); neither the master nor submissions lie in it
  --seconds S      that a region or a function of the submission may take (10)
  --total S        that a submission may take (60)
  --memory MB      that it may use (2048)
  --jobs N         so many at a time (the cores)

A cell's points are its `points`, else one for each check, and are given in part. The exit code is 0
when all have been graded, whatever their points.]]

-- Why the table cannot be written there; nil when it can.
local function obstacle(o)
  for _, path in ipairs { o[1], o[2] } do
    if output.is_same_file(o.out, path) then return "-o FILE is the table of grades; it cannot be " .. path end
  end
  if o.out:find "%.lua$" or o.out:find "%.zip$" then return "-o FILE is the table of grades, a .csv; not " .. o.out end
end

local function feedback_of(o) return o.feedback ~= "" and o.feedback or (o.out:match "^(.*/)" or "") .. "feedback" end

-- What the folder or archive holds; nil when that is nothing, and said.
local function submissions_of(o)
  local list, others = require("giemsa.grade.submissions").list(o[2], o[1]:match "[^/]*$")
  if not list then output.complain(others) return nil end
  if #others > 0 then
    local more = #others > 10 and (" and %d more"):format(#others - 10) or ""
    output.complain(("left out, as no .lua files: %s%s"):format(table.concat(others, ", ", 1, math.min(#others, 10)):gsub("%c", " "), more))
  end
  if #list == 0 then output.complain(o[2] .. " holds no submissions (NAME.lua, or a folder NAME with one)") return nil end
  return list
end

local function write_all(grader, grades, o, title)
  local report = require "giemsa.grade.report"
  local folder = feedback_of(o)
  local ok = output.write_file(o.out, report.csv(grades, grader.exercises))
  for i, name in ipairs(report.names(grades)) do
    ok = output.write_file(folder .. "/" .. name, report.page(grades[i], title)) and ok
  end
  print(("%s, and a page for each student in %s/"):format(o.out, folder))
  return ok
end

-- The grader and the grades; nil and why there are none.
local function graded(o, list)
  local grader, why = require("giemsa.grade").open(o[1], { program = arg[-1], seconds = o.seconds, total = o.total,
    memory = o.memory << 20, jobs = o.jobs > 0 and o.jobs or nil, data = o.data ~= "" and o.data or nil,
    private = { o[2], o.out, feedback_of(o) } })
  if not grader then return nil, why end
  local grades = grader:grade(list, function(one)
    print(("%-30s %5.4g of %.4g"):format(one.student:gsub("%c", " "), one.points, one.of))
  end)
  grader:close()
  return grader, grades
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  for i, word in ipairs(line) do
    if word == "-o" then line[i] = "--out" end
  end
  local o = args.parse(USAGE, { out = "grades.csv", feedback = "", data = "", seconds = 10.0,
    total = 60.0, memory = 2048, jobs = 0 }, 2, line, 2)
  local why_not = obstacle(o)
  if why_not then output.complain(why_not) return 2 end
  local list = submissions_of(o)
  if not list then return 1 end
  local ended, grader, grades = pcall(graded, o, list)
  if not ended then
    output.complain("no grades were written: " .. tostring(grader):gsub("^[^\n]-:%d+: ", ""))
    return tostring(grader):find "interrupted!" and 130 or 1
  end
  if not grader then output.complain(grades) return 1 end
  return write_all(grader, grades, o, grader.lesson.meta.title or o[1]) and 0 or 1
end
