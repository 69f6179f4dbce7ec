--- Pictures in the terminal: what each kind of terminal is sent, how it is asked what it can do,
-- and the path where there is no terminal.
local t = require "tests.harness"
local base64 = require "giemsa.base64"
local core = require "giemsa.core"
local image = require "giemsa.image"

local folder = t.tmpdir()
local interpreter = t.interpreter
local has_gnuplot = core.run_program({ "gnuplot", "--version" }) == 0

local picture_path = folder .. "/two.png"
-- red, green / blue, white / black, grey
image.from_tensor(core.from_table{ { { 255, 0, 0 }, { 0, 255, 0 } },
  { { 0, 0, 255 }, { 255, 255, 255 } }, { { 0, 0, 0 }, { 9, 9, 9 } } }):save(picture_path)

local PRELUDE = ([[
  local core, image = require "giemsa.core", require "giemsa.image"
  local show, picture = require "giemsa.show", image.read "%s"
]]):format(picture_path)
local FIGURE = [[
  local figure = require("giemsa.plot").lines{ { 1, 2, 1 }, title = "Up and down" }
]]
local PLAIN = "env -u TMUX -u STY -u DISPLAY -u WAYLAND_DISPLAY -u TERM_PROGRAM -u LC_TERMINAL "
  .. "-u LC_ALL -u LC_CTYPE -u GIEMSA_IMAGES LANG=C.UTF-8 TERM=xterm-256color"

local function script_file(body)
  if select(2, t.shell(t.quote(interpreter) .. " -e 'os.exit(0)'")) ~= 0 then
    t.skip("the interpreter cannot be started from here")
  end
  return t.write(folder .. "/script.lua", PRELUDE .. body)
end

local function run(body, settings)
  local path = script_file(body)
  return t.shell(("%s %s %s %s"):format(PLAIN, settings or "", t.quote(interpreter), path))
end

-- The same in a terminal that has already answered (what is typed ahead is read as the answer).
local function run_in_terminal(body, answer, settings)
  if select(2, t.shell("command -v script")) ~= 0 then t.skip("no `script` (util-linux) here") end
  local path = script_file("os.execute('sleep 0.3') " .. body)
  local shown, keys = folder .. "/shown", t.write(folder .. "/keys", answer)
  local inner = ("stty cols 40 rows 12; %s %s %s %s"):format(PLAIN, settings or "",
    t.quote(interpreter), path)
  t.shell(("timeout 20 script -qefc %s %s < %s > /dev/null"):format(t.quote(inner), shown, keys))
  local f <close> = assert(io.open(shown, "rb"))
  return f:read("a")
end

t.test("base64", function()
  for bytes, text in pairs { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foobar = "Zm9vYmFy",
    ["\0\255\254"] = "AP/+" } do
    t.equal(base64.encode(bytes), text)
  end
end)

-- ---- what is sent

t.test("half blocks: two pixels a cell, the last odd row on the paper's colour", function()
  t.equal(run("show(picture)", "GIEMSA_IMAGES=blocks"),
    "\27[38;2;255;0;0;48;2;0;0;255m▀\27[38;2;0;255;0;48;2;255;255;255m▀\27[0m\n"
    .. "\27[38;2;0;0;0;49m▀\27[38;2;9;9;9;49m▀\27[0m\n")
end)

t.test("half blocks: a large picture is made to fit", function()
  local output = run("show(image.new(400, 300, { color = { 1, 2, 3 } }))", "GIEMSA_IMAGES=blocks")
  local lines, cells = 0, select(2, output:gsub("▀", ""))
  for _ in output:gmatch("\n") do lines = lines + 1 end
  t.equal({ lines, cells / lines }, { 22, 59 }) -- 44 pixels high, of 24 rows
end)

t.test("kitty: the PNG in chunks of 4096", function()
  local output = run("show(require('giemsa.random').uniform(0, 255, { 60, 60, 3 }))",
    "GIEMSA_IMAGES=kitty")
  local data, chunks = "", 0
  for keys, chunk in output:gmatch("\27_G([^;]*);([^\27]*)\27\\") do
    chunks = chunks + 1
    t.equal(keys:find("a=T,f=100,q=2,", 1, true), chunks == 1 and 1 or nil)
    t.ok(#chunk <= 4096 and #chunk % 4 == 0)
    data = data .. chunk
    t.equal(keys:match("m=(%d)"), #chunk == 4096 and "1" or "0")
  end
  t.ok(chunks > 2, output)
  local expected = run("io.write(picture:png())")
  output = run("show(picture)", "GIEMSA_IMAGES=kitty")
  t.equal(output:match(";([%w+/=]+)\27"), base64.encode(expected))
end)

t.test("kitty: a wide picture is narrowed to the columns there are", function()
  local wide = run("show(image.new(2000, 2))", "GIEMSA_IMAGES=kitty")
  t.ok(wide:find("c=80,", 1, true), wide)
  t.ok(not run("show(picture)", "GIEMSA_IMAGES=kitty"):find("c=", 1, true))
end)

t.test("iTerm2: size and width are told", function()
  local png = run("io.write(picture:png())")
  t.equal(run("show(picture)", "GIEMSA_IMAGES=iterm"),
    ("\27]1337;File=inline=1;size=%d;width=1;preserveAspectRatio=1:%s\7\n"):format(#png,
      base64.encode(png)))
end)

t.test("figures: pictures for kitty, characters where there are none", function()
  if not has_gnuplot then t.skip("gnuplot is not installed") end
  local kitty = run(FIGURE .. "show(figure)", "GIEMSA_IMAGES=kitty")
  t.ok(kitty:find("^\27_Ga=T,f=100,q=2,m=1;iVBORw0KGgo"), kitty:sub(1, 60))
  local text = run(FIGURE .. "figure:show()", "GIEMSA_IMAGES=blocks")
  t.ok(text:find("Up and down") and text:find("38;2;0;114;178"), text)
  t.ok(not text:find("▀"))
  local grid = run("require('giemsa.plot').images{ picture }:show()", "GIEMSA_IMAGES=blocks")
  t.ok(grid:find("▀"), "a grid of pictures is drawn in blocks")
end)

-- ---- the path

t.test("without a terminal the path is printed", function()
  t.equal(run(("show '%s'"):format(picture_path)), ("[image 2x3 -> %s]\n"):format(picture_path))
  local top, place = t.shell("pwd"):gsub("\n", ""), folder .. "/elsewhere"
  local function absolute(path) return path:sub(1, 1) == "/" and path or top .. "/" .. path end
  local settings = ("LUA_PATH='%s' LUA_CPATH='%s'"):format(
    package.path:gsub("[^;]+", absolute), package.cpath:gsub("[^;]+", absolute))
  local program = interpreter:find("/") and absolute(interpreter) or interpreter
  local path = script_file("show{ picture, core.zeros({4, 5, 3}) }")
  local output = t.shell(("mkdir -p %s; cd %s; %s %s %s %s"):format(place, place, PLAIN, settings,
    t.quote(program), path))
  t.equal(output, "[image 2x3 -> out/picture-1.png]\n[image 5x4 -> out/picture-2.png]\n")
  t.ok(image.read(folder .. "/elsewhere/out/picture-1.png") == image.read(picture_path))
end)

t.test("a saved figure is named, not drawn again", function()
  if not has_gnuplot then t.skip("gnuplot is not installed") end
  local path = folder .. "/saved.png"
  t.equal(run(FIGURE .. ("figure:save '%s'  show(figure)"):format(path)),
    ("[image 760x480 -> %s]\n"):format(path))
end)

-- What a terminal makes of sixels: width, height and a function (x, y) -> r, g, b in percent.
local function read_sixels(text)
  local width, height, body = text:match '^\27P0;1q"1;1;(%d+);(%d+)(.*)\27\\\n$'
  local colours, pixels, x, y, colour = {}, {}, 0, 0, nil
  local at = 1
  while at <= #body do
    local register, after = body:match("^#(%d+)()", at)
    local r, g, b, after_colour = body:match("^#%d+;2;(%d+);(%d+);(%d+)()", at)
    local count, sign, after_run = body:match("^!?(%d*)([?-~])()", at)
    if r then colours[register], at = { tonumber(r), tonumber(g), tonumber(b) }, after_colour
    elseif register then colour, at = register, after
    elseif sign then
      for _ = 1, tonumber(count) or 1 do
        for bit = 0, 5 do
          if sign:byte() - 63 & 1 << bit ~= 0 then pixels[(y + bit) .. " " .. x] = colours[colour] end
        end
        x = x + 1
      end
      at = after_run
    elseif body:sub(at, at) == "$" then x, at = 0, at + 1
    elseif body:sub(at, at) == "-" then x, y, at = 0, y + 6, at + 1
    else error("not sixels: " .. body:sub(at, at + 10)) end
  end
  return tonumber(width), tonumber(height), function(column, row) return pixels[row .. " " .. column] end
end

t.test("sixels: decoded they are the picture", function()
  local width, height, pixel = read_sixels(run("show(picture)", "GIEMSA_IMAGES=sixel"))
  t.equal({ width, height }, { 2, 3 })
  t.equal({ pixel(0, 0), pixel(1, 0), pixel(0, 1), pixel(1, 1), pixel(0, 2), pixel(1, 2) },
    { { 100, 0, 0 }, { 0, 100, 0 }, { 0, 0, 100 }, { 100, 100, 100 }, { 0, 0, 0 }, { 4, 4, 4 } })
  -- more colours than registers: every pixel is there and near
  local noise = "require('giemsa.random').seed(1) local x = require('giemsa.random').uniform(0, 255, { 40, 30, 3 }) "
    .. "local p = image.from_tensor(x) "
  width, height, pixel = read_sixels(run(noise .. "show(p)", "GIEMSA_IMAGES=sixel"))
  t.equal({ width, height }, { 30, 40 })
  local bytes, worst = run(noise .. "io.write(p:bytes())"), 0
  for i = 0, width * height - 1 do
    local colour = pixel(i % width, i // width)
    for c = 1, 3 do worst = math.max(worst, math.abs(colour[c] * 2.55 - bytes:byte(3 * i + c))) end
  end
  t.ok(worst < 75, worst) -- 1200 colours out of 256
end)

t.test("half blocks, decoded, are the resized picture", function()
  local output = run("show(image.from_tensor(require('giemsa.random').uniform(0, 255, { 20, 30, 3 })))",
    "GIEMSA_IMAGES=blocks")
  local want = run("io.write(image.from_tensor(require('giemsa.random').uniform(0, 255, { 20, 30, 3 })):bytes())")
  local y = 0
  for line in output:gmatch "(.-)\27%[0m\n" do
    local x, above, below = 0, nil, nil
    for colours, sign in line:gmatch "([\27%[%d;m]*)(▀)" do
      if colours ~= "" then
        local values = {}
        for n in colours:gsub("38;2;", ""):gsub("48;2;", ""):gmatch "%d+" do values[#values + 1] = tonumber(n) end
        above, below = string.char(table.unpack(values, 1, 3)), string.char(table.unpack(values, 4, 6))
      end
      t.ok(sign == "▀")
      t.equal(want:sub((y * 30 + x) * 3 + 1, (y * 30 + x) * 3 + 3), above)
      t.equal(want:sub(((y + 1) * 30 + x) * 3 + 1, ((y + 1) * 30 + x) * 3 + 3), below)
      x = x + 1
    end
    t.equal(x, 30)
    y = y + 2
  end
  t.equal(y, 20)
end)

t.test("tmux is asked to pass pictures through when told to", function()
  local inside = run("show(picture)", "TMUX=/tmp/x,1,0 GIEMSA_IMAGES=kitty")
  local plain = run("show(picture)", "GIEMSA_IMAGES=kitty")
  t.equal((inside:gsub("\27Ptmux;(.-)\27\\\n", function(body) return body:gsub("\27\27", "\27") .. "\n" end)), plain)
end)

-- ---- which terminal

local PROTOCOL = "io.write('<', show.protocol(), '>')"

t.test("a terminal that knows kitty's protocol", function()
  local answer = "\27_Gi=31;OK\27\\\27[6;36;18t\27P>|ghostty 1.0\27\\\27[?62;22c"
  local shown = run_in_terminal(PROTOCOL, answer)
  t.ok(shown:find("\27_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\27\\\27[16t\27[>0q\27[c", 1, true),
    "it is asked in one write")
  t.ok(shown:find("<kitty>", 1, true), shown)
end)

t.test("a terminal that answers no, and one that does not answer", function()
  t.ok(run_in_terminal(PROTOCOL, "\27[?62;22c"):find("<blocks>", 1, true))
  t.ok(run_in_terminal(PROTOCOL, "\27[?62;14;44c"):find("<blocks>", 1, true)) -- 4 is sixels, 14 and 44 are not
  t.ok(run_in_terminal(PROTOCOL, "\27[?62;4;22c"):find("<sixel>", 1, true))
  local shown = run_in_terminal([[
    local started = core.now()
    local protocol = show.protocol()
    show.protocol() -- is not asked again
    io.write('<', protocol, core.now() - started < 2 and ' soon>' or ' late>')
  ]], "")
  t.ok(shown:find("<blocks soon>", 1, true), shown)
  t.equal(select(2, shown:gsub("\27%[>0q", "")), 1)
end)

t.test("the terminal is left as it was", function()
  local shown = run_in_terminal([[
    local function state() local p <close> = io.popen("stty -g </dev/tty") return p:read("a") end
    local before = state()
    show.protocol()
    io.write(state() == before and '<same>' or '<changed>')
  ]], "")
  t.ok(shown:find("<same>", 1, true), shown)
end)

t.test("terminals known by their settings", function()
  local no = "\27[?62;22c"
  for _, case in ipairs {
    { "TERM_PROGRAM=iTerm.app", "iterm" }, { "LC_TERMINAL=iTerm2", "iterm" },
    { "TERM_PROGRAM=WezTerm", "iterm" }, { "TMUX=/tmp/x,1,0", "blocks" },
    { "TERM=screen.xterm-256color", "blocks" }, { "TERM=dumb", "none" },
    { "LANG=de_DE.ISO-8859-1", "none" }, { "GIEMSA_IMAGES=none", "none" },
  } do
    local shown = run_in_terminal(PROTOCOL, no, case[1])
    t.ok(shown:find("<" .. case[2] .. ">", 1, true), case[1] .. ": " .. shown)
  end
end)

t.test("pictures fit the terminal's columns", function()
  local shown = run_in_terminal("show(image.new(100, 100))", "\27[?62;22c")
  t.equal(select(2, shown:gsub("▀", "")), 20 * 10) -- 12 rows, two for the prompt: 20 pixels
end)

t.test("wrong use", function()
  t.ok(run("print(pcall(show, 1))"):find(
    "show: expected a picture, a tensor or a path, got number"))
  t.ok(run("show 'nowhere.png'"):find("script.lua:%d+: show: cannot read nowhere.png"))
  t.ok(run("show(picture)", "GIEMSA_IMAGES=regis"):find(
    "GIEMSA_IMAGES must be one of kitty, iterm, sixel, blocks, none; got 'regis'", 1, true))
end)

t.done()
