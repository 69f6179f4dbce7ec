--- The text cells of a page: Markdown with the page's headings (in order, each with an anchor), its
-- formulas and its pictures, and the list of contents that comes of it.
local base64 = require "giemsa.base64"
local coloured = require "giemsa.html.code"
local escape = require "giemsa.html.escape"
local formula = require "giemsa.formula"
local markdown = require "giemsa.markdown"
local unicode = require "giemsa.unicode"

---@class giemsa.html.Prose
---@field titles {html: string, letters: string, lang: string?}[] of the page, one a language
---@field contents {id: string, letters: string, level: integer, lang: string?}[]
local Prose = {}
Prose.__index = Prose

--- An address within the page made of some words; taken ones get a number.
---@param words string
---@return string
function Prose:id(words)
  local base = unicode.clean(words):lower():gsub("[%z\1-\x2f:-`{-\x7f]+", "-")
  base = base:gsub("^%-+", ""):gsub("%-+$", "")
  if base == "" then base = "part" end
  local id, n = base, 1
  while self.taken[id] do
    n = n + 1
    id = base .. "-" .. n
  end
  self.taken[id] = true
  return id
end

-- The first heading of level 1 is the page's title; another one is a chapter. No level is left out.
function Prose:heading(level, html, letters, lang)
  if level == 1 and not self.has_title[lang or ""] then
    self.has_title[lang or ""] = true
    self.titles[#self.titles + 1] = { html = html, letters = letters, lang = lang }
    return ""
  end
  level = math.min(math.max(level, 2), self.level + 1)
  self.level = level
  local id = self:id(letters)
  self.contents[#self.contents + 1] = { id = id, letters = letters, level = level, lang = lang }
  return ('<h%d id="%s">%s<a class="anchor" href="#%s" aria-label="%s">#</a></h%d>'):format(
    level, escape(id), html, escape(id), escape(self.word "link to this heading"), level)
end

local TYPES = { ["\x89PNG\r\n\x1a\n"] = "png", ["\xff\xd8\xff"] = "jpeg", ["GIF8"] = "gif" }

-- A picture beside the lesson goes into the page; one elsewhere is named by its alternative text.
function Prose:image(src, alt, title)
  if src:find "^%a[%w+.-]*:" or src:find "^[/\\]" then return nil end
  local file <close> = io.open((self.folder or ".") .. "/" .. src, "rb")
  local bytes = file and file:read("a") or ""
  for magic, kind in pairs(TYPES) do
    if bytes:sub(1, #magic) == magic then
      return ('<img alt="%s"%s src="data:image/%s;base64,%s">'):format(escape(alt),
        title and (' title="%s"'):format(escape(title)) or "", kind, base64.encode(bytes))
    end
  end
end

--- Sets the formulas of all texts at once.
---@param trees giemsa.markdown.node[]
function Prose:prepare(trees)
  local formulas = {}
  for _, tree in ipairs(trees) do
    markdown.walk(tree, function(node)
      if node.tag == "math" then
        formulas[#formulas + 1] = { tex = table.concat(node), display = node.display or false }
      end
    end)
  end
  formula.prepare(formulas)
end

-- Whether a code block is Lua, the language of the lessons.
local function is_lua(language) return language == "lua" end

--- HTML of a text cell.
---@param tree giemsa.markdown.node
---@param lang string?
---@return string
function Prose:html(tree, lang)
  return markdown.html(tree, {
    math = formula.html,
    code = function(source, language)
      return is_lua(language) and coloured(source) or escape(source)
    end,
    heading = function(level, html, letters) return self:heading(level, html, letters, lang) end,
    image = function(src, alt, title) return self:image(src, alt, title) end,
    link = self.link,
  })
end

local prose = {}

--- What a page's texts share.
---@param o {folder: string?, link: function?, word: function} folder: the lesson's; link: see
--- markdown.html
---@return giemsa.html.Prose
function prose.new(o)
  return setmetatable({ folder = o.folder, link = o.link, word = o.word, taken = {}, titles = {},
    has_title = {}, contents = {}, level = 1 }, Prose)
end

return prose
