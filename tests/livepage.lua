--- The live page in a browser (headless Chromium): opened, edited, run, watched, stopped, reloaded, by its readers' own keys and
-- clicks. A suite of its own: `make test FULL=yes`.
local t = require "tests.harness"
local chromium = require "tests.view.chromium"
local core = require "giemsa.core"

local here = t.shell("pwd"):gsub("\n", "")
local giemsa = t.program:sub(1, 1) == "/" and t.program or here .. "/" .. t.program
local folder = t.tmpdir()

local LESSON = [[
-- %% [markdown] name="text"
-- # A live lesson
--
-- With some *text*.

-- %% [markdown] name="text-zh" lang="zh"
-- # 一课
--
-- 文字。

-- %% name="setup"
local giemsa = require "giemsa"
local nn, optim = giemsa.nn, giemsa.optim
local x = giemsa.random.normal(0, 1, { 512, 2 })
local y = x:square():sum(2):reshape(512, 1):gt(1.4)

-- %% name="fit"
local model = nn.Sequential{ nn.Input{ 2 }, nn.Dense{ 16, activation = "tanh" }, nn.Dense{ 1, activation = "sigmoid" } }
model:compile{ loss = "binary_crossentropy", optimizer = optim.Adam{ lr = 0.01 }, metrics = { "accuracy" } }
model:fit(x, y, { epochs = 10000, batch_size = 16 })

-- %% name="after"
print "after"
]]

if not pcall(require, "giemsa.microhttpd") or not core.run_program({ "chromium", "--version" }, "", 60) then
  t.test("the live page in a browser", function() t.skip "it needs libmicrohttpd and chromium" end)
  t.done()
end

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a" or ""
end

-- ---- a view and a browser for all tests

local path = t.write(folder .. "/lesson.lua", LESSON)
os.execute(("cd %s && { timeout 600 %s view lesson.lua >said 2>complained & echo $! >pid; }"):format(folder, giemsa))
local deadline = core.now() + 20
repeat os.execute "sleep 0.02" until read(folder .. "/said"):find "Ctrl%-C" or core.now() > deadline
local address = read(folder .. "/said"):match "^(%S+)\n"
local watching = read(folder .. "/said"):match "watch only: (%S+)"
local browser = chromium.start(folder)
browser:size(1280, 900)

-- In JavaScript: the part with a cell of that name, and things in it.
local PART = [[[...document.querySelectorAll(".part")].find(one => one.querySelector("#%s"))]]
local function part(name) return PART:format(name) end
local STATUS = "document.getElementById('status').textContent"
local function button(name, label)
  return ("[...%s.querySelectorAll('button')].find(one => one.textContent.includes('%s'))"):format(part(name), label)
end
local function click(expression) browser:eval(expression .. ".click()") end
local function edit(name)
  click(button(name, "Edit"))
  browser:wait(part(name) .. ".querySelector('textarea') === document.activeElement")
end
local AREA = "document.activeElement"
local function area(value) browser:eval(("%s.setSelectionRange(%d, %d)"):format(AREA, value, value)) end

local function open(where)
  browser:eval "window.isOld = true"
  if where then browser:go(where) else browser:call "Page.reload" end
  browser:wait "!window.isOld && document.querySelectorAll('.part').length >= 5"
end

t.test("open: the text, the code, buttons; nothing complains", function()
  open(address)
  t.ok(browser:eval "document.querySelector('h1').innerText" == "A live lesson")
  t.equal(browser:eval "document.title", "A live lesson")
  t.ok(browser:eval "getComputedStyle([...document.querySelectorAll('.part')].find(one => one.querySelector('#text-zh'))).display === 'none'")
  browser:eval "document.querySelector('label[for=show-zh]').click()"
  t.ok(browser:eval "document.querySelector('#text-zh').innerText.includes('文字')")
  browser:eval "document.querySelector('label[for=show-en]').click()"
  t.equal(browser.complaints, {})
end)

t.test("an edit in another editor is shown, and the reader stays where he was", function()
  open(address)
  t.write(path, (LESSON:gsub("some %*text%*", "another text")))
  browser:wait "document.querySelector('#text').innerText.includes('another text')"
  t.write(path, LESSON)
  browser:wait "document.querySelector('#text').innerText.includes('some text')"
end)

t.test("edit a cell by keys: indentation, undo, Ctrl-S writes only it, Ctrl-Enter runs it", function()
  open(address)
  edit "after"
  area(0)
  browser:eval(AREA .. ".select()")
  browser:type "for i = 1, 2 do"
  browser:press "Enter"
  browser:type "print(i)"
  t.equal(browser:eval(AREA .. ".value"), "for i = 1, 2 do\n  print(i)")
  browser:press "Tab"
  t.equal(browser:eval(AREA .. ".value"), "for i = 1, 2 do\n  print(i)  ")
  browser:press("Tab", "shift")
  t.equal(browser:eval(AREA .. ".value"), "for i = 1, 2 do\nprint(i)  ")
  browser:eval "document.execCommand('undo')"
  browser:eval "document.execCommand('undo')"
  t.equal(browser:eval(AREA .. ".value"), "for i = 1, 2 do\n  print(i)")
  browser:press "Enter"
  browser:press("Tab", "shift")
  browser:type "end print 'edited'"
  t.equal(read(path), LESSON, "nothing is written before it is saved")
  browser:press("s", "ctrl")
  browser:wait(("!%s.classList.contains('has-draft')"):format(part "after"))
  t.equal(read(path), (LESSON:gsub('print "after"', "for i = 1, 2 do\n  print(i)\nend print 'edited'")))
  browser:press "Enter" -- a blank line at the end, which the file does not keep, is no conflict
  browser:type "print 'more'"
  browser:press "Enter"
  browser:press("s", "ctrl")
  browser:wait(("!%s.classList.contains('has-draft')"):format(part "after"))
  browser:type "print 'and more'"
  browser:press("s", "ctrl")
  browser:wait(("!%s.classList.contains('has-draft')"):format(part "after"))
  t.ok(read(path):find("print 'more'\nprint 'and more'\n$"))
  browser:type "\n\n-- %% name=\"split\"\nprint 'split'"
  browser:press("s", "ctrl")
  browser:wait "document.querySelector('#split')"
  browser:wait(AREA .. ".value.trimEnd().endsWith(\"'and more'\")") -- the rest is another cell
  browser:press "Escape"
  t.ok(browser:eval "!document.querySelector('textarea')")
  t.write(path, (LESSON:gsub('print "after"', "print 'edited'")))
  browser:wait "!document.querySelector('#split')"
end)

t.test("run, watch a training: the curve grows; reload: all is there; stop", function()
  open(address)
  click(button("setup", "Run"))
  browser:wait(STATUS .. " === 'ready' && document.querySelector('#fit.not-run')")
  click(button("fit", "From here"))
  browser:wait(STATUS .. ".includes('running fit')")
  browser:wait "document.querySelector('#fit svg')"
  local function drawn() return browser:eval "document.querySelector('#fit svg').innerHTML.length" end
  local before = drawn()
  browser:wait(("document.querySelector('#fit svg').innerHTML.length > %d"):format(before))
  t.ok(browser:eval "document.title.startsWith('● ')")
  open()
  browser:wait "document.querySelector('#fit svg')"
  t.ok(browser:eval(STATUS):find "running fit", browser:eval(STATUS))
  browser:size(1280, 1000)
  browser:eval "document.querySelector('#fit').scrollIntoView()"
  browser:picture(folder .. "/training.png")
  browser:eval "document.getElementById('stop').click()"
  browser:wait(STATUS .. " === 'ready'")
  browser:wait "document.querySelector('#fit .output').innerText.includes('interrupted in epoch')"
  t.ok(browser:eval "document.querySelector('#fit svg') !== null", "what was drawn stays")
  t.ok(browser:eval "document.querySelector('#after.not-run') !== null", "what comes after a stop is not run")
end)

t.test("Ctrl-Enter writes and runs the cell, with the variables that are there", function()
  edit "after"
  browser:eval(AREA .. ".select()")
  browser:type "print(#x, 'by keys')"
  browser:press("Enter", "ctrl")
  browser:wait "document.querySelector('#after .output')?.innerText.includes('512')"
  t.ok(read(path):find("print(#x, 'by keys')", 1, true))
  browser:press "Escape"
end)

t.test("a new cell: below this one, its text area open at once", function()
  local before = read(path)
  click(button("setup", "Code"))
  browser:wait "document.activeElement.tagName === 'TEXTAREA'"
  t.equal(read(path), (before:gsub('%-%- %%%% name="fit"', '-- %%%% name="new-code"\n\n\n%0')))
  browser:size(1280, 900)
  browser:picture(folder .. "/added.png")
  browser:type "print 'added'"
  browser:press("s", "ctrl")
  browser:wait(("%s && !%s.classList.contains('has-draft')"):format(part "new-code", part "new-code"))
  t.ok(read(path):find('-- %% name="new-code"\nprint \'added\'\n\n-- %% name="fit"', 1, true), read(path))
  browser:press "Escape"
  click(button("new-code", "Text"))
  browser:wait "document.activeElement.tagName === 'TEXTAREA'"
  browser:type "Words."
  browser:press("Enter", "ctrl")
  browser:wait "document.getElementById('new-text')?.innerText.includes('Words.') && !document.querySelector('textarea')"
  t.ok(read(path):find("-- %% [markdown] name=\"new-text\"\n-- Words.\n\n-- %% name=\"fit\"", 1, true), read(path))
  t.write(path, before)
  browser:wait "!document.getElementById('new-text')"
end)

t.test("the file changed underneath: nothing is lost, the writer chooses; a draft outlives a reload", function()
  open(address)
  edit "after"
  browser:eval(AREA .. ".select()")
  browser:type "print 'mine'"
  t.write(path, (read(path):gsub("print%(#x, 'by keys'%)", "print 'theirs'")))
  browser:wait "document.querySelector('#after').textContent.includes('theirs')"
  browser:press("s", "ctrl")
  browser:wait "document.querySelector('.note pre')?.textContent === \"print 'theirs'\""
  t.ok(not read(path):find("mine", 1, true))
  t.equal(browser:eval(part "after" .. ".querySelector('textarea').value"), "print 'mine'")
  open()
  browser:wait(("%s?.classList.contains('has-draft')"):format(part "after"))
  click(button("after", "draft"))
  t.equal(browser:eval(part "after" .. ".querySelector('textarea').value"), "print 'mine'")
  browser:press("s", "ctrl")
  browser:wait "document.querySelector('.note pre')"
  browser:size(900, 700, true)
  browser:picture(folder .. "/conflict.png")
  click(button("after", "Keep mine"))
  browser:eval(part "after" .. ".querySelector('textarea').focus()")
  browser:press("s", "ctrl")
  browser:wait(("!%s.classList.contains('has-draft')"):format(part "after"))
  t.ok(read(path):find("print 'mine'", 1, true) and not read(path):find("theirs", 1, true))
  browser:press "Escape"
end)

t.test("an open text area that was not changed follows the file: what is run is what is seen", function()
  edit "after"
  t.write(path, (read(path):gsub("print 'mine'", "print 'from another editor'")))
  browser:wait(AREA .. ".value === \"print 'from another editor'\"")
  browser:press("Enter", "ctrl")
  browser:wait "document.querySelector('#after .output')?.innerText.includes('from another editor')"
  browser:press "Escape"
end)

t.test("who only watches has no buttons; a phone's page does not stick out", function()
  open(watching)
  t.equal(browser:eval "document.querySelectorAll('.actions').length", 0)
  t.ok(browser:eval "document.getElementById('run').hidden")
  browser:size(390, 844)
  os.execute "sleep 0.2"
  t.equal(browser:eval "document.documentElement.scrollWidth - document.documentElement.clientWidth", 0)
  t.write(path, (LESSON:gsub('%-%- %%%% name="fit"', '-- %%%% [markdown]\n-- ## One\n--\n-- ## Two\n\n%0')))
  browser:wait "document.querySelector('.toc')"
  t.ok(browser:eval [[(() => {
    const [title, goal, toc, code] = ["h1", "#text p", ".toc", "#setup"].map(one => document.querySelector(one).getBoundingClientRect());
    return title.bottom <= goal.top && goal.bottom <= toc.top && toc.bottom <= code.top;
  })()]], "the title, what the lesson is about, the contents")
  t.write(path, LESSON)
  browser:picture(folder .. "/phone.png")
end)

t.test("a server that went away is told, and what was typed is kept", function()
  browser:size(1280, 900)
  open(address)
  edit "after"
  browser:eval(AREA .. ".select()")
  browser:type "print 'offline'"
  os.execute(("kill -INT $(cat %s/pid)"):format(folder))
  browser:wait(STATUS .. ".includes('no connection')")
  browser:press("s", "ctrl")
  browser:wait "document.querySelector('.note').textContent.includes('no connection')"
  t.equal(browser:eval(AREA .. ".value"), "print 'offline'")
  for _, complaint in ipairs(browser.complaints) do -- of the requests that could not be made
    t.ok(complaint:find "Failed to load resource" or complaint:find "ERR_", complaint)
  end
end)

if os.getenv "KEEP" then os.execute(("mkdir -p %s && cp %s/*.png %s"):format(os.getenv "KEEP", folder, os.getenv "KEEP")) end
browser:close()
os.execute "sleep 0.5" -- until it has written its last
t.done()
