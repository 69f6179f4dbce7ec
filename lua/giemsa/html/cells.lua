--- The cells of a page: text, code, and what the code gave.
local coloured = require "giemsa.html.code"
local escape = require "giemsa.html.escape"
local languages = require "giemsa.html.languages"
local markdown = require "giemsa.markdown"
local outputs = require "giemsa.html.outputs"

local cells = {}

-- cell -> the language it is for, true for all; a cell that nobody sees is absent.
local function audience(lesson, list)
  local seen = {}
  for _, lang in ipairs(list) do
    for _, cell in ipairs(lesson:in_language(lang)) do
      seen[cell] = seen[cell] or {}
      table.insert(seen[cell], lang)
    end
  end
  for cell, langs in pairs(seen) do seen[cell] = #langs == #list or langs[1] end
  return seen
end

-- ---- a code cell

--- "0.4 s", "1 min 05 s"; nil for what is too short to matter.
---@param seconds number?
---@return string?
function cells.duration(seconds)
  if type(seconds) ~= "number" or seconds < 0.05 then return nil end
  if seconds < 59.95 then return ("%.1f s"):format(seconds) end
  local whole = math.floor(seconds + 0.5)
  if whole < 3600 then return ("%d min %02d s"):format(whole // 60, whole % 60) end
  return ("%d h %02d min"):format(whole // 3600, whole % 3600 // 60)
end

local STATUSES = { failed = true, cached = true, skipped = true, timeout = true, interrupted = true }

--- What went another way than usual with a code cell; nil when nothing did.
---@param page giemsa.html.Page
---@param cell giemsa.Cell
---@return "stale"|"not run"|"running"|"killed"|"failed"|"cached"|"skipped"|"timeout"|"interrupted"|nil
function cells.state(page, cell)
  local result = page.results[cell]
  if page.stale[cell] then return "stale" end
  if not page.run or cell:source() == "" then return nil end
  if not result then return "not run" end
  if not result.status then return page.run.running == cell.number and "running" or "killed" end
  if result.status == "ok" then return nil end
  return STATUSES[result.status] and result.status or "failed"
end

local MARKED = { "exercise", "check" } -- tags that the reader sees

local function chip(class, word) return ('<span class="chip %s">%s</span>'):format(class, word) end

local function name_of(cell)
  return cell.name or cell.title ~= "" and cell.title or ("[%d]"):format(cell.number)
end

-- The line above the code: its name, its marks, its line in the file, how long it took.
local function bar(page, cell)
  local result = page.results[cell] or {}
  local parts = { ('<a class="mono" href="#%s">%s</a>'):format(escape(page.anchors[cell]),
    escape(name_of(cell))) }
  for _, tag in ipairs(MARKED) do
    if cell:has_tag(tag) then parts[#parts + 1] = chip(tag, page:say(tag)) end
  end
  local state = cells.state(page, cell)
  if state then parts[#parts + 1] = chip((state:gsub(" ", "-")), page:say(state)) end
  local took, before = cells.duration(result.seconds), cells.duration(result.before)
  local time = took and " · " .. took .. (before and " " .. page:say("(before: %s)", before) or "")
  parts[#parts + 1] = ('<span class="end">%s%s</span>'):format(page:say("line %d", cell.first),
    time or "")
  return ('<div class="bar">%s</div>'):format(table.concat(parts))
end

local function folded(summary, inside)
  return ("<details><summary>%s</summary>\n%s</details>\n"):format(summary, inside)
end

local function outputs_of(page, result, label)
  if not result then return "" end
  local shown = outputs.html(result.outputs, { page = page, label = label,
    prefix = ("c%d-"):format(result.cell) })
  return shown ~= "" and ('<div class="output">\n%s</div>\n'):format(shown) or ""
end

local function output(page, cell)
  local shown = outputs_of(page, page.results[cell], cell:label())
  if shown == "" then return "" end
  return cell:has_tag "hide-output" and folded(page:say "Output", shown) or shown
end

local LONG = 26 -- lines; shorter code is not torn between two sheets of paper

local function source_of(page, cell)
  local text = cell:source()
  local _, breaks = text:gsub("\n", "")
  return ('<div class="source%s">%s<pre><code>%s</code></pre></div>\n'):format(
    breaks >= LONG and " long" or "", bar(page, cell), coloured(text))
end

--- HTML of a code cell with its outputs; "" when it has neither code nor outputs.
---@param page giemsa.html.Page
---@param cell giemsa.Cell
---@return string
function cells.code(page, cell)
  local shown = output(page, cell)
  if cell:source() == "" and shown == "" then return "" end
  local source = source_of(page, cell)
  if cell:has_tag "hide-input" then source = folded(page:say "Code", source) end
  local inside = source .. shown
  if cell:has_tag "solution" then inside = folded(page:say "Answer", inside) end
  if page.asking then inside = inside .. '<div class="notes"></div>\n' end
  local state = cells.state(page, cell)
  return ('<section id="%s" class="cell code%s">\n%s</section>\n'):format(
    escape(page.anchors[cell]), state and " " .. state:gsub(" ", "-") or "", inside)
end

-- ---- all of them

local function text(page, cell, tree, lang)
  local shown = page.prose:html(tree, lang ~= true and lang or nil)
  if not shown:find "%S" then return "" end
  if cell:has_tag "solution" then shown = folded(page:say "Answer", shown) end
  return ('<section id="%s"%s>\n%s</section>\n'):format(escape(page.anchors[cell]),
    languages.attributes(page.asking and page.asking[cell] and "cell prose asking" or "cell prose",
      lang), shown)
end

--- The cells that the page shows, one by one; fills page.anchors, and page.prose with the headings.
---@param page giemsa.html.Page
---@return {cell: giemsa.Cell, html: string, opens: boolean}[] html is "" for a cell that shows nothing; opens: of the
--- texts before the first chapter and the first code, what the lesson is about
function cells.list(page)
  local seen, shown, trees, all = audience(page.lesson, page.languages), {}, {}, {}
  for _, cell in ipairs(page.lesson.cells) do
    local is_shown = seen[cell] and cell.kind ~= "raw" and not cell:has_tag "hidden"
    if is_shown then shown[#shown + 1] = cell end
  end
  for _, cell in ipairs(shown) do -- anchors of cells come before those of headings
    page.anchors[cell] = page.prose:id(cell.name or "cell-" .. cell.number)
    if cell.kind == "markdown" then
      trees[cell] = markdown.parse(cell:source())
      all[#all + 1] = trees[cell]
    end
  end
  page.prose:prepare(all)
  local list, opens = {}, true
  for i, cell in ipairs(shown) do
    local html = trees[cell] and text(page, cell, trees[cell], seen[cell]) or cells.code(page, cell)
    opens = opens and trees[cell] ~= nil and #page.prose.contents == 0
    list[i] = { cell = cell, html = html, opens = opens }
  end
  return list
end

--- HTML of all cells: of those that open the lesson, and of the rest.
---@param page giemsa.html.Page
---@return string opening, string rest
function cells.html(page)
  local opening, rest = {}, {}
  for _, one in ipairs(cells.list(page)) do table.insert(one.opens and opening or rest, one.html) end
  local outside = page.run and page.run.cells[0] -- what finalizers print when all is over
  rest[#rest + 1] = outputs_of(page, outside, "the end of the lesson")
  return table.concat(opening), table.concat(rest)
end

return cells
