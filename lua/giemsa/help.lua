--- Help: the documentation that stands at the definition, found from a name or a value.
--
--   giemsa.help "nn.Conv2D"    giemsa.help(model.fit)    and at the prompt  ?nn.Conv2D  ??nn.l2
--
-- ?name shows words, parameters and options; ??name the source. What has no such name is searched
-- for: ?conv lists what is named like it.
local core = require "giemsa.core"
local docs = require "giemsa.docs"
local highlight = require "giemsa.highlight"
local lookup = require "giemsa.lookup"
local options = require "giemsa.options"

local help = {}

local WIDEST = 96

-- ---- laying out

-- Writes lines for a reader with so many columns, in colour or without.
---@class giemsa.help.Page
local Page = {}
Page.__index = Page

local STYLES = { title = "1", name = "36", dim = "90", heading = "1;94" }

local function new_page(opts)
  return setmetatable({ columns = math.min(opts.columns or 80, WIDEST), colour = opts.colour,
    lines = {} }, Page)
end

function Page:style(kind, text)
  if not self.colour or text == "" then return text end
  return "\27[" .. STYLES[kind] .. "m" .. text .. "\27[0m"
end

function Page:add(line) self.lines[#self.lines + 1] = line end

local function width_of(text) return utf8.len(text) or #text end

-- Words in lines of at most `columns`; the first starts after `used` columns, others at `indent`.
local function wrapped(text, columns, indent, used)
  local lines, line, width = {}, "", used
  for word in text:gmatch "%S+" do
    local more = width_of(word) + (line == "" and 0 or 1)
    if line ~= "" and width + more > columns then
      lines[#lines + 1] = line
      line, width, more = "", indent, width_of(word)
    end
    line, width = line == "" and word or line .. " " .. word, width + more
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n" .. (" "):rep(indent))
end

-- Paragraphs are filled anew; lines further in (examples, tables) stay as they are.
function Page:prose(text, indent)
  local paragraph, lead
  local function flush()
    if not paragraph then return end
    local hang = indent + #lead
    self:add((" "):rep(indent) .. lead .. wrapped(paragraph, self.columns, hang, hang))
    paragraph = nil
  end
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local bullet, item = line:match "^(%s*%- )(.*)$"
    if bullet then
      flush()
      lead, paragraph = bullet, item
    elseif paragraph and lead ~= "" and line:find "^%s+%S" then paragraph = paragraph .. " " .. line
    elseif line:find "^%s*$" or line:find "^   ?%S" or line:find "^    " then
      flush()
      self:add(line:find "%S" and (" "):rep(indent) .. line or "")
    elseif paragraph and lead == "" then paragraph = paragraph .. " " .. line
    else
      flush()
      lead, paragraph = "", line
    end
  end
  flush()
end

local function widest_of(rows, n)
  local width = 0
  for _, row in ipairs(rows) do width = math.max(width, width_of(row[n])) end
  return width
end

-- Rows { name, type, text } in columns; very wide cells do not widen their column.
function Page:rows(rows, indent)
  local names, types = math.min(widest_of(rows, 1), 30), math.min(widest_of(rows, 2), 24)
  for _, row in ipairs(rows) do
    local gap = (" "):rep(math.max(names - width_of(row[1]), 0))
    local kind = types > 0 and "  " .. row[2] .. (" "):rep(math.max(types - width_of(row[2]), 0))
      or ""
    local used = indent + width_of(row[1]) + #gap + width_of(kind) + 2
    local column = math.min(used, self.columns // 2)
    local text = wrapped(row[3], self.columns, column, used)
    self:add(((" "):rep(indent) .. self:style("name", row[1]) .. gap .. self:style("dim", kind)
      .. "  " .. text):gsub("%s+$", ""))
  end
end

function Page:heading(text)
  self:add ""
  self:add(self:style("heading", text))
end

function Page:text() return (table.concat(self.lines, "\n"):gsub("\n\n\n+", "\n\n")) .. "\n" end

-- ---- what to say

local function short_path(path)
  if lookup.is_ours("@" .. path) then return "giemsa/" .. path:sub(#lookup.home + 1) end
  return (path:gsub("^=", ""))
end

local function last_name(name) return name:match "([%w_]+)$" or name end

local function first_sentence(text)
  local paragraph = (text .. "\n\n"):match "^%s*(.-)\n%s*\n":gsub("%s*\n%s*", " ")
  return paragraph:match "^(.-[^.]%.)%s" or paragraph
end

-- A written-out table type is told field by field under "Options".
local function type_text(kind)
  if not kind:find "^{" or kind:find "^{%[" then return kind end
  return "table" .. (kind:match "[?%[%]]+$" or "")
end

local function module_name_of(value)
  for name, loaded in next, package.loaded do
    local is_ours = type(name) == "string" and name:find "^giemsa"
    if is_ours and rawequal(loaded, value) then return name end
  end
end

local USERDATA = { ["giemsa.tensor"] = "tensor" }

-- The class whose variable in the file has this method.
local function class_of_methods(methods)
  for _, f in next, type(methods) == "table" and methods or {} do
    local entry = type(f) == "function" and docs.of_function(f)
    local variable = entry and entry.name:match "^([%w_]+)[.:]"
    for _, other in ipairs(variable and docs.file(entry.path).entries or {}) do
      if other.class and other.name == variable then return other.class end
    end
  end
end

-- The name of the documented class that a value is of, or nil.
local function class_of(value)
  local module = module_name_of(value)
  if module and docs.class(module) then return module end
  local metatable = type(value) ~= "string" and debug.getmetatable(value)
  if type(metatable) ~= "table" then
    return type(value) == "table" and class_of_methods(value) or nil
  end
  local name = rawget(metatable, "__name")
  name = USERDATA[name] or name
  if type(name) == "string" and docs.class(name) then return name end
  return class_of_methods(rawget(metatable, "__index"))
end

-- Is the block right above the function, and not above something that a maker made of it?
local function is_above(entry, f)
  return entry and debug.getinfo(f, "S").linedefined == entry.line
end

-- "name(a, b)" as it would be called; layers as nn.Conv2D{filters, kernel_size, ...}.
local function signature(name, f, entry)
  local parameters = f and docs.parameters(f)
  local order = f and select(2, docs.options(f, last_name(name)))
  if order then
    return ("%s{%s}"):format(name, table.concat(order, ", ") .. (#order > 0 and ", ..." or "..."))
  end
  if not parameters or entry and not is_above(entry, f) then
    parameters = {}
    for i, param in ipairs(entry and entry.params or {}) do parameters[i] = param.name end
  end
  if name:find ":" and (parameters[1] == "self" or entry and not entry.name:find ":") then
    table.remove(parameters, 1)
  end
  return ("%s(%s)"):format(name, table.concat(parameters, ", "))
end

local function sorted_options(found)
  local rows = {}
  for key, text in pairs(found) do
    local kind, more = text:match "^(.-)  (.*)$"
    rows[#rows + 1] = { key, (kind or text):gsub("|", " or "), more or "" }
  end
  table.sort(rows, function(a, b) return a[1] < b[1] end)
  return rows
end

local function value_rows(values)
  local rows = {}
  for i, value in ipairs(values) do
    rows[i] = { value.name or "", type_text(value.type), value.text }
  end
  return rows
end

-- subject: { name =, f = function?, entry =?, field =? (from a class's list of fields) }
local function write_function(page, subject)
  local f, entry, field = subject.f, subject.entry, subject.field
  local where = entry and ("%s:%d"):format(short_path(entry.path), entry.line)
    or f and debug.getinfo(f, "S").what == "C" and "built in" or ""
  local has_names = f and docs.parameters(f) or entry
  local title = signature(subject.name, f, entry)
  if not has_names and field then
    title = subject.name .. field.type:gsub("^fun", ""):gsub("^%(self[^,)]*,?%s*", "(")
  end
  page:add(page:style("title", title) .. "  " .. page:style("dim", where))
  local prose = entry and entry.prose ~= "" and entry.prose or field and field.text or ""
  if prose ~= "" then page:prose(prose, 2) end
  local params = entry and table.move(entry.params, 1, #entry.params, 1, {}) or {}
  local is_method = subject.name:find ":" and #params > 0
  if is_method and not entry.name:find ":" then table.remove(params, 1) end
  if #params > 0 then
    page:heading "Parameters"
    page:rows(value_rows(params), 2)
  end
  local rows = f and sorted_options(docs.options(f, subject.name:match "[%w_]+$")) or {}
  if #rows > 0 then
    page:heading "Options"
    page:rows(rows, 2)
  end
  if entry and #entry.returns > 0 then
    page:heading "Returns"
    local returns = {}
    for i, value in ipairs(entry.returns) do
      returns[i] = { type_text(value.type), "", value.text }
    end
    page:rows(returns, 2)
  end
end

local function member_rows(value, class_name)
  local rows = {}
  for _, name in ipairs(lookup.names(value)) do
    local member = name:sub(1, 1) ~= "_" and rawget(type(value) == "table" and value or {}, name)
    local field = docs.field(class_name, name)
    if not field and member == nil then member = lookup.get(value, name) end
    local f = type(member) == "function" and member
      or type(value) == "table" and rawget(value, name)
    local entry = type(f) == "function" and (docs.layer(f, name) or docs.of_function(f, name))
    local said = entry and entry.prose ~= "" and entry.prose or field and field.text or ""
    local module = type(member) == "table" and module_name_of(member)
    local path = module and package.searchpath(module, package.path)
    if path and docs.file(path) then said = docs.file(path).head end
    if name:sub(1, 1) ~= "_" then rows[#rows + 1] = { name, "", first_sentence(said) } end
  end
  return rows
end

-- What a call of an object runs, where that is documented: __call, or what it passes its arguments
-- to.
local function called_by(value)
  local metatable = debug.getmetatable(value)
  local call = type(value) == "table" and type(metatable) == "table" and rawget(metatable, "__call")
  if type(call) ~= "function" then return nil end
  for i = 1, 20 do
    if docs.of_function(call) then return call, docs.of_function(call) end
    local upvalue_name, f = debug.getupvalue(call, i)
    if not upvalue_name then return nil end
    if type(f) == "function" and docs.of_function(f) then return f, docs.of_function(f) end
  end
end

-- A module, an object, a tensor: what it is and what it can do.
local function write_object(page, name, value)
  local f, entry = called_by(value)
  if f then
    write_function(page, { name = name, f = f, entry = entry })
    page:add ""
  end
  local class_name, module = class_of(value), module_name_of(value)
  local class = class_name and docs.class(class_name)
  local path = module and package.searchpath(module, package.path) or class and class.path
  page:add(page:style("title", name) .. "  "
    .. page:style("dim", ("%s  %s"):format(class_name or module or type(value),
      path and short_path(path) or "")))
  local prose = class and class.prose or ""
  if module and path and docs.file(path) then prose = docs.file(path).head end
  if prose ~= "" then page:prose(prose, 2) end
  local rows = member_rows(value, class_name)
  if #rows > 0 then
    page:heading(module and "In it" or "Fields and methods")
    page:rows(rows, 2)
  end
end

-- ---- finding by name, without a value

local function public_name(name) return (name:gsub("^giemsa%.", "")) end

-- Every documented name there is: a list of { name =, entry =?, field =? }.
local all_subjects
local function subjects()
  if all_subjects then return all_subjects end
  all_subjects = {}
  local function add(subject) all_subjects[#all_subjects + 1] = subject end
  for _, path in ipairs(docs.paths()) do
    local parsed = docs.file(path)
    for _, entry in ipairs(parsed.entries) do
      if entry.class and not entry.is_made then
        local is_module = entry.class:find "^giemsa%.%l[%w_]*$" and entry.class ~= "giemsa.picture"
        local is_callable = is_module or entry.class == "giemsa.picture" or entry.class == "tensor"
        for _, field in ipairs(is_callable and entry.fields or {}) do
          add{ name = public_name(entry.class) .. (is_module and "." or ":") .. field.name,
            field = field }
        end
      end
      if entry.is_made then
        add{ name = path:match "([%w_]+)%.lua$" .. "." .. entry.name, entry = entry }
      elseif entry.name:find "[.:]" and not entry.class
        and (entry.prose ~= "" or #entry.params > 0) then
        add{ name = public_name(entry.name), entry = entry }
      end
    end
  end
  return all_subjects
end

local function named(topic)
  local wanted, exact, same_last = topic:gsub(":", "."), {}, {}
  for _, subject in ipairs(subjects()) do
    local plain = subject.name:gsub(":", ".")
    if plain == wanted then exact[#exact + 1] = subject end
    if last_name(plain) == wanted then same_last[#same_last + 1] = subject end
  end
  return #exact > 0 and exact or same_last
end

-- Names that hold the wanted one, or are near to it when misspelt.
local function similar(topic)
  local wanted, found, by_last = last_name(topic):lower(), {}, {}
  for _, subject in ipairs(subjects()) do
    local name = last_name(subject.name)
    if #wanted > 1 and name:lower():find(wanted, 1, true) then found[subject.name] = true end
    by_last[name] = subject.name
  end
  local near = options.nearest(wanted, by_last)
  if near then found[by_last[near]] = true end
  local list = {}
  for name in pairs(found) do list[#list + 1] = name end
  table.sort(list, function(a, b) return #a < #b or #a == #b and a < b end)
  return table.move(list, 1, 12, 1, {})
end

local function not_found(topic)
  local list = similar(topic)
  if #list == 0 then return ("nothing is named '%s'"):format(topic) end
  return ("nothing is named '%s'. Like it: %s"):format(topic, table.concat(list, "  "))
end

-- What the name is the documented form of, when it leads to a value of giemsa's.
local function value_of(name)
  local method = name:match "^tensor:([%w_]+)$"
  return method and core.tensor_methods[method] or (lookup.resolve(name, lookup.globals))
end

local function write_subject(page, subject)
  local value = value_of(subject.name)
  if type(value) == "function" then
    subject.f = value
    subject.entry = subject.entry or docs.layer(value, last_name(subject.name))
      or docs.of_function(value, last_name(subject.name))
  end
  write_function(page, subject)
end

-- ---- the calls

local function scope_of(opts) return opts.scope or lookup.globals end

local function is_module_like(value) return type(value) == "table" or type(value) == "userdata" end

-- Lua's own functions.
local function write_standard(page, known)
  page:add(page:style("title", known.call) .. "  " .. page:style("dim", "Lua"))
  page:prose(known.text, 2)
end

local function write_value(page, name, value, owner)
  local known = type(value) == "function" and require "giemsa.help.standard"[value]
  if known then write_standard(page, known)
  elseif type(value) == "function" then
    local entry = docs.layer(value, last_name(name)) or docs.of_function(value, last_name(name))
    local class_name = owner ~= nil and class_of(owner)
    write_function(page, { name = name, f = value, entry = entry,
      field = class_name and docs.field(class_name, last_name(name)) })
  elseif is_module_like(value) then write_object(page, name, value)
  else page:add(("%s  %s"):format(page:style("title", name), type(value))) end
end

--- The help on a topic as text.
---@param topic any a name such as "nn.Conv2D" or "model:fit"; or a function, a module, an object
---@param opts? {columns?: integer, colour?: boolean, scope?: function} 80 columns and no colour;
---  scope: what a first name means
---@return string? text
---@return string? message when nothing is found: what is named like it
function help.text(topic, opts)
  opts = opts or {}
  local page = new_page(opts)
  if type(topic) ~= "string" then
    local entry = type(topic) == "function" and docs.of_function(topic)
    local name = entry and entry.name or module_name_of(topic)
    write_value(page, name or "this " .. type(topic), topic)
    return page:text()
  end
  topic = topic:match "^%s*(.-)[%s()]*$"
  local value, owner = lookup.resolve(topic, scope_of(opts))
  if value ~= nil then
    write_value(page, topic, value, owner)
    return page:text()
  end
  local found = named(topic)
  if #found == 0 then return nil, not_found(topic) end
  for i = 1, math.min(#found, 3) do
    if i > 1 then page:add "" end
    write_subject(page, found[i])
  end
  return page:text()
end

local function function_of(topic, opts)
  if type(topic) ~= "string" then return topic end
  topic = topic:match "^%s*(.-)[%s()]*$"
  local value = lookup.resolve(topic, scope_of(opts))
  if value == nil and named(topic)[1] then
    local subject = named(topic)[1]
    value = value_of(subject.name)
    if value == nil then return nil, subject.entry end
  end
  return value
end

local function lines_of(path, first)
  local parsed = docs.file(path)
  return parsed and table.concat(parsed.lines, "\n", first or 1)
end

-- From a block to the next line that is "end", for a function nobody has loaded yet.
local function source_of_entry(entry)
  local lines = docs.file(entry.path).lines
  local last = entry.line
  while last < #lines and not lines[last]:find "^end" do last = last + 1 end
  return table.concat(lines, "\n", entry.first, last), entry.path, entry.first
end

local function source_of(value, entry)
  if type(value) == "function" then return docs.source(value) end
  if entry then return source_of_entry(entry) end
  local module = module_name_of(value)
  local path = module and package.searchpath(module, package.path)
  if not path and class_of(value) then path = docs.class(class_of(value)).path end
  if path then return lines_of(path), path, 1 end
end

--- The source of a function or a module.
---@param topic any as for help.text
---@param opts? table as for help.text
---@return string? text
---@return string? message
function help.source(topic, opts)
  opts = opts or {}
  local value, entry = function_of(topic, opts)
  if value == nil and not entry then return nil, not_found(tostring(topic)) end
  local text, path, first = source_of(value, entry)
  if not text then
    return nil, type(value) == "function" and "its source is C, or was not kept"
      or ("%s is a %s"):format(tostring(topic), type(value))
  end
  local page = new_page(opts)
  page:add(page:style("dim", ("%s:%d"):format(short_path(path), first)))
  page:add(opts.colour and highlight.ansi(text) or text)
  return page:text()
end

--- Prints the help on a topic; giemsa.help(topic) is the same.
---@param topic any a name such as "nn.Conv2D"; or a function, a module, an object
function help.show(topic)
  local is_terminal = core.is_terminal(1)
  local text, message = help.text(topic, { columns = is_terminal and core.terminal_size() or 80,
    colour = is_terminal and not os.getenv "NO_COLOR" })
  io.write(text or message .. "\n")
end

return setmetatable(help, { __call = function(_, topic) help.show(topic) end })
