-- ---
-- title: Dealing the pictures, and how the deal can deceive
-- seed: 42
-- ---

-- %% [markdown] name="goal"
-- # 2. Dealing the pictures, and how the deal can deceive
--
-- **Goal:** split a data set into training, validation and testing as the course does, know why
-- each step is there, and see what happens to a score when the same patient stands on both sides.
--
-- At the end you will have two data sets on disk (one split at random, one split by patient), a
-- table of their counts, and a measured answer to "how many points can a program get without
-- looking at the picture?" Time: about twenty seconds of computing, half an hour of reading.

-- %% [markdown] name="goal-zh" lang="zh"
-- # 2. 划分图像，以及划分怎样会骗人
--
-- **目标**：像本课程那样把数据集划分为训练集、验证集和测试集，知道每一步的理由，并看到同一名患者同
-- 时出现在两边时，分数会怎样。
--
-- 学完本课，磁盘上会有两份数据集（一份随机划分，一份按患者划分），一张各部分数量的表，以及对“程序不
-- 看图像能得多少分”这个问题的实测答案。所需时间：计算约二十秒，阅读半小时。

-- %% name="setup"
local giemsa = require "giemsa"
local datasets = require "datasets"
local build_dataset = require "datasets.build_dataset"
local source = require "datasets.source"
local split = require "datasets.split"
local data, image, plot, random = giemsa.data, giemsa.image, giemsa.plot, giemsa.random

local set = datasets.ensure(os.getenv("GIEMSA_DATA"))
local from = set.dir == "data/synthetic" and "data/synthetic_cells" or set.dir
local cells = assert(source.open(from)).images -- sorted by class and name
print(("%d cells from %s; the first is %s/%s"):format(#cells, from, cells[1].class, cells[1].name))

-- %% [markdown] name="three-roles"
-- ## Three roles
--
-- A network can learn its training pictures by heart, as a pupil can learn last year's exam. So it
-- is never judged on them. The pictures are dealt to three piles that never mix:
--
-- - **training**: the textbook. The network sees these pictures again and again and adjusts its
--   weights to them.
-- - **validation**: the mock exam. *You* look at it, many times: is it getting better, should I
--   stop, was the other learning rate better? You adjust yourself to it.
-- - **testing**: the exam. Opened once, at the end, when nothing will be changed any more.
--
-- The course takes 20 % for testing, and a tenth of the other 80 % for validation. Its recipe: make
-- a list of all files, shuffle it with seed 42, cut it twice. In Lua it is this.

-- %% [markdown] name="three-roles-zh" lang="zh"
-- ## 三个角色
--
-- 网络可以把训练图像背下来，就像学生可以背下去年的试卷。所以绝不能用训练图像来评判它。图像要分成三
-- 堆，互不混杂：
--
-- - **训练集**（training）：课本。网络反复地看这些图像，并据此调整自己的权重。
-- - **验证集**（validation）：模拟考试。**你**会看它很多次：有没有进步，要不要停下，换一个学习率是
--   不是更好？你是在根据它调整自己。
-- - **测试集**（testing）：正式考试。只在最后、不再改动任何东西时，打开一次。
--
-- 本课程取 20 % 作测试，再从其余 80 % 中取十分之一作验证。它的做法是：列出所有文件，用种子 42 打
-- 乱，切两刀。用 Lua 写就是下面这样。

-- %% name="deal"
-- The side of each picture of the list, by the course's recipe.
local function deal(list, order)
  local n = #list
  local train = math.floor(n * 0.8) -- what is not for testing
  local validation = math.floor(train * 0.1) -- the first tenth of that
  local side_of = {}
  for place, i in ipairs(order) do
    side_of[list[i]] = place <= validation and "validation"
      or place <= train and "training" or "testing"
  end
  return side_of
end

local function print_counts(side_of)
  for _, side in ipairs { "training", "validation", "testing" } do
    local count = { Parasitized = 0, Uninfected = 0 }
    for cell, its in pairs(side_of) do
      if its == side then count[cell.class] = count[cell.class] + 1 end
    end
    print(("%-12s Parasitized %4d   Uninfected %4d")
      :format(side, count.Parasitized, count.Uninfected))
  end
end

local as_in_course = deal(cells, random.python_shuffle(#cells, 42))
print_counts(as_in_course)

-- %% [markdown] name="notice-deal"
-- **What to notice.** 500 pictures become 360, 40 and 100; the 27,558 of the full set become
-- 19,842, 2,204 and 5,512. The classes come out only *nearly* equal, since nobody asked for
-- equality: it is luck. With forty pictures luck is rough, with thousands it is smooth.
--
-- ## Why shuffle first
--
-- Leave the shuffle out and cut the sorted list.

-- %% [markdown] name="notice-deal-zh" lang="zh"
-- **观察要点**：500 张图像变成 360、40 和 100 张；完整数据集的 27,558 张变成 19,842、2,204 和 5,512
-- 张。两个类别只是**大致**相等，因为没有人要求它们相等：全凭运气。只有四十张图像时，运气的起伏很
-- 大；有几千张时，就平稳了。
--
-- ## 为什么要先打乱
--
-- 不打乱，直接切分排好序的列表试试。

-- %% name="no-shuffle"
local in_order = {}
for i = 1, #cells do in_order[i] = i end
print_counts(deal(cells, in_order))

-- %% [markdown] name="notice-no-shuffle"
-- **What to notice.** The list is sorted by class, so the last fifth is all of one class. The exam
-- asks about one thing only, and a program that always says "Uninfected" gets full marks. The
-- validation pile is all of the other class. Nothing crashes and nothing warns. Files come sorted
-- by class, by patient, by day; data that was not shuffled is the commonest silent mistake there
-- is.
--
-- ## Why sorted first, and why a seed
--
-- Shuffled with a seed means: mixed, but the same way every time. Two people can then talk about
-- the same test. Two things have to be the same for that: the generator of random numbers, and *the
-- list it is given*.
--
-- The course's program runs under Python, so giemsa repeats Python's generator and Python's way of
-- shuffling, to the last number. Ask Python for `random.seed(42)` and a shuffle of 0 to 9, and it
-- says 7 3 2 8 5 6 9 4 0 1.

-- %% [markdown] name="notice-no-shuffle-zh" lang="zh"
-- **观察要点**：列表是按类别排序的，所以最后五分之一全属于同一个类别。考试只考一件事，一个总是回
-- 答“Uninfected”的程序能得满分。而验证集则全是另一个类别。没有任何东西崩溃，也没有任何警告。文件拿
-- 到手时总是排好序的：按类别、按患者、按日期；数据没有打乱，是最常见的、不声不响的错误。
--
-- ## 为什么要先排序，为什么要有种子
--
-- 用种子打乱的意思是：打乱，但每次都打乱成同样的顺序。这样，两个人才能谈论同一个测试。为此有两样东
-- 西必须相同：随机数生成器，以及**交给它的列表**。
--
-- 本课程的程序用 Python 运行，所以 giemsa 重现了 Python 的随机数生成器和 Python 的打乱方法，每一个
-- 数都一致。在 Python 里执行 `random.seed(42)`，再打乱 0 到 9，得到的是 7 3 2 8 5 6 9 4 0 1。

-- %% name="python"
local ten = random.python_shuffle(10, 42) -- counts from 1, as Lua does
for i, v in ipairs(ten) do ten[i] = v - 1 end
print("giemsa, less one: " .. table.concat(ten, " "))

local function same_test(a, b)
  local both, all = 0, 0
  for cell, side in pairs(a) do
    if side == "testing" then
      all = all + 1
      if b[cell] == "testing" then both = both + 1 end
    end
  end
  return ("%d of the %d test pictures are the same"):format(both, all)
end

local backwards = table.move(cells, 1, #cells, 1, {})
table.sort(backwards, function(a, b) return a.key > b.key end)
local order, other = random.python_shuffle(#cells, 42), random.python_shuffle(#cells, 43)
print("seed 42 again:               " .. same_test(as_in_course, deal(cells, order)))
print("seed 43:                     " .. same_test(as_in_course, deal(cells, other)))
print("seed 42, list the other way: " .. same_test(as_in_course, deal(backwards, order)))

-- %% [markdown] name="notice-python"
-- **What to notice.** The last line. The course's program takes the files as the operating system
-- lists them, and that order differs from disk to disk. The same seed on another machine then deals
-- another test: a fifth of it agrees, which is what chance gives. That is why giemsa sorts the list
-- before it shuffles. It also means that you cannot get exactly the author's split, except on the
-- author's disk. No harm, as long as everybody who compares two numbers uses one split.
--
-- ## On disk
--
-- `build_dataset` does the same with files: it puts each picture into `training/CLASS`,
-- `validation/CLASS` or `testing/CLASS`. The bytes are shared with the originals where the disk
-- allows it, so it costs no room. A `MANIFEST` remembers what was made, and the SHA-256 of it all,
-- so that a model can later say which data it saw.

-- %% [markdown] name="notice-python-zh" lang="zh"
-- **观察要点**：看最后一行。课程的程序按操作系统列出文件的顺序读取，而这个顺序因磁盘而异。于是同一
-- 个种子在另一台机器上分出的是另一个测试集：只有五分之一相同，恰好是碰运气的水平。正因如此，giemsa
-- 在打乱之前先把列表排序。这也意味着，你不可能得到与课程作者完全相同的划分，除非用的就是作者的磁
-- 盘。这没有关系，只要所有要比较两个数值的人使用同一种划分。
--
-- ## 写到磁盘上
--
-- `build_dataset` 对文件做同样的事：把每张图像放进 `training/CLASS`、`validation/CLASS` 或
-- `testing/CLASS`。只要磁盘允许，就与原文件共享同一份数据，因此不占空间。`MANIFEST` 文件记下做了什
-- 么，以及全部内容的 SHA-256，这样模型日后就能说明自己见过哪些数据。

-- %% name="build"
local at_random = build_dataset.build { from = from, to = "data/02_random", say = false }
local side_of_name = {}
for cell, side in pairs(as_in_course) do side_of_name[cell.class .. "/" .. cell.name] = side end

local function names_in(folder) -- "Parasitized/C33P1...png", ...
  return data.ImageDataGenerator{}:flow_from_directory(folder, { verbose = false }).filenames
end
local names, differ = {}, 0
for _, side in ipairs { "training", "validation", "testing" } do
  names[side] = names_in(at_random[side])
  for _, name in ipairs(names[side]) do
    if side_of_name[name] ~= side then differ = differ + 1 end
  end
end
print(("made data/02_random: %d + %d + %d")
  :format(#names.training, #names.validation, #names.testing))
print(differ .. " pictures lie elsewhere than our own lines above would put them")
print("sha256 " .. at_random.sha256:sub(1, 16) .. "...")

-- %% [markdown] name="notice-build"
-- **What to notice.** Zero: the builder is the few lines above, plus care for files. It would have
-- printed a warning, too, had we not silenced it with `say = false`. Let us find out ourselves what
-- it wanted to say.
--
-- ## The same patient on both sides
--
-- A picture that is in training cannot be in testing. But its *neighbour* can: another cell of the
-- same person, the same slide, the same photograph, cut out a few hundredths of a millimetre away.

-- %% [markdown] name="notice-build-zh" lang="zh"
-- **观察要点**：是零。这个构建程序就是上面那几行，再加上对文件的小心处理。它本来还会打印一条警告，
-- 只是我们用 `say = false` 让它不要作声。它想说什么，我们自己来查明。
--
-- ## 同一名患者出现在两边
--
-- 训练集里的图像不可能出现在测试集里。但它的**邻居**可以：同一个人、同一张玻片、同一张照片上的另一
-- 个细胞，裁切位置只隔着百分之几毫米。

-- %% name="leak"
local function photograph(name) return name:match("([^/]+)_cell_") or name end

local taught = { patient = {}, photograph = {} }
for _, name in ipairs(names.training) do
  taught.patient[data.patient_of(name) or name] = true
  taught.photograph[photograph(name)] = true
end
local known_patient, known_photograph = 0, 0
for _, name in ipairs(names.testing) do
  if taught.patient[data.patient_of(name) or name] then known_patient = known_patient + 1 end
  if taught.photograph[photograph(name)] then known_photograph = known_photograph + 1 end
end
print(#data.leakage(names.training, names.testing) .. " patients are in training and in testing")
print(("of the %d test cells, %d are of a patient who is in training,")
  :format(#names.testing, known_patient))
print(("and %d come from a photograph that is in training"):format(known_photograph))

-- %% name="show-leak"
-- A test cell in front, then training cells of the same photograph or patient.
local shown, captions, colors, used = {}, {}, {}, {}
for _, name in ipairs(names.testing) do
  local patient, friends = data.patient_of(name), {}
  for _, other in ipairs(names.training) do
    if patient and data.patient_of(other) == patient then
      local place = photograph(other) == photograph(name) and 1 or #friends + 1
      table.insert(friends, place, other)
    end
  end
  if #friends >= 5 and not used[patient] and #shown < 24 then
    used[patient] = true
    shown[#shown + 1] = at_random.testing .. "/" .. name
    captions[#shown], colors[#shown] = "test: " .. patient, "vermillion"
    for i = 1, 5 do
      shown[#shown + 1] = at_random.training .. "/" .. friends[i]
      captions[#shown], colors[#shown] = "training: " .. patient, "grey"
    end
  end
end
plot.images(shown, { captions = captions, colors = colors, columns = 6, tile = 112 })
  :save("out/02_leak.png"):show()

-- %% [markdown] name="notice-leak"
-- **What to notice.** Each row is one person: stain, light and background are the same. Nearly
-- every test cell has such acquaintances in training. So this test asks: *can you judge another
-- cell of a patient you have already studied?* The clinic asks: *can you judge a cell of somebody
-- you have never seen?* The second question is harder, and only it matters.
--
-- ## How much is that worth?
--
-- Let us write two programs that have no idea of malaria.
--
-- - The first does not look at the picture at all. It reads the **patient's name** and says the
--   class that is commoner among this patient's training cells. A patient it does not know gets the
--   commoner class of all.
-- - The second looks for the **most similar training picture**, shrunk to 4 x 4 pixels, and repeats
--   its label. In 4 x 4 pixels no parasite is left, only the stain.

-- %% [markdown] name="notice-leak-zh" lang="zh"
-- **观察要点**：每一行是一个人：染色、光照和背景都相同。几乎每个测试细胞在训练集里都有这样的熟人。
-- 所以这个测试问的是：**你能判断一名已经研究过的患者的另一个细胞吗**？而诊所问的是：**你能判断一个
-- 从未见过的人的细胞吗**？第二个问题更难，而且只有它才重要。
--
-- ## 这值多少分？
--
-- 我们来写两个对疟疾一无所知的程序。
--
-- - 第一个根本不看图像。它读取**患者的名字**，回答这名患者的训练细胞中较多的那个类别；遇到不认识的
--   患者，就回答总体上较多的类别。
-- - 第二个把图像缩小到 4 x 4 像素，寻找**最相似的训练图像**，并重复它的标签。在 4 x 4 像素里，疟原
--   虫已无影无踪，只剩下染色。

-- %% name="by-name"
local function share(pile, sides, guess) -- per cent of the test cells guessed right
  local right, n = 0, 0
  for i, cell in ipairs(pile) do
    if sides[i] == "testing" then
      n = n + 1
      if guess(i) == cell.class then right = right + 1 end
    end
  end
  return 100 * right / n
end

local function guess_by_name(few, sides)
  local lead, all = {}, 0 -- how many more parasitized than uninfected cells were seen
  for i, cell in ipairs(few) do
    if sides[i] == "training" then
      local one = cell.class == "Parasitized" and 1 or -1
      local key = cell.patient or i
      lead[key], all = (lead[key] or 0) + one, all + one
    end
  end
  return share(few, sides, function(i)
    return (lead[few[i].patient or i] or all) > 0 and "Parasitized" or "Uninfected"
  end)
end

-- %% name="by-picture"
local few = #cells <= 1000 and cells or random.sample(cells, 1000)
local tiny = { target_size = { 4, 4 }, interpolation = "area" }
local x = giemsa.tensor.zeros(#few, 4 * 4 * 3)
for i, cell in ipairs(few) do
  x[i] = image.load(from .. "/" .. cell.path, tiny):to_tensor():reshape(-1)
end
-- |a - b|^2 = |a|^2 + |b|^2 - 2 ab, for all pairs at once
local squares, products = (x * x):sum(2), x:matmul(x:transpose(1, 2))
local distance = (squares:reshape(-1, 1) + squares:reshape(1, -1) - products * 2):totable()

local function guess_by_picture(sides)
  return share(few, sides, function(i)
    local nearest, least = nil, math.huge
    for j, d in ipairs(distance[i]) do
      if sides[j] == "training" and d < least then nearest, least = j, d end
    end
    return few[nearest].class
  end)
end

-- %% [markdown] name="why-two-splits"
-- One split is one throw of dice, so both programs are tried on ten random splits and on ten splits
-- **by patient**. The latter puts all cells of a patient on one side, and tries to come near the
-- same 80 and 20 %.

-- %% [markdown] name="why-two-splits-zh" lang="zh"
-- 一次划分就像掷一次骰子，所以两个程序都在十种随机划分和十种**按患者**的划分上各试一遍。后者把同一
-- 名患者的所有细胞放在同一边，并尽量接近同样的 80 % 与 20 %。

-- %% name="measure-leak"
local score = { { name = {}, picture = {}, people = {} }, { name = {}, picture = {}, people = {} } }
for seed = 1, 10 do
  local splits = { split.at_random(#few, seed, 0.8, 0.1), split.by_patient(few, seed, 0.8, 0.1) }
  for k, sides in ipairs(splits) do
    local tested, people = {}, 0
    for i, cell in ipairs(few) do
      local who = cell.patient or i
      if sides[i] == "testing" and not tested[who] then tested[who], people = true, people + 1 end
    end
    score[k].name[seed] = guess_by_name(few, sides)
    score[k].picture[seed] = guess_by_picture(sides)
    score[k].people[seed] = people
  end
end

local function mean_and_spread(values)
  local t = giemsa.tensor(values)
  return t:mean():item(), t:std():item()
end
for k, how in ipairs { "at random", "by patient" } do
  local name, picture = mean_and_spread(score[k].name), mean_and_spread(score[k].picture)
  print(("%-11s by name %.0f %%, by similar picture %.0f %%; %.0f people are tested")
    :format(how, name, picture, (mean_and_spread(score[k].people))))
end

-- %% name="plot-leak"
local bars = { labels = { "patient's name only", "most similar picture, 4 x 4" }, series = {},
  title = "What two programs score that know nothing of malaria",
  format = "%.0f %%", yrange = { 0, 100 }, ylabel = "% of test cells right" }
for k, how in ipairs { "split at random", "split by patient" } do
  local one = { title = how, values = {}, errors = {} }
  for i, key in ipairs { "name", "picture" } do
    local mean, spread = mean_and_spread(score[k][key])
    one.values[i], one.errors[i] = mean, { mean - spread, mean + spread }
  end
  bars.series[k] = one
end
plot.bars(bars):save("out/02_leak_scores.png"):show()

-- %% [markdown] name="notice-measure-leak"
-- **What to notice.** (The thin lines show how far the ten splits lie apart.) The name alone gets
-- well above fifty-fifty when the split is random: about 74 % on the course's 500 photographs,
-- without one look at a picture. By patient it falls back to about 50 %, where it belongs.
--
-- The similar picture hardly profits from the leak here: its two bars differ by less than the
-- splits do. Stain tells who it is (lesson 1), but in 4 x 4 pixels, with few cells of each patient,
-- not firmly enough. So a leak is an *opportunity*. Whether a network with 300,000 weights takes it
-- you do not see from its score. You see it only by closing the leak and measuring again.
--
-- ## By patient, on disk

-- %% [markdown] name="notice-measure-leak-zh" lang="zh"
-- **观察要点**：（细线表示十次划分的结果相差多远。）随机划分时，单凭名字就明显高于五五开：在课程的
-- 500 张照片上约为 74 %，图像一眼也没看。按患者划分时，它就跌回约 50 %，这才是它应有的水平。
--
-- 在这里，相似图像法几乎没有从泄漏中得益：两个柱形之差，小于各次划分之间的差。染色能透露是谁（第 1
-- 课），但在 4 x 4 像素里，每名患者又只有少数细胞，透露得还不够可靠。所以，泄漏是一个**机会**。一个
-- 有 300,000 个权重的网络是否抓住了这个机会，从它的分数里看不出来；只有堵住泄漏、重新测量，才能看出
-- 来。
--
-- ## 按患者划分，写到磁盘上

-- %% name="build-by-patient"
local fair = build_dataset.build { from = from, to = "data/02_by_patient", by_patient = true,
  say = false }
local fair_names = {}
print(("%-12s%24s%24s"):format("", "at random", "by patient"))
for _, side in ipairs { "training", "validation", "testing" } do
  fair_names[side] = names_in(fair[side])
  local columns = {}
  for k, one in ipairs { at_random, fair } do
    local n = one.counts[side]
    columns[k] = ("%d (%d + %d)"):format(n.total, n.Parasitized or 0, n.Uninfected or 0)
  end
  print(("%-12s%24s%24s"):format(side, columns[1], columns[2]))
end
print(("%-12s%24d%24d"):format("leaking", #data.leakage(names.training, names.testing),
  #data.leakage(fair_names.training, fair_names.testing)))

-- %% [markdown] name="notice-by-patient"
-- **What to notice.** No patient leaks any more, and the counts still fit nearly. It has its price,
-- and it is not paid in pictures:
--
-- - **Fewer people are tested.** At random some forty patients contribute to the test, by patient
--   about ten. The hundred cells of ten people are not a hundred independent answers; if one
--   person's slide is unusual, ten answers are wrong together. So the honest score is also the one
--   that jumps more from split to split. It did not become uncertain; we only see now how uncertain
--   it was.
-- - **The score is often lower.** That is not a loss. The points that vanish were never there.
--
-- The course splits at random, and so do the next lessons, to have the course's numbers.
-- `giemsa datasets/build_dataset.lua --by-patient` makes the fair one, and every lesson takes it:
-- `GIEMSA_DATA=data/02_by_patient`. Whenever you read of a medical program with 98 %, look for the
-- sentence that tells how the patients were split.
--
-- ## Why the test may be opened only once
--
-- Validation and testing are dealt the same way. What makes them different is only what you do with
-- them. A small experiment: two hundred "models" that toss a coin for each picture. You keep the
-- one that is best in validation.

-- %% [markdown] name="notice-by-patient-zh" lang="zh"
-- **观察要点**：不再有患者泄漏，各部分的数量也仍然大致吻合。这是有代价的，而付出的代价不是图像：
--
-- - **受测的人变少了**：随机划分时约有四十名患者参与测试，按患者划分时只有约十名。十个人的一百个细
--   胞不是一百个独立的答案；如果某个人的玻片不寻常，十个答案会一起错。所以，诚实的分数也是在各次划
--   分之间跳动更大的那个。它并非变得不确定了；我们只是现在才看到它原本有多不确定。
-- - **分数往往更低**：这不是损失。消失的那些分数从来就不曾存在。
--
-- 课程采用随机划分，后面几课也一样，以便得到课程的数值。命令
-- `giemsa datasets/build_dataset.lua --by-patient` 生成公平的划分，每一课都能用：设
-- `GIEMSA_DATA=data/02_by_patient` 即可。每当你读到某个医学程序达到 98 % 时，去找那句说明患者如何划
-- 分的话。
--
-- ## 为什么测试集只能打开一次
--
-- 验证集和测试集是用同样的方式分出来的。使它们不同的，只是你拿它们来做什么。做个小实验：两百个“模
-- 型”，对每张图像抛一次硬币。只留下在验证集上最好的那个。

-- %% name="coins"
local function toss(n) -- right answers, in per cent, of one coin on n pictures
  local right = 0
  for _ = 1, n do
    if random.uniform() < 0.5 then right = right + 1 end
  end
  return 100 * right / n
end

local validation, best, best_test = {}, 0, 0
for model = 1, 200 do
  validation[model] = toss(40)
  local test = toss(100) -- known to nobody yet
  if validation[model] > best then best, best_test = validation[model], test end
end
print(("the best of 200 coins: %.1f %% right in validation, %.0f %% in the test")
  :format(best, best_test))
plot.histogram{ { values = validation }, bins = 21, range = { 23.75, 76.25 }, ylabel = "coins",
  title = "200 coins on 40 validation pictures", xlabel = "% right" }
  :save("out/02_coins.png"):show()

-- %% [markdown] name="notice-coins"
-- **What to notice.** The chosen coin looks as if it could do something. It cannot, and the test,
-- which had no part in the choice, says so. Choosing is learning: each time you pick the better of
-- two runs by a number, that number becomes a little too good. It happens to the validation score,
-- which is what it is for. Do it with the test score twice or thrice, and you have no test any
-- more.
--
-- And forty pictures are few: one picture is 2.5 points. (The course scores even fewer, see lesson
-- 5: one step of 32 leaves eight of the forty out.)

-- %% [markdown] name="notice-coins-zh" lang="zh"
-- **观察要点**：选中的硬币看上去好像有点本事。其实没有，没有参与选择的测试集说明了这一点。选择就是
-- 学习：每当你凭一个数值从两次运行中挑出较好的一次，这个数值就变得稍稍偏高。验证分数就会这样，它本
-- 来就是用来选择的。对测试分数这样做两三次，你就不再有测试集了。
--
-- 而且四十张图像太少了：一张图像就是 2.5 个百分点。（课程评分时用的还要少，见第 5 课：一步 32 张，
-- 四十张里有八张没有用上。）

-- %% [markdown] name="exercises"
-- ## Check yourself
--
-- 1. How many patients are in training *and in validation* of the random split? (`leak` counted
--    those in training and in testing.)
-- 2. The full set has 27,558 pictures: a fifth is put aside for the test, rounded; of what is left
--    a tenth, rounded down, becomes validation. How many are left for training?
--
-- Replace `nil` and run the lesson again. A check that is still open says so and stops nothing.

-- %% [markdown] name="exercises-zh" lang="zh"
-- ## 自测
--
-- 1. 在随机划分中，有多少名患者既在训练集**又在验证集**里？（`leak` 统计的是既在训练集又在测试集里
--    的患者。）
-- 2. 完整数据集有 27,558 张图像：五分之一留作测试，四舍五入；剩下的再取十分之一作验证，向下取整。还
--    剩多少张用于训练？
--
-- 把 `nil` 换成你的答案，再运行一次本课。尚未作答的检查会如实说明，不会中断运行。

-- %% name="answers" tags=["solution"]
local leaking_into_validation = nil -- patients
local full_training = nil -- pictures

-- %% name="checks" tags=["check"]
local check = giemsa.check
check("leaking into validation", leaking_into_validation
  and leaking_into_validation == #data.leakage(names.training, names.validation),
  "data.leakage takes two lists of names; see `leak`")
check("training of the full set", full_training
  and full_training == split.sizes(27558, 0.8, 0.1).training, "lesson 1 printed the three numbers")

-- %% [markdown] name="try"
-- ## Try it
--
-- 1. In `coins`, use 400 validation pictures (`toss(400)`, and a narrower `range`). How good does
--    the best coin look now? And with 2,000 coins?
-- 2. In `measure-leak`, deal whole *photographs* instead of patients: give `split.by_patient` a
--    list of `{ class = cell.class, patient = photograph(cell.name) }` in place of `few`. Does that
--    close the leak?
-- 3. Split 60/40 instead of 80/20 by patient (`train_split = 0.6` in `build-by-patient`). How many
--    people does the test have now? What do you pay for them?
--
-- Next: `03_augmentation`, how 360 pictures become as many as you like.

-- %% [markdown] name="try-zh" lang="zh"
-- ## 动手试试
--
-- 1. 在 `coins` 中，改用 400 张验证图像（`toss(400)`，以及更窄的 `range`）。现在最好的硬币看上去有
--    多好？用 2,000 枚硬币呢？
-- 2. 在 `measure-leak` 中，以整张**照片**而不是患者为单位来划分：给 `split.by_patient` 一个由
--    `{ class = cell.class, patient = photograph(cell.name) }` 组成的列表，代替 `few`。这样能堵住泄
--    漏吗？
-- 3. 按患者作 60/40 划分，而不是 80/20（在 `build-by-patient` 中设 `train_split = 0.6`）。现在测试
--    集里有多少人？你为他们付出了什么？
--
-- 下一课：`03_augmentation`，360 张图像如何变成你想要多少就有多少。
