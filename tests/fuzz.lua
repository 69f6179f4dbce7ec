--- The fuzzers (tests/fuzz), briefly: some ten thousand damaged files for each parser of bytes from
--- outside. `make fuzz T=image SECONDS=600` goes on for longer. A suite of its own: it needs clang.
local t = require "tests.harness"

for _, target in ipairs { "image", "npy", "zip", "md4c", "jansson" } do
  t.test(target .. " survives damaged files", function()
    local output, code = t.shell("env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS make -s fuzz T=" .. target
      .. " SECONDS=120 FUZZ_OPTIONS='-runs=20000 -seed=1'")
    t.ok(code == 0, output:sub(-4000))
  end)
end

t.done()
