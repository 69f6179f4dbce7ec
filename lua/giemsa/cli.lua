--- The commands of the program: `giemsa run lesson.lua`, `giemsa html`, `giemsa convert`, `giemsa
-- lint`. Each has --help. Started by main.c when the first word on the command line is one of them.
local args = require "giemsa.args"

local cli = {}

local function complain(message) io.stderr:write("giemsa: ", message, "\n") end

local commands = {}

-- ---- giemsa run

local RUN = [[
usage: giemsa run lesson.lua [options] [-- arguments of the lesson]

Runs a lesson from top to bottom in a fresh process. All outputs are kept in
out/runs/LESSON/N/log.jsonl (out/runs/LESSON/latest), whatever happens to this terminal.

  --step              show each cell, and wait: Enter runs it
  --to NAME           stop after the cell of this name (or number)
  --from NAME         show outputs from this cell on; what can comes from the cache
  --fresh             take nothing from the cache
  --seed N            another seed than the lesson's (GIEMSA_SEED)
  --quick             the lesson's own small sizes (GIEMSA_QUICK)
  --timeout S         stop the run after S seconds
  --cell-timeout S    stop a cell after S seconds (a cell's own `timeout` goes before)
  --keep-going        go on after a cell that failed
  --lang LANG         language of the texts: en, zh (else the locale's)
  --html FILE         write a page of the run
  --ipynb FILE        write a Jupyter notebook of the run

The exit code is 0 when all cells ran well, else 1.]]

-- The words before "--", and those after it.
local function split(line)
  for i, word in ipairs(line) do
    if word == "--" then return { table.unpack(line, 1, i - 1) }, { table.unpack(line, i + 1) } end
  end
  return line, {}
end

local function write_file(path, bytes)
  local ok, message = require("giemsa.core").write_file(path, bytes)
  if not ok then complain(message) end
  return ok
end

local function write_page(log_path, file, lang)
  local page, message = require("giemsa.html").from_run(log_path, { lang = lang })
  if not page then return complain(message) end
  return write_file(file, page)
end

local function write_ipynb(log_path, file)
  return write_file(file, require("giemsa.ipynb").from_run(log_path))
end

function commands.run(line)
  local words, rest = split(line)
  local o = args.parse(RUN, { step = false, to = "", from = "", fresh = false, seed = "",
    quick = false, timeout = 0.0, cell_timeout = 0.0, keep_going = false, lang = "", html = "",
    ipynb = "" }, 1, words)
  local seed = o.seed ~= "" and (math.tointeger(tonumber(o.seed)) or o.seed) or nil
  if type(seed) == "string" then
    complain("--seed needs a whole number, got '" .. seed .. "'")
    return 2
  end
  local status, path = require("giemsa.run").lesson(words[1] == nil and "" or o[1], { to = o.to,
    from = o.from, fresh = o.fresh, seed = seed, quick = o.quick, timeout = o.timeout,
    cell_timeout = o.cell_timeout, keep_going = o.keep_going, lang = o.lang, step = o.step,
    args = rest })
  if not status then
    io.stderr:write(path, "\n")
    return 1
  end
  local written = (o.html == "" or write_page(path, o.html, o.lang ~= "" and o.lang or nil))
    and (o.ipynb == "" or write_ipynb(path, o.ipynb))
  return status == "ok" and written and 0 or 1
end

-- ---- giemsa html

local HTML = [[
usage: giemsa html lesson.lua ... [options]

Writes a page for each lesson, of its newest run, and an index.html. A page is one file: it needs no
network and no script, and prints well.

  --out FOLDER    where to (out/html)
  --run           first run the lessons whose code has changed since their last run, or never ran
  --quick         a run with the lesson's own small sizes is enough
  --lang LANG     the texts of one language: en, zh (else all, with a switch)

The exit code is 0 when the pages are written and, with --run, all lessons ran well.]]

function commands.html(line)
  local o = args.parse(HTML, { out = "out/html", run = false, quick = false, lang = "" }, 1, line)
  local site = require "giemsa.html.site"
  local lessons = { table.unpack(o) }
  local all_well = not o.run or site.run(lessons, arg[-1], o.quick)
  local ok, index = pcall(site.build, { lessons = lessons, out = o.out,
    lang = o.lang ~= "" and o.lang or nil })
  if not ok then complain(index) return 1 end
  print(index)
  return all_well and 0 or 1
end

-- ---- giemsa convert

local CONVERT = [[
usage: giemsa convert a.lua b.ipynb [--run LOG]
       giemsa convert a.ipynb b.lua

Writes a lesson as a Jupyter notebook, or back. The lesson comes back byte by byte.

  --run LOG    with the outputs of a run (out/runs/LESSON/latest/log.jsonl)]]

local function read(path)
  local file <close>, message = io.open(path, "rb")
  if not file then return nil, message end
  return file:read("a")
end

function commands.convert(line)
  local o = args.parse(CONVERT, { run = "" }, 2, line)
  local ipynb = require "giemsa.ipynb"
  local text, message = read(o[1])
  local result
  if text and o[1]:find "%.ipynb$" then
    result, message = ipynb.to_lua(text, o[1])
  elseif text and o.run ~= "" then
    result, message = ipynb.from_run(o.run, text)
  elseif text then
    result, message = ipynb.from_lua(text, o[1])
  end
  if not result then
    complain(message)
    return 1
  end
  return write_file(o[2], result) and 0 or 1
end

-- ---- giemsa lint

local LINT = [[
usage: giemsa lint lesson.lua ...

Finds traps of lessons without running them: what other notebook programs read differently, too many
local variables, random numbers that do not repeat. The exit code is 1 when there is an error.]]

function commands.lint(line)
  local o = args.parse(LINT, {}, 1, line)
  local errors = 0
  for _, path in ipairs(o) do
    local book, message = require("giemsa.notebook").read(path)
    if not book then complain(message) errors = errors + 1 end
    for _, one in ipairs(book and require("giemsa.lint").check(book) or {}) do
      print(("%s:%d: %s%s"):format(path, one.line, one.is_error and "" or "warning: ", one.message))
      if one.is_error then errors = errors + 1 end
    end
  end
  return errors == 0 and 0 or 1
end

-- ---- starting

--- Runs the command that arg[0] names with the words from arg[1] on; returns the exit code.
---@return integer
function cli.main()
  local line = { table.unpack(arg, 1) }
  return commands[arg[0]](line)
end

return cli
