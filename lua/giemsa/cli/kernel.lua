--- giemsa kernel: notebooks in Jupyter.
local args = require "giemsa.args"
local output = require "giemsa.cli.output"

local USAGE = [[
usage: giemsa kernel --install | --uninstall [--user | --prefix DIR]
       giemsa kernel CONNECTION_FILE

Tells Jupyter of its kernel for Lua, or takes that back; Jupyter itself starts it by the second form.

  --user          for this user (in ~/.local/share/jupyter)
  --prefix DIR    in DIR/share/jupyter; without both in /usr/local/share/jupyter]]

local function where(o) return { user = o.user, prefix = o.prefix ~= "" and o.prefix or nil } end

local function uninstall(o)
  local path, message = require("giemsa.kernel").uninstall(where(o))
  if not path then output.complain(message) return 1 end
  print("removed " .. path)
  return 0
end

local function install(o)
  local kernel = require "giemsa.kernel"
  local path, message = kernel.install(where(o))
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
  local o = args.parse(USAGE, { install = false, uninstall = false, user = false, prefix = "" }, 0, line)
  if o.install and o.uninstall or o.user and o.prefix ~= "" then
    output.complain(o.user and o.prefix ~= "" and "--user and --prefix say different places: take one" or "--install or --uninstall: take one")
    return 2
  end
  if o.install or o.uninstall then
    args.at_most(o, 0, USAGE)
    return (o.install and install or uninstall)(o)
  end
  if not o[1] then args.parse(USAGE, {}, 1, {}) end -- says what is missing
  args.at_most(o, 1, USAGE)
  local code, message = require("giemsa.kernel").serve(o[1])
  if not code then output.complain(message) end
  return code or 1
end
