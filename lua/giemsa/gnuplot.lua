--- gnuplot as a drawing engine: a script goes to its stdin, a picture comes back on its stdout. No
-- shell, no files. The same script gives the same bytes: fixed fonts, no dates, and the user's own
-- gnuplot settings are not read (-d).
local core = require "giemsa.core"

local gnuplot = {}

local FONT, FONT_SIZE = "DejaVu Sans", 11
-- Fonts with Chinese glyphs that go well with DejaVu, the best first.
local CHINESE = { "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN",
  "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback" }
-- What an SVG asks the reader's machine for.
local FALLBACKS = "DejaVu Sans, Verdana, Noto Sans CJK SC, WenQuanYi Micro Hei, sans-serif"
local MISSING = "plot: gnuplot is not installed; install it with: sudo apt install gnuplot-nox"

-- ---- text

--- A text as gnuplot's string expression. Single quotes: nothing in them is expanded, above all no
--- `commands`.
---@param text string
---@return string
function gnuplot.quote(text)
  local lines = {}
  for line in (tostring(text):gsub("\r", "") .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = "'" .. line:gsub("'", "''"):gsub("%z", "") .. "'"
  end
  return table.concat(lines, '."\\n".')
end

--- A number as gnuplot reads it; what is not finite leaves a gap.
---@param x number
---@return string
function gnuplot.number(x)
  if x ~= x or x == math.huge or x == -math.huge then return "NaN" end
  return ("%.9g"):format(x)
end

-- ---- fonts

-- The East Asian characters in a text, each once, as hexadecimal code points (at most 40).
local function east_asian(text)
  local seen, out = {}, {}
  for char in text:gmatch("[\xe2-\xf4][\x80-\xbf][\x80-\xbf]+") do
    local point = utf8.len(char) and utf8.codepoint(char) or 0
    if point >= 0x2e80 and not seen[point] and #out < 40 then
      seen[point], out[#out + 1] = true, ("%x"):format(point)
    end
  end
  return out
end

local fonts_by_characters = {}

-- The installed font families with all these characters, by name.
local function families_with(characters)
  local key = table.concat(characters, " ")
  if not fonts_by_characters[key] then
    local families = {}
    local code, list = core.run_program({ "fc-list", ":charset=" .. key, "family" }, "", 20)
    for name in (code == 0 and list or ""):gmatch("[^,\n]+") do families[name] = true end
    fonts_by_characters[key] = families
  end
  return fonts_by_characters[key]
end

local warned = false

local function warn_of_missing_glyphs(characters)
  if warned then return end
  warned = true
  io.stderr:write(("plot: no font here has %s; install one with: sudo apt install fonts-noto-cjk\n")
    :format(utf8.char(tonumber(characters[1], 16))))
end

local SAMPLE = "训练损失" -- a font that has these has all that we write

--- Whether pictures can be written in Chinese here; where they cannot, says once what to install.
---@return boolean
function gnuplot.writes_chinese()
  local characters = east_asian(SAMPLE)
  if next(families_with(characters)) then return true end
  warn_of_missing_glyphs(characters)
  return false
end

-- The font a text needs: ours, or one with the characters that ours does not have.
local function font_for(text)
  local characters = east_asian(text)
  if #characters == 0 then return FONT end
  local families = families_with(characters)
  for _, name in ipairs(CHINESE) do if families[name] then return name end end
  local others = {}
  for name in pairs(families) do others[#others + 1] = name end
  table.sort(others)
  if not others[1] then warn_of_missing_glyphs(characters) end
  return others[1] or FONT
end

-- ---- rendering

-- A name for the ids of an SVG, so that pages may hold many.
local function short_hash(text)
  local hash = 2166136261 -- FNV-1a, 32 bits
  for i = 1, #text do hash = (hash ~ text:byte(i)) * 16777619 & 0xffffffff end
  return ("g%08x"):format(hash)
end

local PLAIN = "noenhanced background '#ffffff'"

local terminals = {
  png = function(o)
    return ("pngcairo size %d,%d font '%s,%g' fontscale %g linewidth %g pointscale %g " .. PLAIN)
      :format(o.width * o.scale, o.height * o.scale, o.font, FONT_SIZE, o.scale, o.scale, o.scale)
  end,
  svg = function(o)
    return ("svg size %d,%d font '%s,%g' fontscale 1.25 name '%s' " .. PLAIN)
      :format(o.width, o.height, o.font, FONT_SIZE, o.name)
  end,
  text = function(o) return ("dumb size %d,%d ansirgb noenhanced"):format(o.width, o.height) end,
  pdf = function(o)
    return ("pdfcairo size %.4f,%.4f font '%s,%g' fontscale 0.78 linewidth 1.5 " .. PLAIN)
      :format(o.width / 96, o.height / 96, o.font, FONT_SIZE)
  end,
}

-- What depends on the day or on the reader's fonts.
local polish = {
  png = function(bytes) return bytes end,
  svg = function(bytes, font)
    local list = (font == FONT and "" or font .. ", ") .. FALLBACKS
    bytes = bytes:gsub("<image ", "<image image-rendering='pixelated' ") -- a heat map has edges
    return (bytes:gsub('font%-family="' .. font:gsub("%p", "%%%0") .. '"',
      ('font-family="%s"'):format(list)))
  end,
  text = function(bytes)
    local lines = {}
    for line in bytes:gsub("\f", ""):gmatch("[^\n]+") do
      line = line:gsub("^\27%[0;39m", ""):gsub("%s+$", ""):gsub("\27%[0;39;49m", "")
      if line ~= "" then lines[#lines + 1] = line .. "\27[0m\n" end
    end
    return table.concat(lines)
  end,
  -- From cairo 1.18 on the date is packed away, out of our reach.
  pdf = function(bytes) return (bytes:gsub("(/CreationDate %(D:)%d+", "%120000101000000")) end,
}

-- gnuplot writes the line it did not understand, a caret, and the reason after "line N:"; before that perhaps warnings.
local function complaint(errors)
  local why = errors:match("([^\n]+)%s*$") or "it said nothing"
  for reason in errors:gmatch("line %d+: ([^\n]+)") do
    if not reason:find("^warning") then why = reason break end
  end
  return "plot: gnuplot failed: " .. why
end

--- Draws a script.
---@param parts (string|{binary: string})[] the script; binary parts are data for '-'
---@param o {format: "png"|"svg"|"pdf"|"text", width: integer, height: integer, scale: number?}
--- size in pixels (text: columns and rows); scale: finer PNG
---@return string? bytes, string? message nil and why when gnuplot is missing or fails
function gnuplot.render(parts, o)
  local text, script = {}, {}
  for i, part in ipairs(parts) do
    script[i] = type(part) == "table" and part.binary or part
    if type(part) == "string" then text[#text + 1] = part end
  end
  local all_text, body = table.concat(text), table.concat(script)
  local font = font_for(all_text)
  local terminal = terminals[o.format] { width = o.width, height = o.height, scale = o.scale or 1,
    font = font, name = short_hash(body) }
  local code, bytes, errors = core.run_program({ "gnuplot", "-d" },
    ("set encoding utf8\nset terminal %s\n%s\n"):format(terminal, body), 120)
  if not code then
    return nil, bytes:find("no such program", 1, true) and MISSING or "plot: " .. bytes
  end
  if code ~= 0 or #bytes == 0 then return nil, complaint(errors) end
  return polish[o.format](bytes, font)
end

return gnuplot
