--- TeX formulas as MathML, by the program blahtexml: all formulas of a page in one start of it.
-- Where it is missing or does not understand a formula, the TeX is shown as it was written.
local core = require "giemsa.core"
local escape = require "giemsa.html.escape"

local formula = {}

local known = {} -- "$x" or "$$x" -> MathML, or false where there is none

local function key_of(tex, display) return (display and "$$" or "$") .. tex end

-- ---- letters
-- blahtexml marks letters by mathvariant="bold"; browsers that know MathML Core want the
-- mathematical letters of Unicode themselves.

local ALPHABETS = { -- code points of A, a and 0
  bold = { 0x1d400, 0x1d41a, 0x1d7ce }, ["bold-italic"] = { 0x1d468, 0x1d482 },
  script = { 0x1d49c, 0x1d4b6 }, fraktur = { 0x1d504, 0x1d51e },
  ["double-struck"] = { 0x1d538, 0x1d552, 0x1d7d8 }, ["sans-serif"] = { 0x1d5a0, 0x1d5ba, 0x1d7e2 },
  monospace = { 0x1d670, 0x1d68a, 0x1d7f6 },
}
-- Letters that Unicode had before, and keeps elsewhere.
local ELSEWHERE = {
  script = { B = "ℬ", E = "ℰ", F = "ℱ", H = "ℋ", I = "ℐ", L = "ℒ", M = "ℳ", R = "ℛ", e = "ℯ",
    g = "ℊ", o = "ℴ" },
  fraktur = { C = "ℭ", H = "ℌ", I = "ℑ", R = "ℜ", Z = "ℨ" },
  ["double-struck"] = { C = "ℂ", H = "ℍ", N = "ℕ", P = "ℙ", Q = "ℚ", R = "ℝ", Z = "ℤ" },
}

local function letter(variant, sign)
  local exception = ELSEWHERE[variant] and ELSEWHERE[variant][sign]
  if exception then return exception end
  local byte, first = sign:byte(), ALPHABETS[variant]
  local base = sign:find "%u" and { first[1], 65 } or sign:find "%l" and { first[2], 97 }
    or { first[3], 48 }
  return base[1] and utf8.char(base[1] + byte - base[2]) or sign
end

local function with_unicode_letters(mathml)
  mathml = mathml:gsub("(<mo[^>]*>)%-</mo>", "%1−</mo>")
  return (mathml:gsub('<(m[in]) mathvariant="([%a-]+)">(%w+)</m[in]>', function(tag, variant, text)
    if not ALPHABETS[variant] then return nil end
    text = text:gsub("%w", function(sign) return letter(variant, sign) end)
    return ("<%s>%s</%s>"):format(tag, text, tag)
  end))
end

-- ---- the program

local COMMAND = { "blahtexml", "--xmlin", "--mathml-nsprefix-none", "--mathml-encoding", "raw" }
local SECONDS = 20

local function request(formulas)
  local out = { '<r xmlns:b="http://gva.noekeon.org/blahtexml">' }
  for _, f in ipairs(formulas) do
    out[#out + 1] = ('<f b:%s="%s"/>'):format(f.display and "block" or "inline", escape(f.tex))
    known[key_of(f.tex, f.display)] = false
  end
  return table.concat(out) .. "</r>"
end

local function read_answer(answer, formulas)
  local i = 0
  for body in answer:gmatch "<f[^>]*>(.-)</f>" do
    i = i + 1
    local mathml = body:match "^<math.*</math>$"
    local f = formulas[i]
    if mathml and f then
      mathml = mathml:gsub(' xmlns="[^"]*"', ""):gsub('<mspace width="0"></mspace>', "")
      known[key_of(f.tex, f.display)] = with_unicode_letters(mathml)
    end
  end
end

--- Sets many formulas at once; later calls of formula.html know them.
---@param formulas {tex: string, display: boolean}[] tex: valid UTF-8 without control characters
function formula.prepare(formulas)
  local new, seen = {}, {}
  for _, f in ipairs(formulas) do
    local key = key_of(f.tex, f.display)
    if known[key] == nil and not seen[key] then seen[key], new[#new + 1] = true, f end
  end
  if #new == 0 then return end
  local code, answer = core.run_program(COMMAND, request(new), SECONDS)
  if code then read_answer(answer, new) end
end

--- MathML of a formula, or its TeX in <code>.
---@param tex string
---@param display boolean on a line of its own
---@return string
function formula.html(tex, display)
  formula.prepare { { tex = tex, display = display } }
  local mathml = known[key_of(tex, display)]
  if mathml then return mathml end
  local tag = display and '<code class="tex display">%s</code>' or '<code class="tex">%s</code>'
  return tag:format(escape(tex))
end

return formula
