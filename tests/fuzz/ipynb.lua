--- Jupyter notebooks from elsewhere: one that is taken is a lesson that stays the same through Jupyter; another is refused in
--- words that name it.
local bend = require "tests.fuzz.bend"
local ipynb = require "giemsa.ipynb"
local json = require "giemsa.json"
local notebook = require "giemsa.notebook"

local random = math.random

local BOOKS = { {
  nbformat = 4, nbformat_minor = 5, metadata = { language_info = { name = "lua" }, giemsa_header = "-- ---\n-- a: b\n-- ---\n" },
  cells = {
    { cell_type = "raw", id = "header", metadata = {}, source = { "---\n", "a: b\n", "---" } },
    { cell_type = "markdown", id = "m", metadata = { name = "goal", title = "T", lang = "zh", collapsed = false }, source = "# A\n\nb" },
    { cell_type = "code", id = "c", metadata = { tags = { "check" }, cell_depth = 1, x = { 1.5, json.null, { y = 1 } } },
      execution_count = 3, source = { "x = 1\n", "y = 2\n" }, outputs = {
        { output_type = "stream", name = "stdout", text = { "a\n" } }, { output_type = "display_data", metadata = {}, data = {} } } },
    { cell_type = "code", metadata = { giemsa_text = "--%% name='k'\nz = 3\n\n\n" }, source = { "z = 3" } },
    { cell_type = "markdown", metadata = {}, source = {} },
  },
} }
for _, lesson in ipairs{ "x = 1\n-- %% [md]\n--text\n\n-- %% name=5 tags\n", "-- ---\n-- a: b\n-- ---\n\n\n-- %% [raw] x={\"a\": [null]}\n-- r\n" } do
  BOOKS[#BOOKS + 1] = json.decode((ipynb.from_lua(lesson)), json.null)
end
local VALUES = { 0, -1, 4, 1.5, 1e300, "", "x", "lua", "code", "raw", "markdown", "---\na: b\n---", "-- %%\nx", "a\r\nb", "\n\n", "{", "=", "%", "--",
  "a b", "-- %% [raw] {", "\0", "\xff", "\xe4\xb8\xad", true, false, json.null, {}, { "a\n", "b" }, { 1 }, { a = {} }, { "check", "check" }, { { {} } } }
local PIECES = { "{", "}", "[", "]", '"', ":", ",", "\\", "\\u0000", "\\ud800", "1e999", "-", "null", "true", "/* */", "\0", "\xff", "\n", ("["):rep(200) }

local target = {}

function target.input()
  local book = bend.copy(bend.one_of(BOOKS))
  for _ = 1, random(0, 4) do bend.value(book, VALUES) end
  local ok, text = pcall(json.encode, book)
  if not ok then text = "[]" end
  return random(4) == 1 and bend.text(text, PIECES) or text
end

function target.try(text)
  local lesson, why = ipynb.to_lua(text, "x.ipynb")
  if not lesson then return assert(why:find "^x%.ipynb" and not why:find "%.lua:", why) end
  assert(notebook.parse(lesson):text() == lesson)
  local again = ipynb.from_lua(lesson)
  assert(not again or ipynb.to_lua(again) == lesson, "it is another after Jupyter")
end

return target
