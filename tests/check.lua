--- Checks of exercises: what they say, what they keep, and that they never stop a lesson.
local t = require "tests.harness"
local check = require "giemsa.check"
local display = require "giemsa.display"

-- What a check shows, and what it returns.
local function told_here(f, ...)
  local texts, before = {}, display.sinks
  display.sinks = { { show = function(_, _, forms) texts[#texts + 1] = forms.text end } }
  local results = table.pack(pcall(f, ...))
  display.sinks = before
  if not results[1] then error(results[2], 0) end
  return table.concat(texts, "\n"), results[2]
end

-- The same at a prompt, where a check may come again.
local function told(...)
  check.begin()
  return told_here(...)
end

t.test("true passes, false fails with its message, nil is open; a lesson goes on", function()
  check.results = {}
  t.equal({ told(check, "a", 1 < 2, "never shown") }, { "✓ a", true })
  t.equal({ told(check, "b", false, "count from 1") }, { "✗ b: count from 1", false })
  t.equal({ told(check, "c", nil, "a hint too early") }, { "○ c: not answered yet" })
  t.equal({ told(check, "d", function() return false, "because" end) }, { "✗ d: because", false })
  local text = told(check, "e", function() error("oops", 0) end)
  t.equal(text, "✗ e: oops")
  t.equal(check.count(), { passed = 1, failed = 3, open = 1 })
  told(check, "b", true)
  t.equal(check.count(), { passed = 2, failed = 2, open = 1 })
  t.equal(check.results[2], { name = "b", status = "passed" })
  t.raises(function()
    local passed = check(true)
    return passed
  end, "tests/check.lua:%d+: check: a check needs a name, got true")
end)

t.test("two checks of one name are an error, in a cell and between cells; a cell that runs again replaces its own", function()
  check.results = {}
  check.begin "cell 1"
  t.equal({ told_here(check, "q", false, "wrong") }, { "✗ q: wrong", false })
  t.equal({ told_here(check, "q", true) }, { "✗ q: two checks are named 'q'", false })
  t.equal(check.count(), { passed = 0, failed = 2, open = 0 })
  check.begin "cell 1" -- it was edited, and runs again
  t.equal({ told_here(check, "q", true) }, { "✓ q", true })
  t.equal(check.results, { { name = "q", status = "passed" } })
  check.begin "cell 2"
  t.equal({ told_here(check, "q", nil) }, { "✗ q: two checks are named 'q'", false })
  t.equal({ told_here(check.near, "r", 1, 1, 0) }, { "✓ r", true })
  t.equal({ check.count(check.of "cell 1"), check.count(check.of "cell 2") },
    { { passed = 1, failed = 0, open = 0 }, { passed = 1, failed = 1, open = 0 } })
  check.begin() -- the lesson was edited
  t.equal({ told_here(check, "q", true) }, { "✓ q", true })
  t.equal(check.count(), { passed = 2, failed = 0, open = 0 })
end)

t.test("who has not begun is told once that there are exercises", function()
  check.results = {}
  t.equal({ told(check, "a", nil) }, { "○ exercises wait for you in this lesson: replace nil by your answers" })
  t.equal({ told(check, "b", nil) }, { "" })
  t.equal({ told(check.near, "c", nil, 1, 1) }, { "" })
  t.ok(told(check, "a", nil):find "exercises wait", "the first one run again")
  t.equal({ told(check, "b", true) }, { "✓ b", true })
  t.equal({ told(check.near, "c", nil, 1, 1) }, { "○ c: not answered yet" })
  t.equal(check.count(), { passed = 1, failed = 0, open = 2 })
end)

t.test("numbers may be near", function()
  t.equal({ told(check.near, "n", 0.911, 0.912, 0.005) }, { "✓ n", true })
  t.equal({ told(check.near, "n", 0.5, 0.912, 0.005) }, { "✗ n: 0.5 is not it", false })
  t.equal({ told(check.near, "n", "x", 1, 1) }, { "✗ n: a number is wanted, got a string", false })
  t.equal({ told(check.near, "n", 0 / 0, 1, 1) }, { "✗ n: a number is wanted, got nan", false })
  t.equal({ told(check.near, "n", nil, 1, 1) }, { "○ n: not answered yet" })
end)

t.test("an answer is compared by its digest, which depends on the exercise", function()
  if not pcall(require, "giemsa.hash") then t.skip("it needs the hash module") end
  local digest = check.digest("patients", 27)
  t.equal(#digest, 12)
  t.ok(digest ~= check.digest("cells", 27), "the name is no salt")
  t.equal({ told(check.answer, "patients", 27, digest) }, { "✓ patients", true })
  t.equal({ told(check.answer, "patients", 27.004, digest) }, { "✓ patients", true })
  t.equal({ told(check.answer, "patients", 28, digest, "both sides?") },
    { "✗ patients: both sides?", false })
  t.equal({ told(check.answer, "patients", nil, digest) }, { "○ patients: not answered yet" })
  t.equal(check.digest("p", " Ring "), check.digest("p", "ring"))
  t.equal(check.digest("p", -0.001), check.digest("p", 0))
  for _, case in ipairs { { 2.675, 2.6750001 }, { 2.6750001, 2.675 }, { 2.5, 2.4999999, 0 }, { -0.125, -0.1250004 } } do
    local opts = { digits = case[3] or 2 }
    t.equal({ told(check.answer, "b", case[1], check.digest("b", case[2], opts), nil, opts) }, { "✓ b", true }, case[1])
  end
  t.equal(select(2, told(check.answer, "b", 2.68, check.digest("b", 2.67))), false)
  t.equal(select(2, told(check.answer, "b", 2.6751, check.digest("b", 2.67))), false)
  t.equal({ told(check.answer, "p", 0.127, check.digest("p", 0.1274, { digits = 3 }), nil,
    { digits = 3 }) }, { "✓ p", true })
end)

t.done()
