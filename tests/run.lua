--- Runs test files, each in a process of its own with a time limit, and adds up their counts.
--
--   run.lua [-s SUITE] [NAME...]     the last line is "N passed, N failed" and, when there are any, ", N skipped"
--
-- Failures are shown as they happen. A file that ends without its count (a crash, the time limit) counts as one failure.
-- A suite is a way to run the files: another interpreter, another instruction set, a sanitizer (see `suites` below).

local BUILD = os.getenv("GIEMSA_BUILD") or "build"
local HELPERS = { harness = true, run = true, bench = true }
local VERBOSE = os.getenv("VERBOSE")
local TIME_LIMIT = tonumber(os.getenv("TIME_LIMIT") or 600)

io.stdout:setvbuf("line")
local is_terminal = os.execute("test -t 1")
local function paint(colour, text) return is_terminal and ("\27[%dm%s\27[0m"):format(colour, text) or text end
local RED, GREEN, GREY = 31, 32, 90

local function lines_of(command)
  local pipe <close> = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  return lines
end

local function all_names()
  local names = {}
  for _, path in ipairs(lines_of("ls tests/*.lua")) do
    local name = path:match("([^/]+)%.lua$")
    if not HELPERS[name] then names[#names + 1] = name end
  end
  return names
end

local function seconds() return tonumber(lines_of("date +%s.%N")[1]) end

---@class counts
---@field passed integer
---@field failed integer
---@field skipped integer

-- Shows a file's lines as they come and finds its count in the last of them.
local function follow(command, shown_as)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local counts
  for line in pipe:lines() do
    local passed, failed = line:match("(%d+) passed, (%d+) failed")
    if passed and line:find("^[%w_]*:? *%d+ passed") then
      counts = { passed = tonumber(passed), failed = tonumber(failed), skipped = tonumber(line:match("(%d+) skipped") or 0) }
    elseif VERBOSE or not line:find("^ok ") then
      print(line:find("^FAIL") and paint(RED, line) or line)
    end
  end
  local ok, how, code = pipe:close()
  if counts and (ok or counts.failed > 0) then return counts end
  local why = code == 124 and "took longer than " .. TIME_LIMIT .. " s" or ("ended with %s %d"):format(how, code or 0)
  print(paint(RED, ("FAIL %s: %s"):format(shown_as, counts and "passed, but " .. why or why)))
  return { passed = counts and counts.passed or 0, failed = 1, skipped = counts and counts.skipped or 0 }
end

local function run(suite, names)
  local total = { passed = 0, failed = 0, skipped = 0 }
  for _, name in ipairs(names) do
    local shown_as = suite.label and suite.label .. "/" .. name or name
    local start = seconds()
    local counts = follow(("timeout -k 5 %d %s tests/%s.lua"):format(TIME_LIMIT, suite.command, name), shown_as)
    local text = ("%-24s %4d passed%s%s"):format(shown_as, counts.passed, counts.failed > 0 and (", %d failed"):format(counts.failed) or "",
      counts.skipped > 0 and (", %d skipped"):format(counts.skipped) or "")
    print(paint(counts.failed > 0 and RED or GREEN, text) .. paint(GREY, (" (%.1f s)"):format(seconds() - start)))
    for key, n in pairs(counts) do total[key] = total[key] + n end
  end
  return total
end

local LUA54 = ("env LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='%s/lib/?.so;;' lua5.4"):format(BUILD)
local PROGRAM = BUILD .. "/bin/giemsa"
local suites = {
  default = { command = PROGRAM },
  lua54 = { label = "lua5.4", command = LUA54 },
  base = { label = "base", command = "env GIEMSA_ISA=base " .. PROGRAM },
  v3 = { label = "v3", command = "env GIEMSA_ISA=v3 " .. PROGRAM },
  threads1 = { label = "1 thread", command = "env GIEMSA_THREADS=1 " .. PROGRAM },
  sanitized = { label = BUILD, command = "env GIEMSA_SLOW=1 " .. PROGRAM },
}

local suite, names = suites.default, {}
local i = 1
while arg[i] do
  if arg[i] == "-s" then
    i = i + 1
    suite = suites[arg[i]] or error("there is no suite named " .. tostring(arg[i]))
  else
    names[#names + 1] = arg[i]:match("([^/]+)%.lua$") or arg[i]
  end
  i = i + 1
end
local total = run(suite, #names > 0 and names or all_names())
print(("%d passed, %d failed%s"):format(total.passed, total.failed, total.skipped > 0 and (", %d skipped"):format(total.skipped) or ""))
os.exit(total.failed == 0)
