--- What every page must be.
local t = require "tests.harness"

local judge = {}

local VOID = { meta = true, img = true, br = true, hr = true, input = true, link = true, col = true }

-- All tags of a page: name, attributes, whether it closes; text between them is looked at for stray signs.
local function each_tag(page, f)
  local at = 1
  while true do
    local start = page:find("<", at, true)
    local text = page:sub(at, (start or #page + 1) - 1)
    t.ok(not text:find ">" or page:sub(1, at):find "<style>[^<]*$", "a bare > in " .. text:sub(1, 80))
    if not start then return end
    local _, stop, slash, name, rest = page:find("^<(/?)([%w!][%w:]*)(.-)>", start)
    t.ok(stop, "a bare < at " .. page:sub(start, start + 40))
    local attributes = {}
    for key, value in rest:gmatch '([%w:-]+)="([^"]*)"' do
      t.ok(attributes[key] == nil, key .. " twice in " .. name)
      attributes[key] = value
    end
    f(name, attributes, slash == "/", rest:sub(-1) == "/")
    at = stop + 1
  end
end

--- Well formed: pairs of tags, ids once, links that lead somewhere, headings in order, no stray signs.
---@param page string
function judge.form(page)
  local open, ids, links, last, h1 = {}, {}, {}, 0, 0
  t.ok(utf8.len(page), "valid UTF-8")
  t.ok(not page:find "[%z\1-\8\11-\31]", "no control characters")
  each_tag(page, function(name, attributes, closes, is_empty)
    if closes then t.equal(table.remove(open), name)
    elseif not VOID[name] and not is_empty and name ~= "!DOCTYPE" then open[#open + 1] = name end
    if closes then return end
    if attributes.id then
      t.ok(not ids[attributes.id], "two ids " .. attributes.id)
      ids[attributes.id] = true
    end
    if attributes.href and attributes.href:sub(1, 1) == "#" then links[#links + 1] = attributes.href:sub(2) end
    if name == "img" then t.ok((attributes.alt or "") ~= "", "a picture without words") end
    local level = tonumber(name:match "^h(%d)$")
    if level then
      h1 = h1 + (level == 1 and 1 or 0)
      t.ok(level <= last + 1 or last == 0, ("h%d after h%d"):format(level, last))
      last = level
    end
  end)
  t.equal(#open, 0)
  for _, id in ipairs(links) do t.ok(ids[id], "nothing has the id " .. id) end
  t.ok(h1 >= 1, "a title")
end

--- Nothing is fetched: pictures are in the page, addresses elsewhere are only those of <a>.
---@param page string
function judge.quiet(page)
  local sheet = page:match "<style>(.-)</style>"
  t.ok(not sheet:find "url%(" and not sheet:find "@import" and not sheet:find "src:", "the style sheet")
  each_tag(page, function(name, attributes)
    t.ok(name ~= "script" and name ~= "link" and name ~= "iframe" and name ~= "object" and name ~= "base", "<" .. name .. ">")
    for key, value in pairs(attributes) do
      t.ok(not key:find "^on", key)
      if key == "src" or key == "href" and name == "image" then t.ok(value:find "^data:image/", value)
      elseif key == "href" and name ~= "a" then t.ok(value:find "^#", value)
      elseif key == "href" then t.ok(not value:find "^javascript", value)
      elseif key == "style" then t.ok(not value:gsub("url%(['\"]?#", ""):find "url%(", value) end
      if not (key == "href" and name == "a") and key ~= "alt" and key ~= "aria-label" then
        t.ok(not value:find "^%w+://", key .. "=" .. value)
      end
    end
  end)
end

local HTML5LIB = [[
import sys
try: import html5lib
except ImportError: sys.exit(77)
for path in sys.argv[1:]:
    parser = html5lib.HTMLParser(strict=False)
    parser.parse(open(path, "rb"))
    for place, code, values in parser.errors: print(path, place, code, values)]]

--- What html5lib, the standard's own way of reading, finds wrong with pages.
---@param paths string[]
---@return string? complaints "" for none; nil where html5lib or Python is not installed
function judge.complaints(paths)
  local words = { "/usr/bin/python3", t.quote(t.write(t.tmpdir() .. "/judge.py", HTML5LIB)) }
  for _, path in ipairs(paths) do words[#words + 1] = t.quote(path) end
  local output, code = t.shell(table.concat(words, " "))
  local is_missing = code == 77 or code == 127 -- it, or Python
  t.ok(code == 0 or is_missing, output)
  if code == 0 then return output end
end

return judge
