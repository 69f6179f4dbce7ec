--- A contender: a process of its own that is asked by a line of JSON and answers by one, so that
--- contenders can take turns, round by round, and each has its own memory to be measured.
local core = require "giemsa.core"
local dkjson = require "dkjson"
local harness = require "tests.harness"

local contender = {}

local quote, build = harness.quote, harness.build
local environment = build .. "/bench-env" -- `make bench PEERS=yes` makes it
local debian_python = "/usr/bin/python3"

-- PyTorch gives freed memory back to the system, and every step pays for fresh pages again. This
-- lets it keep its heap, in huge pages (`tests/bench.lua heap --peers` shows what that is worth).
local KEEP_HEAP = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:"
  .. "glibc.malloc.trim_threshold=8589934592:glibc.malloc.top_pad=268435456"

local function python_has(python, module)
  local code = core.run_program({ python, "-c", "import importlib.util as u, sys; "
    .. ("sys.exit(u.find_spec('%s') is None)"):format(module) }, "", 60)
  return code == 0
end

local function in_environment(module)
  local python = environment .. "/bin/python"
  return python_has(python, module) and python
end

-- The course's net as an ONNX file, exported by PyTorch when it is not there yet.
local function onnx_net()
  local path = build .. "/bench-course.onnx"
  if core.file_info(path) then return path end
  core.run_program({ debian_python, "-W", "ignore", "tests/bench/torch_peer.py", "export", path },
    "", 120)
  return core.file_info(path) and path
end

-- name -> function: the command, or nil and how to get it
local commands = {
  giemsa = function()
    return { harness.interpreter, "tests/bench/worker.lua" }
  end,
  pytorch = function()
    if not python_has(debian_python, "torch") then
      return nil, "PyTorch: sudo apt install python3-torch"
    end
    return { "env", "GLIBC_TUNABLES=" .. KEEP_HEAP, debian_python, "-W", "ignore",
      "tests/bench/torch_peer.py" }
  end,
  plain_pytorch = function() -- as it comes
    local command, why = contender.command "pytorch"
    if not command then return nil, why end
    return { table.unpack(command, 3) }
  end,
  onnx = function()
    local python = in_environment "onnxruntime"
    if not python then return nil, "ONNX Runtime: make bench PEERS=yes" end
    local net = onnx_net()
    if not net then return nil, "ONNX Runtime's net is exported by PyTorch (python3-torch)" end
    return { python, "tests/bench/onnx_peer.py", net }
  end,
  parts = function()
    local python = in_environment "keras_preprocessing"
    if not python then
      return nil, "keras-preprocessing and scikit-learn: make bench PEERS=yes"
    end
    return { python, "tests/bench/parts_peer.py" }
  end,
}

local Contender = {}
Contender.__index = Contender

--- The command that runs a contender.
---@param name "giemsa"|"pytorch"|"plain_pytorch"|"onnx"|"parts"
---@return string[]? command, string? why nil and how to get it
function contender.command(name) return commands[name]() end

local count = 0

--- Starts one; nil and how to get it when it is not here.
---@param name string as for contender.command
---@param opts {threads: integer?}? default: as many as here
---@return table? contender, string? why
function contender.start(name, opts)
  local command, why = commands[name]()
  if not command then return nil, why end
  local threads = opts and opts.threads or core.threads()
  local words = {}
  for i, word in ipairs(command) do words[i] = quote(word) end
  count = count + 1
  local replies = ("%s/replies%d"):format(harness.tmpdir(), count)
  assert(os.execute("mkfifo " .. quote(replies)))
  local self = setmetatable({ name = name, threads = threads }, Contender)
  self.requests = assert(io.popen(("GIEMSA_THREADS=%d PEER_THREADS=%d exec %s >%s"):format(threads,
    threads, table.concat(words, " "), quote(replies)), "w"))
  self.replies = assert(io.open(replies))
  os.remove(replies)
  return self
end

--- Runs a case; a problem comes back as reply.error.
---@param request table what, seconds, and what the case needs
---@return {times: number[], peak_mb: number, error: string?} reply
function Contender:ask(request)
  local ok = self.requests:write(dkjson.encode(request), "\n") and self.requests:flush()
  local line = ok and self.replies:read("l")
  if not line then return { error = "the process of " .. self.name .. " has ended" } end
  return (dkjson.decode(line))
end

function Contender:stop()
  self.requests:close()
  self.replies:close()
end

return contender
