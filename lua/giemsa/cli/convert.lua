--- giemsa convert: a lesson as a Jupyter notebook, and back.
local args = require "giemsa.args"
local output = require "giemsa.cli.output"

local USAGE = [[
usage: giemsa convert a.lua b.ipynb [--run LOG]
       giemsa convert a.ipynb b.lua

Writes a lesson as a Jupyter notebook, or back. The lesson comes back byte by byte.

  --run LOG    with the outputs of a run (out/runs/LESSON/latest/log.jsonl)]]

local function read(path)
  local file <close>, message = io.open(path, "rb")
  if not file then return nil, message end
  return file:read("a")
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  local o = args.parse(USAGE, { run = "" }, 2, line, 2)
  local ipynb = require "giemsa.ipynb"
  local text, message = read(o[1])
  local result
  if text and o[1]:find "%.ipynb$" then
    result, message = ipynb.to_lua(text, o[1])
  elseif text and o.run ~= "" then
    result, message = ipynb.from_run(o.run, text)
  elseif text then
    result, message = ipynb.from_lua(text, o[1])
  end
  if not result then
    output.complain(message)
    return 1
  end
  return output.write_file(o[2], result) and 0 or 1
end
