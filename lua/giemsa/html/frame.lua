--- What stands around the cells of a page: the document, its head line, title, notices, contents
-- and end.
local cells = require "giemsa.html.cells"
local escape = require "giemsa.html.escape"
local languages = require "giemsa.html.languages"
local style = require "giemsa.html.style"
local version = require "giemsa.version"

local frame = {}

local DOCUMENT = [[
<!DOCTYPE html>
<html lang="%s">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="giemsa %s">
<title>%s</title>
%s<style>
%s</style>
</head>
<body>
%s<div class="page">
%s</div>
%s</body>
</html>
]]

-- ---- the top

local function head_line(page, labels)
  local index = page.navigation.index
  local mark = index and ('<a class="mark" href="%s">giemsa</a>'):format(escape(index))
    or '<span class="mark">giemsa</span>'
  return ('<header class="top"><a class="skip" href="#text">%s</a>%s<span>%s</span>%s</header>\n')
    :format(page:say "Skip to the text", mark, escape(page.path:match "([^/]*)$"), labels)
end

local function title(page)
  local out = {}
  for i, one in ipairs(page.prose.titles) do
    out[i] = ("<h1%s>%s</h1>\n"):format(languages.attributes("", one.lang), one.html)
  end
  if #out > 0 then return table.concat(out) end
  return ("<h1>%s</h1>\n"):format(escape(page.title))
end

--- "ran on 2026-11-26 · took 1 min 12 s · seed 42", and more parts when given; "" for no parts.
---@param page {run: giemsa.Run?, languages: string[], say: function}
---@param more string[]? HTML
---@return string
function frame.meta(page, more)
  local start, finish = page.run and page.run.start or {}, page.run and page.run.finish or {}
  local day, took = tostring(start.time):match "^%d+%-%d+%-%d+", cells.duration(finish.seconds)
  local parts = {}
  if day then parts[#parts + 1] = page:say("ran on %s", day) end
  if took then parts[#parts + 1] = page:say("took %s", took) end
  if start.seed then parts[#parts + 1] = page:say("seed %s", escape(tostring(start.seed))) end
  for _, part in ipairs(more or {}) do parts[#parts + 1] = part end
  if #parts == 0 then return "" end
  return ('<p class="meta"><span>%s</span></p>\n'):format(table.concat(parts, "</span><span>"))
end

-- ---- notices: why the page is not the whole truth

local function notice(page, is_bad, head, text, ...)
  return ('<div class="notice%s" role="note"><p><strong>%s</strong> %s</p></div>\n'):format(
    is_bad and " bad" or "", page:say(head), page:say(text, ...))
end

local function link_to(page, cell)
  local label = escape(cell:label())
  local anchor = page.anchors[cell]
  return anchor and ('<a href="#%s">%s</a>'):format(escape(anchor), label) or label
end

local BROKEN = { failed = true, timeout = true, interrupted = true, killed = true }
-- The first cell that broke, how, and how many have no results.
local function damage(page)
  local broken, how, missing = nil, nil, 0
  for _, cell in ipairs(page.lesson.cells) do
    local state = page.anchors[cell] and cell.kind == "code" and cells.state(page, cell)
    if state == "not run" then missing = missing + 1 end
    if BROKEN[state] and not broken then broken, how = cell, state end
  end
  return broken, how, missing
end

local function notices(page)
  if page.is_live then return page.problem and notice(page, true, "Not taken.", page.problem) or "" end
  if not page.run then
    return notice(page, false, "Not run.",
      "Text and code only: there are no results of this lesson yet.")
  end
  local out, finish = {}, page.run.finish
  if page.changed then
    out[#out + 1] = notice(page, false, "Out of date.",
      "The code has changed since this run, from %s on. Shown is the text that ran.",
      link_to(page, page.changed))
  elseif page.unordered then
    out[#out + 1] = notice(page, false, "Out of order.",
      "Cells were edited or run again out of their order: from %s on, a run from the top may give "
      .. "something else.", link_to(page, page.unordered))
  end
  local broken, how, missing = damage(page)
  if broken then
    out[#out + 1] = notice(page, true, "Not complete.",
      "The run stopped at %s: %s. Cells without results: %d.", link_to(page, broken),
      page:say(how), missing)
  elseif not finish or finish.status ~= "ok" then
    out[#out + 1] = notice(page, true, "Not complete.",
      "The run did not come to its end. Cells without results: %d.", missing)
  elseif missing > 0 then
    out[#out + 1] = notice(page, false, "Not complete.", "Cells without results: %d.", missing)
  end
  if page.run.start.quick then
    out[#out + 1] = notice(page, false, "Small sizes.",
      "This was a quick run: its numbers may be others than those of the lesson.")
  end
  return table.concat(out)
end

-- Of a hand-out: whose it is.
local function owner(page)
  return ('<p class="owner"><span>%s</span><span>%s</span></p>\n'):format(page:say "Name",
    page:say "Date")
end

-- ---- contents and end

local function contents(page)
  local items = {}
  for _, entry in ipairs(page.prose.contents) do
    if entry.level <= 3 then
      items[#items + 1] = ('<li%s><a href="#%s">%s</a></li>\n'):format(
        languages.attributes(entry.level == 3 and "deep" or "", entry.lang), escape(entry.id),
        escape(entry.letters))
    end
  end
  if #items < 2 then return "" end
  return '<nav class="toc" aria-labelledby="contents">\n<div>\n<h2 id="contents">' .. page:say "Contents"
    .. "</h2>\n<ol>\n" .. table.concat(items) .. "</ol>\n</div>\n</nav>\n"
end

local FINGERPRINT = "Data, code and weights of this run, in short. Where your own run ends with the "
  .. "same three, you got what this page shows, to the last bit."

local function fingerprint(page)
  local prints, rows = page.run and page.run.finish and page.run.finish.fingerprint, {}
  for _, key in ipairs { "data", "code", "weights" } do
    local print = type(prints) == "table" and prints[key]
    if print then
      rows[#rows + 1] = ('<div><dt>%s</dt><dd class="mono">%s</dd></div>'):format(page:say(key),
        escape(tostring(print)))
    end
  end
  if #rows == 0 then return "" end
  return ('<h2 id="fingerprint">%s</h2>\n<dl class="prints">%s</dl>\n<p>%s</p>\n'):format(
    page:say "Fingerprint", table.concat(rows), page:say(FINGERPRINT))
end

local function end_matter(page)
  local run = page.run
  local log = run and " · " .. page:say("all outputs: %s", "<code>" .. escape(run.path) .. "</code>")
  return ('<footer class="end-matter">\n%s<p>giemsa %s · <code>%s</code>%s</p>\n</footer>\n')
    :format(fingerprint(page), escape(tostring(run and run.start.version or version)),
      escape(page.path), log or "")
end

local function turn_link(page, class, word, target)
  if not target then return "" end
  return ('<a class="%s" rel="%s" href="%s"><small>%s</small>%s</a>\n'):format(class, class,
    escape(target.href), page:say(word), languages.each(page.languages, function(lang)
      return escape(target.titles[lang] or target.titles.en)
    end))
end

-- To the lesson before and the one after.
local function turn(page)
  local before, after = page.navigation.previous, page.navigation.next
  if not (before or after) then return "" end
  return ('<nav class="turn" aria-label="%s">\n%s%s</nav>\n'):format(page:word "All lessons",
    turn_link(page, "prev", "Previous", before), turn_link(page, "next", "Next", after))
end

--- A document with the head line, and a switch when there are several languages.
---@param page table of a giemsa.html.Page: languages, navigation, path, say and word
---@param title_text string
---@param inside string what stands below the head line
---@param live {head: string, style: string, script: string}? of a page that changes: what its head has
--- more, more rules, what comes last
---@return string
function frame.wrap(page, title_text, inside, live)
  local buttons, labels, rules = languages.switch(page.languages)
  return DOCUMENT:format(escape(languages.tags[page.languages[1]] or page.languages[1]), version,
    escape(title_text), live and live.head or "",
    style.sheet() .. rules .. (live and live.style or ""), buttons, head_line(page, labels) .. inside,
    live and live.script or "")
end

--- The title as plain text.
---@param page giemsa.html.Page
---@return string
function frame.title_text(page)
  local first = page.prose.titles[1]
  return first and first.letters or page.title
end

--- The title, what is known of the run, and why the page is not the whole truth.
---@param page giemsa.html.Page
---@return string
function frame.head(page)
  return '<header class="title">\n' .. title(page) .. frame.meta(page)
    .. (page.asking and owner(page) or notices(page)) .. "</header>\n"
end

frame.contents, frame.end_matter, frame.notice = contents, end_matter, notice

--- The page around its cells. What the lesson is about comes before the contents: wide screens have both at once.
---@param page giemsa.html.Page
---@param opening string the first cells
---@param rest string the others
---@return string
function frame.html(page, opening, rest)
  return frame.wrap(page, frame.title_text(page), table.concat{ '<main id="text">\n', frame.head(page), opening,
    contents(page), rest, turn(page), end_matter(page), "</main>\n" })
end

return frame
