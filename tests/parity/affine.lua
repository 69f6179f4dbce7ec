--- The affine map of augmentation against keras-preprocessing 1.1.2, on pictures of 0..255. The *_head.npy files follow another
--- convention (the centre and axes of Keras >= 2.9) and are there to tell the two apart.
local giemsa = require "giemsa"

local DRAWN = { "theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical" }

return function(parity)
  for _, case in ipairs(parity:json("cases.json").cases) do
    local generator = giemsa.data.ImageDataGenerator{ fill_mode = case.fill_mode, cval = case.cval }
    local parameters = {}
    for _, key in ipairs(DRAWN) do parameters[key] = case[key] end
    local x = giemsa.image.load(parity:path(case.input)):to_tensor()
    parity:close(case.expected_v112, generator:apply_transform(x, parameters), parity:npy(case.expected_v112), 0.01)
  end
end
