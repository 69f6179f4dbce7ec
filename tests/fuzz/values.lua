--- What a student's process says to the checker: bytes that are a value, which then goes through the same bytes again, or none.
local bend = require "tests.fuzz.bend"
local core = require "giemsa.core"
local wire = require "giemsa.grade.wire"

local SEEDS = {}
for i, value in ipairs{ true, -1, 2.5, "text", { 1, "b", { x = 0.5, [2.5] = {} }, false }, { n = 2, core.from_table{ { 1, 2 }, { 3, 4 } } },
  { core.from_table{ 7 }, ("y"):rep(40) } } do
  SEEDS[i] = wire.plain(value)
end
SEEDS[#SEEDS + 1] = "{" .. wire.plain(1) .. wire.object(3, "function") .. wire.plain "me" .. wire.own(1) .. "}"
local WORDS = { "z", "t", "f", "i", "d", "s", "{", "}", "T", "r", "o", "\0\0\0\0\0\0\0\0", "\1\0\0\0\0\0\0\0", "\xff\xff\xff\xff\xff\xff\xff\xff",
  "\0\0\0\0\0\0\xf8\x7f", "\xff\xff\xff\x7f", "\0\0\0\x40", "\4", ("{z"):rep(70), "{i\1\0\0\0\0\0\0\0" }

local function import(number, kind) return { number = number, kind = kind } end

local target = {}

function target.input() return bend.text(bend.one_of(SEEDS), WORDS, SEEDS) end

function target.try(bytes)
  local ok, value = pcall(wire.decode, bytes, import)
  if not ok then return assert(type(value) == "string") end
  local again = wire.plain(value)
  assert(#wire.plain(wire.decode(again)) == #again, "it is another after the way there and back") -- the order of keys is nobody's
  pcall(wire.decode, bytes)
end

return target
