--- All lessons as pages, and a page that lists them.
local core = require "giemsa.core"
local html = require "giemsa.html"
local index = require "giemsa.html.index"
local lessons = require "giemsa.lessons"
local notebook = require "giemsa.notebook"
local options = require "giemsa.options"
local runlog = require "giemsa.runlog"

local site = {}

-- ---- the lessons

local function name_of(path) return path:match("([^/]+)%.lua$") or path:match "[^/]+$" end

-- The newest run, nil when there is none (or no log that can be read).
local function newest_run(path)
  local log = runlog.latest(path)
  return log and runlog.read(log) or nil
end

-- Whether a run ended well and left no cell out, as one does that a reader stepped through in part.
local function is_whole(run)
  if not (run and run.finish and run.finish.status == "ok") then return false end
  for _, cell in ipairs(notebook.parse(run.start.source).cells) do
    if cell.kind == "code" and cell:source() ~= "" and not run.cells[cell.number] then
      return false
    end
  end
  return true
end

-- Whether a lesson has to run before its page tells what its present code does.
local function needs_run(path, quick)
  local lesson, run = notebook.read(path), newest_run(path)
  if not (lesson and is_whole(run)) or run.start.quick and not quick then return true end
  return not html.is_current(run, lesson:text())
end

local function quoted(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

--- Runs, each in a process of its own, the lessons whose newest run is not a good one of their
--- present code. One that fails does not keep the others from running; Ctrl-C does.
---@param paths string[] of the lessons
---@param program string the giemsa program
---@param quick boolean their small sizes are enough
---@return boolean all_well
function site.run(paths, program, quick)
  local all_well = true
  for _, path in ipairs(paths) do
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

-- ---- all of it

local function entry_of(path, handout)
  local lesson, message = notebook.read(path)
  if not lesson then error("html: " .. message, 0) end
  return { lesson = lesson, href = name_of(path) .. ".html",
    run = not handout and newest_run(path) or nil }
end

local function write(path, text)
  local ok, message = core.write_file(path, text)
  if not ok then error("html: " .. message, 0) end
end

-- The way to a page, for the one before and the one after.
local function link_to(entry)
  if not entry then return nil end
  local titles = {}
  for _, lang in ipairs(html.languages(entry.lesson)) do
    titles[lang] = lessons.summary(entry.lesson, lang)
  end
  return { href = entry.href, titles = titles }
end

local OPTIONS = { lessons = "table", out = "string", lang = "string", handout = "boolean" }

--- Writes a page for each lesson, from its newest run (or a hand-out), and index.html. Raises when
--- a file cannot be read or written.
---@param o {lessons: string[], out: string, lang: string?, handout: boolean?}
---@return string path of the index
function site.build(o)
  o = options.check("site.build", o, OPTIONS)
  local entries, hrefs = {}, {}
  for i, path in ipairs(o.lessons) do
    entries[i] = entry_of(path, o.handout)
    hrefs[path:match "[^/]+$"] = entries[i].href
  end
  for i, entry in ipairs(entries) do
    write(o.out .. "/" .. entry.href, html.page{ path = entry.lesson.path,
      text = entry.lesson:text(), run = entry.run, lang = o.lang, handout = o.handout,
      link = function(href) return hrefs[href] or href end, navigation = { index = "index.html",
      previous = link_to(entries[i - 1]), next = link_to(entries[i + 1]) } })
  end
  local path = o.out .. "/index.html"
  write(path, index.html(entries, { lang = o.lang, handout = o.handout }))
  return path
end

return site
