--- The commands of the program: `giemsa run lesson.lua`, `giemsa html`, ... Each is a file of giemsa/cli/
-- that returns a function from the words of the line to the exit code; each has --help. Started by main.c
-- when the first word on the command line is one of them (its list names them too).
local cli = {}

--- Runs the command that arg[0] names with the words from arg[1] on; returns the exit code.
---@return integer
function cli.main()
  return require("giemsa.cli." .. arg[0])({ table.unpack(arg, 1) })
end

return cli
