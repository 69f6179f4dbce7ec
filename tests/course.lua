--- The lessons, run: each comes to its end in a folder where nothing has run before, and says the same as a script, as
--- a notebook, and cell by cell in a terminal. At their full sizes and at their small ones (giemsa.quick).
---
---     LESSONS=full giemsa tests/course.lua 03        only lessons whose names begin so; LESSONS=quick: small sizes only
local notebook = require "giemsa.notebook"
local runlog = require "giemsa.runlog"
local t = require "tests.harness"

local here = t.shell("pwd"):gsub("\n", "")
local program = t.program:sub(1, 1) == "/" and t.program or here .. "/" .. t.program

-- ---- where they run

-- A working folder with nothing in it but what a checkout has.
local function clean_folder(name)
  local folder = t.tmpdir() .. "/" .. name
  local links = { "lua", "datasets", "examples", "notebooks" }
  if t.build:sub(1, 1) ~= "/" then links[#links + 1] = t.build end
  local commands = { "mkdir -p " .. t.quote(folder) }
  for _, link in ipairs(links) do
    commands[#commands + 1] = ("ln -s %s %s"):format(t.quote(here .. "/" .. link), t.quote(folder .. "/" .. link))
  end
  local output, code = t.shell(table.concat(commands, " && "))
  t.equal(code, 0, output)
  return folder
end

local function the_end_of(output)
  local from = 1
  for at in output:gmatch("()[^\n]*\n?") do
    if select(2, output:sub(at):gsub("\n", "")) <= 25 then from = at break end
  end
  return output:sub(from)
end

local TIME_LIMIT = 300 -- seconds; a lesson takes less than 90 on a machine that has nothing else to do

-- Runs a command in a folder; what it printed.
local function output_in(folder, command)
  local output, code = t.shell(("cd %s && timeout -k 5 %d env -u GIEMSA_DATA GIEMSA_IMAGES=none %s </dev/null")
    :format(t.quote(folder), TIME_LIMIT, command))
  local what = code == 124 and ("took more than %d s"):format(TIME_LIMIT) or ("ended with %d"):format(code)
  t.ok(code == 0, ("%s %s:\n%s"):format(command, what, the_end_of(output)))
  return output
end

-- The cells that lessons make when they are given none: once for all that run at small sizes.
local function put_cells_into(folder)
  local made = t.tmpdir() .. "/cells"
  if select(2, t.shell("test -d " .. made)) ~= 0 then
    output_in(clean_folder "cells", program .. " -e 'require(\"datasets\").ensure()'")
  end
  output_in(folder, ("cp -r %s/data ."):format(made))
end

-- ---- the three ways

local function interpreter()
  local first = 0
  while arg[first - 1] do first = first - 1 end
  return arg[first]
end

local function as_script(folder, path, is_quick)
  local setting = is_quick and "GIEMSA_QUICK=1 " or ""
  return output_in(folder, setting .. t.quote(interpreter()) .. " " .. path)
end

local function as_notebook(folder, path, is_quick)
  return output_in(folder, ("%s run %s %s"):format(program, is_quick and "--quick" or "", path))
end

-- Enter, again and again, until the lesson has ended.
local function cell_by_cell(folder, path, is_quick)
  local command = ("stty cols 80 rows 40; %s run --step %s %s"):format(program, is_quick and "--quick" or "", path)
  local typing = "while printf '\\r'; do sleep 0.05; done | TERM=xterm script -qefc " .. t.quote(command) .. " shown"
  output_in(folder, "sh -c " .. t.quote(typing))
end

-- ---- what they say

-- What does not depend on how fast the machine is.
local function without_times(output)
  local lines = {}
  for line in output:gmatch("[^\n]+") do
    line = line:gsub("%d+:%d%d[%d:]*", "0s"):gsub("%d[%d.:]*%s*[mun]?s/%a+", "T"):gsub("%d[%d.,]*%s*%a+/s%f[%W]", "T")
      :gsub("%f[%d]%d[%d.:]*%s*[mun]?s%f[%W]", "T"):gsub(" +", " ")
    if not line:find "^fingerprint:" then lines[#lines + 1] = line end
  end
  return lines
end

local function pictures_in(output)
  local pictures = {}
  for path in output:gmatch("%[image [^\n]*%-> ([^%]\n]+)%]") do pictures[#pictures + 1] = path end
  return pictures
end

-- A lesson about speed says so in its header. Of its numbers, and of which lines come first or at all, nothing is
-- certain; its pictures are.
local function is_measured(path) return assert(notebook.read(path)).meta.measures == "this machine" end

local function same(path, a, b)
  local certain = is_measured(path) and pictures_in or without_times
  a, b = certain(a), certain(b)
  t.ok(#a > 0, path .. " shows nothing that can be compared")
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then error(("%s: line %d: %s\n  became %s"):format(path, i, a[i], b[i]), 2) end
  end
end

local function name_of(path) return path:match("([^/]+)%.lua$") end

local function log_in(folder, path)
  return assert(runlog.read(("%s/out/runs/%s/latest/log.jsonl"):format(folder, name_of(path))))
end

-- An output of a run in words; pictures by their files, whose names are their contents. (A curve that grows has an SVG,
-- and a text only in a terminal.)
local function in_words(output)
  local data = output.data or {}
  local png, svg = data["image/png"], data["image/svg+xml"]
  local text = not (svg and not png) and data["text/plain"] or ""
  return output.text or output.message or ("%s %s %s"):format(text, png and png.file or "", svg and svg.file or "")
end

-- All that the cells of a run showed.
local function shown_in(log)
  local words = {}
  for _, number in ipairs(log.order) do
    for _, output in ipairs(log.cells[number].outputs) do words[#words + 1] = in_words(output) end
  end
  return table.concat(words, "\n")
end

-- ---- the tests

local function run_full(path)
  local folder = clean_folder(name_of(path))
  local output = as_script(folder, path)
  for _, picture in ipairs(pictures_in(output)) do
    local file <close> = io.open(folder .. "/" .. picture)
    t.ok(file, ("%s: %s was shown and is not there"):format(path, picture))
  end
  same(path, output, as_notebook(clean_folder(name_of(path) .. "-run"), path))
end

local function run_quick(path)
  local folders = {}
  for i, way in ipairs { "script", "run", "step" } do
    folders[i] = clean_folder(("%s-quick-%s"):format(name_of(path), way))
    put_cells_into(folders[i])
  end
  same(path, as_script(folders[1], path, true), as_notebook(folders[2], path, true))
  if select(2, t.shell("command -v script")) ~= 0 then t.skip("no `script` (util-linux) to step through it") end
  cell_by_cell(folders[3], path, true)
  local run, steps = log_in(folders[2], path), log_in(folders[3], path)
  same(path, shown_in(run), shown_in(steps))
  t.equal(steps.finish.fingerprint, run.finish.fingerprint)
  t.equal({ run.start.quick, steps.start.quick }, { true, true })
end

local function is_chosen(name)
  for _, prefix in ipairs(arg) do
    if name:sub(1, #prefix) == prefix then return true end
  end
  return #arg == 0
end

-- Whether the lessons are to be run at full or small sizes, or why not.
local function to_run(size)
  if t.is_slow then return false, "too slow under a sanitizer or an emulator" end
  if os.getenv("LESSONS") == size or os.getenv("FULL") == "yes" then return true end
  return false, ("LESSONS=%s or FULL=yes runs them"):format(size)
end

for _, size in ipairs { "full", "quick" } do
  local is_wanted, why = to_run(size)
  if not is_wanted then t.test(size .. " sizes", function() t.skip(why) end) end
  for path in t.shell("ls notebooks/*.lua"):gmatch(is_wanted and "[^\n]+" or "$.") do
    if is_chosen(path:match("[^/]+$")) then
      t.test(path .. ", " .. size, function() (size == "full" and run_full or run_quick)(path) end)
    end
  end
end

t.done()
