-- How good a saved model is on labelled images: any tree or zip with folders named as the model's
-- classes.
local giemsa = require "giemsa"
local metrics = giemsa.metrics

local options = giemsa.args.parse([[
giemsa examples/evaluate.lua MODEL DIR|ZIP [--csv FILE]
  MODEL       a model saved by giemsa (.safetensors)
  DIR|ZIP     images in folders named as the model's classes
  --csv FILE  write a row for each image: path, label, predicted, a probability for each class]],
  { csv = "" }, 2)

local model = giemsa.nn.load_model(options[1])
local names, class_of = model.class_names, {}
for class, name in ipairs(names) do class_of[name] = class end

local source = assert(require("datasets.source").open(options[2]))
local images = {}
for _, image in ipairs(source.images) do
  if class_of[image.class] then images[#images + 1] = image end
end
if #images == 0 then
  error(("%s: no images in folders named %s"):format(options[2], table.concat(names, " or ")), 0)
end
if #images < #source.images then
  io.stderr:write(("%d images are in folders of other names and left out\n"):format(#source.images - #images))
end

local truth, predicted, rows = {}, {}, { "path,label,predicted," .. table.concat(names, ",") }
local function quoted(text) return text:find('[,"\n]') and '"' .. text:gsub('"', '""') .. '"' or text end

local bar = giemsa.progress.bar{ total = #images, label = "evaluate", unit = "image" }
local BATCH = 64
for first = 1, #images, BATCH do
  local inputs = {}
  for i = first, math.min(first + BATCH - 1, #images) do
    local bytes = assert(source:read(images[i]))
    local picture = assert(giemsa.image.decode(bytes, "rgba", images[i].path))
    inputs[#inputs + 1] = giemsa.data.prepare(picture, model.preprocessing)
  end
  local probabilities = model:predict(giemsa.tensor.stack(inputs))
  for k = 1, #inputs do
    local image, p = images[first + k - 1], probabilities[k]
    local class = p:argmax()
    truth[#truth + 1], predicted[#predicted + 1] = class_of[image.class], class
    local cells = { quoted(image.path), image.class, names[class] }
    for c = 1, #names do cells[#cells + 1] = ("%.6f"):format(p[c]) end
    rows[#rows + 1] = table.concat(cells, ",")
  end
  bar:update(first + #inputs - 1)
end
bar:finish()
source:close()

if options.csv ~= "" then assert(giemsa.core.write_file(options.csv, table.concat(rows, "\n") .. "\n")) end
print(metrics.classification_report(truth, predicted, { target_names = names }))
print(("accuracy = %.4f"):format(metrics.accuracy_score(truth, predicted)))
