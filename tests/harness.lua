--- A test file: t.test(name, f) runs at once; t.done() prints "FILE: N passed, N failed, N skipped" and sets the exit code.
local harness = {}

io.stdout:setvbuf("line")
local passed, failed, skipped = 0, 0, 0
local name_of_file = (arg and arg[0] or "tests"):match("([^/]+)%.lua$") or "tests"
local SKIP = {}

local shared = os.getenv("GIEMSA_SHARED") or "../shared"
local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end
--- Folder of the reference numbers, nil where there is none; `datasets` likewise.
harness.fixtures = exists(shared .. "/fixtures/README.md") and shared .. "/fixtures" or nil
harness.datasets = exists(shared .. "/datasets/README.md") and shared .. "/datasets" or nil
--- Where the program was built, and the program.
harness.build = os.getenv("GIEMSA_BUILD") or "build"
harness.program = os.getenv("GIEMSA_PROGRAM") or harness.build .. "/bin/giemsa"
--- What runs this file, for tests that start another process.
harness.interpreter = os.getenv("GIEMSA_PROGRAM") or arg and arg[-1] or "lua5.4"
--- True under a sanitizer, valgrind or an emulator: tests may take smaller sizes then.
harness.is_slow = os.getenv("GIEMSA_SLOW") ~= nil
--- What the program was built with: "address,undefined", "thread" or "".
harness.sanitizer = os.getenv("GIEMSA_SANITIZE") or ""

local function report(mark, name, message)
  io.write(("%s %s/%s%s\n"):format(mark, name_of_file, name, message and ": " .. message or ""))
end

--- Runs one test; a raise is a failure, harness.skip a skip.
function harness.test(name, body)
  local ok, problem = xpcall(body, function(e)
    if type(e) == "table" and e[SKIP] then return e end
    return debug.traceback(tostring(e), 2)
  end)
  if ok then
    passed = passed + 1
    if os.getenv("VERBOSE") then report("ok  ", name) end
  elseif type(problem) == "table" and problem[SKIP] then
    skipped = skipped + 1
    report("skip", name, problem.reason)
  else
    failed = failed + 1
    report("FAIL", name, problem)
  end
end

--- Leaves the running test as skipped; the reason is printed.
function harness.skip(reason) error({ [SKIP] = true, reason = reason }, 0) end

--- The fixtures folder, or skips.
function harness.need_fixtures() return harness.fixtures or harness.skip("no ../shared/fixtures here") end
--- The folder of real data, or skips.
function harness.need_datasets() return harness.datasets or harness.skip("no ../shared/datasets here") end

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for k, v in pairs(value) do parts[#parts + 1] = (type(k) == "number" and "" or tostring(k) .. "=") .. show(v) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end

--- Deep equality of plain values and tables.
function harness.equal(got, want, what)
  if not same(got, want) then error(("%sexpected %s, got %s"):format(what and what .. ": " or "", show(want), show(got)), 2) end
end

function harness.ok(value, what) if not value then error(what or "expected a true value", 2) end end

local function flat(value, out)
  if type(value) == "number" then out[#out + 1] = value
  elseif type(value) == "table" then for _, v in ipairs(value) do flat(v, out) end
  else flat(value:reshape(-1):totable(), out) end
  return out
end

--- |got - want| <= abs + rel * |want| for every number of two numbers, nested tables or tensors.
---@return number worst the largest |got - want|
function harness.close(got, want, abs, rel, what)
  local g, w = flat(got, {}), flat(want, {})
  local prefix = what and what .. ": " or ""
  if #g ~= #w then error(("%sexpected %d numbers, got %d"):format(prefix, #w, #g), 2) end
  local worst = 0
  for i = 1, #w do
    local d = math.abs(g[i] - w[i])
    local both_nan = g[i] ~= g[i] and w[i] ~= w[i]
    if not (d <= (abs or 0) + (rel or 0) * math.abs(w[i]) or g[i] == w[i] or both_nan) then
      error(("%selement %d: expected %.9g, got %.9g"):format(prefix, i, w[i], g[i]), 2)
    end
    if d > worst then worst = d end
  end
  return worst
end

--- The call must raise a message that matches the pattern; returns the message.
function harness.raises(call, pattern, ...)
  local ok, message = pcall(call, ...)
  if ok then error(("expected an error matching %q, but the call succeeded"):format(pattern), 2) end
  if type(message) == "table" and message[SKIP] then error(message, 0) end
  message = tostring(message)
  if not message:find(pattern) then error(("expected an error matching %q, got: %s"):format(pattern, message), 2) end
  return message
end

local scratch
--- A folder of this run's own, removed at the end.
function harness.tmpdir()
  if not scratch then
    local pipe <close> = assert(io.popen("mktemp -d"))
    scratch = assert(pipe:read("l"), "mktemp made no folder")
  end
  return scratch
end

--- Writes a file (into the scratch folder, say) and returns its path.
function harness.write(path, text)
  local f <close> = assert(io.open(path, "wb"))
  assert(f:write(text))
  return path
end

--- A word for the shell.
function harness.quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

--- Runs a shell command; what it printed (errors too) and its exit code.
---@param command string
---@return string output
---@return integer code 128 + the signal when a signal ended it
function harness.shell(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1"))
  local output = pipe:read("a")
  local _, how, code = pipe:close()
  return output, how == "signal" and 128 + code or code
end

local function text_of(path)
  local f <close> = io.open(path, "rb")
  return f and f:read("a") or ""
end

--- Runs a shell command in a (pseudo) terminal of 80 columns, made by `script`, and types each entry after its "after" text has
--- been shown since the last one; skips where there is no `script`.
---@param command string
---@param entries {after: string, type: string}[]
---@return string shown
function harness.typed(command, entries)
  if select(2, harness.shell("command -v script")) ~= 0 then harness.skip("no `script` (util-linux) here") end
  local shown = harness.tmpdir() .. "/shown"
  os.remove(shown)
  local inner = "trap : INT; stty cols 80 rows 40; " .. command -- (Ctrl-C reaches the shell too, and dash would end by it)
  local typing = assert(io.popen(("TERM=xterm timeout 30 script -qefc %s %s >/dev/null"):format(harness.quote(inner), shown), "w"))
  local seen = 1
  for _, entry in ipairs(entries) do
    local stop
    for _ = 1, 300 do
      stop = select(2, text_of(shown):find(entry.after, seen, true))
      if stop then break end
      harness.shell("sleep 0.02")
    end
    if not stop then error(("%q was not shown:\n%s"):format(entry.after, text_of(shown)), 2) end
    seen = stop + 1
    harness.shell("sleep 0.05")
    typing:write(entry.type)
    typing:flush()
  end
  typing:close()
  return text_of(shown)
end

--- A working folder with nothing in it but what a checkout has.
---@param name string
---@return string path
function harness.checkout(name)
  local here, folder = harness.shell("pwd"):gsub("\n", ""), harness.tmpdir() .. "/" .. name
  local links = { "lua", "datasets", "examples", "notebooks" }
  if harness.build:sub(1, 1) ~= "/" then links[#links + 1] = harness.build end
  local commands = { "mkdir -p " .. harness.quote(folder) }
  for _, link in ipairs(links) do
    commands[#commands + 1] = ("ln -s %s %s"):format(harness.quote(here .. "/" .. link), harness.quote(folder .. "/" .. link))
  end
  local output, code = harness.shell(table.concat(commands, " && "))
  harness.equal(code, 0, output)
  return folder
end

--- Removes the folder of tmpdir().
function harness.clean()
  if scratch then os.execute(("rm -rf '%s'"):format(scratch)) end
end

--- Prints the count and ends the process.
function harness.done()
  harness.clean()
  io.write(("%s: %d passed, %d failed, %d skipped\n"):format(name_of_file, passed, failed, skipped))
  os.exit(failed == 0, true)
end

return harness
