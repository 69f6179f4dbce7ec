--- The nets of the bench, what they are trained on, and the arithmetic they need.
local giemsa = require "giemsa"
local core = require "giemsa.core"
local nn, optim = giemsa.nn, giemsa.optim

local nets = {}

local makers = {
  course = function(r)
    return nn.ResNet.build(r.side, r.side, 3, 2, r.stages, r.filters, { reg = 0.0005 })
  end,
  resnet50 = function(r) return nn.ResNet50{ input_shape = { r.side, r.side, 3 } } end,
  unet = function(r) return nn.UNet{ input_shape = { r.side, r.side, 3 } } end,
}

---@param request {net: "course"|"resnet50"|"unet", side: integer, stages: integer[]?,
---  filters: integer[]?} stages and filters: of the course's
---@return giemsa.Model
function nets.build(request) return makers[request.net](request) end

local losses = { resnet50 = "categorical_crossentropy" }

--- Ready to train.
---@return giemsa.Model
function nets.compiled(request)
  return nets.build(request):compile{ loss = losses[request.net] or "binary_crossentropy",
    optimizer = optim.SGD{ lr = 0.001, momentum = 0.9 } }
end

--- Labels for a batch.
---@return tensor
function nets.labels(request)
  local n, side = request.batch, request.side
  if request.net == "unet" then
    return core.gt(giemsa.tensor.uniform({ n, side, side, 1 }, { seed = 2 }), 0.5)
  end
  local classes = {}
  for i = 1, n do classes[i] = 1 + i % 2 end
  return core.one_hot(giemsa.tensor(classes), request.net == "resnet50" and 1000 or 2)
end

local layers = require "giemsa.nn.layers"

local function macs_of(row)
  local macs = layers.classes[row.class].macs
  return macs and macs(row.config, row.input_shape, row.shape) or 0
end

--- Floating-point operations of the convolutions and dense layers (a multiply-add is two). A
--- training step needs three passes of each layer: forward, the gradient of its weights and that of
--- its input, which the first layer need not have.
---@param model giemsa.Model
---@param batch integer
---@param training boolean
---@return number
function nets.flops(model, batch, training)
  local sum, wanted = 0, {} -- wanted: rows whose gradient somebody below needs
  for i, row in ipairs(model.rows) do
    local macs, needs_dx = macs_of(row), false
    for _, from in ipairs(row.inputs) do needs_dx = needs_dx or wanted[from] end
    wanted[i] = needs_dx or macs > 0
    sum = sum + macs * (training and (needs_dx and 3 or 2) or 1)
  end
  return 2.0 * batch * sum
end

return nets
