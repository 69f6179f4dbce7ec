--- giemsa html: a page for each lesson, and an index.
local args = require "giemsa.args"
local output = require "giemsa.cli.output"

local USAGE = [[
usage: giemsa html lesson.lua ... [options]

Writes a page for each lesson, of its newest run, and an index.html. A page is one file: it needs no
network and no script, and prints well.

  --out FOLDER    where to (out/html; hand-outs: out/handout)
  --handout       hand-outs for paper instead: text and code without results, room for notes,
                  the exercises at the end, no answers
  --run           first run the lessons whose code has changed since their last run, or never ran
  --quick         a run with the lesson's own small sizes is enough
  --lang LANG     the texts of one language: en, zh (else all, with a switch)

The exit code is 0 when the pages are written and, with --run, all lessons ran well.]]

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  local o = args.parse(USAGE, { out = "", run = false, handout = false, quick = false, lang = "" }, 1, line)
  local site = require "giemsa.html.site"
  local lessons = { table.unpack(o) }
  local out = o.out ~= "" and o.out or o.handout and "out/handout" or "out/html"
  local all_well = not o.run or o.handout or site.run(lessons, arg[-1], o.quick)
  local ok, index = pcall(site.build, { lessons = lessons, out = out,
    lang = o.lang ~= "" and o.lang or nil, handout = o.handout })
  if not ok then output.complain(index) return 1 end
  print(index)
  return all_well and 0 or 1
end
