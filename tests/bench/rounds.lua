--- Taking turns: A B C A B C ..., a slice of time each, so that whatever else the machine does
--- meets all alike. What counts is the median of a contender's runs, over all rounds.
local contender = require "tests.bench.contender"
local core = require "giemsa.core"

local rounds = {}

local function median(sorted) return sorted[(#sorted + 1) // 2] end

--- Median, minimum and number of some times.
---@param times number[] milliseconds; gets sorted
---@return {median_ms: number, min_ms: number, n: integer}
function rounds.summary(times)
  table.sort(times)
  return { median_ms = median(times), min_ms = times[1], n = #times }
end

-- Starts a contender and lets it build its case; what it says of itself then.
local function enter(entry)
  local start = core.now()
  local one, why = contender.start(entry.name, { threads = entry.threads })
  if not one then return nil, why end
  local request = { seconds = 0 }
  for key, value in pairs(entry.request) do request[key] = value end
  local reply = one:ask(request)
  if reply.error then
    one:stop()
    return nil, ("%s: %s"):format(entry.label, reply.error:match("[^\n]+"))
  end
  request.seconds = entry.seconds
  return { entry = entry, process = one, request = request, times = {}, facts = reply,
    start_s = core.now() - start }
end

local function take_turn(one)
  local reply = one.process:ask(one.request)
  if reply.error then error(one.entry.label .. ": " .. reply.error, 0) end
  table.move(reply.times, 1, #reply.times, #one.times + 1, one.times)
  one.facts = reply
end

--- Runs some entries in turn.
---@param entries {name: string, label: string, threads: integer?, request: table}[] name: of a
---  contender
---@param opts {seconds: number, rounds: integer} seconds for each in all
---@return table[] results, one an entry that could be run, in order: { label, median_ms, min_ms, n,
---  threads, peak_mb, start_s, facts }
---@return string[] missing why others could not
function rounds.run(entries, opts)
  local running, missing, results = {}, {}, {}
  for _, entry in ipairs(entries) do
    entry.seconds = opts.seconds / opts.rounds
    local one, why = enter(entry)
    if one then running[#running + 1] = one else missing[#missing + 1] = why end
  end
  for _ = 1, opts.rounds do
    for _, one in ipairs(running) do take_turn(one) end
  end
  for i, one in ipairs(running) do
    local result = rounds.summary(one.times)
    result.label, result.threads, result.facts = one.entry.label, one.process.threads, one.facts
    result.peak_mb, result.start_s = one.facts.peak_mb, one.start_s
    results[i] = result
    one.process:stop()
  end
  return results, missing
end

return rounds
