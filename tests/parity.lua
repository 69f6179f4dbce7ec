--- Does giemsa compute what the reference libraries computed? Reads every group in a folder of fixtures and compares to the
--- tolerances of its README: giemsa tests/parity.lua [DIR]. A line a file, then "N passed, N failed".
local groups = { "ops", "affine", "resize", "pngload", "misc", "pipeline", "report", "net_tiny", "net_full" }
local json = require "dkjson"
local core = require "giemsa.core"

local dir = arg[1] or os.getenv("GIEMSA_FIXTURES") or "../shared/fixtures"
local verbose = not os.getenv("QUIET")

---@class Parity
---@field dir string the group's folder
local Parity = { passed = 0, failed = 0 }

local function line(ok, name, text)
  Parity[ok and "passed" or "failed"] = Parity[ok and "passed" or "failed"] + 1
  if not ok or verbose then print((ok and "ok    " or "FAIL  ") .. name .. (text and "  " .. text or "")) end
end

function Parity:path(name) return self.dir .. "/" .. name end

function Parity:read(name)
  local file <close> = assert(io.open(self:path(name), "rb"))
  return file:read("a")
end

--- A JSON file; nulls are absent.
function Parity:json(name) return assert(json.decode(self:read(name))) end

--- A .npy file as a tensor of floats.
function Parity:npy(name) return assert(core.npy_load(self:path(name))) end

function Parity:label(name) return self.group .. "/" .. name end

--- Exact equality of two values.
function Parity:equal(name, got, want)
  line(got == want, self:label(name), got ~= want and ("expected %s, got %s"):format(tostring(want), tostring(got)) or nil)
end

local function flat(value, out)
  if type(value) == "number" then out[#out + 1] = value
  elseif core.is_tensor(value) then return flat(value:reshape(-1):totable(), out)
  else for _, v in ipairs(value) do flat(v, out) end end
  return out
end

local function same_shape(got, want)
  if not (core.is_tensor(got) and core.is_tensor(want)) then return true end
  return table.concat(got.shape, ",") == table.concat(want.shape, ",")
end

--- |got - want| <= abs + rel * |want|, element by element. `tolerance(i, want)` may be a function in place of abs.
function Parity:close(name, got, want, abs, rel)
  local label = self:label(name)
  if not same_shape(got, want) then
    return line(false, label, ("shape (%s), expected (%s)"):format(table.concat(got.shape, ", "), table.concat(want.shape, ", ")))
  end
  local g, w = flat(got, {}), flat(want, {})
  if #g ~= #w then return line(false, label, ("%d numbers, expected %d"):format(#g, #w)) end
  local worst, bad, wrong = 0, nil, 0
  for i = 1, #w do
    local d = math.abs(g[i] - w[i])
    local allowed = (type(abs) == "function" and abs(w[i]) or abs) + (rel or 0) * math.abs(w[i])
    if not (d <= allowed) then bad, wrong = bad or i, wrong + 1 end
    if d > worst or d ~= d then worst = d end
  end
  line(not bad, label, bad and ("%d of %d differ, first number %d: expected %.9g, got %.9g"):format(wrong, #w, bad, w[bad], g[bad])
    or ("largest difference %.2g"):format(worst))
end

--- A condition with a text of its own.
function Parity:check(name, ok, text) line(ok, self:label(name), text) end

--- The numbers of a tensor or nested table in one list.
function Parity:numbers(value) return flat(value, {}) end

local function is_there(name)
  local file = io.open(dir .. "/" .. name)
  if file then file:close() end
  return file ~= nil
end

if not is_there("README.md") then
  print("skip  parity: no fixtures in " .. dir)
  print("parity: 0 passed, 0 failed, 1 skipped")
  os.exit(0)
end
for _, group in ipairs(groups) do
  local parity = setmetatable({ dir = dir .. "/" .. group, group = group }, { __index = Parity })
  local ok, problem = xpcall(function() require("tests.parity." .. (group:match("^net") or group))(parity) end, debug.traceback)
  if not ok then line(false, group, problem) end
end
print(("parity: %d passed, %d failed"):format(Parity.passed, Parity.failed))
os.exit(Parity.failed == 0, true)
