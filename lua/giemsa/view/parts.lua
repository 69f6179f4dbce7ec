--- The parts of a lesson's live page: its head, its contents, each cell, its end. Each knows the
-- version at which it last changed, so that a viewer, wherever he was, gets what is new to him.
local cells = require "giemsa.html.cells"
local changes = require "giemsa.notebook.changes"
local escape = require "giemsa.html.escape"
local frame = require "giemsa.html.frame"
local html = require "giemsa.html"
local languages = require "giemsa.html.languages"
local notebook = require "giemsa.notebook"
local prose = require "giemsa.html.prose"
local stale_results = require "giemsa.html.stale"

---@class giemsa.view.Part
---@field key string the same for a cell however often it is edited or moved
---@field version integer
---@field html string
---@field kind string? of a cell
---@field name string? of a cell
---@field source string? of a cell, to be edited
---@field opens boolean? of a cell that comes before the contents

---@class giemsa.view.Parts
---@field version integer of the newest change
---@field order string[] keys of the cells that are shown, in the order of the lesson
---@field by_key table<string, giemsa.view.Part>
---@field book giemsa.Notebook?
---@field page giemsa.html.Page
local Parts = {}
Parts.__index = Parts

-- ---- what a page is made from

local Page = { is_live = true, say = languages.say, word = languages.word }
Page.__index = Page

-- Pictures stay where they are: a page that changes twice a second does not carry them along.
function Page:picture_source(picture)
  local run, file = self.run.folder:match "[^/]+$", picture.file
  return type(file) == "string" and not file:find "/" and ("run/%s/%s"):format(run, file) or nil
end

local function new_page(parts, book)
  local page = setmetatable({ lesson = book, path = parts.path, run = parts.run, navigation = { index = "../" },
    title = tostring(book.meta.title or parts.path), anchors = {}, results = {}, stale = {},
    problem = parts.problem and escape(parts.problem), languages = parts.lang and { parts.lang } or html.languages(book) },
    Page)
  page.prose = prose.new{ folder = parts.path:match "^(.*)/",
    word = function(...) return page:word(...) end }
  return page
end

-- ---- changes

-- Puts a part in its new form; one that is as it was stays at its version.
function Parts:put(key, fields)
  local part = self.by_key[key]
  if part and part.html == fields.html and part.source == fields.source and part.opens == fields.opens
    and part.name == fields.name then return end
  self.version = self.version + 1
  fields.key, fields.version = key, self.version
  self.by_key[key] = fields
end

-- Keys of the new text's cells: those of the old ones that are still there, new ones for the others.
-- A cell of a name that was there before, and went, has its old key.
function Parts:assign_keys(book)
  local to, keys = self.book and changes(self.book, book) or {}, {}
  for old, new in pairs(to) do keys[new] = self.keys[old] end
  for number, cell in ipairs(book.cells) do
    local known = cell.name and self.key_of_name[cell.name]
    if not keys[number] and known and not self.by_key[known] then keys[number] = known end
    if not keys[number] then
      self.made = self.made + 1
      keys[number] = "cell-" .. self.made
    end
    if cell.name then self.key_of_name[cell.name] = keys[number] end
  end
  self.keys = keys
end

-- Which result belongs to which cell of the present text.
function Parts:match()
  local page, run = self.page, self.run
  page.run, page.results, page.stale = run, {}, {}
  if not (run and run.start) then return end
  if self.ran_source ~= run.start.source then
    self.ran_source, self.ran = run.start.source, notebook.parse(run.start.source)
    self.to = nil
  end
  self.to = self.to or changes(self.ran, self.book)
  for number, result in pairs(run.cells) do
    local cell = self.book.cells[self.to[number]]
    if cell then page.results[cell] = result end
  end
  page.stale = stale_results(self.book, page.results, self.ran)
end

-- What stands around the cells.
function Parts:put_frame()
  local page = self.page
  self:put("head", { html = frame.head(page) })
  self:put("contents", { html = frame.contents(page) })
  self:put("end", { html = frame.end_matter(page) })
end

--- Takes the lesson's present text: all is made anew, what is the same stays.
---@param book giemsa.Notebook
function Parts:take_text(book)
  self:assign_keys(book)
  self.book, self.to = book, nil
  self.page = new_page(self, book)
  self:match()
  local order, was = {}, table.concat(self.order, " ")
  for i, one in ipairs(cells.list(self.page)) do
    local key = self.keys[one.cell.number]
    order[i] = key
    self:put(key, { html = one.html, kind = one.cell.kind, name = one.cell.name,
      source = one.cell:source(), opens = one.opens or nil })
  end
  self.order = order
  self:forget_deleted()
  self:put_frame()
  if table.concat(order, " ") ~= was then self.version = self.version + 1 end
end

function Parts:forget_deleted()
  local shown = { head = true, contents = true, ["end"] = true }
  for _, key in ipairs(self.order) do shown[key] = true end
  for key in pairs(self.by_key) do
    if not shown[key] then self.by_key[key] = nil end
  end
end

--- Takes what a run gave: cells that changed, or that are now out of date, are made anew.
---@param run giemsa.Run? nil: there is none
---@param changed table<integer, true>? numbers in the run's own text; nil: all
function Parts:take_results(run, changed)
  local before, was_stale = self.page.run, self.page.stale
  self.run = run
  self:match()
  local to = self.to or {}
  local touched = {}
  for number in pairs(changed or {}) do touched[to[number] or 0] = true end
  for number, cell in ipairs(self.book.cells) do
    local key = self.keys[number]
    local is_new = not changed or before ~= run or touched[number]
      or self.page.stale[cell] ~= was_stale[cell]
    if cell.kind == "code" and self.by_key[key] and is_new then
      self:put(key, { html = cells.code(self.page, cell), kind = "code", name = cell.name, source = cell:source() })
    end
  end
  self:put_frame()
end

--- Says above the text why the file as it is cannot be run; nil: it can.
---@param problem string?
function Parts:tell(problem)
  if problem == self.problem then return end
  self.problem, self.page.problem = problem, problem and escape(problem)
  self:put_frame()
end

--- What a viewer who has seen a version has not, the oldest change first.
---@param seen integer
---@return giemsa.view.Part[]
function Parts:since(seen)
  local news = {}
  for _, part in pairs(self.by_key) do
    if part.version > seen then news[#news + 1] = part end
  end
  table.sort(news, function(a, b) return a.version < b.version end)
  return news
end

--- The number of a cell in the present text; nil when it is gone.
---@param key string
---@return integer?
function Parts:number(key)
  for number, own in ipairs(self.keys) do
    if own == key then return number end
  end
end

local parts = {}

--- The parts of a lesson's page, nothing in them yet.
---@param path string of the lesson
---@param lang string? the texts of one language; all, with a switch, when absent
---@return giemsa.view.Parts
function parts.new(path, lang)
  return setmetatable({ path = path, lang = lang, version = 0, order = {}, by_key = {}, keys = {},
    key_of_name = {}, made = 0 }, Parts)
end

return parts
