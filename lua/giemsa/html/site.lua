--- All lessons as pages, and a page that lists them: what each teaches, and how its last run went.
local core = require "giemsa.core"
local escape = require "giemsa.html.escape"
local frame = require "giemsa.html.frame"
local html = require "giemsa.html"
local languages = require "giemsa.html.languages"
local markdown = require "giemsa.markdown"
local notebook = require "giemsa.notebook"
local options = require "giemsa.options"
local runlog = require "giemsa.runlog"

local site = {}

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
          rest[1] = rest[1]:gsub("^：", ""):gsub("^%s*%l", string.upper)
        end
        return markdown.html(rest):gsub("^<p>%s*", "<p>")
      end
    end
  end
  return ""
end

-- Title (HTML) and goal (HTML) in a language, from the first text cell.
local function summary(lesson, lang)
  for _, cell in ipairs(lesson:in_language(lang)) do
    if cell.kind == "markdown" then
      local tree = markdown.parse(cell:source())
      local title = tree[1] and tree[1].tag == "h1" and markdown.letters(tree[1])
      return title or tostring(lesson.meta.title or lesson.path), goal_of(tree)
    end
  end
  return tostring(lesson.meta.title or lesson.path), ""
end

-- ---- the lessons

local function name_of(path) return path:match("([^/]+)%.lua$") or path:match "[^/]+$" end

-- The newest run, nil when there is none (or no log that can be read).
local function newest_run(path)
  local log = runlog.latest(path)
  return log and runlog.read(log) or nil
end

-- Whether a lesson has to run before its page tells what its present code does.
local function needs_run(path, quick)
  local lesson, run = notebook.read(path), newest_run(path)
  local is_whole = run and run.finish and run.finish.status == "ok"
  if not (lesson and is_whole) or run.start.quick and not quick then return true end
  return not html.is_current(run, lesson:text())
end

local function quoted(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

--- Runs, each in a process of its own, the lessons whose newest run is not a good one of their
--- present code. One that fails does not keep the others from running; Ctrl-C does.
---@param lessons string[]
---@param program string the giemsa program
---@param quick boolean their small sizes are enough
---@return boolean all_well
function site.run(lessons, program, quick)
  local all_well = true
  for _, path in ipairs(lessons) do
    if needs_run(path, quick) then
      io.write("\n", path, "\n")
      io.flush()
      local ok = os.execute(("%s run %s%s"):format(quoted(program), quoted(path),
        quick and " --quick" or ""))
      local run = newest_run(path)
      if not ok and run and run.finish and run.finish.status == "interrupted" then return false end
      all_well = all_well and ok == true
    end
  end
  return all_well
end

---@class giemsa.html.Entry
---@field path string
---@field href string
---@field lesson giemsa.Notebook
---@field run giemsa.Run?

local function entry_of(path)
  local lesson, message = notebook.read(path)
  if not lesson then error("html: " .. message, 0) end
  return { path = path, lesson = lesson, href = name_of(path) .. ".html", run = newest_run(path) }
end

-- ---- the list

local function state_of(entry)
  local run = entry.run
  if not run then return "not run" end
  if not html.is_current(run, entry.lesson:text()) then return "stale" end
  if not run.finish then return "killed" end
  return run.finish.status ~= "ok" and "failed" or nil
end

local function item(entry, page)
  local out = {}
  for _, lang in ipairs(page.languages) do
    local title, goal = summary(entry.lesson, lang)
    out[#out + 1] = ("<div%s><h2><a href=\"%s\">%s</a></h2>\n%s</div>\n"):format(
      languages.attributes("", #page.languages > 1 and lang), escape(entry.href), escape(title),
      goal)
  end
  local state = state_of(entry)
  local mark = state and ('<span class="chip %s">%s</span>'):format(state:gsub(" ", "-"),
    page:say(state))
  local of_run = { run = entry.run, languages = page.languages, say = page.say }
  out[#out + 1] = frame.meta(of_run, { mark })
  return "<li>\n" .. table.concat(out) .. "</li>\n"
end

local ABOUT = "Deep learning on medical images, in Lua. Every lesson is a script that runs as it "
  .. "stands; its page shows the text, the code, and what one run of it printed and drew."

local INDEX = [[
<main id="text">
<h1>%s</h1>
<p class="prose">%s</p>
<ol class="lessons">
%s</ol>
</main>
]]

local function index(entries, list)
  local page = { languages = list, navigation = {}, path = "", say = languages.say,
    word = languages.word }
  local items = {}
  for i, entry in ipairs(entries) do items[i] = item(entry, page) end
  return frame.wrap(page, "giemsa",
    INDEX:format(page:say "The course", page:say(ABOUT), table.concat(items)))
end

-- ---- all of it

local function languages_of(entries)
  local found, list = { en = true }, { "en" }
  for _, entry in ipairs(entries) do
    for _, lang in ipairs(html.languages(entry.lesson)) do
      if not found[lang] then found[lang], list[#list + 1] = true, lang end
    end
  end
  return list
end

local function write(path, text)
  local ok, message = core.write_file(path, text)
  if not ok then error("html: " .. message, 0) end
end

--- Writes a page for each lesson, from its newest run, and index.html. Raises when a file cannot be
--- read or written.
---@param o {lessons: string[], out: string, lang: string?}
---@return string path of the index
function site.build(o)
  o = options.check("site.build", o, { lessons = "table", out = "string", lang = "string" })
  local entries, hrefs = {}, {}
  for i, path in ipairs(o.lessons) do
    entries[i] = entry_of(path)
    hrefs[path:match "[^/]+$"] = entries[i].href
  end
  local function turn(i)
    local entry = entries[i]
    if not entry then return nil end
    local titles = {}
    for _, lang in ipairs(html.languages(entry.lesson)) do
      titles[lang] = summary(entry.lesson, lang)
    end
    return { href = entry.href, titles = titles }
  end
  for i, entry in ipairs(entries) do
    write(o.out .. "/" .. entry.href, html.page{ path = entry.path, text = entry.lesson:text(),
      run = entry.run, lang = o.lang, link = function(href) return hrefs[href] or href end,
      navigation = { index = "index.html", previous = turn(i - 1), next = turn(i + 1) } })
  end
  local path = o.out .. "/index.html"
  write(path, index(entries, o.lang and { o.lang } or languages_of(entries)))
  return path
end

return site
