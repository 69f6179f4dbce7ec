--- A tree of Markdown as HTML. Everything in it is escaped; addresses are only those a page may
-- have.
local escape = require "giemsa.html.escape"
local markdown = require "giemsa.markdown"

local html = {}

local write

local function inside(node, o)
  local out = {}
  for i, child in ipairs(node) do
    out[i] = type(child) == "string" and escape(child) or write(child, o)
  end
  return table.concat(out)
end

local function element(node, o, attributes)
  return ("<%s%s>%s</%s>"):format(node.tag, attributes or "", inside(node, o), node.tag)
end

local function block(node, o, attributes) return element(node, o, attributes) .. "\n" end

local function lines_inside(node, o)
  return ("<%s>\n%s</%s>\n"):format(node.tag, inside(node, o), node.tag)
end

local function heading(node, o)
  local level = tonumber(node.tag:sub(2))
  if o.heading then return o.heading(level, inside(node, o), markdown.letters(node)) .. "\n" end
  return block(node, o)
end

local function cell(node, o)
  return element(node, o, node.align and (' class="%s"'):format(node.align))
end

-- "http:", "https:", "mailto:" or no scheme at all; a browser skips spaces and control characters.
local function is_allowed(href)
  local scheme = href:gsub("[%c%s]", ""):match "^([^/?#]-):"
  return not scheme or ({ http = true, https = true, mailto = true })[scheme:lower()] == true
end

local function title_of(node)
  return node.title and (' title="%s"'):format(escape(node.title)) or ""
end

local writers = {
  document = inside,
  p = block, blockquote = lines_inside, thead = lines_inside, tbody = lines_inside, tr = block,
  th = cell, td = cell, em = element, strong = element, del = element, code = element,
  h1 = heading, h2 = heading, h3 = heading, h4 = heading, h5 = heading, h6 = heading,
  ul = lines_inside,
  hr = function() return "<hr>\n" end,
  br = function() return "<br>\n" end,
  table = function(node, o) return '<div class="wide">' .. lines_inside(node, o) .. "</div>\n" end,
  plain = function(node, o) return ('<p class="plain">%s</p>\n'):format(inside(node, o)) end,
}

function writers.ol(node, o)
  local start = node.start ~= 1 and (' start="%d"'):format(node.start) or ""
  return ("<ol%s>\n%s</ol>\n"):format(start, inside(node, o))
end

function writers.li(node, o)
  if node.checked == nil then return block(node, o) end
  return ('<li class="task"><input type="checkbox" disabled aria-label="%s"%s> %s</li>\n'):format(
    node.checked and "done" or "to do", node.checked and " checked" or "", inside(node, o))
end

function writers.pre(node, o)
  local source = table.concat(node)
  local code = o.code and o.code(source, node.language) or escape(source)
  return ("<pre><code>%s</code></pre>\n"):format(code)
end

function writers.math(node, o)
  local tex = table.concat(node)
  return o.math and o.math(tex, node.display or false)
    or ('<code class="tex">%s</code>'):format(escape(tex))
end

function writers.a(node, o)
  local href = node.href or ""
  if is_allowed(href) and o.link then href = o.link(href) end
  if not href or not is_allowed(href) then return inside(node, o) end
  return ('<a href="%s"%s>%s</a>'):format(escape(href), title_of(node), inside(node, o))
end

function writers.img(node, o)
  local alt = markdown.letters(node)
  return o.image and o.image(node.src or "", alt, node.title)
    or ('<span class="missing">[%s]</span>'):format(escape(alt ~= "" and alt or node.src or ""))
end

function write(node, o) return writers[node.tag](node, o) end

--- See markdown.html.
---@param node giemsa.markdown.node
---@param o table
---@return string
function html.write(node, o) return write(node, o) end

return html
