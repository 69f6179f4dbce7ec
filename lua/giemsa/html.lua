--- A lesson as one page: text, code, and what its run printed, showed and raised. One file, no
-- script, nothing from the network; the same run gives the same bytes.
local cells = require "giemsa.html.cells"
local frame = require "giemsa.html.frame"
local handout = require "giemsa.html.handout"
local languages = require "giemsa.html.languages"
local notebook = require "giemsa.notebook"
local options = require "giemsa.options"
local prose = require "giemsa.html.prose"
local runlog = require "giemsa.runlog"
local stale_results = require "giemsa.html.stale"

local html = {}

-- ---- which text, and which results belong to its cells

local function code_cells(lesson)
  local codes = {}
  for _, cell in ipairs(lesson.cells) do
    if cell.kind == "code" then codes[#codes + 1] = cell end
  end
  return codes
end

-- The place of the first code cell that is not the same in both, nil when all are.
local function first_change(ran, now)
  for i = 1, math.max(#ran, #now) do
    if not ran[i] or not now[i] or ran[i]:source() ~= now[i]:source() then return i end
  end
end

-- Where only the prose has changed since the run, the present text is shown; where code has, the
-- text that ran, since the results are its own.
local function match(run, text)
  if not run then return { lesson = notebook.parse(text), results = {}, stale = {} } end
  local ran = notebook.parse(run.start.source or "")
  local now = text and notebook.parse(text) or ran
  local codes = code_cells(ran)
  local change = first_change(codes, code_cells(now))
  local lesson = change and ran or now
  local results, shown = {}, code_cells(lesson)
  for i, cell in ipairs(shown) do results[cell] = run.cells[codes[i].number] end
  local stale, unordered = stale_results(lesson, results, ran), nil
  for i, cell in ipairs(shown) do
    if stale[cell] and not unordered then unordered = cell end
    stale[cell] = stale[cell] or change ~= nil and i >= change
  end
  return { lesson = lesson, results = results, stale = stale, unordered = unordered,
    changed = change and (shown[change] or shown[#shown]) }
end

--- Whether the code of a run is that of a text: then its results are, too.
---@param run giemsa.Run
---@param text string of the lesson
---@return boolean
function html.is_current(run, text) return match(run, text).changed == nil end

--- The languages of the text cells; what is not marked is English.
---@param lesson giemsa.Notebook
---@return string[]
function html.languages(lesson)
  local found, list = { en = true }, { "en" }
  for _, cell in ipairs(lesson.cells) do
    local lang = cell.lang
    if lang and lang:find "^%a[%w-]*$" and not found[lang] then
      found[lang] = true
      list[#list + 1] = lang
    end
  end
  return list
end

-- ---- the page

---@class giemsa.html.Link
---@field href string
---@field titles table<string, string> by language

---@class giemsa.html.Page
---@field run giemsa.Run?
---@field path string of the lesson
---@field title string when no heading gives one
---@field languages string[] of the texts in the page; the reader chooses when there are several
---@field lesson giemsa.Notebook
---@field results table<giemsa.Cell, giemsa.RunCell>
---@field stale table<giemsa.Cell, boolean>
---@field changed giemsa.Cell? the first cell whose code is no longer that of the run
---@field unordered giemsa.Cell? the first whose result is not of a run from top to bottom
---@field prose giemsa.html.Prose
---@field anchors table<giemsa.Cell, string>
---@field asking table<giemsa.Cell, true>? of a hand-out: the texts that want an answer
---@field navigation {index: string?, previous: giemsa.html.Link?, next: giemsa.html.Link?}
local Page = {}
Page.__index = Page

Page.say, Page.word = languages.say, languages.word

local OPTIONS = { path = "string", text = "string", run = "table", lang = "string",
  navigation = "table", link = "callable", handout = "boolean" }

--- The page of a lesson.
---
--- text: the lesson as it is now; what ran when absent. run: its results; without it text and code
--- only. lang: the texts of one language; all, with a switch, when absent. link: changes the
--- addresses of links (see markdown.html). handout: for paper, without results (html/handout.lua).
---@param o {path: string?, text: string?, run: giemsa.Run?, lang: string?, navigation: table?,
--- link: function?, handout: boolean?}
---@return string
function html.page(o)
  o = options.check("html.page", o, OPTIONS)
  if not (o.run or o.text) then error("html.page: it needs a run, or a text", 2) end
  local page = setmetatable(match(o.run, o.text), Page)
  if o.handout then
    page.lesson, page.asking = handout.of(page.lesson)
    page.results, page.stale, page.changed = {}, {}, nil
  end
  page.run = not o.handout and o.run or nil
  page.navigation, page.anchors = o.navigation or {}, {}
  page.path = tostring(o.path or o.run and o.run.start.lesson or "")
  page.title = tostring(page.lesson.meta.title or page.path)
  page.languages = o.lang and { o.lang } or html.languages(page.lesson)
  page.prose = prose.new{ folder = page.path:match "^(.*)/", link = o.link,
    word = function(...) return page:word(...) end }
  return frame.html(page, cells.html(page))
end

--- The page of a run, by its log. The lesson's present text is looked at, where it still is.
---@param path string
---@param o? table lang, navigation, link: see html.page
---@return string? page nil and why when the log cannot be read
---@return string? message
function html.from_run(path, o)
  local run, message = runlog.read(path)
  if not run then return nil, message end
  local lesson = notebook.read(tostring(run.start.lesson))
  return html.page{ run = run, text = lesson and lesson:text(), lang = o and o.lang,
    navigation = o and o.navigation, link = o and o.link }
end

return html
