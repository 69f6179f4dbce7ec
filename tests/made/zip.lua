--- Zip archives of stored entries, honest and hostile ones.
local crc_table = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do c = c & 1 == 1 and 0xEDB88320 ~ (c >> 1) or c >> 1 end
  crc_table[i] = c
end
local function crc32(bytes)
  local c = 0xFFFFFFFF
  for i = 1, #bytes do c = crc_table[(c ~ bytes:byte(i)) & 255] ~ (c >> 8) end
  return c ~ 0xFFFFFFFF
end

--- The bytes of an archive.
---@param list table[] {name, bytes, crc =, size =, same =}; crc and size are lies, same: its bytes are those of the first entry
---@return string
local function zip_of(list)
  local parts, central, at, first = {}, {}, 0, nil
  for _, entry in ipairs(list) do
    local name, bytes = entry[1], entry[2]
    local crc, size = entry.crc or entry.same and first or crc32(bytes), entry.size or #bytes
    first = first or crc
    local fields = ("<I2I2I2I2I2I4I4I4I2I2"):pack(20, 0, 0, 0, 33, crc, #bytes, size, #name, 0)
    central[#central + 1] = "PK\1\2" .. ("<I2"):pack(20) .. fields .. ("<I2I2I2I4I4"):pack(0, 0, 0, 0, entry.same and 0 or at) .. name
    if not entry.same then
      parts[#parts + 1] = "PK\3\4" .. fields .. name .. bytes
      at = at + #parts[#parts]
    end
  end
  local directory = table.concat(central)
  return table.concat(parts) .. directory .. "PK\5\6" .. ("<I2I2I2I2I4I4I2"):pack(0, 0, #list, #list, #directory, at, 0)
end

return zip_of
