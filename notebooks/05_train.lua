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

-- %% [markdown] name="goal-zh" lang="zh"
-- # 5. 训练网络
--
-- **目标**：用染色细胞训练课程中的 ResNet，理解训练方案的每一行，并读懂它留下的曲线。
--
-- 学完之后会得到一个训练好的模型（`out/malaria.safetensors`）、它的训练历史，以及画有四条曲线的图
-- （`out/plot.png`）。用时：在双核机器上训练 25 轮约二十秒，之前的两项测试各需几秒；用全部 27,558
-- 个细胞则约二十分钟。
--
-- 本课程是教学工具，不是医疗器械。

-- %% name="setup"
local giemsa = require "giemsa"
local data, nn, optim, plot = giemsa.data, giemsa.nn, giemsa.optim, giemsa.plot

giemsa.random.seed(42)

-- giemsa.quick(25, 2) is 25; in a quick run (giemsa run --quick), which shows that all works, 2.
local NUM_EPOCHS = giemsa.quick(25, 2)  -- passes over the training images
local PROBE = giemsa.quick(60, 20)      -- steps of the two tests before
local INIT_LR = 1e-1                    -- the first learning rate
local BS = 32                           -- images a step
local MODEL = giemsa.quick("out/malaria", "out/malaria_quick") -- a quick run replaces no real one

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

-- %% [markdown] name="data-zh" lang="zh"
-- ## 图像
--
-- 第 2 课把细胞分到了三个文件夹。网络反复学习**训练**图像，每轮之后用**验证**图像观察它，直到最后才
-- 用**测试**图像评判一次。谁若看了测试结果再回头改训练方案，就已经把测试集变成了验证集。
--
-- 如果没有自己的数据集，本课会生成一套合成细胞图像。设置环境变量 `GIEMSA_DATA=path` 就可以使用真实
-- 图像。

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

-- %% [markdown] name="generators-zh" lang="zh"
-- ## 两个生成器
--
-- 训练图像每次使用时都会重新随机变换（第 3 课）：旋转不超过 20 度，并平移、缩放、剪切、左右翻转。验
-- 证图像和测试图像只把像素值缩放到 0..1，因为当裁判的不该去晃动图像。
--
-- 这个单元里藏着两个陷阱。`shear_range = 0.05` 是以**度**为单位的角度，几乎等于没有；课程原本如此，
-- 我们照样保留。另外，生成器调整尺寸时只取**最近邻**像素，丢掉了大多数像素，而第 7 课的预测脚本用的
-- 是**双线性**插值。于是预测时网络见到的图像，与它学习时的略有不同。

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

-- %% [markdown] name="notice-classes-zh" lang="zh"
-- **观察要点**：类别就是按字母顺序排列的文件夹名：Parasitized（受感染）是第 1 类，Uninfected（未感
-- 染）是第 2 类。Lua 从 1 开始计数，giemsa 在由人来数的地方也都从 1 开始。Keras 从 0 开始计数；在文
-- 件中 giemsa 保留 Keras 的编号。
--
-- 表格里的数字可能错了很久都没有人发现。所以训练之前务必先看一个批次，每次都要看：

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

-- %% [markdown] name="notice-batch-zh" lang="zh"
-- **观察要点**：标签与图像相符。细胞经过旋转和翻转，看上去仍然真实。像素值在 0 到 1 之间，说明
-- rescale 确实生效了。这三点最容易出错，而且出了错都不会报错。
--
-- ## 网络和它的老师
--
-- 用的是第 4 课的 ResNet：三个阶段，分别有 2、2、3 个模块，共有 294,766 个参数要学。它的老师由三部
-- 分组成：
--
-- - **损失**说明一个回答错得有多严重。对单个细胞，它是真实类别所得概率的负对数：有把握且正确时为
--   0，各占一半时为 0.69，有把握却错误时没有上限。
-- - **优化器**沿着损失梯度的反方向修改权重。动量 0.9 保留上一步方向的十分之九，使个别反常批次的影响
--   变小。
-- - **学习率**起步较高，为 0.1，然后按 1 / (1 + decay × 更新次数) 下降：先走大步，后走小步。

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

-- %% [markdown] name="first-test-zh" lang="zh"
-- ## 它到底能不能学？
--
-- 在花二十秒乃至二十小时训练之前，先问一句：网络能不能把**一个**批次背下来？权重足够多的网络一定
-- 能。如果不能，就是哪里出了问题（标签与图像对不上，学习率差了一百倍，某一层被冻结），再多数据也无
-- 济于事。`overfit_one` 反复给网络看同样的 32 张图像，结束后把网络恢复原样。

-- %% name="overfit"
giemsa.overfit_one(model, train_gen, { steps = PROBE, verbose = 0 }):save("out/05_overfit.png"):show()

-- %% [markdown] name="rate"
-- ## How fast may it learn?
--
-- The learning rate is the one number that matters most. Too small, and nothing happens; too
-- large, and the loss runs away. `lr_find` raises it from batch to batch, from next to nothing up
-- to 10, and watches the loss. This, too, leaves the net as it was.

-- %% [markdown] name="rate-zh" lang="zh"
-- ## 可以学得多快？
--
-- 学习率是最要紧的一个数。太小，什么也不会发生；太大，损失就会失控。`lr_find` 从接近零开始逐批提高
-- 学习率，直到 10，同时观察损失。它同样会把网络恢复原样。

-- %% name="rate-code"
giemsa.lr_find(model, train_gen, { steps = PROBE, verbose = 0 }):save("out/05_rate.png"):show()

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
-- still shuffles the *images*, so they are others every time). What that is worth, in our runs on
-- real cells: of the later epochs in which 90 % of the training images were right, one in five
-- (17 of 81) fell below 85 % on the test images with the batch of 8 let in, one in eleven (16 of
-- 182) without it.
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

-- %% [markdown] name="notice-rate-zh" lang="zh"
-- **观察要点**：左侧的灰线只是在抖动，因为各批次并不相同。随后曲线下降，不久又陡然上升。下降最快处
-- 的学习率适合作为初始值；陡升之前不远处就是极限。课程从 0.1 开始，正好在这个极限上，甚至已经超过：
-- 因此最初几轮起伏剧烈，之后才随着学习率衰减平静下来。为了得到课程的数值，我们保留它；练习 1 尝试另
-- 一种选择。
--
-- ## 训练
--
-- 360 张图像组成 11 个 32 张的批次和一个 8 张的批次，而 `steps_per_epoch = n // BS` 只要这 12 个中
-- 的 11 个。是哪 11 个？默认情况下，`fit` 和 Keras 一样，也会打乱**批次的顺序**，于是 8 张的那一批
-- 会在多数轮次中出现，位置不定。这时批归一化只凭 8 张图像的均值和方差来判断，权重却照样据此走出完整
-- 的一步。`shuffle = false` 让批次保持原有顺序：只用完整的批次，多出的 8 张不参加（生成器仍会打
-- 乱**图像**的顺序，所以每次多出的图像都不同）。这有多大用处？在我们用真实细胞的训练中，看训练准确
-- 率达到 90 % 的后期轮次：放进 8 张的批次时，五轮中约有一轮（81 轮中的 17 轮）在测试图像上跌破
-- 85 %；不放进时，十一轮中约有一轮（182 轮中的 16 轮）。
--
-- `validation_steps` 同样会舍去多出的验证图像，而在这里它是个陷阱：40 张图像只走一步，就只评判
-- 了**最前面**的 32 张。课程的验证准确率因此总是以三十二分之一为单位变化。为了得到课程的数值，我们
-- 保留它；去掉这个选项，40 张就全部计入。
--
-- 随时可以按 Ctrl-C：`fit` 会返回到目前为止的训练历史，模型仍然可用。有了 `checkpoint`，每轮之后整
-- 个训练状态都会写入文件：权重、动量、在数据中的位置、随机数状态。训练被打断了，或者停电了？设置
-- `resume = true` 再运行一次本课：训练从中断处继续，得到的数值与从未中断时完全相同。

-- %% name="fit-code"
local H = model:fit(train_gen, {
  steps_per_epoch = math.max(1, train_gen.n // BS),
  shuffle = false,
  validation_data = val_gen,
  validation_steps = math.max(1, val_gen.n // BS),
  epochs = NUM_EPOCHS,
  checkpoint = MODEL .. ".ckpt", resume = false,
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

-- %% [markdown] name="notice-fit-zh" lang="zh"
-- **观察要点**：
--
-- - 第一轮开始之前 giemsa 给出了警告：有些患者的细胞**同时**出现在训练集和验证集里，所以验证结果偏
--   于乐观（第 2 课）。这是课程的划分方式，我们予以保留；现在你知道它的数值有多大价值了。
-- - 损失最后不会到 0。其中约 0.15 与细胞毫无关系：那是 L2 项，对较大的权重略加惩罚。只有高出它的部
--   分才能靠学习消除。
-- - 最初几个 `val_loss` 可能极大，而 `loss` 却很正常。这并非出了故障。训练时，批归一化使用当前批次
--   的均值和方差；验证时使用它们的滑动平均，这个平均从 0 和 1 开始，走过 11 步后仍保留着近三分之一
--   的初始值（0.9 的 11 次方是 0.31）。给它几轮时间。
-- - 再往后，`val_loss` 也可能在某一轮突然跳高，而 `loss` 仍在下降。训练结束时学习率还有 0.05，权重
--   仍在变动，滑动平均却落后大约十步；一次不走运的更新之后，它们就与网络不相配了。我们有一次用真实
--   细胞训练（放进了 8 张的批次），第 24 轮之后训练图像的准确率为 91 %，测试图像却只有 50 %；改用测
--   试图像自身的均值和方差归一化，准确率就是 88 %，再过一轮又回到平常的 92 %。训练完全可能恰好停在
--   这样的一轮上：要看最后几轮，而不是只看最后一轮。
-- - 验证准确率在相邻两轮之间会跳动好几个百分点。32 张图像中，每一张就值三个百分点。不要从中读出什么
--   故事来。
--
-- ## 曲线

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

-- %% [markdown] name="notice-curves-zh" lang="zh"
-- **观察要点**：四条线分别是训练集和验证集的损失与准确率。训练曲线继续变好而验证曲线掉头变差，就意
-- 味着**过拟合**：网络开始死记这些图像了。数据增强就是用来推迟它的。如果两者都不好，则说明网络太
-- 小，或者老师太胆怯。
--
-- ## 保存
--
-- 文件里有权重，以及使用或继续训练这个网络所需的一切：网络结构、类别名、图像的预处理方式、优化器的
-- 动量和更新次数，还有训练历史。

-- %% name="save"
model:save(MODEL .. ".safetensors")
print("saved " .. MODEL .. ".safetensors")

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

-- %% [markdown] name="exercises-zh" lang="zh"
-- ## 自测
--
-- 1. 优化器总共更新了多少次？
-- 2. 最后一次更新之后学习率是多少？（`INIT_LR / (1 + decay x updates)`；decay 写在 `compile` 里。）
-- 3. 最后的训练损失中，L2 项占多少？可以引用上文的数值，也可以问 `model:penalty():item()`。
--
-- 把 `nil` 换成你的答案，再运行一次本课。尚未作答的检查会如实说明，不会中断运行。

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

-- %% [markdown] name="try-zh" lang="zh"
-- ## 动手试试
--
-- 1. 设 `INIT_LR = 1e-3`。25 轮之后网络能走到哪一步？`INIT_LR = 1` 呢？
-- 2. 不用数据增强来训练（训练图像也用 `val_aug`）。比较两种情况下训练曲线与验证曲线之间的差距。
-- 3. 把本课运行两次：每个数值都相同。再换一个随机种子：最后的验证准确率变动多大？以后凡是有人各凭一
--    次运行就比较两个网络，请记起这个数。
--
-- 下一课：`06_evaluate_and_plot`，用测试图像作出评判。
