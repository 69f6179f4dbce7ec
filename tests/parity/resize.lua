--- Nearest as Pillow, bilinear as OpenCV, to the byte; and tables of nearest indices.
local giemsa = require "giemsa"

-- A picture one row high whose red and green say which column they came from.
local function ruler(n)
  local pixels = {}
  for i = 0, n - 1 do pixels[i + 1] = { i % 256, i // 256, 0 } end
  return giemsa.image.from_tensor(giemsa.tensor({ pixels }))
end

local function nearest_index(n_in, n_out)
  local row = ruler(n_in):resize(n_out, 1, "nearest"):to_tensor()[1]:totable()
  local index = {}
  for i, pixel in ipairs(row) do index[i] = pixel[1] + 256 * pixel[2] end
  return index
end

return function(parity)
  for _, case in ipairs(parity:json("cases.json")) do
    local picture = giemsa.image.load(parity:path(case.input))
    for file, rule in pairs{ [case.nearest] = "nearest", [case.linear] = "bilinear" } do
      parity:close(file, picture:resize(case.out_width, case.out_height, rule):to_tensor(), parity:npy(file), 0)
    end
  end
  for _, t in ipairs(parity:json("nearest_index.json")) do
    parity:close(("nearest_index %d->%d"):format(t.n_in, t.n_out), nearest_index(t.n_in, t.n_out), t.index, 0)
  end
end
