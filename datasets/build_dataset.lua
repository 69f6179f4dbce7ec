--- Splits images into training, validation and testing folders, as the course does: 80 % and 20 %, then a tenth of the
--- training images for validation; the sorted list shuffled like Python's random with seed 42.
--
--     giemsa datasets/build_dataset.lua --from cell_images.zip --to data/malaria --by-patient
local args = require "giemsa.args"
local core = require "giemsa.core"
local options = require "giemsa.options"
local random = require "giemsa.random"
local manifest = require "datasets.manifest"
local script = require "datasets.script"
local source = require "datasets.source"
local split = require "datasets.split"

local build_dataset = {}

local TRAIN_SPLIT, VAL_SPLIT = 0.8, 0.1 -- of all; of the training images

local OPTIONS = { from = "string", to = "string", seed = "integer", by_patient = "boolean", count = "integer",
  train_split = "number", val_split = "number", copy = "boolean", say = "function|boolean", progress = "function" }

local function fail(message) error("build_dataset: " .. tostring(message), 0) end

local function check_options(given)
  given = options.check("build_dataset", given, OPTIONS, 4)
  local function wrong(message) error("build_dataset: " .. message, 4) end
  if not given.from then wrong("'from' is needed: a folder of class folders, or a zip of one") end
  if not given.to then wrong("'to' is needed: the folder to make") end
  for _, key in ipairs { "train_split", "val_split" } do
    if given[key] and not (given[key] >= 0 and given[key] <= 1) then wrong(("%s is a share, 0 to 1; got %s"):format(key, given[key])) end
  end
  if given.count and given.count < 1 then wrong(("count must be at least 1, got %d"):format(given.count)) end
  return given
end

-- `count` of the images, drawn by Python's shuffle and put back in sorted order.
local function sample(images, count, seed)
  if not count or count >= #images then return images end
  local chosen, kept = {}, {}
  for place, at in ipairs(random.python_shuffle(#images, seed)) do
    if place <= count then chosen[at] = true end
  end
  for i, image in ipairs(images) do
    if chosen[i] then kept[#kept + 1] = image end
  end
  return kept
end

local function count_sides(images, sides)
  local counts = {}
  for _, side in ipairs(split.SIDES) do counts[side] = { total = 0 } end
  for i, image in ipairs(images) do
    local side = counts[sides[i]]
    side.total = side.total + 1
    side[image.class] = (side[image.class] or 0) + 1
  end
  return counts
end

local function class_names(images)
  local names, seen = {}, {}
  for _, image in ipairs(images) do
    if not seen[image.class] then names[#names + 1], seen[image.class] = image.class, true end
  end
  table.sort(names, core.byte_less)
  return names
end

local function counts_text(counts, classes)
  local parts = {}
  for i, class in ipairs(classes) do parts[i] = ("%s %d"):format(class, counts[class] or 0) end
  return ("%d (%s)"):format(counts.total, table.concat(parts, ", "))
end

-- Puts every image in its place; the sums by name are returned.
local function place_all(from, to, images, names, given)
  local old, files = manifest.read(to), {}
  local ok, problem = core.make_folder(to)
  if ok then ok, problem = manifest.announce(to, names) end
  if not ok then return nil, problem end
  for i, image in ipairs(images) do
    local name = names[i]
    files[name], problem = from:sha256(image)
    if not files[name] then return nil, problem end
    ok, problem = manifest.place(to, old, name, files[name], function(path) return from:copy(image, path, not given.copy) end)
    if not ok then return nil, problem end
    if given.progress then given.progress(i, #images) end
  end
  manifest.remove_stale(to, old, files)
  return files
end

-- Images in the folders that no build made would be trained on unseen.
local function count_foreign(to, files)
  local foreign = 0
  for _, side in ipairs(split.SIDES) do
    for _, class in ipairs(core.list_folder(to .. "/" .. side) or {}) do
      for _, entry in ipairs(class[2] ~= "file" and core.list_folder(("%s/%s/%s"):format(to, side, class[1])) or {}) do
        if not files[("%s/%s/%s"):format(side, class[1], entry[1])] then foreign = foreign + 1 end
      end
    end
  end
  return foreign
end

local function warnings_of(set, given, from)
  local list = {}
  if set.leaking > 0 then
    list[#list + 1] = ("%d of %d patients stand on both sides of the test (%d images are tested). Cells of one patient share "
      .. "stain and light, so the net may know them by these, and the test flatters it; build by patient for an honest test")
      :format(set.leaking, set.patients, set.counts.testing.total)
  end
  if given.by_patient and set.patients == 0 then
    list[#list + 1] = "no file name tells its patient (^C and digits), so every image was taken for a patient of its own"
  end
  if from.doubled > 0 then list[#list + 1] = ("%d images had the name and class of another and were left out"):format(from.doubled) end
  if set.foreign > 0 then list[#list + 1] = ("%d files in %s were not made by this build; they count as images of the data set"):format(set.foreign, set.dir) end
  return list
end

local function settings_of(set, given, seed)
  local settings = { { "made by", "datasets/build_dataset.lua" }, { "from", given.from:match("[^/]+/*$") or given.from }, { "seed", seed },
    { "by patient", given.by_patient or false }, { "patients on both sides of the test", set.leaking } }
  for _, side in ipairs(split.SIDES) do settings[#settings + 1] = { side, counts_text(set.counts[side], set.class_names) } end
  return settings
end

local function speaker(say)
  if say == false then return function() end end
  return type(say) == "function" and say or function(text) io.stderr:write(text, "\n") end
end

---@class dataset
---@field dir string
---@field training string folders, each with a folder for each class
---@field validation string
---@field testing string
---@field class_names string[]
---@field counts table<string, table<string, integer>> counts.training.total, counts.training.Parasitized, ...
---@field patients integer told by the file names
---@field leaking integer patients on both sides of the test
---@field foreign integer files in the folders that this build did not make
---@field warnings string[]
---@field sha256 string of all the images; also in MANIFEST

--- Builds a data set. Running it again replaces its own files and leaves everybody else's alone. Raises with the reason when
--- it cannot.
---@param given {from: string, to: string, seed: integer?, by_patient: boolean?, count: integer?, train_split: number?, val_split: number?, copy: boolean?, say: function|boolean?, progress: function?}
--- from: a folder or a zip; count: this many images only; train_split 0.8, val_split 0.1; copy: bytes of its own instead of a
--- second name for the same ones; say: where warnings go (standard error; false: nowhere)
---@return dataset
function build_dataset.build(given)
  given = check_options(given)
  local seed, train_split, val_split = given.seed or 42, given.train_split or TRAIN_SPLIT, given.val_split or VAL_SPLIT
  local from, problem = source.open(given.from)
  if not from then fail(problem) end
  local images = sample(from.images, given.count, seed)
  local sides = given.by_patient and split.by_patient(images, seed, train_split, val_split)
    or split.at_random(#images, seed, train_split, val_split)
  local set = { dir = given.to, counts = count_sides(images, sides), class_names = class_names(images) }
  for _, side in ipairs(split.SIDES) do set[side] = given.to .. "/" .. side end
  set.leaking, set.patients = split.leaking(images, sides)
  local names = {}
  for i, image in ipairs(images) do names[i] = ("%s/%s/%s"):format(sides[i], image.class, image.name) end
  local files
  files, problem = place_all(from, given.to, images, names, given)
  from:close()
  if not files then fail(problem) end
  set.sha256, problem = manifest.finish(given.to, settings_of(set, given, seed), files)
  if not set.sha256 then fail(problem) end
  set.foreign = count_foreign(given.to, files)
  set.warnings = warnings_of(set, given, from)
  local say = speaker(given.say)
  for _, warning in ipairs(set.warnings) do say("warning: " .. warning) end
  return set
end

local USAGE = [[
giemsa datasets/build_dataset.lua --from PATH --to DIR [options]     Splits images in class folders into training,
                                                                    validation and testing.
  --from PATH           a folder of class folders, or a zip of one (cell_images.zip)
  --to DIR              the folder to make
  --seed N              of the shuffle (42, as in the course)
  --by-patient          no patient on two sides (the patient is ^C%d+ of the file name)
  --count N             only so many images, drawn at random (0: all)
  --train-split SHARE   images for training and validation (0.8)
  --val-split SHARE     of these, for validation (0.1)
  --copy                copy the files; else they share their bytes with the source where they can
  --quiet               no warnings]]

script.run("build_dataset.lua", function()
  local given = args.parse(USAGE, { from = "", to = "", seed = 42, by_patient = false, count = 0, train_split = TRAIN_SPLIT,
    val_split = VAL_SPLIT, copy = false, quiet = false })
  if given.from == "" or given.to == "" then error("--from and --to are needed; --help lists the options") end
  local set = build_dataset.build { from = given.from, to = given.to, seed = given.seed, by_patient = given.by_patient, copy = given.copy,
    count = given.count > 0 and given.count or nil, train_split = given.train_split, val_split = given.val_split, say = not given.quiet }
  for _, side in ipairs(split.SIDES) do print(("%-10s %s"):format(side, counts_text(set.counts[side], set.class_names))) end
  print("sha256 = " .. set.sha256)
end)

return build_dataset
