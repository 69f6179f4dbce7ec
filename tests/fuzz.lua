--- The fuzzers (tests/fuzz), briefly: some thousand bent inputs for whatever takes bytes from outside, in C and in Lua.
--- `make fuzz T=image SECONDS=600` goes on for longer. A suite of its own: it needs clang.
local t = require "tests.harness"

for _, target in ipairs { "image", "npy", "zip", "md4c", "jansson", "message", "http" } do
  t.test(target .. " survives damaged files", function()
    local output, code = t.shell("env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS make -s fuzz T=" .. target
      .. " SECONDS=120 FUZZ_OPTIONS='-runs=20000 -seed=1'")
    t.ok(code == 0, output:sub(-4000))
  end)
end

for _, case in ipairs{ { "notebook", 2000 }, { "markdown", 3000 }, { "ipynb", 3000 }, { "safetensors", 20000 }, { "kernel", 1000 },
  { "submission", 500 }, { "values", 20000 }, { "peer", 500 }, { "page", 10000 } } do
  local target, runs = table.unpack(case)
  t.test(target .. " survives bent inputs", function()
    local output, code = t.shell(("%s tests/fuzz/run.lua %s --runs %d"):format(t.interpreter, target, runs))
    t.ok(code == 0, output:sub(-4000))
  end)
end

t.done()
