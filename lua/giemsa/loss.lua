--- Losses: (y_true, prediction, opts) -> scalar tensor, the mean over the batch. y_true comes
--- first, as in Keras.
--
-- Cross-entropies take probabilities, or with from_logits = true what the net computes before its
-- last softmax or sigmoid. From logits is the better way: the gradient is p - y, without the
-- logarithm of a rounded 0. Probabilities are clipped to [1e-7, 1 - 1e-7] inside logarithms (so no
-- loss is above 16.118), as in Keras.
--
-- Why binary_crossentropy fits the course's net, which ends in a softmax over two classes: with
-- one-hot y and p2 = 1 - p1, the two outputs have the same binary cross-entropy, -log p_true, so
-- their mean is the categorical one, and so is the gradient, p - y. With more than two classes that
-- is no longer so: the mean over n outputs is about 1/n as large, and it rewards each wrong class
-- for being small by itself. Use categorical_crossentropy there.
local core = require "giemsa.core"
local grad = require "giemsa.grad"
local ops = require "giemsa.ops"
local options = require "giemsa.options"
local base = require "giemsa.ops.base"

---@class giemsa.loss
local loss = {}

local function shape_text(t)
  return "(" .. table.concat(t.shape, ", ") .. (t.ndim == 1 and ",)" or ")")
end

local function mismatch(who, y, prediction, level)
  error(("%s: y_true has shape %s, the prediction %s"):format(who, shape_text(y),
    shape_text(prediction)), level + 1)
end

-- y in the shape of the prediction: a column of labels (n) may stand beside predictions (n, 1).
local function fitted(who, y, prediction)
  if not (core.is_tensor(y) and core.is_tensor(prediction)) then
    local got = type(y) .. " and " .. type(prediction)
    error(who .. ": expected two tensors (y_true, prediction), got " .. got, 3)
  end
  local a, b = y.shape, prediction.shape
  if #a + 1 == #b and b[#b] == 1 then
    a[#b] = 1
    if table.concat(a, ",") == table.concat(b, ",") then return core.reshape(y, b) end
  end
  if table.concat(a, ",") ~= table.concat(b, ",") then
    mismatch(who, y, prediction, 3)
  end
  return y
end

-- The scalar of a fused loss of the core, recorded.
local function recorded(who, kind, y, prediction)
  local value = base.result(who, pcall(core.loss, kind, prediction, y))
  local to = grad.target(prediction)
  return grad.op(core.full({}, value), { to }, function(d)
    grad.accumulate(to, core.loss_da(kind, prediction, y, d:item()))
  end, who)
end

local entropy_options = { from_logits = "boolean", activation = "string" }

--- -sum y log p over the classes.
---@param y tensor (..., classes), one-hot rows (or any weights)
---@param prediction tensor (..., classes): probabilities (brought to sum 1), or logits of a softmax
---@param opts {from_logits: boolean?}?
---@return tensor scalar
function loss.categorical_crossentropy(y, prediction, opts)
  opts = options.check("categorical_crossentropy", opts, { from_logits = "boolean" })
  y = fitted("categorical_crossentropy", y, prediction)
  local kind = opts.from_logits and "softmax_categorical" or "categorical"
  return (recorded("categorical_crossentropy", kind, y, prediction))
end

--- The same from class numbers.
---@param y tensor (...) or (..., 1): class numbers from 1
---@param prediction tensor (..., classes)
---@param opts {from_logits: boolean?}?
---@return tensor scalar
function loss.sparse_categorical_crossentropy(y, prediction, opts)
  local who = "sparse_categorical_crossentropy"
  opts = options.check(who, opts, { from_logits = "boolean" })
  if not (core.is_tensor(y) and core.is_tensor(prediction)) or prediction.ndim == 0 then
    error(who .. ": expected two tensors (class numbers, prediction)", 2)
  end
  local classes = prediction.shape[prediction.ndim]
  if y.size * classes ~= prediction.size then
    mismatch(who, y, prediction, 2)
  end
  local one_hot = base.result(who, pcall(core.one_hot, y, classes))
  local kind = opts.from_logits and "softmax_categorical" or "categorical"
  return (recorded(who, kind, core.reshape(one_hot, prediction.shape), prediction))
end

--- The mean over the outputs of -(y log p + (1 - y) log(1 - p)).
---@param y tensor (..., outputs) of 0 and 1, or (...) beside (..., 1)
---@param prediction tensor (..., outputs): probabilities, or logits
---@param opts {from_logits: boolean?, activation: "sigmoid"|"softmax"?}? activation is what the
---  logits are logits of; default "sigmoid"
---@return tensor scalar
function loss.binary_crossentropy(y, prediction, opts)
  opts = options.check("binary_crossentropy", opts, entropy_options)
  y = fitted("binary_crossentropy", y, prediction)
  local kind = "binary"
  if opts.from_logits then
    local activation = opts.activation or "sigmoid"
    options.one_of("binary_crossentropy", "activation", activation, { "sigmoid", "softmax" })
    kind = activation .. "_binary"
  end
  return (recorded("binary_crossentropy", kind, y, prediction))
end

--- Mean squared error.
---@param y tensor
---@param prediction tensor the same shape
---@return tensor scalar
function loss.mse(y, prediction)
  return (recorded("mse", "squared", fitted("mse", y, prediction), prediction))
end

--- Soft Dice loss of masks, 1 - (2 sum(y p) + smooth) / (sum(y) + sum(p) + smooth), sums over the
--- whole batch: small when the two areas overlap, however small they are (a mean over pixels would
--- be content with "nothing anywhere").
---@param y tensor masks of 0 and 1
---@param prediction tensor the same shape: probabilities, or logits of a sigmoid
---@param opts {from_logits: boolean?, smooth: number?}? default smooth 1
---@return tensor scalar
function loss.dice(y, prediction, opts)
  opts = options.check("dice", opts, { from_logits = "boolean", smooth = "number" })
  y = fitted("dice", y, prediction)
  local p, smooth = opts.from_logits and ops.sigmoid(prediction) or prediction, opts.smooth or 1
  local over = 2 * core.sum(core.mul(y, p)):item() + smooth
  local under = core.sum(y):item() + core.sum(p):item() + smooth
  local to = grad.target(p)
  return grad.op(core.full({}, 1 - over / under), { to }, function(d)
    local scale = d:item()
    grad.accumulate(to, core.add(core.mul(y, -2 * scale / under), scale * over / under ^ 2))
  end, "dice")
end

return loss
