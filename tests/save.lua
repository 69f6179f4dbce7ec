--- Models on disk: all of a model comes back, training goes on as if nothing had happened, and no
-- damage goes unnoticed.
local t = require "tests.harness"
local core = require "giemsa.core"
local data = require "giemsa.data"
local json = require "giemsa.json"
local nn = require "giemsa.nn"
local optim = require "giemsa.optim"
local random = require "giemsa.random"
local save = require "giemsa.save"
require "giemsa.train"

local folder = t.tmpdir()
local counter = 0
local function fresh_path()
  counter = counter + 1
  return ("%s/%d.safetensors"):format(folder, counter)
end

local function read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end

local function write(bytes, path)
  path = path or fresh_path()
  local f <close> = assert(io.open(path, "wb"))
  f:write(bytes)
  return path
end

local function small_model(optimizer)
  random.seed(7)
  local model = nn.Sequential{ nn.Conv2D{ 3, 3, input_shape = { 6, 6, 2 } },
    nn.BatchNormalization{}, nn.Activation{ "relu" },
    nn.Flatten{}, nn.Dropout{ 0.3 },
      nn.Dense{ 2, activation = "softmax", kernel_regularizer = nn.l2(0.01) } }
  return model:compile{ loss = "categorical_crossentropy", metrics = { "accuracy" },
    optimizer = optimizer or optim.SGD{ lr = 0.1, momentum = 0.9, decay = 0.05 } }
end

local function batch(seed)
  random.seed(seed)
  local x, rows = random.uniform(0, 1, { 8, 6, 6, 2 }), {}
  for i = 1, 8 do rows[i] = i % 2 == 0 and { 1, 0 } or { 0, 1 } end
  return x, core.from_table(rows)
end

local function train(model, first, last)
  local losses = {}
  for step = first, last do losses[#losses + 1] = model:train_on_batch(batch(step)) end
  return losses
end

local function weights_of(model)
  local out = {}
  for i, weight in ipairs(model:weights()) do out[i] = core.to_bytes(weight.tensor) end
  return table.concat(out)
end

-- The file taken apart: header as a table, metadata, bytes of the tensors.
local function parts(bytes)
  local length = string.unpack("<I8", bytes)
  return assert(json.decode(bytes:sub(9, 8 + length))), bytes:sub(9 + length)
end

local function file_of(header, data)
  local text = type(header) == "string" and header or json.encode(header)
  return string.pack("<I8", #text) .. text .. data
end

-- ---- all comes back

t.test("training goes on after a load, bit for bit", function()
  for _, make in ipairs { function() return optim.SGD{ lr = 0.1, momentum = 0.9, decay = 0.05 } end,
    function() return optim.Adam{ lr = 0.01 } end,
      function() return optim.RMSprop{ lr = 0.01 } end } do
    local through, stopped, path = small_model(make()), small_model(make()), fresh_path()
    local losses = train(through, 1, 8)
    train(stopped, 1, 4)
    stopped:save(path)
    local loaded = nn.load_model(path)
    t.equal(loaded.optimizer.iterations, 4)
    t.equal(loaded.optimizer:current_lr(), stopped.optimizer:current_lr())
    t.equal(train(loaded, 5, 8), { table.unpack(losses, 5) }, tostring(loaded.optimizer))
    t.ok(weights_of(loaded) == weights_of(through), "the weights differ")
  end
end)

t.test("grouped, depthwise and separable layers come back; a file without groups means one", function()
  random.seed(3)
  local model = nn.Sequential{ nn.BatchNormalization{ input_shape = { 6, 6, 2 } },
    nn.Conv2D{ 4, 3, groups = 2 }, nn.DepthwiseConv2D{ 2, depth_multiplier = 2, strides = 2 },
    nn.SeparableConv2D{ 3, 2, depth_multiplier = 2, padding = "same" }, nn.Flatten{},
    nn.Dense{ 2, activation = "softmax", kernel_regularizer = nn.l2(0.01) } }
  model:compile{ loss = "categorical_crossentropy", optimizer = optim.SGD{ lr = 0.1 } }
  local path, x = fresh_path(), batch(9)
  train(model, 1, 3)
  model:save(path)
  local loaded = nn.load_model(path)
  t.ok(loaded(x) == model(x), "the outputs differ")
  t.equal(train(loaded, 4, 6), train(model, 4, 6))
  local header, rest = parts(read(path))
  header.__metadata__.header_sha256, header.__metadata__.tensors_sha256 = nil, nil
  local architecture, count = header.__metadata__.architecture:gsub('"groups":2', '"groups":1')
  t.equal(count, 1)
  header.__metadata__.architecture = architecture
  t.raises(nn.load_model, "conv2d_1/kernel", write(file_of(header, rest)))
  local plain = fresh_path()
  small_model():save(plain)
  header, rest = parts(read(plain))
  header.__metadata__.header_sha256, header.__metadata__.tensors_sha256 = nil, nil
  header.__metadata__.architecture, count =
    header.__metadata__.architecture:gsub(',?"groups":1', "")
  t.equal(count, 1)
  t.equal(nn.load_model(write(file_of(header, rest))).rows[2].config.groups, 1)
end)

t.test("fit goes on after a load with the epochs it would have seen", function()
  local x = random.uniform(0, 1, { 24, 6, 6, 2 })
  local rows = {}
  for i = 1, 24 do rows[i] = i % 2 == 0 and { 1, 0 } or { 0, 1 } end
  local y, path = core.from_table(rows), fresh_path()
  local function fit(model, first, last)
    local generator = data.ImageDataGenerator{ rotation_range = 20, horizontal_flip = true }
    local source = generator:flow(x, y, { batch_size = 8, shuffle = true, seed = 5 })
    model:fit(source, { epochs = last, initial_epoch = first, verbose = 0 })
  end
  local through, stopped = small_model(), small_model()
  fit(through, 0, 4)
  fit(stopped, 0, 2)
  stopped:save(path)
  local loaded = nn.load_model(path)
  t.equal(loaded.epoch, 2)
  fit(loaded, loaded.epoch, 4)
  t.equal(loaded.history, through.history)
  t.ok(weights_of(loaded) == weights_of(through), "the weights differ")
end)

t.test("names, preprocessing, epoch, history and data sum come back exactly", function()
  local model, path = small_model(), fresh_path()
  model.class_names = { "Parasitized", "Uninfected" }
  model.preprocessing = { rescale = 1 / 255, target_size = { 6, 6 }, color_mode = "rgb",
    interpolation = "nearest" }
  model.history = { loss = { 1 / 3, 0.1, 5e-324, 1.7976931348623157e308 },
    val_loss = { math.huge, -math.huge },
    accuracy = { 0.0, 1.0, 2 / 7 }, lr = { [3] = 0.5 } }
  model.epoch, model.data_sha256 = 4, ("ab"):rep(32)
  t.ok(model:save(path) == model)
  local loaded = nn.load_model(path)
  t.equal(loaded.class_names, model.class_names)
  t.equal(loaded.preprocessing, model.preprocessing)
  t.equal(loaded.history, model.history)
  t.equal(loaded.epoch, 4)
  t.equal(loaded.data_sha256, model.data_sha256)
  model.history = { loss = { 0 / 0, 2.5 } }
  local nan = nn.load_model(model:save(path) and path).history.loss
  t.ok(nan[1] ~= nan[1] and nan[2] == 2.5)
end)

t.test("a thousand random doubles survive in a history", function()
  local model, values = small_model(), {}
  for i = 1, 1000 do
    values[i] = string.unpack("<d",
      string.pack("<I8", (i * 0x9e3779b97f4a7c15) & 0x7fefffffffffffff))
  end
  model.history = { loss = values }
  local path = fresh_path()
  t.equal(nn.load_model(model:save(path) and path).history.loss, values)
end)

t.test("the course's net predicts the same after a load", function()
  local model = nn.ResNet.build(64, 64, 3, 2, { 1, 1 , 1 }, { 8, 16, 32, 64 }, { reg = 0.0005 })
  local path = fresh_path()
  model:save(path)
  local loaded, x = nn.load_model(path), random.uniform(0, 1, { 2, 64, 64, 3 })
  t.ok(model(x) == loaded(x))
  t.equal(loaded:get_config(), model:get_config())
  t.equal(loaded.optimizer, nil)
end)

t.test("another program can read it", function()
  local model, path = small_model(), fresh_path()
  train(model, 1, 1)
  model:save(path)
  local header, data = parts(read(path))
  t.equal(#data % 4, 0)
  local kernel = header["conv2d_1/kernel"]
  t.equal({ kernel.dtype, kernel.shape, kernel.data_offsets[1] }, { "F32", { 3, 3, 2, 3 }, 0 })
  local first = string.unpack("<f", data)
  t.equal(first, model:weights()[1].tensor:reshape(-1)[1])
  t.ok(header["optimizer/conv2d_1/kernel/velocity"], "velocities stand under optimizer/")
  t.equal(header.__metadata__.format, "giemsa")
  t.equal(json.decode(header.__metadata__.training).optimizer.decay, 0.05)
  t.equal(string.unpack("<I8", read(path)) % 8, 0)
  for key, value in pairs(header.__metadata__) do t.equal(type(value), "string", key) end
end)

t.test("the same model gives the same file", function()
  local model, a, b = small_model(), fresh_path(), fresh_path()
  model.history = { loss = { 1, 2 }, accuracy = { 3 }, val_loss = { 4 } }
  train(model, 1, 2)
  model:save(a):save(b)
  t.ok(read(a) == read(b))
  nn.load_model(a):save(b)
  t.ok(read(a) == read(b), "also after a load")
end)

t.test("weights alone", function()
  local model, path = small_model(), fresh_path()
  train(model, 1, 2)
  model:save_weights(path)
  local other = small_model()
  t.equal(other:load_weights(path), #model:weights())
  t.ok(weights_of(other) == weights_of(model))
  t.raises(nn.load_model, "holds a model's weights only", path)
  model:save(path)
  t.equal(save.load_weights(small_model(), path), #model:weights())
  local different = nn.Sequential{ nn.Dense{ 3, input_shape = { 4 }, name = "other" } }
  t.raises(different.load_weights,
    "2 weights of the net are not in the file, the first is 'other/kernel' %(the file has",
    different, path)
  t.equal(different:load_weights(write(file_of({}, "")), { strict = false }), 0)
end)

t.test("functions of the lesson's own", function()
  local path = fresh_path()
  local function own_loss(y, p) local d = y - p return (d * d):mean() end
  local model = small_model():compile{ loss = own_loss,
    metrics = { "accuracy", off = function() return 1 end }, optimizer = "adam" }
  train(model, 1, 1)
  model:save(path)
  t.raises(nn.load_model, "custom = {loss = f}", path)
  t.raises(nn.load_model, "unknown metric 'off'.*custom", path, { custom = { loss = own_loss } })
  t.equal(nn.load_model(path, { compile = false }).optimizer, nil)
  local loaded = nn.load_model(path,
    { custom = { loss = own_loss, metrics = { off = function() return 1 end } } })
  t.equal(train(loaded, 2, 3), train(model, 2, 3))
  local free = nn.Sequential{ nn.Input{ shape = { 2 } }, nn.Lambda(function(x) return x end),
    nn.Dense{ 2 } }
  t.raises(free.save, "Lua function", free, path)
end)

-- ---- damage

local function saved_bytes()
  local model, path = small_model(), fresh_path()
  model.class_names = { "Parasitized", "Uninfected" }
  train(model, 1, 1)
  model:save(path)
  return read(path), path
end

t.test("a truncated file is refused at every length", function()
  local bytes = saved_bytes()
  local path = fresh_path()
  for length = 0, #bytes - 1, 97 do
    local message = t.raises(nn.load_model, "", write(bytes:sub(1, length), path))
    t.ok(message:find(path, 1, true), "the message names the file: " .. message)
    t.ok(length < 9 or message:find "truncated" , ("at %d: %s"):format(length, message))
  end
  t.raises(nn.load_model, "it is truncated: %d+ of %d+ bytes of tensors are there",
    write(bytes:sub(1, -2), path))
  t.raises(nn.load_model, "the file is empty", write("", path))
end)

t.test("no changed bit goes unnoticed", function()
  local bytes = saved_bytes()
  local path = fresh_path()
  for place = 1, #bytes, 3 do
    local changed = string.char(bytes:byte(place) ~ (1 << place % 8))
    local ok,
      model = pcall(nn.load_model,
      write(bytes:sub(1, place - 1) .. changed .. bytes:sub(place + 1), path))
    -- a comma of the header may become white space: then what is loaded must be what was saved
    t.ok(not ok or read(model:save(path) and path) == bytes,
      ("byte %d was changed (%q) and the file was loaded")
      :format(place, bytes:sub(place - 30, place + 30)))
  end
  t.raises(nn.load_model, "weights were altered",
    write(bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1), path))
end)

t.test("JSON with zero bytes in it is none, with Jansson or without", function()
  for _, text in ipairs { "[90\0, 1]", "[true\0]", "\0[1]", "[1]\0 2" } do
    local value, why = json.decode(text)
    t.equal(value, nil, ("%q"):format(text))
    t.ok(why:find "^it is not JSON", why)
  end
end)

t.test("what is read as JSON can be written again; what only looks like it is refused", function()
  local deepest = ("["):rep(101) .. "1" .. ("]"):rep(101)
  for _, text in ipairs{ deepest, '{"a":[null,1.0,-1]}', '{"":"\xff"}', "[18446744073709551616]" } do
    t.ok(json.encode(json.decode(text, json.null)), text)
  end
  for _, text in ipairs{ "[" .. deepest .. "]", ("["):rep(3000) .. ("]"):rep(3000), "{1,2}", "{5:1}", '["a":1]', "[-9:1]", "[1e999]" } do
    local value, why = json.decode(text, json.null)
    t.equal(value, nil, text:sub(1, 20))
    t.ok(why:find "^it is not JSON", why)
  end
end)

t.test("altered metadata is refused", function()
  local bytes = saved_bytes()
  t.raises(nn.load_model, "header was altered", write((bytes:gsub("Parasitized", "Parasitised"))))
  t.raises(nn.load_model, "header was altered",
    write((bytes:gsub('\\"iterations\\":1', '\\"iterations\\":9'))))
end)

t.test("files of another kind are named", function()
  for start,
    kind in pairs { ["\x89HDF\r\n\x1a\n12345678"] = "HDF5", ["PK\x03\x04123456789"] = "zip file",
    ["\x89PNG\r\n\x1a\n12345"] = "PNG",
    ["\x80\x04\x95123456789"] = "pickle", ["hello, this is a letter"] = "not a safetensors file",
      ["short"] = "only 5 bytes" } do
    t.raises(nn.load_model, kind, write(start))
  end
  t.raises(nn.load_model, "No such file", folder .. "/none.safetensors")
  t.raises(nn.load_model, "folder", folder)
  t.raises(nn.load_model, "expected a path, got nil")
  t.raises(nn.load_model, "did you mean 'custom'", "x", { customs = {} })
end)

t.test("hostile headers", function()
  local four = { dtype = "F32", shape = { 1 }, data_offsets = { 0, 4 } }
  local function refused(pattern, header, data)
    local path = write(file_of(header, data or "abcd"))
    local tensors, message = save.read_safetensors(path)
    t.equal(tensors, nil)
    t.ok(message:find(pattern), ("expected %q, got: %s"):format(pattern, message))
    t.ok(message:find(path, 1, true))
  end
  local function full(changes)
    local e = {}
    for k, v in pairs(four) do e[k] = v end
    for k, v in pairs(changes) do e[k] = v end
    return { a = e }
  end
  refused("not JSON", "{{{")
  refused("not JSON", "{\"a\": ", "abcd")
  refused("not a JSON object", "[1,2]", "abcd")
  refused("not a JSON object", "3 ", "abcd")
  refused("nested too deeply", ("["):rep(400000), "abcd")
  refused("something follows", "{} {}", "abcd")
  refused("not {dtype, shape", { a = 1 })
  refused("not {dtype, shape", { a = { dtype = "F32" } })
  refused("truncated", full { data_offsets = { 0, 400 } })
  refused("truncated", full { data_offsets = { 9007199254740992, 9223372036854775807 } })
  refused("outside the file", full { data_offsets = { 4, 0 } })
  refused("outside the file", full { data_offsets = { -4, 4 } })
  refused("outside the file", full { data_offsets = { 0.5, 4 } })
  refused("outside the file", full { data_offsets = { 0, 2, 4 } })
  refused("needs 40 bytes", full { shape = { 10 } })
  refused("needs %d+ bytes, but it has 4",
    full { shape = { 2147483647, 2147483647, 2147483647, 2147483647 } })
  refused("whole numbers", full { shape = { 4294967297 } })
  refused("whole numbers", full { shape = { -1 } })
  refused("whole numbers", full { shape = { "1" .. "x" } })
  refused("not an array", full { shape = { one = 1 } })
  refused("4 bytes follow the last", {})
  refused("ends at 4", { a = four, b = { dtype = "F32", shape = { 1 }, data_offsets = { 0, 4 } } })
  refused("ends at 4", { a = four, b = { dtype = "F32", shape = { 1 }, data_offsets = { 2, 6 } } },
    "abcdef")
  refused("ends at 4", { a = four, b = { dtype = "F32", shape = { 1 }, data_offsets = { 6, 10 } } },
    "abcdefghij")
  refused("strings only", { a = four, __metadata__ = { x = 1 } })
  refused("not an object", { a = four, __metadata__ = "x" })
  refused("type F4", full { dtype = "F4" })
  refused("5 dimensions", full { shape = { 1, 1, 1, 1, 1 } })
  for _, length in ipairs { 0, 1, 1 << 40, -1, math.mininteger, 100000001 } do
    local tensors,
      message = save.read_safetensors(write(string.pack("<i8", length) .. "{}" .. ("x"):rep(100)))
    t.ok(not tensors and message:find "header", message)
  end
end)

t.test("tensors of other types and programs", function()
  local data = string.pack("<I2I2I2", 0x3c00, 0xc100, 0x0001) .. string.pack("<I2", 0x4049)
    .. string.pack("<d", 1 / 3)
    .. string.pack("<i8", -5) .. string.pack("<f", 2.5)
  local path = write(file_of('{"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},'
    .. '"b":{"dtype":"BF16","shape":[1,1],"data_offsets":[6,8]},'
    .. '"d":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},'
    .. '"i":{"dtype":"I64","shape":[],"data_offsets":[16,24]},'
    .. '"none":{"dtype":"F32","shape":[0,3],"data_offsets":[24,24]},'
    .. '"f":{"dtype":"F32","shape":[1],"data_offsets":[24,28]},'
    .. '"__metadata__":{"format":"pt"}}   ', data))
  local tensors, info = save.read_safetensors(path)
  t.equal(tensors.h:totable(), { 1.0, -2.5, 2.0 ^ -24 })
  t.equal(tensors.b:totable(), { { 3.140625 } })
  t.close(tensors.d:totable(), { 1 / 3 }, 1e-7)
  t.equal({ tensors.i:item(), tensors.i.ndim, tensors.f[1], tensors.none.size },
    { -5.0, 0, 2.5, 0 })
  t.equal(info.names, { "h", "b", "d", "i", "none", "f" })
  t.equal({ info.metadata.format, info.dtypes.b }, { "pt", "BF16" })
  t.raises(nn.load_model, "no giemsa model %(format 'pt'%)", path)
end)

-- A file with other content whose sums are right, as a faulty program might write it.
local function rewritten(change)
  local header, data = parts((saved_bytes()))
  header.__metadata__.header_sha256, header.__metadata__.tensors_sha256 = nil, nil
  data = change(header, data) or data
  return write(file_of(header, data))
end

t.test("files that do not fit together", function()
  t.raises(nn.load_model,
    "format version 2, this giemsa %(.*%) reads version 1; giemsa 9.0 wrote it",
    rewritten(function(h)
    h.__metadata__.format_version, h.__metadata__.giemsa_version = "2", "9.0"
  end))
  t.raises(nn.load_model, "no architecture",
    rewritten(function(h) h.__metadata__.architecture = nil end))
  t.raises(nn.load_model, "architecture is damaged",
    rewritten(function(h) h.__metadata__.architecture = "{" end))
  t.raises(nn.load_model, "unknown class 'Conv2DD' %(did you mean", rewritten(function(h)
    h.__metadata__.architecture = h.__metadata__.architecture:gsub("Conv2D", "Conv2DD")
  end))
  t.raises(nn.load_model, "weight 'conv2d_1/kernel' has shape %(3, 3, 2, 3%) in the file, "
    .. "but the architecture needs %(3, 3, 2, 4%)", rewritten(function(h)
      local text = h.__metadata__.architecture
      h.__metadata__.architecture = text:gsub('"filters":3', '"filters":4')
    end))
  t.raises(nn.load_model, "1 weights of the net are not in the file, the first is 'dense_1/bias'",
    rewritten(function(h)
    h["dense_1/other"], h["dense_1/bias"] = h["dense_1/bias"], nil
  end))
  t.raises(nn.load_model, "has 1 weights that the net has not, the first is 'zzz'",
    rewritten(function(h, data)
    h.zzz = { dtype = "F32", shape = { 1 }, data_offsets = { #data, #data + 4 } }
    return data .. "abcd"
  end))
  t.raises(nn.load_model, "optimiser's 'conv2d_9/kernel/velocity' belongs to no weight",
    rewritten(function(h)
    h["optimizer/conv2d_9/kernel/velocity"],
      h["optimizer/conv2d_1/kernel/velocity"] = h["optimizer/conv2d_1/kernel/velocity"], nil
  end))
end)

t.test("metadata that is JSON but nonsense", function()
  for field, pattern in pairs {
    ['history ['] = "history is damaged", ['history 3'] = "history is damaged: it is not an object",
    ['history {"loss":3}'] = "history of 'loss' is no array",
    ['class_names "x"'] = "class_names is damaged: it is not an object",
    ['training {"optimizer":3,"compiled":true}'] = "optimizer cannot be restored",
    ['training {"optimizer":{"class_name":"SGDD"},"compiled":true}'] = "must be one of SGD",
    ['training {"optimizer":{"class_name":"SGD"},"compiled":true,"loss":"x"}'] = "unknown loss 'x'",
  } do
    local key, value = field:match("^(%S+) (.*)$")
    t.raises(nn.load_model, pattern, rewritten(function(h) h.__metadata__[key] = value end))
  end
end)

t.test("an error does not change the net", function()
  local model = small_model()
  local before = weights_of(model)
  t.raises(model.load_weights, "not in the file", model, rewritten(function(h)
    h["dense_1/other"], h["dense_1/bias"] = h["dense_1/bias"], nil
  end))
  t.ok(weights_of(model) == before)
end)

-- ---- the disk

local function files_beside(path)
  local names = {}
  local pipe <close> = assert(io.popen(("ls -A '%s'"):format(path)))
  for name in pipe:lines() do names[#names + 1] = name end
  return names
end

t.test("a full disk leaves the old file whole", function()
  local place = folder .. "/full"
  os.execute(("mkdir '%s'"):format(place))
  local path = place .. "/model.safetensors"
  local model = small_model()
  model:save(path)
  local before = read(path)
  local script = write(([[
    local nn = require "giemsa.nn"
    local model = nn.Sequential{ nn.Dense{ 200, input_shape = { 200 } } }
    local ok, message = pcall(model.save, model, "%s")
    io.write(tostring(ok), " ", tostring(message))
  ]]):format(path), folder .. "/fill.lua")
  local program = t.interpreter
  local shell = ("trap '' XFSZ; ulimit -f 16; '%s' '%s' 2>&1"):format(program, script)
  local pipe <close> = assert(io.popen(shell))
  local answer = pipe:read("a")
  t.ok(answer:find("^false.*save: cannot write .*model.safetensors: "), answer)
  t.ok(read(path) == before, "the old file was changed")
  t.equal(files_beside(place), { "model.safetensors" })
  nn.load_model(path)
end)

t.test("a disk with no room at all", function()
  local place = folder .. "/tiny"
  if os.execute(("mkdir '%s' && mount -t tmpfs -o size=64k none '%s' 2>/dev/null")
    :format(place, place)) ~= true then
    t.skip("a small file system can be mounted by root only")
  end
  local path = place .. "/model.safetensors"
  local ok, problem = pcall(function()
    small_model():save(path)
    local before = read(path)
    local big = nn.Sequential{ nn.Dense{ 200, input_shape = { 200 } } }
    t.raises(big.save,
      "No space left on device %(free some space; the old file, if any, is unchanged%)", big, path)
    t.ok(read(path) == before)
    t.equal(files_beside(place), { "model.safetensors" })
  end)
  os.execute(("umount '%s'"):format(place))
  if not ok then error(problem, 0) end
end)

t.test("a place that cannot be written", function()
  local model = small_model()
  model:save(folder .. "/new/folders/model.safetensors")
  nn.load_model(folder .. "/new/folders/model.safetensors")
  local nowhere = write("a file", folder .. "/file") .. "/model.safetensors"
  local ok, where = pcall(function() model:save(nowhere) end)
  t.ok(not ok and where:find("tests/save.lua:%d+: save: .*cannot "), where)
  ok, where = pcall(function() nn.load_model(nowhere) end)
  t.ok(not ok and where:find("load_model: cannot read"), where)
end)

t.test("a file that is written again keeps its rights, and a link leads where it led", function()
  local place = t.tmpdir() .. "/rights"
  t.shell(("mkdir %s && cd %s && echo old > real && chmod 640 real && ln -s real link && ln -s nothing dangling"):format(place, place))
  assert(core.write_file(place .. "/link", "new"))
  assert(core.write_file(place .. "/dangling", "made"))
  t.equal(t.shell(("cd %s && cat real && readlink link && stat -c %%a real"):format(place)), "newreal\n640\n")
  t.equal(t.shell(("cat %s/dangling"):format(place)), "made")
end)

t.done()
