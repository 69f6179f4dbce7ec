--- How a notebook's code is compiled to run by cells, every line where it stands in the file.
--
-- Forward: each code cell's marker line becomes, on the same line, a call that stops there and
-- hands out a keeper, a function that refers to all locals so far:
--
--   -- %% name="fit"     becomes     __cell(7, function() return model, data end);
--
-- Alone: the cell is a function that names the locals it can see as its upvalues, which
-- debug.upvaluejoin then makes the very variables of a keeper (scope:join):
--
--   local __keep = ...; local model, data; return function(...)  <the cell>  __keep(keeper) end
--
-- A constant known when compiled (<const> with a literal) is no variable; it is declared again.
local syntax = require "giemsa.syntax"

local source = {}

--- The names of locals, each once.
---@param locals giemsa.Local[]
---@return string[]
function source.unique_names(locals)
  local names, seen = {}, {}
  for _, one in ipairs(locals) do
    if not seen[one.name] then
      seen[one.name] = true
      names[#names + 1] = one.name
    end
  end
  return names
end

-- What stands at a stop: the number of the cell that comes, and the keeper.
local function stop_call(number, names)
  return ("__cell(%d,function()return %s end);"):format(number, table.concat(names, ","))
end

--- The code of a cell; one that is not to run keeps its lines.
---@param one giemsa.Cell
---@return string
function source.code_of(one)
  if one:has_tag "skip-execution" then return (one.body:gsub("[^\n]+", "")) end
  return one.body
end

--- The file as one function that stops before each code cell and, unless it returns, at its end.
--- plan: filled with what each code cell declares, and what stood before it.
---@param notebook giemsa.Notebook
---@param plan table
---@return string
function source.forward(notebook, plan)
  local parts = { "local __cell = ...; return function(...) ",
    syntax.script(notebook.header) }
  local locals, returns = {}, false
  local function add(text) parts[#parts + 1] = text end
  for i, one in ipairs(notebook.cells) do
    local body, scan = one.body, nil
    if one.kind == "code" then
      body = source.code_of(one)
      scan = syntax.scan(body)
      plan[i] = { locals = scan.locals, names = source.unique_names(locals),
        before = table.move(locals, 1, #locals, 1, {}) }
      add(stop_call(i, plan[i].names))
      table.move(scan.locals, 1, #scan.locals, #locals + 1, locals)
      returns = scan.returns ~= nil
    end
    add(scan and one.marker:match "[\r\n]*$" or one.marker)
    add(body)
  end
  plan.finish = { names = source.unique_names(locals), before = locals }
  if not returns then add("\n" .. stop_call(0, plan.finish.names)) end
  add("\nend")
  return table.concat(parts)
end

--- Why a notebook cannot be stepped though it compiles, or nil.
---@return string?
function source.obstacle(notebook, text)
  local path = notebook.path or "notebook"
  local hidden = syntax.hidden_lines(text, require("giemsa.notebook").is_marker)[1]
  if hidden then
    return ("%s:%d: this marker lies within a string or comment, where other notebook programs "
      .. "begin a cell; write it another way"):format(path, hidden)
  end
  for _, one in ipairs(notebook.cells) do
    local open = one.kind == "code" and syntax.scan(one.body).open
    if open then
      return ("%s:%d: a block that begins here goes on in the next cell (%s)")
        :format(path, one.first + open - 1, one:label())
    end
  end
end

-- The text with each <close> at its top level as <const> (of the same length).
local function without_close(text, locals)
  for _, one in ipairs(locals) do
    if one.attribute == "close" then
      text = text:sub(1, one.at - 1) .. "const" .. text:sub(one.at + 5)
    end
  end
  return text
end

--- Compiles a text alone. The keeper is handed out at its end, or before its `return`.
---@param text string
---@param scope giemsa.Scope
---@param name string of the chunk
---@param first_line integer where the text begins in the file
---@param environment table? its globals
---@return function? chunk takes what takes the keeper, gives the text's function; nil and why
---@return string? message
---@return giemsa.Local[] locals that it declares
---@return string[] names of these, each once
function source.alone(text, scope, name, first_line, environment)
  local scan = syntax.scan(text)
  local names = source.unique_names(scan.locals)
  local keep = (" do __keep(function() return %s end) end "):format(table.concat(names, ","))
  local at = scan.returns or #text + 1
  local head = ("local __keep = ...;%s;return function(...) "):format(scope:declarations(text))
  local chunk, message = load(head .. ("\n"):rep(first_line - 1)
    .. without_close(text:sub(1, at - 1), scan.locals)
    .. (scan.returns and "" or "\n") .. keep .. text:sub(at) .. "\nend", name, "t",
    environment or _ENV)
  return chunk, message, scan.locals, names
end

--- The message that the text alone gives ("near <eof>" and not "near 'end'").
function source.syntax_message(text, name, first_line, message)
  local _, plain = load(("\n"):rep(first_line - 1) .. text, name, "t")
  return plain or message
end

return source
