--- giemsa lint: traps of lessons, found without running them.
local args = require "giemsa.args"
local output = require "giemsa.cli.output"

local USAGE = [[
usage: giemsa lint lesson.lua ...

Finds traps of lessons without running them: what other notebook programs read differently, too many
local variables, random numbers that do not repeat, predictions of a source that shuffles, paths of one
machine, exercises that cannot be graded. The exit code is 1 when there is an error.]]

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  local o = args.parse(USAGE, {}, 1, line)
  local errors = 0
  for _, path in ipairs(o) do
    local book, message = require("giemsa.notebook").read(path)
    if not book then output.complain(message) errors = errors + 1 end
    for _, one in ipairs(book and require("giemsa.lint").check(book) or {}) do
      print(("%s:%d: %s%s"):format(path, one.line, one.is_error and "" or "warning: ", one.message))
      if one.is_error then errors = errors + 1 end
    end
  end
  return errors == 0 and 0 or 1
end
