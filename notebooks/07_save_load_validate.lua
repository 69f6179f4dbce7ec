-- ---
-- title: The model in a second script
-- seed: 42
-- ---

-- %% [markdown] name="goal"
-- # 7. The model in a second script
--
-- **Goal:** load a trained net in a program that knows nothing of the training, and let it label
-- sixteen cells it has never seen.
--
-- This is the step from experiment to tool. At the end there is a picture of sixteen cells
-- (`out/montage.png`), each with the net's verdict: red for parasitized, green for uninfected.
-- Time: a second, or ten when a net has to be trained first.
--
-- A teaching tool, not a medical device.

-- %% name="setup"
local giemsa = require "giemsa"
local data, nn, optim, image = giemsa.data, giemsa.nn, giemsa.optim, giemsa.image
giemsa.random.seed(42)

local MODEL = "out/malaria.safetensors"
local paths = require("datasets").ensure(os.getenv "GIEMSA_DATA")

-- %% [markdown] name="find-model"
-- ## Is there a model?
--
-- Lesson 5 leaves one. If you came here first, the next cell trains a stand-in for three quick
-- epochs, and says so. Three epochs are too few: expect a net that calls almost everything by one
-- name.

-- %% name="find-model-code"
local function quick_model(path)
  print("no model at " .. path .. " yet: training three quick epochs (run lesson 5 for a real one)")
  local varied = data.ImageDataGenerator{ rescale = 1 / 255, rotation_range = 20,
    horizontal_flip = true }
  local flow = varied:flow_from_directory(paths.training, { target_size = { 64, 64 } })
  local net = nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, { reg = 0.0005 })
  net:compile{ loss = "binary_crossentropy", metrics = { "accuracy" },
    optimizer = optim.SGD{ lr = 0.05, momentum = 0.9 } }
  net:fit(flow, { epochs = 3, verbose = 2 })
  net:save(path)
end

local found = io.open(MODEL)
if found then found:close() else quick_model(MODEL) end

-- %% [markdown] name="load"
-- ## Loading
--
-- One line. What comes back is the whole model: architecture, weights, running statistics of every
-- batch normalisation, optimiser, and what belongs to the data: the class names and how a picture
-- becomes an input. Keras's own files leave the last two to your memory, a well-known source of
-- labels the wrong way round.

-- %% name="load-code"
local model = nn.load_model(MODEL)
print("classes:  " .. table.concat(model.class_names, ", "))
print(("trained:  %d epochs, %d updates"):format(model.epoch or 0, model.optimizer.iterations))

-- %% [markdown] name="notice-load"
-- **What to notice.** The count of updates came along. If you went on with `model:fit`, the
-- learning rate would continue where it had decayed to, and the momentum would still be there: a
-- pause, not a new start.
--
-- The file is checked while it is read. Cut off its end or change one byte (make a copy first),
-- and loading says so.
--
-- ## Sixteen cells
--
-- The cells are drawn at random from the testing folder, so that lucky picks show no more often
-- than unlucky ones. Each is read, resized to 64 x 64, scaled to 0..1, and shown to the net. The
-- class with the larger probability is the verdict.
--
-- Here is the trap announced in lesson 5: the course resizes *bilinearly* in this script, while
-- its training took the *nearest* pixel. We keep it; the exercise below asks what it costs.

-- %% name="predict"
local cells = data.list_images(paths.testing)
giemsa.random.shuffle(cells)

local pictures, labels, sure, wrong = {}, {}, {}, 0
for i = 1, math.min(16, #cells) do
  local picture = image.load(cells[i])
  local x = picture:resize(64, 64, "bilinear"):to_tensor() / 255
  local probability = model:predict(x:reshape(1, 64, 64, 3))[1]
  local class = probability:argmax()
  pictures[i], labels[i], sure[i] = picture, model.class_names[class], probability[class]
  if not cells[i]:find(labels[i], 1, true) then
    wrong = wrong + 1
    print(("%s: called %s (%.0f %%)"):format(cells[i]:match("[^/]+/[^/]+$"), labels[i],
      100 * probability[class]))
  end
end
print(("%d of %d as their folder says"):format(#pictures - wrong, #pictures))

-- %% [markdown] name="montage"
-- ## The montage
--
-- Each cell is drawn 128 pixels wide with its verdict in the corner, red for the infected and
-- green for the others, four in a row.

-- %% name="montage-code"
local RED, GREEN = { 255, 0, 0 }, { 0, 255, 0 }
local montage = giemsa.montage.predictions{ pictures = pictures, labels = labels,
  colors = { Parasitized = RED, Uninfected = GREEN } }[1]
montage:save("out/montage.png")
montage:show()
print "made out/montage.png"

-- %% [markdown] name="notice-montage"
-- **What to notice.** Look for the purple dot or ring yourself before you read the label. Where
-- the net is wrong, can you see why: a faint ring, a platelet lying on the cell, a stain crumb, a
-- blurred picture? And is the folder right? In the real set a few labels are wrong too.
--
-- Sixteen cells are a demonstration, not a measurement. With one error in sixteen the true error
-- rate may be anything from nearly nothing to three in ten.

-- %% [markdown] name="exercises"
-- ## Check yourself
--
-- 1. Of which of the sixteen cells (1 to 16, row by row) is the net least sure? `sure` has the
--    probabilities.
-- 2. With which learning rate would the training go on, if you called `fit` now?
--
-- Replace `nil` and run the lesson again. A check that is still open says so and stops nothing.

-- %% name="answers" tags=["solution"]
local least_sure = nil -- a number from 1 to 16
local next_rate = nil

-- %% name="checks" tags=["check"]
local check = giemsa.check
check("least sure", least_sure and sure[least_sure] == math.min(table.unpack(sure)),
  "the smallest of the numbers in `sure`")
check.near("the next learning rate", next_rate, model.optimizer:current_lr(), 1e-4,
  "model.optimizer:current_lr() tells it")

-- %% [markdown] name="try"
-- ## Try it
--
-- 1. Resize with `"nearest"` instead of `"bilinear"`. Do verdicts change? Count it over the whole
--    testing folder.
-- 2. Print the probabilities of all sixteen. Is the net less sure where it is wrong?
-- 3. Show the net a picture that is no cell at all: `giemsa.tensor.uniform{1, 64, 64, 3}`. What
--    does it say, and how sure is it? What would a tool for a clinic have to do about that?
--
-- This was the course. What follows goes deeper: the full data set, larger nets, segmentation,
-- small devices.
