--- A tree of Markdown for a terminal: blocks become lists of lines, what is inside them is cut into
-- atoms (a word, or one Chinese character) and wrapped. No style crosses the end of a line.
local markdown = require "giemsa.markdown"
local unicode = require "giemsa.unicode"

local terminal = {}

-- Select Graphic Rendition, by element; the bright purple is the stain's.
local STYLES = { strong = "1", em = "3", del = "9", a = "4", code = "36", math = "36",
  h1 = "1;35", h2 = "1;35", h3 = "1", h4 = "1", h5 = "1", h6 = "1", th = "1", faint = "2" }

local function styled(text, style, o)
  if not o.colours or style == "" or text == "" then return text end
  return ("\27[%sm%s\27[0m"):format(style, text)
end

-- ---- inside a block: pieces { text, style }, then atoms, then lines

local collect

local function add(pieces, text, style) pieces[#pieces + 1] = { text = text, style = style } end

local function join(style, more)
  if not more then return style end
  return style == "" and more or style .. ";" .. more
end

local special = {
  br = function(_, pieces) add(pieces, "\n", "") end,
  img = function(node, pieces, style) add(pieces, "[" .. markdown.letters(node) .. "]", style) end,
  a = function(node, pieces, style)
    local letters = markdown.letters(node)
    collect(node, pieces, join(style, STYLES.a))
    local is_told = not node.href or node.href == letters or node.href:find "^#"
    if not is_told then add(pieces, " (" .. node.href .. ")", join(style, STYLES.faint)) end
  end,
}

function collect(node, pieces, style)
  for _, child in ipairs(node) do
    if type(child) == "string" then
      add(pieces, child:gsub("%s+", " "), style)
    elseif special[child.tag] then
      special[child.tag](child, pieces, style)
    else
      collect(child, pieces, join(style, STYLES[child.tag]))
    end
  end
  return pieces
end

-- Wide signs that must not begin a line, and those that must not end one.
local CLOSING, OPENING = {}, {}
for _, code in utf8.codes "，。、：；！？）」』》〉】" do CLOSING[code] = true end
for _, code in utf8.codes "（「『《〈【" do OPENING[code] = true end

-- "narrow", or what a wide character is; zero-width signs go with what they stand in.
local function class_of(code)
  if unicode.columns(code) < 2 then return "narrow" end
  return CLOSING[code] and "closing" or OPENING[code] and "opening" or "wide"
end

-- Whether a line may end between two characters with no space between them.
local function may_break(before, after)
  if before == "opening" or after == "closing" then return false end
  return before ~= "narrow" or after ~= "narrow"
end

-- Calls f(class, text) for the parts of a word: runs of narrow characters, and wide ones alone.
local function each_part(word, f)
  if not word:find "[\xe1-\xf4]" then return f("narrow", word) end
  local from = 1 -- of the narrow run
  for at, code in utf8.codes(word) do
    local class, sign = class_of(code), utf8.char(code)
    if class ~= "narrow" then
      if at > from then f("narrow", word:sub(from, at - 1)) end
      f(class, sign)
      from = at + #sign
    end
  end
  if from <= #word then f("narrow", word:sub(from)) end
end

-- An atom: parts { text, style } that stand together, their width, and whether a space is before
-- it.
local function atoms_of(pieces)
  local atoms, atom, last, space = {}, nil, nil, false
  local style
  local function put(class, text)
    if not atom or may_break(last, class) then
      atom = { width = 0, space = space }
      atoms[#atoms + 1], space = atom, false
    end
    atom[#atom + 1] = { text = text, style = style }
    atom.width, last = atom.width + unicode.width(text), class
  end
  for _, piece in ipairs(pieces) do
    style = piece.style
    if piece.text == "\n" then
      atoms[#atoms + 1], atom, space = { is_break = true }, nil, false
    else
      for blank, word in piece.text:gmatch "( *)([^ ]*)" do
        if blank ~= "" then atom, space = nil, true end
        if word ~= "" then each_part(word, put) end
      end
    end
  end
  return atoms
end

-- The line of atoms as text; neighbours of one style share an escape sequence.
local function line_text(atoms, o)
  local out, text, style = {}, "", ""
  local function flush() out[#out + 1], text = styled(text, style, o), "" end
  local function put(part, its_style)
    if its_style ~= style then flush() style = its_style end
    text = text .. part
  end
  for i, atom in ipairs(atoms) do
    if atom.space and i > 1 then put(" ", atom[1].style == style and style or "") end
    for _, part in ipairs(atom) do put(part.text, part.style) end
  end
  flush()
  return table.concat(out)
end

-- Lines of at most `width` columns (an atom that is longer stands alone), and the widest's width.
local function wrap(node, width, o, style)
  local lines, line, used, widest = {}, {}, 0, 0
  local function finish()
    lines[#lines + 1], widest = line_text(line, o), math.max(widest, used)
    line, used = {}, 0
  end
  for _, atom in ipairs(atoms_of(collect(node, {}, style or ""))) do
    if atom.is_break then
      finish()
    else
      local needed = atom.width + (atom.space and used > 0 and 1 or 0)
      if used > 0 and used + needed > width then
        finish()
        needed = atom.width
      end
      line[#line + 1], used = atom, used + needed
    end
  end
  if used > 0 or #lines == 0 then finish() end
  return lines, widest
end

-- ---- blocks: each gives its lines

local blocks

local function append(lines, more)
  for _, line in ipairs(more) do lines[#lines + 1] = line end
  return lines
end

local function prefixed(lines, first, rest)
  for i, line in ipairs(lines) do
    local prefix = i == 1 and first or rest
    lines[i] = line == "" and prefix:gsub("%s+$", "") or prefix .. line
  end
  return lines
end

local writers = {}

function writers.p(node, width, o)
  local only = #node == 1 and node[1]
  if only and only.tag == "math" and only.display then
    return prefixed(wrap(node, width - 4, o), "    ", "    ")
  end
  return (wrap(node, width, o))
end

local function heading(node, width, o)
  local lines, widest = wrap(node, width, o, STYLES[node.tag])
  local under = ({ h1 = "═", h2 = "─" })[node.tag]
  if under and (node.tag == "h1" or not o.colours) then
    lines[#lines + 1] = styled(under:rep(widest), STYLES.h1, o)
  end
  return lines
end
for level = 1, 6 do writers["h" .. level] = heading end

function writers.plain(node)
  local lines = {}
  for line in (table.concat(node) .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

function writers.hr(_, width, o) return { styled(("─"):rep(width), STYLES.faint, o) } end

function writers.blockquote(node, width, o)
  local bar = styled("│ ", STYLES.faint, o)
  return prefixed(blocks(node, width - 2, o), bar, bar)
end

function writers.pre(node, _, o)
  local source = table.concat(node):gsub("\n$", "")
  if o.colours and node.language == "lua" then
    source = require("giemsa.highlight").ansi(source)
  elseif o.colours then
    source = source:gsub("[^\n]+", "\27[36m%0\27[0m")
  end
  return prefixed(writers.plain { source }, "    ", "    ")
end

local function list(node, width, o, mark_of)
  local lines = {}
  for i, item in ipairs(node) do
    local mark = item.checked == nil and mark_of(i) or item.checked and "☑ " or "☐ "
    local indent = unicode.width(mark)
    local own = prefixed(blocks(item, width - indent, o, node.tight), mark, (" "):rep(indent))
    if i > 1 and not node.tight then lines[#lines + 1] = "" end
    append(lines, #own > 0 and own or { mark })
  end
  return lines
end

function writers.ul(node, width, o) return list(node, width, o, function() return "• " end) end

function writers.ol(node, width, o)
  local digits = #tostring(node.start + #node - 1)
  return list(node, width, o, function(i)
    return ("%" .. digits .. "d. "):format(node.start + i - 1)
  end)
end

-- ---- tables

local GAP = 2

-- Column widths that fit: the widest columns give first.
local function fit(widths, room)
  local sum = GAP * (#widths - 1)
  for _, w in ipairs(widths) do sum = sum + w end
  while sum > room do
    local widest = 1
    for i, w in ipairs(widths) do if w > widths[widest] then widest = i end end
    if widths[widest] <= 6 then break end
    widths[widest], sum = widths[widest] - 1, sum - 1
  end
  return widths
end

local function aligned(text, taken, width, align)
  local room = math.max(width - taken, 0)
  local left = align == "right" and room or align == "center" and room // 2 or 0
  return (" "):rep(left) .. text .. (" "):rep(room - left)
end

local PLAIN = { colours = false }

-- A row's cells wrapped side by side.
local function row_lines(row, widths, o)
  local columns, height = {}, 1
  for c, width in ipairs(widths) do
    local cell = row[c] or { tag = "td" }
    local style = cell.tag == "th" and STYLES.th or ""
    columns[c] = { wrap(cell, width, o, style), wrap(cell, width, PLAIN), cell.align }
    height = math.max(height, #columns[c][1])
  end
  local lines = {}
  for i = 1, height do
    local parts = {}
    for c, column in ipairs(columns) do
      local taken = unicode.width(column[2][i] or "")
      parts[c] = aligned(column[1][i] or "", taken, widths[c], column[3])
    end
    lines[i] = table.concat(parts, (" "):rep(GAP)):gsub(" +$", "")
  end
  return lines
end

function writers.table(node, width, o)
  local widths, lines = {}, {}
  for _, part in ipairs(node) do
    for _, row in ipairs(part) do
      for c, cell in ipairs(row) do
        local _, widest = wrap(cell, math.huge, PLAIN)
        widths[c] = math.max(widths[c] or 1, widest)
      end
    end
  end
  fit(widths, width)
  for _, part in ipairs(node) do
    for _, row in ipairs(part) do append(lines, row_lines(row, widths, o)) end
    if part.tag == "thead" then
      local rules = {}
      for c, w in ipairs(widths) do rules[c] = ("─"):rep(w) end
      lines[#lines + 1] = styled(table.concat(rules, (" "):rep(GAP)), STYLES.faint, o)
    end
  end
  return lines
end

-- ---- all of it

-- A tight list's item holds its text without a paragraph around it: runs of such children are one.
local function paragraphs(node)
  local out, run = {}, nil
  for _, child in ipairs(node) do
    if type(child) == "table" and writers[child.tag] then
      out[#out + 1], run = child, nil
    else
      if not run then
        run = { tag = "p" }
        out[#out + 1] = run
      end
      run[#run + 1] = child
    end
  end
  return out
end

function blocks(node, width, o, tight)
  local lines = {}
  for i, child in ipairs(paragraphs(node)) do
    if i > 1 and not tight then lines[#lines + 1] = "" end
    append(lines, writers[child.tag](child, math.max(width, 10), o))
  end
  return lines
end

--- See markdown.terminal.
---@param node giemsa.markdown.node
---@param width integer
---@param colours boolean?
---@return string
function terminal.write(node, width, colours)
  local lines = blocks(node, width, { colours = colours })
  return #lines == 0 and "" or table.concat(lines, "\n") .. "\n"
end

return terminal
