--- Figures: gnuplot is run without a shell, draws the same bytes each time, and what is drawn is
-- what was asked for. (That it looks well is for eyes.)
local t = require "tests.harness"
local core = require "giemsa.core"
local image = require "giemsa.image"
local metrics = require "giemsa.metrics"
local plot = require "giemsa.plot"

local folder = t.tmpdir()
local has_gnuplot = core.run_program({ "gnuplot", "--version" }) == 0
local function need_gnuplot()
  if not has_gnuplot then t.skip("gnuplot is not installed") end
end

local interpreter = t.interpreter
-- Runs a Lua script in a process of its own, with settings of the environment.
local function run(script, settings)
  if select(2, t.shell(t.quote(interpreter) .. " -e 'os.exit(0)'")) ~= 0 then
    t.skip("the interpreter cannot be started from here")
  end
  local path = t.write(folder .. "/script.lua", script)
  return t.shell(("%s %s %s"):format(settings or "", t.quote(interpreter), path))
end

local function read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end

local HISTORY = { loss = { 0.8, 0.5, 0.4, 0.35 }, accuracy = { 0.6, 0.8, 0.85, 0.9 },
  val_loss = { 2, 0.6, 0.5, 0.45 }, val_accuracy = { 0.5, 0.7, 0.8, 0.88 } }
local Y, SCORES = { 1, 2, 1, 2, 1, 1 }, { 0.9, 0.2, 0.6, 0.7, 0.8, 0.3 }

-- ---- programs

t.test("programs: output, errors and exit codes", function()
  t.equal({ core.run_program({ "cat" }, "in\0side") }, { 0, "in\0side", "" })
  t.equal({ core.run_program({ "sh", "-c", "echo out; echo err >&2; exit 3" }) },
    { 3, "out\n", "err\n" })
  t.equal({ core.run_program({ "sh", "-c", "kill -9 $$" }) }, { 128 + 9, "", "" })
  t.equal({ core.run_program({ "printf", "%s|", "a b", "$HOME", "`ls`", ";" }) },
    { 0, "a b|$HOME|`ls`|;|", "" })
end)

t.test("programs: much input and output at once, or input nobody reads", function()
  local much = ("0123456789"):rep(200000)
  local code, output = core.run_program({ "cat" }, much)
  t.ok(code == 0 and output == much)
  t.equal({ core.run_program({ "true" }, much) }, { 0, "", "" })
end)

t.test("programs: failures", function()
  t.equal({ core.run_program({ "no-such-program" }) },
    { nil, "cannot run no-such-program: there is no such program" })
  local started = core.now()
  local code, why = core.run_program({ "sleep", "10" }, "", 0.2)
  t.ok(code == nil and why:find("sleep: it did not finish in time"), why)
  t.ok(core.now() - started < 5)
  t.raises(core.run_program, "names the program", {})
  t.raises(core.run_program, "must be a string", { "echo", 1 })
  t.ok(core.start_program { "true" })
  t.ok(not core.start_program { "no-such-program" })
end)

t.test("programs: Ctrl-C is not theirs", function()
  if t.sanitizer == "thread" then t.skip("the thread sanitizer holds signals back") end
  local output = run([[
    local core = require "giemsa.core"
    core.interrupt_begin()
    io.write((select(2, core.run_program({ "sh", "-c", "sleep 1; echo whole" }))))
    io.write(core.interrupted() and "and interrupted" or "not interrupted")
  ]], "timeout --foreground -s INT 0.4")
  t.equal(output, "whole\nand interrupted")
end)

t.test("programs: nothing is left open", function()
  local function open_files()
    return (select(2, t.shell("ls /proc/$PPID/fd"):gsub("\n", "")))
  end
  core.run_program({ "true" })
  local before = open_files()
  for _ = 1, 20 do
    core.run_program({ "cat" }, "x")
    core.run_program({ "no-such-program" })
  end
  t.ok(open_files() < before + 5, "files are left open") -- the test itself may hold one or two
end)

-- ---- every helper

local function figures()
  local matrix = metrics.confusion_matrix({ 1, 2, 2, 1 }, { 1, 2, 1, 1 },
    { target_names = { "Parasitized", "Uninfected" } })
  return {
    training = plot.training(HISTORY),
    lines = plot.lines{ { 1, 4, 2 }, { y = { 2, 1, 0 / 0 }, low = { 1, 0, 0 },
      high = { 3, 2, 1 } } },
    points = plot.points{ { x = { 1, 2 }, y = core.from_table{ 3, 4 } }, log = "xy" },
    bars = plot.bars{ labels = { "a", "b" }, values = { 1, -2 },
      errors = { { 0, 2 }, { -3, -1 } } },
    lying = plot.bars{ labels = { "a", "b" }, horizontal = true, legend = "outside",
      series = { { values = { 1, 2 }, title = "x" }, { values = { 2, 3 }, title = "y" } } },
    stacked = plot.bars{ labels = { "a", "b" }, stacked = true,
      series = { { values = { 1, 2 }, title = "x" }, { values = { 2, 3 }, title = "y" } } },
    histogram = plot.histogram{ { values = { 1, 2, 2 }, title = "p" }, { 3, 4, 4 },
      density = true },
    roc = plot.roc(Y, SCORES),
    confusion = plot.confusion(matrix),
    heatmap = plot.heatmap{ values = core.from_table{ { 0, 1 }, { 2, 3 } }, palette = "viridis" },
    images = plot.images(core.full({ 3, 8, 8, 3 }, 0.5), { captions = { "a", "b", "c" } }),
    raw = plot.raw("plot sin(x)", { width = 200, height = 100 }),
    figure = plot.figure{ plot.training(HISTORY), plot.histogram{ 1, 2, 3 }, title = "Both" },
  }
end

t.test("every kind of figure is drawn, as PNG, SVG and PDF, the same each time", function()
  need_gnuplot()
  local again = figures()
  for name, figure in pairs(figures()) do
    local png = figure:png()
    local picture = assert(image.decode(png))
    t.equal({ picture.width, picture.height }, { figure.width, figure.height }, name)
    t.ok(png == again[name]:png(), name .. ": the PNG differs")
    local svg = figure:svg()
    t.ok(svg:find("^<%?xml") and svg == again[name]:svg(), name .. ": the SVG differs")
    local pdf = figure:pdf()
    t.ok(pdf:find("^%%PDF") and (pdf:find("/ObjStm") or pdf:find("D:20000101000000")), name)
    t.ok(#figure:text(80, 24) > 40, name)
  end
end)

t.test("PDF files hold no date", function()
  need_gnuplot()
  local first = plot.training(HISTORY):pdf()
  if first:find("/ObjStm") then t.skip("this cairo packs the date away") end
  t.shell("sleep 1.1")
  t.ok(first == plot.training(HISTORY):pdf())
end)

t.test("finer PNG files, and files by their ending", function()
  need_gnuplot()
  local figure = plot.histogram{ 1, 2, 3, title = nil }
  t.equal(assert(image.decode(figure:png(2))).width, 2 * figure.width)
  for _, name in ipairs { "a.png", "a.SVG", "new/folder/a.pdf" } do
    t.ok(figure:save(folder .. "/" .. name) == figure)
    t.ok(#read(folder .. "/" .. name) > 1000)
  end
  t.equal(figure.path, folder .. "/new/folder/a.pdf")
  t.raises(figure.save, "saved as .png, .svg or .pdf; got 'a.jpg'", figure, "a.jpg")
  t.raises(figure.save, "cannot ", figure, "/dev/null/a.png")
end)

t.test("the course's figure of a training", function()
  need_gnuplot()
  local svg = plot.training(HISTORY):svg()
  for _, text in ipairs { "Training Loss and Accuracy on Dataset", "Epoch #", "Loss/Accuracy",
    "train_loss", "val_loss", "train_acc", "val_acc" } do
    t.ok(svg:find(text, 1, true), text)
  end
  t.ok(plot.training(HISTORY):script():find("set key at graph 0.5,1.02", 1, true))
  local old = plot.training{ loss = { 1 }, acc = { 0.5 }, val_acc = { 0.4 } }:script()
  t.ok(old:find("'val_acc'", 1, true) and not old:find("val_loss", 1, true))
  t.ok(plot.training({ history = HISTORY }, { title = "Mine" }):script():find("'Mine'", 1, true))
  local gaps = plot.training{ loss = { 1, 2, 3 }, val_loss = { [2] = 5 } }:script()
  t.ok(gaps:find("1 NaN\n2 5\n3 NaN", 1, true), gaps)
end)

-- The colours that occur in a PNG, as "#rrggbb" -> count.
local function colors_of(figure)
  local bytes, seen = assert(image.decode(figure:png())):bytes(), {}
  for i = 1, #bytes, 3 do
    local color = ("#%02x%02x%02x"):format(bytes:byte(i, i + 2))
    seen[color] = (seen[color] or 0) + 1
  end
  return seen
end

t.test("bars are as long as their values", function()
  need_gnuplot()
  local color = "#ff00ff"
  local function area(value)
    local figure = plot.bars{ labels = { "a" }, values = { value }, color = color, format = false,
      yrange = { 0, 10 }, grid = false }
    local seen, total = colors_of(figure), 0
    for c, n in pairs(seen) do -- bars let a tenth of the paper through
      if c:find("^#ff..ff$") and c ~= "#ffffff" then total = total + n end
    end
    return total
  end
  t.close(area(8) / area(4), 2, 0.02)
end)

t.test("stacked bars begin where the one before ends, and say their sum", function()
  local script = plot.bars{ labels = { "a", "b" }, stacked = true,
    series = { { values = { 1, 2 } }, { values = { 4, 8 } } } }:script()
  -- x, height, left, right, bottom, top
  t.ok(script:find("$d1 << EOD\n0.64 1 0.64 1.36 0 1", 1, true), script)
  t.ok(script:find("$d2 << EOD\n0.64 5 0.64 1.36 1 5", 1, true), script)
  t.ok(script:find("\n1.64 10 1.64 2.36 2 10", 1, true), script)
  t.ok(script:find("set label '10' at 2,10", 1, true), script)
end)

t.test("histograms count every value once, the upper end too", function()
  local script = plot.histogram{ { 0, 0.5, 1, 1.5, 2 }, bins = 2 }:script()
  t.ok(script:find("$d1 << EOD\n0.5 2\n1.5 3\nEOD", 1, true), script)
  script = plot.histogram{ { 0, 0.5, 1, 1.5, 2, 99, 0 / 0 }, bins = 2, range = { 0, 2 },
    density = true }:script()
  t.ok(script:find("0.5 0.4\n1.5 0.6\n", 1, true), script)
end)

t.test("a diverging palette is white at 0", function()
  local script = plot.heatmap{ values = { { -1, 3 } }, palette = "diverging" }:script()
  t.ok(script:find("set cbrange [-3:3]", 1, true), script)
end)

t.test("a heat map's numbers are as long as they need to be, and alike", function()
  local function written(values)
    local found = {}
    for text in plot.heatmap{ values = values }:script():gmatch("set label '([^']*)'") do
      found[#found + 1] = text
    end
    return found
  end
  t.equal(written{ { 12345, 7 } }, { "12345", "7" })
  t.equal(written{ { 1 / 3, 2 / 3 }, { 0, 1 } }, { "0.33", "0.67", "0.00", "1.00" })
  t.equal(written{ { -31.4159, 2.5 } }, { "-31.4", "2.5" })
  t.equal(written{ { 271.828, 0 / 0 } }[1], "272")
  t.equal(written{ { 0.00123456, 0 } }, { "0.0012", "0" })
  t.equal(written{ { 12345678.9, 1 } }, { "1.2e+07", "1" })
end)

t.test("pictures are drawn pixel by pixel", function()
  need_gnuplot()
  local p = image.new(4, 2, { color = { 10, 20, 30 } })
  p:rectangle(1, 0, 1, 0, { color = { 200, 100, 50 }, filled = true })
  local figure = plot.images({ p }, { tile = 64 })
  local drawn = assert(image.decode(figure:png())):crop(8, 8, 64, 32)
  t.ok(drawn == p:resize(64, 32, "nearest"), "the picture is not where it should be")
end)

t.test("tensors of pictures: 0..1, 0..255, and others stretched", function()
  need_gnuplot()
  local function one(values) return colors_of(plot.images{ core.from_table(values) }) end
  local function row(a, b) return { { { a, a, a }, { b, b, b } } } end
  for _, pair in ipairs { { 0, 1 }, { 0, 255 }, { -3, 5 } } do
    local seen = one(row(pair[1], pair[2]))
    t.ok(seen["#000000"] and seen["#ffffff"], ("%g..%g"):format(pair[1], pair[2]))
  end
end)

-- ---- texts

t.test("texts are drawn as they are and never run", function()
  need_gnuplot()
  local trap = folder .. "/trap"
  local nasty = ("it's `touch %s` $(touch %s) \"x\" \\n @y %%d {/Bold z} a_b <&>")
    :format(trap, trap)
  local figure = plot.bars{ labels = { nasty, "b" }, title = nasty .. "\nsecond line",
    xlabel = nasty, series = { { values = { 1, 2 }, title = nasty } }, legend = "top left" }
  local svg = figure:svg()
  figure:png()
  t.ok(not io.open(trap), "a command in a text was run")
  t.ok(svg:find("it's `touch " .. trap, 1, true) and svg:find("a_b &lt;&amp;", 1, true), svg)
  t.ok(svg:find("second line", 1, true))
  local name = plot.images(core.full({ 1, 4, 4, 1 }, 1),
    { captions = { "`touch " .. trap .. "`" } })
  name:png()
  t.ok(not io.open(trap))
end)

t.test("a font with the letters is taken, or its lack is said once", function()
  need_gnuplot()
  local conf = t.write(folder .. "/fonts.conf", [[<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM
    "fonts.dtd"><fontconfig><dir>/usr/share/fonts/truetype/dejavu</dir></fontconfig>]])
  local script = [[
    local plot = require "giemsa.plot"
    for _ = 1, 2 do plot.lines{ { 1, 2 }, title = "疟疾" }:png() end
  ]]
  local output = run(script, "FONTCONFIG_FILE=" .. conf)
  if output == "" then t.skip("the font settings cannot be changed here") end
  t.equal(output, "plot: no font here has 疟; install one with: sudo apt install fonts-noto-cjk\n")
end)

t.test("a plot's own words are the reader's, where a font has their letters; else English, and what to install", function()
  local script = [[
    local plot = require "giemsa.plot"
    local h = { loss = { 1, 0.5 }, val_loss = { 1, 0.6 }, accuracy = { 0.5, 0.8 }, val_accuracy = { 0.5, 0.7 } }
    for _, figure in ipairs { plot.training(h), plot.roc({ 1, 2 }, { 0.9, 0.2 }), plot.confusion{ { 3, 1 }, { 0, 4 } },
      plot.histogram{ 1, 2, 2 }, plot.training(h, { title = "Mine" }) } do io.write(figure:script()) end
  ]]
  local function words_of(fonts, settings) -- with a machine that has these fonts
    os.execute("mkdir -p " .. folder .. "/bin")
    t.write(folder .. "/bin/fc-list", "#!/bin/sh\necho '" .. fonts .. "'\n")
    os.execute("chmod +x " .. folder .. "/bin/fc-list")
    return run(script, ("%s PATH=%s/bin:$PATH"):format(settings, folder))
  end
  local english = words_of("Noto Sans CJK SC", "GIEMSA_LANG=en")
  local chinese = words_of("Noto Sans CJK SC", "GIEMSA_LANG=zh")
  for _, word in ipairs { "Epoch #", "Loss/Accuracy", "train_loss", "val_acc", "ROC curve", "specificity", "guessing",
    "Confusion matrix", "predicted", "count" } do
    t.ok(english:find(word, 1, true) and not chinese:find(word, 1, true), word)
  end
  for _, word in ipairs { "轮次", "训练损失", "假阳性率", "混淆矩阵", "个数", "Mine" } do
    t.ok(chinese:find(word, 1, true), word)
  end
  local lacking = "plot: no font here has 训; install one with: sudo apt install fonts-noto-cjk\n"
  t.equal(words_of("", "GIEMSA_LANG=zh"):gsub(lacking:gsub("%p", "%%%0"), "", 1), english)
end)

-- ---- wrong use

t.test("without gnuplot the message says what to install", function()
  local output = run([[
    local plot = require "giemsa.plot"
    local ok, message = pcall(function() plot.lines{ { 1, 2 } }:save("x.png") end)
    io.write(message)
  ]], "PATH=/var/empty")
  if output == "" or output:find("not found") then output = run([[
    local plot, core = require "giemsa.plot", require "giemsa.core"
    core.run_program = function() return nil, "cannot run gnuplot: there is no such program" end
    local ok, message = pcall(function() plot.lines{ { 1, 2 } }:save("x.png") end)
    io.write(message)
  ]]) end
  t.ok(output:find("script.lua:%d+: plot: gnuplot is not installed; install it with: sudo apt "
    .. "install gnuplot%-nox"), output)
end)

t.test("a faulty script is explained by gnuplot's own words", function()
  need_gnuplot()
  local message = t.raises(function() plot.raw("plot nonsense(x)"):png() end, "undefined function")
  t.ok(message:find("tests/plot.lua", 1, true), message)
end)

t.test("wrong use is explained at the lesson's line", function()
  local function wrong(pattern, f)
    local message = t.raises(f, pattern)
    t.ok(message:find("tests/plot.lua", 1, true), "not at the caller: " .. message)
  end
  wrong("did you mean 'title'", function() plot.lines{ { 1 }, titel = "x" } end)
  wrong("series 1: unknown option 'colour' %(did you mean 'color'", function()
    plot.lines{ { y = { 1 }, colour = "red" } }
  end)
  wrong("color 'pink' is neither '#rrggbb' nor one of black, blue", function()
    plot.lines{ { y = { 1 }, color = "pink" } }
  end)
  wrong("series 2 has no y", function() plot.lines{ { 1 }, { x = { 1 } } } end)
  wrong("series 1 has 2 values of x for 1 of y",
    function() plot.lines{ { x = { 1, 2 }, y = { 1 } } } end)
  wrong("y%[2%] is a string, not a number", function() plot.lines{ { 1, "x" } } end)
  wrong("no number to draw", function() plot.lines{} end)
  wrong("no number to draw", function() plot.points{ { 0 / 0 } } end)
  wrong("legend must be one of top left", function() plot.lines{ { 1 }, legend = "left" } end)
  wrong("xrange must go from low to high", function() plot.lines{ { 1 }, xrange = { 2, 1 } } end)
  wrong("the history has no epochs", function() plot.training{} end)
  wrong("expected the history", function() plot.training(3) end)
  wrong("2 labels but 1 values", function() plot.bars{ labels = { "a", "b" }, values = { 1 } } end)
  wrong("needs labels and values", function() plot.bars{ values = { 1 } } end)
  wrong("stacked values are >= 0, got %-1", function()
    plot.bars{ labels = { "a" }, values = { -1 }, stacked = true }
  end)
  wrong("no number to count", function() plot.histogram{ { values = {} } } end)
  wrong("range {low, high}", function() plot.histogram{ { 1 }, range = { 3, 3 } } end)
  wrong("needs positive and negative", function() plot.roc({ 1, 1 }, { 0.1, 0.2 }) end)
  wrong("needs y_true and scores", function() plot.roc{ { y_true = { 1 } } } end)
  wrong("row 2 has 1 values, row 1 has 2",
    function() plot.heatmap{ values = { { 1, 2 }, { 1 } } } end)
  wrong("rows of numbers", function() plot.heatmap{ values = { 1 } } end)
  wrong("expected the rows of metrics.confusion_matrix", function() plot.confusion(1) end)
  wrong("images: picture 1: expected a picture, a tensor", function() plot.images{ true } end)
  wrong("cannot read .*nowhere.png", function() plot.images{ folder .. "/nowhere.png" } end)
  wrong("no picture to draw", function() plot.images{} end)
  wrong("part 1 is not a figure", function() plot.figure{ 1 } end)
  wrong("part 2 is itself made of figures", function()
    plot.figure{ plot.raw "plot x", plot.figure{ plot.raw "plot x" } }
  end)
  wrong("expected a gnuplot script", function() plot.raw(1) end)
end)

t.done()
