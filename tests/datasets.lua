--- Data sets: the synthetic cells, the course's split, zip archives (hostile ones too), downloads, and what a lesson gets.
local t = require "tests.harness"
local core = require "giemsa.core"
local hash = require "giemsa.hash"
local image = require "giemsa.image"
local json = require "dkjson"
local random = require "giemsa.random"
local build_dataset = require "datasets.build_dataset"
local download = require "datasets.download"
local generate = require "datasets.generate"
local manifest = require "datasets.manifest"
local smear = require "datasets.smear"
local source = require "datasets.source"
local split = require "datasets.split"

local dir = t.tmpdir()
local function read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end
local function exists(path) return core.file_info(path) ~= nil end
local function quiet(given)
  given.say = given.say or false
  return build_dataset.build(given)
end

-- Files below a folder, names relative to it, sorted.
local function files_below(root, below, found)
  found = found or {}
  for _, entry in ipairs(assert(core.list_folder(root .. (below and "/" .. below or "")))) do
    local path = (below and below .. "/" or "") .. entry[1]
    if entry[2] == "file" then found[#found + 1] = path else files_below(root, path, found) end
  end
  return found
end

-- ---- the split

t.test("the split is the course's, to the image", function()
  local misc = json.decode(read(t.need_fixtures() .. "/misc/misc.json"))
  for n_text, want in pairs(misc.python_random_seed42_shuffle) do
    local n = tonumber(n_text)
    local sizes = split.sizes(n, 0.8, 0.1)
    t.equal(sizes.training + sizes.validation, want.train + want.validation)
    t.equal({ sizes.validation, sizes.testing }, { want.validation, want.test })
    local order, sides = random.python_shuffle(n, 42), split.at_random(n, 42, 0.8, 0.1)
    for i, zero_based in ipairs(want.permutation_first) do t.equal(order[i], zero_based + 1, "place " .. i) end
    local last = want.permutation_last
    for i, zero_based in ipairs(last) do t.equal(order[n - #last + i], zero_based + 1, "place from the end " .. i) end
    for place, image in ipairs(order) do
      t.equal(sides[image], place <= want.validation and "validation" or place <= want.train + want.validation and "training" or "testing")
    end
  end
end)

t.test("the whole set of the course: 19842, 2204, 5512", function()
  t.equal(split.sizes(27558, 0.8, 0.1), { training = 19842, validation = 2204, testing = 5512 })
  t.equal(split.sizes(500, 0.8, 0.1), { training = 360, validation = 40, testing = 100 })
end)

t.test("the patient is read from the name", function()
  t.equal(split.patient("C33P1thinF_IMG_20150619_114756a_cell_179.png"), "C33")
  t.equal(split.patient("C1_thinF_IMG_20150604_104722_cell_9.png"), "C1")
  t.equal(split.patient("C2NThinF_IMG_20150604_114631_cell_1.png"), "C2")
  t.equal(split.patient("cell_1.png"), nil)
end)

local function patients_by_side(images, sides)
  local by_patient = {}
  for i, image in ipairs(images) do
    by_patient[image.patient] = by_patient[image.patient] or {}
    by_patient[image.patient][sides[i]] = true
  end
  return by_patient
end

t.test("by patient: nobody on two sides, and the fractions all the same", function()
  local from = assert(source.open(t.need_datasets() .. "/cell_images.zip"))
  local images = from.images
  t.equal(#images, 2893 + 4028) -- Thumbs.db is none
  for _, seed in ipairs { 42, 7 } do
    local sides = split.by_patient(images, seed, 0.8, 0.1)
    local counts = { training = {}, validation = {}, testing = {} }
    for i, image in ipairs(images) do counts[sides[i]][image.class] = (counts[sides[i]][image.class] or 0) + 1 end
    for patient, on in pairs(patients_by_side(images, sides)) do
      t.equal((on.training and 1 or 0) + (on.validation and 1 or 0) + (on.testing and 1 or 0), 1, patient)
    end
    for class, n in pairs { Parasitized = 2893, Uninfected = 4028 } do
      local want = split.sizes(n, 0.8, 0.1)
      for side, count in pairs(want) do t.close(counts[side][class], count, 0.01 * n, 0, side .. " " .. class) end
    end
    t.equal(sides, split.by_patient(images, seed, 0.8, 0.1), "twice the same")
    t.equal((split.leaking(images, sides)), 0)
  end
  local leaking, patients = split.leaking(images, split.at_random(#images, 42, 0.8, 0.1))
  t.equal({ leaking, patients }, { 59, 59 })
end)

-- ---- a small source of images

local PIXEL = image.new(1, 1):png()
-- 60 images of 6 patients; the bytes of each are its own.
local function make_source(path)
  for i = 1, 60 do
    local class = i % 2 == 0 and "Uninfected" or "Parasitized"
    assert(core.make_folder(path .. "/" .. class))
    t.write(("%s/%s/C%dP%dThinF_IMG_20150101_100000_cell_%d.png"):format(path, class, i % 6 + 1, i % 6 + 1, i), PIXEL .. i)
  end
  t.write(path .. "/Parasitized/Thumbs.db", "no image")
  t.write(path .. "/Parasitized/.hidden.png", PIXEL)
  return path
end
local cells = make_source(dir .. "/cells")

t.test("build: folders, counts, a manifest that sha256sum accepts", function()
  local set = quiet { from = cells, to = dir .. "/set" }
  t.equal({ set.counts.training.total, set.counts.validation.total, set.counts.testing.total }, { 44, 4, 12 })
  t.equal(set.class_names, { "Parasitized", "Uninfected" })
  t.equal(set.training, dir .. "/set/training")
  local files = files_below(dir .. "/set")
  t.equal(#files, 61)
  local noted = manifest.read(dir .. "/set")
  t.equal(noted.settings.seed, "42")
  t.equal(noted.settings.sha256, set.sha256)
  t.ok(noted.settings.training:find("^44 %(Parasitized %d+, Uninfected %d+%)$"), noted.settings.training)
  for name, sha256 in pairs(noted.files) do t.equal(hash.sha256_file(dir .. "/set/" .. name), sha256) end
  local output, code = t.shell(("cd %s && sha256sum -c --quiet MANIFEST"):format(t.quote(dir .. "/set")))
  t.equal({ output, code }, { "", 0 })
end)

t.test("build from images that are split already: dealt as before", function()
  local first = quiet { from = cells, to = dir .. "/once" }
  t.equal(quiet({ from = dir .. "/once", to = dir .. "/twice" }).sha256, first.sha256)
end)

t.test("build again: the same; another seed: only its own files are replaced", function()
  local to = dir .. "/again"
  local first = quiet { from = cells, to = to, copy = true }
  t.equal(quiet({ from = cells, to = to }).sha256, first.sha256)
  t.write(to .. "/notes.txt", "mine")
  local before = #files_below(to)
  local second = quiet { from = cells, to = to, seed = 1 }
  t.ok(second.sha256 ~= first.sha256, "another seed deals otherwise")
  t.equal(#files_below(to), before)
  t.equal(read(to .. "/notes.txt"), "mine")
  t.equal(second.foreign, 0)
  t.write(to .. "/training/Parasitized/foreign.png", PIXEL)
  local heard = {}
  t.equal(quiet({ from = cells, to = to, seed = 2, say = function(text) heard[#heard + 1] = text end }).foreign, 1)
  t.ok(table.concat(heard, "\n"):find("1 files? in .* were not made by this build"), table.concat(heard, "\n"))
  t.ok(exists(to .. "/training/Parasitized/foreign.png"))
end)

t.test("build: what a run that was cut short left is taken up", function()
  local to = dir .. "/cut"
  local name = "training/Parasitized/C1P1ThinF_IMG_20150101_100000_cell_999.png"
  assert(core.make_folder(to .. "/training/Parasitized"))
  assert(manifest.announce(to, { name }))
  t.write(to .. "/" .. name, "half")
  quiet { from = cells, to = to }
  t.ok(not exists(to .. "/" .. name), "the leftover is gone")
end)

t.test("build: a foreign file in the way is not overwritten", function()
  local to = dir .. "/way"
  local set = quiet { from = cells, to = dir .. "/elsewhere" }
  local name
  for one in pairs(manifest.read(set.dir).files) do name = one break end
  assert(core.make_folder(to .. "/" .. name:match("^(.*)/")))
  t.write(to .. "/" .. name, "precious")
  t.raises(quiet, "is in the way", { from = cells, to = to })
  t.equal(read(to .. "/" .. name), "precious")
end)

t.test("a manifest cannot reach outside its folder", function()
  local to = dir .. "/outside"
  assert(core.make_folder(to))
  t.write(dir .. "/victim.png", "mine")
  t.write(to .. "/MANIFEST", ("%s  ../victim.png\n%s  %s/victim.png\n#+ training/../../victim.png\n"):format(("0"):rep(64), ("0"):rep(64), dir))
  quiet { from = cells, to = to }
  t.equal(read(dir .. "/victim.png"), "mine")
end)

t.test("build by patient, and the warning when not", function()
  local heard = {}
  local set = quiet { from = cells, to = dir .. "/leak", say = function(text) heard[#heard + 1] = text end }
  t.ok(set.patients == 6 and set.leaking >= 3, set.leaking .. " leak")
  t.ok(table.concat(heard):find("%d of 6 patients stand on both sides"), table.concat(heard))
  set = quiet { from = cells, to = dir .. "/leak", by_patient = true }
  t.equal({ set.leaking, #set.warnings }, { 0, 0 })
end)

t.test("build: a sub-sample, and mistakes", function()
  local set = quiet { from = cells, to = dir .. "/few", count = 20 }
  t.equal({ set.counts.training.total, set.counts.validation.total, set.counts.testing.total }, { 15, 1, 4 })
  t.raises(quiet, "unknown option 'sed' %(did you mean 'seed'%?%)", { from = cells, to = dir, sed = 1 })
  t.raises(quiet, "'from' is needed", { to = dir })
  t.raises(quiet, "a share, 0 to 1; got 80", { from = cells, to = dir, train_split = 80 })
  t.raises(quiet, "No such file or directory", { from = dir .. "/nothing", to = dir .. "/x" })
  assert(core.make_folder(dir .. "/empty"))
  t.raises(quiet, "no images in class folders here", { from = dir .. "/empty", to = dir .. "/x" })
end)

-- ---- zip

local zip_of = require "tests.made.zip"
local has_zip, zip = pcall(require, "giemsa.zip")
local function need_zip() return has_zip and zip or t.skip("built without libzip") end

t.test("zip: list, read, extract", function()
  need_zip()
  local path = t.write(dir .. "/good.zip", zip_of { { "a/", "" }, { "a/b.png", "bytes" }, { "a/empty.png", "" } })
  local archive <close> = assert(zip.open(path))
  t.equal(archive:entries(), { { name = "a/b.png", size = 5, index = 2 }, { name = "a/empty.png", size = 0, index = 3 } })
  t.equal({ #archive, archive:read("a/b.png"), archive:read(2), archive:read(3) }, { 3, "bytes", "bytes", "" })
  t.equal(archive:extract(2, dir .. "/b.png"), dir .. "/b.png")
  t.equal(read(dir .. "/b.png"), "bytes")
  t.equal(archive:extract("a/b.png", dir .. "/"), dir .. "/a/b.png")
  t.ok(select(2, archive:extract(2, dir .. "/b.png")):find("File exists"), "nothing is overwritten")
  t.ok(select(2, archive:read("nothing")):find("no such entry"))
  archive:close()
  t.raises(archive.read, "was closed", archive, 1)
end)

t.test("zip: names that lead elsewhere are refused", function()
  need_zip()
  local names = { "/etc/x.png", "../x.png", "a/../../x.png", "a\\..\\x.png", "a/x\n.png", "..", ("d/"):rep(1500) .. "x.png" }
  for _, name in ipairs(names) do
    t.ok(not zip.safe_name(name), ("%q"):format(name))
    local archive <close> = assert(zip.open(t.write(dir .. "/evil.zip", zip_of { { name, "x" } })))
    local made, why = archive:extract(1, dir .. "/in/")
    t.ok(not made and why:find("refused"), ("%q: %s"):format(name, why))
  end
  t.ok(zip.safe_name("a/..b/c..png"))
  t.write(dir .. "/evil.zip", zip_of { { "cell_images/A/ok.png", "x" }, { "cell_images/../../B/evil.png", "x" } })
  t.raises(quiet, "refused: .*leads out of the folder", { from = dir .. "/evil.zip", to = dir .. "/evil" })
  t.ok(not exists(dir .. "/evil"), "nothing was made")
end)

t.test("zip: damaged, lying and huge entries", function()
  need_zip()
  local function problem_of(entry, limit)
    local archive <close> = assert(zip.open(t.write(dir .. "/bad.zip", zip_of { entry })))
    local bytes, why = archive:read(1, limit)
    t.equal(bytes, nil)
    t.ok(not archive:extract(1, dir .. "/bad.png", limit))
    t.ok(not exists(dir .. "/bad.png"), "no half file stays")
    return why
  end
  t.ok(problem_of({ "a.png", "hello", crc = 1 }):find("damaged: CRC"))
  t.ok(problem_of({ "a.png", ("x"):rep(1000) }, 999):find("1000 bytes unpacked is more than the 999 allowed"))
  t.ok(problem_of({ "a.png", "hello", size = 4000000000 }):find("more than the 268435456 allowed"))
  problem_of({ "a.png", "hello", size = 3 })
  problem_of({ "a.png", "hello", size = 9 })
end)

t.test("zip: not one, or only half of one", function()
  need_zip()
  local whole = zip_of { { "a/x.png", ("x"):rep(500) } }
  for _, bytes in ipairs { "", "PK", "GIF89a", whole:sub(1, #whole - 30) } do
    local archive, why = zip.open(t.write(dir .. "/half.zip", bytes))
    t.ok(not archive and why:find("half.zip: not a zip archive, or only the beginning of one"), why)
  end
  t.ok(select(2, zip.open(dir .. "/absent.zip")):find("No such file"))
end)

t.test("build from a zip: as from the folder it was made of", function()
  need_zip()
  local entries = { { "cells/Parasitized/Thumbs.db", "no image" }, { "__MACOSX/cells/Parasitized/._a.png", "x" } }
  for _, name in ipairs(files_below(cells)) do entries[#entries + 1] = { "cells/" .. name, read(cells .. "/" .. name) } end
  t.write(dir .. "/cells.zip", zip_of(entries))
  t.equal(quiet({ from = dir .. "/cells.zip", to = dir .. "/from_zip" }).sha256, quiet({ from = cells, to = dir .. "/from_folder" }).sha256)
  entries[#entries + 1] = { "cells/" .. entries[#entries][1], "x" } -- a set packed into itself
  t.write(dir .. "/twice.zip", zip_of(entries))
  t.equal(#quiet({ from = dir .. "/twice.zip", to = dir .. "/from_twice" }).warnings, 2)
end)

t.test("build from the real archive", function()
  need_zip()
  local set = quiet { from = t.need_datasets() .. "/cell_images.zip", to = dir .. "/real", count = 300 }
  t.equal({ set.counts.training.total, set.counts.validation.total, set.counts.testing.total }, { 216, 24, 60 })
  t.ok(set.leaking > 20 and set.patients > 40)
  t.equal(#files_below(dir .. "/real"), 301)
end)

-- ---- synthetic cells

local function digest_of(seed, index, number, infected)
  local picture = smear.cell(smear.slide(seed, index), number, infected).picture
  return hash.sha256(("%d %d "):format(picture.width, picture.height) .. picture:bytes())
end

t.test("a cell depends on its seed, slide and number alone", function()
  local first = digest_of(42, 3, 7, true)
  digest_of(42, 5, 1, false)
  t.equal(digest_of(42, 3, 7, true), first)
  for _, other in ipairs { digest_of(43, 3, 7, true), digest_of(42, 2, 7, true), digest_of(42, 3, 8, true), digest_of(42, 3, 7, false) } do
    t.ok(other ~= first, "another cell")
  end
end)

-- When this fails because the cells are meant to look different, count smear.VERSION up and note the new sum.
local GOLDEN = "b3e09733f1cb64bb0ac7d6cf90266adb40b1ca29afe64413dbb771db280bbc9a"
local function sum_of_some()
  local h = hash.new()
  for index = 1, 8 do
    for number = 1, 3 do h:update(digest_of(42, index, number, number % 2 == 1)) end
  end
  return h:hex()
end

t.test("the same pixels on every processor", function()
  t.equal(sum_of_some(), GOLDEN, "version " .. smear.VERSION)
  for _, isa in ipairs { "base", "v3", "v4" } do
    local code = [[local c = require("datasets.smear") local x = c.cell(c.slide(42, 3), 7, true).picture
      io.write(require("giemsa.hash").sha256(("%d %d "):format(x.width, x.height) .. x:bytes()))]]
    local output, status = t.shell(("GIEMSA_ISA=%s %s -e %s"):format(isa, t.program, t.quote(code)))
    t.ok(status ~= 0 or output == digest_of(42, 3, 7, true), isa .. " draws otherwise") -- an older processor cannot run all of them
  end
end)

t.test("cells look like pictures of cells", function()
  for index = 1, 12 do
    local cell = smear.cell(smear.slide(7, index), index, index % 2 == 0).picture
    local bytes = cell:bytes()
    t.ok(cell.width >= 60 and cell.width <= 300 and cell.height >= 60 and cell.height <= 300, "size")
    t.equal(#bytes, cell.width * cell.height * 3)
    local black = 0
    for at = 1, #bytes, 3 do if bytes:sub(at, at + 2) == "\0\0\0" then black = black + 1 end end
    local share = black / (cell.width * cell.height)
    t.ok(share > 0.1 and share < 0.7, "black around the cell: " .. share)
  end
end)

t.test("names are those of the real set: patients can be read, healthy ones have no P", function()
  for index = 1, 8 do
    local name = smear.cell_name(smear.slide(42, index), 5)
    t.equal(split.patient(name), "C" .. index)
    if index % 4 == 0 then t.ok(name:find("^C%d+NThinF_IMG_2015%d%d%d%d_%d%d%d%d%d%d_cell_5%.png$"), name)
    else t.ok(name:find("^C%d+P%d+ThinF_IMG_2015%d%d%d%d_%d%d%d%d%d%d_cell_5%.png$"), name) end
  end
end)

t.test("generate: counts, a record, nothing twice", function()
  local to = dir .. "/synthetic"
  local set = generate.cells(to, { count = 21, seed = 5 })
  t.equal({ set.count, set.made, #files_below(to .. "/Parasitized"), #files_below(to .. "/Uninfected") }, { 21, 21, 10, 11 })
  t.equal(generate.cells(to, { count = 21, seed = 5 }), { dir = to, count = 21, sha256 = set.sha256, made = 0 })
  t.equal(select(2, read(to .. "/cells.csv"):gsub("\n", "")), 22)
  t.equal(generate.cells(dir .. "/synthetic_too", { count = 21, seed = 5 }).sha256, set.sha256, "the same bytes elsewhere")
  t.ok(generate.cells(to, { count = 8, seed = 6 }).sha256 ~= set.sha256)
  t.equal(#files_below(to), 8 + 2, "the cells of before are gone")
end)

t.test("generate: plans are half and half, labels wrong where asked", function()
  local plan, infected, wrong, names = generate.plan { count = 500 }, 0, 0, {}
  for _, row in ipairs(plan) do
    names[row.name] = (names[row.name] or 0) + 1
    if row.class == "Parasitized" then infected = infected + 1 end
    if row.infected ~= (row.class == "Parasitized") then wrong = wrong + 1 end
    t.ok(not (row.infected and row.slide.healthy), "a healthy patient has no parasites")
  end
  for name, n in pairs(names) do t.equal(n, 1, name) end
  t.equal(infected, 250)
  t.ok(wrong >= 1 and wrong <= 25, wrong .. " labels wrong")
  for _, row in ipairs(generate.plan { count = 100, difficulty = { label_noise = 0 } }) do t.equal(row.infected, row.class == "Parasitized") end
  for _, row in ipairs(generate.plan { count = 100, difficulty = { label_noise = 1 } }) do t.equal(row.infected, row.class ~= "Parasitized") end
end)

t.test("generate: mistakes", function()
  t.raises(generate.plan, "unknown option 'cout' %(did you mean 'count'%?%)", { cout = 3 })
  t.raises(generate.plan, "at least 2", { count = 1 })
  t.raises(generate.plan, "faint is a share, 0 to 1; got 2", { difficulty = { faint = 2 } })
  t.raises(generate.cells, "the first argument is the folder")
  t.write(dir .. "/a_file", "")
  t.raises(generate.cells, "a file of that name is in the way", dir .. "/a_file")
end)

-- ---- what a lesson gets

local function in_folder(path, code, environment)
  local here = t.shell("pwd"):gsub("%s+$", "")
  local build = t.build:sub(1, 1) == "/" and t.build or here .. "/" .. t.build
  assert(core.make_folder(path))
  return t.shell(("cd %s && LUA_PATH='%s/?.lua;%s/?/init.lua;;' %s %s/bin/giemsa -e %s"):format(t.quote(path), here, here, environment or "",
    t.quote(build), t.quote(code)))
end

t.test("ensure: synthetic cells once, then kept", function()
  local code = [[local s = require("datasets").ensure() print(s.counts.training.total, s.counts.validation.total, s.counts.testing.total, s.sha256)]]
  local place = dir .. "/lesson"
  local first = in_folder(place, code)
  t.ok(first:find("made 500 synthetic cells"), first)
  t.ok(first:find("360\t40\t100\t%x+\n$"), first)
  local second = in_folder(place, code)
  t.equal(second, first:match("[^\n]*\n$"))
end)

t.test("ensure: a split folder as it is, class folders and zips split", function()
  local datasets = require "datasets"
  local set = datasets.ensure(dir .. "/set/")
  t.equal({ set.dir, set.training, set.counts.testing.total }, { dir .. "/set", dir .. "/set/training", 12 })
  t.equal(set.class_names, { "Parasitized", "Uninfected" })
  local code = [[print(require("datasets").ensure(%s).testing)]]
  t.equal(in_folder(dir .. "/lesson2", code:format(("%q"):format(cells))):match("[^\n]*\n$"), "data/cells/testing\n")
  local output = in_folder(dir .. "/lesson3", code:format(""), "GIEMSA_DATA=" .. t.quote(cells))
  t.equal(output:match("[^\n]*\n$"), "data/cells/testing\n")
  t.raises(datasets.ensure, "No such file or directory; give a folder", dir .. "/nothing")
  t.raises(datasets.ensure, "expected a path, got number", 3)
  assert(core.make_folder(dir .. "/half/training"))
  t.raises(datasets.ensure, "not all of training, validation and testing", dir .. "/half")
end)

-- ---- downloads

local SERVER = [=[
import http.server, os, sys
DATA = bytes(i * 7 % 251 for i in range(200000))
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        kind, start = self.path.strip("/"), 0
        wanted = self.headers.get("Range")
        if kind == "absent": return self.send_error(404)
        if wanted and kind != "norange":
            start = int(wanted.split("=")[1].split("-")[0])
            if start >= len(DATA): return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(DATA) - 1, len(DATA)))
        else:
            self.send_response(200)
        body = DATA[start:] + (b"more" if kind == "long" else b"")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind == "breaks": body = body[:60000]
        if kind == "slow":
            import time
            for at in range(0, len(body), 1000):
                self.wfile.write(body[at:at + 1000]); self.wfile.flush(); time.sleep(0.05)
            return
        self.wfile.write(body)
        self.close_connection = True
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".new", "w") as f: f.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
]=]

local content = {}
for i = 0, 199999 do content[i + 1] = string.char(i * 7 % 251) end
content = table.concat(content)
local WANT = { size = #content, sha256 = hash.sha256(content) }

local server
local function base_url()
  if not pcall(require, "giemsa.curl") then t.skip("built without libcurl") end
  if select(2, t.shell("command -v python3")) ~= 0 then t.skip("no python3 to serve from") end
  if server then return server.url end
  local script, port_file = t.write(dir .. "/server.py", SERVER), dir .. "/port"
  local pid = t.shell(("python3 %s %s > /dev/null 2>&1 & echo $!"):format(t.quote(script), t.quote(port_file))):match("%d+")
  local deadline = core.now() + 20
  while not exists(port_file) do
    if core.now() > deadline then t.skip("the local server does not start") end
    t.shell("sleep 0.05")
  end
  server = { pid = pid, url = "http://127.0.0.1:" .. read(port_file) }
  return server.url
end
local function fetch(kind, to, given)
  given = given or { size = WANT.size, sha256 = WANT.sha256 }
  given.url, given.to = base_url() .. "/" .. kind, dir .. "/" .. to
  return download.fetch(given)
end

t.test("download: whole, checked, left alone when there", function()
  local calls, last = 0, nil
  local path = assert(fetch("good", "down/good.zip", { size = WANT.size, sha256 = WANT.sha256, progress = function(bytes, all)
    calls, last = calls + 1, bytes
    t.ok(all == nil or all == WANT.size)
  end }))
  t.equal(path, dir .. "/down/good.zip")
  t.ok(read(path) == content)
  t.ok(calls >= 1 and last == WANT.size, "progress to the end")
  t.ok(not exists(path .. ".part"))
  t.equal(fetch("absent", "down/good.zip"), path, "no need to ask again")
end)

t.test("download: goes on where it stopped", function()
  t.write(dir .. "/resumed.zip.part", content:sub(1, 70000))
  assert(fetch("good", "resumed.zip"))
  assert(fetch("breaks", "breaks.zip")) -- the server gives 60,000 bytes at a time
  t.write(dir .. "/norange.zip.part", content:sub(1, 70000))
  assert(fetch("norange", "norange.zip")) -- starts over when the server cannot go on
  for _, name in ipairs { "resumed", "breaks", "norange" } do t.ok(read(dir .. "/" .. name .. ".zip") == content, name) end
end)

t.test("download: what is not the file wanted is not kept", function()
  t.write(dir .. "/other.zip.part", ("x"):rep(1000))
  local path, why = fetch("good", "other.zip")
  t.ok(not path and why:find("its SHA%-256 is"), why)
  t.ok(not exists(dir .. "/other.zip") and not exists(dir .. "/other.zip.part"))
  path, why = fetch("long", "long.zip")
  t.ok(not path and why:find("more than the file should have"), why)
  path, why = fetch("good", "short.zip", { size = 300000 })
  t.ok(not path, why)
  t.write(dir .. "/mine.zip", "mine")
  path, why = fetch("good", "mine.zip")
  t.ok(not path and why:find("is there, but is not the file wanted: it has 4 bytes instead of 200,000"), why)
  t.equal(read(dir .. "/mine.zip"), "mine")
end)

t.test("download: clear advice without the server or the network", function()
  local path, why = fetch("absent", "absent.zip")
  t.ok(not path and why:find("404") and why:find("curl %-L %-o absent.zip"), why)
  path, why = download.fetch { url = "http://127.0.0.1:1/x.zip", to = dir .. "/x.zip" }
  t.ok(not path and why:find("fetch it on a machine with a network") and why:find("synthetic cells"), why)
  path, why = download.fetch { url = "http://no-such-host.invalid/x.zip", to = dir .. "/x.zip" }
  t.ok(not path and why:find("fetch it on a machine with a network"), why)
  t.raises(download.fetch, "unknown option 'uri'", { uri = "x" })
end)

t.test("download: Ctrl-C ends the transfer and keeps what came", function()
  local to = dir .. "/slow.zip"
  local url = base_url() .. "/slow"
  local code = ("local ok, why = require('datasets.download').fetch { url = %q, to = %q, size = %d } print(ok, why)"):format(url, to, WANT.size)
  local output = t.shell(("%s -e %s & pid=$!; sleep 1.5; kill -INT $pid; wait $pid"):format(t.program, t.quote(code)))
  t.ok(output:find("nil\t.*interrupted; what has arrived is kept"), output)
  local have = core.file_info(to .. ".part").size
  t.ok(have > 0 and have < WANT.size, have)
  assert(fetch("good", "slow.zip"))
  t.ok(read(to) == content)
end)

t.test("download: a raise in the progress function comes through", function()
  t.raises(fetch, "enough of this", "good", "raise.zip", { size = WANT.size, progress = function() error("enough of this") end })
end)

if server then t.shell("kill " .. server.pid) end
t.done()
