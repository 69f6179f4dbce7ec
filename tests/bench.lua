--- Timings: giemsa's, and with --peers in turn with those of other programs. `make bench` runs it.
-- Contenders are processes of their own that take turns (tests/bench/rounds.lua); on a busy machine
-- compare only what ran together.
local core = require "giemsa.core"
local dkjson = require "dkjson"
local giemsa = require "giemsa"
local cases = require "tests.bench.cases"
local live = require "tests.bench.view"
local lesson = require "tests.bench.lesson"
local programs = require "tests.bench.programs"
local rounds = require "tests.bench.rounds"

local options = giemsa.args.parse([[
giemsa tests/bench.lua [NAME ...] [--peers] [--json] [--seconds S] [--out DIR]
giemsa tests/bench.lua --scaling [--peers]
  NAME          only these, of: train_step infer_b32 infer_b1 one_thread epoch augment report start
                predict course resnet50_forward resnet50_step unet_forward unet_step;
                and when named: conv (layer by layer), heap (PyTorch's, kept or given back),
                accuracy (ten seeds), nothing first_cell page completion lines (what a lesson's
                reader waits for), view_open view_edit view_watched view_session (the live page)
  --peers       against PyTorch (apt: python3-torch), ONNX Runtime, keras-preprocessing and
                scikit-learn (make bench PEERS=yes), as far as they are here
  --json        one JSON object a line, and no table
  --seconds S   how long to repeat each (2), for each contender
  --out DIR     also writes bench.json and bench.png there
  --scaling     time over threads, batch, image side, width and depth: scaling.png (to --out, or
                build/)]],
  { json = false, seconds = 2.0, peers = false, out = "", scaling = false })

local ROUNDS = 5

-- ---- rows: what is printed, and written down as JSON

local keyorder = { "name", "median_ms", "min_ms", "n", "threads", "batch" }

local function entries_of(case)
  local list = { { name = "giemsa", label = "giemsa", request = case.request } }
  for _, peer in ipairs(case.peers) do
    if options.peers or peer.name == "giemsa" then
      list[#list + 1] = { name = peer.name, label = peer.label or case.peer_label or peer.name,
        threads = peer.threads, request = peer.request or case.request }
    end
  end
  return list
end

-- The same net has the same parameters everywhere, or the race is not fair.
local function check_params(ours, peer)
  local a, b = ours.facts.params, peer.facts.params
  if a and b and a ~= b then
    error(("giemsa's net has %d parameters, that of %s %d"):format(a, peer.label, b), 0)
  end
end

local function row_of(case)
  local results, missing = rounds.run(entries_of(case), { seconds = options.seconds,
    rounds = case.rounds or ROUNDS })
  local row = results[1]
  if not row or row.label ~= "giemsa" then error(table.concat(missing, "\n"), 0) end
  row.peers = {}
  for i = 2, #results do
    check_params(row, results[i])
    row.peers[i - 1] = results[i]
  end
  row.batch, row.note, row.missing, row.aim = case.request.batch, case.note, missing, case.aim
  row.flops, row.bytes = row.facts.flops, row.facts.bytes
  row.images = row.facts.images or row.batch
  return row
end

-- The most this machine does now, in GFLOP/s; asked once more before each case.
local peak = 0
local function measure_peak()
  peak = math.max(peak, core.machine_flops(0.25) / 1e9)
  return peak
end

local function complete(row, name)
  row.name, row.isa, row.label = name, core.isa(), nil
  row.threads = row.threads or core.threads()
  if row.flops then
    row.gflops = row.flops / row.median_ms * 1e-6
    row.percent_of_peak = 100 * row.gflops / measure_peak()
  end
  for _, peer in ipairs(row.peers or {}) do
    peer.ratio, peer.version, peer.facts = peer.median_ms / row.median_ms,
      peer.facts and peer.facts.version, nil
    peer.aim = row.aim and row.aim[peer.label]
  end
  for _, list in ipairs{ "peers", "missing" } do
    if row[list] and #row[list] == 0 then row[list] = nil end
  end
  row.facts, row.flops, row.aim = nil, nil, nil
  return row
end

local function run_case(name)
  local case = cases.make(name)
  local row = case and row_of(case) or (programs[name] or lesson[name] or live[name])(options.peers)
  return complete(row, name)
end

-- ---- printing

local function milliseconds(row)
  return ("%10.2f ms (best %.2f, %d runs)"):format(row.median_ms, row.min_ms, row.n)
end

local function details(row)
  local parts = {}
  local function add(format, ...) parts[#parts + 1] = format:format(...) end
  if row.images then add("%.0f images/s", row.images / row.median_ms * 1e3) end
  if row.gflops then add("%.0f GFLOP/s, %.0f %% of peak", row.gflops, row.percent_of_peak) end
  if row.bytes then add("ops touch %.0f MB", row.bytes / 1e6) end
  if row.peak_mb then add("%.0f MB resident", row.peak_mb) end
  if row.start_s then add("ready after %.2f s", row.start_s) end
  if row.note then add("%s", row.note) end
  return table.concat(parts, ", ")
end

local function print_row(row)
  print(("%-18s%s  %s"):format(row.name, milliseconds(row), details(row)))
  for _, peer in ipairs(row.peers or {}) do
    local aim = peer.aim and (" (aim: %.2f)"):format(peer.aim) or ""
    local rest = details(peer)
    print(("  %-16s%s  %.2f times giemsa's%s%s"):format(peer.label, milliseconds(peer), peer.ratio,
      aim, rest ~= "" and ", " .. rest or ""))
  end
  for _, why in ipairs(row.missing or {}) do print("  (not here) " .. why) end
end

local function report(row)
  if options.json then print(dkjson.encode(row, { keyorder = keyorder })) else print_row(row) end
  io.flush()
end

-- ---- running

local usual = { "train_step", "infer_b32", "infer_b1", "one_thread", "resnet50_forward",
  "resnet50_step", "unet_forward", "unet_step", "augment", "report", "epoch", "start", "predict",
  "course" }

local function check_names(names)
  for _, name in ipairs(names) do
    if not (name == "conv" or programs[name] or lesson[name] or live[name] or cases.make(name)) then
      error("there is no bench named " .. name, 0)
    end
  end
end

local function main()
  if options.scaling then
    return require("tests.bench.scaling")(options.out ~= "" and options.out
      or os.getenv("GIEMSA_BUILD") or "build", options.peers)
  end
  local names = #options > 0 and { table.unpack(options) } or usual
  check_names(names)
  if not options.json then
    local bytes = core.machine_bandwidth(1 << 28, 0.1)
    print(("%d threads, %s; %.0f GFLOP/s and %.1f GB/s at most"):format(core.threads(), core.isa(),
      measure_peak(), bytes / 1e9))
  end
  local rows = {}
  for _, name in ipairs(names) do
    if name == "conv" then require "tests.bench.conv"(report)
    else
      rows[#rows + 1] = run_case(name)
      report(rows[#rows])
    end
  end
  if options.out ~= "" then require "tests.bench.chart"(options.out, rows) end
end

local ok, problem = xpcall(main, function(e)
  return type(e) == "string" and not e:find("^%./") and e or debug.traceback(e)
end)
require("tests.harness").clean()
if not ok then
  io.stderr:write(problem, "\n")
  os.exit(1, true)
end
