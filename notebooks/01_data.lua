-- ---
-- title: The cells, looked at before anything is learnt
-- seed: 42
-- ---

-- %% [markdown] name="goal"
-- # 1. The cells, looked at before anything is learnt
--
-- **Goal:** know the data before training on it: what is in the folders, what a cell looks like,
-- what varies that has nothing to do with malaria, and how far the labels can be trusted.
--
-- At the end you will have seven pictures of the data set, and one simple number that already tells
-- most sick cells from healthy ones. The network of this course will have to beat it. Time: about
-- ten seconds of computing, half an hour of looking. An hour spent looking at data is never lost.

-- %% [markdown] name="goal-zh" lang="zh"
-- # 1. 细胞：先看，再学
--
-- **目标**：在训练之前先了解数据：文件夹里有什么，一个细胞长什么样，哪些差异与疟疾毫无关系，标签又
-- 能信到什么程度。
--
-- 学完本课，你会得到七幅描述数据集的图，以及一个简单的数值，仅凭它就能把大多数受感染细胞与健康细胞
-- 区分开。本课程的网络必须胜过它。所需时间：计算约十秒，看图半小时。花在看数据上的一个小时，从来不
-- 会白费。

-- %% name="setup"
local giemsa = require "giemsa"
local datasets = require "datasets"
local data, image, metrics, plot = giemsa.data, giemsa.image, giemsa.metrics, giemsa.plot

local set = datasets.ensure(os.getenv("GIEMSA_DATA"))
print("The cells are in " .. set.dir)

-- %% [markdown] name="which-cells"
-- ## Which cells these are
--
-- The course is about photographs of real cells: 27,558 of them, published by the U.S. National
-- Library of Medicine. They are too many to carry along, so unless you name a data set, giemsa
-- draws 500 **synthetic cells**: stain, light, lens, parasites, dirt and errors are imitated, and
-- they were made to be about as hard as the real ones. They are good for learning how to work, and
-- say nothing about malaria.
--
-- To use real cells, fetch them once (`giemsa datasets/download.lua`) and run this file with
-- `GIEMSA_DATA=data/cell_images.zip`; any folder with one folder for each class does as well. The
-- text below holds for both; where they differ, it says so.
--
-- ## Folders are the labels
--
-- There is no table of labels. A picture in the folder `Parasitized` *is* parasitized, as far as
-- the program knows. Classes are numbered in the order of their names, and giemsa counts from 1 as
-- Lua does: Parasitized is 1, Uninfected is 2. Keras counts from 0, so there they are 0 and 1. The
-- rest of the course sticks to 1 and 2.

-- %% [markdown] name="which-cells-zh" lang="zh"
-- ## 这些是什么细胞
--
-- 本课程的主题是真实细胞的照片：共 27,558 张，由美国国家医学图书馆发布。数量太多，不便随软件携带；
-- 因此，如果你没有指定数据集，giemsa 就会绘制 500 个**合成细胞**：染色、光照、镜头、疟原虫、污物和
-- 差错都是模拟的，难度也做得与真实细胞大致相当。它们适合用来学习工作方法，对疟疾本身则什么也说明不
-- 了。
--
-- 要使用真实细胞，先下载一次（`giemsa datasets/download.lua`），再带上
-- `GIEMSA_DATA=data/cell_images.zip` 运行本文件；任何“每个类别一个子文件夹”的文件夹也都可以。下面的
-- 文字对两者都适用；凡有不同之处，会加以说明。
--
-- ## 文件夹就是标签
--
-- 没有标签表。一张图像放在 `Parasitized` 文件夹里，对程序来说它**就是**受感染的。类别按名称顺序编
-- 号，而 giemsa 与 Lua 一样从 1 数起：Parasitized 是 1，Uninfected 是 2。Keras 从 0 数起，所以在那
-- 里分别是 0 和 1。课程其余部分一律使用 1 和 2。

-- %% name="list"
local sides = { "training", "validation", "testing" }
local files, class_names = {}, set.class_names
for _, side in ipairs(sides) do
  local source = data.ImageDataGenerator{}:flow_from_directory(set[side],
    { shuffle = false, verbose = false })
  for i, class in ipairs(source.classes) do
    files[#files + 1] = { path = source.filepaths[i], name = source.filenames[i]:match("[^/]+$"),
      side = side, class = class }
  end
end

print(("%-12s%14s%14s%9s"):format("", class_names[1], class_names[2], "both"))
for _, side in ipairs(sides) do
  local n = set.counts[side]
  print(("%-12s%14d%14d%9d"):format(side, n[class_names[1]] or 0, n[class_names[2]] or 0, n.total))
end
print(#files .. " pictures in all")

-- %% [markdown] name="notice-list"
-- **What to notice.** The classes are equally frequent, more or less. That is a choice of those who
-- made the set: in a sick person's blood perhaps one red cell in a hundred carries a parasite,
-- often far fewer. With equal classes, guessing is right half the time, so 50 % is the zero of
-- every accuracy you will see here. The three rows, and why there are three, are the subject of the
-- next lesson.
--
-- ## What a file name tells
--
-- A name like `C33P1thinF_IMG_20150619_114756a_cell_179.png` says: patient `C33`, a thin film, one
-- photograph (`IMG_...` with day and time), and the 179th cell cut out of it. The patient is `C`
-- and the digits that follow, which in Lua's patterns is `^C%d+`. So one person gave many cells,
-- and one photograph gave several.

-- %% [markdown] name="notice-list-zh" lang="zh"
-- **观察要点**：两个类别的数量大致相等。这是制作数据集的人所作的选择：在病人的血液里，也许一百个红
-- 细胞中才有一个带虫，往往还要少得多。类别均等时，瞎猜也有一半正确，所以在这里，50 % 是你将看到的每
-- 个准确率的零点。表中的三行是什么、为什么是三行，是下一课的内容。
--
-- ## 文件名告诉我们什么
--
-- 像 `C33P1thinF_IMG_20150619_114756a_cell_179.png` 这样的名字表示：患者 `C33`，薄血膜，某一张照片
-- （`IMG_...`，带日期和时间），以及从中裁切出的第 179 个细胞。患者编号是 `C` 加上其后的数字，用 Lua
-- 的模式写就是 `^C%d+`。所以一个人提供了许多细胞，一张照片也提供了好几个。

-- %% name="patients"
local patients, by_name = {}, {}
for _, file in ipairs(files) do
  file.patient = data.patient_of(file.name) or "unknown"
  local one = by_name[file.patient]
  if not one then
    one = { name = file.patient, cells = {}, count = { 0, 0 } }
    by_name[file.patient], patients[#patients + 1] = one, one
  end
  one.cells[#one.cells + 1] = file
  one.count[file.class] = one.count[file.class] + 1
end
table.sort(patients, function(a, b)
  if #a.cells ~= #b.cells then return #a.cells > #b.cells end
  return a.name < b.name
end)

local with_both = 0
for _, one in ipairs(patients) do
  if one.count[1] > 0 and one.count[2] > 0 then with_both = with_both + 1 end
end
print(("%d patients; %d of them have cells in both classes"):format(#patients, with_both))

-- %% name="plot-patients"
local labels, counts = {}, { {}, {} }
for i = 1, math.min(20, #patients) do
  labels[i] = patients[i].name
  for class = 1, 2 do counts[class][i] = patients[i].count[class] end
end

plot.bars{ labels = labels, series = {
    { title = class_names[1], values = counts[1], color = plot.class_colors[1] },
    { title = class_names[2], values = counts[2], color = plot.class_colors[2] } },
  format = false, title = "The patients with most cells", ylabel = "cells", width = 900 }
  :save("out/01_patients.png"):show()

-- %% [markdown] name="notice-patients"
-- **What to notice.** A few patients give many cells, many give few. Five hundred cells are
-- therefore not five hundred independent witnesses: whoever tests on a hundred cells of twenty
-- people has asked twenty people. Sick patients also give healthy cells (most of their blood is
-- healthy), and healthy people give only healthy ones. That last point is a trap: a program that
-- recognises *the person* would know the answer for every healthy one.
--
-- ## How large a cell is
--
-- Now every picture is read once, and a few numbers are kept: its size, the share of black, the
-- mean colour of what is not black. A picture as a tensor has the shape (height, width, 3); its
-- numbers go from 0 to 255.

-- %% [markdown] name="notice-patients-zh" lang="zh"
-- **观察要点**：少数患者提供了许多细胞，多数患者只提供了很少。因此，五百个细胞并不是五百个独立的证
-- 人：用二十个人的一百个细胞做测试，也只是问了二十个人。病人也提供健康的细胞（他们的血液大部分是健
-- 康的），而健康人只提供健康的细胞。最后这一点是个陷阱：一个能认出**这个人**的程序，就知道每个健康
-- 人的答案了。
--
-- ## 一个细胞有多大
--
-- 现在把每张图像读一遍，记下几个数值：它的尺寸、黑色所占的比例，以及非黑色部分的平均颜色。图像作为
-- 张量，形状是（高，宽，3），数值从 0 到 255。

-- %% name="measure"
local looked_at = #files <= 2000 and files or giemsa.random.sample(files, 2000) -- enough to see
for _, file in ipairs(looked_at) do
  local picture = image.load(file.path)
  local x = picture:to_tensor()
  local inside = x:sum(3):gt(0) -- 1 where a pixel is not black
  local pixels = inside:sum():item()
  local total = x:reshape(-1, 3):sum(1) -- of red, green and blue
  file.width, file.height = picture.width, picture.height
  file.black = 1 - pixels / inside.size
  file.color = { total[1] / pixels, total[2] / pixels, total[3] / pixels }
end

local widths = { {}, {} }
for _, file in ipairs(looked_at) do table.insert(widths[file.class], file.width) end
plot.histogram{ { values = widths[1], title = class_names[1], color = plot.class_colors[1] },
  { values = widths[2], title = class_names[2], color = plot.class_colors[2] },
  bins = 32, density = true,
  title = "How wide the pictures are", xlabel = "width in pixels" }:save("out/01_widths.png"):show()

-- %% [markdown] name="notice-sizes"
-- **What to notice.** Every picture has its own size, because each was cut out around its cell:
-- some 130 pixels wide most of the time; the real set goes from below 50 to almost 400. A network
-- wants one size, so the course shrinks all of them to 64 x 64 and gives up the cell's size and its
-- proportions. Do you see why that may be a loss? Red cells with *P. vivax* swell. Here the widths
-- of the two classes overlap so much that little is lost.
--
-- ## Look
--
-- No number replaces this. Eight random cells of each class, parasitized above.

-- %% [markdown] name="notice-sizes-zh" lang="zh"
-- **观察要点**：每张图像的尺寸都不一样，因为每一张都是贴着细胞裁切下来的：多数约 130 像素宽，真实数
-- 据集里则从不足 50 到将近 400。网络要求统一的尺寸，所以本课程把它们全部缩小到 64 x 64，从而放弃了
-- 细胞的大小和长宽比。你看得出这为什么可能是一种损失吗？感染间日疟原虫（*P. vivax*）的红细胞会胀
-- 大。不过在这里，两个类别的宽度重叠很大，损失很小。
--
-- ## 看
--
-- 任何数字都代替不了这一步。每个类别随机取八个细胞，上排是受感染的。

-- %% name="look"
local shown, captions, colors = {}, {}, {}
for class = 1, 2 do
  local of_class = {}
  for _, file in ipairs(looked_at) do
    if file.class == class then of_class[#of_class + 1] = file end
  end
  for _, file in ipairs(giemsa.random.sample(of_class, 8)) do
    shown[#shown + 1] = file.path
    captions[#shown], colors[#shown] = class_names[class], plot.class_colors[class]
  end
end

plot.images(shown, { captions = captions, colors = colors, columns = 8, tile = 112 })
  :save("out/01_cells.png"):show()

-- %% [markdown] name="notice-look"
-- **What to notice.** In the upper row look for purple: a thin **ring** with one or two dots, like
-- a signet ring (a young parasite), a heavier blob (a **trophozoite**, growing), many dots in one
-- cell (a **schizont**, about to burst), a banana (a **gametocyte** of *P. falciparum*, the form
-- that a mosquito picks up). Some parasites sit flat on the cell's rim; books call that the
-- *appliqué* form. Then look at the lower row for things that are purple and no parasite:
-- **platelets** lying on the cell, grains of stain, dirt. And notice how different two healthy
-- cells are in colour.
--
-- A drawn cell comes with the truth about itself, in `cells.csv`. Real cells have no such file.

-- %% [markdown] name="notice-look-zh" lang="zh"
-- **观察要点**：在上排里找紫色：带一两个小点的细**环**，像一枚图章戒指（环状体，即早期的疟原虫）；
-- 较浓的一团（**滋养体**，正在生长）；一个细胞里的许多小点（**裂殖体**，即将胀破细胞）；一根香蕉
-- （恶性疟原虫 *P. falciparum* 的**配子体**，即被蚊子吸走的那种形态）。有些疟原虫平贴在细胞边缘，书
-- 上称为**依附型**（appliqué）。再看下排，找那些发紫却不是疟原虫的东西：贴在细胞上的**血小板**、染
-- 料颗粒、污物。还请注意，两个健康细胞的颜色可以相差多大。
--
-- 绘制的细胞自带标准答案，写在 `cells.csv` 里。真实细胞没有这样的文件。

-- %% name="truth"
-- What is really on each synthetic cell; stays empty for photographs.
local truth, has_truth = {}, false
local record = set.dir == "data/synthetic" and io.open("data/synthetic_cells/cells.csv")
for line in record and record:lines() or function() end do
  local name, infected, contents = line:match("([^/,]+),%w+,(%w+),([^,]*),")
  if infected == "yes" or infected == "no" then
    truth[name], has_truth = { infected = infected == "yes", contents = contents }, true
  end
end

local atlas, seen, names = {}, {}, {}
for _, file in ipairs(looked_at) do
  local contents = truth[file.name] and truth[file.name].contents
  if contents and not seen[contents] and not contents:find("^%d") then -- one of each, no "2 x ring"
    seen[contents] = true
    atlas[#atlas + 1], names[#names + 1] = file.path, contents
  end
end
if has_truth then
  plot.images(atlas, { captions = names, columns = 7, tile = 120 }):save("out/01_atlas.png"):show()
else
  print("These are photographs: nobody wrote down what is on each cell, beyond the class.")
end

-- %% [markdown] name="notice-truth"
-- **What to notice.** In an atlas each thing looks clear. Go back to the sixteen cells above and
-- try to name them: that is the difference between an atlas and work. The *faint* ones are out of
-- focus or hardly stained.
--
-- ## What the black means
--
-- Around every cell there is black, exactly 0, 0, 0. No microscope makes that. A program found the
-- cell's outline and painted everything outside it black.

-- %% [markdown] name="notice-truth-zh" lang="zh"
-- **观察要点**：在图谱里，每样东西都显得清清楚楚。回到上面那十六个细胞，试着叫出它们的名字：这就是
-- 图谱与实际工作的差别。标为 *faint* 的那些，不是失焦，就是几乎没有着色。
--
-- ## 黑色意味着什么
--
-- 每个细胞周围都是黑色，而且恰好是 0, 0, 0。没有哪台显微镜会拍出这样的黑。是一个程序找出了细胞的轮
-- 廓，把轮廓以外全部涂黑了。

-- %% name="black"
local file = looked_at[1]
local picture = image.load(file.path)
local inside = picture:to_tensor():sum(3):gt(0)
plot.images({ picture, inside }, { captions = { "the cell", "what is not black" }, tile = 200 })
  :save("out/01_black.png"):show()

local least, most, sum = 1, 0, 0
for _, one in ipairs(looked_at) do
  least, most, sum = math.min(least, one.black), math.max(most, one.black), sum + one.black
end
print(("black: %.0f %% of a picture at least, %.0f %% at most, %.0f %% on average")
  :format(100 * least, 100 * most, 100 * sum / #looked_at))
print(("a disc that touches all four sides leaves %.0f %%"):format(100 * (1 - math.pi / 4)))

-- %% [markdown] name="notice-black"
-- **What to notice.** A quarter of every picture is no measurement at all. Three things follow. A
-- mean over *all* pixels mixes the cell's shape into its colour, so above only the pixels inside
-- were counted. The outline is information too: where the program cut badly (a bite, a bulge over a
-- parasite at the rim), a network may learn the cutter's mistakes. And a photograph that was cut
-- out differently, say a square with the neighbours still in it, is foreign to a network that was
-- trained here, however good its accuracy.
--
-- ## The colour of a patient
--
-- One uninfected cell each of up to 24 patients. What you see is the slide, not the disease.

-- %% [markdown] name="notice-black-zh" lang="zh"
-- **观察要点**：每张图像有四分之一根本不是测量值。由此可知三点。对**全部**像素求平均，会把细胞的形
-- 状混进它的颜色，所以上面只统计了内部的像素。轮廓本身也是信息：在程序切得不好的地方（缺了一口，或
-- 在边缘的疟原虫处鼓出一块），网络可能学到的是裁切程序的错误。此外，用别的方式裁切的照片，比如一个
-- 还留着邻近细胞的方块，对在这里训练的网络来说是陌生的，无论它的准确率有多高。
--
-- ## 患者的颜色
--
-- 最多 24 名患者，每人取一个未感染的细胞。你看到的是玻片，而不是疾病。

-- %% name="stains"
local healthy, whose = {}, {}
for _, one in ipairs(patients) do
  for _, cell in ipairs(one.cells) do
    if cell.class == 2 and #healthy < 24 then
      healthy[#healthy + 1], whose[#whose + 1] = cell.path, one.name
      break
    end
  end
end
plot.images(healthy, { captions = whose, columns = 8, tile = 96 }):save("out/01_stains.png"):show()

-- %% [markdown] name="why-stains"
-- Slides are stained by hand: minutes more or less, the pH of the water, the age of the dye, a
-- thicker film, another lamp. All of it is shared by the cells of one slide. Such common
-- circumstances are called a **batch effect**. Each point below is one cell, by its mean red and
-- blue; the seven patients with most cells have colours, the others are grey.

-- %% [markdown] name="why-stains-zh" lang="zh"
-- 玻片是人工染色的：时间长几分钟或短几分钟、水的 pH 值、染料的新旧、血膜的厚薄、换了一盏灯。同一张
-- 玻片上的细胞共享这一切。这类共同的环境因素造成的差异称为**批次效应**（batch effect）。下图每个点
-- 是一个细胞，以其平均的红色值和蓝色值为坐标；细胞最多的七名患者各有颜色，其余为灰色。

-- %% name="plot-colours"
local series = { { x = {}, y = {}, title = "all others", color = "#cccccc" } }
local series_of = {}
for i = 1, math.min(7, #patients) do
  series[i + 1] = { x = {}, y = {}, title = patients[i].name,
    color = plot.color_order[i] ~= "grey" and plot.color_order[i] or "black" }
  series_of[patients[i].name] = series[i + 1]
end
for _, one in ipairs(looked_at) do
  local points = series_of[one.patient] or series[1]
  table.insert(points.x, one.color[1])
  table.insert(points.y, one.color[3])
end
series.title, series.legend = "Mean colour of each cell", "outside"
series.xlabel, series.ylabel = "red, 0 to 255", "blue, 0 to 255"
plot.points(series):save("out/01_colours.png"):show()

-- %% [markdown] name="notice-colours"
-- **What to notice.** The cells of a patient lie together in a clump. How tight are the clumps? Two
-- ways to ask. First: of all the spread in colour, what share lies between patients, and what share
-- between the cells of one? Second: guess whose a cell is from its colour alone, by looking up the
-- cell that is nearest in colour (its *nearest neighbour*).

-- %% [markdown] name="notice-colours-zh" lang="zh"
-- **观察要点**：同一名患者的细胞聚成一团。这些团有多紧？有两种问法。第一：颜色的全部离散程度中，有
-- 多大比例在患者之间，多大比例在同一患者的细胞之间？第二：只凭颜色猜一个细胞是谁的，方法是找出颜色
-- 与它最接近的细胞（它的**最近邻**）。

-- %% name="spread"
for c, name in ipairs { "red", "green", "blue" } do
  local mean, within, between, of = 0, 0, 0, {}
  for _, one in ipairs(looked_at) do
    local own = of[one.patient] or { n = 0, sum = 0 }
    of[one.patient] = own
    own.n, own.sum = own.n + 1, own.sum + one.color[c]
    mean = mean + one.color[c] / #looked_at
  end
  for _, one in ipairs(looked_at) do
    local own = of[one.patient].sum / of[one.patient].n -- the mean of this cell's patient
    within, between = within + (one.color[c] - own) ^ 2, between + (own - mean) ^ 2
  end
  local share = between / (within + between)
  print(("%-6s %.0f %% of the spread lies between patients"):format(name .. ":", 100 * share))
end

-- %% name="batch-effect"
-- The share of the cells whose nearest neighbour in colour has the same `key` (patient or class).
local function guessed_by_colour(cells, key, others_only)
  local right = 0
  for i, a in ipairs(cells) do
    local nearest, least = nil, math.huge
    for j, b in ipairs(cells) do
      local p, q = a.color, b.color
      local d = (p[1] - q[1]) ^ 2 + (p[2] - q[2]) ^ 2 + (p[3] - q[3]) ^ 2
      local may_ask = i ~= j and not (others_only and a.patient == b.patient)
      if may_ask and d < least then nearest, least = b, d end
    end
    if nearest and nearest[key] == a[key] then right = right + 1 end
  end
  return 100 * right / #cells
end

local some = #looked_at <= 600 and looked_at or giemsa.random.sample(looked_at, 600)
local chance, in_class = 0, { 0, 0 }
for _, one in ipairs(patients) do chance = chance + 100 * (#one.cells / #files) ^ 2 end
for _, one in ipairs(some) do in_class[one.class] = in_class[one.class] + 100 / #some end
print(("whose cell it is, from its mean colour:       %.0f %% right (by chance %.0f %%)")
  :format(guessed_by_colour(some, "patient"), chance))
print(("parasitized or not, from its mean colour:     %.0f %% right (by chance %.0f %%)")
  :format(guessed_by_colour(some, "class"), math.max(in_class[1], in_class[2])))
print(("the same, asking only other patients' cells:  %.0f %% right")
  :format(guessed_by_colour(some, "class", true)))

-- %% [markdown] name="notice-batch-effect"
-- **What to notice.** Most of the spread in colour is between patients; the disease hardly shows in
-- it. Colour alone finds the right patient many times more often than chance would. It says
-- something about the class, too, and some or all of that is gone when only other patients' cells
-- may be asked: so it was knowledge of persons and slides, not of parasites.
--
-- A network sees the colour too, and nobody told it that it should look for parasites. If healthy
-- people happened to be stained on Tuesdays, "Tuesday's pink means healthy" would be a fine rule in
-- this data and a useless one in the next clinic. Two cures come later: splitting by patient
-- (lesson 2), and random variations of the pictures (lesson 3).
--
-- ## A number to beat
--
-- Before a network with 294,766 parameters, try one number. The stain colours the parasite's
-- nucleus purple, and purple means: green light is swallowed, red light passes. So take green
-- divided by red at each pixel, find the spot where it is smallest, and compare it with the typical
-- value of the same cell. Dividing by the cell's own value takes its stain out of the comparison.

-- %% [markdown] name="notice-batch-effect-zh" lang="zh"
-- **观察要点**：颜色的离散大部分来自患者之间，疾病在其中几乎显不出来。仅凭颜色，找对患者的机会就比
-- 碰运气高出许多倍。颜色对类别也有所提示；但当只允许询问其他患者的细胞时，这种提示就部分或全部消失
-- 了：可见它原本是关于人和玻片的知识，而不是关于疟原虫的知识。
--
-- 网络也看得见颜色，而没有人告诉它应该去找疟原虫。如果健康人碰巧都在星期二染色，那么“星期二的粉红色
-- 就是健康”在这份数据里是一条绝妙的规则，到了下一间诊所却毫无用处。后面会介绍两种对策：按患者划分
-- （第 2 课），以及对图像作随机变换（第 3 课）。
--
-- ## 一个要超越的数值
--
-- 在动用有 294,766 个参数的网络之前，先试试单独一个数值。染料把疟原虫的核染成紫色，而紫色意味着：绿
-- 光被吸收，红光透过。于是在每个像素上用绿色除以红色，找出比值最小的那一处，再与同一细胞的典型值比
-- 较。除以细胞自身的值，就把它的染色深浅从比较中消去了。

-- %% name="stain-spot"
-- 0: the cell is of one colour. Towards 1: some spot swallows much more green than the rest.
local function purple_spot(path)
  local x = image.load(path, { target_size = { 48, 48 }, interpolation = "area" }):to_tensor()
  local ratio = {}
  for _, pixel in ipairs(x:reshape(-1, 3):totable()) do
    if pixel[1] > 60 then ratio[#ratio + 1] = pixel[2] / pixel[1] end -- leaves out the black
  end
  table.sort(ratio)
  return 1 - ratio[#ratio // 100 + 1] / ratio[#ratio // 2 + 1] -- the lowest hundredth, the middle
end

for _, one in ipairs(looked_at) do one.spot = purple_spot(one.path) end
local spots = { {}, {} }
for _, one in ipairs(looked_at) do table.insert(spots[one.class], one.spot) end
plot.histogram{ { values = spots[1], title = class_names[1], color = plot.class_colors[1] },
  { values = spots[2], title = class_names[2], color = plot.class_colors[2] }, bins = 40,
  title = "One number for each cell", xlabel = "how purple its most purple spot is" }
  :save("out/01_spots.png"):show()

-- %% [markdown] name="why-threshold"
-- The healthy cells make a narrow hill on the left, the sick ones a wide plain to the right of it,
-- and the two overlap. To turn the number into an answer we need a threshold. We choose the one
-- that is best on the training pictures and then count on the testing pictures, which had no say in
-- it.

-- %% [markdown] name="why-threshold-zh" lang="zh"
-- 健康细胞在左边形成一座狭窄的小丘，受感染细胞在它右边铺成一片宽阔的平原，两者有重叠。要把数值变成
-- 答案，需要一个阈值。我们选取在训练图像上最好的那个阈值，然后在测试图像上计数；测试图像没有参与选
-- 择。

-- %% name="threshold"
local function split_by(threshold, side) -- true classes, and what the threshold says
  local y, called = {}, {}
  for _, one in ipairs(looked_at) do
    if one.side == side then
      y[#y + 1], called[#called + 1] = one.class, one.spot > threshold and 1 or 2
    end
  end
  return y, called
end

local threshold, best = 0, 0
for step = 0, 100 do
  local accuracy = metrics.accuracy_score(split_by(step / 100, "training"))
  if accuracy > best then threshold, best = step / 100, accuracy end
end

local y, called = split_by(threshold, "testing")
local right = 0
for i = 1, #y do right = right + (y[i] == called[i] and 1 or 0) end
local low, high = metrics.wilson(right, #y)
print(("parasitized when the number is above %.2f: %.1f %% right on the training cells")
  :format(threshold, 100 * best))
print(("on the %d testing cells %.1f %% (95 %% interval %.0f to %.0f %%)")
  :format(#y, 100 * right / #y, 100 * low, 100 * high))
print(metrics.confusion_matrix(y, called, { target_names = class_names }))

-- %% [markdown] name="notice-threshold"
-- **What to notice.** One thought about stain, and more than nine cells in ten are right. On the
-- course's sample of 500 photographs the same lines get 95 of the 100 testing cells; the course's
-- network, after 25 epochs on the 360 training cells, gets about 92. So keep your number, and do
-- not be proud of a network before it is beaten. What speaks for the network: nobody had to have
-- the thought, it gets better with more pictures, and the same program learns other stains, other
-- diseases, other questions.
--
-- Also look at the interval. With a hundred cells it is some ten points wide, so such a test cannot
-- tell 92 % from 95 %. (And to look at testing cells at all, as this lesson does, is a small sin
-- already. Lesson 2 says why.)
--
-- ## Which labels would you doubt?
--
-- The number is good enough to point at cells that contradict their folder: the parasitized ones
-- with the least purple, and the uninfected ones with the most.

-- %% [markdown] name="notice-threshold-zh" lang="zh"
-- **观察要点**：只需对染色动一下脑筋，十个细胞就能判对九个以上。在课程的 500 张照片样本上，同样几行
-- 代码判对了 100 个测试细胞中的 95 个；而课程的网络，在 360 个训练细胞上训练 25 轮（epoch）之后，约
-- 判对 92 个。所以请留着你的数值，网络还没有胜过它之前，先别为网络自豪。网络的长处在于：不需要有人
-- 先想到这个点子；图像越多它越好；同一个程序还能学会别的染色、别的疾病、别的问题。
--
-- 也请看看区间。只有一百个细胞时，区间宽约十个百分点，所以这样的测试分辨不出 92 % 和 95 %。（而且，
-- 像本课这样去看测试细胞，本身就已经是一次小小的犯规。原因见第 2 课。）
--
-- ## 你会怀疑哪些标签？
--
-- 这个数值已经好到足以指出那些与文件夹矛盾的细胞：紫色最少的受感染细胞，和紫色最多的未感染细胞。

-- %% name="doubts"
table.sort(looked_at, function(a, b)
  if a.spot ~= b.spot then return a.spot < b.spot end
  return a.path < b.path
end)
local doubtful, notes, inks = {}, {}, {}
local function doubt(one)
  local fact = truth[one.name]
  local wrong = fact and fact.infected ~= (one.class == 1)
  doubtful[#doubtful + 1] = one.path
  notes[#notes + 1] = (wrong and "WRONG: " or "") .. (fact and fact.contents or one.patient)
  inks[#inks + 1] = wrong and "red" or plot.class_colors[one.class]
end
local function first_of(class, from, to, step)
  local last = #doubtful + 8
  for i = from, to, step do
    if looked_at[i].class == class and #doubtful < last then doubt(looked_at[i]) end
  end
end
first_of(1, 1, #looked_at, 1)
first_of(2, #looked_at, 1, -1)
plot.images(doubtful, { captions = notes, colors = inks, columns = 8, tile = 112,
  title = "Above: parasitized, says the folder. Below: uninfected." })
  :save("out/01_doubts.png"):show()

-- %% name="count-noise"
local wrong = 0
for _, one in ipairs(files) do
  local fact = truth[one.name]
  if fact and fact.infected ~= (one.class == 1) then wrong = wrong + 1 end
end
print(has_truth and ("%d of %d synthetic cells lie in the wrong folder"):format(wrong, #files)
  or "Nobody knows how many of these labels are wrong.")

-- %% [markdown] name="notice-doubts"
-- **What to notice.** Some of these cells are plainly in the wrong folder. Some are right and hard:
-- a faint ring above, a platelet or a grain of stain below. From the picture alone you often cannot
-- say which, and neither could the person who labelled them. In the synthetic set a few cells were
-- put into the wrong folder on purpose, and the captions give them away. The real set has such
-- cells too: some that are called parasitized look clean to everybody. Two consequences:
--
-- - If two labels in a hundred are wrong, no honest test can show more than about 98 %. When a
--   program reaches 100 %, look for the leak.
-- - Do not "clean" the test by throwing out the cells your program gets wrong. That makes the score
--   better and the program not. Whoever cleans asks a second expert, who does not know what the
--   program said.
--
-- ## 27,588 or 27,558?
--
-- The course text says that the full set has 27,588 pictures, 13,794 of each class. Those two
-- numbers agree with each other, and both are wrong. The archive has 13,780 files in each class
-- folder, one of which is `Thumbs.db`, a leftover of a file browser. That leaves 13,779 pictures of
-- each class. The sizes of the three parts tell as well: with the whole set the course's program
-- reports 19,842, 2,204 and 5,512.

-- %% [markdown] name="notice-doubts-zh" lang="zh"
-- **观察要点**：这些细胞里，有一些显然放错了文件夹；有一些标签是对的，但很难判断：上面是淡淡的环，
-- 下面是血小板或染料颗粒。单看图像，你往往说不出属于哪一种，当初标注的人也说不出。在合成数据集里，
-- 有少数细胞是故意放错文件夹的，图注会揭穿它们。真实数据集里也有这样的细胞：有些标为受感染，在谁看
-- 来却都是干净的。由此有两个结论：
--
-- - 如果一百个标签里有两个是错的，那么任何诚实的测试都不可能显示出高于约 98 % 的结果。如果一个程序
--   达到了 100 %，就该去找数据泄漏。
-- - 不要通过扔掉程序判错的细胞来“清洗”测试集。那样分数变好了，程序并没有。要清洗，就去请第二位专
--   家，而且不让他知道程序说了什么。
--
-- ## 27,588 还是 27,558？
--
-- 课程讲义说，完整数据集有 27,588 张图像，每类 13,794 张。这两个数字彼此相符，却都是错的。压缩包里
-- 每个类别文件夹有 13,780 个文件，其中一个是 `Thumbs.db`，是文件浏览器留下的。这样每类就是 13,779
-- 张图像。三个部分的大小也说明了这一点：对整个数据集，课程的程序报告的是 19,842、2,204 和 5,512。

-- %% name="slip"
local split = require "datasets.split"
print("2 x (13780 - 1) = " .. 2 * (13780 - 1))
for _, all in ipairs { 27558, 27588 } do
  local n = split.sizes(all, 0.8, 0.1)
  print(("%d pictures would be split into %d + %d + %d")
    :format(all, n.training, n.validation, n.testing))
end
print("19842 + 2204 + 5512 = " .. 19842 + 2204 + 5512)

-- %% [markdown] name="end"
-- **What to notice.** A five that became an eight is harmless here. The habit is what counts: count
-- your own files, and compare with what the paper says, before you train. It takes a second, and it
-- finds missing downloads, stray files, doubled folders.

-- %% [markdown] name="end-zh" lang="zh"
-- **观察要点**：五变成了八，在这里无伤大雅。重要的是习惯：训练之前，数一数自己的文件，与论文所说的
-- 作比较。这只需一秒钟，却能发现缺失的下载、混入的文件和重复的文件夹。

-- %% [markdown] name="exercises"
-- ## Check yourself
--
-- 1. A program looks at no picture and always says the class that is commoner here. Of how many of
--    a hundred pictures is it right?
-- 2. How many patients have cells in one class only?
-- 3. Which patient has the most cells?
--
-- Replace `nil` and run the lesson again. A check that is still open says so and stops nothing.

-- %% [markdown] name="exercises-zh" lang="zh"
-- ## 自测
--
-- 1. 一个程序不看任何图像，总是回答这里数量较多的那个类别。一百张图像中它能答对多少张？
-- 2. 有多少名患者的细胞只属于一个类别？
-- 3. 哪位患者的细胞最多？
--
-- 把 `nil` 换成你的答案，再运行一次本课。尚未作答的检查会如实说明，不会中断运行。

-- %% name="answers" tags=["solution"]
local always_right = nil -- per cent
local one_class_only = nil -- patients
local busiest = nil -- "C..."

-- %% name="checks" tags=["check"]
local check = giemsa.check
local in_class = { 0, 0 }
for _, one in ipairs(files) do in_class[one.class] = in_class[one.class] + 1 end
check.near("always the commoner class", always_right, 100 * math.max(in_class[1], in_class[2])
  / #files, 0.5, "count the pictures of both classes in the table of `list`")
check("patients of one class", one_class_only and one_class_only == #patients - with_both,
  "`patients` printed how many there are, and how many have both")
check("the busiest patient", busiest and busiest == patients[1].name,
  "the first bar of the picture")

-- %% [markdown] name="try"
-- ## Try it
--
-- 1. Run `look` a few times with another seed (`giemsa.random.seed(7)` above the loop) and cover
--    the captions with your hand. How many of the 16 do you get right? That is the number to set
--    beside any program's.
-- 2. In `stain-spot`, use plain green instead of green divided by red (`pixel[2]`). How much does
--    the test lose, and which cells are to blame? Look at the black rim.
-- 3. In `threshold`, missing a parasite may be worse than a false alarm. Find the threshold that
--    misses at most 2 % of the parasitized training cells. How many healthy cells does it call
--    sick?
--
-- Next: `02_build_dataset`, how the pictures are dealt to training, validation and testing, and how
-- that can deceive.

-- %% [markdown] name="try-zh" lang="zh"
-- ## 动手试试
--
-- 1. 换一个随机种子（在循环前加上 `giemsa.random.seed(7)`），把 `look` 运行几遍，用手遮住图注。16
--    个里你能答对几个？无论哪个程序的成绩，都应当与这个数放在一起看。
-- 2. 在 `stain-spot` 中，不用绿色除以红色，只用绿色（`pixel[2]`）。测试结果损失多少，是哪些细胞造成
--    的？看看黑色的边缘。
-- 3. 在 `threshold` 中，漏掉疟原虫可能比误报更糟。找出一个阈值，使它最多漏掉 2 % 的受感染训练细胞。
--    它会把多少健康细胞判为受感染？
--
-- 下一课：`02_build_dataset`，图像如何分到训练集、验证集和测试集，以及这种划分怎样会骗人。
