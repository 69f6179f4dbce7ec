--- What lies on a red cell: parasites in their stages, and what is taken for them.
--
-- Each draws at (x, y) on a cell `c` = {smear, draws, x, y, r (its radius), thickness}; lengths are shares of the radius.
-- Densities of 1 are a well-stained nucleus; `strength` scales them.
local on_cells = {}

-- The dyes, planes of core.smear: haemoglobin; azure-eosin on chromatin and cytoplasm; pigment and dirt.
local CELL, PURPLE, DARK = 1, 2, 3

-- Points of an arc around (x, y) for s:curve; width(t) for t from 0 to 1 along it.
local function arc(x, y, rx, ry, turn, from, sweep, width)
  local points, n = {}, 24
  local cos_turn, sin_turn = math.cos(turn), math.sin(turn)
  for i = 0, n do
    local angle = from + sweep * i / n
    local u, v = rx * math.cos(angle), ry * math.sin(angle)
    points[#points + 1] = x + u * cos_turn - v * sin_turn
    points[#points + 1] = y + u * sin_turn + v * cos_turn
    points[#points + 1] = width(i / n)
  end
  return points
end

-- A small disc of chromatin, seldom quite round.
local function chromatin(c, x, y, size, strength)
  local d = c.draws
  c.smear:blob(PURPLE, strength, 0.5, x, y, size * c.r, size * c.r * d:uniform(0.55, 1), d:uniform(0, math.pi))
end

-- Brown-black grains of haemozoin.
local function pigment(c, x, y, spread, grains, strength)
  local d = c.draws
  for _ = 1, grains do
    c.smear:blob(DARK, strength * d:uniform(0.2, 0.5), 0.6, x + d:normal(0, spread * c.r), y + d:normal(0, spread * c.r), d:uniform(1, 2.2))
  end
end

local parasites = {}

-- The signet ring: a thin band of cytoplasm around a vacuole, one or two dots of chromatin on it.
function parasites.ring(c, x, y, strength)
  local d, s = c.draws, c.smear
  local radius, turn = d:uniform(0.09, 0.21) * c.r, d:uniform(0, 2 * math.pi)
  local flat, sweep = d:uniform(0.65, 1), d:uniform(3.9, 2 * math.pi)
  local thin, thick = d:uniform(0.02, 0.03) * c.r, d:uniform(0.035, 0.065) * c.r
  local function width(t) return thin + (thick - thin) * math.sin(math.pi * t) ^ 2 end
  s:blob(CELL, -0.3 * c.thickness * strength, 0.5, x, y, radius, radius * flat, turn)
  s:curve(PURPLE, d:uniform(0.2, 0.42) * strength, 2.5, arc(x, y, radius, radius * flat, turn, 0, sweep, width))
  local dots = d:chance(0.25) and 2 or 1
  for i = 1, dots do
    local angle = i * d:uniform(0.4, 1.1)
    local u, v = radius * math.cos(angle), radius * flat * math.sin(angle)
    chromatin(c, x + u * math.cos(turn) - v * math.sin(turn), y + u * math.sin(turn) + v * math.cos(turn), d:uniform(0.065, 0.105), strength)
  end
end

-- On the rim: a bar of chromatin along the membrane, cytoplasm trailing on either side.
function parasites.applique(c, x, y, strength)
  local d, s = c.draws, c.smear
  local along = math.atan(y - c.y, x - c.x) + math.pi / 2 + d:normal(0, 0.3)
  local length, size = d:uniform(0.12, 0.28) * c.r, d:uniform(0.065, 0.105)
  local function width(t) return (0.02 + 0.03 * math.sin(math.pi * t)) * c.r end
  s:curve(PURPLE, d:uniform(0.15, 0.35) * strength, 3, arc(x, y, length, length * d:uniform(0.1, 0.6), along, math.pi, math.pi, width))
  s:blob(PURPLE, strength, 0.5, x, y, size * c.r * d:uniform(1, 1.7), size * c.r * 0.7, along)
  if d:chance(0.3) then chromatin(c, x + length * math.cos(along), y + length * math.sin(along), d:uniform(0.035, 0.06), strength) end
end

-- Grown: an irregular body of cytoplasm with a large nucleus, the first pigment.
function parasites.trophozoite(c, x, y, strength)
  local d, s = c.draws, c.smear
  local size, turn = d:uniform(0.14, 0.28) * c.r, d:uniform(0, 2 * math.pi)
  local a, b = d:uniform(0, 6), d:uniform(4, 9)
  local function width(t) return (0.05 + 0.035 * math.sin(a + b * t)) * c.r end
  s:blob(CELL, -0.25 * c.thickness * strength, 0.7, x, y, size)
  s:curve(PURPLE, d:uniform(0.25, 0.5) * strength, 4, arc(x, y, size, size * d:uniform(0.5, 1), turn, 0, d:uniform(2, 5.5), width))
  if d:chance(0.5) then s:blob(PURPLE, d:uniform(0.12, 0.3) * strength, 0.7, x, y, size * d:uniform(0.9, 1.3), size * d:uniform(0.5, 1), turn) end
  chromatin(c, x + size * math.cos(turn), y + size * math.sin(turn), d:uniform(0.07, 0.12), strength)
  pigment(c, x, y, 0.08, d:integer(0, 5), strength)
end

-- Dividing: a cluster of merozoites around a clump of pigment.
function parasites.schizont(c, x, y, strength)
  local d, s = c.draws, c.smear
  local size = d:uniform(0.28, 0.5) * c.r
  s:blob(PURPLE, 0.22 * strength, 0.4, x, y, size * 1.15)
  for i = 1, d:integer(6, 16) do
    local angle, out = 2.4 * i + d:normal(0, 0.3), size * math.sqrt(d:uniform(0.08, 1))
    chromatin(c, x + out * math.cos(angle), y + out * math.sin(angle), d:uniform(0.05, 0.08), strength * d:uniform(0.6, 0.9))
  end
  pigment(c, x, y, 0.05, d:integer(4, 9), strength)
end

-- Sexual form: a crescent (falciparum) or a large round body, chromatin in the middle under scattered pigment.
function parasites.gametocyte(c, x, y, strength)
  local d, s = c.draws, c.smear
  local turn, size = d:uniform(0, 2 * math.pi), d:uniform(0.45, 0.65) * c.r
  if d:chance(0.6) then
    local from, sweep = -1.2, 2.4
    local function width(t) return (0.03 + 0.12 * math.sin(math.pi * t)) * c.r end
    local cx, cy = x - size * 0.8 * math.cos(turn), y - size * 0.8 * math.sin(turn)
    s:curve(PURPLE, 0.4 * strength, 3, arc(cx, cy, size, size, turn, from, sweep, width))
    x, y = cx + size * math.cos(turn), cy + size * math.sin(turn)
  else
    s:blob(PURPLE, 0.28 * strength, 0.35, x, y, 0.75 * size, 0.75 * size * d:uniform(0.7, 1), turn)
  end
  s:blob(PURPLE, 0.55 * strength, 0.8, x, y, 0.13 * c.r, 0.1 * c.r, turn + math.pi / 2)
  pigment(c, x, y, 0.09, d:integer(6, 14), strength)
end

local lookalikes = {}

-- A platelet lying on the cell: granular, no sharp dot, a pale halo around it.
function lookalikes.platelet(c, x, y)
  local d, s = c.draws, c.smear
  local size = d:uniform(0.09, 0.17) * c.r
  s:blob(CELL, -0.35 * c.thickness, 0.4, x, y, size * 1.5)
  s:blob(PURPLE, d:uniform(0.2, 0.45), 0.6, x, y, size, size * d:uniform(0.6, 1), d:uniform(0, math.pi))
  for _ = 1, d:integer(3, 7) do
    s:blob(PURPLE, d:uniform(0.1, 0.4), 0.7, x + d:normal(0, size * 0.4), y + d:normal(0, size * 0.4), d:uniform(1.5, 3))
  end
end

-- Precipitate: specks of undissolved stain, small, sharp, deep.
function lookalikes.precipitate(c, x, y)
  local d, s = c.draws, c.smear
  for _ = 1, d:integer(1, 4) do
    local px, py, size = x + d:normal(0, 5), y + d:normal(0, 5), d:uniform(1.2, 3.6)
    s:blob(PURPLE, d:uniform(0.4, 1), 0.4, px, py, size, size * d:uniform(0.4, 1), d:uniform(0, math.pi))
    s:blob(DARK, d:uniform(0.1, 0.4), 0.4, px, py, size)
  end
end

-- Dust on the lens or the slide: grey and never in focus.
function lookalikes.dust(c, x, y)
  local d = c.draws
  local size = d:uniform(0.06, 0.16) * c.r
  c.smear:blob(DARK, d:uniform(0.08, 0.3), 0.9, x, y, size, size * d:uniform(0.3, 1), d:uniform(0, math.pi))
end

-- A Howell-Jolly body: a rest of the nucleus, one round dot and no cytoplasm.
lookalikes["howell-jolly"] = function(c, x, y)
  local d = c.draws
  c.smear:blob(PURPLE, d:uniform(0.45, 0.95), 0.45, x, y, d:uniform(0.035, 0.06) * c.r)
end

-- A crease or the rim of a neighbour: a faint curved line.
function lookalikes.crease(c, x, y)
  local d = c.draws
  local size, wide = d:uniform(0.15, 0.5) * c.r, d:uniform(1, 2.5)
  c.smear:curve(PURPLE, d:uniform(0.06, 0.22), 3, arc(x, y, size, size * d:uniform(0.3, 1), d:uniform(0, 6), 0, d:uniform(1.2, 4), function() return wide end))
end

-- Stain that did not take: a purple cloud without form.
function lookalikes.smudge(c, x, y)
  local d = c.draws
  local size = d:uniform(0.09, 0.22) * c.r
  c.smear:blob(PURPLE, d:uniform(0.1, 0.4), 0.9, x, y, size, size * d:uniform(0.5, 1), d:uniform(0, math.pi))
end

-- Drying artefacts: bright, refractile spots.
function lookalikes.refractile(c, x, y)
  local d = c.draws
  for _ = 1, d:integer(1, 5) do
    local px, py, size = x + d:normal(0, 0.2 * c.r), y + d:normal(0, 0.2 * c.r), d:uniform(0.04, 0.1) * c.r
    c.smear:blob(CELL, -d:uniform(0.3, 0.8) * c.thickness, 0.4, px, py, size)
    c.smear:blob(PURPLE, d:uniform(0, 0.12), 0.5, px + 2, py + 2, size * 1.3)
  end
end

local LOOKALIKE_SHARES = { platelet = 16, precipitate = 22, dust = 10, ["howell-jolly"] = 10, crease = 14, smudge = 16, refractile = 12 }

on_cells.parasites, on_cells.lookalikes, on_cells.LOOKALIKE_SHARES = parasites, lookalikes, LOOKALIKE_SHARES
on_cells.CELL, on_cells.PURPLE, on_cells.DARK = CELL, PURPLE, DARK

return on_cells
