--- Calls a function while `print` and `io.write` of a lesson go nowhere.
---@param f function
---@return any ... what it returns; what it raises is raised
local function quietly(f, ...)
  local printing, writing = print, io.write
  print, io.write = function() end, function() return io.stdout end
  local results = table.pack(pcall(f, ...))
  print, io.write = printing, writing
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

return quietly
