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

--- Whether two paths lead to one file that is there, by links, too.
---@param a string
---@param b string
---@return boolean
function output.is_same_file(a, b)
  local one, other = core.file_info(a), core.file_info(b)
  return one ~= nil and other ~= nil and one.id == other.id
end

return output
