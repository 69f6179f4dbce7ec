--- Rules of the linter that read the code itself: random numbers that do not repeat, paths that only one
-- machine has, and predictions whose order nobody knows.
local each_cell = require "giemsa.lint.tokens"

local rules = {}

-- The name that "NAME = math" or "NAME <const> = math" gives to the table at tokens[i]; nil where it is a part of something.
local function alias(tokens, i)
  local function text(k) return (tokens[k] or {}).text end
  if text(i - 1) ~= "=" or text(i + 1) == "." or text(i + 1) == "[" then return end
  return text(i - 2) == ">" and text(i - 5) or text(i - 2)
end

--- Lua's own random numbers, by whatever name.
function rules.random(book, _, tell)
  local names = { math = true }
  each_cell(book, function(tokens)
    for i, token in ipairs(tokens) do
      local before, after, field = tokens[i - 1], tokens[i + 1] or {}, tokens[i + 2] or {}
      local is_table = token.kind == "name" and names[token.text] and (before or {}).text ~= "."
      local new = is_table and alias(tokens, i)
      if new then names[new] = true end
      local is_field = after.text == "." and field.kind ~= "string" or after.text == "[" and field.kind == "string"
      if is_table and is_field and field.text:find "^[\"']?random" then
        tell(token.line, "math.random is seeded differently at each start: take giemsa.random")
      end
    end
  end)
end

local PATHS = { "^/home/", "^/root/", "^/Users/", "^/tmp/", "^/mnt/", "^/media/", "^/data/", "^/srv/",
  "^/var/", "^/opt/", "^~/", "^%a:[/\\]" }

--- A path from the root of one machine.
function rules.paths(book, _, tell)
  each_cell(book, function(tokens)
    for _, token in ipairs(tokens) do
      local text = token.kind == "string" and token.text:sub(2, -2) or ""
      for _, pattern in ipairs(PATHS) do
        if text:find(pattern) then
          tell(token.line, ("the path '%s' is of one machine; take one from the lesson's folder")
            :format(text:sub(1, 60)))
          break
        end
      end
    end
  end)
end

-- Of a call's brackets from tokens[i] on: true, false, or nil where it cannot be seen.
local function shuffles(tokens, i)
  local depth, has_table = 0, false
  repeat
    local text = tokens[i].text
    if text == "(" or text == "{" then depth = depth + 1 end
    if text == ")" or text == "}" then depth = depth - 1 end
    has_table = has_table or text == "{"
    if text == "shuffle" then return (tokens[i + 2] or {}).text == "true" end
    i = i + 1
  until depth == 0 or not tokens[i]
  return has_table or nil -- shuffled where nothing is said
end

-- "name = ...:flow_from_directory(": whether each such name shuffles.
local function note_source(tokens, i, sources)
  local at = i
  while at > 1 and tokens[at].line == tokens[i].line and tokens[at].text ~= "=" do at = at - 1 end
  local name = tokens[at].text == "=" and tokens[at - 1]
  if name and tokens[i + 1] then sources[name.text] = shuffles(tokens, i + 1) end
end

--- Predictions of a source that shuffles, which are no use beside its labels (Keras's old trap).
function rules.shuffled(book, _, tell)
  local sources = {}
  each_cell(book, function(tokens)
    for i, token in ipairs(tokens) do
      if token.text:find "^flow" and (tokens[i + 1] or {}).text == "(" then
        note_source(tokens, i, sources)
      end
      local source = token.text == "predict" and tokens[i + 2]
      if source and sources[source.text] then
        tell(source.line, ("'%s' shuffles, so its predictions come in an order nobody knows; make it "
          .. "with shuffle = false"):format(source.text))
      end
    end
  end)
end

return rules
