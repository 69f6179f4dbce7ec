--- The side of the kernel that has the notebook's variables: it runs cells as the prompt runs what is typed, completes,
-- explains and remembers. A request comes as its type and content, and is answered by one event, "reply" or "failed";
-- before that come the events "iopub", which are for everybody to see.
local commands = require "giemsa.repl.commands"
local core = require "giemsa.core"
local display = require "giemsa.display"
local docs = require "giemsa.docs"
local help = require "giemsa.help"
local interrupt = require "giemsa.interrupt"
local json = require "giemsa.json"
local present = require "giemsa.repl.present"
local Prompt = require "giemsa.repl.prompt"
local wire = require "giemsa.kernel.wire"
local bundle = require "giemsa.kernel.bundle"
local lookups = require "giemsa.kernel.lookups"
local typed = require "giemsa.kernel.typed"
local runlog = require "giemsa.runlog"
local Sink = require "giemsa.kernel.sink"

local array = wire.array

local function send(event, kind, content) core.worker_event(("s1s1s4"):pack(event, kind, content)) end

---@class giemsa.kernel.Worker
---@field prompt giemsa.Prompt
---@field count integer cells so far: In [count]
---@field history {line: integer, text: string, output: string?}[]
---@field is_silent boolean? the running request shows nothing
---@field sink giemsa.kernel.Sink
---@field pages table[] what the running cell explains
local Worker = {}
Worker.__index = Worker

function Worker:publish(kind, content)
  if not self.is_silent then send("iopub", kind, json.encode(content)) end
end

-- ---- calls that may take long

-- Ctrl-C ends the call; true and its results, or false and why.
local function call(f, ...)
  local results = table.pack(interrupt.resume(coroutine.create(f), ...))
  if interrupt.last() then return false, "interrupted!" end
  return table.unpack(results, 1, results.n)
end

-- ---- running cells

-- What errors call a cell.
local function name_of(count) return ("cell %d"):format(count) end

-- How the failure of a piece is told.
local function error_of(outcome, name)
  local message = outcome.message
  if outcome.ok then message = name .. ": interrupted!" end -- it caught the error
  message = runlog.shown(wire.clean(message))
  local traceback = array{ "\27[1;31m" .. message .. "\27[0m" }
  local frames = outcome.traceback or {}
  local says_more = #frames > 1 or frames[1] and frames[1]:match "^.-:%d+:" ~= message:match "^.-:%d+:"
  for _, frame in ipairs(says_more and frames or {}) do traceback[#traceback + 1] = "  " .. wire.clean(frame) end
  return { status = "error", ename = outcome.stopped and "Interrupted" or "LuaError", evalue = message,
    traceback = traceback }
end

-- What a cell's values look like; nil where there is nothing to see: io.write returns its file.
local function shown(values)
  local first = values[1]
  if values.n == 0 or values.n == 1 and (first == nil or io.type(first) or display.is_shown(first)) then return true, nil end
  return call(bundle.of_values, values)
end

function Worker:publish_result(outcome)
  local ok, data, metadata = shown(outcome.values)
  if not ok then return nil, { message = "the value cannot be shown: " .. tostring(data), traceback = {} } end
  if data then
    self:publish("execute_result", { execution_count = self.count, data = data, metadata = metadata })
  end
  return data and data["text/plain"]
end

-- Runs Lua. What is to be told of it when it failed.
function Worker:run_code(code, name)
  local outcome = self.prompt:attempt(code, name)
  if not outcome.ok or outcome.stopped then return error_of(outcome, name) end
  if code:find ";%s*$" then return nil end
  local text, failure = self:publish_result(outcome)
  if failure then return error_of(failure, name) end
  self.last_output = text
end

-- Does what stands in a cell, as at the prompt: a question, a command, or code.
function Worker:obey(code, name)
  local is_done, ends = commands.obey(self.prompt, code)
  if not is_done then return self:run_code(code, name) end
  if ends then self.pages[1] = { source = "ask_exit", keepkernel = false } end
end

-- Names with their values, or why there are none.
function Worker:expressions(wanted)
  local found = {}
  for name, code in pairs(type(wanted) == "table" and wanted or {}) do
    name = wire.clean(tostring(name))
    local outcome = self.prompt.session:eval("return " .. tostring(code), "=" .. name)
    local ok, data, metadata = outcome.ok, nil, nil
    if ok then ok, data, metadata = call(bundle.of_values, outcome.values) end
    if not outcome.ok then found[name] = error_of(outcome, name)
    elseif not ok then found[name] = error_of({ message = tostring(data) }, name)
    else found[name] = { status = "ok", data = data or {}, metadata = metadata or {} } end
  end
  return found
end

local MOST_REMEMBERED = 1000 -- cells: a session may last for days

function Worker:remember(code)
  local past, history = self.prompt.past, self.history
  table.insert(past, code)
  table.insert(history, { line = self.count, text = code, output = self.last_output })
  if #history <= MOST_REMEMBERED then return end
  table.remove(past, 1)
  docs.keep("=" .. name_of(table.remove(history, 1).line), nil)
end

-- Runs a cell: the reply, and whether it failed in a way that stops the cells sent behind it.
function Worker:execute(content)
  local code = content.code
  self.is_silent = content.silent == true
  local is_kept = not self.is_silent and content.store_history ~= false
  if is_kept then self.count = self.count + 1 end
  self:publish("execute_input", { code = code, execution_count = self.count })
  self.pages, self.last_output = array(), nil
  typed.allowed = content.allow_stdin == true
  local name = is_kept and name_of(self.count) or "cell"
  self.prompt.session.environment = nil -- globals mean what they mean in a script
  local failure = code:find "%S" and self:obey(code, name)
  self.sink:finish()
  if is_kept then self:remember(code) end
  local reply = failure or { status = "ok", payload = self.pages,
    user_expressions = self:expressions(content.user_expressions) }
  if failure then self:publish("error", failure) end
  reply.execution_count = self.count
  self.is_silent = nil
  return reply, failure and content.stop_on_error ~= false
end

-- ---- the loop

-- A reply as JSON, and whether it tells of a failure that stops what comes after.
local function reply_to(self, name, content)
  if type(content.code) ~= "string" then content.code = "" end
  local reply, stops
  if name == "execute" then reply, stops = self:execute(content) else reply = lookups[name](self, content) end
  return json.encode(reply), stops
end

-- A request that is not as it should be must not end the worker.
function Worker:answer(kind, content)
  local name = kind:match "^(.*)_request$"
  local ok, reply, stops = xpcall(reply_to, debug.traceback, self, name, content)
  if not ok then
    self.is_silent = nil
    local message = wire.clean("the kernel failed: " .. tostring(reply))
    reply = json.encode{ status = "error", ename = "KernelError", evalue = message,
      traceback = array{ message }, execution_count = self.count }
  end
  send(stops and "failed" or "reply", name .. "_reply", reply)
end

-- Explanations go to the pager.
local function explain_in_pager(worker)
  return function(prompt, topic, wants_source)
    local explain = wants_source and help.source or help.text
    local text, message = explain(topic, { colour = present.colour, scope = prompt:scope() })
    if not text then return io.write(message, "\n") and nil end
    table.insert(worker.pages, { source = "page", data = { ["text/plain"] = wire.clean(text) }, start = 0 })
  end
end

local function new_worker()
  local prompt = Prompt.new(call)
  local worker = setmetatable({ prompt = prompt, count = 0, history = {}, pages = array() }, Worker)
  prompt.explain = explain_in_pager(worker)
  worker.sink = Sink.new(function(kind, content) worker:publish(kind, content) end)
  display.sinks = { worker.sink }
  return worker
end

--- Serves the server that started this process, until it wants no more.
---@return integer code of the process
return function()
  local ok, message = core.worker_begin()
  if not ok then
    io.stderr:write("giemsa kernel: ", message, "\n")
    return 1
  end
  interrupt.only_resumes()
  arg = {}
  typed.take_over()
  local worker = new_worker()
  for request in core.worker_request do
    local kind, text = ("s1s4"):unpack(request)
    if kind == "shutdown_request" then break end
    worker:answer(kind, json.decode(text))
  end
  worker.prompt.session:close()
  return 0
end
