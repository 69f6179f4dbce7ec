--- giemsa new: a lesson to start from.
local args = require "giemsa.args"
local core = require "giemsa.core"
local output = require "giemsa.cli.output"

local USAGE = [[
usage: giemsa new NAME.lua

Writes a small lesson with an exercise, its solution, and checks that students see and do not see.
It is a master: `giemsa student` makes the students' file of it, `giemsa grade` grades with it.
A file that is there already is left alone.]]

local LESSON = [==[
-- ---
-- title: @TITLE@
-- seed: 42
-- ---

-- %% [markdown] name="goal"
-- # @TITLE@
--
-- **Goal:** what a reader can do after this lesson, in a sentence.
--
-- Run it with `giemsa run`, step through it with `giemsa run --step`; `lua5.4` runs it too.

-- %% name="setup"
local giemsa = require "giemsa"
local check = giemsa.check
giemsa.random.seed(42)

-- %% [markdown] name="pixels"
-- ## Numbers first
--
-- A picture is a table of numbers. These are 100 made-up pixels, each between 0 and 1.

-- %% name="data"
local pixels = giemsa.random.uniform(0, 1, { 100 })
print("pixels:", pixels.shape[1])

-- %% [markdown] name="exercise"
-- ## Exercise
--
-- Write `mean`, a function that takes a list of numbers and returns their mean.

-- %% name="mean" tags=["solution"]
local function mean(list)
  -- BEGIN SOLUTION
  local sum = 0
  for _, x in ipairs(list) do sum = sum + x end
  return sum / #list
  -- END SOLUTION
end

-- %% name="check-mean" tags=["check"] points=2
check("mean of two numbers", function()
  local m = mean{ 1, 3 }
  return m and m == 2
end, "add all numbers up, then divide by how many there are")
-- BEGIN HIDDEN TESTS
check("mean of the pixels", function()
  local m, right = mean(pixels:totable()), pixels:mean():item()
  return m and math.abs(m - right) < 1e-4
end, "does it go over the whole list?")
-- END HIDDEN TESTS

-- %% [markdown] name="question"
-- ## Question
--
-- Why is the mean of a stained cell lower than that of the empty glass?
--
-- BEGIN SOLUTION
-- The stain takes up light, so there are smaller numbers where it is.
-- END SOLUTION
]==]

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  local path = args.parse(USAGE, {}, 1, line, 1)[1]
  local problem = not path:find "%.lua$" and "a lesson's name ends in .lua"
    or path:find "%f[^/%z]%.lua$" and "a lesson needs a name before .lua" or path:find "%c" and "a name has no line breaks or other control characters"
  if problem then output.complain(("%s: %s"):format(path:gsub("%c", "?"), problem)) return 2 end
  if core.file_info(path) then output.complain(path .. " is there already") return 1 end
  local title = path:match("([^/]*)%.lua$"):gsub("^%d+_", ""):gsub("[_%c{}=]", " ")
  local text = LESSON:gsub("@TITLE@", { ["@TITLE@"] = title:sub(1, 1):upper() .. title:sub(2) })
  if not output.write_file(path, text) then return 1 end
  print(path)
  return 0
end
