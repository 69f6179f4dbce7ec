--- Markdown as pages and terminals show it: any text gives HTML whose elements are closed in order and are those that
--- Markdown has, with no address that a page may not have, and lines for a terminal.
local bend = require "tests.fuzz.bend"
local markdown = require "giemsa.markdown"

local SEEDS = {
  "# Title\n\nSome *emphasis*, **strong** ~~gone~~ and `code`.\n\n- [ ] one\n- [x] two\n  1. a\n  2. b\n\n3. c\n",
  "| a | b |\n|:--|--:|\n| 1 | *2* |\n\n> quote\n> > deeper\n\n```lua\nprint(1)\n```\n\n---\n",
  "[link](http://a.b \"t\") ![pic *x*](x.png \"u\") <http://c.d> &amp; &alpha; &#945;\n\n$x^2$ $$y$$ it costs $5 and $10 <b>raw</b>\n",
  "\u{4e00}\u{4e01}\n\u{4e02} a\\\nb  \nc [r][s]\n\n[s]: javascript:alert(1)\n\n<script>x</script>\n\n    code\n",
}
local WORDS = { "*", "**", "_", "`", "```", "~~", "~~~", "$", "$$", "\n", "\n\n", "\r\n", "\r", "\t", "    ", "> ", "- ", "1. ", "123456789. ", "# ",
  "###### ", "---", "===", "|", "|:-:|", "[", "]", "(", ")", "](", "[a]: b\n", "<", ">", "<b>", "<!--", "javascript:x", "java\nscript:", "data:x",
  "HTTP://", "www.a.b", "a@b.c", "&", "&lt;", "&#0;", "&#x3c;", "&quot;", '"', "'", "\\", "\\\n", "  \n", "\0", "\xff", "\27[31m", "\u{4e00}",
  "\u{202e}", "\u{1F9A0}", "[x] ", "[ ] " }

local KNOWN = {}
for tag in ("p blockquote ul ol li h1 h2 h3 h4 h5 h6 pre code table thead tbody tr th td em strong del a span div"):gmatch "%w+" do
  KNOWN[tag] = "pair"
end
KNOWN.hr, KNOWN.br, KNOWN.input = "alone", "alone", "alone"

-- The attributes of an element: names and quoted values, and nothing else.
local function check_attributes(text)
  local rest = text:gsub('%s[%a-]+="[^"<>]*"', ""):gsub("%sdisabled", ""):gsub("%schecked", "")
  assert(rest == "", "attributes: " .. text)
  local href = text:match 'href="([^"]*)"'
  local scheme = href and href:gsub("&#?%w+;", ""):gsub("[%c%s]", ""):lower():match "^([^/?#]-):"
  assert(not scheme or scheme == "http" or scheme == "https" or scheme == "mailto", "address: " .. text)
end

local function check_html(page)
  local open = {}
  for piece in page:gmatch "<[^>]*>?" do
    local close, tag, attributes = piece:match "^<(/?)(%l%w*)(.*)>$"
    assert(tag and KNOWN[tag], "no element: " .. piece)
    check_attributes(attributes)
    if close == "/" then assert(table.remove(open) == tag, "closed out of order: " .. piece)
    elseif KNOWN[tag] == "pair" then open[#open + 1] = tag end
  end
  assert(#open == 0, "not closed")
end

local target = {}

function target.input() return bend.text(bend.one_of(SEEDS), WORDS, SEEDS) end

function target.try(text)
  local tree = markdown.parse(text)
  check_html(markdown.html(tree))
  local shown = markdown.terminal(tree, 40, false)
  assert(utf8.len(shown) and not shown:find "[\0-\8\11-\31\127]", "a terminal gets control characters")
  markdown.terminal(tree, 20, true)
end

return target
