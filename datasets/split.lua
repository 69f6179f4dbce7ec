--- Who goes where: training, validation and testing, as the course's build_dataset.py deals them, or by patient.
local random = require "giemsa.random"

local split = {}

split.SIDES = { "training", "validation", "testing" }

--- How many of n images each side gets: int() truncates, as in Python.
---@return {training: integer, validation: integer, testing: integer}
function split.sizes(n, train_split, val_split)
  local train = math.floor(n * train_split)
  local validation = math.floor(train * val_split)
  return { training = train - validation, validation = validation, testing = n - train }
end

--- The course's split: Python's random.seed(seed); random.shuffle(list); the first part for training, the first tenth of
--- that for validation.
---@param n integer images, in sorted order
---@return string[] sides of image 1..n
function split.at_random(n, seed, train_split, val_split)
  local sizes, sides = split.sizes(n, train_split, val_split), {}
  for place, image in ipairs(random.python_shuffle(n, seed)) do
    sides[image] = place <= sizes.validation and "validation" or place <= sizes.validation + sizes.training and "training" or "testing"
  end
  return sides
end

--- The patient an image is of: C and the digits after it; nil when the name does not tell.
---@param name string a file's name without its folder
---@return string?
function split.patient(name) return name:match("^C%d+") end

-- Patients with their images by class, in order of first appearance. An image whose name tells nothing is a patient of its own.
local function group(images)
  local groups, by_name = {}, {}
  for i, image in ipairs(images) do
    local key = image.patient or i
    local one = by_name[key]
    if not one then
      one = { images = {}, classes = {} }
      by_name[key], groups[#groups + 1] = one, one
    end
    one.images[#one.images + 1] = i
    one.classes[image.class] = (one.classes[image.class] or 0) + 1
  end
  return groups
end

-- How far the sides are from what they should have: the sum over sides and classes of |have - want|.
local function distance(have, want)
  local sum = 0
  for side, classes in pairs(want) do
    for class, n in pairs(classes) do sum = sum + math.abs(have[side][class] - n) end
  end
  return sum
end

local function add(have, side, one, sign)
  for class, n in pairs(one.classes) do have[side][class] = have[side][class] + sign * n end
end

-- The distance after moving some patients; the move is undone.
local function distance_after(have, want, moves)
  for _, m in ipairs(moves) do add(have, m[1].side, m[1], -1) add(have, m[2], m[1], 1) end
  local d = distance(have, want)
  for _, m in ipairs(moves) do add(have, m[1].side, m[1], 1) add(have, m[2], m[1], -1) end
  return d
end

local function apply(have, moves)
  for _, m in ipairs(moves) do
    add(have, m[1].side, m[1], -1)
    add(have, m[2], m[1], 1)
  end
  for _, m in ipairs(moves) do m[1].side = m[2] end
end

-- Moves one patient, or swaps two, as long as that brings the sides nearer to what they should have.
local function improve(groups, have, want)
  local best = distance(have, want)
  local function try(moves)
    local d = distance_after(have, want, moves)
    if d < best then
      apply(have, moves)
      best = d
      return true
    end
  end
  local changed = true
  while changed do
    changed = false
    for i, one in ipairs(groups) do
      for _, side in ipairs(split.SIDES) do
        if side ~= one.side and try { { one, side } } then changed = true end
      end
      for j = i + 1, #groups do
        local other = groups[j]
        if other.side ~= one.side and try { { one, other.side }, { other, one.side } } then changed = true end
      end
    end
  end
end

-- What each side should have of each class, and a table of zeros like it.
local function wanted(images, train_split, val_split)
  local counts, want, have = {}, {}, {}
  for _, image in ipairs(images) do counts[image.class] = (counts[image.class] or 0) + 1 end
  for _, side in ipairs(split.SIDES) do want[side], have[side] = {}, {} end
  for class, n in pairs(counts) do
    local sizes = split.sizes(n, train_split, val_split)
    for _, side in ipairs(split.SIDES) do want[side][class], have[side][class] = sizes[side], 0 end
  end
  return want, have
end

-- The side that a patient's images fit best: where the distance grows least, the first of equals.
local function best_side(one, have, want)
  local best, best_distance = nil, math.huge
  for _, side in ipairs(split.SIDES) do
    add(have, side, one, 1)
    local d = distance(have, want)
    add(have, side, one, -1)
    if d < best_distance then best, best_distance = side, d end
  end
  return best
end

local DEALS = 20 -- one deal may end where no single move or swap helps; the best of a few is near enough

-- Deals the patients in this order, each to the side it fits best, and mends the result. Returns the distance left.
local function deal(groups, order, want, have)
  local dealt = {}
  for place, at in ipairs(order) do
    local one = groups[at]
    one.side = best_side(one, have, want)
    add(have, one.side, one, 1)
    dealt[place] = one
  end
  improve(dealt, have, want)
  return distance(have, want)
end

--- No patient on two sides; each side's share of each class as near to the random split's as can be found. The orders of
--- dealing are Python's shuffles with the seed, so the same images and seed give the same split.
---@param images {patient: string?, class: string}[] in sorted order
---@return string[] sides of image 1..n
function split.by_patient(images, seed, train_split, val_split)
  local groups, python, sides, least = group(images), random.python(seed), {}, math.huge
  for _ = 1, DEALS do
    local want, have = wanted(images, train_split, val_split)
    local left = deal(groups, python:permutation(#groups), want, have)
    if left < least then
      least = left
      for _, one in ipairs(groups) do
        for _, image in ipairs(one.images) do sides[image] = one.side end
      end
    end
  end
  return sides
end

--- Patients of which images stand on the testing side and on another: the test then measures partly what was learnt by heart.
---@return integer leaking, integer patients
function split.leaking(images, sides)
  local seen, patients, leaking = {}, 0, 0
  for i, image in ipairs(images) do
    if image.patient then
      local marks = seen[image.patient]
      if not marks then
        marks, patients = {}, patients + 1
        seen[image.patient] = marks
      end
      marks[sides[i] == "testing" and "testing" or "learning"] = true
    end
  end
  for _, marks in pairs(seen) do
    if marks.testing and marks.learning then leaking = leaking + 1 end
  end
  return leaking, patients
end

return split
