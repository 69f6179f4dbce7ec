--- Models whose file was bent: bytes of the header, and values in it and in the JSON that stands in
--- its metadata (the sums taken out, so that what they would catch is reached). Each file is refused
--- with a message that names it and says what is wrong, or it loads and predicts; nothing is kept.
--- `giemsa tests/damaged.lua 20000 7` tries as many files, from another seed.
local t = require "tests.harness"
local bend = require "tests.fuzz.bend"
local core = require "giemsa.core"
local dkjson = require "dkjson"
local giemsa = require "giemsa"
local json = require "giemsa.json"

local nn, one_of, chance = giemsa.nn, bend.one_of, math.random
local COUNT = tonumber(arg[1]) or (t.is_slow and 60 or 400)
giemsa.random.seed(1)
math.randomseed(tonumber(arg[2]) or 1)
local x = core.uniform({ 8, 4, 4, 1 }, 0, 1, 1, 1, 1, 1)

local function trained()
  local model = nn.Sequential{ nn.Conv2D{ 2, 3, input_shape = { 4, 4, 1 } }, nn.BatchNormalization{},
    nn.Flatten{}, nn.Dense{ 2, activation = "softmax" } }
  model:compile{ loss = "categorical_crossentropy", optimizer = giemsa.optim.Adam{},
    metrics = { "accuracy" } }
  model:fit(x, core.one_hot({ 1, 2, 1, 2, 1, 2, 1, 2 }, 2), { epochs = 2, verbose = 0 })
  model.class_names = { "a", "b" }
  return model
end

local folder = t.tmpdir()
trained():save(folder .. "/whole.safetensors")
local file <const> = assert(io.open(folder .. "/whole.safetensors", "rb"))
local whole = file:read("a")
file:close()
local size = string.unpack("<i8", whole)
local header, numbers = whole:sub(9, 8 + size), whole:sub(9 + size)

-- ---- bytes

local PIECES = { '"', "\\", "{", "}", "[", "]", ",", ":", "0", "-1", "1e999", "null", "true", "99999999999999999999",
  '"F32"', '"I64"', '"X"', "{}", "[]", "1.5", "\0", "\xff", '"__metadata__"', '"data_offsets"', '"shape"', "\\u0000",
  ("["):rep(3000), "2147483648", "9223372036854775807" }

-- ---- values

local VALUES = { 0, 1, -1, 2, 1.5, 1e308, -1e9, 2 ^ 31, 2 ^ 53, math.maxinteger, "", "x", "relu", "same", "Dense", "Input",
  "conv2d_1/kernel", "inf", true, false, {}, { 1 }, { 0 }, { -1 }, { 3, 3 }, { 1e9, 1e9 }, { {} }, { a = 1 }, ("y"):rep(300) }

local function bent_header()
  local top, inner = json.decode(header), {}
  local metadata = top.__metadata__
  metadata.header_sha256, metadata.tensors_sha256 = nil, nil
  for key, text in pairs(metadata) do inner[key] = text:find("^[%[{]") and json.decode(text) end
  for _ = 1, chance(3) do
    bend.value(one_of { top, inner.architecture, inner.architecture, inner.training, inner.history, inner.class_names }, VALUES)
  end
  for key, value in pairs(top.__metadata__ == metadata and inner or {}) do metadata[key] = dkjson.encode(value) end
  return dkjson.encode(top)
end

-- ---- a user loads it

local function load_and_predict(path)
  local model = nn.load_model(path)
  return model:predict(x)
end

-- What is wrong with an answer; nil: nothing.
local function complaint(path, ok, message)
  if ok then return nil end
  message = tostring(message)
  if not message:find(path, 1, true) and not message:find("predict: ", 1, true) then return "no path: " .. message end
  for _, own in ipairs { "attempt to", "bad argument", "stack overflow", "stack traceback" } do
    if message:find(own, 1, true) then return message end
  end
end

local function settled()
  collectgarbage()
  collectgarbage()
  return core.memory().in_use
end

t.test(COUNT .. " bent models are refused with a reason, or work", function()
  local path, loaded, before = folder .. "/bent.safetensors", 0, nil
  for i = 1, COUNT do
    local text = chance(4) == 1 and bend.text(header, PIECES) or bent_header()
    local announced = #text + (chance(20) == 1 and one_of { -1, 1, -#text, 8, 1 << 40, -1 << 40 } or 0)
    t.write(path, string.pack("<i8", announced) .. text .. (chance(20) == 1 and numbers:sub(1, -9) or numbers))
    local ok, message = pcall(load_and_predict, path)
    loaded = loaded + (ok and 1 or 0)
    local wrong = complaint(path, ok, message)
    t.ok(not wrong, ("file %d: %s"):format(i, wrong))
    t.ok(pcall(giemsa.save.read_safetensors, path), "read_safetensors raises")
    if i == 50 then before = settled() end
  end
  t.ok(settled() <= before, "what was loaded is kept")
  t.ok(loaded > COUNT / 20 and loaded < COUNT, loaded .. " loaded")
end)

t.done()
