--- What comes out of grading: a table (CSV) and a page for each student. Names and messages in both
-- were written by whoever submitted.
local escape = require "giemsa.html.escape"
local unicode = require "giemsa.unicode"

local report = {}

-- ---- the table

-- A spreadsheet takes a text that begins with one of these for a formula, an East Asian one also their wide forms.
local WIDE = { ["\u{ff1d}"] = true, ["\u{ff0b}"] = true, ["\u{ff0d}"] = true, ["\u{ff20}"] = true }

local function field(value)
  if type(value) == "number" then return ("%.4g"):format(value) end
  local text = unicode.clean(value)
  if text:find "^[=+@\t\n-]" or WIDE[text:match "^[\xc2-\xef][\x80-\xbf]*"] then text = "'" .. text end
  if text:find "[\",;\n']" then text = '"' .. text:gsub('"', '""') .. '"' end
  return text
end

local function row(values)
  local fields = {}
  for i, value in ipairs(values) do fields[i] = field(value) end
  return table.concat(fields, ",") .. "\n"
end

--- student, points, of, the points of each exercise, notes.
---@param grades giemsa.Grade[]
---@param exercises giemsa.grade.Exercise[]
---@return string
function report.csv(grades, exercises)
  local head = { "student", "points", "of" }
  for _, one in ipairs(exercises) do head[#head + 1] = one.name end
  head[#head + 1] = "notes"
  local rows = { row(head) }
  for _, one in ipairs(grades) do
    local values = { one.student, one.points, one.of }
    for _, exercise in ipairs(one.exercises) do values[#values + 1] = exercise.points end
    values[#values + 1] = table.concat(one.notes, "; ")
    rows[#rows + 1] = row(values)
  end
  return table.concat(rows)
end

-- ---- a student's page

local PAGE = [[
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .3rem }
ul { list-style: none; margin: 0; padding: 0 }
.passed::before { content: "✓ "; color: #1a7f37 }
.failed::before { content: "✗ "; color: #c0392b }
.open::before { content: "○ "; color: #9a6700 }
.why { opacity: .75; white-space: pre-wrap; overflow-wrap: anywhere }
</style>
</head>
<body>
<h1>%s</h1>
<p><strong>%.4g</strong> of %.4g points</p>
%s</body>
</html>
]]

local function why(message)
  return message and (' <span class="why">%s</span>'):format(escape(message)) or ""
end

local function section(one)
  local out = { ("<h2>%s: %.4g of %.4g</h2>\n<ul>\n"):format(escape(one.name), one.points, one.of) }
  for _, result in ipairs(one.results) do
    out[#out + 1] = ('<li class="%s">%s%s</li>\n'):format(result.status, escape(result.name),
      why(result.message))
  end
  return table.concat(out) .. "</ul>\n" .. (one.message and ("<p>%s</p>\n"):format(why(one.message))
    or "")
end

--- The page that a student gets.
---@param one giemsa.Grade
---@param title string of the lesson
---@return string html
function report.page(one, title)
  local out = {}
  for i, exercise in ipairs(one.exercises) do out[i] = section(exercise) end
  if #one.notes > 0 then
    out[#out + 1] = "<h2>Notes</h2>\n<ul>\n"
    for _, note in ipairs(one.notes) do out[#out + 1] = ("<li>%s</li>\n"):format(escape(note)) end
    out[#out + 1] = "</ul>\n"
  end
  local head = escape(title .. ": " .. one.student)
  return PAGE:format(head, head, one.points, one.of, table.concat(out))
end

--- Names for the students' pages: safe for any file system, each once.
---@param grades giemsa.Grade[]
---@return string[]
function report.names(grades)
  local names, seen = {}, {}
  for i, one in ipairs(grades) do
    local name = one.student:gsub("[^%w._-]", "_"):gsub("^%.", "_"):sub(1, 80)
    local unique, n = name, 1
    while seen[unique:lower()] do
      n = n + 1
      unique = ("%s-%d"):format(name, n)
    end
    seen[unique:lower()] = true
    names[i] = unique .. ".html"
  end
  return names
end

return report
