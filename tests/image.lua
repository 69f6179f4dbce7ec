--- Pictures: reading (against fixtures, against files made here, and against anything that is no
--- picture), resizing, drawing, text, writing, the affine map, memory.
local t = require "tests.harness"
local core = require "giemsa.core"
local image = require "giemsa.image"
local montage = require "giemsa.montage"
local tensor = require "giemsa.tensor"
local json = require "dkjson"

-- ---- numbers that repeat, without Lua's own generator

local function stream(seed)
  return function(n) -- 0..n-1
    seed = (seed * 6364136223846793005 + 1442695040888963407) & 0x7fffffffffffffff
    return (seed >> 33) % n
  end
end

local function noise(width, height, channels, seed)
  local draw, rows = stream(seed or 1), {}
  for y = 1, height do
    rows[y] = {}
    for x = 1, width do
      rows[y][x] = {}
      for c = 1, channels do rows[y][x][c] = draw(256) end
    end
  end
  return image.from_tensor(tensor(rows))
end

local function numbers(picture) return picture:to_tensor():totable() end

-- ---- files made by hand

local function crc32(text)
  local c = 0xffffffff
  for i = 1, #text do
    c = c ~ text:byte(i)
    for _ = 1, 8 do c = c & 1 == 1 and 0xedb88320 ~ c >> 1 or c >> 1 end
  end
  return c ~ 0xffffffff
end

local function adler32(text)
  local a, b = 1, 0
  for i = 1, #text do a = (a + text:byte(i)) % 65521; b = (b + a) % 65521 end
  return b << 16 | a
end

local function chunk(kind, data)
  return (">I4"):pack(#data) .. kind .. data .. (">I4"):pack(crc32(kind .. data))
end

local SIGNATURE = "\x89PNG\r\n\x1a\n"
local GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6

local function header(width, height, bits, kind)
  return chunk("IHDR", (">I4I4BBBBB"):pack(width, height, bits, kind, 0, 0, 0))
end

-- Rows are strings without the filter byte; the data is stored, not compressed.
local function png(width, height, bits, kind, rows, extra)
  local raw = "\0" .. table.concat(rows, "\0")
  local stored = "\x78\x01\1" .. ("<I2I2"):pack(#raw, ~#raw & 0xffff) .. raw
    .. (">I4"):pack(adler32(raw))
  return SIGNATURE .. header(width, height, bits, kind) .. (extra or "") .. chunk("IDAT", stored)
    .. chunk("IEND", "")
end

local function bmp(width, height, rows)
  local line = (3 * width + 3) // 4 * 4
  local data = {}
  for i, row in ipairs(rows) do data[i] = row .. ("\0"):rep(line - #row) end
  data = table.concat(data)
  return "BM" .. ("<I4I2I2I4"):pack(54 + #data, 0, 0, 54)
    .. ("<I4i4i4I2I2I4I4i4i4I4I4"):pack(40, width, height, 1, 24, 0, #data, 0, 0, 0, 0) .. data
end

local function base64(text)
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  local bits, count, out = 0, 0, {}
  for letter in text:gmatch("[%w+/]") do
    bits, count = (bits << 6 | alphabet:find(letter, 1, true) - 1) & 0xffffff, count + 6
    if count >= 8 then
      count = count - 8
      out[#out + 1] = string.char(bits >> count & 255)
    end
  end
  return table.concat(out)
end

-- 20 x 18, red grows to the right and green downwards, blue 100; made by libjpeg: one scan, and
-- progressive.
local JPEG = base64 [[
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYWICwg
IyYnKSopGR8tMC0oMCUoKSj/2wBDAQcHBwoIChMKChMoGhYaKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo
KCgoKCgoKCgoKCgoKCj/wAARCAASABQDASIAAhEBAxEB/8QAFwABAQEBAAAAAAAAAAAAAAAAAAYHBP/EAB8QAAEEAQUBAAAA
AAAAAAAAAAABAgUiMQMhI5GhE//EABgBAAIDAAAAAAAAAAAAAAAAAAUHAQMI/8QAHxEAAQMEAwEAAAAAAAAAAAAAAAEFIQME
BjEiMkFh/9oADAMBAAIRAxEAPwDHI6BxQqI6BxQsI6BxTwqY6BxXwi7ePpTjz/qSJ0IHjSgNY0IHjSvgAavE7GlTf+KScEc1
u1U6KiOa3aqdAAu7M4494Ueg1vzSqdAABrsaFPqh/9k=]]
local PROGRESSIVE = base64 [[
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYWICwg
IyYnKSopGR8tMC0oMCUoKSj/2wBDAQcHBwoIChMKChMoGhYaKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo
KCgoKCgoKCgoKCgoKCj/wgARCAASABQDASIAAhEBAxEB/8QAFwABAQEBAAAAAAAAAAAAAAAAAAUGBP/EABgBAAIDAAAAAAAA
AAAAAAAAAAQGAQIH/9oADAMBAAIQAxAAAAHG1LFWKRGsAtPPUBc4pAFo/8QAGBABAQEBAQAAAAAAAAAAAAAAAwABITH/2gAI
AQEAAQUCMIwsDhhGFgcOOzz/xAAZEQACAwEAAAAAAAAAAAAAAAAAAgQFITH/2gAIAQMBAT8Br54s/CvF4f/EABgRAAIDAAAA
AAAAAAAAAAAAAAADBBAU/9oACAECAQE/AWzDYNr/xAAUEAEAAAAAAAAAAAAAAAAAAAAw/9oACAEBAAY/Ah//xAAYEAADAQEA
AAAAAAAAAAAAAAAAAVFhQf/aAAgBAQABPyHExJjExJhFBFBVwf/aAAwDAQACAAMAAAAQ6C+C/8QAFxEBAQEBAAAAAAAAAAAA
AAAAACExQf/aAAgBAwEBPxDOoq5YP//EABkRAAIDAQAAAAAAAAAAAAAAAAABECExYf/aAAgBAgEBPxDsO2xen//EABkQAAID
AQAAAAAAAAAAAAAAAAAhMZHBEf/aAAgBAQABPxCIxFQxZIsCmBRKFEo5CUf/2Q==]]
-- 12 x 10 in CMYK: cyan grows to the right, magenta downwards; yellow 100/255, black 30/255.
local CMYK = base64 [[
/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBET
FBUVFQwPFxgWFBgSFBUU/8AAFAgACgAMBEMRAE0RAFkRAEsRAP/EABcAAQEBAQAAAAAAAAAAAAAAAAAJCAf/xAAkEAABAgEN
AAAAAAAAAAAAAAAAAQQDBggUGDZBRFRkgZKi8P/aAA4EQwBNAFkASwAAPwDXE5jFbmmK22t7HSCgZNOXtpXPr1FbbW9gClk5
jFbk4Kc5zEXmoBNOXtpXPr1FOc5iLzUA/9k=]]

-- ---- reading

t.test("fixtures: every kind of PNG is read as Keras's load_img reads it", function()
  local folder = t.need_fixtures() .. "/pngload/"
  for _, case in ipairs(json.decode(io.open(folder .. "cases.json"):read("a"))) do
    t.close(image.load(folder .. case.input):to_tensor(), core.npy_load(folder .. case.rgb), 0, 0,
      case.input)
  end
end)

t.test("PNG: one bit, palette, alpha, 16 bits", function()
  local function check(bytes, want, want_grey)
    t.equal(numbers(assert(image.decode(bytes))), want)
    if want_grey then t.equal(numbers(assert(image.decode(bytes, "grayscale"))), want_grey) end
  end
  check(png(3, 2, 1, GREY, { "\xa0", "\x40" }),
    { { { 255, 255, 255 }, { 0, 0, 0 }, { 255, 255, 255 } },
    { { 0, 0, 0 }, { 255, 255, 255 }, { 0, 0, 0 } } },
    { { { 255 }, { 0 }, { 255 } }, { { 0 }, { 255 }, { 0 } } })
  local colours = chunk("PLTE", "\1\2\3\100\150\200") .. chunk("tRNS", "\0\128")
  check(png(2, 1, 1, PALETTE, { "\x40" }, colours), { { { 1, 2, 3 }, { 100, 150, 200 } } },
    { { { 2 }, { 141 } } })
  check(png(2, 1, 8, RGBA, { "\10\20\30\0\40\50\60\255" }), { { { 10, 20, 30 }, { 40, 50, 60 } } })
  check(png(2, 1, 8, GREY_ALPHA, { "\10\0\20\255" }), { { { 10, 10, 10 }, { 20, 20, 20 } } },
    { { { 10 }, { 20 } } })
  check(png(1, 1, 8, RGB, { "\7\8\9" }, chunk("tRNS", "\0\7\0\8\0\9")), { { { 7, 8, 9 } } })
  check(png(1, 1, 16, RGB, { "\1\255\2\0\255\255" }), { { { 1, 2, 255 } } })
  check(png(2, 1, 16, GREY, { "\0\255\128\0" }), { { { 0, 0, 0 }, { 128, 128, 128 } } },
    { { { 0 }, { 128 } } })
  check(png(1, 1, 8, GREY, { "\5" }, chunk("tEXt", "Comment\0anything")), { { { 5, 5, 5 } } })
end)

t.test("JPEG: one scan, progressive, CMYK, grey", function()
  local want = {}
  for y = 0, 17 do
    want[y + 1] = {}
    for x = 0, 19 do want[y + 1][x + 1] = { x * 255 // 20, y * 255 // 18, 100 } end
  end
  for _, bytes in ipairs { JPEG, PROGRESSIVE } do
    t.close(image.decode(bytes):to_tensor(), want, 24)
  end
  t.close(core.sum(image.decode(JPEG):to_tensor()), core.sum(tensor(want)), 0, 0.01)
  local cmyk = {} -- stored inverted, as Adobe does: red = (255 - cyan) (255 - black) / 255
  for y = 0, 9 do
    cmyk[y + 1] = {}
    for x = 0, 11 do
      local function mix(ink) return (255 - ink) * 225 / 255 end
      cmyk[y + 1][x + 1] = { mix(x * 200 // 12), mix(y * 200 // 10), mix(100) }
    end
  end
  t.close(image.decode(CMYK):to_tensor(), cmyk, 24)
  local grey = image.decode(JPEG, "grayscale")
  t.equal({ grey.width, grey.height, grey.channels }, { 20, 18, 1 })
  t.equal(grey, image.decode(JPEG):convert(1))
end)

t.test("BMP: from the bottom and from the top", function()
  local want = { { { 1, 2, 3 }, { 4, 5, 6 } }, { { 7, 8, 9 }, { 10, 11, 12 } } }
  local first, second = "\3\2\1\6\5\4", "\9\8\7\12\11\10"
  t.equal(numbers(image.decode(bmp(2, 2, { second, first }))), want)
  t.equal(numbers(image.decode(bmp(2, -2, { first, second }))), want)
end)

t.test("grey is Pillow's", function()
  local grey = noise(16, 16, 3, 4)
  local want = numbers(grey)
  for _, row in ipairs(want) do
    for x, p in ipairs(row) do
      row[x] = { (p[1] * 19595 + p[2] * 38470 + p[3] * 7471 + 0x8000) // 1 >> 16 }
    end
  end
  t.equal(numbers(grey:convert(1)), want)
  t.equal(grey:convert(1):convert(3):convert(1), grey:convert(1))
end)

t.test("load: size, colour mode and interpolation as Keras's load_img", function()
  local path = t.tmpdir() .. "/cell.png"
  local cell = noise(30, 20, 3):save(path)
  t.equal(image.load(path), cell)
  t.equal(image.load(path, { target_size = { 10, 15 } }), cell:resize(15, 10, "nearest"))
  t.equal(image.load(path, { target_size = { 7, 9 }, interpolation = "bilinear" }),
    cell:resize(9, 7, "bilinear"))
  t.equal(image.load(path, { color_mode = "grayscale" }), cell:convert(1))
  t.equal(image.load(path, { color_mode = "rgba" }), cell:convert(4))
  t.equal(cell:convert(4):convert(3), cell)
  t.equal(tostring(cell), "picture 30 x 20 x 3")
end)

-- ---- what is no picture

-- A real file of zeros' size as PNG: compressed far below what its header says.
local function bomb()
  local data = image.new(3000, 3000):png():match("IDAT(.*)....\0\0\0\0IEND")
  return SIGNATURE .. header(1, 1, 8, RGB) .. chunk("IDAT", data) .. chunk("IEND", "")
end

t.test("bad files: each says its path and what is wrong", function()
  local folder = t.tmpdir() .. "/"
  local good = noise(20, 20, 3):png()
  local cases = {
    ["empty.png"] = { "", "empty" },
    ["Thumbs.db"] = { "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" .. ("\0"):rep(500), "not a picture" },
    ["text.jpg"] = { "hello", "not a picture" },
    ["one.png"] = { "\x89", "not a picture" },
    ["signature.png"] = { SIGNATURE, "truncated" },
    ["half.png"] = { good:sub(1, #good // 2), "truncated" },
    ["noend.png"] = { good:sub(1, -13), "truncated" },
    ["altered.png"] = { good:sub(1, 99) .. string.char(good:byte(100) ~ 1) .. good:sub(101),
      "damaged.*checksum" },
    ["half.jpg"] = { JPEG:sub(1, #JPEG // 2), "truncated" },
    ["noend.jpg"] = { JPEG:sub(1, -3), "truncated" },
    ["third.jpg"] = { PROGRESSIVE:sub(1, 500), "truncated" },
    ["half.bmp"] = { bmp(9, 9, { ("x"):rep(27 * 9) }):sub(1, 150), "truncated" },
    ["huge.png"] = { SIGNATURE .. header(20000, 20000, 8, RGB) .. chunk("IDAT", "x")
      .. chunk("IEND", ""), "20000 x 20000 pixels is too large" },
    ["wide.png"] = { SIGNATURE .. header(40000, 1, 8, RGB) .. chunk("IDAT", "x")
      .. chunk("IEND", ""), "too large" },
    ["none.png"] = { SIGNATURE .. header(0, 5, 8, RGB) .. chunk("IDAT", "x") .. chunk("IEND", ""),
      "is empty" },
    ["huge.jpg"] = { "\xff\xd8\xff\xc0\0\x11\8\x4e\x20\x4e\x20\3\1\x11\0\2\x11\0\3\x11\0\xff\xd9",
      "20000 x 20000 pixels is too large" },
    ["huge.bmp"] = { "BM" .. ("<I4I2I2I4"):pack(54, 0, 0, 54)
      .. ("<I4i4i4I2I2I4I4i4i4I4I4"):pack(40, 20000, -20000, 1, 24, 0, 0, 0, 0, 0, 0),
      "too large" },
    ["tables.jpg"] = { "\xff\xd8\xff\xc4\0\x55\0" .. ("\xff"):rep(16) .. ("x"):rep(66)
      .. "\xff\xd9", "damaged.*tables" },
    ["bomb.png"] = { bomb(), "damaged" },
  }
  for name, case in pairs(cases) do
    local path = t.write(folder .. name, case[1])
    local read, why = image.read(path)
    t.equal(read, nil, name)
    t.ok(why:find(path, 1, true) and why:find(case[2]), name .. ": " .. why)
    t.raises(image.load, "^image.load: .*" .. case[2], path)
  end
  local read, why = image.read(folder .. "missing.png")
  t.ok(not read and why:find("missing.png: No such file"), why)
  read, why = image.read(folder)
  t.ok(not read and why:find("it is a folder"), why)
end)

t.test("small and large pictures that are allowed", function()
  t.equal(numbers(image.decode(png(1, 1, 8, RGB, { "\1\2\3" }))), { { { 1, 2, 3 } } })
  local wide = image.new(32768, 2, { color = { 1, 2, 3 } })
  t.equal(image.decode(wide:png()), wide)
  t.raises(image.new, "40000 is not in 1..32768", 40000, 1)
  t.raises(image.new, "too large", 20000, 20000)
end)

-- Every length of a file, and many with wrong bytes: an answer or an error, never a crash. PNG
-- checksums are made right again, or little would get past them.
local function repaired(bytes)
  local out, at = { bytes:sub(1, 8) }, 9
  while at + 11 <= #bytes do
    local length = (">I4"):unpack(bytes, at)
    if length > #bytes - at - 11 then break end
    out[#out + 1] = chunk(bytes:sub(at + 4, at + 7), bytes:sub(at + 8, at + 7 + length))
    at = at + 12 + length
  end
  return table.concat(out) .. bytes:sub(at)
end

t.test("any bytes give a picture or a message", function()
  local draw = stream(7)
  local files = { JPEG, PROGRESSIVE, CMYK,
    bmp(4, 3, { ("abc"):rep(4), ("bcd"):rep(4), ("xyz"):rep(4) }),
    noise(9, 7, 3):png(),
    png(9, 2, 1, PALETTE, { "ab", "cd" }, chunk("PLTE", "abcdef") .. chunk("tRNS", "xy")),
    png(3, 1, 16, RGBA, { ("z"):rep(24) }) }
  for k, bytes in ipairs(files) do
    t.ok(image.decode(bytes))
    for length = 0, #bytes - 1 do
      local read, why = image.decode(bytes:sub(1, length), "rgb", "cut")
      t.ok(not read, ("file %d cut to %d bytes was accepted"):format(k, length))
      t.ok(why:find("^cut: "), why)
    end
    for _ = 1, 400 do
      local altered = { bytes:byte(1, -1) }
      for _ = 1, 1 + draw(4) do
        local region = draw(2) == 0 and #altered or math.min(60, #altered)
        altered[1 + draw(region)] = draw(3) == 0 and 255 or draw(256)
      end
      altered = string.char(table.unpack(altered))
      local read, why = image.decode(k >= 5 and repaired(altered) or altered,
        draw(2) == 0 and "rgb" or "grayscale", "altered")
      if not read then t.ok(why:find("^altered: "), why) end
    end
  end
end)

-- ---- resizing

t.test("fixtures: nearest as Pillow and bilinear as OpenCV, to the byte", function()
  local folder = t.need_fixtures() .. "/resize/"
  for _, case in ipairs(json.decode(io.open(folder .. "cases.json"):read("a"))) do
    local picture = image.load(folder .. case.input)
    t.close(picture:resize(case.out_width, case.out_height, "nearest"):to_tensor(),
      core.npy_load(folder .. case.nearest), 0, 0, case.nearest)
    t.close(picture:resize(case.out_width, case.out_height, "bilinear"):to_tensor(),
      core.npy_load(folder .. case.linear), 0, 0, case.linear)
  end
end)

local SIZES = { { 17, 23, 9, 11 }, { 5, 4, 13, 8 }, { 1, 1, 6, 5 }, { 12, 1, 1, 7 },
  { 16, 10, 8, 5 }, { 30, 30, 7, 29 } }

local function each_size(check)
  for i, s in ipairs(SIZES) do
    for _, channels in ipairs { 1, 3, 4 } do check(noise(s[1], s[2], channels, i), s[3], s[4]) end
  end
end

t.test("nearest by its definition", function()
  local function indices(n_in, n_out)
    local index, step = {}, n_in / n_out
    local s = 0.5 * step
    for i = 1, n_out do index[i], s = 1 + s // 1, s + step end
    return index
  end
  each_size(function(picture, width, height)
    local from, want = numbers(picture), {}
    local rows, columns = indices(picture.height, height), indices(picture.width, width)
    for y = 1, height do
      want[y] = {}
      for x = 1, width do want[y][x] = from[rows[y]][columns[x]] end
    end
    t.equal(numbers(picture:resize(width, height)), want)
  end)
end)

t.test("bilinear within a grey level of its definition", function()
  local function tap(i, n_in, n_out)
    local c = math.max(0, math.min(n_in - 1, (i - 0.5) * n_in / n_out - 0.5))
    local first = math.min(c // 1, math.max(n_in - 2, 0))
    return 1 + first // 1, math.min(2 + first // 1, n_in), c - first
  end
  each_size(function(picture, width, height)
    local from, want = numbers(picture), {}
    for y = 1, height do
      local top, bottom, down = tap(y, picture.height, height)
      want[y] = {}
      for x = 1, width do
        local left, right, across = tap(x, picture.width, width)
        want[y][x] = {}
        for c = 1, picture.channels do
          local upper = from[top][left][c] * (1 - across) + from[top][right][c] * across
          local lower = from[bottom][left][c] * (1 - across) + from[bottom][right][c] * across
          want[y][x][c] = upper * (1 - down) + lower * down
        end
      end
    end
    t.close(picture:resize(width, height, "bilinear"):to_tensor(), want, 1)
  end)
end)

t.test("area is the mean of what a pixel covers", function()
  local function shares(i, n_in, n_out) -- input index -> share of output i
    local out, from, to = {}, (i - 1) * n_in / n_out, i * n_in / n_out
    for k = 1, n_in do
      local share = math.min(k, to) - math.max(k - 1, from)
      if share > 1e-9 then out[k] = share end
    end
    return out
  end
  each_size(function(picture, width, height)
    local from, want = numbers(picture), {}
    for y = 1, height do
      want[y] = {}
      for x = 1, width do
        want[y][x] = {}
        for c = 1, picture.channels do
          local sum, area = 0, 0
          for row, down in pairs(shares(y, picture.height, height)) do
            for column, across in pairs(shares(x, picture.width, width)) do
              sum, area = sum + down * across * from[row][column][c], area + down * across
            end
          end
          want[y][x][c] = sum / area
        end
      end
    end
    t.close(picture:resize(width, height, "area"):to_tensor(), want, 0.51)
  end)
end)

-- ---- the affine map

local function generator(fill, cval)
  return require("giemsa.data").ImageDataGenerator { fill_mode = fill, cval = cval }
end

local DRAWN = { "theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical" }

t.test("fixtures: the affine map as keras-preprocessing 1.1.2", function()
  local folder = t.need_fixtures() .. "/affine/"
  for _, case in ipairs(json.decode(io.open(folder .. "cases.json"):read("a")).cases) do
    local parameters = {}
    for _, key in ipairs(DRAWN) do parameters[key] = case[key] end
    local x = image.load(folder .. case.input):to_tensor()
    local got = generator(case.fill_mode, case.cval):apply_transform(x, parameters)
    t.close(got, core.npy_load(folder .. case.expected_v112), 0.01, 0, case.id)
  end
end)

-- M by products of 3 x 3 matrices.
local function product(a, b)
  local out = {}
  for i = 1, 3 do
    out[i] = {}
    for j = 1, 3 do out[i][j] = a[i][1] * b[1][j] + a[i][2] * b[2][j] + a[i][3] * b[3][j] end
  end
  return out
end

local function map_of(p, height, width)
  local theta, shear = math.rad(p.theta), math.rad(p.shear)
  local row, column = height / 2 + 0.5, width / 2 + 0.5
  local A = { { 1, 0, row }, { 0, 1, column }, { 0, 0, 1 } }
  for _, factor in ipairs {
    { { math.cos(theta), -math.sin(theta), 0 }, { math.sin(theta), math.cos(theta), 0 },
      { 0, 0, 1 } },
    { { 1, 0, p.tx }, { 0, 1, p.ty }, { 0, 0, 1 } },
    { { 1, -math.sin(shear), 0 }, { 0, math.cos(shear), 0 }, { 0, 0, 1 } },
    { { p.zx, 0, 0 }, { 0, p.zy, 0 }, { 0, 0, 1 } },
    { { 1, 0, -row }, { 0, 1, -column }, { 0, 0, 1 } } } do A = product(A, factor) end
  return A
end

-- Two taps (from 0) and the second's weight; nil outside with "constant".
local function taps(c, n, fill)
  if fill == "constant" and (c < 0 or c > n - 1) then return nil end
  if fill == "reflect" then
    local function reflected(i)
      i = i % (2 * n)
      return i < n and i or 2 * n - 1 - i
    end
    local below = math.floor(c)
    return reflected(below), reflected(below + 1), c - below
  end
  if fill == "wrap" and n > 1 then c = (c < 0 or c > n - 1) and c % (n - 1) or c end
  c = math.max(0, math.min(n - 1, c))
  local below = math.floor(c)
  return below, math.min(below + 1, n - 1), c - below
end

local function naive_map(from, p, height, width, channels, fill, cval)
  local M, out = map_of(p, height, width), {}
  for r = 0, height - 1 do
    out[r + 1] = {}
    for c = 0, width - 1 do
      local top, bottom, down = taps(M[1][1] * r + M[1][2] * c + M[1][3], height, fill)
      local left, right, across = taps(M[2][1] * r + M[2][2] * c + M[2][3], width, fill)
      local pixel = {}
      for k = 1, channels do
        local function between_rows(column)
          return from[top + 1][column + 1][k] * (1 - down) + from[bottom + 1][column + 1][k] * down
        end
        pixel[k] = top and left and between_rows(left) * (1 - across) + between_rows(right) * across
          or cval
      end
      out[r + 1][p.flip_horizontal and width - c or c + 1] = pixel
    end
  end
  if not p.flip_vertical then return out end
  local flipped = {}
  for r = 1, height do flipped[r] = out[height + 1 - r] end
  return flipped
end

t.test("the affine map by its definition, all fill modes, sizes and channels", function()
  local draw = stream(3)
  local function between(a, b) return a + (b - a) * draw(1 << 20) / (1 << 20) end
  for _, size in ipairs { { 9, 12, 3 }, { 70, 5, 1 }, { 1, 8, 3 }, { 6, 1, 2 }, { 3, 130, 4 } } do
    local height, width, channels = table.unpack(size)
    local x = noise(width, height, channels, draw(99)):to_tensor()
    for _, fill in ipairs { "nearest", "constant", "reflect", "wrap" } do
      local p = { theta = between(-180, 180), tx = between(-9, 9), ty = between(-30, 30),
        shear = between(-30, 30), zx = between(0.3, 3), zy = between(0.3, 3),
        flip_horizontal = draw(2) == 0, flip_vertical = draw(2) == 0 }
      local got = generator(fill, 7):apply_transform(x, p)
      t.close(got, naive_map(x:totable(), p, height, width, channels, fill, 7), 2e-3, 0, fill)
    end
  end
end)

t.test("after the map: shift of channels, flips, brightness", function()
  local x = noise(8, 6, 3, 5):to_tensor()
  local function transformed(p) return generator("nearest"):apply_transform(x, p) end
  t.close(transformed {}, x, 0)
  local low, high = core.min(x):item(), core.max(x):item()
  t.close(transformed { channel_shift_intensity = 40.5 }, core.clip(x + 40.5, low, high), 0)
  t.close(transformed { brightness = 1.7 }, core.floor(core.clip(x * 1.7, 0, 255)), 1)
  local both = transformed { flip_horizontal = true, flip_vertical = true }
  for r = 1, 6 do
    for c = 1, 8 do t.equal(both[r][c]:totable(), x[7 - r][9 - c]:totable()) end
  end
  -- Coordinates without a meaning still land inside.
  local huge = transformed { theta = 1e300, tx = 1e308, zx = 1e-300, zy = 1e300 }
  t.ok(core.min(huge):item() >= 0 and core.max(huge):item() <= 255)
end)

-- ---- drawing

local function naive_line(width, height, x0, y0, x1, y1, thickness)
  local rows, trace = {}, 1 / 1024
  x0, y0, x1, y1 = x0 + trace, y0 + trace, x1 + trace, y1 + trace
  local dx, dy = x1 - x0, y1 - y0
  local square = dx * dx + dy * dy
  for y = 0, height - 1 do
    rows[y + 1] = {}
    for x = 0, width - 1 do
      local along = square > 0 and ((x - x0) * dx + (y - y0) * dy) / square or 0
      along = math.max(0, math.min(1, along))
      local px, py = x - x0 - along * dx, y - y0 - along * dy
      rows[y + 1][x + 1] = { px * px + py * py <= thickness * thickness / 4 and 255 or 0 }
    end
  end
  return rows
end

t.test("a line is all pixels within half its thickness", function()
  local draw = stream(11)
  for _ = 1, 60 do
    local x0, y0 = draw(700) / 10 - 20, draw(500) / 10 - 15
    local x1, y1 = draw(700) / 10 - 20, draw(500) / 10 - 15
    local thickness = 0.4 + draw(80) / 10
    if draw(5) == 0 then x1 = x0 end
    if draw(5) == 0 then y1 = y0 end
    local p = image.new(31, 23, { channels = 1 }):line(x0, y0, x1, y1, { thickness = thickness })
    t.equal(numbers(p), naive_line(31, 23, x0, y0, x1, y1, thickness))
  end
  for thickness = 1, 4 do -- as wide as it says, wherever it lies
    for _, x in ipairs { 10, 10.25, 10.5 } do
      local column = image.new(21, 9, { channels = 1 })
      column:line(x, -5, x, 20, { thickness = thickness })
      t.equal(core.sum(column:to_tensor()):item(), 255 * 9 * thickness)
    end
  end
  local far = image.new(5, 5, { channels = 1 }):line(-1e9, -1e9, 1e9, 1e9)
  far:line(0 / 0, 1, 2, 3):line(-math.huge, 1, math.huge, 1)
  t.equal(core.sum(far:to_tensor()):item(), 5 * 255)
end)

t.test("rectangles, filled and not, cut at the border", function()
  local function count(p) return core.sum(p:to_tensor()):item() / 255 end
  local function fresh() return image.new(20, 10, { channels = 1 }) end
  t.equal(count(fresh():rectangle(2, 3, 6, 8, { filled = true })), 5 * 6)
  t.equal(count(fresh():rectangle(6, 8, 2, 3)), 5 * 6 - 3 * 4)
  t.equal(count(fresh():rectangle(2, 1, 12, 8, { thickness = 2 })), 11 * 8 - 7 * 4)
  t.equal(count(fresh():rectangle(2, 3, 6, 8, { thickness = 9 })), 5 * 6)
  t.equal(count(fresh():rectangle(-100, -100, 100, 100, { filled = true })), 200)
  t.equal(count(fresh():rectangle(-100, 4, 100, 400)), 20)
  t.equal(count(fresh():rectangle(30, 30, 40, 40, { filled = true })), 0)
  local two = image.new(2, 1):rectangle(1, 0, 1, 0, { color = { 9, 8, 7 } })
  t.equal(numbers(two), { { { 0, 0, 0 }, { 9, 8, 7 } } })
end)

t.test("crop, paste, copy", function()
  local p = noise(12, 9, 3, 2)
  local part = p:crop(3, 2, 5, 4)
  t.equal(numbers(part)[1][1], numbers(p)[3][4])
  t.equal({ part.width, part.height }, { 5, 4 })
  t.equal(p:copy():paste(3, 2, part), p)
  local q = image.new(6, 6):paste(-2, 4, part)
  t.equal(q:crop(0, 4, 3, 2), part:crop(2, 0, 3, 2))
  t.equal(q:crop(3, 0, 3, 6), image.new(3, 6))
  t.equal(image.new(6, 6):paste(-9, 0, part):paste(6, 0, part):paste(0, 99, part), image.new(6, 6))
  t.raises(p.crop, "not in 0..11", p, 12, 0, 1, 1)
  t.raises(p.crop, "not in 1..9", p, 3, 0, 10, 1)
  t.raises(p.paste, "channels", p, 0, 0, p:convert(1))
end)

-- ---- text

-- {left, top, right, bottom} from 0, and how many pixels are not black.
local function ink_of(p)
  local box, count = { math.huge, math.huge, -1, -1 }, 0
  for y, row in ipairs(numbers(p)) do
    for x, pixel in ipairs(row) do
      if pixel[1] + (pixel[2] or 0) + (pixel[3] or 0) > 0 then
        box = { math.min(box[1], x - 1), math.min(box[2], y - 1),
          math.max(box[3], x - 1), math.max(box[4], y - 1) }
        count = count + 1
      end
    end
  end
  return box, count
end

t.test("fixtures: labels take the room and ink of OpenCV's", function()
  local misc = json.decode(io.open(t.need_fixtures() .. "/misc/misc.json"):read("a"))
  for _, case in ipairs(misc.puttext) do
    local colour = { case.color_bgr[3], case.color_bgr[2], case.color_bgr[1] }
    local style = { color = colour, scale = case.scale, thickness = case.thickness }
    local p = image.new(128, 128):draw_text(case.org[1], case.org[2], case.text, style)
    local box, count = ink_of(p)
    t.close(box, case.ink_box_x0y0x1y1, 2)
    t.close(count, case.ink_pixels, 0, 0.25)
    style.color = nil
    t.close(image.text_size(case.text, style), case.getTextSize[1], 2)
  end
end)

t.test("every ASCII letter has ink inside its room, in the colour asked for", function()
  for code = 33, 126 do
    local letter = string.char(code)
    local p = image.new(90, 90):draw_text(20, 60, letter, { scale = 1.5, color = { 10, 200, 30 } })
    local box, count = ink_of(p)
    local width = image.text_size(letter, { scale = 1.5 })
    t.ok(count >= 3, "no ink in " .. letter)
    local inside = box[1] >= 19 and box[3] <= 21 + width and box[2] >= 21 and box[4] <= 73
    t.ok(inside, letter .. " leaves its room")
    t.equal(core.sum(p:to_tensor()):item(), count * 240)
  end
  local seen = {}
  for code = 33, 126 do
    local bytes = image.new(60, 60):draw_text(10, 40, string.char(code), { scale = 1 }):png()
    local letter = string.char(code)
    t.ok(not seen[bytes] or letter == "l", ("%s looks like %s"):format(letter, seen[bytes])) -- as I
    seen[bytes] = letter
  end
end)

t.test("lines of text, and text outside the picture", function()
  local one, two = { image.text_size("ab") }, { image.text_size("ab\nabc") }
  t.ok(two[1] > one[1] and two[3] > one[3] + 15)
  t.equal(image.new(9, 9):draw_text(-1e9, 4, "far"):draw_text(4, 1e12, "far"):draw_text(0, 0, ""),
    image.new(9, 9))
end)

t.test("Chinese comes from a font of this machine", function()
  local p = image.new(100, 40)
  if core.image_text(p:copy(), 3, 30, "疟", 0.5, 1, 255) > 0 then
    t.skip("no font with Chinese here (fonts-wqy-microhei)")
  end
  local box, count = ink_of(p:draw_text(3, 30, "疟原虫", { scale = 0.5 }))
  t.ok(count > 100 and box[1] >= 2 and box[3] <= 60 and box[2] >= 12 and box[4] <= 37,
    ("%d pixels from %d,%d to %d,%d"):format(count, table.unpack(box))) -- fonts differ in size
  t.ok(image.text_size("疟原虫") > 25)
end)

t.test("a letter that no font has is a box and warns once; wrong bytes do no harm", function()
  local said, stderr = {}, io.stderr
  io.stderr = { write = function(_, text) said[#said + 1] = text end }
  local ok, problem = pcall(function()
    local p = image.new(60, 40):draw_text(5, 30, "\u{10fffd}", { scale = 1 })
    p:draw_text(5, 30, "\u{10fffd}")
    local _, count = ink_of(p)
    t.ok(count >= 70)
    local wrong = { "\xff", "\xe7\x96", "\x80\x80", "\xf8\x80\x80\x80\x80", "\xc0", "\xf4\xff" }
    for _, bytes in ipairs(wrong) do image.new(60, 40):draw_text(5, 30, bytes) end
  end)
  io.stderr = stderr
  if not ok then error(problem, 0) end
  t.equal(#said, 1)
  t.ok(said[1]:find("GIEMSA_FONT"))
end)

-- ---- writing, and tensors

t.test("PNG written is PNG read, any size and channels", function()
  local draw = stream(5)
  for channels = 1, 4 do
    for _, size in ipairs { { 1, 1 }, { 3, 200 }, { 257, 2 }, { 64, 64 } } do
      local p = noise(size[1], size[2], channels, draw(1000))
      t.equal(core.image_decode(p:png(), 0, "png"), p)
      local flat = image.new(size[1], size[2], { channels = channels, color = draw(256) })
      t.equal(core.image_decode(flat:png(), 0, "png"), flat)
    end
  end
  t.ok(#image.new(500, 500):png() < 3000)
  local text = image.new(300, 300) -- repeated shapes
  for y = 20, 300, 20 do text:draw_text(0, y, "The quick brown fox jumps over the dog") end
  t.equal(image.decode(text:png()), text)
  t.ok(#text:png() < 9000)
end)

t.test("saving: only PNG, only where one can write, the old file whole", function()
  local p, folder = noise(8, 8, 3), t.tmpdir()
  t.equal(p:save(folder .. "/a.png"), p)
  t.equal(image.load(folder .. "/a.png"), p)
  t.raises(p.save, "must end in .png", p, folder .. "/a.jpg")
  t.raises(p.save, "cannot .*/a.png", p, folder .. "/a.png/b.png")
end)

t.test("tensors become pictures, rounded and cut", function()
  local p = image.from_tensor(tensor { { -5, 0.4, 0.6 }, { 254.5, 300, 0 / 0 } })
  t.equal(numbers(p), { { { 0 }, { 0 }, { 1 } }, { { 255 }, { 255 }, { 0 } } })
  t.equal(numbers(image.from_tensor(tensor { { 0, 0.5, 1 } }, { range = { 0, 1 } })),
    { { { 0 }, { 128 }, { 255 } } })
  t.raises(image.from_tensor, "got %(2, 3, 5%)", tensor.zeros(2, 3, 5))
  t.raises(image.from_tensor, "got %(4,%)", tensor.zeros(4))
  t.raises(image.from_tensor, "two different numbers", tensor.zeros(2, 2), { range = { 1, 1 } })
end)

t.test("wrong use is told where it stands", function()
  local p = image.new(4, 4)
  local here = "tests/image.lua:%d+: "
  local function line_of(f) return t.raises(f, here) end
  t.ok(line_of(function() image.load("x.png", { target_size = { 3 } }) end):find("target_size"))
  local function load_with(how) return line_of(function() image.load("x.png", how) end) end
  t.ok(load_with({ colour_mode = "rgb" }):find("did you mean 'color_mode'"))
  t.ok(load_with({ interpolation = "cubic" }):find("nearest, bilinear, area"))
  t.ok(line_of(function() image.load("x.png", { color_mode = "bgr" }) end):find("rgb, grayscale"))
  t.ok(line_of(function() p:resize(0, 3) end):find("0 is not in 1..32768"))
  t.ok(line_of(function() p:resize(2, 3, "cubic") end):find("got 'cubic'"))
  t.ok(line_of(function() p:draw_text(1, 2, "x", { color = { 1, 2 } }) end):find("colour"))
  t.ok(line_of(function() p:draw_text(1, 2, "x", { color = { 1, 2, 256 } }) end):find("0 to 255"))
  t.ok(line_of(function() p:draw_text(1, 2, "x", { scale = 0 }) end):find("scale must be"))
  t.ok(line_of(function() p:line(1, 2, 3) end):find("number expected"))
  t.ok(line_of(function() return p.hight end):find("no field or method 'hight'"))
  t.ok(line_of(function() p.width = 3 end):find("index"))
  p:release()
  t.ok(line_of(function() p:to_tensor() end):find("released"))
  t.equal(tostring(p), "picture (released)")
end)

-- ---- memory

local function in_use()
  collectgarbage()
  collectgarbage()
  return core.memory().in_use
end

t.test("reading again and again stays flat", function()
  local path = t.tmpdir() .. "/big.png"
  noise(200, 200, 3):save(path)
  local function loads(n)
    local peak = 0
    for _ = 1, n do
      image.load(path, { target_size = { 64, 64 } }):to_tensor()
      image.read(path)
      image.read(path .. "x")
      peak = math.max(peak, core.memory().in_use)
    end
    return peak
  end
  in_use()
  core.trim()
  local short = loads(400) -- more garbage than the collector waits for
  in_use()
  t.ok(loads(1500) <= 1.1 * short + 2 ^ 18)
end)

t.test("when an allocation fails there is an error and nothing is lost", function()
  local bytes = { JPEG, PROGRESSIVE, CMYK, png(3, 1, 16, RGBA, { ("z"):rep(24) }),
    png(9, 2, 1, PALETTE, { "ab", "cd" }, chunk("PLTE", "abcdef")),
    bmp(2, 2, { "abcdef", "abcdef" }), noise(40, 30, 3):png() }
  local p, path = noise(40, 30, 3), t.tmpdir() .. "/f.png"
  p:save(path)
  p:copy():draw_text(1, 20, "疟é") -- fonts are looked for once
  local tasks = {
    function() p:resize(7, 9, "bilinear") end,
    function() p:resize(7, 9, "area") end,
    function() p:png() end,
    function() p:copy() end,
    function() p:convert(1) end,
    function() p:crop(1, 2, 3, 4) end,
    function() p:to_tensor() end,
    function() p:save(path) end,
    function() image.load(path, { target_size = { 5, 6 } }) end,
    function() image.new(10, 10) end,
    function() image.from_tensor(tensor.zeros(9, 9)) end,
    function() p:copy():draw_text(1, 20, "a疟é\u{10fffd}") end,
    function() montage.build({ p, p }, { tile = { 8, 8 }, grid = { 2, 2 } }) end,
  }
  for _, b in ipairs(bytes) do tasks[#tasks + 1] = function() assert(image.decode(b)) end end
  for k, task in ipairs(tasks) do
    task()
    local before, failures = in_use(), 0
    for n = 1, 40 do
      core.fail_after(n)
      local ok, message = pcall(task)
      core.fail_after(0)
      if not ok then
        failures = failures + 1
        t.ok(tostring(message):find("memory"), ("task %d: %s"):format(k, message))
      end
      t.equal(in_use(), before, ("task %d, allocation %d: bytes in use"):format(k, n))
    end
    t.ok(failures > 0 or k == 7, "task " .. k .. " never failed") -- tensors try again
  end
  t.equal(image.load(path), p)
end)

t.done()
