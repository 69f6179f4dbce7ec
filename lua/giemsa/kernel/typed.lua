--- What somebody types into a notebook: io.read and its like ask Jupyter for a line, where it can be asked.
local core = require "giemsa.core"
local json = require "giemsa.json"

local typed = { allowed = false }

local REFUSED = "nobody can type here: this notebook is run without input (allow_stdin is false)"

-- A line; nil when Ctrl-C came first, which then ends the cell.
local function ask()
  if not typed.allowed then error(REFUSED, 0) end
  return core.worker_ask(("s1s1s4"):pack("ask", "input_request", json.encode{ prompt = "", password = false }))
end

local formats = {}

function formats.l(line) return line end
function formats.L(line) return line .. "\n" end
function formats.n(line) return tonumber(line) end
formats.a = formats.L -- a notebook's input has no end: a line is all there is

-- Every format takes a line of its own.
local function read(format)
  local line = ask()
  if not line then return nil end
  if math.type(format) == "integer" then return line:sub(1, format) end
  local f = formats[tostring(format):gsub("^%*", ""):sub(1, 1)]
  if not f then error(("bad argument to 'read' (invalid format '%s')"):format(tostring(format)), 0) end
  return f(line)
end

local function read_all(...)
  local given = select("#", ...) > 0 and { ... } or { "l" }
  local results = {}
  for i, format in ipairs(given) do
    results[i] = read(format)
    if results[i] == nil then return table.unpack(results, 1, i) end
  end
  return table.unpack(results, 1, #given)
end

-- A function of Lua's own, called for a cell: its errors are told of there and not of here. (Called as a tail: the level
-- above is the cell's.) As Lua does, a method's arguments are counted without its object.
local function pass_on(name, is_method, f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local problem = results[2]
  if type(problem) == "string" then
    problem = problem:gsub("^[^\n:]*typed%.lua:%d+: ", ""):gsub("^bad argument #(%d+) to '[^']*'", function(number)
      return ("bad argument #%d to '%s'"):format(is_method and number > "1" and number - 1 or number, name)
    end)
  end
  error(problem, 2)
end

--- Makes io.read, io.lines and the methods of io.stdin ask.
function typed.take_over()
  local methods, stdin = getmetatable(io.stdin).__index, io.stdin
  local plain_read, plain_lines, open_lines = methods.read, methods.lines, io.lines
  function methods.read(file, ...)
    if file == stdin then return read_all(...) end
    return pass_on("read", true, plain_read, file, ...)
  end
  function methods.lines(file, ...)
    if file ~= stdin then return pass_on("lines", true, plain_lines, file, ...) end
    local given = table.pack(...)
    return function() return read_all(table.unpack(given, 1, given.n)) end
  end
  function io.read(...) return io.input():read(...) end
  function io.lines(path, ...)
    if path == nil then return io.input():lines(...) end
    return pass_on("lines", false, open_lines, path, ...)
  end
end

return typed
