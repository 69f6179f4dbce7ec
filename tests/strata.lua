--- The house: which file may use which, what may stand in the top folder, and nothing that holds only on one machine.
local t = require "tests.harness"

-- core/: everything knows no Lua but the bindings, the modules of optional libraries, and the program.
local CORE_WITH_LUA = { "^bind_[%w_]+%.c$", "^bind%.h$", "^module%.c$", "^dispatch%.c$", "^main%.c$", "^interrupt%.[ch]$", "^zip%.c$", "^curl%.c$",
  "^hash%.c$", "^lineedit%.c$", "^md4c%.c$", "^jansson%.c$", "^zmq%.c$", "^microhttpd%.c$" }

-- lua/giemsa/: the stratum of each file (of a folder: of all in it). A file uses its own stratum and lower ones.
local STRATUM = {
  options = 3, args = 3, base64 = 3, unicode = 3, highlight = 3, format = 3, json = 3, version = 3, words = 3, -- small tools
  tensor = 3, methods = 3, random = 3, grad = 3, ops = 3, nn = 3, zoo = 3, optim = 3, loss = 3,
  image = 4, data = 4, progress = 4, train = 4, callbacks = 4, metrics = 4, save = 4, safetensors = 4, plot = 4, gnuplot = 4,
  look = 4, explain = 4, check = 4, montage = 4, show = 4, sixel = 4, display = 4, profile = 4, quick = 4,
  cli = 5, repl = 5, editor = 5, lookup = 5, docs = 5, help = 5, inspect = 5, complete = 5,
  notebook = 5, lint = 5, syntax = 5, cell = 5, runlog = 5, run = 5, step = 5, bookmark = 5, lessons = 5, fingerprint = 5, cache = 5, ipynb = 5, kernel = 5, markdown = 5, formula = 5, html = 5,
  exercise = 5, grade = 5, view = 5,
  init = 5, -- names the parts
}
local TOP = { ["Makefile"] = true, ["README.md"] = true, ["LICENSE"] = true, core = true, lua = true, notebooks = true,
  examples = true, tests = true, datasets = true }

local function tracked()
  local output, code = t.shell("git ls-files")
  if code ~= 0 then t.skip("not a git checkout") end
  local files = {}
  for path in output:gmatch("[^\n]+") do
    local f = io.open(path, "rb")
    if f then files[path] = f:read("a"); f:close() end
  end
  return files
end

local function report(problems)
  table.sort(problems)
  t.ok(#problems == 0, "\n  " .. table.concat(problems, "\n  "))
end

local function matches_any(name, patterns)
  for _, pattern in ipairs(patterns) do
    if name:find(pattern) then return true end
  end
end

t.test("core numbers know no Lua", function()
  local problems = {}
  for path, text in pairs(tracked()) do
    local name = path:match("^core/([^/]+)$")
    if name and not matches_any(name, CORE_WITH_LUA) then
      for _, header in ipairs { "lua.h", "lauxlib.h", "lualib.h", "bind.h" } do
        if text:find('#include%s*[<"]' .. header:gsub("%.", "%%.")) then problems[#problems + 1] = path .. " includes " .. header end
      end
    end
  end
  report(problems)
end)

local function stratum_of(module)
  return STRATUM[module] or STRATUM[module:match("^[^./]+")]
end

t.test("Lua files use their own stratum and lower ones", function()
  local problems = {}
  for path, text in pairs(tracked()) do
    local name = path:match("^lua/giemsa/(.+)%.lua$")
    local own = name and stratum_of(name)
    if name and not own then problems[#problems + 1] = path .. " has no stratum in tests/strata.lua" end
    for used in text:gmatch("require%s*%(?%s*[\"']([%w_.]+)[\"']") do
      local part = used:match("^giemsa%.(.+)$")
      local theirs = part and stratum_of(part) or 0
      if own and theirs > own then problems[#problems + 1] = ("%s (%d) uses %s (%d)"):format(path, own, used, theirs) end
      if own and own < 5 and used == "giemsa" then problems[#problems + 1] = path .. " requires the whole of giemsa" end
      if name and used:find("^datasets") or name and used:find("^tests") then
        problems[#problems + 1] = path .. " uses " .. used
      end
    end
  end
  report(problems)
end)

t.test("the top folder holds what it should", function()
  local problems = {}
  for path in pairs(tracked()) do
    local top = path:match("^[^/]+")
    if not TOP[top] and top:sub(1, 1) ~= "." then problems[#problems + 1] = path .. ": no such thing in the top folder" end
  end
  report(problems)
end)

t.test("no file holds a path of one machine, or is a binary", function()
  local problems = {}
  for path, text in pairs(tracked()) do
    for _, folder in ipairs { "work", "root", "home/%w+" } do
      local found = text:match("[^%w.~}]/" .. folder .. "/[%w_.]+")
      if found then problems[#problems + 1] = path .. ": " .. found end
    end
    local is_figure = path:find("^notebooks/.+%.png$") and #text < 1000000 -- of the README
    if text:find("\0", 1, true) and not is_figure then problems[#problems + 1] = path .. ": a binary file" end
  end
  report(problems)
end)

t.test("the runner of the tests takes no name that is none", function()
  for _, name in ipairs { "run", "harness", "nosuch" } do
    local output, code = t.shell(("%s tests/run.lua strata %s"):format(t.interpreter, name))
    t.ok(code == 2 and output:find("there is no test named " .. name, 1, true), output)
  end
end)

t.done()
