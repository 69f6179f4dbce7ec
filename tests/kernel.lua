--- The Jupyter kernel, by Jupyter's own programs: its test suite for kernels, and in tests/kernel/*.py what that suite
--- leaves out. Needs Python with jupyter_client; everything is installed into a scratch folder.
local t = require "tests.harness"
local core = require "giemsa.core"
local json = require "giemsa.json"

local PYTHON = os.getenv "GIEMSA_PYTHON" or "/usr/bin/python3"
local folder, root = t.tmpdir(), t.shell("pwd"):gsub("%s+$", "")

local function python_lacks(module)
  local code = core.run_program({ PYTHON, "-c", "import " .. module }, "", 60)
  return code ~= 0
end

local obstacle = require("giemsa.kernel").obstacle()
  or python_lacks "jupyter_client" and "python3-jupyter-client is not installed"

local function run(command)
  return t.shell(("cd %s && JUPYTER_PATH=%s/share/jupyter JUPYTER_RUNTIME_DIR=%s HOME=%s PYTHONPATH=%s/tests/kernel %s"):format(
    t.quote(folder), t.quote(folder), t.quote(folder), t.quote(folder), t.quote(root), command))
end

t.test("what is no message is refused, and only JSON is sent on", function()
  if obstacle then t.skip(obstacle) end
  local hash, wire = require "giemsa.hash", require "giemsa.kernel.wire"
  local function unpack(header, content)
    return wire.unpack("key", { "<IDS|MSG>", hash.hmac_sha256("key", header, "{}", "{}", content), header, "{}", "{}", content })
  end
  local message = unpack('{"msg_type":"x", "list":[null,1.0]}', ' {"code":"\\u00e4"}')
  t.equal({ message.header.msg_type, message.header_text, message.content_text },
    { "x", '{"list":[null,1.0],"msg_type":"x"}', '{"code":"\u{e4}"}' })
  for _, header in ipairs{ "", "null", "[]", '"x"', '{"msg_type":1}', '{"msg_type":"x" /* */ "y"}', '{"msg_type":"\xff"}',
    '{"msg_type":"\\ud800"}', '{"msg_type":"x","a":1e999}', '{"msg_type":"x","a":' .. ("["):rep(200) .. ("]"):rep(200) .. "}" } do
    t.equal({ unpack(header, "{}") }, { nil, "its header or content is none" }, header)
  end
  t.equal({ wire.unpack("key", { "<IDS|MSG>", "", "{}", "{}", "{}", "{}" }) }, { nil, "its signature is wrong" })
  t.equal({ wire.unpack("key", { "a", "b" }) }, { nil, "it is no message of Jupyter" })
end)

-- Runs a file of Python tests; each of its tests is one of ours.
local function run_python(name, module)
  local why = obstacle or module and python_lacks(module) and ("the Python module %s is not installed"):format(module)
  if why then return t.test(name, function() t.skip(why) end) end
  local output, code = run(("%s %s/tests/kernel/%s.py"):format(PYTHON, t.quote(root), name))
  local count = 0
  for line in output:gmatch "[^\n]+" do
    local result = line:find '^{"name"' and json.decode(line)
    if result then
      count = count + 1
      t.test(result.name, function()
        if result.status == "skipped" then t.skip(result.why) end
        t.ok(result.status == "ok", result.why)
      end)
    end
  end
  t.test(name .. " ran to its end", function() t.ok(code == 0 and count > 0, output) end)
end

t.test("is installed where Jupyter looks", function()
  local output, code = t.shell(("%s kernel --install --prefix %s"):format(t.program, t.quote(folder)))
  t.equal(code, 0, output)
  local path = folder .. "/share/jupyter/kernels/giemsa/kernel.json"
  t.ok(output:find("wrote " .. path, 1, true), output)
  local file <close> = assert(io.open(path))
  local spec = json.decode(file:read "a")
  t.equal({ spec.argv[2], spec.argv[3], spec.language }, { "kernel", "{connection_file}", "lua" })
  t.ok(core.file_info(spec.argv[1]), spec.argv[1])
  output = t.shell(("XDG_DATA_HOME=%s/data JUPYTER_DATA_DIR= %s kernel --install --user"):format(t.quote(folder), t.program))
  t.ok(output:find(folder .. "/data/jupyter/kernels/giemsa/kernel.json", 1, true), output)
  output, code = t.shell(t.program .. " kernel --install --prefix /proc")
  t.ok(code == 1 and output:find("--user installs it for you alone", 1, true), output)
end)

t.test("is taken back from where it was installed, and only that", function()
  local root = folder .. "/away"
  local place = root .. "/share/jupyter/kernels/giemsa"
  local function says(options, wanted, pattern)
    local output, code = t.shell(("%s kernel %s"):format(t.program, options))
    t.ok(code == wanted and output:find(pattern, 1, true), output)
  end
  local prefix = "--prefix " .. t.quote(root)
  says("--install " .. prefix, 0, "wrote")
  t.write(place .. "/logo.svg", "of another")
  says("--uninstall " .. prefix, 0, "removed " .. place .. "/kernel.json")
  t.ok(core.file_info(place .. "/logo.svg") and not core.file_info(place .. "/kernel.json"))
  os.remove(place .. "/logo.svg")
  says("--uninstall " .. prefix, 1, "No such file")
  says("--install " .. prefix, 0, "wrote")
  says("--uninstall " .. prefix, 0, "removed")
  t.ok(not core.file_info(place))
  says("--install --user " .. prefix, 2, "different places")
  says("--install --uninstall " .. prefix, 2, "take one")
  says("--install foo " .. prefix, 2, "'foo' is one word too many")
  local output, code = t.shell(("env -u HOME -u XDG_DATA_HOME -u JUPYTER_DATA_DIR %s kernel --install --user"):format(t.program))
  t.ok(code == 1 and output:find("HOME is not set", 1, true) and not output:find "traceback", output)
end)

t.test("mistakes on the command line are told", function()
  for _, case in ipairs{ { "", "usage" }, { "/no/such/file", "No such file" }, { "--instal", "did you mean" },
    { t.write(folder .. "/a.json", "[1]"), "not a connection file" },
    { t.write(folder .. "/b.json", '{"transport":"tcp"}'), "is no" } } do
    local output, code = t.shell(t.program .. " kernel " .. case[1])
    t.ok(code ~= 0 and output:find(case[2], 1, true), output)
  end
end)

run_python("suite", "jupyter_kernel_test")
run_python "messages"

t.done()
