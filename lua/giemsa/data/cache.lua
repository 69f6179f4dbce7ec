--- Pictures kept decoded and resized between runs: a file for each set of pictures at one size, in
--- the reader's cache folder (core/cache.h). It is off unless asked for: the course's pictures are
--- decoded in a tenth of a second and then stay in memory, so a file would win nothing and leave
--- something behind. The official 27,558 cells are 339 MB at 64 x 64, which giemsa does not keep in
--- memory: there `cache = true` saves nine seconds of one core in every epoch but the first ever.
local core = require "giemsa.core"

local cache = {}

--- Says one line, once a message.
local said = {}
local function say(message)
  if said[message] then return end
  said[message] = true
  io.stderr:write("giemsa: ", message, "\n")
end

-- $XDG_CACHE_HOME/giemsa, by its rule only when that is absolute.
local function default_folder()
  local home = os.getenv "XDG_CACHE_HOME" or ""
  if home:sub(1, 1) == "/" then return home .. "/giemsa" end
  home = os.getenv "HOME" or ""
  return home ~= "" and home .. "/.cache/giemsa" or "out/cache"
end

local function size_text(bytes)
  return bytes < 1e6 and ("%.0f KB"):format(bytes / 1e3) or ("%.0f MB"):format(bytes / 1e6)
end

-- The same names at the same size share a file, wherever they lie: what is in it is checked by the
-- files' contents.
local function path_of(folder, names, shape, interpolation)
  return ("%s/%d-pictures-%dx%dx%d-%s-%s"):format(folder, #names, shape[1], shape[2], shape[3],
    interpolation, core.checksum(table.concat(names, "\n")))
end

--- A set of pictures (core.pictures) that is kept in a file as well, when `given` asks for it.
---@param given boolean|string|nil true: in the usual folder; a string: in that folder
---@param paths string[] of the picture files
---@param names string[] the same, relative to their root
---@param shape integer[] height, width, channels
---@param interpolation string
---@param memory integer bytes of memory that may hold them decoded
---@param verbose boolean whether to say where the file is and how large it becomes
---@return userdata pictures
function cache.pictures(given, paths, names, shape, interpolation, memory, verbose)
  local height, width, channels = table.unpack(shape)
  local function open(path)
    return core.pictures(paths, height, width, channels, interpolation, memory, path)
  end
  if not given then return open() end
  local folder = given == true and default_folder() or given
  local made, problem = core.make_folder(folder)
  if not made then
    say("no cache of decoded pictures: " .. problem)
    return open()
  end
  local path = path_of(folder, names, shape, interpolation)
  local pictures, why = open(path)
  if why then say(why)
  elseif verbose then
    io.write(("Decoded pictures are kept in %s (%s when all were read).\n"):format(path,
      size_text(#names * (height * width * channels + 16))))
  end
  return pictures
end

--- Tells what went wrong with the file since.
function cache.report(pictures)
  local problem = pictures:trouble()
  if problem then say(problem) end
end

return cache
