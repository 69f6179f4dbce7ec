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

-- %% [markdown] name="goal-zh" lang="zh"
-- # 7. 在另一个脚本中使用模型
--
-- **目标**：在一个对训练一无所知的程序中加载训练好的网络，让它给十六个从未见过的细胞贴上标签。
--
-- 这是从实验走向工具的一步。最后会得到一张十六个细胞的图（`out/montage.png`），每个细胞都带有网络的
-- 判断：红色表示受感染，绿色表示未感染。用时：一秒；如果要先训练一个网络，则为十秒。
--
-- 本课程是教学工具，不是医疗器械。

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

-- %% [markdown] name="find-model-zh" lang="zh"
-- ## 有模型吗？
--
-- 第 5 课会留下一个。如果你直接来到这里，下一个单元会先快速训练三轮，做出一个替身，并且说明这一点。
-- 三轮太少：这样的网络多半会把几乎所有细胞都叫成同一个名字。

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

-- %% [markdown] name="load-zh" lang="zh"
-- ## 加载
--
-- 只需一行。得到的是完整的模型：网络结构、权重、每个批归一化层的滑动统计量、优化器，以及与数据有关
-- 的信息：类别名和图像变成输入的方式。Keras 自己的文件把最后这两样留给你去记，这是标签颠倒的一个众
-- 所周知的来源。

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

-- %% [markdown] name="notice-load-zh" lang="zh"
-- **观察要点**：更新次数也一并保存了下来。如果接着调用 `model:fit`，学习率会从已经衰减到的值继续，
-- 动量也还在：这是暂停，不是从头开始。
--
-- 文件在读取时会经过校验。截掉它的末尾，或者改动一个字节（先做一份副本），加载时就会报告。
--
-- ## 十六个细胞
--
-- 细胞从测试文件夹中随机抽取，这样好看的样本不会比难看的更容易露面。每个细胞读入后调整到 64 x 64，
-- 像素值缩放到 0..1，再交给网络。概率较大的类别就是网络的判断。
--
-- 第 5 课预告的陷阱就在这里：课程在这个脚本中用**双线性**插值调整尺寸，而训练时取的是**最近邻**像
-- 素。我们保留这种做法；后面的练习会问它的代价有多大。

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

-- %% [markdown] name="montage-zh" lang="zh"
-- ## 拼图
--
-- 每个细胞画成 128 像素宽，判断写在角上，受感染的为红色，其余为绿色，每行四个。

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

-- %% [markdown] name="notice-montage-zh" lang="zh"
-- **观察要点**：先自己找一找紫色的小点或环，再看标签。网络出错的地方，你能看出原因吗：是淡淡的环状
-- 体、压在细胞上的血小板、染料残渣，还是图像模糊？文件夹标得又对不对？真实数据集中也有少数标签是错
-- 的。
--
-- 十六个细胞只能算演示，不能算测量。十六个中错一个，真实错误率可能是从几乎为零到十分之三之间的任何
-- 值。

-- %% [markdown] name="exercises"
-- ## Check yourself
--
-- 1. Of which of the sixteen cells (1 to 16, row by row) is the net least sure? `sure` has the
--    probabilities.
-- 2. With which learning rate would the training go on, if you called `fit` now?
--
-- Replace `nil` and run the lesson again. A check that is still open says so and stops nothing.

-- %% [markdown] name="exercises-zh" lang="zh"
-- ## 自测
--
-- 1. 十六个细胞（逐行从 1 数到 16）中，网络对哪一个最没有把握？各个概率在 `sure` 中。
-- 2. 如果现在调用 `fit`，训练会以多大的学习率继续？
--
-- 把 `nil` 换成你的答案，再运行一次本课。尚未作答的检查会如实说明，不会中断运行。

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

-- %% [markdown] name="try-zh" lang="zh"
-- ## 动手试试
--
-- 1. 调整尺寸时用 `"nearest"` 代替 `"bilinear"`。判断会改变吗？在整个测试文件夹上数一数。
-- 2. 打印全部十六个概率。网络出错时，把握是否也更小？
-- 3. 给网络看一张根本不是细胞的图像：`giemsa.tensor.uniform{1, 64, 64, 3}`。它怎么说，有多大把握？
--    要用于临床的工具应当怎样应对这种情况？
--
-- 课程到此结束。后面的内容更为深入：完整的数据集、更大的网络、图像分割、小型设备。
