--- Lessons: any bytes are one, with its YAML header and the options of its cells. They come back as they were, also through a
--- Jupyter notebook; a cell that is written anew says what it said; lint finds something to say or not.
local bend = require "tests.fuzz.bend"
local ipynb = require "giemsa.ipynb"
local lint = require "giemsa.lint"
local notebook = require "giemsa.notebook"

local SEEDS = {
  "#!/usr/bin/env lua5.4\n-- -*- coding: utf-8 -*-\n-- ---\n-- title: 'It''s a lesson'\n-- seed: 7\n-- requires: [cells, \"a b\"]\n"
    .. "-- draft: true   # not yet\n-- jupyter:\n--   kernelspec:\n--     name: lua\n-- ---\n\nlocal before = 1\n\n"
    .. "-- %% A title [markdown] name=\"goal\" lang=\"en\"\n-- # Head\n--\n-- text -- with dashes\n--indented\n\n",
  "-- %% name=\"fit\" tags=[\"check\", \"hide-input\"] cache=true timeout=2.5 points=3 mine={\"a\": [1, \"}\"]} flag\nprint \"fit\"\n\n\n"
    .. "  --%%\nbare()\n-- %%%% Deeper {\"name\": \"sub\", \"tags\": []}\nx = 1\r\n\r\n-- %% [raw]\n-- raw text\n",
  "-- %% [markdown] name=\"a\"\n-- one\n-- %% [markdown] name=\"a-zh\" lang=\"zh\"\n-- \u{4e00}\n-- %% only a title\nnot = '%%'\n--%%%x\n",
  "-- %% name=\"s\" tags=[\"solution\"]\n-- BEGIN SOLUTION\nlocal a = 12345\n-- END SOLUTION\n\n-- %% name=\"c\" tags=[\"check\"] points=2\n"
    .. "require \"giemsa.check\"(\"a\", a == 12345)\n-- BEGIN HIDDEN TESTS\nx = a\n-- END HIDDEN TESTS\n-- %% tags=[\"hidden\"]\ny = a\n",
  "-- %% [raw]\n-- ---\n-- a: b\n-- ---\n", "local x <const> = 1\ngoto done\n::done::\nreturn [[\n-- %%\n]]",
}
local WORDS = { "-- %%", "\n-- %% ", "--%%%", " ", "\n", "\r\n", "\r", "-- ---\n", "#!", "title: ", "- a", "[markdown]", "[md]", "[raw]",
  "name=", "tags=[\"solution\"]", "points=", "timeout=-1", "lang=\"zh\"", "cache=true", '"', "'", "{", "}", "[", "]", "\\", "\\u0000", "%",
  "--", "\0", "\xff", "\xe4\xb8", "\u{feff}", "=", ",", ":", "null", "true", "1e5", "1e999", "[[", "]]", "end", "local ", "coding: latin-1\n",
  "-- BEGIN SOLUTION\n", "-- END SOLUTION\n", "-- BEGIN HIDDEN TESTS\n", "-- END HIDDEN TESTS\n", "check(\"a\", 1)" }

local lesson = {}

function lesson.input() return bend.text(bend.one_of(SEEDS), WORDS, SEEDS) end

-- What a cell says, whatever the form in which it was written.
local function check_written_anew(cell)
  local again = notebook.parse(notebook.cell_text(cell, cell:source())).cells[1]
  assert(again.kind == cell.kind and again.depth == cell.depth, "a cell written anew is another")
end

local function check_cells(book, text)
  for number, cell in ipairs(book.cells) do
    assert(cell.number == number and type(cell:label()) == "string" and type(cell:has_tag "check") == "boolean")
    assert(not cell.problem or type(cell.problem) == "string")
    check_written_anew(cell)
    cell:set_source(cell:source())
  end
  assert(book:text() == text, "the bytes do not come back")
end

-- A changed cell is the only one that changes.
local function check_edit(book)
  local cell = book.cells[math.random(math.max(#book.cells, 1))]
  if not cell then return end
  cell:set_source "y = 2\n\nz = 3"
  local again = notebook.parse(book:text())
  assert(#again.cells == #book.cells, "an edit made or swallowed a cell")
  for i, other in ipairs(again.cells) do assert(other:source() == book.cells[i]:source(), "an edit changed another cell") end
end

function lesson.try(text)
  local book = notebook.parse(text, "x.lua")
  check_cells(book, text)
  lint.check(book)
  book:in_language "zh"
  local jupyter, why = ipynb.from_lua(text, "x.lua")
  assert(jupyter and ipynb.to_lua(jupyter) == text or why, "it is another after Jupyter")
  check_edit(book)
end

return lesson
