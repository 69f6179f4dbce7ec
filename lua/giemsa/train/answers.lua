--- What a net says of each sample, with what is known of it: its number, its file, its label.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local labels = require "giemsa.data.labels"
local ops = require "giemsa.ops"
local plan = require "giemsa.nn.plan"

local answers = {}

---@class giemsa.Answer
---@field index integer the sample's number in the source
---@field file string? relative to the source's folder
---@field path string?
---@field class integer? the true class, from 1
---@field label string? its name
---@field predicted integer the class with the largest probability
---@field predicted_label string
---@field probability number of the predicted class
---@field probabilities number[] of all classes
---@field loss number? of this sample, without L2

--- An answer for each row of a net's output, in the order of the source.
---@param source giemsa.Source
---@param output giemsa.Tensor (n, classes) or (n, 1)
---@return giemsa.Answer[]
function answers.of(source, output)
  if output.ndim ~= 2 then
    error("answers need a net that gives a row of probabilities a sample", 0)
  end
  local list, names = {}, source.class_names
  for i = 1, #output do
    local predicted, probability, probabilities = labels.answer(output, i)
    local class = source.classes and source.classes[i]
      or labels.class_of(source.labels or source.y, i, source.class_mode)
    list[i] = { index = i, file = source.filenames and source.filenames[i],
      path = source.filepaths and source.filepaths[i], class = class,
      label = class and labels.name(class, names),
      predicted = predicted, predicted_label = labels.name(predicted, names),
      probability = probability, probabilities = probabilities }
  end
  return list
end

local function losses_of(model, source, each)
  local own, at = model.objective, 0
  local how = { logits = own.on_logits, poll = true }
  for x, y in source:batches{ epoch = 1, shuffle_batches = false } do
    if core.interrupted() then error(plan.INTERRUPTED, 0) end
    if not y then error("the data have no labels (class_mode?)", 0) end
    local output = model:forward(x, how)
    local shown = own.on_logits and ops[model:final_activation()](output) or output
    for i = 1, #x do
      at = at + 1
      each(at, own.value(y:rows(i, i), output:rows(i, i)):item(), shown:rows(i, i), x, i)
    end
  end
end

--- Calls each(index, loss, output (1, classes), x of the batch, row in the batch) for every sample.
---@param model giemsa.Model compiled
---@param source giemsa.Source that does not shuffle
---@param each function
function answers.losses(model, source, each) grad.no_grad(losses_of, model, source, each) end

return answers
