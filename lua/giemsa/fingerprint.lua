--- What a run was made of and came to, as three short words that two people can compare: the data
-- it read, its code, and the weights of its models. Four hex digits of SHA-256 each.
--
--   data     the files of all generators (and data a model was trained on), by content
--   code     the text of the code cells, and giemsa's version
--   weights  all numbers of all models
--
-- Only what the lesson still names at its end counts; a word is nil where there is nothing.
local core = require "giemsa.core"
local say = require "giemsa.words"
local version = require "giemsa.version"

local fingerprint = {}

local SHORT = 4

local function short(hash) return hash:hex():sub(1, SHORT) end

-- The values of the lesson's locals and of the globals, by name, each object once.
local function named_values(session)
  local names, values, seen = session:names(), {}, {}
  for name in pairs(_G) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = session:get(name)
    local is_new = type(value) == "table" and not seen[value] and not package.loaded[name]
    if is_new then
      seen[value] = true
      values[#values + 1] = value
    end
  end
  return values
end

-- A field, without the errors of strict tables.
local function field(value, key)
  local ok, found = pcall(function() return value[key] end)
  return ok and found or nil
end

local function data_of(value)
  local data = field(value, "data_sha256")
  if type(data) ~= "function" then return type(data) == "string" and data or nil end
  local ok, digest = pcall(data, value)
  return ok and digest or nil
end

local function data_word(hash, values)
  local digests, seen = {}, {}
  for _, value in ipairs(values) do
    local digest = data_of(value)
    if digest and not seen[digest] then
      seen[digest] = true
      digests[#digests + 1] = digest
    end
  end
  if #digests == 0 then return nil end
  table.sort(digests)
  return short(hash.new():update(table.concat(digests, "\n")))
end

local function is_model(value)
  return (getmetatable(value) or {}).__name == "giemsa.Model"
end

local function weights_word(hash, values)
  local total, count = hash.new(), 0
  for _, value in ipairs(values) do
    for _, weight in ipairs(is_model(value) and value:weights() or {}) do
      total:update(weight.name .. "\n"):update(core.to_bytes(weight.tensor))
      count = count + 1
    end
  end
  return count > 0 and short(total) or nil
end

local function code_word(hash, book)
  local total = hash.new():update(version .. "\n")
  for _, cell in ipairs(book.cells) do
    if cell.kind == "code" then total:update(cell:source() .. "\n\0") end
  end
  return short(total)
end

--- The fingerprint of a finished run; empty where nettle is missing.
---@param session giemsa.Session
---@return {data: string?, code: string?, weights: string?}
function fingerprint.of(session)
  local has_hash, hash = pcall(require, "giemsa.hash")
  if not has_hash then return {} end
  local values = named_values(session)
  return { data = data_word(hash, values), code = code_word(hash, session.notebook),
    weights = weights_word(hash, values) }
end

--- "fingerprint: data 9f3c / code 71ab / weights e02d", in the reader's language; nil where there is nothing.
---@param words {data: string?, code: string?, weights: string?}
---@param lang string?
---@return string?
function fingerprint.text(words, lang)
  local parts = {}
  for _, key in ipairs { "data", "code", "weights" } do
    if words[key] then parts[#parts + 1] = say(lang, key) .. " " .. words[key] end
  end
  return parts[1] and say(lang, "fingerprint: %s", table.concat(parts, " / "))
end

return fingerprint
