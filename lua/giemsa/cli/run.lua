--- giemsa run: a lesson from top to bottom, in a fresh process.
local args = require "giemsa.args"
local output = require "giemsa.cli.output"

local USAGE = [[
usage: giemsa run lesson.lua [options] [-- arguments of the lesson]

Runs a lesson from top to bottom in a fresh process. All outputs are kept in
out/runs/LESSON/N/log.jsonl (out/runs/LESSON/latest), whatever happens to this terminal.

  --step              show each cell, and wait: Enter runs it
  --to NAME           stop after the cell of this name (or number)
  --from NAME         show outputs from this cell on; what can comes from the cache
                      (with --step: begin there)
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

local function write_page(log_path, file, lang)
  local page, message = require("giemsa.html").from_run(log_path, { lang = lang })
  if not page then return output.complain(message) end
  return output.write_file(file, page)
end

local function write_ipynb(log_path, file)
  return output.write_file(file, require("giemsa.ipynb").from_run(log_path))
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  local words, rest = split(line)
  local o = args.parse(USAGE, { step = false, to = "", from = "", fresh = false, seed = "",
    quick = false, timeout = 0.0, cell_timeout = 0.0, keep_going = false, lang = "", html = "",
    ipynb = "" }, 1, words, 1)
  local seed = o.seed ~= "" and (math.tointeger(tonumber(o.seed)) or o.seed) or nil
  if type(seed) == "string" then
    output.complain("--seed needs a whole number, got '" .. seed .. "'")
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
