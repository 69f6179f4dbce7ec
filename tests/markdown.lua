--- Markdown: the tree against what CommonMark says, nothing of a text becomes a tag or a bad address, terminal lines fit.
local t = require "tests.harness"
local markdown = require "giemsa.markdown"
local unicode = require "giemsa.unicode"
local formula = require "giemsa.formula"
local core = require "giemsa.core"

local has_md4c = pcall(require, "giemsa.md4c")
local function need_md4c() if not has_md4c then t.skip("built without libmd4c") end end
local has_blahtexml = core.run_program({ "blahtexml", "--help" }) ~= nil

-- Texts that hold every kind of node, as seeds of random ones too.
local EVERYTHING = [[
# A *title* & more

Text with **strong**, *em*, ~~gone~~, `code < x`, a [link](http://example.org/?a=1&b=2 "t"), ![alt *text*](p.png),
$x^2 < 3$ and a hard  
break.

1. one
2. two
   - deep
     > quoted
- [ ] to do
- [x] done

| a | b | c |
|:--|--:|:-:|
| 1 | `2` | 中文字符 |

```lua
local x <const> = "<&>"
```

    indented

$$
\sum_{i=1}^N \frac{a}{b}
$$

***
疟原虫在红细胞内寄生，**染色后**可以在显微镜下看到。网络（ResNet）需要看到很多图片才能学会区分。
]]

-- ---- HTML

local function html(text, opts) return (markdown.html(text, opts):gsub("\n$", "")) end

t.test("a number stays with its per cent sign, and sizes in one line, but not in code", function()
  need_md4c()
  t.equal(markdown.html "95 % of 64 x 64, `95 %`, 3 x y", "<p>95\u{a0}% of 64\u{a0}x\u{a0}64, <code>95 %</code>, 3 x y</p>\n")
end)

t.test("HTML of each kind of block and span", function()
  need_md4c()
  t.equal(html "# A *b*", "<h1>A <em>b</em></h1>")
  t.equal(html "a\n===", "<h1>a</h1>")
  t.equal(html "a  \nb\nc", "<p>a<br>\nb\nc</p>")
  t.equal(html "~~a~~ **b** `c`", "<p><del>a</del> <strong>b</strong> <code>c</code></p>")
  t.equal(html "3. a\n4. b", '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>')
  t.equal(html "- a\n\n- b", "<ul>\n<li><p>a</p>\n</li>\n<li><p>b</p>\n</li>\n</ul>")
  t.equal(html "- [x] a", '<ul>\n<li class="task"><input type="checkbox" disabled aria-label="done" checked> a</li>\n</ul>')
  t.equal(html "> a", "<blockquote>\n<p>a</p>\n</blockquote>")
  t.equal(html "```lua\nx = '<'\n```", "<pre><code>x = &#39;&lt;&#39;\n</code></pre>")
  t.equal(html '[a](http://b.org/?c&d "e")', '<p><a href="http://b.org/?c&amp;d" title="e">a</a></p>')
  t.ok(html("|a|b|\n|:---|---:|\n|1|2|"):find('<tr><td class="left">1</td><td class="right">2</td></tr>', 1, true))
  t.equal(html "&lt;&amp;&#65;&#x42;&mdash;&unknown;&#0;", "<p>&lt;&amp;AB—&amp;unknown;\u{FFFD}</p>")
end)

t.test("raw HTML is text, and so is what only looks like it", function()
  t.ok(not html("<script>alert(1)</script>\n\na <b>b</b>"):find "<[sb]")
  t.ok(html("loss<0.1, table<string>"):find("loss&lt;0.1, table&lt;string&gt;", 1, true))
end)

t.test("addresses are those a page may have", function()
  need_md4c()
  for _, bad in ipairs { "javascript:alert(1)", "JaVaScRiPt:x", "java&#10;script:x", "&#1;javascript:x", "data:text/html,x",
    "file:///etc/passwd", "vbscript:x" } do
    t.ok(not html("[a](<" .. bad .. ">)"):find "href", bad)
  end
  for _, good in ipairs { "http://a.org", "https://a.org", "mailto:a@b.org", "#here", "05_train.lua", "a/b?c:d" } do
    t.ok(html("[a](" .. good .. ")"):find('href="' .. good .. '"', 1, true), good)
  end
  t.ok(not html("![a](http://a.org/x.png)"):find "src", "a picture elsewhere is no picture")
end)

t.test("the page's own ways", function()
  need_md4c()
  t.equal(html("# a\n\n$x$", { heading = function(level, inner, letters) return level .. inner .. letters end,
    math = function(tex, display) return tex .. tostring(display) end }), "1aa\n<p>xfalse</p>")
  t.equal(html("![a](b)", { image = function(src, alt) return src .. alt end }), "<p>ba</p>")
  t.equal(html("[a](b.lua)", { link = function(href) return (href:gsub("lua$", "html")) end }), '<p><a href="b.html">a</a></p>')
  t.raises(markdown.html, "unknown option 'maths' %(did you mean 'math'", "a", { maths = print })
end)

t.test("a dollar may be money", function()
  need_md4c()
  t.ok(not html("costs $5 and $10, or $ 3 $"):find "tex")
  t.equal(html "$x$-$y$", '<p><code class="tex">x</code>-<code class="tex">y</code></p>')
end)

t.test("Chinese lines are joined without a space", function()
  need_md4c()
  t.equal(html "中文\n中文\nabc\ndef", "<p>中文中文\nabc\ndef</p>")
end)

t.test("bytes that are no text are replaced, control characters dropped", function()
  t.equal(unicode.clean "a\255b\0c\27[1md\te\r\nf\rg\n", "a\u{FFFD}bc[1md\te\nf\ng\n")
  t.equal(unicode.clean "\xc3(", "\u{FFFD}(")
  t.equal(unicode.clean "\xed\xa0\x80", ("\u{FFFD}"):rep(3)) -- a surrogate
  t.ok(utf8.len(html "a \xff\xc3 b"))
end)

-- ---- formulas

t.test("formulas become MathML, those that are none stay legible", function()
  if not has_blahtexml then t.skip("blahtexml is not installed") end
  formula.prepare { { tex = "a<b", display = false }, { tex = "\\nonsense{", display = false }, { tex = "\\frac12", display = true } }
  t.ok(formula.html("a<b", false):find "^<math><mi>a</mi><mo[^>]*>&lt;</mo><mi>b</mi></math>$")
  t.equal(formula.html("\\nonsense{", false), '<code class="tex">\\nonsense{</code>')
  t.ok(formula.html("\\frac12", true):find '^<math display="block">.*<mfrac>')
  t.equal(formula.html("\\mathbb{R}\\mathcal{L}\\mathbf{W}", false), "<math><mi>ℝ</mi><mi>ℒ</mi><mi>𝐖</mi></math>")
  t.ok(formula.html("\\text{损失 <&>}", false):find("损失 &lt;&amp;&gt;", 1, true))
end)

-- ---- the terminal

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

local function plain(text) return (text:gsub("\27%[[%d;]*m", "")) end

t.test("terminal: headings, lists, quotes, tables, code", function()
  need_md4c()
  t.equal(markdown.terminal "# A b\n\ntext", "A b\n═══\n\ntext\n")
  t.equal(markdown.terminal "9. a\n10. b", " 9. a\n10. b\n")
  t.equal(markdown.terminal("- aaaa bbbb cccc dddd eeee\n  - f", 20), "• aaaa bbbb cccc\n  dddd eeee\n  • f\n")
  t.equal(markdown.terminal "> a\n>\n> b", "│ a\n│\n│ b\n")
  t.equal(markdown.terminal "|a|b|\n|:---|---:|\n|中文|2|\n|x|10|", "a      b\n────  ──\n中文   2\nx     10\n")
  t.equal(markdown.terminal "- [x] a\n- [ ] b", "☑ a\n☐ b\n")
  t.equal(markdown.terminal "[a](http://b.org) http://c.org", "a (http://b.org) http://c.org\n")
  t.equal(markdown.terminal("**a** `b`", 80, true), "\27[1ma\27[0m \27[36mb\27[0m\n")
  t.equal(markdown.terminal "", "")
end)

t.test("terminal: Chinese breaks between characters, not before a stop or after a bracket", function()
  need_md4c()
  t.equal(lines_of(markdown.terminal("中文中文中文中文中文。（中文）", 20)), { "中文中文中文中文中", "文。（中文）" })
  t.equal(lines_of(markdown.terminal("中文中文中文中文中（中文）", 20)), { "中文中文中文中文中", "（中文）" })
end)

t.test("terminal: lines fit, no style crosses a line's end, colours change no letter", function()
  need_md4c()
  for width = 20, 100, 7 do
    local coloured = markdown.terminal(EVERYTHING, width, true)
    for _, line in ipairs(lines_of(coloured)) do
      local is_long_word = not plain(line):match "^[%s│•]*(.-)$":find " "
      t.ok(unicode.width(plain(line)) <= width or is_long_word or plain(line):find "^    ", line)
      local last = line:match "^.*\27%[([%d;]*)m"
      t.ok(last == nil or last == "0", line)
    end
    local without = markdown.terminal(EVERYTHING, width)
    t.ok(not without:find "\27")
    t.equal(plain(coloured):gsub("─+\n", ""), without:gsub("─+\n", "")) -- the line under a heading stands for its colour
  end
end)

-- ---- without md4c

t.test("without md4c a text stays legible", function()
  local script = t.write(t.tmpdir() .. "/plain.lua", [[
    package.preload["giemsa.md4c"] = function() error "no md4c" end
    local markdown = require "giemsa.markdown"
    io.write(markdown.html "# T <b>\n\nsome **text**\n- a\n", markdown.terminal "# T\n\nsome *text*\n- a")
  ]])
  local output, code = t.shell(t.quote(t.interpreter) .. " " .. script)
  if code == 127 or code == 126 then t.skip("the interpreter cannot be started from here") end
  t.equal(output, '<h1>T &lt;b&gt;</h1>\n<p class="plain">some **text**\n- a</p>\nT\n═\n\nsome *text*\n- a\n')
end)

-- ---- anything at all

-- Every tag closes what was opened last; nothing but our own tags is there.
local VOID = { br = true, hr = true, input = true }
local function check_form(text)
  local open = {}
  for slash, name in text:gmatch "<(/?)([%w]*)" do
    t.ok(name ~= "", "a bare <")
    if slash == "/" then t.equal(table.remove(open), name)
    elseif not VOID[name] then open[#open + 1] = name end
  end
  t.equal(#open, 0)
  t.ok(utf8.len(text))
end

t.test("random texts: no crash, tags in pairs, valid UTF-8", function()
  need_md4c()
  math.randomseed(7)
  local signs = { "*", "_", "`", "$", "~", "[", "]", "(", ")", "<", ">", "|", "-", "#", "\n", "\n\n", "&", "\\", " ", "  ", "\t", "!", "中",
    "\255", "\0", "&lt;", "1. ", "- [ ] ", "```", "    ", "http://a.b" }
  for _ = 1, tonumber(os.getenv "GIEMSA_FUZZ" or 300) do
    local pieces = {}
    for i = 1, math.random(1, 60) do
      if math.random() < 0.7 then
        pieces[i] = signs[math.random(#signs)]
      else
        local at = math.random(#EVERYTHING)
        pieces[i] = EVERYTHING:sub(at, at + math.random(30))
      end
    end
    local text = table.concat(pieces)
    check_form(markdown.html(text))
    local shown = markdown.terminal(text, math.random(1, 90), math.random() < 0.5)
    t.ok(shown == "" or shown:sub(-1) == "\n")
  end
  check_form(markdown.html((">"):rep(500) .. "a")) -- deeper than we follow: as it was typed
  check_form(markdown.html(("["):rep(2000)))
end)

t.done()
