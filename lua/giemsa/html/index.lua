--- The list of lessons as a page: what each teaches and how its last run went; live, also how far
--- the reader is.
local escape = require "giemsa.html.escape"
local frame = require "giemsa.html.frame"
local html = require "giemsa.html"
local languages = require "giemsa.html.languages"
local lessons = require "giemsa.lessons"
local markdown = require "giemsa.markdown"

local index = {}

---@class giemsa.html.Entry
---@field href string
---@field lesson giemsa.Notebook
---@field run giemsa.Run?

local function state_of(entry)
  local run = entry.run
  if not run then return "not run" end
  if not html.is_current(run, entry.lesson:text()) then return "stale" end
  if not run.finish then return "killed" end
  return run.finish.status ~= "ok" and "failed" or nil
end

local function meta(entry, page)
  local state = state_of(entry)
  local mark = state and ('<span class="chip %s">%s</span>'):format(state:gsub(" ", "-"),
    page:say(state))
  return frame.meta({ run = entry.run, languages = page.languages, say = page.say }, { mark })
end

local function progress(entry, page)
  local reading = lessons.reading(entry.lesson)
  local state = lessons.state(reading, function(...) return page:say(...) end)
  return ('<p class="meta"><progress max="%d" value="%d" aria-label="%s"></progress><span>%s</span></p>\n')
    :format(reading.cells, reading.seen, page:word "your progress", state)
end

local function item(entry, page, o)
  local out = {}
  for _, lang in ipairs(page.languages) do
    local title, goal = lessons.summary(entry.lesson, lang)
    out[#out + 1] = ("<div%s><h2><a href=\"%s\">%s</a></h2>\n%s</div>\n"):format(
      languages.attributes("", #page.languages > 1 and lang), escape(entry.href), escape(title),
      goal and markdown.html(goal) or "")
  end
  if not o.handout then out[#out + 1] = meta(entry, page) end
  if o.progress then out[#out + 1] = progress(entry, page) end
  return "<li>\n" .. table.concat(out) .. "</li>\n"
end

local ABOUT = "Deep learning on medical images, in Lua. Every lesson is a script that runs as it "
  .. "stands; its page shows the text, the code, and what one run of it printed and drew."
local ABOUT_HANDOUT = "Deep learning on medical images, in Lua. The text and the code of every "
  .. "lesson, to be printed: with room for notes, the exercises at the end."

local INDEX = [[
<main id="text">
<h1>%s</h1>
<p class="prose">%s</p>
<ol class="lessons">
%s</ol>
</main>
]]

local function languages_of(entries)
  local found, list = { en = true }, { "en" }
  for _, entry in ipairs(entries) do
    for _, lang in ipairs(html.languages(entry.lesson)) do
      if not found[lang] then found[lang], list[#list + 1] = true, lang end
    end
  end
  return list
end

--- The page. progress: how far the reader of this folder is, too (lessons.reading): for who sees
--- the page live; a page that is handed on has none. handout: of hand-outs, which have no runs.
---@param entries giemsa.html.Entry[]
---@param o {lang: string?, progress: boolean?, handout: boolean?} lang: all, with a switch, when
--- absent
---@return string
function index.html(entries, o)
  local page = { languages = o.lang and { o.lang } or languages_of(entries), navigation = {},
    path = "", say = languages.say, word = languages.word }
  local items = {}
  for i, entry in ipairs(entries) do items[i] = item(entry, page, o) end
  return frame.wrap(page, "giemsa", INDEX:format(page:say "The course",
    page:say(o.handout and ABOUT_HANDOUT or ABOUT), table.concat(items)))
end

return index
