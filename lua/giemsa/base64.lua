--- Bytes as base64 text: three bytes are four characters.
local base64 = {}

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- The two characters of every 12-bit number.
local pairs_of = {}
for i = 0, 4095 do
  local high, low = i >> 6, i & 63
  pairs_of[i] = ALPHABET:sub(high + 1, high + 1) .. ALPHABET:sub(low + 1, low + 1)
end

--- One line, padded with "=".
---@param bytes string
---@return string
function base64.encode(bytes)
  local out, whole = {}, #bytes // 3 * 3
  for i = 1, whole, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local n = a << 16 | b << 8 | c
    out[#out + 1] = pairs_of[n >> 12]
    out[#out + 1] = pairs_of[n & 4095]
  end
  local rest = #bytes - whole
  if rest > 0 then
    local a, b = bytes:byte(whole + 1, whole + 2)
    local n = a << 16 | (b or 0) << 8
    out[#out + 1] = pairs_of[n >> 12]
    out[#out + 1] = rest == 2 and pairs_of[n & 4095]:sub(1, 1) .. "=" or "=="
  end
  return table.concat(out)
end

return base64
