--- Kinds of PNG as Keras's load_img reads them, to the byte.
local giemsa = require "giemsa"

return function(parity)
  for _, case in ipairs(parity:json("cases.json")) do
    parity:close(case.input, giemsa.image.load(parity:path(case.input)):to_tensor(), parity:npy(case.rgb), 0)
  end
end
