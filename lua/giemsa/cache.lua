--- Results of cells that opted in (`cache=true`), kept from run to run: out/cache/LESSON/KEY/.
-- Right or refused: a cell is kept only when all it did was to make new values of plain data,
-- tensors and whole models, and to print and show. One that changes something made before it
-- (model:fit does), makes functions, or writes files runs each time, and the run says why.
--
-- The key is a hash of the text of this cell and of all code before it, of what the variables hold
-- that it names, the random numbers' state, the arguments, the machine's instruction set and
-- giemsa's version; besides, the files and settings it read must be as they were. The global stream
-- of random numbers then stands where the cell had left it.
local core = require "giemsa.core"
local graph = require "giemsa.cache.graph"
local json = require "giemsa.json"
local random = require "giemsa.random"
local runlog = require "giemsa.runlog"
local version = require "giemsa.version"
local watch = require "giemsa.cache.watch"

local cache = {}

-- ---- what a cell can reach of what was there before it

local function globals_now()
  local found = {}
  for name, value in next, _G do
    if type(name) == "string" and not package.loaded[name] and name ~= "arg" then
      found[name] = value
    end
  end
  return found
end

-- Lua's own globals are no student's.
local STANDARD = globals_now()

-- The locals that it names, and the globals.
local function roots_of(session, number)
  local roots = {}
  for _, name in ipairs(session:used(number)) do roots[name] = session:value(number, name) end
  for name, value in pairs(globals_now()) do
    if STANDARD[name] ~= value and roots[name] == nil then roots[name] = value end
  end
  return roots
end

-- ---- the key

local function sorted_text(digests)
  local lines = {}
  for name, digest in pairs(digests) do lines[#lines + 1] = name .. digest end
  table.sort(lines)
  return table.concat(lines, "\n")
end

local function key_of(runner, number)
  local digests, reason = graph.digests(roots_of(runner.session, number), true)
  if not digests then return nil, reason end
  local hash = require("giemsa.hash").new()
  local function add(text) hash:update(tostring(text) .. "\0") end
  add(version) add(core.isa()) add(os.getenv "GIEMSA_SEED") add(os.getenv "GIEMSA_QUICK")
  add(json.encode(random.get_state()))
  add(sorted_text(digests))
  for _, word in ipairs(runner.session.args) do add(word) end
  for i = 1, number do
    local one = runner.session.notebook.cells[i]
    if one.kind == "code" then add(one.body) end
  end
  return hash:hex():sub(1, 32)
end

local function folder_of(runner, number)
  local key, reason = key_of(runner, number)
  if not key then return nil, reason end
  local lesson = runlog.folder(runner.session.path):match "[^/]+$"
  return ("out/cache/%s/%s"):format(lesson, key)
end

-- ---- a hit

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

local function read_tensors(folder, count)
  if count == 0 then return {} end
  local found = require("giemsa.safetensors").read(folder .. "/tensors.safetensors")
  local list = {}
  for i = 1, count do list[i] = found[tostring(i)] end
  return list
end

local function read_models(folder, count)
  local list = {}
  for i = 1, count do
    list[i] = require("giemsa.save").load_model(("%s/model-%d.safetensors"):format(folder, i))
  end
  return list
end

---@class giemsa.CacheEntry
---@field values table<string, any[]> locals, each in a table
---@field globals table<string, any[]>
---@field outputs giemsa.RunOutput[]
---@field random table
---@field at integer when it was kept, seconds
---@field seconds number it had taken
---@field folder string

--- The kept results of a cell that comes next.
---@param runner giemsa.Runner
---@param number integer
---@return giemsa.CacheEntry? entry nil when there are none that may be used
function cache.find(runner, number)
  local folder = folder_of(runner, number)
  if not folder then return nil end
  local entry = json.decode(read(folder .. "/entry.json") or "")
  if type(entry) ~= "table" or not watch.is_unchanged(entry.seen) then return nil end
  local ok, values = pcall(function()
    return graph.read(read(folder .. "/values"), read_tensors(folder, entry.tensors),
      read_models(folder, entry.models))
  end)
  if not ok or not values then return nil end
  entry.folder, entry.values, entry.globals = folder, {}, {}
  for name, value in pairs(values) do
    local kind, own = name:match "^(%a+):(.*)$"
    entry[kind == "local" and "values" or "globals"][own] = value
  end
  return entry
end

local function show_again(folder, output)
  if output.kind == "stream" then
    io[output.name]:write(output.text)
    return
  end
  local data, display = output.data or {}, require "giemsa.display"
  local function bytes(mime) return data[mime] and read(folder .. "/" .. data[mime].file) end
  display{ text = data["text/plain"], html = data["text/html"], png = bytes "image/png",
    svg = bytes "image/svg+xml" }
end

--- Puts the values of an entry in place, and shows its outputs again.
---@param runner giemsa.Runner
---@param number integer
---@param entry giemsa.CacheEntry
function cache.use(runner, number, entry)
  for name, value in pairs(entry.globals) do _G[name] = value[1] end
  runner.session:skip(number, entry.values)
  random.set_state(entry.random)
  runner.log:capture(true)
  for _, output in ipairs(entry.outputs) do show_again(entry.folder, output) end
  runner.log:sync()
  runner.log:capture(false)
end

-- ---- keeping

-- The new values: the cell's locals, and globals that were not there. A changed global is an
-- earlier object changed.
local function new_values(session, number, before)
  local values = {}
  for _, name in ipairs(session:declared(number)) do
    values["local:" .. name] = session:get(name)
  end
  for name, value in pairs(globals_now()) do
    if before[name] == nil then values["global:" .. name] = value end
  end
  return values
end

local function outputs_of(runner, number)
  local run = assert(runlog.read(runner.log.path))
  return run.cells[number] and run.cells[number].outputs or {}
end

local function keep_pictures(runner, outputs, folder)
  for _, output in ipairs(outputs) do
    for _, value in pairs(output.data or {}) do
      local bytes = type(value) == "table" and read(runner.log.folder .. "/" .. value.file)
      if bytes then core.write_file(folder .. "/" .. value.file, bytes) end
    end
  end
end

-- The entry is written last: without it the rest is nothing.
local function write_entry(runner, folder, entry, written)
  keep_pictures(runner, entry.outputs, folder)
  for i, model in ipairs(written.models) do
    require("giemsa.save").save_model(model, ("%s/model-%d.safetensors"):format(folder, i))
  end
  if #written.tensors > 0 then
    require("giemsa.safetensors").write(folder .. "/tensors.safetensors", written.tensors)
  end
  assert(core.write_file(folder .. "/values", written.text))
  assert(core.write_file(folder .. "/entry.json", json.encode(entry)))
end

-- The first variable that holds something else than before, by name.
local function first_change(before, after)
  local names = {}
  for name, digest in pairs(before) do
    if after[name] ~= digest then names[#names + 1] = name end
  end
  table.sort(names)
  return names[1]
end

-- Why what the cell did to what was there before forbids to keep it, or nil.
local function change_of(session, number, digests, globals_before)
  local roots = roots_of(session, number)
  for name in pairs(roots) do
    if not digests[name] and globals_before[name] == nil then roots[name] = nil end -- new ones
  end
  local after, reason = graph.digests(roots)
  if not after then return reason end
  local name = first_change(digests, after)
  return name and ("it changes '%s', which an earlier cell made"):format(name)
end

--- Runs a cell and keeps its results if that is right. f runs it.
---@param runner giemsa.Runner
---@param number integer
---@param f fun(): giemsa.Outcome
---@return giemsa.Outcome outcome
---@return fun(seconds: number): string? keep to be called when the outputs are in the log; says why
---  nothing was kept
function cache.run(runner, number, f)
  local session, before = runner.session, globals_now()
  local folder, unkeyed = folder_of(runner, number)
  local digests, reached = graph.digests(roots_of(session, number))
  local seen, outcome = watch.call(runner.log.folder, f)
  local function keep(seconds)
    local reason = unkeyed or not digests and reached or not outcome.ok and "it failed"
      or seen.effect and "it " .. seen.effect or change_of(session, number, digests, before)
    if reason then return reason end
    local written, why = graph.write(new_values(session, number, before), reached)
    if not written then return why end
    local ok, problem = pcall(write_entry, runner, folder, { seen = seen, at = os.time(),
      random = random.get_state(), seconds = seconds, tensors = #written.tensors,
      models = #written.models,
      outputs = setmetatable(outputs_of(runner, number), { __jsontype = "array" }) }, written)
    if not ok then return tostring(problem) end
  end
  return outcome, keep
end

return cache
