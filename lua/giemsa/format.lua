--- A tensor as text, laid out as NumPy does: columns aligned, as many digits as tell the float32
--- values apart (at most eight), exponents when the sizes differ much, and only three values at
--- each end of a dimension when there are many.
local core = require "giemsa.core"

local format = {}

local THRESHOLD, WIDTH, DIGITS = 1000, 75, 8

-- "nan", "inf" or "-inf", or false for any other number.
local function not_finite(x)
  return x ~= x and "nan" or x == math.huge and "inf" or x == -math.huge and "-inf"
end
local function float32(x) return (string.unpack("<f", string.pack("<f", x))) end

-- ---- one number

-- "%.{n}{kind}" with the fewest n <= 8 that still reads back as the same float32, without trailing
-- zeros.
local function shortest(x, kind)
  for digits = 0, DIGITS do
    local text = ("%." .. digits .. kind):format(x)
    if digits == DIGITS or float32(tonumber(text)) == x then return text end
  end
end

-- The parts of a number: whole "-12", fraction "5" (perhaps empty), exponent "e+10" (perhaps
-- empty).
local function split(text)
  return text:match("^(-?%d+)%.?(%d*)(e?[-+]?%d*)$")
end

local function parts_of(x, exponents)
  local whole, fraction, exponent = split(shortest(x, exponents and "e" or "f"))
  return whole, (fraction:gsub("0+$", "")), exponent
end

local function needs_exponents(numbers)
  local largest, smallest = 0, math.huge
  for _, x in ipairs(numbers) do
    local size = math.abs(x)
    if size > 0 and not not_finite(x) then
      largest, smallest = math.max(largest, size), math.min(smallest, size)
    end
  end
  return largest >= 1e8 or largest > 0 and (smallest < 1e-4 or largest / smallest > 1000)
end

-- A function that writes every one of the numbers in the same width.
local function writer(numbers)
  local exponents, left, right, tail = needs_exponents(numbers), 0, 0, 0
  for _, x in ipairs(numbers) do
    if not not_finite(x) then
      local whole, fraction, exponent = parts_of(x, exponents)
      left, right = math.max(left, #whole), math.max(right, #fraction)
      tail = math.max(tail, #exponent)
    end
  end
  local width = left + 1 + right + tail
  for _, x in ipairs(numbers) do
    width = math.max(width, #(not_finite(x) or ""))
  end
  return function(x)
    local text = not_finite(x)
    if not text then
      local whole, fraction, exponent = parts_of(x, exponents)
      if exponents then whole, fraction, exponent = split(("%." .. right .. "e"):format(x)) -- all digits
      else fraction = fraction .. (" "):rep(right - #fraction) end
      text = whole .. "." .. fraction .. exponent
    end
    return (" "):rep(width - #text) .. text
  end
end

-- ---- many numbers

-- The row numbers to show of n, with false standing for "...".
local function shown(n, summarise)
  if summarise and n > 6 then return { 1, 2, 3, false, n - 2, n - 1, n } end
  local rows = {}
  for i = 1, n do rows[i] = i end
  return rows
end

local function collect(t, summarise, into)
  for _, i in ipairs(shown(t.shape[1], summarise)) do
    if i then
      if t.ndim == 1 then into[#into + 1] = t[i] else collect(t[i], summarise, into) end
    end
  end
  return into
end

-- The innermost brackets: values with a space between, wrapped at WIDTH with `indent` in front of
-- each line.
local function write_row(t, write, summarise, indent, room)
  local lines, line = {}, indent
  for _, i in ipairs(shown(t.shape[1], summarise)) do
    local word = i and write(t[i]) or "..."
    if #line + #word > room and #line > #indent then
      lines[#lines + 1] = line:gsub("%s+$", "")
      line = indent
    end
    line = line .. word .. " "
  end
  lines[#lines + 1] = line:sub(1, -2)
  return "[" .. table.concat(lines, "\n"):sub(#indent + 1) .. "]"
end

local function write_block(t, write, summarise, indent, room)
  if t.ndim == 1 then return write_row(t, write, summarise, indent, room - 1) end
  local blocks = {}
  for _, i in ipairs(shown(t.shape[1], summarise)) do
    local block = i and write_block(t[i], write, summarise, indent .. " ", room - 1) or "..."
    blocks[#blocks + 1] = indent .. block
  end
  return "[" .. table.concat(blocks, ("\n"):rep(t.ndim - 1)):sub(#indent + 1) .. "]"
end

-- One number by itself: "3.0", "1e-05", "nan".
local function write_single(x)
  if not_finite(x) then return not_finite(x) end
  local whole, fraction, exponent = parts_of(x, true)
  local power, digits = tonumber(exponent:sub(2)), whole:gsub("-", "") .. fraction
  if x ~= 0 and (power < -4 or power >= 16) then
    return whole .. (#fraction > 0 and "." or "") .. fraction .. exponent
  end
  if power < 0 then digits, power = ("0"):rep(-power) .. digits, 0 end
  digits = digits .. ("0"):rep(power + 2 - #digits)
  return whole:match("^-?"):sub(1, 1) .. digits:sub(1, power + 1) .. "." .. digits:sub(power + 2)
end

--- The values alone, as NumPy's str().
---@param t tensor
---@param most integer? larger tensors show three values at each end of a dimension; default 1000
---@return string
function format.values(t, most)
  if t.size == 0 then return "[]" end
  if t.ndim == 0 then return write_single(t:item()) end
  local summarise = t.size > (most or THRESHOLD)
  local write = writer(collect(t, summarise, {}))
  return write_block(t, write, summarise, " ", WIDTH)
end

--- "(2, 3)" as in error messages.
---@param shape integer[]
---@return string
function format.shape(shape)
  return "(" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")")
end

--- Shape and values: what print(t) shows.
---@param t tensor
---@return string
function format.tensor(t)
  local ok, shape = pcall(function() return format.shape(t.shape) end)
  if not ok or t:is_released() then return "tensor (released)" end
  local values = format.values(t)
  return ("tensor %s%s%s"):format(shape, values:find("\n", 1, true) and "\n" or " ", values)
end

core.tensor_metatable.__tostring = format.tensor

return format
