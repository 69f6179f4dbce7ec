--- What came of a submission's checks becomes points, with a reason for each that is missing.

-- The checks of a cell as the student passed them: all that the master's solution has.
local function results_of(one, came, why)
  local by_name, results = {}, {}
  for _, result in ipairs(came) do by_name[result.name] = result end
  for i, name in ipairs(one.checks) do
    local result = by_name[name] or { name = name, status = "failed", message = "not reached" }
    local message = result.message
    if result.status ~= "passed" and why then message = why end
    results[i] = { name = name, status = result.status, message = message }
  end
  return results
end

local function reason_of(one, messages)
  for _, region in ipairs(one.regions) do
    if messages[region] then return ("%s: %s"):format(region, messages[region]) end
  end
end

--- The points of a submission that has been through.
---@param exercises giemsa.grade.Exercise[]
---@param job table its student, events, excluded regions, problem
---@return giemsa.Grade
local function add_up(exercises, job)
  local grade_of = { student = job.student, points = 0, of = 0, exercises = {}, notes = { job.note } }
  local cells, messages, notes = {}, {}, grade_of.notes
  for _, event in ipairs(job.events or {}) do
    if event.what == "cell" then cells[event.number] = event end
    if event.what == "region" then messages[event.name] = event.message end
    if event.what == "note" or event.what == "trouble" then notes[#notes + 1] = event.text end
  end
  for region, why in pairs(job.excluded or {}) do messages[region] = why end
  local regions = {}
  for region in pairs(messages) do regions[#regions + 1] = region end
  table.sort(regions)
  for _, region in ipairs(regions) do
    notes[#notes + 1] = ("region '%s': %s"):format(region, messages[region])
  end
  notes[#notes + 1] = job.problem
  for i, one in ipairs(exercises) do
    local event = cells[one.number] or { results = {}, message = job.problem }
    local results, passed = results_of(one, event.results, reason_of(one, messages)), 0
    for _, result in ipairs(results) do
      if result.status == "passed" then passed = passed + 1 end
    end
    local points = one.points * passed / math.max(#results, 1)
    grade_of.exercises[i] = { name = one.name, points = points, of = one.points,
      results = results, message = event.message }
    grade_of.points, grade_of.of = grade_of.points + points, grade_of.of + one.points
  end
  return grade_of
end

return add_up
