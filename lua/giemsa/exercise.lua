--- Exercises in a lesson, in nbgrader's words: what the instructor's file (the master) holds and the
-- students' does not.
--
--   -- BEGIN SOLUTION      lines up to "END SOLUTION" become "YOUR CODE HERE" (in a text cell
--                          "YOUR ANSWER HERE")
--   -- BEGIN HIDDEN TESTS  lines up to "END HIDDEN TESTS" go; so do cells tagged "hidden"
--
-- The words stand in a comment line of their own. A code cell that holds a solution, or is tagged
-- "solution", is a region: what a student writes there is graded. Cells tagged "check" or "hidden"
-- hold the checks.
local highlight = require "giemsa.highlight"
local notebook = require "giemsa.notebook"
local options = require "giemsa.options"
local syntax = require "giemsa.syntax"

local exercise = {}

local KINDS = { SOLUTION = "solution", ["HIDDEN TESTS"] = "hidden tests" }

-- "BEGIN", "SOLUTION" of a line that marks.
local function mark_of(line)
  local which, what = line:match "^%s*%-%-+%s*#*%s*(%u+)%s+(%u[%u ]-)%s*#*%s*$"
  if (which == "BEGIN" or which == "END") and KINDS[what] then return which, what end
end

-- Near enough to be meant: the first letter is right, and few others are wrong.
local function is_near(word, mark, most)
  return word:sub(1, 1) == mark:sub(1, 1) and options.distance(word, mark) <= most
end

-- What a comment says, wherever it begins on a line; a line in capitals may stand within one.
local function comment_of(line)
  return line:match "%-%-+[%[=#%s]*(.-)%s*$" or line:match "^%s*(%u[%u%s]*)$"
end

-- The mark that a comment may have been meant to be, and is not: "begin solution", "BEGIN SOLUTON", "END SOLUTION (2 points)".
-- Prose goes on in small letters.
local function misspelt(line)
  local words, text = {}, (comment_of(line) or ""):gsub("[_-]", " ")
  local is_loud = text:find "^%u+%s+%u+"
  for word in text:match("^[%a%s]*"):gmatch "%a+" do words[#words + 1] = word:upper() end
  for _, which in ipairs { "BEGIN", "END" } do
    for what in pairs(KINDS) do
      local last = is_loud and (what:find " " and 3 or 2) or #words
      local is_meant = words[1] and is_near(words[1], which, #which // 2) and is_near(table.concat(words, " ", 2, math.min(last, #words)), what, 2)
      if is_meant then return which .. " " .. what end
    end
  end
end

local function lines_of(body)
  local lines = {}
  for line in body:gmatch "[^\n]*\n?" do
    if line ~= "" then lines[#lines + 1] = line end
  end
  return lines
end

---@class giemsa.Block
---@field kind "solution"|"hidden tests"
---@field first integer the line of BEGIN in the cell's body, from 1
---@field last integer the line of END

--- The marked blocks of a cell; nil, why and the file's line when the marks do not match.
---@param cell giemsa.Cell
---@return giemsa.Block[]? blocks
---@return string? message
---@return integer? line
function exercise.blocks(cell)
  local blocks, open = {}, nil
  for i, line in ipairs(lines_of(cell.body)) do
    local which, what = mark_of(line)
    local at = cell.first + i - 1
    local meant = not which and misspelt(line)
    if meant then return nil, ("this comment marks nothing: write `-- %s`, and nothing else on the line"):format(meant), at end
    if which == "BEGIN" then
      if open then return nil, "BEGIN " .. what .. " within BEGIN " .. open.what, at end
      open = { kind = KINDS[what], what = what, first = i }
    elseif which == "END" then
      if not open or open.what ~= what then
        return nil, "END " .. what .. " without its BEGIN in this cell", at
      end
      open.last = i
      blocks[#blocks + 1], open = open, nil
    end
  end
  if open then
    return nil, "BEGIN " .. open.what .. " without its END in this cell", cell.first + open.first - 1
  end
  return blocks
end

local function has(cell, kind)
  for _, block in ipairs(exercise.blocks(cell) or {}) do
    if block.kind == kind then return true end
  end
  return false
end

--- Whether a student writes in this cell, and it can be graded.
---@param cell giemsa.Cell
---@return boolean
function exercise.is_region(cell)
  return cell.kind == "code" and (cell:has_tag "solution" or has(cell, "solution"))
end

---@param cell giemsa.Cell
---@return boolean
function exercise.is_check(cell)
  return cell.kind == "code" and not exercise.is_region(cell)
    and (cell:has_tag "check" or cell:has_tag "hidden" or has(cell, "hidden tests"))
end

-- ---- what a region makes

-- The name at which a list of targets "a, b.c = " begins, for each target, walking back from "=".
local function targets(tokens, i, found)
  while i >= 1 do
    while tokens[i - 1] and tokens[i - 1].text == "." do i = i - 2 end
    local token, before = tokens[i], tokens[i - 1] and tokens[i - 1].text
    if not token or token.kind ~= "name" and token.kind ~= "call" then return end
    if before == "for" or before == "local" or before == "<" then return end
    found[#found + 1] = token.text
    if before ~= "," then return end
    i = i - 2
  end
end

--- The names of the variables that a cell declares at its top level or assigns to: what it makes.
---@param cell giemsa.Cell
---@return string[]
function exercise.made(cell)
  local found, tokens, depth = {}, {}, 0
  for _, one in ipairs(syntax.scan(cell.body).locals) do found[#found + 1] = one.name end
  for _, token in ipairs(highlight.tokens(cell.body)) do
    if token.kind ~= "space" and token.kind ~= "comment" then tokens[#tokens + 1] = token end
  end
  for i, token in ipairs(tokens) do
    local text, after = token.text, tokens[i + 1]
    if text == "{" or text == "(" then depth = depth + 1 end
    if text == "}" or text == ")" then depth = depth - 1 end
    if text == "=" and token.kind == "operator" and depth == 0 then targets(tokens, i - 1, found) end
    local is_local = tokens[i - 1] and tokens[i - 1].text == "local"
    if text == "function" and not is_local and after and (after.kind == "name" or after.kind == "call")
    then
      found[#found + 1] = after.text
    end
  end
  local seen, names = {}, {}
  for _, name in ipairs(found) do
    if not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  return names
end

-- ---- the student's file

-- What stands in a solution's place. The names it declares at the cell's top level are declared,
-- so that what follows runs, and its checks are open.
local function stub(cell, lines, block)
  local line_end = lines[block.first]:match "\r?\n$"
  if cell.kind ~= "code" then return "-- YOUR ANSWER HERE" .. line_end end
  local indent = lines[block.first]:match "^%s*"
  local head = table.concat(lines, "", 1, block.first - 1)
  local inside = table.concat(lines, "", block.first + 1, block.last - 1)
  local names = {}
  if not syntax.scan(head).open then
    local seen = {}
    for _, one in ipairs(syntax.scan(inside).locals) do
      if not seen[one.name] then names[#names + 1] = one.name end
      seen[one.name] = true
    end
  end
  local declared = #names > 0 and "local " .. table.concat(names, ", ") .. " " or ""
  return ("%s%s-- YOUR CODE HERE%s"):format(indent, declared, line_end)
end

-- A cell's body without solutions and hidden tests, and what was taken out.
local function stripped(cell, blocks)
  local lines, out, taken, next_line = lines_of(cell.body), {}, {}, 1
  for _, block in ipairs(blocks) do
    out[#out + 1] = table.concat(lines, "", next_line, block.first - 1)
    if block.kind == "solution" then out[#out + 1] = stub(cell, lines, block) end
    for i = block.first + 1, block.last - 1 do
      taken[#taken + 1] = { text = lines[i], line = cell.first + i - 1, cell = cell }
    end
    next_line = block.last + 1
  end
  out[#out + 1] = table.concat(lines, "", next_line)
  return table.concat(out), taken
end

---@class giemsa.Taken
---@field text string a line that the students do not get
---@field line integer in the master
---@field cell giemsa.Cell

--- The students' lesson: without solutions and hidden tests.
---@param master giemsa.Notebook
---@return giemsa.Notebook? lesson nil and "file:line: why" when marks do not match
---@return giemsa.Taken[]|string taken or message
function exercise.student(master)
  local path = master.path or "lesson"
  local parts, taken = { master.header }, {}
  for _, cell in ipairs(master.cells) do
    local blocks, message, line = exercise.blocks(cell)
    if not blocks then return nil, ("%s:%d: %s"):format(path, line, message) end
    if cell:has_tag "hidden" then
      for i, text in ipairs(lines_of(cell.body)) do
        taken[#taken + 1] = { text = text, line = cell.first + i - 1, cell = cell }
      end
    else
      local body, lost = stripped(cell, blocks)
      parts[#parts + 1] = cell.marker .. body
      table.move(lost, 1, #lost, #taken + 1, taken)
    end
  end
  return notebook.parse(table.concat(parts), path), taken
end

-- ---- leaks

local TYPES = { number = true, string = true, table = true, ["function"] = true, boolean = true,
  userdata = true }

-- Short numbers and texts, and names of types, are too common to give anything away.
local function tells(token)
  if token.kind == "number" then return #token.text:gsub("[^%d]", ""):gsub("^0+", "") >= 3 end
  return token.kind == "string" and #token.text >= 6 and not TYPES[token.text:sub(2, -2)]
end

local function literals(text)
  local found = {}
  for _, token in ipairs(highlight.tokens(text)) do
    if tells(token) then found[#found + 1] = token.text:gsub("^[\"']", ""):gsub("[\"']$", "") end
  end
  return found
end

local function place_of(text, word)
  local from, last, line = 1, 0, 1
  while true do
    local first, stop = text:find(word, from, true)
    if not first then return end
    local before, after = text:sub(first - 1, first - 1), text:sub(stop + 1, stop + 1)
    if not before:find "[%w_.]" and not after:find "[%w_]" then
      line = line + select(2, text:sub(last + 1, first - 1):gsub("\n", ""))
      return line
    end
    from = stop + 1
  end
end

--- What of the taken lines can still be read in the students' lesson: whole lines, and numbers and
--- texts that stand in them.
---@param lesson giemsa.Notebook
---@param taken giemsa.Taken[]
---@return {line: integer, at: integer, word: string}[] leaks line: in the master; at: in the lesson
function exercise.leaks(lesson, taken)
  local text, leaks, seen = lesson:text(), {}, {}
  local function look(word, line)
    local at = not seen[word] and place_of(text, word)
    seen[word] = true
    if at then leaks[#leaks + 1] = { line = line, at = at, word = word } end
  end
  for _, one in ipairs(taken) do
    local whole = one.text:match "^%s*(.-)%s*$"
    if one.cell.kind == "code" then
      if #whole >= 16 and not whole:find "^%-%-" then look(whole, one.line) end
      for _, word in ipairs(literals(one.text)) do look(word, one.line) end
    elseif #whole >= 16 then
      look(whole, one.line)
    end
  end
  return leaks
end

return exercise
