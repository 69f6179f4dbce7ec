--- A kernel for Jupyter: notebooks in Lua, with the evaluator and the display of lessons.
--
-- Two processes. The server (kernel/server.lua) owns the sockets and runs nobody's code; the worker (kernel/worker.lua)
-- runs the cells and knows nothing of sockets. What they say to each other is in core/worker.h.
local core = require "giemsa.core"
local json = require "giemsa.json"

local kernel = {}

--- Why there can be no kernel here; nil when there can.
---@return string?
function kernel.obstacle()
  if not pcall(require, "giemsa.zmq") then
    return "the Jupyter kernel needs ZeroMQ: sudo apt install libzmq3-dev, then make"
  end
  if not pcall(require, "giemsa.hash") then
    return "the Jupyter kernel needs Nettle: sudo apt install nettle-dev, then make"
  end
end

local FIELDS = { transport = "string", ip = "string", key = "string", shell_port = "number", iopub_port = "number",
  stdin_port = "number", control_port = "number", hb_port = "number" }

local function read_connection(path)
  local file <close>, problem = io.open(path, "rb")
  if not file then return nil, problem end
  local connection, message = json.decode(file:read "a")
  if type(connection) ~= "table" then return nil, ("%s: %s"):format(path, message or "not a connection file of Jupyter") end
  for name, kind in pairs(FIELDS) do
    if type(connection[name]) ~= kind then
      return nil, ("%s: not a connection file of Jupyter: '%s' is no %s"):format(path, name, kind)
    end
  end
  local scheme = connection.signature_scheme
  if connection.key ~= "" and scheme and scheme ~= "hmac-sha256" then
    return nil, ("%s: signatures are to be %s, but only hmac-sha256 is known"):format(path, scheme)
  end
  return connection
end

--- Serves the Jupyter that wrote a connection file, until it shuts the kernel down.
---@param path string
---@return integer? code of the process; nil and why it cannot begin
---@return string? message
function kernel.serve(path)
  local problem = kernel.obstacle()
  if problem then return nil, problem end
  local connection, message = read_connection(path)
  if not connection then return nil, message end
  local worker, why = core.start_worker{ core.program_path(), "kernel", "--worker" }
  if not worker then return nil, why end
  local server, trouble = require("giemsa.kernel.server").new(connection, worker)
  if not server then return nil, trouble end
  return server:serve()
end

-- ---- installing

-- The value of a variable of the environment; an empty one is none.
local function environment(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

-- Where Jupyter looks for what belongs to a user; nil and why.
local function user_folder()
  local own, home = environment "JUPYTER_DATA_DIR", environment "HOME"
  local data = environment "XDG_DATA_HOME" or home and home .. "/.local/share"
  if not own and not data then return nil, "the folder of this user is not known: HOME is not set (--prefix DIR says where to)" end
  return own or data .. "/jupyter"
end

---@alias giemsa.kernel.Where {user: boolean?, prefix: string?} for this user, or below a prefix; else /usr/local

-- The folder that tells Jupyter of the kernel; nil and why.
local function folder_of(where)
  local folder, message = (where.prefix or "/usr/local") .. "/share/jupyter", nil
  if where.user then folder, message = user_folder() end
  return folder and folder .. "/kernels/giemsa", message
end

--- Tells Jupyter of the kernel: writes kernel.json to where it looks.
---@param where giemsa.kernel.Where
---@return string? path of the kernel.json; nil and why
---@return string? message
function kernel.install(where)
  local folder, why = folder_of(where)
  if not folder then return nil, why end
  local path = folder .. "/kernel.json"
  local argv = { core.program_path(), "kernel", "{connection_file}" }
  local ok, message = core.write_file(path, json.encode{ argv = argv, display_name = "Lua (giemsa)", language = "lua",
    interrupt_mode = "signal", metadata = { debugger = false } } .. "\n")
  if not ok then return nil, message end
  return path
end

--- Takes back what kernel.install told Jupyter. What else is in the folder stays.
---@param where giemsa.kernel.Where
---@return string? path that was removed; nil and why
---@return string? message
function kernel.uninstall(where)
  local folder, why = folder_of(where)
  if not folder then return nil, why end
  local path = folder .. "/kernel.json"
  local ok, message = os.remove(path)
  if not ok then return nil, message end
  os.remove(folder) -- when it is empty
  return path
end

return kernel
