--- The course's whole recipe, by examples/train_resnet.lua: the same seed gives the same weights to
--- the last bit, again and on 1, 2 and 3 threads. One epoch; five with FULL=yes; EPOCHS=n says.
local t = require "tests.harness"

local epochs = os.getenv "EPOCHS" or os.getenv "FULL" == "yes" and "5" or "1"

-- Trains in a process of its own. What follows the header of the saved file: all weights and
-- moving statistics, then the optimiser's velocities.
local function tensors_after(threads, seed)
  local path = t.tmpdir() .. "/model.safetensors"
  local output, code = t.shell(("GIEMSA_THREADS=%d %s examples/train_resnet.lua --quiet "
    .. "--epochs %s --seed %d --save %s"):format(threads, t.interpreter, epochs, seed, t.quote(path)))
  t.equal(code, 0, output)
  output = output:gsub("^made %d+ synthetic cells[^\n]*\n", "") -- the first time
  t.ok(output:find "^test_accuracy = %d%.%d+\n$", "--quiet prints more than the last line: " .. output)
  local f <close> = assert(io.open(path, "rb"))
  local header = string.unpack("<I8", f:read(8))
  f:seek("cur", header)
  return f:read("a")
end

if t.is_slow then
  t.test("whole trainings", function() t.skip("too slow here") end)
else
  local once = tensors_after(1, 7)

  t.test("weights, statistics and velocities are saved", function()
    local weights, trained = 294766, 291176 -- of the course's ResNet
    t.equal(#once, 4 * (weights + trained))
  end)
  t.test("the same again", function() t.ok(tensors_after(1, 7) == once) end)
  for threads = 2, 3 do
    t.test(("the same on %d threads"):format(threads), function()
      t.ok(tensors_after(threads, 7) == once)
    end)
  end
  t.test("others for another seed", function() t.ok(tensors_after(2, 8) ~= once) end)
end

t.done()
