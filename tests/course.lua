--- The lessons, run: each comes to its end in a folder where nothing has run before, and says the same as a script and
--- as a notebook; at its small sizes (giemsa.quick) also cell by cell in a terminal, and in Jupyter.
---
---     LESSONS=full giemsa tests/course.lua 03        only lessons whose names begin so; LESSONS=quick: small sizes
local core = require "giemsa.core"
local json = require "giemsa.json"
local notebook = require "giemsa.notebook"
local t = require "tests.harness"

local program = t.program:sub(1, 1) == "/" and t.program or t.shell("pwd"):gsub("\n", "") .. "/" .. t.program

local function name_of(path) return path:match("([^/]+)%.lua$") end

-- ---- running them

local function the_end_of(output)
  local lines = {}
  for line in output:gmatch("[^\n]+") do lines[#lines + 1] = line end
  return table.concat(lines, "\n", math.max(1, #lines - 25))
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

local function interpreter()
  local first = 0
  while arg[first - 1] do first = first - 1 end
  return arg[first]
end

local function as_script(folder, path, setting)
  return output_in(folder, (setting or "") .. " " .. t.quote(interpreter()) .. " " .. path)
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

local function same_lines(where, a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then error(("%s: line %d: %s\n  became %s"):format(where, i, a[i], b[i]), 2) end
  end
end

local function same_output(path, a, b)
  local certain = is_measured(path) and pictures_in or without_times
  t.ok(#certain(a) > 0, path .. " shows nothing that can be compared")
  same_lines(path, certain(a), certain(b))
end

-- The texts of a training's epochs are an output each, or one that grew: they are compared as one.
local function with_texts_joined(displays)
  local list = {}
  for _, data in ipairs(displays) do
    local before = list[#list]
    local mime, more = next(data)
    local is_text = mime == "text/plain" and next(data, mime) == nil
    local text = is_text and (type(more) == "table" and table.concat(more) or more)
    if is_text and before and before.is_text then before["text/plain"] = before["text/plain"] .. "\n" .. text
    else list[#list + 1] = is_text and setmetatable({ ["text/plain"] = text }, { __index = { is_text = true } }) or data end
  end
  return list
end

-- What a cell of a Jupyter notebook shows besides its value: all it prints, and what it displays.
local function shown_by(cell)
  local printed, displays = {}, {}
  for _, output in ipairs(cell.outputs or {}) do
    if output.output_type == "stream" then printed[#printed + 1] = table.concat(output.text) end
    if output.output_type == "display_data" then displays[#displays + 1] = output.data end
  end
  return table.concat(printed), with_texts_joined(displays)
end

local function joined(value) return type(value) == "table" and table.concat(value) or value end

-- A growing curve is characters in a terminal and a picture in a page; without a terminal its text is "[display]".
local function same_displays(where, ours, theirs)
  t.equal(#theirs, #ours, where .. ": displays")
  for i, data in ipairs(ours) do
    for mime, value in pairs(data) do
      local text, other = joined(value), joined(theirs[i][mime])
      if mime == "text/plain" and text ~= "[display]" then same_lines(where, without_times(text), without_times(other))
      elseif mime:find "^image" then t.ok(text == other, ("%s: %s differs"):format(where, mime)) end
    end
  end
end

local function cells_of(file)
  local f <close> = assert(io.open(file))
  return assert(json.decode(f:read("a"))).cells
end

-- The same numbers and the same pictures in two Jupyter notebooks.
local function same_cells(path, a, b, way)
  local ours, theirs = cells_of(a), cells_of(b)
  t.equal(#theirs, #ours, path .. ": cells")
  for i, cell in ipairs(is_measured(path) and {} or ours) do
    local where = ("%s: cell %s %s"):format(path, cell.id, way)
    local printed, displays = shown_by(cell)
    local also_printed, also_displays = shown_by(theirs[i])
    t.equal(theirs[i].id, cell.id)
    same_lines(where, without_times(printed), without_times(also_printed))
    same_displays(where, displays, also_displays)
  end
end

-- ---- at full sizes

local function run_full(path)
  local folder = t.checkout(name_of(path))
  local output = as_script(folder, path)
  for _, picture in ipairs(pictures_in(output)) do
    local file <close> = io.open(folder .. "/" .. picture)
    t.ok(file, ("%s: %s was shown and is not there"):format(path, picture))
  end
  same_output(path, output, output_in(t.checkout(name_of(path) .. "-run"), program .. " run " .. path))
end

-- ---- at small sizes: a folder for each way, in which there are the cells that else each lesson would make

local function folder_of(path, way) return ("%s/%s-quick-%s"):format(t.tmpdir(), name_of(path), way) end

local function new_folder(path, way)
  local made = t.tmpdir() .. "/cells"
  if not core.file_info(made) then
    output_in(t.checkout "cells", program .. " -e 'require(\"datasets\").ensure()'")
  end
  local folder = t.checkout(("%s-quick-%s"):format(name_of(path), way))
  output_in(folder, ("cp -r %s/data ."):format(made))
  return folder
end

local function run_quick(path)
  local output = as_script(new_folder(path, "script"), path, "GIEMSA_QUICK=1")
  same_output(path, output, output_in(new_folder(path, "run"), program .. " run --quick --ipynb run.ipynb " .. path))
end

-- The Jupyter notebook of the ordinary run.
local function of_run(path)
  local file = folder_of(path, "run") .. "/run.ipynb"
  return core.file_info(file) and file or t.skip("the lesson did not run")
end

-- Enter, again and again, until the lesson has ended.
local function run_in_steps(path)
  if not core.run_program({ "script", "--version" }, "", 60) then t.skip("`script` (util-linux) is not installed") end
  local want, folder = of_run(path), new_folder(path, "step")
  local command = ("stty cols 80 rows 40; %s run --step --quick --ipynb step.ipynb %s"):format(program, path)
  local typing = "while printf '\\r'; do sleep 0.05; done | TERM=xterm script -qefc " .. t.quote(command) .. " shown"
  output_in(folder, "sh -c " .. t.quote(typing))
  same_cells(path, want, folder .. "/step.ipynb", "in steps")
end

-- Under our kernel, run by Jupyter's own program.
local function run_in_jupyter(path)
  local problem = require("giemsa.kernel").obstacle()
  if problem then t.skip(problem) end
  if not core.run_program({ "jupyter-nbconvert", "--version" }, "", 60) then t.skip("jupyter-nbconvert is not installed") end
  local want, folder = of_run(path), new_folder(path, "jupyter")
  output_in(folder, program .. " kernel --install --prefix .")
  output_in(folder, ("%s convert %s before.ipynb"):format(program, path))
  output_in(folder, "GIEMSA_QUICK=1 JUPYTER_PATH=share/jupyter HOME=. jupyter-nbconvert --to notebook --execute"
    .. " --output after.ipynb before.ipynb")
  same_cells(path, want, folder .. "/after.ipynb", "in Jupyter")
end

-- ---- the tests

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

local paths = {}
for path in t.shell("ls notebooks/*.lua"):gmatch("[^\n]+") do
  if is_chosen(path:match("[^/]+$")) then paths[#paths + 1] = path end
end

-- Each lesson in each of the ways: what is tested, and the function of a path.
local function test_all(size, ways)
  local is_wanted, why = to_run(size)
  if not is_wanted then return t.test(size .. " sizes", function() t.skip(why) end) end
  for _, path in ipairs(paths) do
    for _, way in ipairs(ways) do t.test(path .. ", " .. way[1], function() way[2](path) end) end
  end
end

test_all("full", { { "full sizes", run_full } })
test_all("quick", { { "small sizes", run_quick }, { "in steps", run_in_steps }, { "in Jupyter", run_in_jupyter } })

t.done()
