--- The page of a lesson: one valid file that fetches nothing, readable in light and dark, the same bytes for the same run.
local t = require "tests.harness"
local core = require "giemsa.core"
local frame = require "giemsa.html.frame"
local html = require "giemsa.html"
local index = require "giemsa.html.index"
local json = require "giemsa.json"
local judge = require "tests.html.judge"
local languages = require "giemsa.html.languages"
local notebook = require "giemsa.notebook"
local runlog = require "giemsa.runlog"
local sanitize = require "giemsa.html.sanitize"
local site = require "giemsa.html.site"
local style = require "giemsa.html.style"

local has_md4c = pcall(require, "giemsa.md4c")
local function need_md4c() if not has_md4c then t.skip("built without libmd4c") end end

-- ---- a lesson and its run

local LESSON = [[
-- ---
-- title: Small
-- ---

-- %% [markdown] name="goal"
-- # 1. A *small* lesson
--
-- **Goal:** see <b>everything</b> once. Loss $\frac{1}{2}$, [a link](https://example.org/?a&b),
-- [bad](javascript:alert(1)), ![elsewhere](https://example.org/x.png).

-- %% [markdown] name="goal-zh" lang="zh"
-- # 1. 小课
--
-- **目标**：一次看到一切。

-- %% name="setup"
local x <const> = "<&>" -- a remark
print(x)

-- %% [markdown]
-- #### Too deep
--
-- | a | b |
-- |---|--:|
-- | 1 | 2 |
--
-- - [x] done

-- %% name="picture" tags=["hide-input"]
display(picture)

-- %% name="answer" tags=["solution", "exercise"]
local y = 2

-- %% name="secret" tags=["hidden"]
local z = 3

-- %% name="broken"
error "no"

-- %% name="after"
print "never"
]]

local PNG = -- of one pixel
  "\x89PNG\r\n\x1a\n" .. "\0\0\0\rIHDR" .. (">I4I4"):pack(1, 1) .. "\8\2\0\0\0\x90wS\xde"
  .. "\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef" .. "\0\0\0\0IEND\xaeB`\x82"
local SVG = [[<?xml version="1.0"?><svg width="10" height="10" xmlns="http://www.w3.org/2000/svg" onload="alert(1)">
<script>alert(1)</script><title>T</title><defs><path id="p" d="M0,0 h9"/></defs><use xlink:href="#p" style="fill:url(#p)"/>
<image href="http://example.org/a.png"/></svg>]]

local EVENTS = {
  { event = "start", lesson = "notebooks/small.lua", seed = 42, time = "2026-01-02T03:04:05Z", version = "1", source = LESSON },
  { event = "cell", cell = 3, name = "setup", line = 18 },
  { event = "stream", cell = 3, name = "stdout", text = "<&>\n\27[31mred\27[0m 1 %\r100 %\n\0\255" },
  { event = "stream", cell = 3, name = "stderr", text = "careful\n" },
  { event = "display", cell = 3, id = "d3", data = { ["text/plain"] = "tensor (2,)\n[1 2]" } },
  { event = "done", cell = 3, status = "cached", seconds = 61.25, before = 0.84 },
  { event = "cell", cell = 5, name = "picture", line = 31 },
  { event = "display", cell = 5, id = "d1", data = { ["text/plain"] = "0 %" } },
  { event = "display", cell = 5, id = "d2", data = { ["text/plain"] = "curves", ["image/svg+xml"] = { file = "a.svg" },
    ["image/png"] = { file = "a.png", width = 1, height = 1 } } },
  { event = "display", cell = 5, id = "d3", data = { ["text/plain"] = "[image 1x1]", ["image/png"] = { file = "a.png", width = 1, height = 1 } } },
  { event = "display", cell = 5, id = "d4", data = { ["text/html"] = "<table onclick=x><tr><td>1<script src=http://a/b.js></script>" } },
  { event = "display", cell = 5, id = "d5", data = { ["image/png"] = { file = "gone.png" } } },
  { event = "display", cell = 5, id = "d6", data = { ["image/png"] = { file = "../a.png" } } },
  { event = "update", id = "d1", data = { ["text/plain"] = "100 %" } },
  { event = "done", cell = 5, status = "ok", seconds = 0.01 },
  { event = "cell", cell = 6, name = "answer", line = 34 },
  { event = "done", cell = 6, status = "ok", seconds = 0.2 },
  { event = "cell", cell = 8, name = "broken", line = 40 },
  { event = "error", cell = 8, message = "notebooks/small.lua:41: no <way>", traceback = { "notebooks/small.lua:41: in cell 'broken'" } },
  { event = "done", cell = 8, status = "failed", seconds = 0.01 },
  { event = "stream", name = "stdout", text = "closed at the end\n" },
  { event = "end", status = "failed", seconds = 62, fingerprint = { data = "9f3c", code = "71ab", weights = "e02d" } },
}

local runs = 0

-- A run with these events; its log says that it lies where a lesson's log does.
local function run_of(events)
  runs = runs + 1
  local folder = ("%s/run%d"):format(t.tmpdir(), runs)
  t.write(t.tmpdir() .. "/keep", "")
  assert(os.execute("mkdir " .. t.quote(folder)))
  local lines = {}
  for i, event in ipairs(events) do lines[i] = json.encode(event) .. "\n" end
  t.write(folder .. "/log.jsonl", table.concat(lines))
  t.write(folder .. "/a.svg", SVG)
  t.write(folder .. "/a.png", PNG)
  local run = assert(runlog.read(folder .. "/log.jsonl"))
  run.path = "out/runs/small/1/log.jsonl"
  return run, folder
end

local function page_of(events, o)
  o = o or {}
  o.run = run_of(events)
  return html.page(o)
end

-- The events with some left out or changed.
local function changed(change)
  local events = {}
  for _, event in ipairs(EVENTS) do
    local copy = {}
    for k, v in pairs(event) do copy[k] = v end
    copy = change(copy)
    if copy then events[#events + 1] = copy end
  end
  return events
end

t.test("a page is well formed and fetches nothing", function()
  for _, lang in ipairs { "en", "zh", false } do
    local page = page_of(EVENTS, { lang = lang or nil })
    judge.form(page)
    judge.quiet(page)
  end
  local unread = html.page{ text = LESSON, path = "notebooks/small.lua" }
  judge.form(unread)
  judge.quiet(unread)
  judge.form(html.page{ text = "print(1)" })
  judge.form(html.page{ text = "" })
end)

-- The golden file is written anew by GIEMSA_GOLDEN=yes: look at it, in a browser too.
t.test("the page of a small run is the one that was looked at", function()
  need_md4c()
  if not core.run_program({ "blahtexml", "--help" }) then t.skip("blahtexml is not installed") end
  local page = page_of(EVENTS, { navigation = { index = "index.html", next = { href = "b.html", titles = { en = "B & C" } } } })
  page = page:gsub("<style>.-</style>", "<style></style>"):gsub('content="giemsa [^"]*"', 'content="giemsa"')
  local path = "tests/html/small.html"
  if os.getenv "GIEMSA_GOLDEN" then t.write(path, page) end
  local golden <close> = assert(io.open(path, "rb"))
  local want = golden:read "a"
  for line in page:gmatch "[^\n]*\n" do t.ok(want:find(line, 1, true), "not in the golden page: " .. line) end
  t.ok(page == want, "the lines are those of the golden page, their order is not")
end)

t.test("the same run gives the same bytes, in another process too", function()
  local run, folder = run_of(EVENTS)
  local one, two = html.page{ run = run }, html.page{ run = run }
  t.ok(one == two)
  local script = t.write(t.tmpdir() .. "/again.lua", ([[
    local run = require("giemsa.runlog").read(%q)
    run.path = "out/runs/small/1/log.jsonl"
    io.write(require("giemsa.html").page{ run = run })]]):format(folder .. "/log.jsonl"))
  local other, code = t.shell(t.quote(t.interpreter) .. " " .. script)
  if code == 126 or code == 127 then t.skip("the interpreter cannot be started from here") end
  t.ok(other == one)
end)

t.test("what was printed is what is read", function()
  local page = page_of(EVENTS, { lang = "en" })
  local function has(text) t.ok(page:find(text, 1, true), text) end
  local function lacks(text) t.ok(not page:find(text, 1, true), text) end
  has "&lt;&amp;&gt;\n100 %\n\u{FFFD}</pre>"
  has '<pre class="stderr">careful</pre>'
  has '1 min 01 s (before: 0.8 s)'
  has '<pre class="line">100 %</pre>' -- the last state of what changed in place
  lacks ">0 %</pre>"
  has '<strong>Error</strong> <code>notebooks/small.lua:41</code></p><pre>no &lt;way&gt;</pre>'
  has '<figure role="img" aria-label="curves" class="plot"><svg'
  has 'id="c5-2-p"'
  has 'href="#c5-2-p"'
  has "[the picture gone.png is not with the log of the run]"
  has "[the picture ../a.png is not"
  has '<dd class="mono">9f3c</dd>'
  has "<summary>Answer</summary>"
  has "<summary>Code</summary>"
  has '<span class="chip failed">failed</span>'
  has '<span class="chip cached">cached</span>'
  has '<span class="chip not-run">not run</span>'
  has 'The run stopped at <a href="#broken">cell &#39;broken&#39;</a>: failed. Cells without results: 1.'
  lacks "secret"
  lacks "example.org/x.png"
end)

t.test("one language, or both and a switch", function()
  need_md4c()
  local english, chinese, both = page_of(EVENTS, { lang = "en" }), page_of(EVENTS, { lang = "zh" }), page_of(EVENTS)
  t.ok(english:find "<html lang=\"en\"" and not english:find "小课" and not english:find 'class="switch"')
  t.ok(chinese:find "<html lang=\"zh%-Hans\"" and not chinese:find "small</em>" and chinese:find "小课")
  t.ok(chinese:find("运行停在 <a href=\"#broken\">", 1, true))
  t.ok(both:find('<h1 class="in-en" lang="en">', 1, true) and both:find('<h1 class="in-zh" lang="zh-Hans">', 1, true))
  t.ok(both:find('<span class="in-en" lang="en">line 17</span><span class="in-zh" lang="zh-Hans">第 17 行</span>', 1, true))
  t.ok(both:find('#show-zh:not(:checked)~.page .in-zh{display:none}', 1, true))
end)

-- ---- a run and the lesson as it is now

t.test("changed prose is shown, changed code marks the results", function()
  need_md4c()
  local fine = changed(function(e) return e.event ~= "error" and e or nil end)
  local page = page_of(fine, { text = LESSON:gsub("Too deep", "Not so deep") })
  t.ok(page:find "Not so deep" and not page:find "Out of date" and not page:find "chip stale")
  page = page_of(fine, { text = LESSON:gsub("local y = 2", "local y = 3") })
  t.ok(page:find "Out of date" and page:find("from <a href=\"#answer\">", 1, true))
  t.ok(page:find "local</i> y = <i class=n>2</i>", "the code that ran is shown")
  local before, after = page:match "^(.-)id=\"answer\"(.*)$"
  t.ok(not before:find "chip stale" and after:find "chip stale")
  t.ok(html.is_current(run_of(fine), LESSON) and not html.is_current(run_of(fine), LESSON .. "print(1)\n"))
end)

t.test("runs that did not end, or were small", function()
  local killed = changed(function(e) return e.event ~= "end" and not (e.event == "done" and e.cell == 8) and e or nil end)
  t.ok(page_of(killed, { lang = "en" }):find("The run stopped at <a href=\"#broken\">cell &#39;broken&#39;</a>: killed", 1, true))
  local cut = changed(function(e) return (e.cell or 0) <= 3 and e.event ~= "end" and e.event ~= "update" and e or nil end)
  t.ok(page_of(cut):find("The run did not come to its end. Cells without results: 4.", 1, true))
  local quick = changed(function(e) e.quick = e.event == "start" or nil return e end)
  t.ok(page_of(quick):find "This was a quick run")
end)

t.test("long outputs are cut and say so", function()
  local many, wide = {}, ("x"):rep(99) .. "\n"
  for i = 1, 50000 do many[i] = i end
  local function with(text)
    return page_of{ EVENTS[1], EVENTS[2], { event = "stream", cell = 3, name = "stdout", text = text }, EVENTS[6] }
  end
  local page = with(table.concat(many, "\n"))
  t.ok(page:find '<span class="cut">%[... 49910 of 50000 lines are not shown; all are in out/runs/small/1/log.jsonl%]</span>')
  t.ok(page:find "\n60\n<span" and page:find "</span>\n49971\n" and page:find "\n50000</pre>")
  t.ok(#with(("x"):rep(1000000)) < 60000)
  t.ok(not with(wide:rep(90)):find '"cut"')
  local displays = { EVENTS[1], EVENTS[2] }
  for i = 1, 1000 do displays[#displays + 1] = { event = "display", cell = 3, id = "d" .. i, data = { ["text/plain"] = "no " .. i } } end
  page = page_of(displays)
  t.ok(page:find "no 80<" and not page:find "no 81<" and page:find "no 981<" and page:find "900 outputs are not shown")
end)

t.test("what is wide gets smaller letters, broad pictures may be moved, long code may be torn", function()
  local function page(text, picture)
    return page_of{ EVENTS[1], EVENTS[2], { event = "stream", cell = 3, name = "stdout", text = text },
      picture and { event = "display", cell = 3, id = "p", data = { ["image/png"] = picture } }, EVENTS[6] }
  end
  local function row(n) return (("x"):rep(n) .. "\n"):rep(3) end
  t.ok(page(row(132)):find '<pre class="small">' and not page(row(80)):find '"small"' and not page(row(400)):find '"small"')
  t.ok(not page(("x"):rep(132)):find '"small"', "a sentence is broken, as ever")
  t.ok(page("", { file = "a.png", width = 900, height = 9 }):find '<figure class="broad"><img')
  t.ok(page("", { file = "a.png", width = 300, height = 9 }):find "<figure><img")
  t.ok(html.page{ text = ("x = 1\n"):rep(40) }:find 'class="source long"')
  t.ok(html.page{ text = ("x = 1\n"):rep(20) }:find 'class="source"')
end)

t.test("a lesson of a hundred cells stays below 150 kB without pictures", function()
  local source, events = {}, { { event = "start", lesson = "x.lua", source = "" } }
  local text = {}
  for cell in LESSON:gmatch "%-%- %%%%[^%%]+" do text[#text + 1] = cell end
  local real <close> = assert(io.open("notebooks/06_evaluate_and_plot.lua"))
  local lesson = notebook.parse(real:read "a")
  while #source < 100 do
    for _, cell in ipairs(lesson.cells) do
      if #source == 100 then break end
      source[#source + 1] = (cell.marker:gsub('"(.-)"', '"%1-' .. #source .. '"')) .. cell.body
      local output = (("value %6.3f of this line\n"):rep(6)):format(1, 2, 3, 4, 5, 6)
      if cell.kind == "code" then
        events[#events + 1] = { event = "cell", cell = #source, line = 1 }
        events[#events + 1] = { event = "stream", cell = #source, name = "stdout", text = output }
        events[#events + 1] = { event = "done", cell = #source, status = "ok", seconds = 1.5, before = 1.6 }
      end
    end
  end
  events[1].source = table.concat(source)
  local page = page_of(events)
  judge.form(page)
  t.ok(#page < 150000, #page .. " bytes")
end)

-- ---- all lessons

t.test("a page for each lesson, and a list of them", function()
  local folder = t.tmpdir() .. "/site"
  local lessons = { "notebooks/04_resnet.lua", "notebooks/05_train.lua", "notebooks/06_evaluate_and_plot.lua" }
  local index = site.build{ lessons = lessons, out = folder }
  local function read(path) local f <close> = assert(io.open(path)) return f:read "a" end
  local list, page = read(index), read(folder .. "/05_train.html")
  judge.form(list)
  judge.quiet(list)
  t.ok(list:find('<a href="05_train.html">5. Training the net</a>', 1, true))
  t.ok(page:find('rel="prev" href="04_resnet.html"', 1, true) and page:find('rel="next" href="06_evaluate_and_plot.html"', 1, true))
  t.ok(page:find('<a class="mark" href="index.html">', 1, true))
  for name in list:gmatch 'href="([^"#]+)"' do judge.form(read(folder .. "/" .. name)) end
  t.raises(site.build, "no_such.lua", { lessons = { "no_such.lua" }, out = folder })
end)

t.test("the list tells each lesson's goal, in each language", function()
  need_md4c()
  local path = t.write(t.tmpdir() .. "/goals.lua", LESSON)
  local file <close> = assert(io.open(site.build{ lessons = { path }, out = t.tmpdir() .. "/goals" }))
  local list = file:read "a"
  t.ok(list:find("<p>See &lt;b&gt;everything", 1, true), list)
  t.ok(list:find("<p>一次看到一切。</p>", 1, true), list)
end)

-- ---- colours

-- WCAG 2: relative luminance and contrast.
local function luminance(colour)
  local sum = 0
  for i, weight in ipairs { 0.2126, 0.7152, 0.0722 } do
    local c = tonumber(colour:sub(2 * i, 2 * i + 1), 16) / 255
    sum = sum + weight * (c <= 0.04045 and c / 12.92 or ((c + 0.055) / 1.055) ^ 2.4)
  end
  return sum
end

t.test("every text has a contrast of 4.5 or more, in light and dark", function()
  t.close((luminance "#ffffff" + 0.05) / (luminance "#777777" + 0.05), 4.478, 0.001)
  for paper, names in pairs(style.texts) do
    for name in names:gmatch "%S+" do
      for which = 1, 2 do
        local a, b = luminance(style.colours[name][which]), luminance(style.colours[paper][which])
        local contrast = (math.max(a, b) + 0.05) / (math.min(a, b) + 0.05)
        t.ok(contrast >= 4.5, ("%s on %s: %.2f"):format(name, paper, contrast))
      end
    end
  end
end)

-- ---- HTML from outside

t.test("HTML and SVG of a lesson: what shows something stays, in pairs", function()
  for given, want in pairs {
    ["<b>a"] = "<b>a</b>", ["a</b>c"] = "ac", ["<i onclick='x'>y</i>"] = "<i>y</i>", ["<a/b"] = "&lt;a/b",
    ["<img src=x onerror=alert(1)>"] = "", ["<script>x</script>y"] = "y", ["<script>x"] = "", ["<SCRIPT SRC=x></SCRIPT >y"] = "y",
    ["<style>@import</style>z"] = "z", ["<path d='x'>"] = "", ["<div/>a"] = "<div></div>a", ["<!-- a --> b"] = " b",
    ['<p title="a>b">x'] = '<p title="a&gt;b">x</p>', ["1 < 2 && <3"] = "1 &lt; 2 &amp;&amp; &lt;3", ["<td rowspan=2>a"] = '<td rowspan="2">a</td>',
    ["&lt;&foo;&#60;&#x3c;&nbsp;"] = "&lt;&amp;foo;&#60;&#x3c;&nbsp;", ["<b style='color:red'>"] = '<b style="color:red"></b>',
    ["<b style='background:url(http://a)'>"] = "<b></b>", ["<b style='a:u\\72l(x)'>"] = "<b></b>", ["<b style=position:fixed>"] = "<b></b>",
    ["<a href=' java\nscript:x'>q"] = "<a>q</a>", ["<a href='&#106;avascript:x'>q"] = "<a>q</a>", ["<a href=http://a.org>q"] = '<a href="http://a.org">q</a>',
    ["<svg><g id=a fill='url(#a)'/><use xlink:href='#a'/></svg>"] = '<svg><g id="p-a" fill="url(#p-a)"/><use href="#p-a"/></svg>',
    ["<b id=a><b id=a>"] = '<b id="p-a"><b></b></b>',
    ["<svg><image href='http://x/a.png'/><foreignObject><b>x</b></foreignObject></svg>"] = "<svg><b>x</b></svg>",
    ["<svg viewbox='0 0 1 1'><animate/>"] = '<svg viewBox="0 0 1 1"></svg>', ["<table><tr></table></div>"] = "<table><tr></tr></table>",
  } do
    t.equal(sanitize(given, "p-"), want, given)
  end
end)

t.test("random HTML comes out in pairs and quiet", function()
  math.randomseed(11)
  local pieces = { "<", ">", "</", "/>", "b", "svg", "script", "img", " src=", "http://a", "'", '"', "=", " onload=x", " style=", "url(", "#a", "<!--",
    "-->", "&", "&lt;", "table", "<td>", "<a href=", "javascript:", "\0", "\255", " ", "\n", "<svg>", "</svg>", "<style>", "title", "<?x", "中" }
  for _ = 1, tonumber(os.getenv "GIEMSA_FUZZ" or 500) do
    local given = {}
    for i = 1, math.random(40) do given[i] = pieces[math.random(#pieces)] end
    local page = frame.wrap({ languages = { "en" }, navigation = {}, path = "", say = languages.say }, "t",
      '<main id="text"><h1>t</h1>' .. sanitize(table.concat(given), "p-"):gsub("<img ", '<img alt="x" ') .. "</main>")
    page = page:gsub(' id="p%-[^"]*"', ""):gsub(' href="#[^"]*"', "")
    local ok, problem = pcall(function() judge.form(page) judge.quiet(page) end)
    if not ok then error(table.concat(given) .. "\n" .. tostring(problem)) end
  end
end)

-- ---- anything at all

t.test("damaged logs and lessons: a page or a message, never a crash", function()
  math.randomseed(5)
  local _, folder = run_of(EVENTS)
  local file <close> = assert(io.open(folder .. "/log.jsonl", "rb"))
  local log = file:read "a"
  for _ = 1, tonumber(os.getenv "GIEMSA_FUZZ" or 60) do
    local bytes, kind = log, math.random(3)
    for _ = 1, math.random(4) do
      local at = math.random(#bytes)
      local piece = kind == 1 and string.char(math.random(0, 255)) or kind == 2 and "" or bytes:sub(at, at + math.random(50))
      bytes = bytes:sub(1, at - 1) .. piece .. bytes:sub(at + (kind == 2 and math.random(80) or 1))
    end
    t.write(folder .. "/log.jsonl", bytes)
    local run, message = runlog.read(folder .. "/log.jsonl")
    t.ok(run or message:find("log.jsonl", 1, true))
    if run then judge.form(html.page{ run = run }) end
    judge.form(html.page{ text = bytes })
  end
end)

-- ---- hand-outs, and the list that a reader sees live

t.test("a hand-out: no results, no answers, the exercises at the end, lines to write on", function()
  need_md4c()
  local text = LESSON:gsub("%-%- %%%% name=\"setup\"", '-- %%%% [markdown] name="question"\n-- ## What is x?\n--\n-- 1. Well?\n\n'
    .. '-- %%%% [markdown] name="question-zh" lang="zh"\n-- ## x 是什么？\n\n-- %%%% name="mine" tags=["solution"]\nlocal answer = "SECRET"\n\n'
    .. '-- %%%% name="right" tags=["check"]\ncheck("x", answer == "SECRET")\n\n-- %%%% name="setup"')
    .. '\n-- %% [markdown] name="try"\n-- ## Try it\n'
  local page = html.page{ text = text, handout = true }
  judge.form(page)
  judge.quiet(page)
  t.ok(not page:find "SECRET" and not page:find "Not run" and not page:find 'class="output"')
  local at = 0
  for _, part in ipairs { "Name</span>", "everything", 'id="setup"', 'class="notes"', 'id="broken"', "Well?", "x 是什么", "Try it" } do
    at = page:find(part, at + 1, true)
    t.ok(at, part .. " is missing, or too early")
  end
  t.ok(page:find('id="question" class="cell prose asking in-en"', 1, true))
  t.ok(html.page{ run = run_of(EVENTS), handout = true }:find("everything", 1, true), "of a run: its text alone")
  local folder = t.tmpdir() .. "/handouts"
  local path = site.build{ lessons = { t.write(t.tmpdir() .. "/small.lua", text) }, out = folder, handout = true }
  for _, one in ipairs { path, folder .. "/small.html" } do
    local file <close> = assert(io.open(one))
    judge.form(file:read "a")
  end
end)

t.test("the list shows how far the reader is only to who sees it live", function()
  need_md4c()
  local entries = { { href = "a.html", lesson = notebook.parse(LESSON, "never-run.lua") } }
  local still, live = index.html(entries, {}), index.html(entries, { progress = true })
  t.ok(not still:find "<progress" and not still:find "not begun")
  t.ok(live:find('<progress max="6" value="0" aria-label="your progress">', 1, true))
  t.ok(live:find("not begun", 1, true) and live:find("尚未开始", 1, true))
  judge.form(live)
end)

-- ---- another judge, where it is installed

t.test("html5lib finds nothing to complain of", function()
  local complaints = judge.complaints{ t.write(t.tmpdir() .. "/page.html", page_of(EVENTS)) }
  if not complaints then t.skip("python3-html5lib is not installed") end
  t.equal(complaints, "")
end)

t.done()
