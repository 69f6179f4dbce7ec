-- ---
-- title: The verdict
-- seed: 42
-- ---

-- %% [markdown] name="goal"
-- # 6. The verdict
--
-- **Goal:** judge the trained net on pictures it has never seen, in the words a clinic needs, and
-- know how far each number can be trusted.
--
-- At the end there are a report (`out/report.txt`) and seven figures (`out/06_*.png`): confusion
-- matrix, intervals, ROC curve, the probabilities by class, the worst mistakes, where the net
-- looked, and the course's four curves once more. Time: a second, or five when a net has to be
-- trained first.
--
-- A teaching tool, not a medical device.

-- %% name="setup"
local giemsa = require "giemsa"
local data, metrics, nn, optim = giemsa.data, giemsa.metrics, giemsa.nn, giemsa.optim
local plot = giemsa.plot
giemsa.random.seed(42)

local MODEL = "out/malaria.safetensors"
local paths = require("datasets").ensure(os.getenv "GIEMSA_DATA")

-- %% [markdown] name="find-model"
-- ## The net
--
-- Lesson 5 leaves one. If you came here first, the next cell trains a stand-in for three quick
-- epochs, and says so. Everything below works with it, and most of it will look bad, which is worth
-- seeing once.

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

local model = nn.load_model(MODEL)
print(("a net of %d epochs, for %s"):format(model.epoch, table.concat(model.class_names, ", ")))

local train_gen = data.ImageDataGenerator{}:flow_from_directory(paths.training, { verbose = false })
local its_own = model.data_sha256 == train_gen:data_sha256()
print("trained on the training images next to these test images: " .. (its_own and "yes" or "NO"))

-- %% [markdown] name="notice-model"
-- **What to notice.** The model knows a fingerprint of the images it was trained on. Were the last
-- answer NO, then it was trained on another set, in which today's test pictures may have been
-- *training* pictures. No score would show it; it would only be too good.
--
-- ## The judge does not shuffle
--
-- The test generator only rescales: no turning, no shifting. And `shuffle = false` is not a detail.
-- `predict` gives one row a picture in the order in which they came; `test_gen.classes` lists the
-- true classes in the order of the files. Only unshuffled are the two the same order. With Keras, a
-- shuffling generator here gives a perfectly good net the score of a coin, silently, and people
-- have spent days on it. giemsa refuses.

-- %% name="generators"
local plain = data.ImageDataGenerator{ rescale = 1 / 255 }
local function judging(folder, batch_size)
  return plain:flow_from_directory(folder, { target_size = { 64, 64 }, color_mode = "rgb",
    class_mode = "categorical", shuffle = false, batch_size = batch_size or 32, verbose = false })
end
local test_gen = judging(paths.testing)

local shuffling = plain:flow_from_directory(paths.testing,
  { target_size = { 64, 64 }, shuffle = true, verbose = false })
local ok, why = pcall(model.predict, model, shuffling)
print("a shuffling generator: " .. (ok and "predicted" or why))

-- %% [markdown] name="predict"
-- ## Predicting, and a batch too many
--
-- The course asks for `n // 32 + 1` steps, to get the last, smaller batch too. That is right for
-- 100 pictures: three whole batches and a rest of four. It is wrong whenever the batch size divides
-- n: then there is no rest, and the last step is one too many. Old Keras began again at the first
-- picture and returned rows that nobody asked for; the report then failed with a message about
-- lengths. giemsa gives n rows, always.

-- %% name="predict-code"
for _, batch_size in ipairs{ 32, 25 } do
  local steps = test_gen.n // batch_size + 1
  local rows = #model:predict(judging(paths.testing, batch_size), { steps = steps })
  print(("batches of %d: %d steps asked for, %d rows for %d pictures"):format(batch_size, steps,
    rows, test_gen.n))
end

local probabilities = model:predict(test_gen) -- one row a picture: P(Parasitized), P(Uninfected)
local predicted = probabilities:argmax(2)     -- the larger of the two: 1 or 2

local mixed_up = giemsa.random.sample(test_gen.classes, test_gen.n) -- the same, in another order
print(("accuracy: %.2f; against the classes in a wrong order: %.2f"):format(
  metrics.accuracy_score(test_gen.classes, predicted), metrics.accuracy_score(mixed_up, predicted)))

-- %% [markdown] name="report"
-- ## The report

-- %% name="report-code"
local names = test_gen.class_names
local report = metrics.classification_report(test_gen.classes, predicted, { target_names = names })
print(report)

local file = assert(io.open("out/report.txt", "w"))
file:write(report)
file:close()
print "made out/report.txt"

-- %% [markdown] name="notice-report"
-- **Line by line.**
--
-- - **precision** of a class: of the cells *called* so, the share that is so. Read down a column of
--   answers.
-- - **recall**: of the cells that *are* so, the share that was found. Read along a row of truths.
-- - **f1-score**: the harmonic mean of the two; near the smaller one. It rewards balance and says
--   little else.
-- - **support**: how many cells of the class there were. Every number in the row rests on these
--   few.
-- - **accuracy**: the share of all cells called rightly.
-- - **macro avg** treats classes alike, **weighted avg** counts each by its support. With classes
--   of about equal size they agree; when they do not, a small class is hiding.
--
-- The report does not know that one class is an illness. For it the two mistakes are alike. For a
-- patient they are not.

-- %% name="confusion"
local matrix = metrics.confusion_matrix(test_gen.classes, predicted, { target_names = names })
print(matrix)
plot.confusion(matrix):save("out/06_confusion.png"):show()

-- %% [markdown] name="notice-confusion"
-- **What to notice.** Rows are the truth, columns the answers. On the diagonal stand the right
-- ones. The corner at the top right are infected cells called healthy: **missed**. The corner at
-- the bottom left are healthy cells called infected: **false alarms**. The whole report is made of
-- these four numbers. Which corner would you rather have empty?
--
-- ## Which class is positive?
--
-- In medicine *positive* means: the thing looked for is there. Here that is Parasitized, which
-- happens to be class 1 (Keras's 0: there many a script takes class 1, *Uninfected*, for positive,
-- and reports the two numbers exchanged). Then
--
-- - **sensitivity** is the share of the infected that is found: the recall of Parasitized;
-- - **specificity** is the share of the healthy that is left in peace: the recall of Uninfected.
--
-- And each comes with an interval. A hundred cells are a sample; another hundred would have given
-- another number. Wilson's interval says which true values are compatible with what we saw: 95 of
-- 100 such intervals contain the truth.

-- %% name="clinic"
local POSITIVE = test_gen.class_indices.Parasitized or 1
local function clinic(calls, prevalence)
  return metrics.sensitivity_specificity(test_gen.classes, calls,
    { positive = POSITIVE, target_names = names, prevalence = prevalence })
end
local verdict = clinic(predicted, { 0.5, 0.1, 0.01 })
print(verdict)

local shares = { labels = { "sensitivity", "specificity", "accuracy" }, values = {}, errors = {},
  format = "%.0f", yrange = { 0, 112 }, ylabel = "%", width = 560,
  title = ("%d test cells: shares and their 95 %% intervals"):format(test_gen.n) }
for i, name in ipairs(shares.labels) do
  local share = verdict[name]
  shares.values[i], shares.errors[i] = 100 * share.value, { 100 * share.low, 100 * share.high }
end
plot.bars(shares):save("out/06_intervals.png"):show()

-- %% [markdown] name="notice-clinic"
-- **What to notice.**
--
-- - With a hundred cells the intervals are more than ten points wide. A net of 90 % and one of 95 %
--   cannot be told apart by this test.
-- - Sensitivity and specificity belong to the net. What a *positive answer is worth* (PPV) belongs
--   to the village too: with the same net it falls as the illness gets rarer. The precision in the
--   report is the PPV of a place where about every second cell is infected. There is no such place.
-- - The negative answer gets better as the illness gets rarer, for a trivial reason: always saying
--   "healthy" would be right 99 times of 100.
--
-- How many pictures would it take? The interval of a net that is right in 93 % of them:

-- %% name="how-many"
for _, n in ipairs{ 40, 100, 500, 5512 } do -- 5512: the test images of the full data set
  local low, high = metrics.wilson(math.floor(0.93 * n + 0.5), n)
  print(("%5d pictures: %.1f %% to %.1f %%"):format(n, 100 * low, 100 * high))
end

-- %% [markdown] name="people"
-- ## Cells are not people
--
-- Wilson's interval takes the cells for independent witnesses. But they come from a few people, and
-- all cells of one person share the stain, the lamp and the lens: if one slide is odd, all its
-- cells are. We can let the data say what this costs. Draw as many *people* as there are, with
-- replacement, take all their cells, and score; a thousand times over. The middle 95 % of the
-- scores are an interval over people.
--
-- The second line of the result names a worse thing, *leakage*: people whose other cells the net
-- was trained on (lesson 2).

-- %% name="people-code"
local cells_of, people = {}, {}
for i, name in ipairs(test_gen.filenames) do
  local who = data.patient_of(name) or name
  if not cells_of[who] then cells_of[who], people[#people + 1] = {}, who end
  table.insert(cells_of[who], predicted[i] == test_gen.classes[i])
end

local scores = {}
for draw = 1, 1000 do
  local right, all = 0, 0
  for _ = 1, #people do
    for _, hit in ipairs(cells_of[giemsa.random.choice(people)]) do
      right, all = right + (hit and 1 or 0), all + 1
    end
  end
  scores[draw] = right / all
end
table.sort(scores)
local shared = data.leakage(data.list_images(paths.training), test_gen.filenames)
print(("%d cells of %d people; accuracy with its interval over people: %.2f (%.2f to %.2f)"):format(
  test_gen.n, #people, verdict.accuracy.value, scores[25], scores[975]))
print(("%d of the %d people are in the training images too"):format(#shared, #people))

-- %% [markdown] name="notice-people"
-- **What to notice.** Where this interval is wider than Wilson's (it is on the real cells), people
-- differ, and the hundred cells are worth fewer than a hundred. With two or three cells a person it
-- hardly shows; with hundreds of cells from a few people it would.
--
-- And the course splits *cells* at random, so most people in the test are known from the training.
-- Our score answers the question "how well does the net judge another cell of people it knows?" A
-- clinic asks about people it does not know. Only a split by patient answers that, and its number
-- is usually lower. Whenever you read a score, look which of the two it is.
--
-- ## The threshold is a choice
--
-- `argmax` calls a cell infected when its probability is above one half. Nobody has to. A
-- *screening* must not miss anyone: it lowers the threshold and pays with false alarms, which a
-- second test will sort out. A *confirming* test, before a treatment with side effects, must not
-- accuse anyone wrongly: it raises the threshold and misses some. Each threshold is one point; all
-- of them together are the **ROC curve**. The area under it (AUC) is the chance that a random
-- infected cell gets a higher probability than a random healthy one: 0.5 is guessing, 1 perfect.
--
-- A threshold is learned, so it must not be learned from the test. We take both from the validation
-- images. The screening may accuse three healthy cells in ten, and finds what it can at that price.
-- The confirming test may miss three infected cells in ten, and accuses as few as it can.

-- %% name="thresholds"
local function scores_of(p) return p:slice(2, POSITIVE, POSITIVE):reshape(-1) end -- P(infected)

local val_gen = judging(paths.validation)
local fpr, tpr, thresholds = metrics.roc_curve(val_gen.classes, scores_of(model:predict(val_gen)),
  { positive = POSITIVE, drop_intermediate = false })

-- Along the curve thresholds fall: at first nothing is called infected, at the end everything is.
local screening, confirming
for i = 2, #thresholds do
  if fpr[i] <= 0.3 then screening = thresholds[i] end -- the lowest that accuses three in ten
  if tpr[i] >= 0.7 then confirming = confirming or thresholds[i] end -- the highest that finds seven
end
local rules = {
  { name = "screening", threshold = screening or thresholds[2], color = "orange" },
  { name = "one half", threshold = 0.5, color = "black" },
  { name = "confirming", threshold = confirming, color = "green" },
}

-- %% name="roc"
local scores_test = scores_of(probabilities)
local auc, low, high = metrics.auc_interval(test_gen.classes, scores_test, { positive = POSITIVE })
print(("AUC %.3f (95 %% interval %.3f to %.3f)"):format(auc, low or auc, high or auc))

local x, y = metrics.roc_curve(test_gen.classes, scores_test, { positive = POSITIVE })
local curves = {
  { x = x, y = y, title = ("the net, AUC %.3f"):format(auc), width = 2.4 },
  { x = { 0, 1 }, y = { 0, 1 }, title = "guessing", color = "grey", dash = true, width = 1 },
  title = "ROC curve, and three ways to use it", xlabel = "1 - specificity: false alarms",
  ylabel = "sensitivity: found", xrange = { -0.02, 1 }, yrange = { 0, 1.02 },
  legend = "bottom right", width = 560, height = 560,
}

-- %% name="rules"
local function text(s)
  return ("%5.1f %% (%4.1f to %5.1f)"):format(100 * s.value, 100 * s.low, 100 * s.high)
end

print "             threshold   sensitivity              specificity"
for _, rule in ipairs(rules) do
  local calls = {}
  for i = 1, test_gen.n do
    calls[i] = scores_test[i] >= rule.threshold and POSITIVE or 3 - POSITIVE
  end
  local v = clinic(calls)
  print(("%-12s %9.4f   %s   %s"):format(rule.name, rule.threshold, text(v.sensitivity),
    text(v.specificity)))
  table.insert(curves, { x = { 1 - v.specificity.value }, y = { v.sensitivity.value },
    title = rule.name, color = rule.color, style = "points", size = 1.4 })
end
plot.lines(curves):save("out/06_roc.png"):show()

-- %% [markdown] name="notice-roc"
-- **What to notice.** The net is the same in all three lines; only the use differs. And what was
-- set on 40 validation images holds here only roughly: three false alarms in ten there may be two
-- or four here. A threshold for a clinic is set on hundreds of images of that clinic. (With the
-- stand-in of three epochs the two thresholds may even change places: a net that hardly ranks has
-- none that help.)
--
-- The curve says nothing about *where* the thresholds lie. A net may rank the cells well and yet
-- call everything infected at one half, as happens after few epochs, while its averages are still
-- warming up. Then the AUC is good and the accuracy bad, and a threshold repairs it.
--
-- ## Does it mean what it says?
--
-- The net gives a probability. When it says 99 %, is it right 99 times of 100?

-- %% name="histogram"
local by_class = { {}, {} }
for i, class in ipairs(test_gen.classes) do table.insert(by_class[class], scores_test[i]) end
plot.histogram{ bins = 20, range = { 0, 1 }, title = "What the net says of the test cells",
  { values = by_class[POSITIVE], title = names[POSITIVE], color = "vermillion" },
  { values = by_class[3 - POSITIVE], title = names[3 - POSITIVE], color = "green" },
  xlabel = "its probability of " .. names[POSITIVE], ylabel = "cells", legend = "top center" }
  :save("out/06_scores.png"):show()

-- %% name="calibration"
local bins = { { to = 0.8 }, { to = 0.95 }, { to = 0.99 }, { to = 1 } }
for _, bin in ipairs(bins) do bin.n, bin.said, bin.right = 0, 0, 0 end
for i = 1, test_gen.n do
  local sure, b = probabilities[i]:max():item(), 1
  while sure > bins[b].to and b < #bins do b = b + 1 end
  local bin = bins[b]
  bin.n, bin.said = bin.n + 1, bin.said + sure
  if predicted[i] == test_gen.classes[i] then bin.right = bin.right + 1 end
end

print "sure by      cells    it says   it is right in (95 % interval)"
for _, bin in ipairs(bins) do
  local line = ("up to %3.0f %%  %5d"):format(100 * bin.to, bin.n)
  if bin.n > 0 then
    local low, high = metrics.wilson(bin.right, bin.n)
    line = line .. ("   %5.1f %%   %5.1f %% (%.0f to %.0f)"):format(100 * bin.said / bin.n,
      100 * bin.right / bin.n, 100 * low, 100 * high)
  end
  print(line)
end

-- %% [markdown] name="notice-calibration"
-- **What to notice.** In the picture, look where the wrong answers stand: in the middle, where the
-- net hesitates, or at the ends, where it is sure? In the table, compare what it says with what it
-- is. Nets of this kind are often surer than they are right. Where *it says* lies above the
-- interval, take the probability for a rank and not for a probability. With few cells in a line the
-- interval is so wide that nothing follows: that, too, is a result.
--
-- ## The worst mistakes
--
-- The most useful picture of an evaluation. We sort the cells by their loss, minus the logarithm of
-- the probability given to the true class, and look at the top: the cells where the net was most
-- sure and most wrong.

-- %% name="worst"
local worst = giemsa.top_losses(model, test_gen, { n = 12 })
worst:save("out/06_worst.png"):show()
for _, row in ipairs(worst.rows) do print(("loss %5.2f  %s"):format(row.loss, row.file)) end

-- %% [markdown] name="notice-worst"
-- **What to notice.** Orange captions are wrong answers: "is Parasitized, said Uninfected" is a
-- missed parasite, the other way round a false alarm. Black ones were right, barely. Look before
-- you explain. A faint or tiny ring that 64 pixels cannot hold? A platelet or a crumb of stain on
-- a healthy cell? A blurred picture? And sometimes the folder is wrong and the net is right: among
-- the worst losses of any data set there are wrong labels, of the real cells as well as of the
-- synthetic ones (`data/synthetic_cells/cells.csv` says what is really on each of those). An
-- expert finds them fastest here. And read the file names: is one patient there several times?
-- Then the net has trouble with a slide, not with cells.
--
-- ## Where does it look?
--
-- One can ask a net which places of a picture spoke for its answer. **Grad-CAM** takes the maps of
-- the last convolution and the gradient of the answer with respect to them: maps that would raise
-- it count, others do not. On the right, yellow is where the answer comes from.

-- %% name="where"
local puzzling = {}
for i = 1, math.min(6, #worst.rows) do puzzling[i] = worst.rows[i].path end
giemsa.gradcam(model, puzzling, { columns = 4 }):save("out/06_where.png"):show()

-- %% [markdown] name="notice-where"
-- **What to notice.** Where a parasite was missed, did the net look at it and take it for something
-- else, or did it not look there at all? Where it gave a false alarm, what did it take for a
-- parasite? A net that looks at the rim, the background or a corner has learned something else than
-- you meant, however good its score. Do not read too much into the edges: the map has 8 x 8 places
-- and is drawn smoothly, and each place sees a wide part of the cell (lesson 4).
--
-- Do not delete what you dislike from the test. Whoever cleans the test by looking at the net's
-- mistakes lets the net write its own report.
--
-- ## One run is one run
--
-- Train the same recipe with ten seeds: other first weights, another order of the pictures. The
-- test accuracies spread over several points; on the real sample of this course, runs from 90 % to
-- 94 % are all the same recipe. That comes *on top of* the intervals above. So a net that is two
-- points better in one run, on a hundred pictures, is not known to be better at all. Compare means
-- over seeds, on more pictures, and on the same ones for both.
--
-- Last, the course's picture once more. The history was saved with the model, so a program that
-- trained nothing can draw it.

-- %% name="history"
plot.training(model.history, { title = "Training Loss and Accuracy on Dataset" })
  :save("out/06_history.png"):show()

-- %% [markdown] name="exercises"
-- ## Check yourself
--
-- 1. How many parasitized test cells did the net miss? (It is one of the four numbers.)
-- 2. A "test" calls every cell infected. What are its sensitivity and its specificity?
-- 3. A net has sensitivity and specificity 0.95 each; one cell in a hundred is infected. What is a
--    positive answer worth: its PPV? (Of 10,000 cells, how many are called infected, and how many
--    of these are?)
--
-- Replace `nil` and run the lesson again. A check that is still open says so and stops nothing.

-- %% name="answers" tags=["solution"]
local missed = nil
local always_infected = nil -- { sensitivity, specificity }
local worth = nil -- from 0 to 1

-- %% name="checks" tags=["check"]
local check = giemsa.check
check("missed parasites", missed and missed == matrix[POSITIVE][3 - POSITIVE],
  "rows are the truth, columns the answers")
check("always infected", always_infected and always_infected[1] == 1 and always_infected[2] == 0,
  "it finds all of the infected, and leaves none of the healthy in peace")
check.near("the worth of a positive answer", worth, 0.161, 0.005,
  "95 of the 100 infected, and 5 % of the 9,900 healthy")

-- %% [markdown] name="try"
-- ## Try it
--
-- 1. The doctor says: "a missed infection is ten times as bad as a false alarm". For each threshold
--    from 0.01 to 0.99 compute 10 x missed + false alarms on the *validation* images, and take the
--    best. Where does it lie, and what does it do on the test?
-- 2. Let the net look four times: predict with generators that turn and mirror (`rotation_range =
--    20, horizontal_flip = true`, and `shuffle = false, seed = 1` to 4), and average the four
--    probabilities. Does the AUC rise? By more than its interval is wide?
-- 3. Make a split by patient (lesson 2), train on it with lesson 5 (`GIEMSA_DATA=...`), and run
--    this lesson again. Which numbers fall?
--
-- Next: `07_save_load_validate`, the model in a program of its own.
