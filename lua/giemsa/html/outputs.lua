--- What a cell printed, showed and raised, as HTML.
local base64 = require "giemsa.base64"
local escape = require "giemsa.html.escape"
local runlog = require "giemsa.runlog"
local sanitize = require "giemsa.html.sanitize"

local outputs = {}

---@class giemsa.html.Context
---@field label string what the cell is called, for the pictures' alternative texts
---@field prefix string of ids
---@field page giemsa.html.Page

local MOST = 100 -- outputs of a cell that are shown: the first ones and the last ones

-- ---- text

local function last_state(line)
  line = line:gsub("\r+$", "")
  return line:match "^.*\r(.*)$" or line
end

-- What a terminal would show: no escape sequences, and of a line that "\r" wrote over its last
-- state.
local function as_shown(text)
  text = text:gsub("\27%][^\7\27]*\7?", ""):gsub("\27%[[\x30-\x3f]*[\x20-\x2f]*[\x40-\x7e]?", "")
  if text:find("\r", 1, true) then text = text:gsub("[^\n]+", last_state) end
  return text
end

local FIRST_LINES, LAST_LINES = 60, 30

-- Many lines: the first and the last ones, and how many are missing. (Many bytes: see
-- runlog.shown.)
local function fewer_lines(text, path)
  local starts, at = { 1 }, 1
  repeat
    at = text:find("\n", at, true)
    if at then
      at = at + 1
      starts[#starts + 1] = at
    end
  until not at
  local left_out = #starts - FIRST_LINES - LAST_LINES
  if left_out <= 10 then return text end
  return ("%s[... %d of %d lines are not shown; all are in %s]\n%s"):format(
    text:sub(1, starts[FIRST_LINES + 1] - 1), left_out, #starts, path,
    text:sub(starts[#starts - LAST_LINES + 1]))
end

local FITTING = 105 -- columns that the page has room for; up to FITS in smaller letters
local FITS = 145

-- Whether a text is a table (or, line by line, becomes one) that is too wide for the page, but in
-- smaller letters is not.
local function is_wide(text, class)
  local wide = class == "line" and 2 or 0
  for line in text:gmatch "[^\n]+" do
    local columns = utf8.len(line) or #line
    if columns > FITS then return false end
    if columns > FITTING then wide = wide + 1 end
  end
  return wide >= 3
end

-- ' class="stderr small"', "" for none.
local function class_of(text, class)
  local classes = { class }
  if is_wide(text, class) then classes[#classes + 1] = "small" end
  return #classes > 0 and (' class="%s"'):format(table.concat(classes, " ")) or ""
end

local function preformatted(text, class, context)
  text = as_shown(text):gsub("\n$", "")
  text = runlog.shown(fewer_lines(text, context.page.run.path), context.page.run.path)
  if text == "" then return "" end
  local classes = class_of(text, class)
  text = escape(text):gsub("\n(%[%.%.%. [^\n]- not shown; [^\n]*%])\n",
    '\n<span class="cut">%1</span>\n')
  return ("<pre%s>%s</pre>\n"):format(classes, text)
end

-- ---- pictures

local function alternative(data, context)
  local text = data["text/plain"]
  if type(text) ~= "string" or text:find "^%[image" or text == "" then
    return context.page:word("picture made by %s", context.label)
  end
  return text
end

local function bytes_of(picture, context)
  return type(picture) == "table" and type(picture.file) == "string"
    and context.page.run:bytes(picture)
end

local function missing(picture, context)
  local name = type(picture) == "table" and tostring(picture.file) or "?"
  return ('<p class="missing">[%s]</p>\n'):format(
    context.page:say("the picture %s is not with the log of the run", escape(name)))
end

local BROAD = 560 -- pixels; a phone shows broader pictures larger than itself, to be moved sideways

-- "<figure>" with what it needs for a picture of this width.
local function figure(attributes, class, width)
  local classes = { class }
  if width and width > BROAD then classes[#classes + 1] = "broad" end
  if #classes > 0 then
    attributes = ('%s class="%s"'):format(attributes, table.concat(classes, " "))
  end
  return "<figure" .. attributes .. ">"
end

local function png(data, context)
  local picture = data["image/png"]
  local source = context.page.picture_source and context.page:picture_source(picture)
  local bytes = not source and bytes_of(picture, context)
  if not (source or bytes) then return missing(picture, context) end
  local size = math.type(picture.width) and math.type(picture.height)
    and (' width="%d" height="%d"'):format(picture.width, picture.height) or ""
  return ('%s<img alt="%s"%s src="%s"></figure>\n'):format(
    figure("", nil, math.tointeger(picture.width)), escape(alternative(data, context)), size,
    source and escape(source) or "data:image/png;base64," .. base64.encode(bytes))
end

local function svg(data, context)
  local bytes = bytes_of(data["image/svg+xml"], context)
  if not bytes then return missing(data["image/svg+xml"], context) end
  local shown = sanitize(bytes, context.prefix)
  local is_plot = not shown:find "<image" -- lines and letters, which a dark page may turn light
  local label = (' role="img" aria-label="%s"'):format(escape(alternative(data, context)))
  local width = tonumber((shown:match '^%s*<svg[^>]- width="([%d.]+)"'))
  return ("%s%s</figure>\n"):format(figure(label, is_plot and "plot" or nil, width), shown)
end

-- ---- all kinds

-- The richest form of a thing.
local function thing(output, context)
  local data = output.data or {}
  if data["text/html"] then
    return ('<div class="rich wide">%s</div>\n'):format(sanitize(data["text/html"], context.prefix))
  end
  if data["image/svg+xml"] then return svg(data, context) end
  if data["image/png"] then return png(data, context) end
  local text = tostring(data["text/plain"] or "")
  return preformatted(text, not text:find("\n.") and "line" or nil, context)
end

local kinds = { display = thing, result = thing }

function kinds.stream(output, context)
  return preformatted(output.text or "", output.name == "stderr" and "stderr" or nil, context)
end

function kinds.error(output, context)
  local message = tostring(output.message)
  local place, what = message:match "^([^\n]-:%d+): (.*)$"
  local lines = table.concat(output.traceback or {}, "\n")
  local trace = lines ~= "" and ("<details><summary>%s</summary><pre>%s</pre></details>"):format(
    context.page:say "Traceback", escape(lines)) or ""
  return ('<div class="error"><p><strong>%s</strong>%s</p><pre>%s</pre>%s</div>\n'):format(
    context.page:say "Error", place and (" <code>%s</code>"):format(escape(place)) or "",
    escape(what or message), trace)
end

--- The outputs of a cell; "" when there are none.
---@param list giemsa.RunOutput[]
---@param context giemsa.html.Context
---@return string
function outputs.html(list, context)
  local out, prefix = {}, context.prefix
  for i, output in ipairs(list) do
    local is_cut = #list > MOST and i > MOST - 20 and i <= #list - 20
    if not is_cut then
      context.prefix = ("%s%d-"):format(prefix, i)
      out[#out + 1] = kinds[output.kind](output, context)
    elseif i == MOST - 19 then
      out[#out + 1] = ('<p class="cut">[... %d outputs are not shown; all are in %s]</p>\n'):format(
        #list - MOST, escape(context.page.run.path))
    end
  end
  context.prefix = prefix
  return table.concat(out)
end

return outputs
