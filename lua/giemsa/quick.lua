--- Small sizes, for whoever wants to see that all of a lesson runs before giving it its time.
--
--   local EPOCHS = giemsa.quick(25, 2)      -- 25; in a quick run 2
--
-- A quick run is asked for by `giemsa run --quick`, or GIEMSA_QUICK=1 for a plain script. It says so
-- in its output, since its numbers are not those that the lesson's text speaks of.

local function is_asked()
  local asked = os.getenv "GIEMSA_QUICK"
  return asked ~= nil and asked ~= "" and asked ~= "0"
end

local has_said = false

--- The first value, in a quick run the second. The first call of a quick run prints that it is one.
---@generic T
---@param full T what the lesson is written for
---@param small T what is enough to see that it runs
---@return T
local function quick(full, small)
  if not is_asked() then return full end
  if not has_said then
    has_said = true
    print "a quick run: sizes are small, so numbers and pictures are not those of the text"
  end
  return small
end

return quick
