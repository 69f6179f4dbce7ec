--- The lessons of the course: where they are, what each says of itself, how far the reader is.
--
-- They stand in notebooks/ of the current folder, and beside giemsa itself (in its checkout, or
-- where it was installed). One of the current folder goes before one of the same name there: it is
-- the reader's own.
local bookmark = require "giemsa.bookmark"
local core = require "giemsa.core"
local markdown = require "giemsa.markdown"
local notebook = require "giemsa.notebook"

local lessons = {}

local OWN = "notebooks"

---@class giemsa.Lesson
---@field name string "05_train"
---@field path string
---@field is_own boolean it stands in the current folder

-- ---- where they are

-- The folder beside giemsa: lessons use the module "datasets", and stand beside it.
local function shared_folder()
  local path = package.searchpath("datasets", package.path)
  local folder = path and path:match "^(.*)/datasets/init%.lua$"
  return folder and folder .. "/" .. OWN
end

local function names_in(folder)
  local names = {}
  for _, entry in ipairs(folder and core.list_folder(folder) or {}) do
    local name = entry[2] == "file" and entry[1]:match "^(.+)%.lua$"
    if name then names[#names + 1] = name end
  end
  return names
end

--- All lessons, in the order of their names.
---@return giemsa.Lesson[]
function lessons.all()
  local list, found = {}, {}
  for _, folder in ipairs { OWN, shared_folder() } do
    for _, name in ipairs(names_in(folder)) do
      if not found[name] then
        found[name] = true
        list[#list + 1] = { name = name, path = folder .. "/" .. name .. ".lua",
          is_own = folder == OWN }
      end
    end
  end
  table.sort(list, function(a, b) return core.byte_less(a.name, b.name) end)
  return list
end

--- The lesson of a name, of its beginning, or of a number ("5" is "05_train"); nil and why.
---@param word string
---@return giemsa.Lesson? lesson, string? message
function lessons.find(word)
  word = word:match("([^/]+)$") or word
  word = word:gsub("%.lua$", "")
  local start = word:find "^%d$" and "0" .. word .. "_" or word
  local hits, names = {}, {}
  for i, lesson in ipairs(lessons.all()) do
    if lesson.name == word then return lesson end
    if lesson.name:sub(1, #start) == start then hits[#hits + 1] = lesson end
    names[i] = lesson.name
  end
  if #hits == 1 then return hits[1] end
  local why = #names == 0 and "there are no lessons here, nor beside giemsa"
    or (#hits == 0 and "no lesson is called '%s': there are %s" or "'%s' may be several of %s")
      :format(word, table.concat(names, ", "))
  return nil, why
end

--- The reader's own copy of a lesson, which can be edited: made when there is none.
---@param lesson giemsa.Lesson
---@return string? path nil and why when it cannot be written
---@return string? message
function lessons.own(lesson)
  if lesson.is_own then return lesson.path end
  local file <close>, problem = io.open(lesson.path, "rb")
  if not file then return nil, problem end
  local path = OWN .. "/" .. lesson.name .. ".lua"
  local ok, message = core.write_file(path, file:read "a")
  if not ok then return nil, message end
  lesson.path, lesson.is_own = path, true
  return path
end

-- ---- what a lesson says of itself

local GOALS = { "^Goal", "^目标" }

-- The paragraph that begins with a bold "Goal:", without that word.
local function goal_of(tree)
  for _, node in ipairs(tree) do
    local first = node.tag == "p" and node[1]
    local word = type(first) == "table" and first.tag == "strong" and markdown.letters(first) or ""
    for _, pattern in ipairs(GOALS) do
      if word:find(pattern) then
        local rest = table.move(node, 2, #node, 1, { tag = "p" })
        if type(rest[1]) == "string" then
          rest[1] = rest[1]:gsub("^：", ""):gsub("^%s+", ""):gsub("^%l", string.upper)
        end
        return rest
      end
    end
  end
end

--- The title, and the goal as Markdown, from the first text cell.
---@param book giemsa.Notebook
---@param lang string
---@return string title
---@return giemsa.markdown.node? goal
function lessons.summary(book, lang)
  for _, cell in ipairs(book:in_language(lang)) do
    if cell.kind == "markdown" then
      local tree = markdown.parse(cell:source())
      local title = tree[1] and tree[1].tag == "h1" and markdown.letters(tree[1])
      return title or tostring(book.meta.title or book.path), goal_of(tree)
    end
  end
  return tostring(book.meta.title or book.path), nil
end

-- ---- how far the reader is

local CHECK = "%f[%w_]check%f[^%w_]%.?%a*%s*%(" -- check(, check.near(, check.answer(

local function count_checks(book)
  local count = 0
  for _, cell in ipairs(book.cells) do
    if cell.kind == "code" and cell:has_tag "check" then
      count = count + select(2, cell:source():gsub(CHECK, ""))
    end
  end
  return count
end

---@class giemsa.Reading
---@field cells integer code cells
---@field seen integer of them
---@field begun boolean
---@field next string? the cell to go on with; nil when it is not begun, and behind the last
---@field exercises integer with a check
---@field solved integer
---@field time string? of the last step
---@field message string? what was wrong with the bookmark

--- How far the reader of a lesson is, by his bookmark; cells and checks that the lesson no longer
--- has do not count.
---@param book giemsa.Notebook
---@return giemsa.Reading
function lessons.reading(book)
  local mark, message = bookmark.read(book.path)
  local reading = { cells = 0, seen = 0, exercises = count_checks(book), solved = 0,
    message = message, time = mark.time }
  local unseen
  for _, cell in ipairs(book.cells) do
    if cell.kind == "code" then
      local key = cell:key()
      reading.cells = reading.cells + 1
      if mark.seen[key] then reading.seen = reading.seen + 1 else unseen = unseen or key end
      if mark.next == key then reading.next = key end
    end
  end
  if mark.next and not reading.next then reading.next = unseen end
  reading.begun = reading.seen > 0 or reading.next ~= nil
  local text = book:text()
  for name, status in pairs(mark.checks) do
    if status == "passed" and text:find(name, 1, true) then reading.solved = reading.solved + 1 end
  end
  reading.solved = math.min(reading.solved, reading.exercises)
  return reading
end

--- "8 of 20 cells · next: threshold · exercises: 1 of 3 solved".
---@param reading giemsa.Reading
---@param say fun(text: string, ...): string the text in the reader's language
---@return string
function lessons.state(reading, say)
  local parts = { not reading.begun and say "not begun"
    or reading.seen == reading.cells and say("all %d cells", reading.cells)
    or say("%d of %d cells", reading.seen, reading.cells) }
  if reading.next then parts[#parts + 1] = say("next: %s", reading.next) end
  if reading.exercises > 0 then
    parts[#parts + 1] = say("exercises: %d of %d solved", reading.solved, reading.exercises)
  end
  return table.concat(parts, " · ")
end

--- Where to go on: in the lesson stepped through last, or, when that was to its end, in the next
--- one that has not been begun, else in one that was left.
---@return giemsa.Lesson? lesson nil when all have been read
function lessons.current()
  local readings, latest = {}, nil
  local all = lessons.all()
  for i, lesson in ipairs(all) do
    local book = notebook.read(lesson.path)
    readings[i] = book and lessons.reading(book) or {}
    local time = readings[i].begun and readings[i].time
    if time and (not latest or time >= readings[latest].time) then latest = i end
  end
  if latest and readings[latest].next then return all[latest] end
  local half_read
  for i = 1, #all do -- the ones behind it, then those before
    local k = ((latest or 0) + i - 1) % #all + 1
    if readings[k].begun == false then return all[k] end
    half_read = half_read or readings[k].next and all[k]
  end
  return half_read
end

return lessons
