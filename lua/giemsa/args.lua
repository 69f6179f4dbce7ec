--- The command line of a script: `--name value`, `--name=value`, `--flag` and plain words.
local options = require "giemsa.options"

local args = {}

local function stop(message, usage, status)
  io.stderr:write(message, status == 0 and "" or "\n\n" .. usage)
  os.exit(status, true)
end

local function convert(name, text, default)
  if type(default) ~= "number" then return text end
  local value = math.type(default) == "integer" and math.tointeger(text) or tonumber(text)
  local kind = math.type(default) == "integer" and "whole number" or "number"
  return value or nil, ("--%s needs a %s, got '%s'"):format(name, kind, text)
end

--- Ends the script with its usage when a line has more plain words than it may.
---@param values table of args.parse
---@param most integer
---@param usage string
function args.at_most(values, most, usage)
  if #values > most then stop(("'%s' is one word too many"):format(values[most + 1]), usage, 2) end
end

--- Reads the command line. `--help` prints the usage and ends the script; a mistake names itself
--- and ends it with status 2.
---
--- The defaults give the types: a number wants a number, `false` is a flag, a string (perhaps
--- empty) takes any text.
---@param usage string printed by --help; its first line is the synopsis
---@param defaults table<string, number|string|boolean> option -> value when absent
---@param words integer? how many plain words are required
---@param line string[]? the words; the script's own (`arg`) when absent
---@param most integer? how many plain words there may be
---@return table<string|integer, any> values the options, and the plain words at 1, 2, ...
function args.parse(usage, defaults, words, line, most)
  line = line or arg
  local values = setmetatable({}, { __index = defaults })
  local i = 1
  while i <= #line do
    local word = line[i]
    local name, text = word:match("^%-%-([%w_-]+)=(.*)$")
    name = (name or word:match("^%-%-([%w_-]+)$") or ""):gsub("-", "_")
    if word == "--help" or word == "-h" then stop(usage .. "\n", usage, 0) end
    if name == "" then
      values[#values + 1] = word
    elseif defaults[name] == nil then
      local near = options.nearest(name, defaults)
      local hint = near and " (did you mean --" .. near .. "?)" or ""
      stop(("unknown option %s%s"):format(word, hint), usage, 2)
    elseif defaults[name] == false then
      values[name] = true
    else
      if not text then i, text = i + 1, line[i + 1] or stop(word .. " needs a value", usage, 2) end
      local value, problem = convert(name, text, defaults[name])
      values[name] = value == nil and stop(problem, usage, 2) or value
    end
    i = i + 1
  end
  if #values < (words or 0) then
    stop(("%d more argument(s) needed"):format(words - #values), usage, 2)
  end
  if most then args.at_most(values, most, usage) end
  return values
end

return args
