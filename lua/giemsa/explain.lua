--- Why the net says what it says: the samples it is most wrong about (top_losses), and where in a
--- picture it looks (gradcam: Selvaraju et al. 2017). Both return a figure with the numbers as
--- fields.
--
--   alpha_k = mean over places of d score / d A_k      A: the maps of the last convolutional layer
--   map     = relu(sum over k of alpha_k A_k)          score: the class's logit, before softmax
local answers = require "giemsa.train.answers"
local core = require "giemsa.core"
local data = require "giemsa.data"
local feed = require "giemsa.train.feed"
local grad = require "giemsa.grad"
local guards = require "giemsa.train.guards"
local image = require "giemsa.image"
local labels = require "giemsa.data.labels"
local look = require "giemsa.look"
local ops = require "giemsa.ops"
local options = require "giemsa.options"
local pictures = require "giemsa.plot.pictures"
local plot = require "giemsa.plot.figure"
local score = require "giemsa.train.score"

local explain = {}

local at_caller = plot.at_caller

local function check_model(who, model)
  if type(model) ~= "table" or not model.forward then
    error(("%s: expected a model, got %s"):format(who, type(model)), 0)
  end
end

-- ---- the worst mistakes

local TOP = { n = "integer", columns = "integer", tile = "integer", title = "string",
  batch_size = "integer", only_wrong = "boolean" }

local function worse(a, b)
  if a.loss ~= b.loss then return a.loss > b.loss end
  return a.index < b.index
end

local function is_wrong(answer) return answer.class ~= nil and answer.class ~= answer.predicted end

-- The answers with the n largest losses; those without a file keep their picture.
local function worst(model, source, o)
  local outputs, losses, kept = {}, {}, {}
  answers.losses(model, source, function(i, loss, output, x, row)
    outputs[i], losses[i] = output:reshape(-1):totable(), loss
    if not source.filepaths then kept[i] = x[row]:copy() end
  end)
  local list = answers.of(source, core.from_table(outputs))
  for i, answer in ipairs(list) do answer.loss, answer.input = losses[i], kept[i] end
  if o.only_wrong then
    local wrong = {}
    for _, answer in ipairs(list) do
      if is_wrong(answer) then wrong[#wrong + 1] = answer end
    end
    list = wrong
  end
  table.sort(list, worse)
  return table.move(list, 1, math.min(o.n or 12, #list), 1, {})
end

local function picture_of(answer, source)
  if answer.path then return image.load(answer.path) end
  return look.pictures_of(answer.input:reshape{ 1, table.unpack(answer.input.shape) },
    source.preprocessing)[1]
end

-- The name of a file, its middle left out when it is long: patient and number are at the ends.
local function short_name(path)
  local name = path:match("[^/]+$")
  if (utf8.len(name) or 0) <= 28 then return name end
  return name:sub(1, utf8.offset(name, 12) - 1) .. "…" .. name:sub(utf8.offset(name, -15))
end

-- A wrong answer has a cross: the colours are those of the classes.
local function caption_of(answer)
  return ("%s\nis %s\n%ssaid %s %.0f %%\nloss %.2f"):format(
    answer.file and short_name(answer.file) or "sample " .. answer.index, answer.label or "?",
    is_wrong(answer) and "✗ " or "", answer.predicted_label, 100 * answer.probability, answer.loss)
end

-- A picture whose longer side has so many pixels: in whole steps where that is possible.
local function enlarged(picture, side)
  local scale = side / math.max(picture.width, picture.height)
  local rule = scale < 1 and "area" or scale % 1 == 0 and "nearest" or "bilinear"
  local function scaled(n) return math.max(1, math.floor(n * scale + 0.5)) end
  return picture:convert(3):resize(scaled(picture.width), scaled(picture.height), rule)
end

local function top_losses(model, given, opts)
  local o = options.check("top_losses", opts, TOP, 0)
  check_model("top_losses", model)
  if not model.objective then error("top_losses: compile the model first, it needs the loss", 0) end
  local source = feed.source("top_losses", given, nil, { batch_size = o.batch_size }, 0)
  guards.refuse_shuffle("top_losses", source, 0)
  guards.warn_of_variations("top_losses", source)
  local list = score.with_interrupts(worst, model, source, o)
  if #list == 0 then error("top_losses: there is nothing to show: no answer is wrong", 0) end
  local shown, captions, wrong = {}, {}, 0
  for i, answer in ipairs(list) do
    shown[i], captions[i] = enlarged(picture_of(answer, source), o.tile or 160), caption_of(answer)
    wrong = wrong + (is_wrong(answer) and 1 or 0)
  end
  local says = ("the %d largest losses of %d: %d wrong answers"):format(#list, source.n, wrong)
  local figure = pictures.images(shown, { captions = captions, tile = o.tile or 160,
    columns = o.columns or math.min(#list, 4), title = o.title or says })
  figure.says, figure.rows = says, list
  return figure
end

--- The samples with the largest losses, the net's surest mistakes first, in a grid: file, true
--- class, answer with its probability, loss. Wrong answers have a cross (✗).
---@param model giemsa.Model compiled
---@param given giemsa.Source|table a generator with shuffle = false and no variations, or {x, y}
---@param opts? {n?: integer, only_wrong?: boolean, columns?: integer, tile?: any, title?: string,
---  batch_size?: integer} n (12): how many
---@return giemsa.figure figure with rows: a giemsa.Answer each, with its loss
function explain.top_losses(model, given, opts) return at_caller(top_losses, model, given, opts) end

-- ---- Grad-CAM: which layer

local POOLING = { MaxPooling2D = true, AveragePooling2D = true, GlobalAveragePooling2D = true,
  GlobalMaxPooling2D = true, Flatten = true, Reshape = true, UpSampling2D = true,
  ZeroPadding2D = true, Dropout = true }

local function is_convolution(row) return row.class:find("Conv2D", 1, true) ~= nil end

local function is_output(model, row)
  for _, index in ipairs(model.outputs) do if index == row.index then return true end end
  return false
end

-- The last rows that the given one is made from, itself included, by their numbers.
local function ancestors(model, row)
  local seen, waiting = {}, { row.index }
  while #waiting > 0 do
    local index = table.remove(waiting)
    if not seen[index] then
      seen[index] = true
      for _, from in ipairs(model.rows[index].inputs) do waiting[#waiting + 1] = from end
    end
  end
  return seen
end

-- The last convolution that a row is made from, or nil.
local function convolution_before(model, row)
  local seen = ancestors(model, row)
  for index = row.index, 1, -1 do
    if seen[index] and is_convolution(model.rows[index]) then return model.rows[index] end
  end
end

-- The last layer with maps that a convolution made, before they are pooled or flattened.
local function last_maps(model)
  for index = #model.rows, 1, -1 do
    local row = model.rows[index]
    local has_places = #row.shape == 3 and row.shape[1] * row.shape[2] > 1
    if has_places and not POOLING[row.class] and not is_output(model, row)
      and convolution_before(model, row) then
      return row
    end
  end
  error("gradcam: the net has no convolution with a map of more than one place", 0)
end

local function layer_of(model, name)
  if not name then return last_maps(model) end
  local row = model:get_layer(name)
  if #row.shape ~= 3 then
    error(("gradcam: layer '%s' gives no maps (height, width, channels)"):format(row.name), 0)
  end
  if not convolution_before(model, row) then
    error(("gradcam: no convolution stands before layer '%s'"):format(row.name), 0)
  end
  return row
end

-- ---- Grad-CAM: the maps

-- The tape begins at one kernel, so that gradients go back to the maps and no further.
local function record_from(model, convolution)
  local before = {}
  for _, weight in ipairs(model:weights()) do
    before[weight.tensor] = weight.tensor.requires_grad or false
    weight.tensor.requires_grad = false
  end
  local kernel = convolution.weights.kernel
  local gradient = kernel.grad
  kernel.requires_grad, kernel.grad = true, nil
  return setmetatable({}, { __close = function()
    for tensor, value in pairs(before) do tensor.requires_grad = value end
    kernel.grad = gradient
  end })
end

-- Of logits (n, k): 1 at each sample's class; a single logit speaks for class 2, against class 1.
local function signs_of(logits, classes)
  local n, k = #logits, logits.shape[2]
  local rows = {}
  for i = 1, n do
    rows[i] = {}
    for j = 1, k do rows[i][j] = j == classes[i] and 1 or 0 end
    if k == 1 then rows[i][1] = classes[i] == 2 and 1 or -1 end
  end
  return core.from_table(rows)
end

-- A segmentation's logits are those of its pixels' mean.
local function pooled(logits)
  if logits.ndim == 2 then return logits end
  return ops.mean(ops.mean(logits, 3), 2)
end

local function probabilities_of(model, logits)
  local final = model:final_activation()
  return grad.no_grad(function() return final and ops[final](logits) or logits end)
end

local function classes_of(given, probabilities, logits)
  local classes, shown = {}, {}
  local k = math.max(2, logits.shape[2])
  for i = 1, #logits do
    local class, _, all = labels.answer(probabilities, i)
    classes[i] = type(given) == "table" and given[i] or given or class
    if math.type(classes[i]) ~= "integer" or classes[i] < 1 or classes[i] > k then
      error(("gradcam: class must be 1 to %d, got %s"):format(k, tostring(classes[i])), 0)
    end
    shown[i] = all[classes[i]]
  end
  return classes, shown
end

local function largest_of(map) return math.max(core.max(map):item(), 1e-20) end

-- maps (n, h, w) with values 0..1, the classes, their probabilities
local function cam(model, row, x, class)
  local guard <close> = record_from(model, convolution_before(model, row))
  local logits, kept = model:forward(x, { logits = true, keep = { row.name } })
  logits = pooled(logits)
  local classes, shown = classes_of(class, probabilities_of(model, logits), logits)
  local activation = kept[row.name]
  ops.sum(logits * signs_of(logits, classes)):backward()
  local gradient = activation.grad
  local alpha = core.mean(core.mean(gradient, 2, true), 3, true)
  local maps = core.relu(core.sum(core.mul(activation:detach(), alpha), 4))
  for i = 1, #maps do maps[i]:copy_from(core.div(maps[i], largest_of(maps[i]))) end
  return maps, classes, shown
end

-- ---- Grad-CAM: the picture

-- Grey where the net does not look, orange to yellow where it does.
local function overlay(picture, map)
  local height, width = picture.height, picture.width
  local heat = image.from_tensor(map:reshape{ map.shape[1], map.shape[2], 1 }, { range = { 0, 1 } })
    :resize(width, height, "bilinear"):to_tensor()
  heat = core.div(heat, 255):reshape{ height, width, 1 }
  local grey = picture:convert(1):to_tensor():reshape{ height, width, 1 }
  local colour = core.add(core.mul(heat, core.from_table{ 42, 136, 0 }),
    core.from_table{ 213, 94, 0 })
  local strength = core.mul(heat, 0.8)
  local plain = core.mul(grey, core.sub(core.add(core.mul(heat, 0), 1), strength))
  return image.from_tensor(core.add(core.mul(colour, strength), plain))
end

-- What is to be explained: inputs of the net, their pictures, the class and what is known of them.
local function subjects(model, given, o)
  if feed.is_source(given) then
    if not given.batch then error("gradcam: this source gives no batch by its number", 0) end
    local x, y = given:batch(o.batch or 1, { epoch = 1 })
    x = x:rows(1, math.min(o.n or 8, #x))
    local classes, about = {}, {}
    for i = 1, #x do
      local text = labels.text(y, i, given)
      classes[i], about[i] = labels.class_of(y, i, given.class_mode), text and "is " .. text
    end
    return x, look.pictures_of(x, given.preprocessing), classes, about
  end
  if core.is_tensor(given) then
    local x = given.ndim == 3 and given:reshape{ 1, table.unpack(given.shape) } or given
    return x, look.pictures_of(x, model.preprocessing), {}, {}
  end
  local list = type(given) == "table" and given or { given }
  local inputs, shown, about = {}, {}, {}
  for i, one in ipairs(list) do
    about[i] = type(one) == "string" and short_name(one) or nil
    shown[i] = pictures.picture_of(one, "gradcam")
    inputs[i] = data.prepare(shown[i], model.preprocessing)
  end
  local x = core.empty{ #list, table.unpack(inputs[1].shape) }
  for i, input in ipairs(inputs) do x[i]:copy_from(input) end
  return x, shown, {}, about
end

local CAM = { n = "integer", batch = "integer", class = "integer|table", layer = "string",
  columns = "integer", tile = "integer", title = "string" }

local function gradcam(model, given, opts)
  local o = options.check("gradcam", opts, CAM, 0)
  check_model("gradcam", model)
  local row = layer_of(model, o.layer)
  local x, shown, truth, about = subjects(model, given, o)
  local maps, classes, probabilities = grad.with_grad(cam, model, row, x, o.class)
  local side, tiles, captions = o.tile or #shown == 1 and 256 or 128, {}, {}
  for i, picture in ipairs(shown) do
    picture = enlarged(picture, side)
    tiles[2 * i - 1], tiles[2 * i] = picture, overlay(picture, maps[i])
    captions[2 * i - 1] = about[i] or ""
    local is_other = truth[i] and truth[i] ~= classes[i]
    captions[2 * i] = ("%sfor %s, %.0f %%"):format(is_other and "✗ " or "",
      labels.name(classes[i], model.class_names), 100 * probabilities[i])
  end
  local says = ("Where the net looks\nGrad-CAM of layer '%s', %d x %d places"):format(row.name,
    row.shape[1], row.shape[2])
  local figure = pictures.images(tiles, { captions = captions, tile = side,
    title = o.title or says, columns = o.columns or math.min(#tiles, 6) })
  figure.says, figure.maps, figure.classes = (says:gsub("\n", ": ")), maps, classes
  figure.probabilities, figure.layer = probabilities, row.name
  return figure
end

--- Where in a picture the net looks when it answers: Grad-CAM, drawn over the picture. Light places
--- speak for the class; a map of a few places is drawn smoothly, so its edges say nothing.
---
--- Takes a picture or the path of one (prepared as model.preprocessing says), a list of these, an
--- input tensor (h, w, c) or (n, h, w, c), or a generator (its first batch).
---@param model giemsa.Model with a convolution
---@param given giemsa.picture|string|table|giemsa.Tensor|giemsa.Source
---@param opts? {class?: integer|integer[], layer?: string, n?: integer, batch?: integer,
---  columns?: integer, tile?: any, title?: string} class: which one is explained, the net's answer
---  when absent; layer: whose maps, the last convolutional ones when absent; n (8): of a batch
---@return giemsa.figure figure with maps (n, h, w) of 0..1, classes, probabilities, layer
function explain.gradcam(model, given, opts) return at_caller(gradcam, model, given, opts) end

return explain
