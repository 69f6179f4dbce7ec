-- What a saved model says of one picture.
local giemsa = require "giemsa"

local options = giemsa.args.parse([[
giemsa examples/predict.lua MODEL IMAGE [IMAGE ...]
  MODEL   a model saved by giemsa (.safetensors)
  IMAGE   a PNG, JPEG or BMP picture of one cell]], {}, 2)

local model = giemsa.nn.load_model(options[1])
for i = 2, #options do
  local picture = giemsa.image.load(options[i], { color_mode = "rgba" })
  local x = giemsa.data.prepare(picture, model.preprocessing)
  local p = model:predict(x:reshape(1, table.unpack(x.shape)))[1]
  local best = p:argmax()
  print(("%s: %s (%.1f %%)"):format(options[i], model.class_names[best], 100 * p[best]))
end
