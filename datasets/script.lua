--- A file here is a module, and a script as well when it is the one being run.
local script = {}

--- Runs the work when the program was started with this file; a raise becomes its message alone and status 1.
---@param name string the file's name, "generate.lua"
---@param work fun()
function script.run(name, work)
  if not arg or not arg[0] or arg[0]:match("[^/]*$") ~= name then return end
  local ok, problem = pcall(work)
  if ok then return end
  io.stderr:write((tostring(problem):gsub("^[^:\n]+%.lua:%d+: ", "")), "\n")
  os.exit(1, true)
end

return script
