--- The prompt in a (pseudo) terminal: `script` gives the program one; what is typed goes in by a pipe, what is shown
-- to a file.
local t = require "tests.harness"

local folder = t.tmpdir()
local READY, RUNNING = "\27[?2004h", "\27[?2004l" -- pastes are bracketed while a line is read

local function read(path)
  local f <close> = io.open(path, "rb")
  return f and f:read("a") or ""
end

-- Ctrl-C comes as a signal, which the thread sanitizer holds back until the program calls into the C library.
local function need_terminal()
  if t.sanitizer == "thread" then t.skip("the thread sanitizer holds signals back") end
  if select(2, t.shell("command -v script")) ~= 0 then t.skip("no `script` (util-linux) here") end
  if select(2, t.shell("ls " .. t.build .. "/lib/giemsa/lineedit.so")) ~= 0 then t.skip("built without libedit") end
end

-- What comes and goes with a terminal's colours is no text.
local function uncoloured(shown) return (shown:gsub("\27%[[%d;]*m", "")) end

-- Types each entry after its "wait for" text has been shown since the last one. Returns all that was shown, and the
-- exit code.
local function type_at_prompt(entries, arguments, settings)
  need_terminal()
  local shown = folder .. "/shown"
  os.remove(shown)
  -- (the trap: Ctrl-C reaches the shell too, and dash would end by it)
  local inner = ("trap : INT; stty cols 80 rows 24; %s %s %s"):format(settings or "", t.program, arguments or "")
  local typing = assert(io.popen(("env -u NO_COLOR TERM=xterm LANG=C.UTF-8 PAGER=cat GIEMSA_IMAGES=blocks GIEMSA_HISTORY=%s/history "
    .. "timeout 100 script -qefc %s %s >/dev/null"):format(folder, t.quote(inner), shown), "w"))
  local seen = 1
  for _, entry in ipairs(entries) do
    local text
    for _ = 1, 1500 do
      text = uncoloured(read(shown))
      if text:find(entry.after, seen, true) then break end
      t.shell("sleep 0.02")
    end
    local _, stop = text:find(entry.after, seen, true)
    if not stop then break end
    seen = stop + 1
    if entry.pause then t.shell("sleep " .. entry.pause) end
    typing:write(entry.type)
    typing:flush()
  end
  local _, _, code = typing:close()
  return read(shown), code
end

-- Without the codes for the terminal.
local function plain(shown) return (uncoloured(shown):gsub("\27%[%?2004%a", "")) end

local function holds(shown, ...)
  for _, words in ipairs { ... } do t.ok(plain(shown):find(words, 1, true), ("no %q in %s"):format(words, shown)) end
end

-- Types lines, each at a fresh prompt; all that was shown.
local function session(lines, arguments, settings)
  local entries = {}
  for i, line in ipairs(lines) do
    entries[i] = { after = READY, type = line .. "\r" }
  end
  if lines[#lines] ~= ":quit" then entries[#entries + 1] = { after = READY, type = "\4" } end
  return type_at_prompt(entries, arguments, settings)
end

-- ---- reading

t.test("expressions, several lines, errors, the end", function()
  local shown, code = type_at_prompt {
    { after = READY, type = "1 + 1\r" }, { after = READY, type = "for i = 1, 2 do\r" }, { after = READY, type = "print(i * 10)\r" },
    { after = READY, type = "end\r" }, { after = "20\r\n", type = "error 'oops'\r" }, { after = "oops", type = "= 'äö' .. 7\r" },
    { after = "äö7", type = "x = = 1\r" }, { after = "unexpected symbol", type = "#giemsa._VERSION > 0\r" },
    { after = "true", type = "\4" },
  }
  holds(shown, "2\r\n", "error: oops\r\n", '"äö7"\r\n', "error: unexpected symbol near '='", "true\r\n")
  t.ok(not shown:find("%.lua:"), shown)
  t.equal(code, 0)
end)

t.test("the history of the last time, of whole chunks, and of what starts alike", function()
  local shown = type_at_prompt {
    { after = READY, type = "\27[A\27[A\27[A\27[A\27[A\r" }, { after = "20\r\n", type = "for\27[A\r" }, { after = "20\r\n", type = "\4" },
  }
  holds(shown, "20\r\n")
end)

t.test("a bracketed paste is one chunk, of thirty lines too", function()
  local lines = {}
  for i = 1, 30 do lines[i] = ("local v%d = %d"):format(i, i) end
  lines[31] = "print(v1 + v30)"
  local shown = type_at_prompt {
    { after = READY, type = "\27[200~" .. table.concat(lines, "\n") .. "\27[201~" }, { after = "print", pause = 0.3, type = "\r" },
    { after = "31\r\n", type = "v2 + v29\r" }, { after = "31\r\n", type = "\4" },
  }
  t.equal(select(2, plain(shown):gsub("\n31\r\n", "")), 2, shown)
end)

t.test("a paste without brackets runs line by line", function()
  local lines = {}
  for i = 1, 30 do lines[i] = ("local w%d = %d"):format(i, i) end
  local shown = type_at_prompt {
    { after = READY, type = table.concat(lines, "\r") .. "\rw1 + w30\r" }, { after = "31\r\n", type = "\4" },
  }
  holds(shown, "\n31\r\n")
end)

t.test("a value that goes on in the next line, and a string that cannot", function()
  local shown = type_at_prompt {
    { after = READY, type = "40 +\r" }, { after = ">> ", type = "2\r" }, { after = "42\r\n", type = "'abc\r" },
    { after = "unfinished string", type = "\4" },
  }
  holds(shown, "42\r\n", "error: unfinished string")
end)

t.test("Alt-Enter breaks the line", function()
  local shown = type_at_prompt {
    { after = READY, type = "a = 1\27\rb = 2\27\ra + b\r" }, { after = "3\r\n", type = "\4" },
  }
  holds(shown, "\n3\r\n")
end)

t.test("the line is coloured while the prompt waits, and stays the same text", function()
  local shown = type_at_prompt {
    { after = READY, type = "local x = 'a'" }, { after = "local x = 'a'\0278", type = "\r" },
    { after = READY, type = "x\r" }, { after = '"a"', type = "\4" },
  }
  holds(shown, '"a"\r\n')
  t.ok(shown:find("\27[35mlocal\27[0m x = \27[32m'a'\27[0m\0278", 1, true), shown)
  local without = type_at_prompt({ { after = READY, type = "local x = 'a'\r" }, { after = READY, type = "\4" } }, nil, "NO_COLOR=1")
  t.ok(not without:find("\27[3", 1, true), without)
end)

-- ---- running

t.test("locals live on, are shared with functions, and can be declared again", function()
  local shown = session { "local n = 1", "local function up() n = n + 1 return n end", "up()", "up() + n", "local n <const> = 40", "n + 2", "up()" }
  holds(shown, "\n2\r\n", "\n6\r\n", "\n42\r\n", "\n4\r\n")
end)

t.test("values: the last one in _, quiet with ;, several, the last of several statements", function()
  local shown = session { "20 + 1", "_ * 2", "'hidden';", "_", "1, nil, 'x'", "local a = 5; a + 1", "nil" }
  holds(shown, "\n42\r\n", '"hidden"\r\n', '\n1\r\nnil\r\n"x"\r\n', "\n6\r\n", "\nnil\r\n")
  t.equal(select(2, plain(shown):gsub('\n"hidden"\r\n', "")), 1) -- _ shows it, the quiet one did not
end)

t.test("misspelt globals", function()
  local shown = session { "message = 'hi'", "mesage", "prnt(1)", "nn", "nn = giemsa.nn", "nn.l2(1).l2", "gone = nil", "gone" }
  holds(shown, "there is no variable 'mesage' (did you mean 'message'?)", "(did you mean 'print'?)",
    "there is no variable 'nn' yet; say nn = giemsa.nn", "\n1\r\n", "\nnil\r\n")
end)

t.test("errors: the message, your own frames, no others", function()
  local lines = { "function f() giemsa.nn.l2 'x' end", "function g() f() end", "g()", "\27[200~local a = 1\nlocal b = a .. {}\27[201~",
    "error(setmetatable({}, { __tostring = function() return 'an object' end }))", "error {}" }
  local shown = session(lines)
  holds(shown, "error: input 1:1: l2: the factor must be a number >= 0, got x\r\n  at input 1:1 in f\r\n  at input 2:1\r\n",
    "error: line 2: attempt to concatenate a table value", "error: an object\r\n", "error: (error object is a table value)")
  t.ok(not shown:find "%.lua:" and not shown:find "%[C%]", shown)
end)

t.test("Ctrl-C gives up a line, a chunk, a loop; the process and its variables live on", function()
  local shown = type_at_prompt {
    { after = READY, type = "kept = 42\r" }, { after = READY, type = "garbage(" }, { after = "garbage", type = "\3" },
    -- (the next line waits for the prompt: the terminal forgets what is typed while Ctrl-C is dealt with)
    { after = "^C", type = "" }, { after = READY, type = "while true do\r" },
    { after = READY, type = "\3" }, { after = "^C", type = "" }, { after = READY, type = "while true do end\r" },
    { after = RUNNING, pause = 0.2, type = "\3" }, { after = "interrupted!", type = "" },
    { after = READY, type = "coroutine.wrap(function() while true do end end)()\r" },
    { after = RUNNING, pause = 0.2, type = "\3" }, { after = "interrupted!", type = "" }, { after = READY, type = "kept + 1\r" }, { after = "43\r\n", type = "\4" },
  }
  holds(shown, "\n43\r\n")
end)

t.test("Ctrl-C gives up a long call of the core: what it was given lives on", function()
  local shown = type_at_prompt {
    { after = READY, type = "a = giemsa.tensor.full({ 6000, 6000 }, 0.5)\r" },
    { after = READY, type = "for i = 1, 1000 do a:matmul(a) end print 'not reached'\r" },
    { after = RUNNING, pause = 0.5, type = "\3" }, { after = "interrupted!", type = "" }, { after = READY, type = "a:sum():item() + 1\r" }, { after = "18000001", type = "\4" },
  }
  holds(shown, "interrupted!")
  t.ok(not plain(shown):find("\nnot reached", 1, true), shown)
end)

t.test("Ctrl-C ends a loop around os.execute, which ignores it as long as the command runs", function()
  local shown = type_at_prompt {
    { after = READY, type = "while true do os.execute 'sleep 50' end\r" }, { after = RUNNING, pause = 0.3, type = "\3" },
    { after = "interrupted!", type = "" }, { after = READY, type = "while true do os.execute 'sleep 50; true' end\r" },
    { after = RUNNING, pause = 0.3, type = "\3" }, { after = "interrupted!", type = "" },
    { after = READY, type = "6 * 7\r" }, { after = "42", type = "\4" },
  }
  holds(shown, "\n42\r\n")
end)

t.test("two Ctrl-C at the prompt do not leave, but say what does", function()
  local shown, code = type_at_prompt { { after = READY, type = "\3" }, { after = READY, type = "\3" },
    { after = ":quit leaves", type = "40 + 2\r" }, { after = "42", type = "\4" } }
  holds(shown, "42\r\n")
  t.equal(code, 0)
end)

t.test("a call that begins on the line before keeps its colours in place", function()
  local shown = type_at_prompt { { after = READY, type = "x = (print\r" }, { after = READY, type = "'a' or 1)" },
    { after = "'a' or 1)\0278", type = "\r" }, { after = READY, type = "\4" } }
  t.ok(shown:find("\27[32m'a'\27[0m \27[35mor\27[0m \27[36m1\27[0m)\0278", 1, true), shown)
end)

t.test("Ctrl-C is not caught for good by a pcall", function()
  local shown = type_at_prompt {
    { after = READY, type = "while true do pcall(function() while true do end end) end\r" },
    { after = RUNNING, pause = 0.2, type = "\3" }, { after = "interrupted!", type = "" },
    { after = READY, type = "f = coroutine.wrap(function() while true do pcall(coroutine.yield) end end) while true do pcall(f) end\r" },
    { after = RUNNING, pause = 0.2, type = "\3" }, { after = "interrupted!", type = "" }, { after = READY, type = "6 * 7\r" }, { after = "42\r\n", type = "\4" },
  }
  holds(shown, "\n42\r\n")
end)

t.test("Ctrl-C leaves time to clean up once", function()
  local shown = type_at_prompt {
    { after = READY, type = "function work() pcall(function() while true do end end) for i = 1, 1000 do done = i end error 'interrupted!' end\r" },
    { after = READY, type = "work()\r" },
    { after = RUNNING, pause = 0.2, type = "\3" }, { after = "interrupted!", type = "" }, { after = READY, type = "done\r" }, { after = "1000", type = "\4" },
  }
  holds(shown, "\n1000\r\n")
end)

t.test("Ctrl-C during a training returns its history", function()
  local shown = type_at_prompt {
    { after = READY, type = "local nn = giemsa.nn; model = nn.Sequential{ nn.Flatten{ input_shape = { 64, 64, 3 } }, nn.Dense{ 64 }, nn.Dense{ 2 } };\r" },
    { after = READY, type = "model:compile{ loss = 'mse', optimizer = giemsa.optim.SGD{ lr = 1e-9 } };\r" },
    { after = READY, type = "x, y = giemsa.tensor.zeros(64, 64, 64, 3), giemsa.tensor.zeros(64, 2)\r" },
    { after = READY, type = "history = model:fit(x, y, { epochs = 1000000 })\r" },
    { after = "Epoch 2/", type = "\3" }, { after = "interrupted in epoch", type = "history.interrupted, #history.epoch > 0\r" },
    { after = "true\r\n", type = "\4" },
  }
  holds(shown, "interrupted in epoch ", "\ntrue\r\ntrue\r\n")
end)

t.test("the second Ctrl-C ends the process", function()
  local _, code = type_at_prompt {
    { after = READY, type = "string.find(('a'):rep(300000), ('.-'):rep(20) .. 'b')\r" }, { after = RUNNING, pause = 0.3, type = "\3" },
    { after = "^C", pause = 0.3, type = "\3" },
  }
  t.equal(code, 130)
end)

-- ---- asking

t.test("?name and ??name, of your own functions too; :help", function()
  local shown = session { "?giemsa.nn.l2", "??giemsa.nn.l2", "local model = giemsa.nn.Sequential{}", "?model:fit",
    "\27[200~--- Doubles it.\n---@param x number\nfunction double(x) return 2 * x end\27[201~", "?double", "??double", "?conv", "?", ":help fit" }
  holds(shown, "Weight decay", "function nn.l2(factor)", "model:fit(data, opts, more)", "validation_split", "double(x)  input",
    "Doubles it.\r\n", "return 2 * x", "nothing is named 'conv'. Like it:", "Alt-Enter", ":names ", "Model:fit(")
end)

t.test("Tab completes names, methods, options, paths; shows choices; indents", function()
  t.write(folder .. "/a picture.png", "")
  local shown = type_at_prompt {
    { after = READY, type = "local nn = gie\t.nn\r" }, { after = READY, type = "nn.Dense{ 3, acti\t'relu', unit\t" },
    { after = "units = ", type = "\21nn.Conv2D\t" }, { after = "Conv2DTranspose", type = "\21x = '" .. folder .. "/a p\t\r" }, { after = READY, type = "x\r" }, { after = "a picture.png", type = ":na\t\r" },
    { after = "module giemsa.nn", type = "\t1\r" }, { after = "1\r\n", type = "\4" },
  }
  holds(shown, "units = ", 'a picture.png"\r\n', "nn  module giemsa.nn", "\n1\r\n")
end)

t.test("commands", function()
  local shown, code = session({ ":time 6 * 7", "x = 5", "y = 6", ":names", ":nonsense", ":n", ":history 1", "x", ":edit", "::label::", ":quit" }, nil,
    "EDITOR='sed -i s/x/77/'")
  holds(shown, "\n42\r\n", "took ", " ms\r\n", "\nx  5\r\ny  6\r\n", "there is no command ':nonsense'",
    "':n' may be :names or :next", "  3  y = 6\r\n", "\n77\r\n77\r\n")
  t.equal(code, 0)
end)

-- ---- seeing

t.test("pictures are drawn, figures too, models and tensors summed up", function()
  local shown = session { "giemsa.image.new(2, 2, { color = { 250, 1, 2 } })", "giemsa.tensor.zeros(40, 30)",
    "giemsa.nn.Sequential{ giemsa.nn.Dense{ 2, input_shape = { 2 } } }", "{ 1, { b = 2 } }", "giemsa.nn.l2" }
  t.ok(shown:find("\27[38;2;250;1;2;48;2;250;1;2m▀▀\27[0m", 1, true), shown)
  holds(shown, "tensor (40, 30)  min 0  mean 0  max 0", "Total params: 6", "{ 1, { b = 2 } }", "function nn.l2(factor)  giemsa/nn.lua:")
end)

t.test("what a line has shown itself is not shown again, and what it has not is", function()
  if not os.execute "command -v gnuplot >/dev/null" then t.skip "gnuplot is not installed" end
  local figure = "giemsa.plot.lines({ { 1, 3, 2 } })"
  for _, line in ipairs{ figure, figure .. ":show()", figure .. ":show();", "f = " .. figure .. "; f:show(); f" } do
    local shown = session { line }
    t.equal(select(2, plain(shown):gsub(" 2%.5 %+", "")), 1, line .. shown) -- on its axis
  end
  local shown = session { "giemsa.display{ text = 'seen' }" }
  holds(shown, "\nseen\r\n")
  t.ok(not plain(shown):find("{ id", 1, true), shown)
end)

t.test("long commands tell their time, short ones do not", function()
  local shown = session { "local until_then = require('giemsa.core').now() + 0.6 while require('giemsa.core').now() < until_then do end", "1" }
  t.equal(select(2, plain(shown):gsub("took [%d.]+ s", "")), 1, shown)
end)

-- ---- lessons

local LESSON = [[
-- %% [markdown] name="words"
-- # Hello
-- %% name="one"
local a = 1
local function show() return a end
print("first")
-- %% name="two"
a = a + 1
local b <const> = 10
print("second")
-- %% name="three"
error "the third fails"
]]

t.test("-i lesson --to NAME: inside the lesson, its locals are seen and set", function()
  local path = t.write(folder .. "/lesson.lua", LESSON)
  local shown = session({ "a + 40", "a = 100", "show()", ":next", "a + b", ":next", "b" }, "-i " .. path .. " --to one")
  holds(shown, "first\r\n", "lesson> ", "\n41\r\n", "\n100\r\n", "second\r\n", "\n111\r\n", "the third fails", "stopped in cell 'three'", "\n10\r\n")
  t.ok(not plain(shown):match("^.-lesson>"):find("second", 1, true))
end)

t.test(":lesson opens one; errors name its lines; unknown cells are listed", function()
  local path = t.write(folder .. "/lesson.lua", LESSON)
  local shown = session { ":lesson " .. path, "show()", ":lesson " .. path .. " four", ":lesson nowhere.lua", ":next", "a" }
  holds(shown, "lesson.lua:12: the third fails", "\n2\r\n", "has no cell 'four'; it has one, two, three", "nowhere.lua")
end)

t.test("stepping: the prompt inside the lesson is the same", function()
  local path = t.write(folder .. "/lesson.lua", LESSON)
  local shown = type_at_prompt({ { after = "q quit", type = "\r" }, { after = "q quit", type = "i" },
    { after = READY, type = "a + 41\r" }, { after = READY, type = "a = 5\r" }, { after = READY, type = "\4" },
    { after = "q quit", type = "i" }, { after = READY, type = "?giemsa.nn.l2\r" }, { after = READY, type = "\4" },
    { after = "q quit", type = "\r" }, { after = "second", type = "" }, { after = "q quit", type = "i" },
    { after = READY, type = "a\r" }, { after = READY, type = "\4" }, { after = "q quit", type = "q" } }, "run --step " .. path)
  holds(shown, "\n42\r\n", "Weight decay", "\n6\r\n")
  t.shell "rm -rf out/runs/lesson"
end)

t.test("any script can be looked into after it ran", function()
  local path = t.write(folder .. "/plain.lua", "local secret = 7\nlocal given = ...\n")
  holds(session({ "secret, given" }, "-i " .. path .. " word"), '\n7\r\n"word"\r\n')
end)

t.done()
