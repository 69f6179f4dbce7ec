--- giemsa kernel: notebooks in Jupyter.
local args = require "giemsa.args"
local output = require "giemsa.cli.output"

local USAGE = [[
usage: giemsa kernel --install [--user | --prefix DIR]
       giemsa kernel CONNECTION_FILE

Tells Jupyter of its kernel for Lua; Jupyter itself starts it by the second form.

  --user          for this user (in ~/.local/share/jupyter)
  --prefix DIR    in DIR/share/jupyter; without both in /usr/local/share/jupyter]]

local function install(o)
  local kernel = require "giemsa.kernel"
  local path, message = kernel.install{ user = o.user, prefix = o.prefix ~= "" and o.prefix or nil }
  if not path then
    output.complain(message .. (o.user and "" or " (--user installs it for you alone)"))
    return 1
  end
  print("wrote " .. path)
  if kernel.obstacle() then output.complain(kernel.obstacle()) end
  return 0
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  if line[1] == "--worker" then return require "giemsa.kernel.worker"() end -- the other process of the second form
  local o = args.parse(USAGE, { install = false, user = false, prefix = "" }, 0, line)
  if o.install then return install(o) end
  if not o[1] then args.parse(USAGE, {}, 1, {}) end -- says what is missing
  local code, message = require("giemsa.kernel").serve(o[1])
  if not code then output.complain(message) end
  return code or 1
end
