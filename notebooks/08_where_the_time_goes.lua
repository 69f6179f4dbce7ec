-- ---
-- title: Where the time goes
-- seed: 42
-- measures: this machine
-- ---

-- %% [markdown] name="goal"
-- # 8. Where the time goes
--
-- **Goal:** take one real layer of the course's net, write it four times, each time with one idea
-- more, and measure on your own machine how it goes from 1 % of what the processor can do to most
-- of it; then see why the rest of the net is slow for quite another reason.
--
-- At the end there are four figures (`out/08_*.png`): how fast memory is, the four versions, the
-- roofline of your machine, and the profile of a training step. Time: about twenty seconds. All
-- numbers are measured while you read; close what else is running, and do not wonder when a number
-- differs by a tenth from run to run.
--
-- A teaching tool, not a medical device.

-- %% [markdown] name="goal-zh" lang="zh"
-- # 8. 时间花在哪里
--
-- **目标**：取出课程网络中真实的一层，把它写四遍，每遍只多用一个想法，在自己的机器上量一量，它怎样
-- 从处理器能力的 1 % 提高到大部分；然后看清网络的其余部分为什么慢，而那完全是另一个原因。
--
-- 学完之后会得到四幅图（`out/08_*.png`）：内存有多快、四个版本、你这台机器的屋顶线（roofline），以
-- 及一个训练步的性能剖析。用时：约二十秒。所有数值都在你阅读的同时测得；请关掉其他正在运行的程序，
-- 如果数值在各次运行之间相差十分之一，也不必奇怪。
--
-- 本课程是教学工具，不是医疗器械。

-- %% name="setup"
local giemsa = require "giemsa"
local core, nn, ops, optim = giemsa.core, giemsa.nn, giemsa.ops, giemsa.optim
local plot, tensor = giemsa.plot, giemsa.tensor

giemsa.random.seed(42)

local PATIENCE = giemsa.quick(0.4, 0.05) -- seconds for each measurement (0.05 in a quick run)

-- The best of many runs, in seconds: whatever disturbs a run can only make it longer.
local function seconds_of(run)
  local best, stop = math.huge, core.now() + PATIENCE
  run()
  repeat
    local start = core.now()
    run()
    best = math.min(best, core.now() - start)
  until core.now() > stop
  return best
end

local CORES = core.threads()
print(("%d cores, vectors of %d numbers"):format(CORES, core.vector_length()))

-- %% [markdown] name="roofs"
-- ## Two roofs
--
-- A processor does two things: it computes, and it fetches what it computes with. Each has a limit,
-- and no program can be faster than the lower one.
--
-- **Computing.** The unit is the multiply-add, `sum + a * b`, counted as two operations; one
-- instruction does it for a whole vector of numbers. The cell below runs nothing but multiply-adds
-- on numbers that never leave their registers: that is the roof, in GFLOP/s (thousand million
-- operations a second).
--
-- **Fetching.** It depends on where the numbers are. Near the core are small caches, further away
-- larger ones, and far away is the main memory. We measure `y = a * x` for vectors of different
-- length, and count what is read and written.

-- %% [markdown] name="roofs-zh" lang="zh"
-- ## 两个屋顶
--
-- 处理器做两件事：计算，以及取来计算所需的数据。二者各有极限，任何程序都快不过其中较低的那一个。
--
-- **计算**：单位是乘加运算 `sum + a * b`，算作两次运算；一条指令可以对整个向量同时做乘加。下面的单
-- 元只做乘加，所用的数从不离开寄存器：这就是屋顶，以 GFLOP/s（每秒十亿次运算）为单位。
--
-- **取数**：快慢取决于数据在哪里。离核心近的是小缓存，远一些的是大缓存，最远的是主内存。我们对不同
-- 长度的向量测量 `y = a * x`，统计读写的字节数。

-- %% name="roofs-code"
local PEAK = {} -- threads -> GFLOP/s
for n = 1, CORES, math.max(1, CORES - 1) do -- one, and all
  core.threads(n)
  PEAK[n] = core.machine_flops(PATIENCE) / 1e9
  print(("%d thread(s): %6.0f GFLOP/s"):format(n, PEAK[n]))
end

local sizes, speeds = {}, {}
for power = 14, 28 do
  local bytes = 1 << power
  sizes[#sizes + 1], speeds[#speeds + 1] = bytes / 1024, core.machine_bandwidth(bytes, PATIENCE / 4) / 1e9
end
local CACHE, MEMORY = speeds[8], speeds[#speeds] -- 2 MiB, 256 MiB
print(("2 MiB of numbers: %.0f GB/s; 256 MiB: %.0f GB/s"):format(CACHE, MEMORY))

plot.lines{ { x = sizes, y = speeds, style = "both" }, log = "xy",
  xrange = { 10, 400000 }, yrange = { 1, false },
  title = "How fast numbers come, by how many there are", xlabel = "KiB in use",
  ylabel = "GB/s, all cores" }:save("out/08_memory.png"):show()

-- %% [markdown] name="notice-roofs"
-- **What to notice.** The curve is a staircase going down: each step is a cache that has become too
-- small. Between the first and the last step lies a factor of ten or so.
--
-- Now divide the two roofs. How many operations must a program do with every number it fetches from
-- memory, or else wait? This is the most important figure of the lesson: **arithmetic is cheap,
-- numbers are dear.**

-- %% [markdown] name="notice-roofs-zh" lang="zh"
-- **观察要点**：曲线像一段向下的台阶：每一级都是某一层缓存不够用了。第一级与最后一级之间相差十倍左
-- 右。
--
-- 现在把两个屋顶相除。程序每从内存取来一个数，必须用它做多少次运算，才不至于空等？这是本课最重要的
-- 一个数：**运算便宜，取数昂贵**。

-- %% name="balance"
print(("this machine: %.0f operations for every number that comes from memory")
  :format(4 * PEAK[CORES] / MEMORY))

-- %% [markdown] name="layer"
-- ## A layer
--
-- We take a convolution from the last stage of the course's ResNet: 3x3, from 64 channels to 64, on
-- maps of 8x8, for a batch of 32. (The border of zeros is already there, so the maps that come in
-- are 10x10.) Its definition, with six loops and a sum:
--
-- `y[b][i][j][o] = sum over u, v, c of x[b][i+u][j+v][c] * w[u][v][c][o]`
--
-- First by hand, in Lua, for one picture:

-- %% [markdown] name="layer-zh" lang="zh"
-- ## 一层
--
-- 我们取课程 ResNet 最后一个阶段的一个卷积：3x3，64 个通道到 64 个通道，特征图为 8x8，批次为 32。
-- （边缘的零已经补好，所以输入的特征图是 10x10。）它的定义是六重循环和一个求和：
--
-- `y[b][i][j][o] = sum over u, v, c of x[b][i+u][j+v][c] * w[u][v][c][o]`
--
-- 先用 Lua 手工写，只算一张图像：

-- %% name="lua"
local x = tensor.normal{ 32, 10, 10, 64, seed = 1 }
local w = tensor.normal{ 3, 3, 64, 64, seed = 2, std = 0.05 }
local OPERATIONS = 2 * (32 * 8 * 8 * 64) * (3 * 3 * 64)

local function by_hand(picture, kernel)
  local y = {}
  for i = 1, 8 do
    for j = 1, 8 do
      for o = 1, 64 do
        local sum = 0
        for u = 1, 3 do
          for v = 1, 3 do
            local pixel, taps = picture[i + u - 1][j + v - 1], kernel[u][v]
            for c = 1, 64 do sum = sum + pixel[c] * taps[c][o] end
          end
        end
        y[#y + 1] = sum
      end
    end
  end
  return y
end

local picture, kernel = x[1]:totable(), w:totable()
local start = core.now()
local by_hand_y = by_hand(picture, kernel)
local rates = { lua = OPERATIONS / 32 / (core.now() - start) / 1e9 } -- GFLOP/s
print(("in Lua: %.3f GFLOP/s, %.2f %% of a core"):format(rates.lua, 100 * rates.lua / PEAK[1]))

-- %% [markdown] name="naive"
-- ## 1: the same loops in C
--
-- giemsa has this layer in C in three versions made to be read, `core/lesson.c`. The first is the
-- loops above, word for word. All versions run on one core; only the last of the lesson uses all.

-- %% [markdown] name="naive-zh" lang="zh"
-- ## 1：用 C 写同样的循环
--
-- giemsa 用 C 把这一层写成了三个供人阅读的版本，见 `core/lesson.c`。第一个就是上面的循环，逐字照
-- 搬。各个版本都只在一个核心上运行；只有本课最后一个版本用上所有核心。

-- %% name="naive-code"
core.threads(1)

local function measure(name, run)
  rates[name] = OPERATIONS / seconds_of(function() run():release() end) / 1e9
  print(("%-12s %7.1f GFLOP/s, %5.1f %% of a core"):format(name, rates[name],
    100 * rates[name] / PEAK[1]))
end

-- All versions must say the same.
local function check(y)
  local first, worst = y[1]:reshape(-1), 0
  for k, want in ipairs(by_hand_y) do worst = math.max(worst, math.abs(first[k] - want)) end
  assert(worst < 1e-3, "the versions disagree")
  return y
end

check(core.lesson_conv2d("naive", x, w))
measure("naive", function() return core.lesson_conv2d("naive", x, w) end)

-- %% [markdown] name="notice-naive"
-- **What to notice.** C is a good deal faster than Lua, and still uses one or two hundredths of the
-- core. Look at the innermost line: `sum += x * w`. The next addition needs the sum of the one
-- before, and an addition takes about four ticks of the clock, whatever the machine could do at the
-- same time. Two operations in four ticks: on a core with 3.7 thousand million ticks a second that
-- is 1.9 GFLOP/s. The processor is not busy. It waits for itself.
--
-- ## 2: blocked
--
-- The cure for waiting is to have something else to do. Take four neighbouring pixels and three
-- output channels: twelve sums that do not wait for each other. There is a second gain. The four
-- inputs and three weights of a step are seven numbers for twelve multiply-adds, where the naive
-- loop fetched two for each. Sums, inputs and weights all fit into registers.

-- %% [markdown] name="notice-naive-zh" lang="zh"
-- **观察要点**：C 比 Lua 快得多，却仍只用到核心能力的百分之一二。看最内层的那一行：`sum += x * w`。
-- 下一次加法要等上一次的和，而一次加法约需四个时钟周期，不论机器在此期间还能做多少别的事。四个周期
-- 两次运算：在每秒 37 亿个周期的核心上，就是 1.9 GFLOP/s。处理器并不忙，它在等自己。
--
-- ## 2：分块
--
-- 治等待的办法是手头有别的事可做。取四个相邻像素和三个输出通道：十二个和互不等待。还有第二个好处。
-- 每一步的四个输入和三个权重，一共七个数，供十二次乘加使用；而朴素的循环每次乘加都要取两个数。和、
-- 输入、权重全都放得进寄存器。

-- %% name="blocked-code"
check(core.lesson_conv2d("blocked", x, w))
measure("blocked", function() return core.lesson_conv2d("blocked", x, w) end)

-- %% [markdown] name="vectorised"
-- ## 3: vectorised
--
-- The same block once more, with a *vector* wherever a number stood: 4, 8 or 16 neighbouring
-- channels that one instruction multiplies and adds. In `core/lesson.c` the two versions stand
-- below each other; hardly a line differs. (The compiler would do some of this by itself; in the
-- blocked version it was kept from it, or you could not see the difference.)

-- %% [markdown] name="vectorised-zh" lang="zh"
-- ## 3：向量化
--
-- 还是同样的分块，只是原来放一个数的地方都换成一个**向量**：4、8 或 16 个相邻通道，由一条指令同时乘
-- 加。在 `core/lesson.c` 中，两个版本上下相邻，几乎没有哪一行不同。（编译器自己也会做一部分这样的
-- 事；在分块版本中我们禁止它这样做，否则你就看不出差别了。）

-- %% name="vectorised-code"
check(core.lesson_conv2d("vectorised", x, w))
measure("vectorised", function() return core.lesson_conv2d("vectorised", x, w) end)

-- %% [markdown] name="product"
-- ## 4: the product, on all cores
--
-- What giemsa really runs has the same ideas and all the edges that the lesson's version leaves
-- out: any padding, stride and number of channels, weights laid out in the order in which they are
-- needed. And it cuts the work into pieces for all cores. The pieces do not depend on how many
-- cores there are, so neither do the numbers.

-- %% [markdown] name="product-zh" lang="zh"
-- ## 4：成品，用上所有核心
--
-- giemsa 实际运行的代码用的是同样的想法，再加上课堂版本略去的所有边角情形：任意的填充、步长和通道
-- 数，权重按使用的顺序排列。它还把工作切成小块，分给所有核心。怎样切块与核心数无关，所以得到的数值
-- 也与核心数无关。

-- %% name="product-code"
local function product() return core.conv2d(x, w, 1, 1, 0, 0, 0, 0) end
check(product())
measure("product", product)
core.threads(CORES)
measure("all cores", product)

-- %% name="versions-figure"
local names, bars = { "lua", "naive", "blocked", "vectorised", "product", "all cores" }, {}
for i, name in ipairs(names) do bars[i] = rates[name] end
plot.bars{ labels = names, values = bars, horizontal = true, format = "%.2f", height = 340,
  title = "One layer, six ways", xlabel = "GFLOP/s" }:save("out/08_versions.png"):show()

-- %% [markdown] name="notice-versions"
-- **What to notice.** From the naive loop to the last bar the arithmetic did not change: the same
-- multiplications, the same additions. What changed is how often a number is fetched, and how many
-- sums are under way at a time.
--
-- ## The roofline
--
-- Which roof holds a program down? Divide its operations by the bytes it *must* fetch and store.
-- Our layer has 151 million operations and touches 1.5 MB: a hundred operations a byte. It should
-- be held by the roof of computing, and at last it is.
--
-- The other layers of the net are of another kind. ReLU: one operation, eight bytes (read one
-- number, write one). An addition of two maps: one operation, twelve bytes. Batch normalisation
-- reads the map twice, once for mean and deviation. Let us measure them, on what the net's first
-- convolution gives for a batch of 64, and draw them all in one picture: operations a byte to the
-- right, operations a second upwards, both on logarithmic axes. The two roofs become a slope and a
-- ceiling; a cache has a slope of its own.

-- %% [markdown] name="notice-versions-zh" lang="zh"
-- **观察要点**：从朴素的循环到最后一根柱子，算术没有改变：同样的乘法，同样的加法。改变的是一个数要
-- 取多少次，以及有多少个和在同时进行。
--
-- ## 屋顶线
--
-- 压住一个程序的是哪一个屋顶？用它的运算次数除以它**必须**读取和写回的字节数。我们的这一层有 1.51
-- 亿次运算，涉及 1.5 MB：每字节一百次运算。压住它的应当是计算的屋顶；到最后一个版本，果真如此。
--
-- 网络的其他层则是另一类。ReLU：一次运算，八个字节（读一个数，写一个数）。两张特征图相加：一次运
-- 算，十二个字节。批归一化要把特征图读两遍，其中一遍用来求均值和标准差。我们用网络第一个卷积对 64
-- 张的批次给出的特征图来测量它们，并全部画进一幅图：向右是每字节的运算次数，向上是每秒的运算次数，
-- 两轴都取对数。两个屋顶成了一道斜坡和一片天花板；缓存另有它自己的斜坡。

-- %% name="others"
local map = tensor.normal{ 64, 64, 64, 32, seed = 3 } -- 32 MiB
local other = tensor.normal{ 64, 64, 64, 32, seed = 4 }
local gamma, beta = tensor.ones(32), tensor.zeros(32)
local BYTES = 4 * map.size

-- { name, operations a byte, GFLOP/s }
local points = {}
local function add_point(name, operations, bytes, rate)
  points[#points + 1] = { name, operations / bytes, rate }
  print(("%-12s %8.2f operations a byte  %8.1f GFLOP/s  %6.1f GB/s"):format(name,
    operations / bytes, rate, rate * bytes / operations))
end

local function elementwise(name, operations, passes, run)
  local seconds = giemsa.grad.no_grad(seconds_of, function() run():release() end)
  add_point(name, operations * map.size, passes * BYTES, operations * map.size / seconds / 1e9)
end

elementwise("relu", 1, 2, function() return ops.relu(map) end)
elementwise("add", 1, 3, function() return ops.add(map, other) end)
elementwise("batch norm", 5, 3, function()
  return ops.batch_norm(map, gamma, beta, nil, nil, { training = true })
end)
local touched = 4 * (x.size + w.size + 32 * 8 * 8 * 64)
for _, name in ipairs{ "naive", "vectorised", "all cores" } do
  add_point(name, OPERATIONS, touched, rates[name])
end

-- %% name="roofline-figure"
PEAK[CORES] = math.max(PEAK[CORES], core.machine_flops(PATIENCE) / 1e9) -- was something in the way?

local function roof(peak, bandwidth, title, color, dash)
  return { x = { 0.03, peak / bandwidth, 1000 }, y = { 0.03 * bandwidth, peak, peak },
    title = title, color = color, dash = dash }
end

local figure = { roof(PEAK[CORES], MEMORY, "from memory", "black"),
  roof(PEAK[CORES], CACHE, "from a cache", "grey"),
  roof(PEAK[1], MEMORY, "one core", "grey", true), log = "xy", xrange = { 0.03, 1000 },
  title = "The roofline of this machine", xlabel = "operations a byte", ylabel = "GFLOP/s",
  legend = "outside", width = 900 }
for _, point in ipairs(points) do
  figure[#figure + 1] = { x = { point[2] }, y = { point[3] }, style = "points", size = 1.6,
    title = point[1], color = plot.color_order[#figure - 2] }
end
plot.lines(figure):save("out/08_roofline.png"):show()

-- %% [markdown] name="notice-roofline"
-- **What to notice.** The convolution climbed straight up: more skill, the same operations a byte.
-- The points on the left cannot climb. They lie at the slope, where only memory counts, and no
-- cleverness in arithmetic will help them. (They may lie a little above it: part of a map may still
-- be in a large cache from the time before.)
--
-- ## Fused
--
-- There is one way to help them: do not come back to memory so often. A batch norm writes its map,
-- the ReLU reads it and writes it again, the convolution reads it once more. All three could happen
-- while the numbers are at hand. This is called *fusing*. giemsa looks for such neighbours when a
-- model is run; `GIEMSA_FUSE=0` in the environment stops it. Here is a part of a module, forward
-- and backward, both ways:

-- %% [markdown] name="notice-roofline-zh" lang="zh"
-- **观察要点**：卷积笔直地向上爬：技巧更多了，每字节的运算次数不变。左边的点爬不上去。它们落在斜坡
-- 上，那里只有内存说了算，算术上再聪明也帮不了它们。（它们可能略高于斜坡：特征图的一部分也许还留在
-- 上一次的大缓存里。）
--
-- ## 融合
--
-- 有一个办法可以帮它们：不要那么频繁地回到内存。批归一化写出特征图，ReLU 把它读进来又写出去，卷积再
-- 读一遍。其实趁这些数还在手边，三件事可以一并做完。这叫作**融合**。运行模型时，giemsa 会寻找这样相
-- 邻的层；在环境变量中设置 `GIEMSA_FUSE=0` 就不再这样做。下面是一个模块的一部分，前向和反向，两种做
-- 法都试：

-- %% name="fused"
local features = tensor.normal{ 32, 32, 32, 64, seed = 5 }

local function module_step(fused)
  local fuse = require "giemsa.nn.fuse"
  local before = fuse.wanted
  fuse.wanted = fused
  local input = nn.Input{ 32, 32, 64 }
  local h = nn.BatchNormalization{}(nn.Conv2D{ 64, 1, use_bias = false }(input))
  h = nn.Conv2D{ 16, 1, use_bias = false }(nn.ReLU{}(h))
  local model = nn.Model(input, h)
  local function step()
    model:forward(features, { training = true }):sum():backward{ free = true }
    model:zero_grad()
  end
  step() -- how it runs is decided at the first run
  fuse.wanted = before
  return step
end

for _, fused in ipairs{ false, true } do
  local step = module_step(fused)
  local bytes = 0
  for _, op in ipairs(giemsa.profile(step, { runs = 1 }).ops) do bytes = bytes + op.bytes end
  print(("%-8s %6.2f ms, ops that touch %4.0f MB"):format(fused and "fused" or "plain",
    1e3 * seconds_of(step), bytes / 1e6))
end

-- %% [markdown] name="step"
-- **What to notice.** The same layers, the same numbers but for rounding, fewer bytes.
--
-- ## A whole training step
--
-- Now you can read a profile. `giemsa.profile` looks at the clock before and after every operation
-- of a function: here, one training step of the course's net with a batch of 32.

-- %% [markdown] name="step-zh" lang="zh"
-- **观察要点**：同样的层，除舍入误差外同样的数值，字节更少。
--
-- ## 完整的训练步
--
-- 现在你能读懂性能剖析了。`giemsa.profile` 在一个函数的每个运算前后各看一次时钟：这里是课程网络的一
-- 个训练步，批次为 32。

-- %% name="profile"
local model = nn.ResNet.build(64, 64, 3, 2, { 2, 2, 3 }, { 32, 64, 128, 256 }, { reg = 0.0005 })
model:compile{ loss = "binary_crossentropy", optimizer = optim.SGD{ lr = 0.01, momentum = 0.9 } }
local pictures = tensor.uniform{ 32, 64, 64, 3, seed = 6 }
local classes = {}
for i = 1, 32 do classes[i] = 1 + i % 2 end
local labels = core.one_hot(tensor(classes), 2)

local function step() giemsa.train.step(model, pictures, labels) end
local report = giemsa.profile(step)
print(report)
report:plot():save("out/08_profile.png"):show()

-- %% name="profile-layers"
print(report:layers(12))

-- %% [markdown] name="notice-profile"
-- **What to notice.**
--
-- - **The backward pass costs about twice the forward pass.** Each layer is asked twice: how would
--   the loss change with its weights, and how with its input?
-- - **GFLOP/s tell convolutions apart.** Those with many channels come near the roof, the 1x1
--   convolutions and those with sixteen channels do not: they do too little with each number.
-- - **Where GB/s is high and GFLOP/s is empty, memory is the limit.** Such an operation gets faster
--   only by touching fewer bytes.
-- - **Lua** is what nobody else accounts for: the loop over the layers, the tape, the optimiser's
--   book-keeping. A hundred operations in a slow language cost little; a million numbers would not.
--
-- ## The dearest memory is new memory
--
-- One thing is not in any roofline. Memory that a program gets from the system comes in *pages*,
-- and the system must find, clear and enter each page when it is first touched. So we write the
-- same 64 MiB twice: into memory that was used before, and into memory that is new each time.

-- %% [markdown] name="notice-profile-zh" lang="zh"
-- **观察要点**：
--
-- - **反向传播的代价约为前向传播的两倍**。每一层都要被问两次：损失怎样随它的权重变化，又怎样随它的
--   输入变化？
-- - **GFLOP/s 把卷积区分开来**。通道多的接近屋顶，1x1 卷积和十六个通道的卷积则不然：它们对每个数做
--   的运算太少。
-- - **凡是 GB/s 很高而 GFLOP/s 一栏空着的地方，瓶颈就是内存**。这样的运算只有少碰一些字节才能更快。
-- - **Lua** 一项是别处都没有计入的时间：遍历各层的循环、计算记录（tape）、优化器的记账。在慢的语言
--   里做一百次运算花不了多少时间，处理一百万个数就不同了。
--
-- ## 最昂贵的内存是新内存
--
-- 有一件事不在任何屋顶线图中。程序从系统得到的内存以**页**为单位，每一页第一次被访问时，系统都要找
-- 到它、清零并登记。所以我们把同样的 64 MiB 写两遍：一遍写入用过的内存，一遍每次都写入新的内存。

-- %% name="pages"
local function write_map()
  local big = core.full({ 1 << 24 }, 1)
  big:release() -- giemsa keeps the memory, for the next one
end
local used = seconds_of(write_map)
local new = seconds_of(function()
  write_map()
  core.trim() -- gives what is kept back to the system
end)
print(("64 MiB in used memory: %5.1f GB/s; in new memory: %5.1f GB/s")
  :format((1 << 26) / used / 1e9, (1 << 26) / new / 1e9))

-- Steps in turn: on memory of the step before, and on new memory.
local function seconds_once(run)
  local before = core.now()
  run()
  return core.now() - before
end

local reusing, starting_anew = math.huge, math.huge
for _ = 1, 12 do
  reusing = math.min(reusing, seconds_once(step))
  core.trim()
  starting_anew = math.min(starting_anew, seconds_once(step))
end
print(("a training step: %.1f ms, on new memory %.1f ms"):format(1e3 * reusing,
  1e3 * starting_anew))

-- %% [markdown] name="heap"
-- **What to notice.** New memory is several times dearer than used memory. A training step
-- allocates and frees a few hundred megabytes of maps, always the same ones. giemsa takes them from
-- the system once, in the first step, and hands them out again and again (`core/mem.c`, a hundred
-- lines).
--
-- PyTorch leaves this to the C library, and the library gives large blocks back to the system as
-- soon as they are free. So PyTorch pays for new pages in every step, unless one tells the library
-- otherwise, with a long line in the environment (it stands in `tests/bench/contender.lua`). On one
-- machine, two cores of an AMD EPYC of 2022, a training step of the course's net with PyTorch 1.13
-- took 217 ms as it comes and 177 ms with that line: a fifth of the time went into pages. (Both
-- with its best memory layout; medians, in turns.) Whenever you read that one program is faster
-- than another, ask about such things first: often it is not the arithmetic that was measured.
--
-- `make bench` makes this comparison on your machine, if PyTorch is there. It lets the contenders
-- take turns, round by round, since a laptop that gets warm slows down whoever runs last.
--
-- ## Try it
--
-- 1. In the layer cell, change 64 channels to 8, then to 256 (in `x`, `w`, the loops and
--    `OPERATIONS`). Which versions suffer from few channels, and why?
-- 2. Open `core/lesson.c` and change `PIXELS` and `CHANNELS`. Twelve sums and a few inputs and
--    weights fit into the sixteen registers of an older processor. Try 2 x 2, and 6 x 6. Then
--    `make`, and run the lesson again.
-- 3. Profile inference instead: `giemsa.profile(function() model(pictures) end)`, with a batch of
--    32 and of 1. What changes in the share of Lua? Then do it inside `giemsa.grad.no_grad`. Where
--    have the operations gone? (`lua/giemsa/nn/infer.lua` tells, and why it is faster.)
-- 4. Run the lesson with `GIEMSA_ISA=base` in the environment: the same code for the processors of
--    2003. Which bars of the second figure change, and which do not?

-- %% [markdown] name="heap-zh" lang="zh"
-- **观察要点**：新内存比用过的内存贵好几倍。一个训练步要分配和释放几百兆字节的特征图，而且总是同样
-- 的那些。giemsa 只在第一步向系统要一次，然后反复分发使用（`core/mem.c`，一百行）。
--
-- PyTorch 把这件事交给 C 库，而 C 库一有大块内存空闲就还给系统。所以 PyTorch 每一步都要为新页付出代
-- 价，除非用一长串环境变量告诉 C 库别这样做（写在 `tests/bench/contender.lua` 中）。在一台机器上
-- （2022 年的 AMD EPYC，双核），用 PyTorch 1.13 训练课程网络的一步，默认需要 217 ms，加上那串设置是
-- 177 ms：五分之一的时间花在了页上。（两者都采用其最佳的内存布局；交替运行，取中位数。）以后每读到
-- 一个程序比另一个快，先问问这类事情：测到的往往并不是算术。
--
-- 如果装有 PyTorch，`make bench` 会在你的机器上做这项比较。它让双方一轮一轮地交替运行，因为笔记本电
-- 脑一旦发热，后运行的就会吃亏。
--
-- ## 动手试试
--
-- 1. 在那一层的单元里，把 64 个通道改成 8 个，再改成 256 个（在 `x`、`w`、循环和 `OPERATIONS`
--    中）。通道少时哪些版本会受损，为什么？
-- 2. 打开 `core/lesson.c`，修改 `PIXELS` 和 `CHANNELS`。十二个和加上少量输入与权重，正好放得进老处
--    理器的十六个寄存器。试试 2 x 2 和 6 x 6。然后 `make`，再运行一次本课。
-- 3. 改为剖析推理：`giemsa.profile(function() model(pictures) end)`，批次分别为 32 和 1。Lua 所占的
--    份额有什么变化？再放到 `giemsa.grad.no_grad` 里面做一次。那些运算到哪里去了？（去了哪里、为什么
--    更快，`lua/giemsa/nn/infer.lua` 里有说明。）
-- 4. 在环境变量中设置 `GIEMSA_ISA=base` 再运行本课：同样的代码，按 2003 年的处理器来运行。第二幅图
--    中哪些柱子变了，哪些没有变？
