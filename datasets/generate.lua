--- Makes a data set of synthetic cells, in class folders like the real one.
--
--     giemsa datasets/generate.lua --dir data/cells --count 500 --seed 42
local args = require "giemsa.args"
local core = require "giemsa.core"
local hash = require "giemsa.hash"
local options = require "giemsa.options"
local manifest = require "datasets.manifest"
local script = require "datasets.script"
local smear = require "datasets.smear"

local generate = {}

generate.CLASSES = { "Parasitized", "Uninfected" }

local OPTIONS = { count = "integer", seed = "integer", slides = "integer", difficulty = "table", progress = "function" }
local DIFFICULTY_OPTIONS = { faint = "number", lookalikes = "number", label_noise = "number" }
local DEFAULT_COUNT, DEFAULT_SEED = 500, 42 -- the sample of the course

-- Difficulty with the defaults filled in.
local function full_difficulty(who, given, level)
  options.check(who .. " difficulty", given, DIFFICULTY_OPTIONS, level + 1)
  local full = {}
  for key, value in pairs(smear.DIFFICULTY) do
    full[key] = given and given[key] or value
    if full[key] < 0 or full[key] > 1 then error(("%s: %s is a share, 0 to 1; got %s"):format(who, key, full[key]), level) end
  end
  return full
end

-- Slides that give many cells and slides that give few, as patients do: rows for smear.pick, of all and of the infected.
local function slide_rows(seed, slides)
  local draws, all, infected = core.draws(seed, 0, 0, 1), {}, {}
  for index = 1, slides do
    all[index] = { slide = smear.slide(seed, index), share = math.exp(draws:normal(0, 0.7)), cells = 0 }
    if not all[index].slide.healthy then infected[#infected + 1] = all[index] end
  end
  return all, infected
end

---@class generate.options
---@field count integer? cells, half in each class; 500
---@field seed integer? 42
---@field slides integer? patients, every fourth of them healthy; one for every eight cells, at least 4
---@field difficulty table? shares as in smear.DIFFICULTY
---@field progress fun(done: integer, all: integer)?

--- Which cells a data set has. Cheap: nothing is drawn.
---@param given? generate.options
---@return {class: string, slide: table, number: integer, infected: boolean, name: string}[] plan infected: the truth; class: the folder
function generate.plan(given)
  given = options.check("generate.plan", given, OPTIONS)
  local difficulty = full_difficulty("generate.plan", given.difficulty, 3)
  local count, seed = given.count or DEFAULT_COUNT, given.seed or DEFAULT_SEED
  if count < 2 then error(("generate.plan: count must be at least 2, a cell of each class; got %d"):format(count), 2) end
  local all, infected_ones = slide_rows(seed, math.max(4, given.slides or count // 8))
  local draws, plan = core.draws(seed, 0, 0, 2), {}
  for i = 1, count do
    local in_folder = i <= count // 2 -- the first half goes to Parasitized
    local infected = in_folder
    if draws:chance(difficulty.label_noise) then infected = not infected end
    local row = smear.pick(draws, (in_folder or infected) and infected_ones or all)
    row.cells = row.cells + 1
    plan[i] = { class = generate.CLASSES[in_folder and 1 or 2], slide = row.slide, number = row.cells, infected = infected,
      name = smear.cell_name(row.slide, row.cells) }
  end
  return plan
end

-- The record beside the cells: what each really is, for lessons that look at mistakes.
local function record(plan, contents)
  local lines = { "file,class,infected,contents,patient,stain" }
  for i, row in ipairs(plan) do
    lines[#lines + 1] = ("%s/%s,%s,%s,%s,%s,%s"):format(row.class, row.name, row.class, row.infected and "yes" or "no", contents[i],
      row.name:match("^C%d+"), row.slide.stain)
  end
  return table.concat(lines, "\n") .. "\n"
end

local function write_new(path, bytes)
  local file, problem = io.open(path, "wb")
  if not file then return nil, problem end
  local ok, why = file:write(bytes)
  local closed, why_not = file:close()
  if ok and closed then return true end
  return nil, ("cannot write %s: %s"):format(path, why or why_not)
end

-- What decides about the pixels, in the order of the manifest.
local function settings_of(given, difficulty)
  local settings = { { "made by", "datasets/generate.lua, version " .. smear.VERSION }, { "seed", given.seed or DEFAULT_SEED },
    { "count", given.count or DEFAULT_COUNT }, { "slides", given.slides or "default" } }
  for _, key in ipairs { "faint", "label_noise", "lookalikes" } do settings[#settings + 1] = { key, difficulty[key] } end
  return settings
end

local function is_made_already(old, settings)
  if not old.settings.sha256 or next(old.pending) then return false end
  for _, pair in ipairs(settings) do
    if old.settings[pair[1]] ~= tostring(pair[2]) then return false end
  end
  return true
end

local function checked(ok, problem) return ok or error("generate: " .. tostring(problem), 0) end

-- Draws all cells into dir; what is on each is returned, and the sums are added to `files`.
local function draw(dir, plan, difficulty, old, files, progress)
  local contents = {}
  for i, row in ipairs(plan) do
    local cell = smear.cell(row.slide, row.number, row.infected, difficulty)
    local png = cell.picture:png()
    local name = row.class .. "/" .. row.name
    files[name], contents[i] = hash.sha256(png), cell.contents
    checked(manifest.place(dir, old, name, files[name], function(path) return write_new(path, png) end))
    if progress then progress(i, #plan) end
  end
  return contents
end

--- Makes a data set: dir/Parasitized, dir/Uninfected, dir/cells.csv (what each cell really is) and dir/MANIFEST.
--- The same settings again: nothing is done. Other settings: the cells of before are replaced. Nobody else's files are touched.
---@param dir string
---@param given? generate.options
---@return {dir: string, count: integer, sha256: string, made: integer} set made is 0 when all was there
function generate.cells(dir, given)
  if type(dir) ~= "string" then error("generate.cells: the first argument is the folder to make", 2) end
  given = options.check("generate.cells", given, OPTIONS)
  local difficulty, plan = full_difficulty("generate.cells", given.difficulty, 3), generate.plan(given)
  local old, settings, files, names = manifest.read(dir), settings_of(given, difficulty), {}, { "cells.csv" }
  if is_made_already(old, settings) then return { dir = dir, count = #plan, sha256 = old.settings.sha256, made = 0 } end
  for i, row in ipairs(plan) do names[i + 1] = row.class .. "/" .. row.name end
  checked(core.make_folder(dir))
  checked(manifest.announce(dir, names))
  local text = record(plan, draw(dir, plan, difficulty, old, files, given.progress))
  files["cells.csv"] = hash.sha256(text)
  checked(core.write_file(dir .. "/cells.csv", text))
  manifest.remove_stale(dir, old, files)
  return { dir = dir, count = #plan, sha256 = checked(manifest.finish(dir, settings, files)), made = #plan }
end

local USAGE = [[
giemsa datasets/generate.lua --dir DIR [options]     Makes a data set of synthetic red cells.
  --dir DIR             where: DIR/Parasitized, DIR/Uninfected, DIR/cells.csv (what each cell really is)
  --count N             cells, half in each class (500)
  --seed N              the same seed makes the same cells (42)
  --slides N            patients, every fourth of them healthy (0: one for every 8 cells)
  --faint SHARE         parasites that hardly show
  --lookalikes SHARE    cells with something on them that is taken for a parasite
  --label-noise SHARE   cells in the wrong folder]]

script.run("generate.lua", function()
  local hard = smear.DIFFICULTY
  local given = args.parse(USAGE, { dir = "", count = DEFAULT_COUNT, seed = DEFAULT_SEED, slides = 0, faint = hard.faint,
    lookalikes = hard.lookalikes, label_noise = hard.label_noise })
  if given.dir == "" then error("--dir is needed: the folder to make; --help lists the options") end
  local set = generate.cells(given.dir, { count = given.count, seed = given.seed, slides = given.slides > 0 and given.slides or nil,
    difficulty = { faint = given.faint, lookalikes = given.lookalikes, label_noise = given.label_noise } })
  print(("%s: %d cells%s"):format(set.dir, set.count, set.made == 0 and " (already there)" or ""))
  print("sha256 = " .. set.sha256)
end)

return generate
