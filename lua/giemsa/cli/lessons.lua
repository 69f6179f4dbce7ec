--- giemsa lessons: the course for a reader, with how far he is; begin, and go on where he stopped.
local args = require "giemsa.args"
local core = require "giemsa.core"
local lessons = require "giemsa.lessons"
local markdown = require "giemsa.markdown"
local notebook = require "giemsa.notebook"
local output = require "giemsa.cli.output"
local run = require "giemsa.run"
local words = require "giemsa.words"

local USAGE = [[
usage: giemsa lessons [--lang LANG]
       giemsa lessons start NAME
       giemsa lessons continue [NAME]

Lists the lessons, each with its goal and how far you are, and steps through one. A lesson may be
named by its beginning or its number: 05_train, 05, 5. Lessons are those of notebooks/ here, and
those that came with giemsa; of these you get a copy in notebooks/ that you may change.

  start NAME         a lesson from its top
  continue [NAME]    where you stopped: in that lesson, or in the one you were in last; then what
                     stands before runs again, without a word
  --lang LANG        language of the texts: en, zh (else the locale's)

Where you are is kept in out/runs/LESSON/bookmark.json, below the current folder.]]

local WIDEST, BAR = 100, 24

-- ---- the list

local is_coloured = core.is_terminal(1)

local function paint(code, text)
  return is_coloured and ("\27[%sm%s\27[0m"):format(code, text) or text
end

local function bar(reading)
  local done = reading.cells > 0 and BAR * reading.seen // reading.cells or 0
  return paint("32", ("━"):rep(done)) .. paint("90", ("─"):rep(BAR - done))
end

local function indented(text)
  return (text:gsub("[^\n]+", "   %0"))
end

local function show(lesson, lang, width)
  local book, message = notebook.read(lesson.path)
  if not book then return output.complain(message) end
  local title, goal = lessons.summary(book, lang)
  local reading = lessons.reading(book)
  if reading.message then output.complain(reading.message) end
  print(paint("1", title) .. "  " .. paint("90", lesson.name))
  if goal then io.write(indented(markdown.terminal(goal, width - 3, is_coloured))) end
  local state = lessons.state(reading, function(...) return words(lang, ...) end)
  print(("   %s %s\n"):format(bar(reading), state))
end

local function list(lang)
  local all = lessons.all()
  if #all == 0 then
    output.complain "there are no lessons: neither in notebooks/ here, nor beside giemsa"
    return 1
  end
  local width = math.min(core.terminal_size() or 80, WIDEST)
  for _, lesson in ipairs(all) do show(lesson, lang, width) end
  local current = lessons.current()
  if current then print(("giemsa lessons continue    %s"):format(current.name)) end
  return 0
end

-- ---- stepping

local function step_through(lesson, from, lang)
  local was_own = lesson.is_own
  local path, message = lessons.own(lesson)
  if not path then
    output.complain(message)
    return 1
  end
  if not was_own then print(("%s is your copy of the lesson"):format(path)) end
  local status, problem = run.lesson(path, { step = true, from = from, lang = lang })
  if not status then output.complain(problem) end
  return status == "ok" and 0 or 1
end

local function find(word)
  local lesson, message = lessons.find(word)
  if not lesson then output.complain(message) end
  return lesson
end

local actions = {}

function actions.start(word, lang)
  if not word then
    output.complain "which lesson? giemsa lessons start NAME; giemsa lessons lists them"
    return 1
  end
  local lesson = find(word)
  return lesson and step_through(lesson, nil, lang) or 1
end

actions["continue"] = function(word, lang)
  local lesson = word and find(word) or not word and lessons.current()
  if not lesson then
    if not word then print "You have been through all lessons: giemsa lessons start NAME" end
    return word and 1 or 0
  end
  local book, message = notebook.read(lesson.path)
  if not book then
    output.complain(message)
    return 1
  end
  local reading = lessons.reading(book)
  if reading.message then output.complain(reading.message) end
  if reading.begun and not reading.next then
    print(("You have been through %s: giemsa lessons start %s begins again"):format(lesson.name,
      lesson.name))
    return 0
  end
  return step_through(lesson, reading.next, lang)
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  local o = args.parse(USAGE, { lang = "" }, 0, line)
  local lang = run.language(o.lang)
  if not o[1] or o[1] == "list" then return list(lang) end
  if actions[o[1]] then return actions[o[1]](o[2], lang) end
  output.complain(("there is no 'giemsa lessons %s': start NAME, or continue"):format(o[1]))
  return 1
end
