--- Feeds bent inputs to what is written in Lua, as fast as it takes them. A target, tests/fuzz/TARGET.lua, returns
---   input()       makes the next input, a string or a table of them; all chance is math.random's
---   try(input)    raises when something is wrong
--- The first input that is wrong is shown, with what repeats it. With --keep FOLDER the inputs are only written there, a file
--- each: libFuzzer starts from them (see lua.c).
local args = require "giemsa.args"
local core = require "giemsa.core"
local inspect = require "giemsa.inspect"

local o = args.parse("usage: giemsa tests/fuzz/run.lua TARGET [--seconds N] [--runs N] [--seed N] [--from N] [--keep FOLDER]",
  { seconds = 1e9, runs = math.maxinteger, seed = 1, from = 1, keep = "" }, 1)
local program, open = arg[-1], io.open -- a target may change them
local target = require("tests.fuzz." .. o[1])

local function keep(input, number)
  local file <close> = assert(open(("%s/%06d"):format(o.keep, number), "wb"))
  file:write(input)
end

local act = o.keep ~= "" and keep or target.try

local start, count = core.now(), 0
while count < o.runs and (count % 100 ~= 0 or core.now() - start < o.seconds) do
  local number = o.from + count
  math.randomseed(o.seed, number)
  local input = target.input()
  local ok, problem = xpcall(act, debug.traceback, input, number)
  if not ok then
    print(("%s\n%s\nrepeat: %s tests/fuzz/run.lua %s --seed %d --from %d --runs 1"):format(problem,
      type(input) == "string" and ("%q"):format(input) or inspect.text(input), program, o[1], o.seed, number))
    os.exit(1, true)
  end
  count = count + 1
end
local seconds = core.now() - start
print(("%s: %d runs in %.1f s, %.0f a second"):format(o[1], count, seconds, count / seconds))
