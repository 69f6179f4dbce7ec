--- The form of the lessons: jupytext's percent format, so that any notebook program can read them, and our own rules.
--- (tests/course.lua runs them.)
local t = require "tests.harness"

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

for path in t.shell("ls notebooks/*.lua"):gmatch("[^\n]+") do
  t.test(path .. ": form", function() check_form(path) end)
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
