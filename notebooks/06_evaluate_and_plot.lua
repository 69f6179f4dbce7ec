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

-- %% [markdown] name="goal-zh" lang="zh"
-- # 6. 评判
--
-- **目标**：用训练好的网络从未见过的图像来评判它，说出临床需要的话，并且知道每个数值可以信到什么程
-- 度。
--
-- 学完之后会得到一份报告（`out/report.txt`）和七幅图（`out/06_*.png`）：混淆矩阵、置信区间、ROC 曲
-- 线、各类别的概率、最严重的错误、网络看的位置，以及课程的四条曲线。用时：一秒；如果要先训练一个网
-- 络，则为五秒。
--
-- 本课程是教学工具，不是医疗器械。

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

-- %% [markdown] name="find-model-zh" lang="zh"
-- ## 网络
--
-- 第 5 课会留下一个。如果你直接来到这里，下一个单元会先快速训练三轮，做出一个替身，并且说明这一点。
-- 下面的内容用它都能运行，只是结果大多很难看，而这也值得见识一次。

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

-- %% [markdown] name="notice-model-zh" lang="zh"
-- **观察要点**：模型记得训练图像的指纹。如果最后的回答是 NO，它就是用另一套图像训练的，今天的测试图
-- 像在那一套里可能正是**训练**图像。任何得分都不会暴露这一点，只会好得出奇。
--
-- ## 评判时不打乱顺序
--
-- 测试生成器只缩放像素值：不旋转，不平移。`shuffle = false` 也绝非细枝末节。`predict` 按图像到来的
-- 顺序每张给出一行；`test_gen.classes` 则按文件的顺序列出真实类别。只有不打乱，两者的顺序才一致。在
-- Keras 中，这里若用了会打乱顺序的生成器，一个很好的网络也只会得到抛硬币的分数，而且毫无提示，有人
-- 为此耗费了好几天。giemsa 则会拒绝。

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

-- %% [markdown] name="predict-zh" lang="zh"
-- ## 预测，以及多出来的一个批次
--
-- 课程要求走 `n // 32 + 1` 步，好把最后那个较小的批次也取到。对 100 张图像来说这是对的：三个完整的
-- 批次，余下四张。只要批次大小能整除 n，它就错了：没有余数，最后一步便多出来了。旧版 Keras 会从第一
-- 张图像重新开始，返回谁也没要的行；随后报告失败，提示长度不一致。giemsa 永远只给 n 行。

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

-- %% [markdown] name="report-zh" lang="zh"
-- ## 报告

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

-- %% [markdown] name="notice-report-zh" lang="zh"
-- **逐行解读**：
--
-- - **precision**（精确率）：被**判为**该类的细胞中，真正属于该类的比例。沿着一列回答往下读。
-- - **recall**（召回率）：**真正**属于该类的细胞中，被找出来的比例。沿着一行真实类别读。
-- - **f1-score**（F1 分数）：前两者的调和平均，靠近较小的一个。它奖励均衡，此外说明不了什么。
-- - **support**（样本数）：该类细胞的数目。这一行的每个数值都建立在这寥寥几个细胞之上。
-- - **accuracy**（准确率）：全部细胞中判断正确的比例。
-- - **macro avg**（宏平均）对各类一视同仁，**weighted avg**（加权平均）按样本数加权。各类大小相近
--   时，二者一致；如果不一致，就有某个小类藏在里面。
--
-- 报告并不知道其中一类是疾病。在它看来，两种错误没有分别。对患者来说则不然。

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

-- %% [markdown] name="notice-confusion-zh" lang="zh"
-- **观察要点**：行是真实类别，列是网络的回答。对角线上是正确的回答。右上角是被判为健康的受感染细
-- 胞：**漏诊**。左下角是被判为受感染的健康细胞：**误报**。整份报告都由这四个数得出。你更希望哪个角
-- 是空的？
--
-- ## 哪一类是阳性？
--
-- 在医学上，**阳性**意味着要找的东西存在。在这里就是 Parasitized，它恰好是第 1 类（在 Keras 中是第
-- 0 类：那里许多脚本把第 1 类 Uninfected 当作阳性，报告的两个数值因而互换）。于是
--
-- - **灵敏度**是受感染细胞中被找出来的比例，即 Parasitized 的召回率；
-- - **特异度**是健康细胞中不受误判的比例，即 Uninfected 的召回率。
--
-- 每个数值都带有一个区间。一百个细胞只是一个样本，换一百个就会得到另一个数值。Wilson 区间说明哪些真
-- 实值与我们所见相容：这样的区间每 100 个中有 95 个包含真实值。

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

-- %% [markdown] name="notice-clinic-zh" lang="zh"
-- **观察要点**：
--
-- - 只有一百个细胞时，区间宽度超过十个百分点。凭这次测试无法区分 90 % 的网络和 95 % 的网络。
-- - 灵敏度和特异度属于网络。而**阳性回答有多大价值**（阳性预测值，PPV）还取决于所在的村庄：同一个网
--   络，疾病越少见，PPV 越低。报告中的 precision 就是在一个大约每两个细胞就有一个受感染的地方的
--   PPV。世上没有这样的地方。
-- - 疾病越少见，阴性回答越可靠，原因却很平凡：一概回答“健康”，100 次里也能对 99 次。
--
-- 需要多少张图像才够？假设网络的准确率是 93 %，区间如下：

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

-- %% [markdown] name="people-zh" lang="zh"
-- ## 细胞不等于人
--
-- Wilson 区间把细胞当作相互独立的证人。但它们来自少数几个人，同一个人的所有细胞共用同一次染色、同一
-- 盏灯、同一个镜头：一张玻片反常，它的所有细胞就都反常。这会让我们付出多大代价，可以让数据自己来
-- 说：有放回地抽取与原来同样多的**人**，取其全部细胞来评分；重复一千次。得分中间的 95 % 就是以人为
-- 单位的区间。
--
-- 结果的第二行说出了一件更糟的事，即**数据泄漏**：有些人的其他细胞曾被用来训练网络（第 2 课）。

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

-- %% [markdown] name="notice-people-zh" lang="zh"
-- **观察要点**：如果这个区间比 Wilson 区间更宽（在真实细胞上就是如此），就说明人与人之间有差异，一
-- 百个细胞抵不上一百个独立样本。每人只有两三个细胞时，差别几乎看不出来；如果几百个细胞只来自少数几
-- 个人，差别就会显现。
--
-- 此外，课程是随机划分**细胞**的，所以测试集中的人大多在训练中就已见过。我们的得分回答的问题是：“对
-- 它认识的人，网络判断另一个细胞的水平如何？”而临床要问的是它不认识的人。只有按患者划分才能回答，得
-- 到的数值通常更低。以后每看到一个得分，都要弄清它是这两者中的哪一个。
--
-- ## 阈值是一种选择
--
-- `argmax` 把概率高于二分之一的细胞判为受感染。但没有谁非这样做不可。**筛查**不能漏掉任何人：它降低
-- 阈值，代价是误报，留给第二次检测去甄别。**确诊**检测用在有副作用的治疗之前，不能冤枉任何人：它提
-- 高阈值，同时漏掉一些。每个阈值对应一个点，所有的点合起来就是 **ROC 曲线**。曲线下面积（AUC）是随
-- 机抽取的受感染细胞得到的概率，高于随机抽取的健康细胞的可能性：0.5 等于瞎猜，1 为完美。
--
-- 阈值也是学来的，所以不能从测试集上学。我们用验证图像来定这两个阈值。筛查可以误判十分之三的健康细
-- 胞，在这个代价之内能找出多少就找出多少。确诊检测可以漏掉十分之三的受感染细胞，同时尽量少误判。

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

-- %% [markdown] name="notice-roc-zh" lang="zh"
-- **观察要点**：三行用的是同一个网络，不同的只是用法。在 40 张验证图像上定下的标准，到这里也只能大
-- 致成立：那里十分之三的误报，在这里可能是十分之二或十分之四。用于临床的阈值，要在该院的数百张图像
-- 上来定。（如果用的是只训练三轮的替身，两个阈值甚至可能颠倒：几乎不会排序的网络，没有任何阈值救得
-- 了它。）
--
-- 曲线并不说明阈值**在哪里**。网络可能把细胞排得很好，却在阈值二分之一处把一切都判为受感染；训练轮
-- 数少、滑动平均尚未预热时就会这样。这时 AUC 很好而准确率很差，换一个阈值就能补救。
--
-- ## 它说的话算数吗？
--
-- 网络给出一个概率。它说 99 % 时，100 次里真的对 99 次吗？

-- %% name="histogram"
local by_class = { {}, {} }
for i, class in ipairs(test_gen.classes) do table.insert(by_class[class], scores_test[i]) end
plot.histogram{ bins = 20, range = { 0, 1 }, title = "What the net says of the test cells",
  { values = by_class[POSITIVE], title = names[POSITIVE], color = plot.class_colors[POSITIVE] },
  { values = by_class[3 - POSITIVE], title = names[3 - POSITIVE],
    color = plot.class_colors[3 - POSITIVE] },
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

-- %% [markdown] name="notice-calibration-zh" lang="zh"
-- **观察要点**：在图中，看看错误的回答落在哪里：是在中间，网络犹豫不决之处，还是在两端，它确信无疑
-- 之处？在表中，比较它所说的与实际的。这类网络常常过于自信。如果“它所说的”（it says）高于区间，就只
-- 能把这个概率当作排序用的分数，而不能当作概率。一行里细胞太少时，区间宽得什么结论也得不出：这同样
-- 是一个结果。
--
-- ## 最严重的错误
--
-- 这是评判中最有用的一幅图。把细胞按损失（真实类别所得概率的负对数）排序，看排在最前面的：网络最有
-- 把握、却错得最厉害的细胞。

-- %% name="worst"
local worst = giemsa.top_losses(model, test_gen, { n = 12 })
worst:save("out/06_worst.png"):show()
for _, row in ipairs(worst.rows) do print(("loss %5.2f  %s"):format(row.loss, row.file)) end

-- %% [markdown] name="notice-worst"
-- **What to notice.** A cross (✗) marks the wrong answers: "is Parasitized, said Uninfected" is a
-- missed parasite, the other way round a false alarm. Those without were right, barely. Look before
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

-- %% [markdown] name="notice-worst-zh" lang="zh"
-- **观察要点**：带叉号（✗）的是错误的回答：“is Parasitized, said Uninfected”是漏掉了疟原虫，反过来则
-- 是误报。没有叉号的是勉强答对的。先看，再解释。是 64 个像素装不下的又淡又小的环状体？是健康细胞上的一
-- 个血小板或一点染料残渣？是图像模糊？有时是文件夹错了，网络反而是对的：任何数据集中，损失最大的样
-- 本里都有标错的，真实细胞如此，合成细胞也如此（`data/synthetic_cells/cells.csv` 写明了每个合成细胞
-- 上究竟有什么）。专家在这里找得最快。还要读一读文件名：是不是同一名患者出现了好几次？那么让网络为
-- 难的是一张玻片，而不是某些细胞。
--
-- ## 它在看哪里？
--
-- 我们可以问网络：图像的哪些位置支持了它的回答。**Grad-CAM** 取最后一个卷积的特征图，以及回答对这些
-- 特征图的梯度：能使该回答增强的特征图计入，其余不计。右侧图中，黄色表示回答的依据所在。

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

-- %% [markdown] name="notice-where-zh" lang="zh"
-- **观察要点**：漏掉疟原虫时，网络是看到了它却当成了别的东西，还是根本没有看那里？误报时，它又把什
-- 么当成了疟原虫？如果网络看的是边缘、背景或某个角落，那么无论得分多高，它学到的都不是你想教的。不
-- 要过分解读轮廓：这张图只有 8 x 8 个位置，画的时候做了平滑，而每个位置都能看到细胞的很大一片（第 4
-- 课）。
--
-- 不要把不喜欢的样本从测试集中删掉。谁看着网络的错误来清理测试集，就等于让网络自己写成绩单。
--
-- ## 一次运行只是一次运行
--
-- 用十个随机种子训练同一个方案：初始权重不同，图像的顺序也不同。测试准确率会散布在好几个百分点之
-- 间；在课程的真实样本上，从 90 % 到 94 % 的各次运行都出自同一个方案。而这还要**叠加**在上面的区间
-- 之上。所以，一个网络在一次运行中、在一百张图像上高出两个百分点，根本不能说明它更好。要比较多个种
-- 子的平均值，用更多的图像，而且双方用同样的图像。
--
-- 最后，再看一次课程的那幅图。训练历史与模型一同保存，所以没有做过任何训练的程序也能画出它。

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

-- %% [markdown] name="exercises-zh" lang="zh"
-- ## 自测
--
-- 1. 网络漏掉了多少个受感染的测试细胞？（就是那四个数之一。）
-- 2. 有一种“检测”把所有细胞都判为受感染。它的灵敏度和特异度各是多少？
-- 3. 某网络的灵敏度和特异度都是 0.95；每一百个细胞中有一个受感染。阳性回答有多大价值，即 PPV 是多
--    少？（10,000 个细胞中，有多少个被判为受感染，其中又有多少个真的受感染？）
--
-- 把 `nil` 换成你的答案，再运行一次本课。尚未作答的检查会如实说明，不会中断运行。

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

-- %% [markdown] name="try-zh" lang="zh"
-- ## 动手试试
--
-- 1. 医生说：“漏掉一例感染，比一次误报坏十倍。”对 0.01 到 0.99 的每个阈值，在**验证**图像上计算
--    10 × 漏诊数 + 误报数，取最好的一个。它在哪里？用在测试集上又如何？
-- 2. 让网络看四次：用会旋转和翻转的生成器预测（`rotation_range = 20, horizontal_flip = true`，以及
--    `shuffle = false, seed = 1`，种子依次取到 4），再把四个概率取平均。AUC 提高了吗？提高的幅度大于
--    区间的宽度吗？
-- 3. 按患者划分数据（第 2 课），用第 5 课在它上面训练（`GIEMSA_DATA=...`），再运行一次本课。哪些数
--    值下降了？
--
-- 下一课：`07_save_load_validate`，在独立的程序中使用模型。
