--- Montages against imutils' numbers and by their definition; the course's montage of predictions.
local t = require "tests.harness"
local core = require "giemsa.core"
local image = require "giemsa.image"
local montage = require "giemsa.montage"
local json = require "dkjson"

local function flat(colour, width, height)
  return image.new(width or 10, height or 8, { color = colour })
end

local function pixel(p, x, y) return p:to_tensor()[y + 1][x + 1]:totable() end

t.test("fixtures: imutils' build_montages, to the byte", function()
  local folder = t.need_fixtures() .. "/misc/"
  local f <close> = assert(io.open(folder .. "misc.json"))
  local case = json.decode(f:read("a")).montage
  local tiles, want = core.npy_load(folder .. case.tiles), core.npy_load(folder .. case.result)
  local pictures = {}
  for i = 1, #tiles do pictures[i] = image.from_tensor(tiles[i]) end
  local got = montage.build(pictures, { tile = { case.tile_width, case.tile_height },
    grid = { case.columns, case.rows } })
  t.equal(#got, #want)
  for i = 1, #got do t.close(got[i]:to_tensor(), want[i], 0) end
end)

t.test("pictures go row by row; a full grid begins a new one only when more come", function()
  local pictures = {}
  for i = 1, 13 do pictures[i] = flat { i, 2 * i, 3 * i } end
  for count = 0, 13 do
    local got = montage.build({ table.unpack(pictures, 1, count) },
      { tile = { 10, 8 }, grid = { 3, 2 } })
    t.equal(#got, math.max(1, (count + 5) // 6), "montages of " .. count)
    for k, m in ipairs(got) do
      t.equal({ m.width, m.height, m.channels }, { 30, 16, 3 })
      for place = 0, 5 do
        local i = 6 * (k - 1) + place + 1
        t.equal(m:crop(place % 3 * 10, place // 3 * 8, 10, 8),
          i <= count and pictures[i] or flat(0))
      end
    end
  end
end)

t.test("pictures of another size are resized as OpenCV does, grey ones become RGB", function()
  local big = flat({ 1, 2, 3 }, 41, 30):line(0, 0, 40, 29, { thickness = 7 })
  local got = montage.build({ big, big:convert(1) }, { tile = { 20, 30 }, grid = { 2, 1 } })[1]
  t.equal(got:crop(0, 0, 20, 30), big:resize(20, 30, "bilinear"))
  t.equal(got:crop(20, 0, 20, 30), big:convert(1):convert(3):resize(20, 30, "bilinear"))
end)

t.test("the course's montage: 4 x 4 cells of 128 pixels, labels in red and green", function()
  local pictures, labels = {}, {}
  for i = 1, 16 do
    pictures[i] = flat({ 40, 40, 40 }, 142, 150)
    labels[i] = i % 3 == 0 and "Parasitized" or "Uninfected"
  end
  pictures[2] = t.tmpdir() .. "/cell.png" -- a path will do
  flat({ 40, 40, 40 }, 30, 30):save(pictures[2])
  local got = montage.predictions { pictures = pictures, labels = labels }
  t.equal(#got, 1)
  t.equal({ got[1].width, got[1].height }, { 512, 512 })
  for i = 1, 16 do
    local tile = got[1]:crop((i - 1) % 4 * 128, (i - 1) // 4 * 128, 128, 128)
    local want = flat({ 40, 40, 40 }, 128, 128)
    want:draw_text(3, 20, labels[i], { color = i % 3 == 0 and { 255, 0, 0 } or { 0, 255, 0 },
      scale = 0.5, thickness = 2 })
    t.equal(tile, want)
  end
end)

t.test("colours of other labels: the given ones, else the palette", function()
  local function ink(options)
    local p = montage.predictions(options)[1]
    for y = 0, 40 do
      for x = 0, 60 do
        local c = pixel(p, x, y)
        if c[1] + c[2] + c[3] > 0 then return c end
      end
    end
  end
  local black = { flat(0, 64, 64) }
  t.equal(ink { pictures = black, labels = { "ring" } }, montage.palette[1])
  t.equal(ink { pictures = black, labels = { "ring" }, colors = { ring = { 1, 2, 3 } } },
    { 1.0, 2.0, 3.0 })
  t.equal(ink { pictures = black, labels = { "Parasitized" }, colors = { ring = { 1, 2, 3 } } },
    { 255.0, 0.0, 0.0 })
end)

t.test("wrong use is told where it stands", function()
  local here = "tests/montage.lua:%d+: montage."
  local one = { flat(0) }
  t.raises(function() montage.build({ 1 }) end,
    here .. "build: element 1 is no picture but a number")
  t.raises(function() montage.build(one[1]) end, here .. "build: expected an array of pictures")
  t.raises(function() montage.build(one, { tiles = { 1, 2 } }) end,
    here .. "build: unknown option 'tiles' %(did you mean 'tile'%?%)")
  t.raises(function() montage.build(one, { tile = { 1 } }) end,
    here .. "build: tile must be {width, height}")
  t.raises(function() montage.build(one, { grid = { 0, 4 } }) end,
    here .. "build: grid must be {columns, rows}")
  t.raises(function() montage.predictions { pictures = one } end,
    here .. "predictions: pictures and labels are needed")
  t.raises(function() montage.predictions { pictures = one, labels = {} } end,
    here .. "predictions: 1 pictures but 0 labels")
  t.raises(function() montage.predictions { pictures = { "missing.png" }, labels = { "x" } } end,
    "missing.png: No such file")
end)

t.done()
