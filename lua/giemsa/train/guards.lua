--- Mistakes that spoil a judgement without any error: the judge shuffles, varies the pictures, or
--- knows the patients. Each is said once.
local data = require "giemsa.data"

local guards = {}

local said = setmetatable({}, { __mode = "k" })

-- Once for each thing (a source).
local function warn(thing, message, ...)
  if said[thing] and said[thing][message] then return end
  said[thing] = said[thing] or {}
  said[thing][message] = true
  io.stderr:write("warning: ", message:format(...), "\n")
end

--- Raises when a source shuffles and rows must be told apart.
---@param who string
---@param source giemsa.Source
---@param level integer error level
function guards.refuse_shuffle(who, source, level)
  if not source.shuffle then return end
  error(who .. ": this source shuffles, so the rows would come in an order nobody knows; "
    .. "make it with shuffle = false", level == 0 and 0 or level + 1)
end

--- Says that pictures are varied at random where the net is judged.
---@param who string
---@param source giemsa.Source
function guards.warn_of_variations(who, source)
  local generator = source.image_data_generator
  local names = generator and generator:variations() or {}
  if #names == 0 then return end
  warn(source, "%s: these pictures are varied at random (%s), so the result changes with each pass "
    .. "and is no fair judgement; make the source with an ImageDataGenerator{rescale = ...} of its "
    .. "own",
    who, table.concat(names, ", "))
end

--- Says that only a part of a source that shuffles is looked at: another part each time.
---@param who string
---@param source giemsa.Source
---@param steps integer?
function guards.warn_of_shuffled_part(who, source, steps)
  if not source.shuffle or not source.n or not steps or steps >= #source then return end
  warn(source, "%s: only %d of %d batches of a source that shuffles are used: another part of the "
    .. "data each time; make it with shuffle = false", who, steps, #source)
end

--- Says that a patient's cells are in training and in validation.
---@param training giemsa.Source
---@param validation giemsa.Source
function guards.warn_of_leakage(training, validation)
  if not (training.filenames and validation.filenames) then return end
  local both = data.leakage(training, validation)
  if #both == 0 then return end
  local some = table.concat(both, ", ", 1, math.min(#both, 5)) .. (#both > 5 and ", ..." or "")
  warn(validation, "fit: %d patients (%s) have cells in training and in validation: the validation "
    .. "is too kind, since the net knows these patients. Split by patient: "
    .. "datasets/build_dataset.lua --by-patient", #both, some)
end

return guards
