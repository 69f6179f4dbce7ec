--- giemsa grade: all submissions of a lesson.
local args = require "giemsa.args"
local core = require "giemsa.core"
local output = require "giemsa.cli.output"

local USAGE = [[
usage: giemsa grade master.lua submissions/ [-o grades.csv] [options]
       giemsa grade master.lua submissions.zip [-o grades.csv] [options]

Grades each file NAME.lua in the folder, or the lesson in each folder NAME; so in a .zip archive as learning
platforms give it, which is read in memory (a submission up to 1 MiB, 256 MiB in all). Only the cells of the
master that hold solutions are taken from a submission; all else is the master's. A student's code
runs enclosed: it reads the lesson's data, writes a scratch folder, starts no program and has no
network. The checks run in another process. Where the kernel cannot enclose it, nothing is graded.

  -o FILE          the table: student, points, of, each cell with checks, notes (grades.csv)
  --feedback DIR   where the students' pages go (feedback/ beside the table)
  --data DIR       a folder that the lesson reads (none)
  --seconds S      that a region or a function of the submission may take (10)
  --total S        that a submission may take (60)
  --memory MB      that it may use (2048)
  --jobs N         so many at a time (the cores)

A cell's points are its `points`, else one for each check, and are given in part. The exit code is 0
when all have been graded, whatever their points.]]

local function absolute(path)
  if path == "" then return nil end
  return path:sub(1, 1) == "/" and path or os.getenv "PWD" .. "/" .. path
end

local function write_all(grader, grades, o, title)
  local report = require "giemsa.grade.report"
  local folder = o.feedback ~= "" and o.feedback or (o.out:match "^(.*/)" or "") .. "feedback"
  local ok = output.write_file(o.out, report.csv(grades, grader.exercises))
  for i, name in ipairs(report.names(grades)) do
    ok = output.write_file(folder .. "/" .. name, report.page(grades[i], title)) and ok
  end
  print(("%s, and a page for each student in %s/"):format(o.out, folder))
  return ok
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  for i, word in ipairs(line) do
    if word == "-o" then line[i] = "--out" end
  end
  local o = args.parse(USAGE, { out = "grades.csv", feedback = "", data = "", seconds = 10.0,
    total = 60.0, memory = 2048, jobs = 0 }, 2, line, 2)
  local list, message = require("giemsa.grade.submissions").list(o[2], o[1]:match "[^/]*$")
  if not list then output.complain(message) return 1 end
  local data = absolute(o.data)
  if data and not core.file_info(data) then output.complain(data .. " is not there") return 1 end
  local grader, why = require("giemsa.grade").open(o[1], { program = arg[-1], seconds = o.seconds,
    total = o.total, memory = o.memory << 20, jobs = o.jobs > 0 and o.jobs or nil, data = data })
  if not grader then output.complain(why) return 1 end
  local grades = grader:grade(list, function(one)
    print(("%-30s %5.4g of %.4g"):format(one.student:gsub("%c", " "), one.points, one.of))
  end)
  grader:close()
  return write_all(grader, grades, o, grader.lesson.meta.title or o[1]) and 0 or 1
end
