--- What commands say and write.
local core = require "giemsa.core"

local output = {}

--- Says on stderr what a command could not do.
---@param message string
function output.complain(message) io.stderr:write("giemsa: ", message, "\n") end

--- Writes a file whole, or says why not.
---@param path string
---@param bytes string
---@return boolean|nil ok
function output.write_file(path, bytes)
  local ok, message = core.write_file(path, bytes)
  if not ok then output.complain(message) end
  return ok
end

return output
