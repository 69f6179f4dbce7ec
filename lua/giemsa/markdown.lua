--- Markdown as pages and terminals show it: CommonMark with tables, ~~strikethrough~~, task lists
-- and formulas ($x$, $$x$$), read by md4c. Where md4c is missing a text is shown as it was typed.
--
-- Raw HTML is off: <b> in a text is three letters and no tag. A page then never holds what it did
-- not make, a terminal never shows tags, and "loss<0.1" or `table<string>` come out as they were
-- written. Who needs more than Markdown shows it from code: display{ html = ... }.
local options = require "giemsa.options"
local unicode = require "giemsa.unicode"
local has_md4c, md4c = pcall(require, "giemsa.md4c")

local markdown = {}

---@class giemsa.markdown.node
---@field tag string the HTML element; see core/md4c.c

-- ---- without md4c

-- Blocks are what blank lines part; a line with # in front is a heading, the rest keeps its lines.
local function parse_plainly(text)
  local document = { tag = "document" }
  for block in (text:gsub("\r\n?", "\n") .. "\n\n"):gmatch "(.-)\n%s*\n" do
    local marks, title, rest = block:match "^(#+) +([^\n]*)\n*(.*)$"
    if marks and #marks <= 6 then
      table.insert(document, { tag = "h" .. #marks, title })
      block = rest
    end
    if block:find "%S" then table.insert(document, { tag = "plain", (block:gsub("^\n+", "")) }) end
  end
  return document
end

-- ---- with it

-- md4c takes "$5 and $10" for a formula. As in Pandoc, a formula does not begin or end with a
-- space, and no digit follows it.
local function is_money(node, following)
  local tex = table.concat(node)
  return not node.display
    and (tex:find "^%s" or tex:find "%s$" or type(following) == "string" and following:find "^%d")
end

-- A line break between two Chinese characters is no space.
local function is_between_wide(node, i)
  local before, after = node[i - 1], node[i + 1]
  if type(before) ~= "string" or type(after) ~= "string" or before == "" or after == "" then
    return false
  end
  return unicode.columns(utf8.codepoint(before, utf8.offset(before, -1))) == 2
    and unicode.columns(utf8.codepoint(after)) == 2
end

-- "95 %" and "64 x 64" stay in one line.
local function join(text)
  return (text:gsub("(%d) %%", "%1\u{a0}%%"):gsub("(%d) x %f[%d]", "%1\u{a0}x\u{a0}"))
end

local AS_TYPED = { pre = true, code = true, math = true }

local function polish(node)
  if AS_TYPED[node.tag] then return node end
  for i, child in ipairs(node) do
    if type(child) == "string" then
      node[i] = child == "\n" and is_between_wide(node, i) and "" or join(child)
    elseif child.tag == "math" and is_money(child, node[i + 1]) then
      node[i] = "$" .. table.concat(child) .. "$"
    else
      polish(child)
    end
  end
  return node
end

--- The text as a tree; see core/md4c.c. Without md4c blocks are nodes with the tag "plain".
---@param text string
---@return giemsa.markdown.node
function markdown.parse(text)
  text = unicode.clean(text)
  local document = has_md4c and md4c.parse(text)
  return document and polish(document) or parse_plainly(text)
end

--- The letters of a node alone, line breaks as spaces.
---@param node giemsa.markdown.node|string
---@return string
function markdown.letters(node)
  if type(node) == "string" then return (node:gsub("\n", " ")) end
  local out = {}
  for i, child in ipairs(node) do out[i] = markdown.letters(child) end
  return table.concat(out)
end

--- Calls f with every node of a tree, parents first.
---@param node giemsa.markdown.node
---@param f fun(node: giemsa.markdown.node)
function markdown.walk(node, f)
  f(node)
  for _, child in ipairs(node) do
    if type(child) == "table" then markdown.walk(child, f) end
  end
end

-- ---- the writers

local HTML_OPTIONS = { math = "callable", code = "callable", heading = "callable",
  image = "callable", link = "callable" }

--- HTML of a text or a tree. What a page wants to do in its own way it does by callbacks that
--- return HTML; each may be absent:
---   math(tex, is_display)       TeX in <code> when absent
---   code(source, language?)     the inside of <pre><code>: escaped when absent
---   heading(level, html, letters)
---   image(src, alt, title?)     the alternative text when absent: a page is one file
---   link(href)                  the address, or nil for none; only http, https, mailto, # and
---                               relative addresses get here
---@param text string|giemsa.markdown.node
---@param opts? table
---@return string
function markdown.html(text, opts)
  opts = options.check("markdown.html", opts, HTML_OPTIONS)
  local node = type(text) == "string" and markdown.parse(text) or text
  return require("giemsa.markdown.html").write(node, opts)
end

--- The text for a terminal, wrapped; it ends with a line break unless it is empty.
---@param text string|giemsa.markdown.node
---@param width? integer columns, at least 20; 80 when absent
---@param colours? boolean escape sequences for bold, colours and so on; none when absent
---@return string
function markdown.terminal(text, width, colours)
  local node = type(text) == "string" and markdown.parse(text) or text
  return require("giemsa.markdown.terminal").write(node, math.max(width or 80, 20), colours)
end

return markdown
