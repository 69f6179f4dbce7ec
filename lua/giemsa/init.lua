--- giemsa: deep learning on medical images in Lua.
-- `giemsa.nn`, `giemsa.data`, ... are loaded when first named, so a script pays only for what it uses;
-- only what tensors can do is there at once.
require "giemsa.ops"

---@class giemsa
local giemsa = { _VERSION = "giemsa " .. require "giemsa.version" }

local parts = {
  tensor = true, random = true, grad = true, ops = true, loss = true, nn = true, optim = true,
  image = true, data = true, train = true, callbacks = true, metrics = true, save = true, plot = true,
  montage = true, display = true, show = true, progress = true, help = true, options = true,
  args = true, core = true, profile = true,
}

return setmetatable(giemsa, {
  __index = function(self, name)
    if not parts[name] then error("giemsa has no part named '" .. tostring(name) .. "'", 2) end
    local part = require("giemsa." .. name)
    rawset(self, name, part)
    return part
  end,
})
