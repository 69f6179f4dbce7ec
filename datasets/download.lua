--- Fetches the official archive of malaria cell images (NLM, 353,452,851 bytes) and goes on where a broken transfer stopped.
--
--     giemsa datasets/download.lua --to data/cell_images.zip
--     giemsa datasets/build_dataset.lua --from data/cell_images.zip --to data/malaria
local args = require "giemsa.args"
local core = require "giemsa.core"
local hash = require "giemsa.hash"
local options = require "giemsa.options"
local progress = require "giemsa.progress"
local script = require "datasets.script"

local download = {}

--- The official distribution: cell_images.zip on the malaria data page of the NLM's Lister Hill Center. Size as in README.md;
--- the checksum as tensorflow/datasets recorded it.
download.OFFICIAL = {
  url = "https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip",
  size = 353452851,
  sha256 = "0a949556b2414159b5100192609805376654c4266d8d187be9b1922fad43c668",
}

local OPTIONS = { url = "string", to = "string", size = "integer", sha256 = "string", progress = "function", tries = "integer" }

local function size_of(path)
  local info = core.file_info(path)
  return info and info.size or 0
end

local function grouped(n)
  return (tostring(n):reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

-- nil when the file is what it should be, else what is wrong with it.
local function mismatch(path, want)
  local size = size_of(path)
  if want.size and size ~= want.size then return ("it has %s bytes instead of %s"):format(grouped(size), grouped(want.size)) end
  if not want.sha256 then return nil end
  local sha256, problem = hash.sha256_file(path)
  if not sha256 then return problem end
  if sha256 ~= want.sha256:lower() then return ("its SHA-256 is %s instead of %s"):format(sha256, want.sha256) end
end

local function by_hand(want)
  return ("fetch it on a machine with a network (for instance: curl -L -o %s '%s'), put it at %s, and run this again; or go on with "
    .. "the synthetic cells, which need no network"):format(want.to:match("[^/]*$"), want.url, want.to)
end

-- Transfers into the part file until it is whole: a line that breaks is taken up again as long as bytes arrive.
local function transfer(curl, want, part)
  local tries_left, ok, problem, kind = want.tries or 3, nil, nil, nil
  repeat
    local before = size_of(part)
    if want.size and before == want.size then return true end
    if want.size and before > want.size then os.remove(part) before = 0 end
    ok, problem, kind = curl.download(want.url, part, { resume = before, limit = want.size, progress = want.progress })
    if ok and want.size and ok < want.size then ok, problem, kind = nil, ("cannot download %s: it broke off"):format(want.url), "broken" end
    if kind == "range" then -- what is there goes beyond the server's file
      os.remove(part)
      tries_left = tries_left - 1
    elseif size_of(part) <= before then tries_left = tries_left - 1 end
  until ok or tries_left <= 0 or not (kind == "broken" or kind == "range")
  if ok then return true end
  if kind == "size" then
    os.remove(part)
    return nil, ("%s (%s bytes)"):format(problem, grouped(want.size))
  end
  if kind == "network" or kind == "server" then return nil, problem .. ". " .. by_hand(want) end
  if kind == "broken" then return nil, ("%s; %s bytes are kept in %s, run this again to go on"):format(problem, grouped(size_of(part)), part) end
  return nil, problem
end

--- Downloads a file. One that is there already and right is left alone; a half one (PATH.part) is continued.
---@param given? {url: string?, to: string?, size: integer?, sha256: string?, progress: fun(bytes: integer, all: integer?)?, tries: integer?}
--- to: the path (data/cell_images.zip); without a url the official archive with its size and checksum; tries: at a broken line
--- on which nothing arrives (3)
---@return string? path, string? problem
function download.fetch(given)
  given = options.check("download.fetch", given, OPTIONS)
  local official = given.url == nil or given.url == download.OFFICIAL.url
  local want = setmetatable({ to = given.to or "data/cell_images.zip" }, { __index = function(_, key)
    if given[key] ~= nil then return given[key] end
    return official and download.OFFICIAL[key] or nil
  end })
  local wrong = mismatch(want.to, want)
  if core.file_info(want.to) then
    if not wrong then return want.to end
    return nil, ("%s is there, but is not the file wanted: %s. Move it away and run this again"):format(want.to, wrong)
  end
  local has_curl, curl = pcall(require, "giemsa.curl")
  if not has_curl then return nil, "this giemsa was built without libcurl; " .. by_hand(want) end
  local folder, part = want.to:match("^(.*)/[^/]*$"), want.to .. ".part"
  local ok, problem = true, nil
  if folder and folder ~= "" then ok, problem = core.make_folder(folder) end
  if ok then ok, problem = transfer(curl, want, part) end
  if not ok then return nil, problem end
  wrong = mismatch(part, want)
  if wrong then
    os.remove(part)
    return nil, ("%s: what was downloaded is not the file wanted: %s. It was removed; try again, or another address"):format(want.url, wrong)
  end
  ok, problem = os.rename(part, want.to)
  if not ok then return nil, problem end
  return want.to
end

local USAGE = [[
giemsa datasets/download.lua [options]     Fetches the malaria cell images of the U.S. National Library of Medicine.
  --to PATH         where to put it (data/cell_images.zip)
  --url URL         another address of the same archive, or another archive
  --sha256 HEX      its checksum (known for the official archive)
  --size N          its size in bytes (likewise)
  --quiet           no progress]]

script.run("download.lua", function()
  local given = args.parse(USAGE, { to = "data/cell_images.zip", url = download.OFFICIAL.url, sha256 = "", size = 0, quiet = false })
  local bar
  local function show(bytes, all)
    bar = bar or progress.bar { total = all and all // 1000000, unit = "MB", label = given.to, quiet = given.quiet }
    bar:update(bytes // 1000000)
  end
  local path, problem = download.fetch { url = given.url, to = given.to, sha256 = given.sha256 ~= "" and given.sha256 or nil,
    size = given.size > 0 and given.size or nil, progress = show }
  if bar then if path then bar:finish() else bar:abandon() end end
  if not path then error(problem, 0) end
  print(("%s: %s bytes"):format(path, grouped(size_of(path))))
end)

return download
