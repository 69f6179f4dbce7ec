--- giemsa: deep learning on medical images in Lua.
-- `giemsa.nn`, `giemsa.data`, ... are loaded when first named, so a script pays only for what it uses;
-- only what tensors can do is there at once.
require "giemsa.ops"

---@class giemsa
local giemsa = { _VERSION = "giemsa " .. require "giemsa.version" }

local parts = {
  tensor = true, random = true, grad = true, ops = true, loss = true, nn = true, optim = true,
  image = true, data = true, train = true, callbacks = true, metrics = true, save = true, plot = true,
  montage = true, check = true, display = true, show = true, progress = true, help = true, options = true,
  args = true, core = true, profile = true, quick = true,
}

-- Calls that stand by themselves, and the part each is in.
local calls = {
  show_batch = "look", show_augment = "look", lr_find = "train.probe", overfit_one = "train.probe",
  top_losses = "explain", gradcam = "explain",
}

return setmetatable(giemsa, {
  __index = function(self, name)
    local home = calls[name]
    if not parts[name] and not home then
      error("giemsa has no part named '" .. tostring(name) .. "'", 2)
    end
    local part = require("giemsa." .. (home or name))
    if home then part = part[name] end
    rawset(self, name, part)
    return part
  end,
})
