--- The lessons: their form (jupytext's percent format, so that any notebook program can read them),
--- and, with FULL=yes or LESSONS=run, that each runs to its end from a clean working folder.
--
--     LESSONS=run giemsa tests/lessons.lua 03        only the lessons whose names begin so
local t = require "tests.harness"
local core = require "giemsa.core"
local json = require "giemsa.json"

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  return lines
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

local function fail(path, number, message) error(("%s:%d: %s"):format(path, number, message), 0) end

---@class lesson
---@field path string
---@field text string
---@field lines string[]
---@field first integer the line of the first cell
---@field cells {at: integer, name: string, is_text: boolean, lang: string?, lines: string[]}[]

-- The YAML header: its end, and what it names.
local function header_of(path, lines)
  if lines[1] ~= "-- ---" then fail(path, 1, "a lesson begins with its header, '-- ---'") end
  local known = {}
  for i = 2, #lines do
    if lines[i] == "-- ---" then return i, known end
    local key, value = lines[i]:match("^%-%- (%l+): (.+)$")
    if not key then fail(path, i, "in the header a line is '-- key: value'") end
    known[key] = value
  end
  fail(path, 1, "the header has no end, '-- ---'")
end

local function cell_of(path, number, line)
  local plain = line:gsub(' tags=%["%l+"%]$', ""):gsub(' lang="zh"$', "")
  local kind, name = plain:match('^%-%- %%%% (%[?%l*%]?) ?name="([^"]*)"$')
  if not name or kind ~= "" and kind ~= "[markdown]" then
    fail(path, number, 'a cell begins with \'-- %% name="..."\' or \'-- %% [markdown] name="..."\', got ' .. line)
  end
  return { at = number, name = name, is_text = kind ~= "", lang = line:match('lang="(%l+)"'), lines = {} }
end

local function parse(path)
  local text = read(path)
  local lines = lines_of(text)
  local last, header = header_of(path, lines)
  local cells = {}
  for i = last + 1, #lines do
    if lines[i]:find("^%s*%-%-%s*%%%%") then
      cells[#cells + 1] = cell_of(path, i, lines[i])
    elseif #cells > 0 then
      table.insert(cells[#cells].lines, lines[i])
    elseif lines[i] ~= "" then
      fail(path, i, "text before the first cell")
    end
  end
  return { path = path, text = text, lines = lines, header = header, first = last + 2,
    cells = cells }
end

local function for_each_line(lesson, check)
  for i, line in ipairs(lesson.lines) do
    local problem = check(line)
    if problem then fail(lesson.path, i, problem) end
  end
end

-- ---- what every lesson keeps to

local function header(lesson)
  if not lesson.header.title then fail(lesson.path, 1, "the header has no title") end
  if not lesson.cells[1] or lesson.cells[1].at ~= lesson.first then
    fail(lesson.path, lesson.first, "the first cell comes after the header and one blank line")
  end
end

local function whitespace(lesson)
  for_each_line(lesson, function(line)
    if line:find("\t") then return "a tab" end
    if line:find("\r") then return "a carriage return" end
    if line:find(" $") then return "a space at the end of the line" end
  end)
  t.ok(utf8.len(lesson.text), lesson.path .. ": not UTF-8")
end

local function is_kebab_case(name)
  return name:find("^%l[%l%d-]*$") and not name:find("--", 1, true) and not name:find("%-$")
end

local function cell_names(lesson)
  local at = {}
  for _, cell in ipairs(lesson.cells) do
    if not is_kebab_case(cell.name) then
      fail(lesson.path, cell.at,
        ("'%s' is not kebab-case: small letters and digits, joined by single '-'"):format(cell.name))
    end
    if at[cell.name] then
      fail(lesson.path, cell.at, ("another cell is named '%s', on line %d"):format(cell.name, at[cell.name]))
    end
    at[cell.name] = cell.at
  end
end

local function blank_lines(lesson)
  for i, cell in ipairs(lesson.cells) do
    local n = #cell.lines
    if n == 0 or cell.lines[1] == "" then
      fail(lesson.path, cell.at, "the cell is empty or begins with a blank line")
    end
    -- After the last line end there is an empty line, as between two cells.
    if cell.lines[n] ~= "" or cell.lines[n - 1] == "" then
      fail(lesson.path, cell.at + n, i < #lesson.cells and "one blank line belongs between two cells"
        or "one line end ends the file")
    end
  end
end

local function text_cells(lesson)
  for _, cell in ipairs(lesson.cells) do
    for i = 1, cell.is_text and #cell.lines - 1 or 0 do
      if cell.lines[i] ~= "--" and not cell.lines[i]:find("^%-%- ") then
        fail(lesson.path, cell.at + i, "a line of a text cell is '-- text' or '--'")
      end
    end
  end
end

-- What a text names as code, sorted: the same in each language.
local function code_spans(cell)
  local text, found, list = "", {}, {}
  for _, line in ipairs(cell.lines) do text = text .. " " .. line:gsub("^%-%- *", "") end
  for span in text:gmatch("`[^`]+`") do
    if not found[span] then found[span], list[#list + 1] = true, span end
  end
  table.sort(list)
  return table.concat(list, " ")
end

-- A lesson is in English or in both languages: beside each English text stands its Chinese one, "goal-zh" after "goal".
local function translations(lesson)
  local is_bilingual = false
  for i, cell in ipairs(lesson.cells) do
    if cell.lang then
      is_bilingual = true
      local before = lesson.cells[i - 1]
      if not before or before.lang or not before.is_text or cell.name ~= before.name .. "-zh" then
        fail(lesson.path, cell.at, ("'%s' does not stand after the text it translates"):format(cell.name))
      end
      local own, its = code_spans(cell), code_spans(before)
      if own ~= its then
        fail(lesson.path, cell.at, ("'%s' names %s, where the text it translates names %s"):format(cell.name,
          own == "" and "nothing" or own, its == "" and "nothing" or its))
      end
    end
  end
  for i, cell in ipairs(is_bilingual and lesson.cells or {}) do
    local after = lesson.cells[i + 1]
    if cell.is_text and not cell.lang and not (after and after.lang) then
      fail(lesson.path, cell.at, ("'%s' has no translation, and other texts have"):format(cell.name))
    end
  end
end

-- Jupyter programs take such comments for commands of their own; in a long string, '-- %%' would begin a cell.
local function no_magic(lesson)
  for_each_line(lesson, function(line)
    local rest = line:match("^%s*(.*)$")
    while rest:sub(1, 2) == "--" do rest = rest:sub(rest:sub(3, 3) == " " and 4 or 3) end
    if rest:find("^%%%%?%%?%a") then return "a comment that begins with % and a letter is a command to Jupyter" end
  end)
end

local function code(lesson)
  local chunk, problem = load(lesson.text, "@" .. lesson.path, "t", {})
  if not chunk then error(problem, 0) end
end

-- Without the translations.
local function english(lesson)
  local cells = {}
  for _, cell in ipairs(lesson.cells) do
    if not cell.lang then cells[#cells + 1] = cell end
  end
  return cells
end

local function prose(lesson)
  local cells = english(lesson)
  local first, last = cells[1], cells[#cells]
  if not first.is_text or not first.lines[1]:find("^%-%- # ") then
    fail(lesson.path, first.at, "the first cell is text and begins with '# Title'")
  end
  local goal, try = table.concat(first.lines, "\n"), table.concat(last.lines, "\n")
  t.ok(goal:find("**Goal:**", 1, true), lesson.path .. ": the first cell names the **Goal:**")
  t.ok(last.is_text and try:find("Try it", 1, true), lesson.path .. ": the last cell has exercises to try")
end

local function check_form(path)
  local lesson = parse(path)
  for _, check in ipairs { header, whitespace, cell_names, blank_lines, text_cells, translations, no_magic, code,
    prose } do
    check(lesson)
  end
end

-- ---- running them

local function interpreter()
  local first = 0
  while arg[first - 1] do first = first - 1 end
  return arg[first]
end

local function the_end_of(output)
  local lines = lines_of(output)
  return table.concat(lines, "\n", math.max(1, #lines - 25))
end

local TIME_LIMIT = 300 -- seconds; a lesson takes less than 90 on a machine that has nothing else to do

-- Runs a command in a clean folder; what it printed, and the folder.
local function output_in(folder, path, command)
  local output, code = t.shell(("cd %s && env -u GIEMSA_DATA GIEMSA_IMAGES=none timeout -k 5 %d %s </dev/null")
    :format(t.quote(folder), TIME_LIMIT, command))
  local what = code == 124 and ("took more than %d s"):format(TIME_LIMIT) or ("ended with %d"):format(code)
  t.ok(code == 0, ("%s %s:\n%s"):format(path, what, the_end_of(output)))
  return output
end

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
local function is_measured(path) return parse(path).header.measures == "this machine" end

local function first_difference(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return ("line %d: %s\n  became %s"):format(i, a[i], b[i]) end
  end
end

local ran = {} -- path of a lesson -> the folder of its run, with the run as a Jupyter notebook

-- As a script, and as a notebook: both print the same numbers.
local function run(path)
  local name = path:match("([^/]+)%.lua$")
  local folder = t.checkout(name)
  local output = output_in(folder, path, t.quote(interpreter()) .. " " .. path)
  for _, picture in ipairs(pictures_in(output)) do
    local file <close> = io.open(folder .. "/" .. picture)
    t.ok(file, ("%s: %s was shown and is not there"):format(path, picture))
  end
  local program = t.program:sub(1, 1) == "/" and t.program or t.shell("pwd"):gsub("\n", "") .. "/" .. t.program
  local of_run = t.checkout(name .. "-run")
  local stepped = output_in(of_run, path, program .. " run " .. path .. " --ipynb run.ipynb")
  ran[path] = of_run
  local certain = is_measured(path) and pictures_in or without_times
  t.ok(#certain(output) > 0, path .. " shows nothing that can be compared")
  local difference = first_difference(certain(output), certain(stepped))
  t.ok(not difference, ("%s: %s"):format(path, difference))
end

-- ---- in Jupyter

local function read_json(path) return json.decode(read(path)) end

-- What a cell shows besides its value: all it prints, and what it displays.
local function shown_by(cell)
  local printed, displays = {}, {}
  for _, output in ipairs(cell.outputs or {}) do
    if output.output_type == "stream" then printed[#printed + 1] = table.concat(output.text) end
    if output.output_type == "display_data" then displays[#displays + 1] = output.data end
  end
  return table.concat(printed), displays
end

local function joined(value) return type(value) == "table" and table.concat(value) or value end

local function compare_displays(where, ours, theirs)
  t.equal(#theirs, #ours, where .. ": displays")
  for i, data in ipairs(ours) do
    for mime, value in pairs(data) do
      local text, other = joined(value), joined(theirs[i][mime])
      if mime == "text/plain" and text ~= "[display]" then
        local difference = first_difference(without_times(text), without_times(other))
        t.ok(not difference, ("%s: %s"):format(where, difference))
      elseif mime:find "^image" then t.ok(text == other, ("%s: %s differs"):format(where, mime)) end
    end
  end
end

-- Under our kernel, run by Jupyter's own program: the same numbers and the same pictures as in a run.
local function run_in_jupyter(path)
  local name = path:match("([^/]+)%.lua$")
  local problem = require("giemsa.kernel").obstacle()
  if problem then t.skip(problem) end
  if not core.run_program({ "jupyter-nbconvert", "--version" }, "", 60) then t.skip("jupyter-nbconvert is not installed") end
  if not ran[path] then t.skip("the lesson did not run") end
  local folder = t.checkout(name .. "-jupyter")
  local program = t.program:sub(1, 1) == "/" and t.program or t.shell("pwd"):gsub("\n", "") .. "/" .. t.program
  output_in(folder, path, program .. " kernel --install --prefix .")
  output_in(folder, path, ("%s convert %s before.ipynb"):format(program, path))
  output_in(folder, path, "env JUPYTER_PATH=share/jupyter HOME=. jupyter-nbconvert --to notebook --execute"
    .. " --output after.ipynb before.ipynb")
  local cells = read_json(folder .. "/after.ipynb").cells
  for i, cell in ipairs(read_json(ran[path] .. "/run.ipynb").cells) do
    local where = ("%s: cell %s in Jupyter"):format(path, cell.id)
    local printed, displays = shown_by(cell)
    local also_printed, also_displays = shown_by(cells[i])
    t.equal(cells[i].id, cell.id)
    if not is_measured(path) then
      local difference = first_difference(without_times(printed), without_times(also_printed))
      t.ok(not difference, ("%s: %s"):format(where, difference))
      compare_displays(where, displays, also_displays)
    end
  end
end

-- Whether the lessons are to be run, or why not.
local function to_run()
  if t.is_slow then return false, "too slow under a sanitizer or an emulator" end
  if os.getenv("LESSONS") == "run" or os.getenv("FULL") == "yes" then return true end
  return false, "LESSONS=run or FULL=yes runs them"
end

local function is_chosen(name)
  for _, prefix in ipairs(arg) do
    if name:sub(1, #prefix) == prefix then return true end
  end
  return #arg == 0
end

local running, why = to_run()
local paths = {}
for path in t.shell("ls notebooks/*.lua"):gmatch("[^\n]+") do
  if is_chosen(path:match("[^/]+$")) then paths[#paths + 1] = path end
end

for _, path in ipairs(paths) do
  t.test(path .. ": form", function() check_form(path) end)
end

if running then
  for _, path in ipairs(paths) do
    t.test(path .. ": runs", function() run(path) end)
    t.test(path .. ": runs in Jupyter", function() run_in_jupyter(path) end)
  end
else
  t.test("every lesson runs", function() t.skip(why) end)
end

t.test("a lesson out of form is told where", function()
  local good = '-- ---\n-- title: T\n-- ---\n\n-- %% [markdown] name="goal"\n-- # T\n--\n-- **Goal:** g. Try it\n'
  local function told(text, pattern)
    local path = t.write(t.tmpdir() .. "/lesson.lua", text)
    t.raises(check_form, pattern, path)
  end
  check_form(t.write(t.tmpdir() .. "/lesson.lua", good))
  told("-- %% name=\"a\"\nprint()\n", "lesson.lua:1: a lesson begins with its header")
  told(good:gsub("title", "name"), "has no title")
  told(good .. '\n-- %% name="goal"\nx = 1\n', ":10: another cell is named 'goal', on line 5")
  told(good .. '\n-- %% name="Two_words"\nx = 1\n', "is not kebab%-case")
  told(good .. '\n-- %% x\nx = 1\n', ":10: a cell begins with")
  told(good .. '-- %% name="b"\nx = 1\n', ":8: one blank line belongs")
  told(good .. '\n\n-- %% name="b"\nx = 1\n', "one blank line belongs")
  told(good .. "\n", "one line end ends the file")
  told((good:gsub("\n$", "")), "one line end ends the file")
  told(good .. '\n-- %% name="b"\nx = 1 \n', ":11: a space at the end")
  told(good .. '\n-- %% name="b"\n-- %matplotlib\n', ":11: .*command to Jupyter")
  told(good .. '\n-- %% name="b"\nx = = 1\n', "lesson.lua:11: unexpected symbol")
  told(good .. '\n-- %% [markdown] name="b"\ntext\n', ":11: a line of a text cell")
  told(good .. '\n-- %% name="b"\nx = 1\n', "the last cell has exercises")
  local chinese = good .. '\n-- %% [markdown] name="goal-zh" lang="zh"\n-- # 课\n'
  check_form(t.write(t.tmpdir() .. "/lesson.lua", chinese))
  told(chinese:gsub("goal%-zh", "aim-zh"), ":10: 'aim%-zh' does not stand after the text it translates")
  told(chinese .. "--\n-- `nil`\n", ":10: 'goal%-zh' names `nil`, where the text it translates names nothing")
  told(chinese .. '\n-- %% [markdown] name="b"\n-- Try it\n', ":13: 'b' has no translation")
end)

t.done()
