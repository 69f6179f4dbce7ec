--- A rule of the linter for variables that a later cell declares anew: functions of earlier cells keep the old one, so
--- that what looks like a new value is none for them.
local each_cell = require "giemsa.lint.tokens"
local syntax = require "giemsa.syntax"

local OPENS = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true }
local CLOSES = { ["end"] = true, ["until"] = true }

local function is_name(token) return token and (token.kind == "name" or token.kind == "call") end

-- The token at which the function that begins at tokens[i] ends.
local function function_end(tokens, i)
  local depth = 0
  for k = i, #tokens do
    if OPENS[tokens[k].text] then depth = depth + 1 end
    if CLOSES[tokens[k].text] then depth = depth - 1 end
    if depth == 0 then return k end
  end
  return #tokens
end

-- Adds the names that stand in a list "a, b, c" from tokens[i] on.
local function add_list(tokens, i, found)
  while is_name(tokens[i]) do
    found[tokens[i].text] = true
    i = i + 1
    while tokens[i] and tokens[i].text:find "^[<>]$" or is_name(tokens[i]) do i = i + 1 end -- <const>
    if not tokens[i] or tokens[i].text ~= "," then return end
    i = i + 1
  end
end

-- The names that a function makes itself: parameters, locals, variables of its loops. Those of inner blocks count, too:
-- better no hint than a wrong one.
local function own_names(tokens, first, last)
  local own = {}
  for i = first, last do
    local text = tokens[i].text
    if text == "local" or text == "for" then add_list(tokens, tokens[i + 1] and tokens[i + 1].text == "function" and i + 2 or i + 1, own) end
    if text == "function" then
      local at = i + 1
      while at < last and tokens[at].text ~= "(" do at = at + 1 end
      add_list(tokens, at + 1, own)
    end
  end
  return own
end

-- Whether tokens[i] is a variable, not a field.
local function is_variable(tokens, i)
  local before, after = tokens[i - 1], tokens[i + 1]
  if not is_name(tokens[i]) or before and (before.text == "." or before.text == ":" or before.text == "goto") then return false end
  return not (after and after.text == "=" and before and before.text:find "^[{,;]$")
end

-- The variables that functions of a cell take from outside, each with a line: kept[name].
local function note_captured(tokens, kept)
  local i = 1
  while i <= #tokens do
    if tokens[i].text == "function" then
      local last = function_end(tokens, i)
      local own = own_names(tokens, i, last)
      for k = i, last do
        local name = is_variable(tokens, k) and tokens[k].text
        if name and not own[name] then kept[name] = kept[name] or tokens[k].line end
      end
      i = last
    end
    i = i + 1
  end
end

--- A local of an earlier cell declared anew, where a function of an earlier cell keeps the old one.
local function shadows(book, _, tell)
  local declared, captured = {}, {}
  each_cell(book, function(tokens, cell)
    local here = syntax.scan(cell.body).locals
    for _, one in ipairs(here) do
      local line = cell.first + one.line - 1
      if declared[one.name] and captured[one.name] then
        tell(line, ("'%s' is declared anew: the function of line %d keeps that of line %d; without 'local' it sees this value"):format(one.name,
          captured[one.name], declared[one.name]))
      end
      if declared[one.name] then captured[one.name] = nil end
    end
    local kept = {}
    note_captured(tokens, kept)
    for _, one in ipairs(here) do declared[one.name] = cell.first + one.line - 1 end
    for name, line in pairs(kept) do
      if declared[name] then captured[name] = captured[name] or line end
    end
  end)
end

return shadows
