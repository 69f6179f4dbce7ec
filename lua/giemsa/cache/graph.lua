--- The objects that can be reached from some values: what they hold now (to see later whether
-- somebody changed it), and the same written to a file and read back, if it is plain data, tensors
-- and models.
local core = require "giemsa.core"
local lookup = require "giemsa.lookup"

local graph = {}

local function sorted_names(values)
  local names = {}
  for name in pairs(values) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- ---- what it holds now

local Walk = {}
Walk.__index = Walk

function Walk:add(text)
  self.parts[#self.parts + 1] = text
  if #self.parts > 1000 then
    self.hash:update(table.concat(self.parts, "\0"))
    self.parts = {}
  end
end

local function refuse(reason) error({ reason = reason }, 0) end

-- Which object it is: within the process by its address, else by when it was met first.
function Walk:identity(value)
  if not self.is_portable then return ("%p"):format(value) end
  local number = self.seen[value]
  if not number then return "new" end
  return "#" .. number
end

local function key_text(walk, key)
  local kind = type(key)
  if kind == "number" then return ("number %a"):format(key) end
  if kind == "string" or kind == "boolean" then return kind .. tostring(key) end
  if walk.is_portable then refuse "holds a table whose keys are objects" end
  return kind .. walk:identity(key)
end

function Walk:table(value)
  local keys = {}
  for key in next, value do keys[#keys + 1] = { key_text(self, key), key } end
  table.sort(keys, function(a, b) return a[1] < b[1] end)
  for _, pair in ipairs(keys) do
    self:add(pair[1])
    self:value(pair[2])
    self:value(rawget(value, pair[2]))
  end
  local metatable = debug.getmetatable(value)
  if metatable then self:value(metatable) end
end

-- giemsa's own functions are taken as they are; what a student's function refers to may change.
local function upvalues(walk, f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return end
  if lookup.is_ours(info.source) then
    return walk:add(info.short_src:match "[^/]*$" .. info.linedefined)
  end
  walk:add(string.dump(f, true))
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then return end
    if name ~= "_ENV" then walk:value(value) end
  end
end

function Walk:userdata(value)
  if core.is_tensor(value) then
    self:add(core.to_bytes(value))
    self:value(value.grad)
  elseif core.is_picture(value) then
    self:add(value:bytes())
  else
    refuse("holds something that cannot be looked into (" .. tostring(value):match "^[^:]*" .. ")")
  end
end

function Walk:value(value)
  local kind = type(value)
  if kind == "number" then return self:add(("%a %s"):format(value, math.type(value))) end
  if kind ~= "table" and kind ~= "function" and kind ~= "userdata" and kind ~= "thread" then
    return self:add(kind .. tostring(value))
  end
  self:add(kind .. self:identity(value))
  if self.seen[value] then return end
  self.met = self.met + 1
  self.seen[value] = self.met
  if self.skip[value] then return end
  if kind == "table" then self:table(value)
  elseif kind == "function" then upvalues(self, value)
  elseif kind == "userdata" then self:userdata(value)
  else refuse "holds a coroutine" end
end

local function modules()
  local skip = { [_G] = true }
  for _, module in pairs(package.loaded) do
    if type(module) == "table" then skip[module] = true end
  end
  return skip
end

local function digest_of(walk, value)
  walk.hash = require("giemsa.hash").new()
  walk:value(value)
  walk.hash:update(table.concat(walk.parts, "\0"))
  walk.parts = {}
  return walk.hash:hex()
end

--- A digest for each of some named values, of all that can be reached from it; and the set of what
--- was reached. Portable digests are the same in another process, the others see also which object
--- is which.
---@param roots table<string, any>
---@param is_portable boolean?
---@return table<string, string>? digests nil and why when something cannot be looked into
---@return table<any, any>|string seen_or_reason
function graph.digests(roots, is_portable)
  local walk = setmetatable({ parts = {}, seen = {}, met = 0, skip = modules(),
    is_portable = is_portable }, Walk)
  local digests = {}
  for _, name in ipairs(sorted_names(roots)) do
    local ok, digest = pcall(digest_of, walk, roots[name])
    if not ok and type(digest) ~= "table" then error(digest, 0) end
    if not ok then return nil, ("'%s' %s"):format(name, digest.reason) end
    digests[name] = digest
  end
  return digests, walk.seen
end

-- ---- writing

local Writer = {}
Writer.__index = Writer

local function is_model(value) return (debug.getmetatable(value) or {}).__name == "giemsa.Model" end

local function tensor_text(writer, value)
  if value.requires_grad or value.grad then refuse "holds a tensor with a gradient" end
  if core.is_shared(value) then refuse "holds a tensor that shares its memory with another" end
  table.insert(writer.tensors, { name = tostring(#writer.tensors + 1), tensor = value })
  return ("x[%d]"):format(#writer.tensors)
end

local function table_text(writer, value)
  if debug.getmetatable(value) then refuse "holds an object with a metatable" end
  writer.count = writer.count + 1
  local place = ("t[%d]"):format(writer.count)
  writer.places[value] = place
  for key, item in next, value do
    local line = ("%s[%s]=%s"):format(place, writer:text(key), writer:text(item))
    table.insert(writer.lines, line)
  end
  return place
end

function Writer:text(value)
  local kind = type(value)
  if kind == "number" or kind == "string" or kind == "boolean" or kind == "nil" then
    return ("%q"):format(value)
  end
  if self.places[value] then return self.places[value] end
  if self.earlier[value] then refuse "shares something with earlier cells" end
  local place
  if kind == "table" and is_model(value) then
    table.insert(self.models, value)
    place = ("m[%d]"):format(#self.models)
  elseif kind == "table" then
    place = table_text(self, value)
  elseif core.is_tensor(value) then
    place = tensor_text(self, value)
  else
    refuse(("holds a %s"):format(kind))
  end
  self.places[value] = place
  return place
end

--- Named values as a text that graph.read understands, and the tensors and models it refers to.
---@param values table<string, any>
---@param earlier table<any, boolean> objects of earlier cells, which must not be copied
---@return {text: string, tensors: table[], models: table[]}? written nil and why
---@return string? reason
function graph.write(values, earlier)
  local writer = setmetatable({ lines = {}, places = {}, tensors = {}, models = {}, count = 0,
    earlier = earlier }, Writer)
  local last = {}
  collectgarbage() -- views of what is gone share nothing any more
  for _, name in ipairs(sorted_names(values)) do
    local ok, text = pcall(writer.text, writer, values[name])
    if not ok and type(text) ~= "table" then error(text, 0) end
    if not ok then return nil, ("'%s' %s"):format(name:match "[^:]*$", text.reason) end
    last[#last + 1] = ("[%q]={%s}"):format(name, text)
  end
  local lines = table.concat(writer.lines, "\n")
  return { text = ("%d\n%s\nreturn {%s}\n"):format(writer.count, lines, table.concat(last, ",")),
    tensors = writer.tensors, models = writer.models }
end

--- The values of a text of graph.write, each in a table: { name = {value} }.
---@param text string
---@param tensors userdata[]
---@param models table[]
---@return table<string, any[]>? values nil and why when the text is damaged
---@return string? message
function graph.read(text, tensors, models)
  local count, body = text:match "^(%d+)\n(.*)$"
  local tables = {}
  for i = 1, tonumber(count) or 0 do tables[i] = {} end
  local chunk, message = load(body or "", "=cache", "t", { t = tables, x = tensors, m = models })
  if not chunk then return nil, message end
  local ok, values = pcall(chunk)
  if not ok or type(values) ~= "table" then return nil, tostring(values) end
  return values
end

return graph
