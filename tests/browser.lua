--- Pages in a real browser (headless Chromium) that has no network: nothing is asked for, nothing sticks out at any width, the language
-- switch works without a script, and all of the code is on paper. A suite of its own: `make test FULL=yes`.
local t = require "tests.harness"
local core = require "giemsa.core"
local html = require "giemsa.html"
local judge = require "tests.html.judge"

local folder = t.tmpdir()

local CHROMIUM = "timeout 120 chromium --headless=new --no-sandbox --disable-gpu --allow-file-access-from-files --user-data-dir="
  .. folder .. "/profile --proxy-server=127.0.0.1:9 --host-resolver-rules='MAP * ~NOTFOUND' --virtual-time-budget=10000 "

local function need_chromium()
  if not core.run_program({ "chromium", "--version" }, "", 60) then t.skip("chromium is not installed") end
end

-- A lesson with everything that could stick out.
local LESSON = table.concat({
  "-- %% [markdown]", "-- # A title that is rather long, so that it has to be broken on a telephone", "--",
  "-- A word of code: `" .. ("wide_"):rep(40) .. "`, a formula $a_1 + a_2 + a_3 + a_4 + a_5 + a_6 + a_7 + a_8 + a_9 = \\sum_{i=1}^{9} a_i$,",
  "-- and an address: http://example.org/" .. ("path/"):rep(30), "--",
  "-- $$x = " .. ("a + b + "):rep(40) .. "c$$", "--",
  "-- |" .. ("a column|"):rep(14), "-- |" .. ("---|"):rep(14), "-- |" .. ("value|"):rep(14), "--",
  "-- ```lua", "-- local code = '" .. ("wide"):rep(60) .. "'", "-- ```", "",
  "-- %% [markdown] lang=\"zh\"", "-- # 很长的标题，在手机上必须换行显示，这样才能看清楚它的样子", "--", "-- 中文", "",
  "-- %% name=\"" .. ("a-long-name-"):rep(8) .. "\"", "local text = '" .. ("code "):rep(40) .. "THE_END_OF_THE_CODE'", "",
  "-- %% name=\"second\" tags=[\"solution\"]", "local a = 'IN_THE_SOLUTION'", "",
  "-- %% [markdown]", "-- ## A chapter", "", "-- %% [markdown]", "-- ## Another chapter", "" }, "\n")

local RUN = { path = "out/runs/lesson/1/log.jsonl", start = { source = LESSON, lesson = "lesson.lua", time = "2026-01-02", seed = 1 },
  finish = { status = "failed", seconds = 3000, fingerprint = { data = "9f3c", code = "71ab", weights = "e02d" } },
  cells = { [3] = { cell = 3, status = "failed", seconds = 3000, before = 4000, outputs = {
    { kind = "stream", name = "stdout", text = ("output "):rep(60) .. "THE_END_OF_THE_OUTPUT\n" },
    { kind = "display", data = { ["text/html"] = "<table><tr>" .. ("<td>" .. ("cell"):rep(10) .. "</td>"):rep(12) .. "</tr></table>" } },
    { kind = "display", data = { ["image/svg+xml"] = { file = "wide.svg" } } },
    { kind = "error", message = "lesson.lua:3: " .. ("message"):rep(60), traceback = { ("frame "):rep(60) } } } },
    [4] = { cell = 4, status = "ok", seconds = 1, outputs = {} } } }
function RUN:bytes() return '<svg width="2000" height="300" viewBox="0 0 2000 300"><rect width="2000" height="300" fill="#fff"/></svg>' end

local page = t.write(folder .. "/page.html", html.page{ run = RUN })

-- What frames of some widths say of the pages in them: a line for each page and width. %s: the pages, the widths.
local ASK = [[
<!DOCTYPE html><meta charset="utf-8"><body><script>
const answers = [];
const ask = (path, width) => new Promise(done => {
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:900px;border:0`;
  frame.onload = () => {
    const page = frame.contentDocument, root = page.documentElement, view = frame.contentWindow;
    const seen = e => e.getClientRects().length > 0;
    const place = e => e.getBoundingClientRect();
    const contents = () => {
      const toc = page.querySelector(".toc"), title = page.querySelector("h1"), goal = page.querySelector(".prose p");
      if (!toc || place(toc).right <= place(title).left) return toc ? "beside" : "none";
      return place(title).bottom <= place(goal).top && place(goal).bottom <= place(toc).top ? "after" : "before";
    };
    const shown = () => [...page.querySelectorAll("h1, h1 > span")].filter(seen).map(e => e.lang).filter(l => l).join("+");
    const beyond = () => root.scrollWidth - root.clientWidth;
    const before = shown(), first = beyond(), where = contents();
    page.querySelector("label[for=show-zh]").click();
    const broken = [...page.images].filter(e => !e.naturalWidth).length;
    answers.push([path, width, first, beyond(), view.performance.getEntriesByType("resource").length, broken,
      before, shown(), page.compatMode, where].join(" "));
    frame.remove();
    done();
  };
  frame.src = path;
  document.body.append(frame);
});
(async () => {
  for (const path of [%s]) for (const width of [%s]) await ask(path, width);
  document.body.innerHTML = "<pre>" + answers.join("\n") + "</pre>";
})();
</script>]]

local BESIDE = 74 * 16 -- pixels from which on the contents stand beside the text

-- Every page at every width: nothing sticks out, in either language; nothing is fetched; no picture is broken; the switch
-- works; the title and what the lesson is about come before the contents.
local function check_widths(in_folder, names, widths)
  local quoted = {}
  for i, name in ipairs(names) do quoted[i] = ("%q"):format(name) end
  local path = t.write(in_folder .. "/ask.html", ASK:format(table.concat(quoted, ","), table.concat(widths, ",")))
  local output = t.shell(CHROMIUM .. "--dump-dom file://" .. path .. " 2>/dev/null")
  local answers = output:match "<pre>(.-)</pre>"
  t.ok(answers, "no answer: " .. output:sub(1, 500))
  local count = 0
  for line in answers:gmatch "[^\n]+" do
    count = count + 1
    local width, found, where = line:match "^%S+ (%d+) (.*) (%S+)$"
    t.equal(found, "0 0 0 0 en zh-Hans CSS1Compat", line)
    t.ok(where == "none" or where == (tonumber(width) >= BESIDE and "beside" or "after"), line)
  end
  t.equal(count, #names * #widths)
end

t.test("no width is too narrow, nothing is fetched, the switch needs no script", function()
  need_chromium()
  check_widths(folder, { "page.html" }, { 1600, 1280, 1000, 768, 390, 320 })
end)

t.test("the pages and hand-outs of all lessons, and their lists", function()
  need_chromium()
  local checkout = t.checkout "lessons"
  local function make(options)
    local output, code = t.shell(("cd %s && GIEMSA_IMAGES=none timeout 600 %s html %s notebooks/*.lua </dev/null")
      :format(t.quote(checkout), t.program, options))
    t.equal(code, 0, output:sub(-2000))
  end
  make "--run --quick"
  make "--handout"
  local names, paths = {}, {}
  for path in t.shell(("ls %s/out/h*/*.html"):format(t.quote(checkout))):gmatch "[^\n]+" do
    names[#names + 1], paths[#paths + 1] = path:match "[^/]+/[^/]+$", path
    local file <close> = assert(io.open(path, "rb"))
    local text = file:read "a"
    judge.form(text)
    judge.quiet(text)
    t.ok(#text < 2e6, ("%s: %d bytes"):format(path, #text))
  end
  t.ok(#names >= 20)
  check_widths(checkout .. "/out", names, { 1280, 390 })
  t.equal(judge.complaints(paths) or "", "")
end)

t.test("all of the code and its output are on paper, also what is folded on the screen", function()
  need_chromium()
  local pdf = folder .. "/page.pdf"
  t.shell(CHROMIUM .. "--no-pdf-header-footer --print-to-pdf=" .. pdf .. " file://" .. page .. " 2>/dev/null")
  if not core.run_program({ "pdftotext", "-v" }) then t.skip("poppler-utils is not installed") end
  local text, code = t.shell("pdftotext -layout " .. pdf .. " -")
  t.equal(code, 0)
  local letters = text:gsub("%s+", "")
  for _, word in ipairs { "THE_END_OF_THE_CODE", "THE_END_OF_THE_OUTPUT", "IN_THE_SOLUTION", "9f3c" } do
    t.ok(letters:find(word, 1, true), word .. " is not on paper")
  end
  t.ok(not letters:find("Anotherchapter.-Achapter"), "the contents are not")
end)

t.done()
