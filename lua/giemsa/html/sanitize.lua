--- HTML and SVG from outside (a lesson's own output, a plot) made fit for a page: only elements and
-- attributes that show something stay; no script, no style sheet, no address elsewhere, every
-- element closed. Ids get a prefix, so that many pictures can stand in one page.
local escape = require "giemsa.html.escape"
local unicode = require "giemsa.unicode"

local function set(words)
  local names = {}
  for word in words:gmatch "%S+" do names[word:lower()] = word end
  return names
end

local HTML = set [[
  a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure
  h2 h3 h4 h5 h6 hr i img ins kbd li mark meter ol p pre progress q s samp small span strong sub
  summary sup table tbody td tfoot th thead time tr u ul var
]]
local SVG = set [[
  svg circle clipPath defs ellipse feBlend feComposite feFlood feGaussianBlur feMerge
  feMergeNode feOffset filter g image line linearGradient marker mask path pattern polygon
  polyline radialGradient rect stop symbol text textPath tspan use
]]
local VOID = set "br col hr img"
-- Left out with all that is in them.
local DROPPED = set [[
  script style title desc metadata template iframe object noscript textarea select noembed
  noframes xmp
]]

local ATTRIBUTES = set [[
  align alt class colspan dir height id lang max min open rowspan scope span style title value
  width clip-path clip-rule clipPathUnits color cx cy d dominant-baseline dx dy fill
  fill-opacity fill-rule filter flood-color flood-opacity font-family font-size font-style
  font-weight fx fy gradientTransform gradientUnits image-rendering in in2 letter-spacing marker-end
  marker-mid marker-start markerHeight markerUnits markerWidth mask offset opacity operator orient
  patternTransform patternUnits points preserveAspectRatio r refX refY result role rx ry
  shape-rendering spreadMethod stdDeviation stop-color stop-opacity stroke stroke-dasharray
  stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity stroke-width
  text-anchor text-decoration textLength transform transform-origin vector-effect viewBox
  visibility word-spacing x x1 x2 xml:space y y1 y2 aria-hidden aria-label
]]

-- ---- attributes

local NAMED = { amp = "&", lt = "<", gt = ">", quot = '"', apos = "'" }

local function unescape(value)
  value = value:gsub("&(%w+);", NAMED)
  return (value:gsub("&#([xX]?)(%x+);?", function(hex, digits)
    local code = tonumber(digits, hex ~= "" and 16 or 10)
    return code and code < 0x110000 and utf8.char(code) or ""
  end))
end

-- Inside a style or a paint: no address but one within the page.
local LOUD = { "://", "[\\@]", "expression%(", "javascript:", "image%-set", "position:" }

local function is_quiet(value)
  local compact = value:lower():gsub("[%c%s]", "")
  for _, pattern in ipairs(LOUD) do
    if compact:find(pattern) then return false end
  end
  local _, addresses = compact:gsub("url%(", "")
  local _, own = compact:gsub("url%(['\"]?#", "")
  return addresses == own
end

local PICTURE = "^data:image/[pjgw]%w+;base64,[%w+/=%s]+$"

local function link_of(tag, value, prefix)
  if value:find "^#" then return "#" .. (tag == "a" and "" or prefix) .. value:sub(2) end
  if tag == "img" or tag == "image" then return value:find(PICTURE) and value end
  local scheme = value:gsub("[%c%s]", ""):match "^([^/?#]-):"
  local is_safe = not scheme or set("http https mailto")[scheme:lower()]
  return tag == "a" and is_safe and value
end

local WORDS = set "alt aria-label title value" -- are only read
local LINKS = { ["xlink:href"] = "href", href = "href", src = "src" }

-- ` name="value"`, or "" for what a page does not take. gnuplot gives every part of a plot in parts
-- the same ids: only the first one keeps its own.
local function attribute(tag, name, value, writer)
  local prefix = writer.prefix
  local lower = name:lower()
  value = unescape(value)
  if LINKS[lower] then
    if (lower == "src") ~= (tag == "img") then return "" end
    if tag == "image" then lower = "href" end
    local link = link_of(tag, value, prefix)
    return link and (' %s="%s"'):format(LINKS[lower], escape(link)) or ""
  end
  local known = ATTRIBUTES[lower]
  if not known or not (WORDS[lower] or is_quiet(value)) then return "" end
  if lower == "id" then
    if writer.ids[value] then return "" end
    writer.ids[value], value = true, prefix .. value
  end
  value = value:gsub("url%((['\"]?)#", "url(%1#" .. prefix)
  return (' %s="%s"'):format(known, escape(value))
end

local function attributes_of(tag, text, writer)
  local out, at, seen = {}, 1, {}
  while true do
    local first, last, name = text:find("([%w:_.-]+)", at)
    if not first then break end
    local _, after, quote = text:find("^%s*=%s*([\"']?)", last + 1)
    local value = ""
    if after then
      local stop = text:find(quote ~= "" and quote or "%s", after + 1) or #text + 1
      value, last = text:sub(after + 1, stop - 1), stop
    end
    if not seen[name:lower()] then
      seen[name:lower()] = true
      out[#out + 1] = attribute(tag, name, value, writer)
    end
    at = last + 1
  end
  return table.concat(out)
end

-- ---- elements

-- Text between tags: entities stay, other signs are escaped.
local function text_of(text)
  text = text:gsub("[<>]", { ["<"] = "&lt;", [">"] = "&gt;" })
  return (text:gsub("&(#?%w*;?)", function(entity)
    local is_entity = NAMED[entity:match "^(%w+);$" or ""] or entity:find "^#%d+;$"
      or entity:find "^#x%x+;$" or entity == "nbsp;"
    return is_entity and "&" .. entity or "&amp;" .. entity
  end))
end

-- The end of the tag that begins at `at`: ">" outside of quotes.
local function tag_end(source, at)
  local i = at
  while true do
    local stop = source:find("[>\"']", i)
    if not stop then return nil end
    local sign = source:sub(stop, stop)
    if sign == ">" then return stop end
    i = (source:find(sign, stop + 1, true) or #source) + 1
  end
end

-- What a "<" at `at` begins: kind ("open", "close", "nothing", "text"), its last byte, name, the
-- rest.
local function read_tag(source, at)
  if source:find("^<!%-%-", at) then
    local _, last = source:find("-->", at + 4, true)
    return "nothing", last or #source
  end
  if source:find("^<[!?]", at) then return "nothing", source:find(">", at, true) or #source end
  local _, last, slash, name = source:find("^<(/?)(%a[%w:-]*)", at)
  local stop = name and tag_end(source, last + 1)
  if not stop then return "text", at end
  return slash == "/" and "close" or "open", stop, name, source:sub(last + 1, stop - 1)
end

-- One fragment on its way through.
local Writer = {}
Writer.__index = Writer

function Writer:put(text) self.out[#self.out + 1] = text end

-- Line breaks between the elements of a picture show nothing.
function Writer:text(text)
  if self.pictures > 0 and text:find "^%s*$" then return end
  self:put(text_of(text))
end

function Writer:open_tag(name, rest)
  local lower = name:lower()
  local tag = HTML[lower] or (lower == "svg" or self.pictures > 0) and SVG[lower]
  if not tag then return end
  local is_empty = rest:find "/%s*$" or VOID[lower]
  local attributes = attributes_of(tag, (rest:gsub("/%s*$", "")), self)
  local is_picture = tag == "img" or tag == "image"
  if is_picture and not attributes:find "src=" and not attributes:find "href=" then return end
  if is_empty and self.pictures > 0 then return self:put(("<%s%s/>"):format(tag, attributes)) end
  self:put(("<%s%s>"):format(tag, attributes))
  if is_empty then return self:put(VOID[lower] and "" or "</" .. tag .. ">") end
  self.open[#self.open + 1] = tag
  if tag == "svg" then self.pictures = self.pictures + 1 end
end

-- Closes all from that one on; what was not open is not closed.
function Writer:close_tag(name)
  for i = #self.open, 1, -1 do
    if self.open[i]:lower() == name:lower() then return self:close_from(i) end
  end
end

function Writer:close_from(first)
  for i = #self.open, first, -1 do
    if self.open[i] == "svg" then self.pictures = self.pictures - 1 end
    self:put("</" .. self.open[i] .. ">")
    self.open[i] = nil
  end
end

--- A fragment as a page may hold it.
---@param source string HTML or SVG
---@param prefix string before every id, such as "c7-2-"
---@return string
local function sanitize(source, prefix)
  source = unicode.clean(source)
  local lower, at = source:lower(), 1
  local writer = setmetatable({ out = {}, open = {}, pictures = 0, prefix = prefix, ids = {} },
    Writer)
  while at <= #source do
    local start = source:find("<", at, true)
    writer:text(source:sub(at, (start or #source + 1) - 1))
    if not start then break end
    local kind, last, name, rest = read_tag(source, start)
    if kind == "text" then writer:put "&lt;" end
    if kind == "close" then writer:close_tag(name) end
    if kind == "open" and not DROPPED[name:lower()] then
      writer:open_tag(name, rest)
    elseif kind == "open" and not rest:find "/%s*$" then -- left out with all that is in it
      local _, stop = lower:find("</" .. name:lower():gsub("%p", "%%%0") .. "%s*>", last + 1)
      last = stop or #source
    end
    at = last + 1
  end
  writer:close_from(1)
  return table.concat(writer.out)
end

return sanitize
