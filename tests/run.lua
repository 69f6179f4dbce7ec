--- Runs test files, each in a process of its own with a time limit, and adds up their counts.
--
--   run.lua [--full | -s SUITE...] [NAME...]    the last line is "N passed, N failed" and, if any, ", N skipped"
--
-- Failures are shown as they happen. A file that ends without its count (a crash, the time limit) is one failure.
-- A suite is a way to run the files: another interpreter, another instruction set, a sanitizer, another machine.

local BUILD = os.getenv("GIEMSA_BUILD") or "build"
local HELPERS = { harness = true, run = true, bench = true, fuzz = true }
local VERBOSE = os.getenv("VERBOSE")
local TIME_LIMIT = tonumber(os.getenv("TIME_LIMIT") or 900) -- seconds a file

io.stdout:setvbuf("line")
local is_terminal = os.execute("test -t 1")
local function paint(colour, text) return is_terminal and ("\27[%dm%s\27[0m"):format(colour, text) or text end
local RED, GREEN, GREY = 31, 32, 90

local function words(text)
  local list = {}
  for word in text:gmatch("%S+") do list[#list + 1] = word end
  return list
end

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  local _, _, code = pipe:close()
  return text:gsub("%s+$", ""), code
end

local function seconds() return tonumber((output_of("date +%s.%N"))) end

local function all_names(except)
  local names = {}
  for _, path in ipairs(words((output_of("ls tests/*.lua")))) do
    local name = path:match("([^/]+)%.lua$")
    if not HELPERS[name] and not (except and except[name]) then names[#names + 1] = name end
  end
  return names
end

-- ---- suites
-- prepare: a shell command that builds what is needed; status 77 means that it cannot be had here. label: stands before
-- the names in what is shown. names: which files (all when absent); except: all but these.

-- A make of its own: not a part of the one that may have started this.
local MAKE = "env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS make -s "
local PROGRAM = BUILD .. "/bin/giemsa"
local NUMBERS = words "conv fuse grad image infer nn ops parity random tensor train" -- what kernels compute
local THREADS = words "conv data fuse infer ops parity robust smoke train"

local function variant(folder, setting)
  return ("env GIEMSA_BUILD=%s %s %s/bin/giemsa"):format(folder, setting or "", folder)
end

local function with_isa(isa)
  local command = ("env GIEMSA_ISA=%s %s"):format(isa, PROGRAM)
  return { label = isa, prepare = command .. " -e 'require \"giemsa.core\"' || exit 77", command = command, names = NUMBERS }
end

local suites = {
  default = { command = PROGRAM, except = { browser = true, livepage = true } },
  browser = { label = "browser", command = PROGRAM, names = { "browser", "livepage" } },
  lua54 = { label = "lua5.4", names = words "cell data datasets notebook ops parity plot program save smoke tensor train",
    command = ("env LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='%s/lib/?.so;;' lua5.4"):format(BUILD) },
  base = with_isa("base"),
  v3 = with_isa("v3"),
  one_thread = { label = "1 thread", command = "env GIEMSA_THREADS=1 " .. PROGRAM, names = NUMBERS },
  clang = { label = "clang", prepare = MAKE .. "build-clang", command = variant("build-clang"), names = NUMBERS },
  asan = { label = "asan", prepare = MAKE .. "build-asan", except = { course = true, browser = true, livepage = true },
    command = variant("build-asan", "GIEMSA_SLOW=1 GIEMSA_SANITIZE=address,undefined") },
  tsan = { label = "tsan", prepare = MAKE .. "build-tsan", command = variant("build-tsan", "GIEMSA_SLOW=1 GIEMSA_SANITIZE=thread"),
    names = THREADS },
  valgrind = { label = "valgrind", names = { "smoke" }, command = "env GIEMSA_SLOW=1 GIEMSA_ISA=base valgrind -q --error-exitcode=9 "
    .. "--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite " .. PROGRAM },
  fuzz = { label = "fuzz", command = PROGRAM, names = { "fuzz" }, -- where clang has its fuzzer
    prepare = "echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -x c - -o /dev/null || exit 77" },
  arm64 = { label = "arm64", prepare = "env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS .ci/arm64", command = "env GIEMSA_SLOW=1 build-arm64/run",
    names = words(table.concat(NUMBERS, " ") .. " grade submissions") }, -- qemu-user has no Landlock: nothing is graded there
}
local FULL = words "default lua54 base v3 one_thread clang browser asan tsan valgrind fuzz arm64"

-- ---- running

---@class counts
---@field passed integer
---@field failed integer
---@field skipped integer

local function add(total, counts)
  for key, n in pairs(counts) do total[key] = total[key] + n end
end

-- Shows a file's lines as they come (but not those of tests that passed) and finds its count.
local function follow(command, shown_as)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local counts
  for line in pipe:lines() do
    local passed, failed = line:match("^[%w_]*:? *(%d+) passed, (%d+) failed")
    if passed then
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

local function run_file(suite, name)
  local shown_as = suite.label and suite.label .. "/" .. name or name
  local start = seconds()
  local counts = follow(("timeout -k 5 %d %s tests/%s.lua"):format(TIME_LIMIT, suite.command, name), shown_as)
  local text = ("%-24s %4d passed%s%s"):format(shown_as, counts.passed, counts.failed > 0 and (", %d failed"):format(counts.failed) or "",
    counts.skipped > 0 and (", %d skipped"):format(counts.skipped) or "")
  print(paint(counts.failed > 0 and RED or GREEN, text) .. paint(GREY, (" (%.1f s)"):format(seconds() - start)))
  return counts
end

-- Whether the suite can run: nil when it can, else the counts to add.
local function prepare(suite)
  if not suite.prepare then return nil end
  local output, code = output_of("{ " .. suite.prepare .. "\n} 2>&1 </dev/null")
  if code == 0 then return nil end
  print(output)
  if code == 77 then
    print(("skip %s: it cannot be had here"):format(suite.label))
    return { passed = 0, failed = 0, skipped = 1 }
  end
  print(paint(RED, ("FAIL %s: `%s` ended with %d"):format(suite.label, suite.prepare, code)))
  return { passed = 0, failed = 1, skipped = 0 }
end

local function run_suite(suite, names)
  local unready = prepare(suite)
  if unready then return unready end
  local total = { passed = 0, failed = 0, skipped = 0 }
  for _, name in ipairs(#names > 0 and names or suite.names or all_names(suite.except)) do add(total, run_file(suite, name)) end
  return total
end

-- ---- the command line

-- A mistake on the command line: nothing runs.
local function refuse(message)
  io.stderr:write(message, "\n")
  os.exit(2)
end

-- What runs by default, and what a suite asks for.
local function is_test(name)
  local known = {}
  for _, one in ipairs(all_names()) do known[one] = true end
  for _, suite in pairs(suites) do
    for _, one in ipairs(suite.names or {}) do known[one] = true end
  end
  return known[name]
end

local chosen, names = {}, {}
local i = 1
while arg[i] do
  if arg[i] == "--full" then
    chosen = FULL
  elseif arg[i] == "-s" then
    i = i + 1
    if not suites[arg[i]] then refuse("there is no suite named " .. tostring(arg[i])) end
    chosen[#chosen + 1] = arg[i]
  else
    names[#names + 1] = arg[i]:match("([^/]+)%.lua$") or arg[i]
    if not is_test(names[#names]) then
      refuse(("there is no test named %s; the tests are %s"):format(names[#names], table.concat(all_names(), " ")))
    end
  end
  i = i + 1
end
if #chosen == 0 then chosen = { "default" } end

local total = { passed = 0, failed = 0, skipped = 0 }
for _, name in ipairs(chosen) do
  local start = seconds()
  add(total, run_suite(suites[name], names))
  if #chosen > 1 then print(paint(GREY, ("%s took %.0f s"):format(name, seconds() - start))) end
end
print(("%d passed, %d failed%s"):format(total.passed, total.failed, total.skipped > 0 and (", %d skipped"):format(total.skipped) or ""))
os.exit(total.failed == 0)
