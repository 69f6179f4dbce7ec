--- What the code of submissions can read, and that it is nothing it should not.
local core = require "giemsa.core"
local lookup = require "giemsa.lookup"

local reach = {}

--- What a lesson's code may read.
---@param data string? the lesson's folder of data
---@return string[] paths
function reach.readable(data)
  local paths = { lookup.home, "/usr/lib", "/lib", "/lib64", "/usr/share/lua", "/usr/local/lib/lua",
    "/usr/local/share/lua", "/usr/share/fonts", "/etc/ld.so.cache", "/etc/localtime",
    "/usr/share/zoneinfo", "/dev/null", "/dev/zero", "/dev/urandom" }
  for path in package.cpath:gmatch "[^;]+" do
    local folder = path:match "^(/.*)/%?%.so$"
    if folder then paths[#paths + 1] = folder .. "/giemsa" end
  end
  if data then paths[#paths + 1] = data end
  return paths
end

--- Why a submission could read what is not for it: the master, what others handed in. nil: it cannot.
---@param readable_paths string[]
---@param private string[] those that are not there yet cannot be read
---@return string?
function reach.exposed(readable_paths, private)
  for _, path in ipairs(private) do
    local real = core.real_path(path)
    for _, readable_path in ipairs(real and readable_paths or {}) do
      local folder = (core.real_path(readable_path) or "none"):gsub("/?$", "/", 1)
      if (real .. "/"):sub(1, #folder) == folder then
        return ("every submission could read %s, since it lies in %s, which the lesson may read"):format(path, folder)
      end
    end
  end
end

--- What the lesson calls its folder of data: as it was given, unless that is "." or "..".
---@param given string
---@param real string
---@return string? name
function reach.name_of(given, real)
  local name = given:match "([^/]+)/*$"
  return name and name:find "^%.%.?$" and real:match "[^/]+$" or name
end

return reach
