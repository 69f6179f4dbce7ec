--- Checks of exercises: each says at once whether it passed, failed (and what to think of) or is
--- still open, and goes on in any case. Who has answered nothing is told once that there are exercises.
--- All results are kept in check.results, from which points are counted.
--
--   check("mean", mean and mean > 0.4 and mean < 0.6, "the mean of all pixels, after rescale")
--   check.near("auc", auc, 0.912, 0.005)
--   check.answer("patients", n, "5f0c2a91d3e8")      the answer itself is not in the file
local display = require "giemsa.display"
local options = require "giemsa.options"
local words = require "giemsa.words"

local check = {}

---@class giemsa.CheckResult
---@field name string
---@field status "passed"|"failed"|"open"
---@field message string? for whoever did not pass

--- All results so far, in order; a check of a cell that runs again replaces its result.
---@type giemsa.CheckResult[]
check.results = {}

local SIGNS = { passed = "✓", failed = "✗", open = "○" }
local COLORS = { passed = "32", failed = "31", open = "33" }
local HTML = { passed = "#1a7f37", failed = "#c0392b", open = "#9a6700" }
local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }

-- In the reader's language, as `giemsa run` has found it out.
local function say(text, ...) return words(os.getenv "GIEMSA_LANG", text, ...) end

-- Where each result was found; a result that may be replaced has no place here. A plain script is one place.
local places, here, doubled = setmetatable({}, { __mode = "k" }), {}, setmetatable({}, { __mode = "k" })

--- Whoever runs a lesson in pieces says which begins: its own checks may come again then, and replace their results.
--- Without a place (at a prompt, or when the lesson was edited) all may.
---@param place any
function check.begin(place)
  here = place or {}
  if type(check.results) ~= "table" then check.results = {} end -- a lesson's doing
  for i = #check.results, 1, -1 do
    local result = check.results[i]
    if place == nil or places[result] == place then
      places[result] = nil
      if doubled[result] then table.remove(check.results, i) end
    end
  end
end

--- The results that were found in a place when it last ran.
---@param place any
---@return giemsa.CheckResult[]
function check.of(place)
  local found = {}
  for _, result in ipairs(check.results) do
    if places[result] == place then found[#found + 1] = result end
  end
  return found
end

-- A success must not hide the failure of another check of its name: a second one in one run has failed, whatever it found.
local function remember(result)
  local at = #check.results + 1
  for i, before in ipairs(check.results) do
    if before.name == result.name and places[before] then
      result.status, result.message = "failed", say("two checks are named '%s'", result.name)
      doubled[result] = true
    elseif before.name == result.name then
      at = math.min(at, i)
    end
  end
  check.results[at], places[result] = result, here
end

local function has_begun()
  for _, result in ipairs(check.results) do
    if result.status ~= "open" then return true end
  end
end

local INVITATION = "exercises wait for you in this lesson: replace nil by your answers"

local function words_of(result)
  if not has_begun() then return result == check.results[1] and say(INVITATION) or nil end
  return result.name .. (result.message and ": " .. result.message or "")
end

local function tell(result)
  local sign, words = SIGNS[result.status], words_of(result)
  if not words then return end
  local text = sign .. " " .. words
  display{ text = text, ansi = ("\27[%sm%s\27[0m %s"):format(COLORS[result.status], sign,
    text:sub(#sign + 2)), html = ("<span style=\"color:%s\">%s</span> %s")
    :format(HTML[result.status], sign, (text:sub(#sign + 2):gsub("[&<>]", ESCAPES))) }
end

local function report(name, status, message)
  if status == "passed" then message = nil end
  if status == "open" then message = say "not answered yet" end -- the hint is for who has tried
  local result = { name = name, status = status, message = message }
  remember(result)
  tell(result)
  if result.status ~= "open" then return result.status == "passed" end
end

local function need_name(who, name, level)
  if type(name) ~= "string" or name == "" then
    error(("%s: a check needs a name, got %s"):format(who, tostring(name)), level + 1)
  end
end

-- A function is called; a raise is a failure with its message.
local function value_of(value, message)
  if type(value) ~= "function" then return value, message end
  local ok, result, why = pcall(value)
  if ok then return result, why or message end
  return false, tostring(result)
end

local function any_check(name, value, message)
  need_name("check", name, 3)
  local result, why = value_of(value, message)
  if result == nil then return report(name, "open") end
  return report(name, result and "passed" or "failed", why)
end

--- A number within a tolerance of what it should be.
---@param name string
---@param got number? nil: not answered yet
---@param want number
---@param tolerance number
---@param message string?
---@return boolean? passed nil when it is open
function check.near(name, got, want, tolerance, message)
  need_name("check.near", name, 2)
  if got == nil then return report(name, "open") end
  if type(got) ~= "number" or got ~= got then
    local what = type(got) == "number" and "nan" or "a " .. type(got)
    return report(name, "failed", say("a number is wanted, got %s", what))
  end
  local is_near = math.abs(got - want) <= tolerance
  return report(name, is_near and "passed" or "failed", message or say("%g is not it", got))
end

-- Numbers rounded, texts without spaces at the ends and in small letters.
local function canonical(value, digits)
  if type(value) == "number" then
    return (("%." .. digits .. "f"):format(value):gsub("^%-(0%.?0*)$", "%1"))
  end
  return (tostring(value):lower():match("^%s*(.-)%s*$"))
end

local ANSWER = { digits = "integer" }

--- What an answer becomes in the lesson's file: the name is the salt.
---@param name string
---@param value number|string|boolean
---@param opts? {digits?: integer} of a number, after the point: 2
---@return string digest 12 hex digits
function check.digest(name, value, opts)
  local o = options.check("check.digest", opts, ANSWER)
  local text = name .. "|" .. canonical(value, o.digits or 2)
  return require("giemsa.hash").sha256(text):sub(1, 12)
end

-- An answer beside a border of rounding may have been rounded the other way: 2.675 is stored as 2.67499..., and the right
-- value may be 2.6750001. So what a thousandth of the last digit more or less rounds to is taken, too.
local function has_digest(name, got, digest, opts)
  if check.digest(name, got, opts) == digest then return true end
  local little = type(got) == "number" and 10.0 ^ -(opts and opts.digits or 2) / 1000
  return little and (check.digest(name, got - little, opts) == digest or check.digest(name, got + little, opts) == digest)
end

--- An answer against the digest of the right one, which does not tell it.
---@param name string
---@param got number|string|boolean|nil nil: not answered yet
---@param digest string of check.digest
---@param message string? a hint for a wrong answer
---@param opts? {digits?: integer} as for the digest
---@return boolean? passed nil when it is open
function check.answer(name, got, digest, message, opts)
  need_name("check.answer", name, 2)
  if got == nil then return report(name, "open") end
  return report(name, has_digest(name, got, digest, opts) and "passed" or "failed", message or say "not yet; think again")
end

--- How many passed, failed and are open.
---@param results giemsa.CheckResult[]? all, when absent
---@return {passed: integer, failed: integer, open: integer}
function check.count(results)
  local count = { passed = 0, failed = 0, open = 0 }
  for _, result in ipairs(results or check.results) do count[result.status] = count[result.status] + 1 end
  return count
end

--- check(name, value, message): passed when value is true (or anything but nil and false), failed
--- when false, open when nil. A function is called for the value; a second result is the message.
---@overload fun(name: string, value: any, message?: string): boolean?
return setmetatable(check, { __call = function(_, ...)
  local passed = any_check(...)
  return passed
end })
