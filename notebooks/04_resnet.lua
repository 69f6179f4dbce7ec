-- ---
-- title: Why this net has shortcuts
-- seed: 42
-- ---

-- %% [markdown] name="goal"
-- # 4. Why this net has shortcuts
--
-- **Goal:** see with your own measurements why a deep plain net learns badly, what a shortcut
-- changes, and then read the course's ResNet box by box: where its 294,766 numbers are, what they
-- cost, and which of its habits are quirks.
--
-- At the end there are five figures (`out/04_*.png`): gradients layer by layer, four training
-- curves, a module, the whole net, and what one unit of it sees. Time: about ten seconds of
-- computing, most of it for the training curves.
--
-- A teaching tool, not a medical device.

-- %% [markdown] name="goal-zh" lang="zh"
-- # 4. 这个网络为什么要有捷径
--
-- **目标**：通过自己的测量看清为什么很深的朴素网络学不好，捷径连接改变了什么；然后逐框读懂课程的
-- ResNet：它的 294,766 个参数在哪里，代价多大，又有哪些习惯只是怪癖。
--
-- 学完之后会得到五幅图（`out/04_*.png`）：逐层的梯度、四条训练曲线、一个模块、整个网络，以及网络中
-- 一个单元能看到的范围。用时：计算约十秒，大部分花在训练曲线上。
--
-- 本课程是教学工具，不是医疗器械。

-- %% name="setup"
local giemsa = require "giemsa"
local data, loss, nn, ops, optim = giemsa.data, giemsa.loss, giemsa.nn, giemsa.ops, giemsa.optim
local plot, tensor = giemsa.plot, giemsa.tensor

giemsa.random.seed(42)

-- Cells again, but tiny: 24 x 24 pixels are enough to compare nets, and thirty layers stay quick.
local paths = require("datasets").ensure(os.getenv "GIEMSA_DATA")
local cells = data.ImageDataGenerator{ rescale = 1 / 255 }:flow_from_directory(paths.training,
  { target_size = { 24, 24 }, interpolation = "area", batch_size = 360 })
local x, y = cells:batch(1)
print(("x: %d pictures of %d x %d x %d"):format(table.unpack(x.shape)))

-- %% [markdown] name="promise"
-- ## Depth ought to help
--
-- A deeper net can do all that a shallower one can: let the additional layers pass on what they
-- get, and it *is* the shallower one. So the training loss of a deep net should never be worse. In
-- 2015 He, Zhang, Ren and Sun showed that in practice it is: a plain net of 56 layers did worse on
-- small photographs than one of 20, on the *training* pictures too. That is not overfitting. The
-- deep net could have been good, and training did not find the way.
--
-- Let us build such nets. One function, two switches: `norm` puts a batch normalisation before
-- every convolution, `shortcut` adds what came into a layer to what comes out of it. Everything
-- else is the same, so that whatever differs below is the work of a switch.

-- %% [markdown] name="promise-zh" lang="zh"
-- ## 深度本该有好处
--
-- 浅网络能做的，深网络都能做：只要让多出来的层把输入原样传下去，它**就是**那个浅网络。所以深网络的
-- 训练损失本不该更差。2015 年，何恺明、张祥雨、任少卿和孙剑指出，实际上它偏偏更差：在小尺寸照片
-- 上，56 层的朴素网络不如 20 层的，在**训练**图像上也是如此。这不是过拟合。深网络本可以很好，只是训
-- 练没有找到那条路。
--
-- 我们就来搭建这样的网络。一个函数，两个开关：`norm` 在每个卷积之前加一个批归一化，`shortcut` 把进
-- 入一层的信号加到这一层的输出上。其余完全相同，因此下面出现的任何差别，都是开关造成的。

-- %% name="net"
local CHANNELS = 12

local function net(depth, switches)
  local function normalised(h)
    if not switches.norm then return h end
    return nn.BatchNormalization{ momentum = 0.9 }(h)
  end

  local input = nn.Input{ 24, 24, 3 }
  local h = nn.Conv2D{ CHANNELS, 5, strides = 4, padding = "same", use_bias = false }(input)
  for _ = 1, depth do -- all on maps of 6 x 6
    local change = nn.ReLU{}(normalised(h))
    change = nn.Conv2D{ CHANNELS, 3, padding = "same", use_bias = false }(change)
    h = switches.shortcut and nn.add{ h, change } or change
  end
  h = nn.GlobalAveragePooling2D{}(nn.ReLU{}(normalised(h)))
  return nn.Model(input, nn.Dense{ 2, activation = "softmax" }(h))
end

-- %% [markdown] name="gradients"
-- ## What reaches each layer
--
-- A layer learns from its gradient: by how much would the loss change if this weight changed a
-- little? We show the untrained net some pictures, walk the tape back, and measure the length of
-- the gradient of every convolution: one number a layer. This is half a training step. The half
-- that changes the weights is left out.

-- %% [markdown] name="gradients-zh" lang="zh"
-- ## 传到每一层的是什么
--
-- 一层靠自己的梯度来学习：如果这个权重变动一点，损失会变动多少？我们给未经训练的网络看一些图像，沿
-- 计算记录（tape）反向传播，量出每个卷积的梯度长度：每层一个数。这是半个训练步，修改权重的那一半略
-- 去不做。

-- %% name="gradient-norms"
local function gradient_norms(model)
  local few = math.min(#x, 128)
  local logits = model:forward(x:rows(1, few), { training = true, logits = true })
  local value = loss.categorical_crossentropy(y:rows(1, few), logits, { from_logits = true })
  value:backward{ free = true }
  local norms = {}
  for _, weight in ipairs(model:trainable()) do
    if weight.name:find "^conv2d" then
      norms[#norms + 1] = weight.tensor.grad:square():sum():sqrt():item()
    end
  end
  model:zero_grad()
  table.remove(norms, 1) -- the first convolution is larger and of another kind
  return norms
end

-- %% name="measure"
local SHALLOW, DEEP = 6, 30
local kinds = {
  { title = "plain", color = "grey", norm = false, shortcut = false },
  { title = "plain, batch norm", color = "vermillion", norm = true, shortcut = false },
  { title = "residual, batch norm", color = "blue", norm = true, shortcut = true },
}

local panels = {}
print "layers  kind                   first layer   last layer   first : last"
for i, depth in ipairs{ SHALLOW, DEEP } do
  panels[i] = { title = ("%d layers"):format(depth), log = "y", yrange = { 1e-9, 1e3 },
    xlabel = "layer, from the picture to the answer", ylabel = "length of its gradient",
    legend = i == 1 and "bottom right" }
  for k, kind in ipairs(kinds) do
    local norms = gradient_norms(net(depth, kind))
    local first, last = norms[1], norms[depth]
    print(("%6d  %-21s %12.1e %12.1e %14.1f"):format(depth, kind.title, first, last, first / last))
    panels[i][k] = { y = norms, title = kind.title, color = kind.color, style = "both" }
  end
end
plot.figure{ plot.lines(panels[1]), plot.lines(panels[2]), columns = 2, width = 1000, height = 420 }
  :save("out/04_gradients.png"):show()

-- %% [markdown] name="notice-gradients"
-- **What to notice.** With six layers all three nets have usable gradients. With thirty they part
-- company.
--
-- - **Plain.** The gradient is a hundred thousand times smaller than before, in every layer. A ReLU
--   lets about half of the signal through, so the signal shrinks by about 0.7 a layer on the way to
--   the answer, and the gradient shrinks likewise on the way back. A weight's gradient is the
--   product of the two: what came in times what comes back. Near the answer nothing comes in, near
--   the picture nothing comes back, and the product is equally hopeless everywhere. Such a net does
--   not learn slowly. It does not learn.
-- - **Plain, with batch norm.** Batch norm brings the signal back to size 1 in every layer, and the
--   vanishing is cured. But on the way back the gradient now *grows*, by up to a sixth a layer: at
--   the first layer it is ten or a hundred times what it is at the last. One learning rate cannot
--   suit both.
-- - **Residual.** Nearly level: over thirty layers it changes less than tenfold or so, and mostly
--   in the first few.
--
-- How steep the middle curve is depends on the pictures; on the real cells it is flatter. The
-- training below is the real test.
--
-- A per-layer factor near 1 looks harmless. Depth raises it to a power:

-- %% [markdown] name="notice-gradients-zh" lang="zh"
-- **观察要点**：六层时，三种网络的梯度都还可用；到了三十层，它们就分道扬镳了。
--
-- - **朴素网络**：每一层的梯度都比之前小了十万倍。ReLU 大约只放过一半信号，于是信号在走向答案的途中
--   每层缩小到约 0.7 倍，梯度在返回途中也同样缩小。一个权重的梯度是二者的乘积：正向传来的乘以反向传
--   回的。靠近答案处，正向几乎什么也传不到；靠近图像处，反向几乎什么也传不回；于是乘积处处同样无
--   望。这样的网络不是学得慢，而是根本不学。
-- - **朴素网络加批归一化**：批归一化在每一层都把信号恢复到 1 的量级，消失的问题治好了。但在返回途
--   中，梯度现在反而每层**增大**，最多增大六分之一：第一层的梯度是最后一层的十倍乃至百倍。同一个学
--   习率不可能同时适合两者。
-- - **残差网络**：几乎是平的：经过三十层，变化不到十倍左右，而且主要发生在最前面几层。
--
-- 中间那条曲线有多陡取决于图像；用真实细胞时要平缓一些。真正的考验是下面的训练。
--
-- 每层一个接近 1 的因子看上去无伤大雅，深度却要把它自乘很多次：

-- %% name="powers"
for _, factor in ipairs{ 0.7, 1.16, 1.02 } do
  print(("%.2f a layer:  after 6 layers x %-8.2g after 30 layers x %.2g")
    :format(factor, factor ^ 6, factor ^ 30))
end

-- %% [markdown] name="shortcut-why"
-- Why does a shortcut help? A layer with a shortcut computes `h + f(h)`. Its slope is `1 + f'(h)`,
-- where the plain layer has only `f'(h)`. Multiply thirty plain slopes and everything depends on
-- their being close to 1. Multiply thirty of the others and open the brackets: there is the product
-- of all the `f'`, and every shorter product, and the bare **1**: a path on which the gradient
-- comes from the answer to the first layer untouched. And if a layer has nothing to say, it only
-- has to keep `f` small. To pass a picture on unchanged, a plain layer must first *learn* to do so.
--
-- ## What it does to training
--
-- Gradients at the start are a hint, not a verdict. So let us train four nets, plain and residual,
-- shallow and deep, all with batch norm, with the same pictures in the same batches and the same
-- optimiser. The curves are *training* losses: the question is what a net can learn, not yet how
-- well it generalises.

-- %% [markdown] name="shortcut-why-zh" lang="zh"
-- 捷径为什么有用？带捷径的层计算 `h + f(h)`，它的斜率是 `1 + f'(h)`，而朴素的层只有 `f'(h)`。把三十
-- 个朴素的斜率相乘，一切都取决于它们是否接近 1。把三十个带捷径的斜率相乘再展开括号，其中既有所有
-- `f'` 的乘积，也有每一个较短的乘积，还有光秃秃的 **1**：沿着这条路，梯度可以从答案原封不动地回到第
-- 一层。而且，如果某一层没有什么可补充的，只需让 `f` 保持很小；朴素的层却必须先**学会**怎样把图像原
-- 样传下去。
--
-- ## 捷径对训练的影响
--
-- 训练开始时的梯度只是线索，不是结论。所以我们来训练四个网络：朴素的和残差的，浅的和深的，都带批归
-- 一化，用同样的图像、同样的批次和同样的优化器。曲线画的是**训练**损失：这里要问的是网络能学会什
-- 么，还不是它的泛化能力如何。

-- %% name="train"
local EPOCHS = giemsa.quick(15, 3) -- 15; in a quick run (giemsa run --quick) 3
local curves = { title = "Depth hurts the plain net", xlabel = "epoch", ylabel = "training loss",
  legend = "bottom left" }

for _, kind in ipairs{ kinds[2], kinds[3] } do
  for _, depth in ipairs{ SHALLOW, DEEP } do
    local model = net(depth, kind)
    model:compile{ loss = "categorical_crossentropy", metrics = { "accuracy" },
      optimizer = optim.SGD{ lr = 0.03, momentum = 0.9 } }
    local H = model:fit(x, y, { epochs = EPOCHS, batch_size = 32, verbose = 0 })
    local name = ("%s, %d layers"):format(kind.shortcut and "residual" or "plain", depth)
    print(("%-20s training loss %.2f, accuracy %.2f"):format(name, H.loss[EPOCHS],
      H.accuracy[EPOCHS]))
    curves[#curves + 1] = { y = H.loss, title = name, color = kind.color, dash = depth == SHALLOW }
  end
end
plot.lines(curves):save("out/04_depth.png"):show()

-- %% [markdown] name="notice-train"
-- **What to notice.** The shallow nets are close to each other; the plain one may even lead. Made
-- five times deeper, the plain net gets *worse* on the very pictures it is trained on, although all
-- it had to do was to leave its additional layers idle. The residual net of the same depth, with
-- exactly as many weights, goes ahead. Guessing gives a loss of 0.69 here; see how long the deep
-- plain net stays there.
--
-- One run each, on 360 small pictures: enough to show the effect, not to measure its size. Exercise
-- 1 repeats it.
--
-- ## A module of the course
--
-- The course's net adds two ideas of the following year (He and others, 2016). The figure shows how
-- one layer became a *module*.

-- %% [markdown] name="notice-train-zh" lang="zh"
-- **观察要点**：两个浅网络相差不大，朴素的甚至可能领先。加深到五倍之后，朴素网络在它自己的训练图像
-- 上反而变得**更差**，尽管它只要让多出来的层闲着就行了。同样深度的残差网络，权重数目完全相同，却走
-- 在前面。这里随机猜测的损失是 0.69；看看深的朴素网络在那里停留了多久。
--
-- 每种只运行一次，只用了 360 张小图像：足以显示这个效应，却不足以测定它的大小。练习 1 会重复这个实
-- 验。
--
-- ## 课程中的一个模块
--
-- 课程的网络还采用了次年提出的两个想法（He 等，2016）。下图显示一层怎样变成一个**模块**。

-- %% name="draw-tools"
-- Boxes, words and arrows, as lines of gnuplot; plot.raw draws what a sketch has collected.
local function new_sketch()
  local out, sketch = { "unset border\nunset tics\nunset key\nset margins 0,0,0,0\n" }, {}
  local function add(text, ...) out[#out + 1] = text:format(...) end
  function sketch.text(x0, y0, words, size)
    add("set label '%s' at %g,%g center front font ',%d'\n", words, x0, y0, size or 11)
  end
  function sketch.box(x0, y0, width, height, color, words)
    add("set object rectangle center %g,%g size %g,%g fillcolor rgb '%s' fillstyle solid "
      .. "border rgb '#888888'\n", x0, y0, width, height, color)
    if words then sketch.text(x0, y0, words) end
  end
  function sketch.line(x0, y0, x1, y1, head, dashed)
    add("set arrow from %g,%g to %g,%g %s linewidth 1.6 linecolor rgb '#0072b2' %s\n", x0, y0,
      x1, y1, head and "head filled size screen 0.008,20" or "nohead", dashed and "dt (6,4)" or "")
  end
  function sketch.figure(width, height, pixels)
    add("set xrange [0:%g]\nset yrange [0:%g]\nplot NaN\n", width, height)
    return plot.raw(table.concat(out), { width = pixels, height = pixels * height // width | 0 })
  end
  return sketch
end

-- %% name="modules"
local WHITE, YELLOW, BLUE, GREEN = "#ffffff", "#fdf0c4", "#d6e8f5", "#d5efe3"
local fill = { conv = BLUE, BN = YELLOW, ReLU = WHITE, ["+"] = GREEN }
local columns = {
  { "plain", "conv 3x3", "BN", "ReLU", "conv 3x3", "BN", "ReLU" },
  { "residual, 2015", "conv 3x3", "BN", "ReLU", "conv 3x3", "BN", "+", "ReLU" },
  { "pre-activation bottleneck", "BN", "ReLU", "conv 1x1, to K/4", "BN", "ReLU", "conv 3x3, K/4",
    "BN", "ReLU", "conv 1x1, back to K", "+" },
}

local sketch = new_sketch()
for c, column in ipairs(columns) do
  local middle, aside = 4 * c - 1.7, 4 * c
  sketch.text(middle, 11, column[1], 13)
  for i = 2, #column do
    local words, at = column[i], 11.6 - i
    sketch.line(middle, at + 0.7, middle, at + 0.3, true)
    sketch.box(middle, at, 2.4, 0.6, fill[words:match "^%S+"], words)
    if words == "+" then -- the shortcut: out above the first box, down the side, in at the sum
      sketch.line(middle, 10.2, aside, 10.2)
      sketch.line(aside, 10.2, aside, at)
      sketch.line(aside, at, middle + 1.2, at, true)
    end
  end
end
sketch.figure(12.5, 11.5, 900):save("out/04_modules.png"):show()

-- %% [markdown] name="notice-modules"
-- **What to notice.**
--
-- - **Bottleneck.** A 1x1 convolution narrows K channels to K/4, the 3x3 convolution works there,
--   another 1x1 widens again. For K = 256 that is 69,632 weights where one 3x3 convolution from 256
--   to 256 has 589,824, eight times as many.
-- - **Pre-activation.** Normalisation and ReLU stand *before* each convolution, and after the sum
--   comes nothing. In the design of 2015 a ReLU sits on the shortcut after every sum: the bare 1 of
--   the product above is cut off wherever it says 0. Here the blue line runs free through all
--   modules of a stage.
-- - **When the shape changes,** at the first module of a stage, there is nothing to add: 64
--   channels and 128 do not match. There the shortcut is a 1x1 convolution of its own, with the
--   module's stride. It reads the activated input, not the raw one.
--
-- ## What batch norm does
--
-- It takes every channel over all pictures and places of the batch, subtracts the mean, divides by
-- the standard deviation, and then multiplies and adds two learned numbers, gamma and beta. Beta
-- makes a convolution's own bias superfluous, so the course's convolutions have none. The very
-- first layer of the net is a batch norm too: it learns to normalise the three colours, whatever
-- the stain.
--
-- It is two things in one: in *training* it uses the batch, in *inference* a running average of the
-- batches it has seen. With momentum 0.9 each batch moves the average by one tenth. Watch what that
-- means early on:

-- %% [markdown] name="notice-modules-zh" lang="zh"
-- **观察要点**：
--
-- - **瓶颈结构**：1x1 卷积把 K 个通道收窄到 K/4，3x3 卷积在那里工作，再由另一个 1x1 卷积放宽回来。K
--   = 256 时，这一共是 69,632 个权重，而从 256 到 256 通道的一个 3x3 卷积有 589,824 个，是它的八倍
--   多。
-- - **预激活**：归一化和 ReLU 放在每个卷积**之前**，相加之后什么也没有。在 2015 年的设计中，每次相
--   加之后捷径上都有一个 ReLU：凡是它输出 0 的地方，上面乘积中那个光秃秃的 1 就被切断。而在这里，蓝
--   线畅通无阻地穿过一个阶段的所有模块。
-- - **形状改变时**，也就是每个阶段的第一个模块，没有东西可以直接相加：64 个通道与 128 个通道对不
--   上。这时捷径本身是一个 1x1 卷积，步长与该模块相同。它读取的是激活之后的输入，而不是原始输入。
--
-- ## 批归一化做什么
--
-- 它对每个通道，在批次内的所有图像和所有位置上减去均值、除以标准差，再乘上并加上两个可学习的
-- 数：gamma 和 beta。有了 beta，卷积自己的偏置就多余了，所以课程的卷积都没有偏置。网络的第一层也是
-- 批归一化：无论染色深浅，它都会学着把三个颜色通道归一化。
--
-- 它其实是两样东西合在一起：**训练**时使用当前批次，**推理**时使用历次批次的滑动平均。动量为 0.9
-- 时，每个批次使这个平均移动十分之一。看看这在训练初期意味着什么：

-- %% name="batch-norm"
local norm = nn.Sequential{ nn.Input{ 1 }, nn.BatchNormalization{ momentum = 0.9, epsilon = 2e-5 } }
local numbers = tensor.normal{ 1000, 1, mean = 5, std = 3, seed = 1 }

print "                     training          inference"
print "updates           mean      std      mean      std"
for update = 1, 50 do
  local trained = norm:forward(numbers, { training = true }) -- also moves the averages
  local used = norm:forward(numbers)
  if update == 1 or update == 11 or update == 50 then
    print(("%7d       %8.2f %8.2f  %8.2f %8.2f"):format(update, trained:mean():item(),
      trained:std():item(), used:mean():item(), used:std():item()))
  end
end

-- %% [markdown] name="notice-batch-norm"
-- **What to notice.** In training the output has mean 0 and deviation 1 from the first batch on. In
-- inference it does not: after one update the averages are still nine tenths what they started as,
-- mean 0 and variance 1. After 11 updates, one epoch of the course, 0.9 to the power of 11 = 31 %
-- of that start is left. This is why the first `val_loss` of lesson 5 may be huge while `loss` is
-- fine.
--
-- ## The course's net
--
-- One line builds it. The two lists say: three stages of 2, 2 and 3 modules; 32 channels after the
-- stem, then 64, 128 and 256. The drawing is made from the model's own table of layers: each sheet
-- is what one part gives, as high as the side of its map and as wide as its channels.

-- %% [markdown] name="notice-batch-norm-zh" lang="zh"
-- **观察要点**：训练时，从第一个批次起，输出的均值就是 0，标准差就是 1。推理时则不然：一次更新之
-- 后，滑动平均仍有十分之九是初始值，即均值 0、方差 1。11 次更新之后，也就是课程的一轮之后，还剩下初
-- 始值的 31 %（0.9 的 11 次方）。所以第 5 课最初的 `val_loss` 可能极大，而 `loss` 却正常。
--
-- ## 课程的网络
--
-- 一行代码就能搭建它。两个列表的意思是：三个阶段，分别有 2、2、3 个模块；起始层之后是 32 个通道，随
-- 后是 64、128 和 256。图是根据模型自己的层表画出来的：每一片代表一个部分的输出，高度对应特征图的边
-- 长，宽度对应通道数。

-- %% name="build"
local model = nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, { reg = 0.0005 })

-- What the drawing shows: a few layers by name, and the sums, which end the modules.
local words_of = { input_1 = "picture", conv2d_1 = "conv 5x5", max_pooling2d_1 = "max pool",
  average_pooling2d_1 = "mean", dense_1 = "dense" }
for i = 1, 7 do words_of["add_" .. i] = "module " .. i end

-- %% name="draw"
local drawing, sheet = new_sketch(), nil
for _, row in ipairs(model.rows) do
  if words_of[row.name] then
    local side, channels = row.shape[3] and row.shape[1] or 1, row.shape[#row.shape]
    local before = sheet
    sheet = { x = before and before.x + 1.3 or 0.8, half = 0.06 + channels / 660,
      top = 3.25 + side / 32 }
    local color = row.class == "Add" and GREEN or BLUE
    drawing.box(sheet.x, 3, 2 * sheet.half, 2 * (sheet.top - 3), color)
    drawing.text(sheet.x, 0.6, words_of[row.name])
    drawing.text(sheet.x, 0.3, table.concat(row.shape, "x"), 9)
    if before then drawing.line(before.x + before.half, 3, sheet.x - sheet.half, 3, true) end
    if row.class == "Add" then -- the shortcut, dashed where it is a convolution
      local dashed = model.rows[row.inputs[2]].class == "Conv2D"
      local from, to = before.x + 0.06, sheet.x - 0.06
      drawing.line(from, before.top, from, 4.6, false, dashed)
      drawing.line(from, 4.6, to, 4.6, false, dashed)
      drawing.line(to, 4.6, to, sheet.top, true, dashed)
    end
  end
end
drawing.text(8.6, 4.85, "shortcuts; dashed: through a 1x1 convolution", 10)
drawing.figure(15.9, 5.4, 1200):save("out/04_net.png"):show()

-- %% [markdown] name="notice-net"
-- **What to notice.** The map shrinks, 64 to 32 to 16 to 8, while the channels grow from 3 to 256:
-- less and less *where*, more and more *what*. At the end one mean over the last map gives 256
-- numbers, and a single dense layer turns them into two.
--
-- ## The summary, read line by line
--
-- `model:summary()` lists every layer: what it gives, how many numbers it has learned, how many
-- multiply-adds (MACs) it costs for one picture, how much memory its output takes, and whose output
-- it reads. `None` stands for the batch.

-- %% [markdown] name="notice-net-zh" lang="zh"
-- **观察要点**：特征图逐渐缩小，从 64 到 32、16、8，通道数则从 3 增加到 256：越来越少的“在哪里”，越
-- 来越多的“是什么”。最后，对末尾的特征图取一次平均，得到 256 个数，再由单独一个全连接层变成两个。
--
-- ## 逐行读懂模型摘要
--
-- `model:summary()` 列出每一层：输出什么，学习了多少个数，处理一张图像要做多少次乘加运算（MAC），输
-- 出占多少内存，以及读取哪一层的输出。`None` 代表批次这一维。

-- %% name="summary"
model:summary()

-- %% [markdown] name="parts"
-- Seventy-nine lines are hard to take in. Let us add them up by part. Two rules do it: a
-- convolution has *kernel height x kernel width x channels in x channels out* weights, and it uses
-- each of them once at every place of its output.

-- %% [markdown] name="parts-zh" lang="zh"
-- 七十九行难以一眼看清。我们按部分汇总。只需两条规则：一个卷积的权重数目是**核高 × 核宽 × 输入通道
-- 数 × 输出通道数**；在输出的每个位置上，每个权重恰好使用一次。

-- %% name="parts-code"
local names, parts = { "stem", "stage 1", "stage 2", "stage 3", "head" }, {}
for i = 1, 5 do parts[i] = { params = 0, macs = 0, kib = 0 } end
local ends = { max_pooling2d_1 = true, add_2 = true, add_4 = true, add_7 = true } -- of a part

local total_macs, part = 0, 1
for _, row in ipairs(model.rows) do
  local p, places = parts[part], row.shape[3] and row.shape[1] * row.shape[2] or 1
  local macs = row.weights.kernel and row.weights.kernel.size * places or 0
  for _, weight in ipairs(row.variables) do p.params = p.params + weight.tensor.size end
  p.macs, total_macs = p.macs + macs, total_macs + macs
  p.kib = p.kib + 4 * places * row.shape[#row.shape] / 1024 -- a float32 is 4 bytes
  if ends[row.name] then part = part + 1 end
end

-- %% name="parts-table"
local params = model:count_params()
print "part         params            million MACs      activations, KiB"
for i, p in ipairs(parts) do
  print(("%-8s %10d  %4.1f %%  %10.1f  %4.1f %%  %10.0f"):format(names[i], p.params,
    100 * p.params / params, p.macs / 1e6, 100 * p.macs / total_macs, p.kib))
end
print(("%-8s %10d %19.1f"):format("all", params, total_macs / 1e6))

-- %% [markdown] name="notice-parts"
-- **What to notice.**
--
-- - **Where the numbers are, and where the work is, are different places.** Stage 3 holds four
--   fifths of the parameters. The stem holds less than one in a hundred and does a fifth of the
--   work, because its map is 64 times as large.
-- - **Memory is in the activations.** The net is 1.1 MiB. Its layers' outputs are 8.5 MiB for one
--   picture and 273 MiB for a batch of 32, and training needs most of them on the way back; giemsa
--   joins each batch norm with its ReLU and needs fewer. When a program runs out of memory in
--   training, a smaller batch helps, a smaller net hardly does.
-- - **3,590 numbers are not trained:** the running means and variances of 24 batch norms.
-- - **What the whole course costs.** A training step is about three times the forward pass: once
--   forward, once back to the inputs, once to the weights. Times 32 pictures, 11 steps, 25 epochs:
--   1.3 million million multiply-adds.
--
-- ## A quirk: whose `reg`?
--
-- `reg = 0.0005` is the weight decay: the loss gains that factor times the sum of all squared
-- weights. Or so one would think. The course's `build` takes `reg` but forgets to hand it on to its
-- modules, so all convolutions inside them keep the default, 0.0001. Only the stem and the dense
-- layer obey. Nothing warns; nothing looks wrong. Let us see what it does.

-- %% [markdown] name="notice-parts-zh" lang="zh"
-- **观察要点**：
--
-- - **参数集中的地方和计算集中的地方并不相同**。阶段 3 占有五分之四的参数。起始层的参数不到百分之
--   一，却承担了五分之一的计算，因为它的特征图有 64 倍大。
-- - **内存都用在激活值上**。网络本身只有 1.1 MiB。各层的输出对一张图像是 8.5 MiB，对 32 张的批次是
--   273 MiB，而训练在反向传播时还要用到其中的大部分；giemsa 把每个批归一化与其后的 ReLU 合并，需要
--   的更少。训练时如果内存不够，减小批次有用，减小网络则用处不大。
-- - **有 3,590 个数不参加训练**：它们是 24 个批归一化层的滑动均值和滑动方差。
-- - **整个课程的代价**。一个训练步约等于三次前向传播：一次前向，一次反向传到输入，一次反向传到权
--   重。再乘以 32 张图像、11 步、25 轮：1.3 万亿次乘加运算。
--
-- ## 怪癖：`reg` 管的是谁？
--
-- `reg = 0.0005` 是权重衰减：损失要加上这个系数乘以全部权重的平方和。至少人们会这样以为。课程的
-- `build` 接收了 `reg`，却忘了把它传给各个模块，于是模块内的所有卷积都保持默认值 0.0001，只有起始层
-- 和全连接层听从了它。没有任何警告，也看不出任何异样。我们来看看它的后果。

-- %% name="reg"
local obeying, as_it_is, as_meant = {}, 0, 0
for _, weight in ipairs(model:weights()) do
  if weight.l2 > 0 then
    local squares = weight.tensor:square():sum():item()
    as_it_is, as_meant = as_it_is + weight.l2 * squares, as_meant + 0.0005 * squares
    if weight.l2 == 0.0005 then obeying[#obeying + 1] = weight.name end
  end
end
print("0.0005 holds for " .. table.concat(obeying, " and ") .. ", 0.0001 for all other kernels")
print(("L2 term at the start: %.3f as it is, %.3f as meant (model:penalty() says %.3f)")
  :format(as_it_is, as_meant, model:penalty():item()))

-- %% [markdown] name="notice-reg"
-- **What to notice.** About 0.15 against 0.74. A net that guesses has a cross-entropy of 0.69, so
-- with the decay as meant half of the first loss would be about large weights and not about cells.
-- The loss the course prints at its end, 0.29, is only possible with the quirk. We keep it: a copy
-- that silently repairs its model cannot be compared with it. Remember that two nets "with the same
-- settings" may differ in this way, and that a loss without its L2 term is the better number to
-- compare.
--
-- ## The edge: padding that is not symmetric
--
-- `padding = "same"` means: with stride 1 the map keeps its size, with stride 2 it halves. The
-- missing border is made of zeros. A 3x3 window with stride 2 on an even side needs one row of
-- zeros; TensorFlow puts it *after*, at the bottom and the right, and so do we. A picture of ones
-- and a kernel of ones count how many real pixels each window sees:

-- %% [markdown] name="notice-reg-zh" lang="zh"
-- **观察要点**：约 0.15 对 0.74。随机猜测的网络交叉熵为 0.69，所以如果衰减真按本意生效，最初的损失
-- 有一半与细胞无关，只与较大的权重有关。课程最后打印的损失 0.29，只有在这个怪癖之下才可能出现。我们
-- 予以保留：悄悄改正了模型的复制品，无法再与原作比较。请记住，“设置相同”的两个网络可能就有这样的差
-- 别；比较时，不含 L2 项的损失更可靠。
--
-- ## 边缘：不对称的填充
--
-- `padding = "same"` 的意思是：步长为 1 时特征图大小不变，步长为 2 时减半。缺少的边缘用零补齐。在边
-- 长为偶数的图上，步长为 2 的 3x3 窗口需要一行零；TensorFlow 把它放在**后面**，即下边和右边，我们也
-- 一样。用全 1 的图像和全 1 的卷积核，就能数出每个窗口看到多少个真实像素：

-- %% name="same"
local ones, kernel = tensor.ones(1, 6, 6, 1), tensor.ones(3, 3, 1, 1)
print "6 x 6, stride 2, padding \"same\":"
print(ops.conv2d(ones, kernel, nil, { strides = 2, padding = "same" }):reshape(3, 3))
print "the same with one zero on every side, as other libraries do:"
print(ops.conv2d(ones, kernel, nil, { strides = 2, padding = { 1, 1, 1, 1 } }):reshape(3, 3))

-- %% [markdown] name="notice-same"
-- **What to notice.** The 9s are complete windows. In the first case the incomplete ones lie at the
-- bottom and on the right, in the second at the top and on the left: the whole grid of windows is
-- shifted by one pixel. A net trained under one rule and run under the other still works, a little
-- worse, and no error is raised. When you carry weights from one library to another, look here
-- first.
--
-- ## How much of the cell does one number see?
--
-- A unit of the last map is made from 3x3 neighbours, each of them from 3x3 neighbours, and so on.
-- Each window adds its size minus one, in steps as large as all strides before it multiplied. The
-- gradient shows the same: ask which pixels change one unit in the middle of a map.

-- %% [markdown] name="notice-same-zh" lang="zh"
-- **观察要点**：9 表示完整的窗口。第一种情况下，不完整的窗口在下边和右边；第二种情况下，在上边和左
-- 边：整个窗口网格错开了一个像素。按一种规则训练、按另一种规则运行的网络仍能工作，只是稍差一些，而
-- 且不会报错。把权重从一个库搬到另一个库时，先检查这里。
--
-- ## 一个数能看到细胞的多大范围？
--
-- 最后一张特征图上的一个单元由 3x3 个相邻单元算出，其中每一个又由 3x3 个相邻单元算出，依此类推。每
-- 个窗口使感受野增加“窗口大小减一”个步幅，而步幅是此前所有步长的乘积。梯度也能说明同一件事：问一
-- 问，哪些像素会改变特征图中央的那一个单元。

-- %% name="sees"
local sees, step = 1, 1
for _, row in ipairs(model.rows) do
  local window = row.config.kernel_size or row.config.pool_size
  if window and window[1] > 1 then -- a 1x1 convolution looks at one place only
    sees, step = sees + (window[1] - 1) * step, step * row.config.strides[1]
    print(("%-20s one unit sees %3d x %-3d pixels"):format(row.name, sees, sees))
  end
end

-- %% name="sees-picture"
local picture = tensor.uniform{ 1, 64, 64, 3, seed = 1 }
picture.requires_grad = true -- the gradient is to reach the pixels too
local stage_ends = { "add_2", "add_4", "add_7" }
local _, maps = model:forward(picture, { keep = stage_ends })

local views = { columns = 3, width = 1000, height = 360 }
for i, name in ipairs(stage_ends) do
  local middle = maps[name].shape[2] // 2
  local unit = maps[name]:slice(2, middle, middle):slice(3, middle, middle)
  picture.grad = nil
  unit:square():sum():backward()
  local influence = picture.grad:abs():sum(-1):reshape(64, 64)
  views[i] = plot.heatmap{ values = (influence / influence:max()):sqrt(), format = false,
    title = "after stage " .. i }
end
plot.figure(views):save("out/04_sees.png"):show()

-- %% [markdown] name="notice-sees"
-- **What to notice.** After stage 1 a unit sees 15 pixels, about a large parasite; after stage 3 it
-- could see 67, more than the picture. *Could*: the colours show that the middle counts much more
-- than the rim (they are square roots, or the rim would not show at all).

-- %% [markdown] name="notice-sees-zh" lang="zh"
-- **观察要点**：阶段 1 之后，一个单元能看到 15 个像素宽的范围，约为一个较大疟原虫的大小；阶段 3 之
-- 后，它可以看到 67 个像素，比整幅图像还大。只是**可以**：颜色表明，中央的作用远大于边缘（图中取了
-- 平方根，否则边缘根本显不出来）。

-- %% [markdown] name="exercises"
-- ## Check yourself
--
-- A convolution with a 3 x 3 kernel takes 64 channels to 128, without a bias, and gives a map of
-- 16 x 16.
--
-- 1. How many weights does it have?
-- 2. How many multiply-adds does one picture cost?
--
-- Replace `nil` and run the lesson again. A check that is still open says so and stops nothing.

-- %% [markdown] name="exercises-zh" lang="zh"
-- ## 自测
--
-- 一个卷积的卷积核为 3 x 3，把 64 个通道变为 128 个，没有偏置，输出的特征图为 16 x 16。
--
-- 1. 它有多少个权重？
-- 2. 处理一张图像需要多少次乘加运算？
--
-- 把 `nil` 换成你的答案，再运行一次本课。尚未作答的检查会如实说明，不会中断运行。

-- %% name="answers" tags=["solution"]
local conv_weights = nil
local conv_macs = nil

-- %% name="checks" tags=["check"]
local check = giemsa.check
local probe = nn.Sequential{ nn.Conv2D{ 128, 3, padding = "same", use_bias = false,
  input_shape = { 16, 16, 64 } } }
local real = probe:count_params()
check("weights of a convolution", conv_weights and conv_weights == real,
  "kernel height x kernel width x channels in x channels out")
check("multiply-adds of a convolution", conv_macs and conv_macs == 16 * 16 * real,
  "each weight is used once at every place of the output")

-- %% [markdown] name="try"
-- ## Try it
--
-- 1. Seeds matter. Set the seed in `setup` to 1, 2 and 3 and run the lesson. In how many runs is
--    the deep plain net last? How much do the two shallow ones change places?
-- 2. Add a fourth kind, `{ title = "residual", norm = false, shortcut = true, color = "green" }`.
--    What happens to the gradients at thirty layers, and why? (What does a sum of thirty terms do
--    to the size of the signal?)
-- 3. Build the net for pictures of 96 x 96, and one with stages `{ 3, 4, 6 }`. Guess parameters and
--    MACs first, then look at the summary.
--
-- Next: `05_train`, where this net meets its teacher.

-- %% [markdown] name="try-zh" lang="zh"
-- ## 动手试试
--
-- 1. 随机种子有影响。把 `setup` 中的种子依次改成 1、2、3，各运行一次本课。有几次是深的朴素网络垫
--    底？两个浅网络的名次又变动多少？
-- 2. 增加第四种网络：`{ title = "residual", norm = false, shortcut = true, color = "green" }`。三十
--    层时梯度会怎样，为什么？（三十项之和会怎样改变信号的大小？）
-- 3. 为 96 x 96 的图像搭建这个网络，再搭建一个各阶段为 `{ 3, 4, 6 }` 的网络。先猜参数数目和 MAC
--    数，再看模型摘要。
--
-- 下一课：`05_train`，这个网络将遇见它的老师。
