-- ---
-- title: Training the net
-- seed: 42
-- ---

-- %% [markdown] name="goal"
-- # 5. Training the net
--
-- **Goal:** train the course's ResNet on stained cells, understand every line of the recipe, and
-- read the curves it leaves behind.
--
-- At the end there are a trained model (`out/malaria.safetensors`), its history, and the picture
-- of four curves (`out/plot.png`). Time: about twenty seconds of training for 25 epochs on two
-- cores, and a few for two tests before; with the full set of 27,558 cells, about twenty minutes.
--
-- A teaching tool, not a medical device.

-- %% name="setup"
local giemsa = require "giemsa"
local data, nn, optim, plot = giemsa.data, giemsa.nn, giemsa.optim, giemsa.plot

giemsa.random.seed(42)

local NUM_EPOCHS = 25  -- passes over the training images
local INIT_LR = 1e-1   -- the first learning rate
local BS = 32          -- images a step

-- %% [markdown] name="data"
-- ## The images
--
-- Lesson 2 split the cells into three folders. A net sees the *training* images again and again,
-- is watched on the *validation* images after every epoch, and is judged once, at the very end, on
-- the *testing* images. Whoever looks at the test result and then changes the recipe has turned
-- the test into validation.
--
-- Without a data set of your own, this lesson makes one of synthetic cells. `GIEMSA_DATA=path` in
-- the environment uses real ones.

-- %% name="paths"
local paths = require("datasets").ensure(os.getenv "GIEMSA_DATA")
print("cells from " .. paths.dir)

-- %% [markdown] name="generators"
-- ## Two generators
--
-- The training images are varied anew each time they are used (lesson 3): turned by up to 20
-- degrees, shifted, zoomed, sheared, mirrored. The validation and testing images are only scaled
-- to 0..1, since a judge should not shake the picture.
--
-- Two traps hide in this cell. `shear_range = 0.05` is an angle in *degrees*, that is, next to
-- nothing; the course has it, so we keep it. And the generator resizes by taking the *nearest*
-- pixel, which throws most pixels away; the prediction script of lesson 7 resizes *bilinearly*.
-- The net is thus asked about pictures slightly different from those it learned from.

-- %% name="generators-code"
local train_aug = data.ImageDataGenerator{
  rescale = 1 / 255, rotation_range = 20, zoom_range = 0.05,
  width_shift_range = 0.05, height_shift_range = 0.05,
  shear_range = 0.05, horizontal_flip = true, fill_mode = "nearest",
}
local val_aug = data.ImageDataGenerator{ rescale = 1 / 255 }

local train_gen = train_aug:flow_from_directory(paths.training,
  { class_mode = "categorical", target_size = { 64, 64 }, color_mode = "rgb", shuffle = true,
    batch_size = BS })
local val_gen = val_aug:flow_from_directory(paths.validation,
  { class_mode = "categorical", target_size = { 64, 64 }, color_mode = "rgb", shuffle = false,
    batch_size = BS })

-- %% [markdown] name="notice-classes"
-- **What to notice.** The classes are the folder names in alphabetical order: Parasitized is class
-- 1, Uninfected class 2. Lua counts from 1, and so does giemsa wherever a person counts. Keras
-- counts from 0; in files giemsa keeps Keras's numbers.
--
-- Numbers in a table can be wrong for a long time before anybody sees it. So look at a batch
-- before you train on it, always:

-- %% name="batch"
giemsa.show_batch(train_gen):save("out/05_batch.png"):show()

-- %% [markdown] name="notice-batch"
-- **What to notice.** The labels fit the pictures. The cells are turned and mirrored, and still
-- believable. The numbers are between 0 and 1, so the rescale is there. These are the three things
-- that go wrong most often, and none of them raises an error.
--
-- ## The net and its teacher
--
-- The ResNet of lesson 4: three stages of 2, 2 and 3 modules, 294,766 numbers to learn. Three
-- things make up the teacher:
--
-- - **The loss** says how wrong an answer is. For one cell it is minus the logarithm of the
--   probability given to the true class: 0 when sure and right, 0.69 for fifty-fifty, without
--   bound when sure and wrong.
-- - **The optimiser** changes the weights against the gradient of that loss. Momentum 0.9 keeps
--   nine tenths of the last direction, so that single odd batches matter less.
-- - **The learning rate** starts high, at 0.1, and falls as 1 / (1 + decay x updates): large steps
--   first, small ones later.

-- %% name="compile"
local model = nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, { reg = 0.0005 })
model:compile{
  loss = "binary_crossentropy",
  optimizer = optim.SGD{ lr = INIT_LR, momentum = 0.9, decay = INIT_LR / NUM_EPOCHS },
  metrics = { "accuracy" },
}
print(("%d parameters"):format((model:count_params())))

-- %% [markdown] name="first-test"
-- ## Can it learn at all?
--
-- Before twenty seconds, or twenty hours, of training: can the net learn *one* batch by heart? A
-- net with enough weights must. If it cannot, something is broken (labels that do not belong to
-- the pictures, a learning rate a hundred times off, a frozen layer), and no amount of data will
-- mend it. `overfit_one` shows the same 32 pictures again and again, and leaves the net as it was.

-- %% name="overfit"
giemsa.overfit_one(model, train_gen, { steps = 60, verbose = 0 }):save("out/05_overfit.png"):show()

-- %% [markdown] name="rate"
-- ## How fast may it learn?
--
-- The learning rate is the one number that matters most. Too small, and nothing happens; too
-- large, and the loss runs away. `lr_find` raises it from batch to batch, from next to nothing up
-- to 10, and watches the loss. This, too, leaves the net as it was.

-- %% name="rate-code"
giemsa.lr_find(model, train_gen, { steps = 60, verbose = 0 }):save("out/05_rate.png"):show()

-- %% [markdown] name="notice-rate"
-- **What to notice.** On the left the grey line only shakes: batches differ. Then the curve falls,
-- and soon after it shoots up. A good first rate is where it falls fastest; somewhat before it
-- shoots up is the limit. The course begins with 0.1, at that limit or beyond: its first epochs
-- are wild for that reason, and the decay calms them. We keep it, to get the course's numbers;
-- exercise 1 tries the other.
--
-- ## Training
--
-- 360 images make 11 batches of 32 and one of 8, and `steps_per_epoch = n // BS` asks for 11 of
-- these 12. Which? Left alone, `fit` shuffles the *order of the batches* too, as Keras does, so
-- the batch of 8 comes along in most epochs, at any place. Batch normalisation then judges by the
-- mean and variance of 8 images, and the weights take a full step on its word. `shuffle = false`
-- leaves the batches in order: whole ones only, and the 8 images left over sit out (the generator
-- still shuffles the *images*, so they are others every time).
--
-- `validation_steps` leaves out the rest of the validation images in the same way, and there it is
-- a trap: 40 images and one step score only the *first* 32. That is why the validation accuracy of
-- the course moves in thirty-seconds. We keep it, to get the course's numbers; leave the option
-- out and all 40 count.
--
-- Press Ctrl-C whenever you like: `fit` returns the history so far and the model stays usable. And
-- with `checkpoint` all of the training is written down after every epoch: weights, momentum,
-- position in the data, random numbers. Was it interrupted, or did the power fail? Set `resume =
-- true` and run the lesson again: it goes on from there, to the very same numbers as if nothing
-- had happened.

-- %% name="fit-code"
local H = model:fit(train_gen, {
  steps_per_epoch = math.max(1, train_gen.n // BS),
  shuffle = false,
  validation_data = val_gen,
  validation_steps = math.max(1, val_gen.n // BS),
  epochs = NUM_EPOCHS,
  checkpoint = "out/malaria.ckpt", resume = false,
})

-- %% [markdown] name="notice-fit"
-- **What to notice.**
--
-- - Before the first epoch giemsa warned: some patients have cells in training *and* in
--   validation, so the validation is too kind (lesson 2). It is the course's split, and we keep
--   it; now you know what its numbers are worth.
-- - The loss does not end at 0. About 0.15 of it is not about cells at all: it is the L2 term,
--   which charges a little for large weights. Only what is above it can be learned away.
-- - The first values of `val_loss` may be huge while `loss` is harmless. Nothing is broken. In
--   training, batch normalisation uses the mean and variance of the batch; in validation it uses a
--   running average of them that starts at 0 and 1 and after 11 steps still remembers a third of
--   that start (0.9 to the power of 11 is 0.31). Give it a few epochs.
-- - Later, too, `val_loss` may leap for one epoch while `loss` goes on falling. The learning rate
--   still is 0.05 at the end and the weights still move, but the running averages follow them some
--   ten steps behind; after an unlucky step they do not fit the net. One of our runs on real cells
--   (with the batches of 8 let in) knew 91 % of its training images after epoch 24 but 50 % of the
--   test images; normalised by their own mean and variance it knew 88 % of them, and one epoch
--   later 92 % as usual. A training may well end on such an epoch: look at the last few, not at
--   the last one.
-- - The validation accuracy jumps by several points from one epoch to the next. Each of 32 images
--   is worth three points. Do not read a story into it.
--
-- ## The curves

-- %% name="curves"
plot.training(H, { title = "Training Loss and Accuracy on Dataset" }):save("out/plot.png"):show()

-- %% [markdown] name="notice-curves"
-- **What to notice.** Four lines: training and validation, loss and accuracy. Training curves that
-- go on improving while the validation curves turn back mean *overfitting*: the net has begun to
-- learn these pictures by heart. Augmentation is there to delay that. When both are poor, the net
-- is too small or the teacher too timid.
--
-- ## Keep it
--
-- The file holds the weights and all that is needed to use or go on training the net: its
-- architecture, the class names, how pictures must be prepared, the optimiser's momentum and its
-- count of updates, and the history.

-- %% name="save"
model:save("out/malaria.safetensors")
print "saved out/malaria.safetensors"

-- %% [markdown] name="exercises"
-- ## Check yourself
--
-- 1. How many updates did the optimiser make in all?
-- 2. What is the learning rate after the last of them? (`INIT_LR / (1 + decay x updates)`; the
--    decay stands in `compile`.)
-- 3. How much of the last training loss is the L2 term? Take it from the sentence above, or ask
--    `model:penalty():item()`.
--
-- Replace `nil` and run the lesson again. A check that is still open says so and stops nothing.

-- %% name="answers" tags=["solution"]
local updates = nil
local last_rate = nil
local l2_term = nil

-- %% name="checks" tags=["check"]
local check = giemsa.check
check("updates", updates and updates == model.optimizer.iterations, "steps in an epoch x epochs")
check.near("last learning rate", last_rate, model.optimizer:current_lr(), 1e-3,
  "0.1 / (1 + 0.1 / 25 x updates)")
check.near("L2 term", l2_term, model:penalty():item(), 0.05,
  "model:penalty():item() adds it up")

-- %% [markdown] name="try"
-- ## Try it
--
-- 1. Set `INIT_LR = 1e-3`. How far does the net come in 25 epochs? And with `INIT_LR = 1`?
-- 2. Train without augmentation (use `val_aug` for the training images too). Compare the gap
--    between the curves.
-- 3. Run the lesson twice: every number is the same. Now change the seed: how much does the last
--    validation accuracy move? Keep that number in mind whenever somebody compares two nets by one
--    run each.
--
-- Next: `06_evaluate_and_plot`, the verdict on the test images.
