--- A headless Chromium that does what a test says, by its debugging protocol over two pipes.
local core = require "giemsa.core"
local json = require "giemsa.json"

local Browser = {}
Browser.__index = Browser

local ARGUMENTS = "--headless=new --no-sandbox --disable-gpu --no-first-run --hide-scrollbars --mute-audio "
  .. "--disable-background-networking --remote-debugging-pipe"

-- The next message; they end with a zero byte.
local function receive(self)
  local parts = {}
  while true do
    local byte = self.from:read(1)
    if not byte then error("the browser has ended", 0) end
    if byte == "\0" then return json.decode(table.concat(parts)) end
    parts[#parts + 1] = byte
  end
end

local function send(self, method, params)
  self.id = self.id + 1
  self.to:write(json.encode{ id = self.id, method = method, sessionId = self.session,
    params = setmetatable(params or {}, { __jsontype = "object" }) }, "\0")
  self.to:flush()
  return self.id
end

-- What a page complains of is kept; a question whether to leave it is answered with yes.
local function take_event(self, message)
  if message.method == "Runtime.exceptionThrown" then
    local details = message.params.exceptionDetails
    table.insert(self.complaints, (details.exception or {}).description or details.text)
  elseif message.method == "Log.entryAdded" and message.params.entry.level == "error" then
    table.insert(self.complaints, message.params.entry.text)
  elseif message.method == "Page.javascriptDialogOpening" then
    send(self, "Page.handleJavaScriptDialog", { accept = true })
  end
end

--- Sends a command; its result.
---@param method string
---@param params table?
---@return table
function Browser:call(method, params)
  local id = send(self, method, params)
  while true do
    local message = receive(self)
    if message.id == id then
      if message.error then error(method .. ": " .. message.error.message, 0) end
      return message.result
    end
    take_event(self, message)
  end
end

--- The value of a JavaScript expression in the page.
function Browser:eval(expression)
  local result = self:call("Runtime.evaluate", { expression = expression, returnByValue = true, awaitPromise = true })
  if result.exceptionDetails then
    error((result.exceptionDetails.exception or {}).description or result.exceptionDetails.text, 0)
  end
  return result.result.value
end

-- What an expression gives in a page that may just be left: then nil.
local function eval_if_there(self, expression)
  local ok, value = pcall(self.eval, self, expression)
  if ok then return value end
  if not (value:find "navigated or closed" or value:find "context") then error(value, 0) end
end

--- Waits until an expression is true; the seconds it took. Raises after 30.
function Browser:wait(expression)
  local start = core.now()
  while not eval_if_there(self, "!!(" .. expression .. ")") do
    if core.now() > start + 30 then error("it never came: " .. expression, 0) end
    os.execute "sleep 0.02"
  end
  return core.now() - start
end

function Browser:go(address) self:call("Page.navigate", { url = address }) end

--- Types text at the keyboard, as it would be pasted.
function Browser:type(text) self:call("Input.insertText", { text = text }) end

local MODIFIERS = { alt = 1, ctrl = 2, meta = 4, shift = 8 }

--- Presses a key: "Enter", "Tab", "s"; with "ctrl", "shift".
function Browser:press(key, modifier)
  local code = ({ Enter = 13, Tab = 9, Escape = 27 })[key] or key:upper():byte()
  local params = { key = key, windowsVirtualKeyCode = code, modifiers = MODIFIERS[modifier] or 0 }
  params.type = "rawKeyDown"
  self:call("Input.dispatchKeyEvent", params)
  params.type = "keyUp"
  self:call("Input.dispatchKeyEvent", params)
end

--- The window's size, and whether it is dark.
function Browser:size(width, height, is_dark)
  self:call("Emulation.setDeviceMetricsOverride", { width = width, height = height, deviceScaleFactor = 1, mobile = false })
  self:call("Emulation.setEmulatedMedia", { features = { { name = "prefers-color-scheme", value = is_dark and "dark" or "light" } } })
end

--- Writes a picture of the page.
function Browser:picture(path)
  local data = self:call("Page.captureScreenshot", { format = "png" }).data
  local pipe <close> = assert(io.popen("base64 -d >" .. path, "w"))
  pipe:write(data)
end

function Browser:close()
  self.session = nil
  pcall(self.call, self, "Browser.close")
  self.from:close()
  self.to:close()
end

--- Starts one; its things lie in the folder.
---@param folder string
local function start(folder)
  os.execute(("mkfifo %s/to %s/from"):format(folder, folder))
  os.execute(("timeout 300 chromium %s --user-data-dir=%s/profile about:blank 3<%s/to 4>%s/from >/dev/null 2>%s/log &"):format(
    ARGUMENTS, folder, folder, folder, folder))
  local self = setmetatable({ to = assert(io.open(folder .. "/to", "wb")), from = assert(io.open(folder .. "/from", "rb")),
    id = 0, complaints = {} }, Browser)
  local target = self:call("Target.createTarget", { url = "about:blank" }).targetId
  self.session = self:call("Target.attachToTarget", { targetId = target, flatten = true }).sessionId
  for _, domain in ipairs { "Page", "Runtime", "Log" } do self:call(domain .. ".enable") end
  return self
end

return { start = start }
