--- Synthetic blood smears: single red cells as a microscope and a segmentation would deliver them.
--
-- Biology is here (what lies on a cell), optics in core/smear.c (how dyes, light and lens make a picture of it). A slide
-- is a patient: one stain, one lamp, one lens. A cell is a pure function of (seed, slide number, cell number, infected):
-- each draws from a Philox stream of its own, so nothing depends on the order or the number of cells made.
local core = require "giemsa.core"
local on_cells = require "datasets.on_cells"

local smear = {}

smear.VERSION = 1 -- counts up when the same seed gives other pixels

--- What makes the cells hard to tell apart, as shares. The defaults are calibrated (see README.md): the course's net ends
--- between 88 % and 96 %.
smear.DIFFICULTY = {
  faint = 0.05, -- parasites so pale or out of focus that they hardly show
  lookalikes = 0.16, -- cells that carry a platelet, stain precipitate, dust, a Howell-Jolly body, ...
  label_noise = 0.012, -- cells in the wrong folder
}

local CELL, PURPLE = on_cells.CELL, on_cells.PURPLE
local MASK = 0 -- what the segmentation keeps

-- Colours of the empty slide, of a cell of ordinary thickness, and of chromatin on it; pallor is how thin a cell's middle is.
local STAINS = {
  { name = "salmon", share = 50, light = { 221, 178, 162 }, cell = { 204, 149, 148 }, chromatin = { 154, 28, 118 }, pallor = 0.25 },
  { name = "lilac", share = 32, light = { 198, 199, 190 }, cell = { 167, 159, 178 }, chromatin = { 128, 40, 163 }, pallor = 0.30 },
  { name = "violet", share = 11, light = { 214, 168, 160 }, cell = { 168, 104, 141 }, chromatin = { 140, 34, 114 }, pallor = 0.55 },
  { name = "beige", share = 4, light = { 211, 180, 165 }, cell = { 176, 150, 153 }, chromatin = { 136, 46, 128 }, pallor = 0.30 },
  { name = "pink", share = 3, light = { 232, 170, 177 }, cell = { 214, 122, 166 }, chromatin = { 166, 28, 130 }, pallor = 0.30 },
}

-- Shares of the stages by species; a slide is of one species.
local SPECIES = {
  { share = 70, stages = { ring = 52, applique = 26, trophozoite = 16, schizont = 1, gametocyte = 5 } },
  { share = 30, stages = { ring = 30, applique = 8, trophozoite = 42, schizont = 10, gametocyte = 10 } },
}

-- ---- slides

-- One of the rows, by its share.
function smear.pick(draws, rows)
  local total = 0
  for _, row in ipairs(rows) do total = total + row.share end
  local at = draws:uniform(0, total)
  for _, row in ipairs(rows) do
    at = at - row.share
    if at < 0 then return row end
  end
  return rows[#rows]
end

local function pick_key(draws, shares)
  local rows = {}
  for key, share in pairs(shares) do rows[#rows + 1] = { key = key, share = share } end
  table.sort(rows, function(a, b) return a.key < b.key end)
  return smear.pick(draws, rows).key
end

-- How much each colour is absorbed on the way from `before` to `after`: the logarithm of their ratio (Beer-Lambert).
local function absorbance(before, after)
  local a = {}
  for c = 1, 3 do a[c] = math.log(before[c] / after[c]) end
  return a
end

local function jitter(draws, colour, deviation)
  local out = {}
  for c = 1, 3 do out[c] = colour[c] * math.exp(draws:normal(0, deviation)) end
  return out
end

-- "C33P1thinF_IMG_20150619_114756a": patient, and photographs of one sitting.
local function photographs(draws, index, healthy)
  local patient = healthy and ("C%dNThinF"):format(index) or ("C%dP%dThinF"):format(index, index - index // 4)
  local day = ("2015%02d%02d"):format(draws:integer(6, 11), draws:integer(1, 28))
  local minute, list = draws:integer(9 * 60, 16 * 60), {}
  for i = 1, draws:integer(3, 8) do
    list[i] = ("%s_IMG_%s_%02d%02d%02d"):format(patient, day, minute // 60, minute % 60, draws:integer(0, 59))
    minute = minute + draws:integer(1, 5)
  end
  return list
end

--- Slide number `index`: a patient, a stain, a lamp and a lens, as a plain table. Every fourth patient is healthy.
---@param seed integer
---@param index integer from 1
---@return table slide
function smear.slide(seed, index)
  local draws = core.draws(seed, index, 0, 0)
  local healthy = index % 4 == 0
  local stain = smear.pick(draws, STAINS)
  local light, cell = jitter(draws, stain.light, 0.012), jitter(draws, stain.cell, 0.015)
  return {
    seed = seed, index = index, healthy = healthy, stain = stain.name,
    photographs = photographs(draws, index, healthy),
    stages = smear.pick(draws, SPECIES).stages,
    light = light,
    absorbance = { absorbance(light, cell), absorbance(cell, jitter(draws, stain.chromatin, 0.06)), { 0.9, 1.0, 0.9 } },
    radius = draws:normal(61, 3), -- of a cell, in pixels
    thickness = math.exp(draws:normal(0, 0.10)),
    pallor = stain.pallor * draws:uniform(0.3, 1.7),
    roughness = draws:uniform(0.4, 1.6), -- of the outline
    halo = draws:uniform(0, 3.5), -- background the segmentation keeps around a cell
    bites = draws:uniform(0.02, 0.22), -- share of cells whose outline it got wrong
    stippling = draws:chance(0.5) and draws:uniform(0, 0.8) or 0, -- share of infected cells with fine dots (Maurer, Schueffner)
    blur = draws:uniform(1.1, 1.9),
    noise = draws:uniform(0.5, 1.1),
    step = draws:integer(2, 3),
  }
end

-- ---- the cell itself

-- Radii of the outline at 72 angles: a circle, squeezed, with a few harmonics; seldom a tear or a sickle-like oval.
local function outline(draws, r, roughness)
  local radii, n = {}, 72
  local squeeze, squeeze_at = math.abs(draws:normal(0, 0.06)), draws:uniform(0, math.pi)
  if draws:chance(0.07) then squeeze = squeeze + draws:uniform(0.1, 0.22) end
  local tear, tear_at = draws:chance(0.12) and draws:uniform(0.08, 0.3) or 0, draws:uniform(0, 2 * math.pi)
  local waves = {}
  for k = 3, 8 do waves[k] = { draws:normal(0, 0.028 * roughness / math.sqrt(k - 2)), draws:uniform(0, 2 * math.pi) } end
  for i = 1, n do
    local angle = 2 * math.pi * (i - 1) / n
    local scale = 1 + squeeze * math.cos(2 * (angle - squeeze_at))
    for k = 3, 8 do scale = scale + waves[k][1] * math.cos(k * angle + waves[k][2]) end
    local off = math.abs((angle - tear_at + math.pi) % (2 * math.pi) - math.pi)
    radii[i] = r * (scale + tear * math.exp(-(off / 0.25) ^ 2))
  end
  return radii
end

-- The body: haemoglobin, thinner in the middle, never quite even.
local function body(c, slide)
  local d, s = c.draws, c.smear
  s:outline(CELL, c.thickness, d:uniform(2, 5), c.x, c.y, -1.5, c.radii)
  local pallor = slide.pallor * d:uniform(0, 2) * (c.infected and 0.6 or 1)
  if d:chance(0.1) then pallor = pallor * 2 end
  local size = d:uniform(0.2, 0.5) * c.r
  local px, py = c.x + d:normal(0, 0.08 * c.r), c.y + d:normal(0, 0.08 * c.r)
  s:blob(CELL, -math.min(pallor, 0.95) * c.thickness, d:uniform(0.4, 1), px, py, size, size * d:uniform(0.7, 1.2), d:uniform(0, math.pi))
  s:grain(CELL, 0.10, 24, true, d)
  s:grain(CELL, 0.04, 7, true, d)
end

local function radius_at(c, angle) return c.radii[math.floor(angle / (2 * math.pi) * #c.radii) % #c.radii + 1] end

-- The segmentation: a margin around the cell, and now and then a piece of a neighbour too much or a bite too little.
local function segmentation(c, slide)
  local d, s = c.draws, c.smear
  s:outline(MASK, 1, 5, c.x, c.y, slide.halo + d:normal(0, 0.7), c.radii)
  local function at_rim(out)
    local angle = d:uniform(0, 2 * math.pi)
    local radius = out * radius_at(c, angle)
    return c.x + radius * math.cos(angle), c.y + radius * math.sin(angle)
  end
  local wrong = slide.bites * (c.infected and 1.8 or 1)
  if d:chance(wrong) then
    local x, y = at_rim(d:uniform(0.85, 1.15))
    s:blob(MASK, -1, 0.15, x, y, d:uniform(0.15, 0.6) * c.r, d:uniform(0.15, 0.4) * c.r, d:uniform(0, math.pi))
  end
  if d:chance(wrong) then
    for _ = 1, d:integer(1, 3) do
      local x, y = at_rim(d:uniform(0.95, 1.15))
      s:blob(MASK, 1, 0.2, x, y, d:uniform(0.06, 0.2) * c.r, d:uniform(0.06, 0.2) * c.r)
    end
  end
  s:grain(MASK, 0.35, 5, false, d)
end

-- A place on the cell: parasites are seen more often near the rim.
local function place(c, near_rim)
  local d = c.draws
  local angle = d:uniform(0, 2 * math.pi)
  local out = near_rim and d:uniform(0.8, 0.98) or 0.85 * math.sqrt(d:uniform(0, 1))
  local radius = out * radius_at(c, angle)
  return c.x + radius * math.cos(angle), c.y + radius * math.sin(angle)
end

-- One parasite; its stage is returned. Near the rim the cell is thin and the segmentation follows the bulge.
local function infect(c, slide, strength)
  local d, s = c.draws, c.smear
  local stage = pick_key(d, slide.stages)
  local x, y = place(c, stage == "applique" or stage ~= "gametocyte" and stage ~= "schizont" and d:chance(0.35))
  if (x - c.x) ^ 2 + (y - c.y) ^ 2 > (0.75 * c.r) ^ 2 then
    local wide = d:uniform(0.15, 0.26) * c.r
    s:blob(CELL, -d:uniform(0.2, 0.9) * c.thickness, 0.8, x, y, wide)
    s:blob(MASK, 1, 0.2, x, y, wide * 0.9)
  end
  on_cells.parasites[stage](c, x, y, strength)
  return stage
end

local function stipple(c)
  local d = c.draws
  for _ = 1, d:integer(4, 16) do
    local x, y = place(c)
    c.smear:blob(PURPLE, d:uniform(0.06, 0.25), 0.6, x, y, d:uniform(1.2, 3), d:uniform(1.2, 3), d:uniform(0, math.pi))
  end
end

-- What is on the cell, drawn and named: "ring", "2 x ring", "faint trophozoite", "platelet", "plain", ...
local function contents(c, slide, infected, difficulty)
  local d, found = c.draws, nil
  if d:chance(difficulty.lookalikes) then
    found = pick_key(d, on_cells.LOOKALIKE_SHARES)
    on_cells.lookalikes[found](c, place(c, d:chance(0.3)))
  end
  if not infected then return found or "plain" end
  local faint = d:chance(difficulty.faint)
  if faint then c.blur = c.blur * d:uniform(1, 2) end
  local number = faint and 1 or d:chance(0.24) and 2 or d:chance(0.1) and 3 or 1
  for _ = 1, number do found = infect(c, slide, faint and d:uniform(0.04, 0.2) or d:uniform(0.7, 1.2)) end
  if not faint and d:chance(slide.stippling) then stipple(c) end
  return (faint and "faint " or number > 1 and number .. " x " or "") .. found
end

---@class smear.cell
---@field picture giemsa.picture RGB, black outside the cell
---@field name string a file name in the manner of the real set; the patient is `^C%d+`
---@field contents string what is on it ("ring", "faint ring", "platelet", "plain", ...)

--- Draws cell `number` of a slide.
---@param slide table from smear.slide
---@param number integer from 1, different for every cell of the slide
---@param infected boolean
---@param difficulty table? shares as in smear.DIFFICULTY
---@return smear.cell
function smear.cell(slide, number, infected, difficulty)
  difficulty = difficulty or smear.DIFFICULTY
  local d = core.draws(slide.seed, slide.index, number, infected and 2 or 1)
  local r = slide.radius * math.exp(d:normal(0, 0.085))
  local radii = outline(d, r, slide.roughness * (infected and 1.35 or 1))
  local side = math.ceil(2 * (math.max(table.unpack(radii)) + 0.25 * r)) + 8
  local s <close> = core.smear(side, side, 3)
  local c = { smear = s, draws = d, infected = infected, r = r, radii = radii, x = side / 2, y = side / 2,
    thickness = slide.thickness * math.exp(d:normal(0, 0.13)), blur = slide.blur * math.exp(d:normal(0, 0.15)) }
  if d:chance(0.04) then c.blur = c.blur * d:uniform(1.5, 2.5) end
  body(c, slide)
  segmentation(c, slide)
  local found = contents(c, slide, infected, difficulty)
  local picture = s:develop({ light = slide.light, absorbance = slide.absorbance, blur = c.blur, noise = slide.noise,
    step = slide.step, slope_x = d:normal(0, 0.03), slope_y = d:normal(0, 0.03) }, d)
  return { picture = picture, contents = found, name = smear.cell_name(slide, number) }
end

--- The file name of a cell, in the manner of the real set: C33P1thinF_IMG_20150619_114756a_cell_179.png.
function smear.cell_name(slide, number)
  local draws = core.draws(slide.seed, slide.index, number, 3)
  return ("%s_cell_%d.png"):format(slide.photographs[draws:integer(1, #slide.photographs)], number)
end

return smear
