-- ---
-- title: One cell, a thousand pictures
-- seed: 42
-- ---

-- %% [markdown] name="goal"
-- # 3. One cell, a thousand pictures
--
-- **Goal:** understand every option of the `ImageDataGenerator`: what it does to a cell, in which
-- unit it counts, and why it is used for training only.
--
-- At the end you will have a picture of each option, sixteen variations of one cell, a close look
-- at how pictures are made smaller, and the speed of it all on your machine. Time: about ten
-- seconds of computing, half an hour of reading.

-- %% [markdown] name="goal-zh" lang="zh"
-- # 3. 一个细胞，一千张图像
--
-- **目标**：弄懂 `ImageDataGenerator` 的每一个选项：它对细胞做什么，以什么单位计量，以及为什么只在
-- 训练时使用。
--
-- 学完本课，你会得到每个选项的示意图、同一个细胞的十六种变换、对图像缩小方式的近距离观察，以及这一
-- 切在你的机器上的速度。所需时间：计算约十秒，阅读半小时。

-- %% [markdown] name="why"
-- ## Why
--
-- 360 training pictures against 294,766 weights: the network could simply learn each picture by
-- heart. But we know something that it does not. A red cell has no top and no bottom; it lies on
-- the glass as it fell. Turn it, mirror it, move it a little: a parasitized cell stays parasitized.
-- **Augmentation** tells the network so, not in words but by examples: each time a picture is used,
-- it is varied at random, so the network never sees the same numbers twice and what it learns by
-- heart is of no use.
--
-- The rule for every option: *would the label still be right?* Brightness yes. Turning yes. Making
-- a cell bluer and bluer: careful, the colour of a spot is what tells a parasite from dirt.

-- %% [markdown] name="why-zh" lang="zh"
-- ## 为什么
--
-- 360 张训练图像对 294,766 个权重：网络完全可以把每张图像背下来。但我们知道一些它不知道的事。红细胞
-- 没有上下之分，落在玻片上是什么样就是什么样。转一转、翻一翻、挪一挪：受感染的细胞仍然是受感染
-- 的。**数据增强**（augmentation）就是把这一点告诉网络，不是用语言，而是用例子：每次使用一张图像时
-- 都对它作随机变换，于是网络永远不会两次看到同样的数值，背下来的东西也就毫无用处。
--
-- 对每个选项都有一条准则：**标签还会是对的吗**？亮度可以。旋转可以。把细胞变得越来越蓝则要当心：区
-- 分疟原虫与污物，靠的正是斑点的颜色。

-- %% name="setup"
local giemsa = require "giemsa"
local datasets = require "datasets"
local core, data, image, plot = giemsa.core, giemsa.data, giemsa.image, giemsa.plot

local set = datasets.ensure(os.getenv("GIEMSA_DATA"))

-- Greener light swallowed in one spot than elsewhere: a parasite (the number of lesson 1).
local function purple_spot(path)
  local x = image.load(path, { target_size = { 48, 48 }, interpolation = "area" }):to_tensor()
  local ratio = {}
  for _, pixel in ipairs(x:reshape(-1, 3):totable()) do
    if pixel[1] > 60 then ratio[#ratio + 1] = pixel[2] / pixel[1] end
  end
  table.sort(ratio)
  return 1 - ratio[#ratio // 100 + 1] / ratio[#ratio // 2 + 1]
end

-- The clearest parasite among the first sixty, to have something to look at.
local source = data.ImageDataGenerator{}:flow_from_directory(set.training, { shuffle = false })
local path, clearest = nil, -1
for i = 1, math.min(60, source.n) do
  local spot = source.classes[i] == 1 and purple_spot(source.filepaths[i]) or -1
  if spot > clearest then path, clearest = source.filepaths[i], spot end
end
print("our cell: " .. path:match("[^/]+$"))

-- %% [markdown] name="one-by-one"
-- ## One option at a time
--
-- A generator can draw random variations; it can also carry out one that we name. The names are
-- Keras's: `theta` turns, `tx` and `ty` shift, `shear` slants, `zx` and `zy` zoom, and so on. Each
-- tile below does one thing, and far more of it than one would use, so that you can see it.

-- %% [markdown] name="one-by-one-zh" lang="zh"
-- ## 一次只看一个选项
--
-- 生成器可以随机抽取变换，也可以执行我们指定的某一种变换。名称沿用 Keras：`theta` 旋转，`tx` 和
-- `ty` 平移，`shear` 剪切，`zx` 和 `zy` 缩放，等等。下面每个小图只做一件事，而且幅度远大于实际使用
-- 的，好让你看得见。

-- %% name="options"
local large = { target_size = { 128, 128 }, interpolation = "bilinear" }
local cell = image.load(path, large):to_tensor()
local plain = data.ImageDataGenerator{}
local tiles, captions = {}, {}
for _, variation in ipairs {
  { "as it is", {} },
  { "theta = 40", { theta = 40 } },
  { "tx = 25 (rows)", { tx = 25 } }, { "ty = 25 (columns)", { ty = 25 } },
  { "shear = 30", { shear = 30 } }, { "zx = zy = 0.7", { zx = 0.7, zy = 0.7 } },
  { "zx = zy = 1.4", { zx = 1.4, zy = 1.4 } }, { "zx = 1.4, zy = 0.8", { zx = 1.4, zy = 0.8 } },
  { "flip_horizontal", { flip_horizontal = true } },
  { "flip_vertical", { flip_vertical = true } },
  { "channel shift 50", { channel_shift_intensity = 50 } },
  { "brightness 1.3", { brightness = 1.3 } },
} do
  tiles[#tiles + 1] = plain:apply_transform(cell, variation[2])
  captions[#tiles] = variation[1]
end
plot.images(tiles, { captions = captions, columns = 6, tile = 128 })
  :save("out/03_options.png"):show()

-- %% [markdown] name="notice-options"
-- **What to notice.** Three surprises, all of them Keras's:
--
-- - **`tx` moves rows.** It comes from `height_shift_range`; `ty`, from `width_shift_range`, moves
--   columns. In Keras the first axis is the row, and x is the first axis.
-- - **A zoom above 1 makes the cell smaller.** The numbers say where each *new* pixel looks in the
--   *old* picture; looking 1.4 times as far out shrinks what one sees. For the same reason a
--   positive shift moves the cell up or to the left.
-- - **Channel shift lights up the black.** It adds the same to every number, also to the
--   background. On these cells that makes a grey frame no real picture has. Leave it out, or expect
--   the network to wonder.
--
-- Turning happens around the middle of the picture, or nearly so: the Keras of the course's time
-- has the middle one pixel too far down and right (32.5 instead of 31.5 for 64 pixels). giemsa
-- keeps that, for the sake of equal numbers; at twenty degrees it moves the cell by half a pixel.
--
-- ## The course's recipe

-- %% [markdown] name="notice-options-zh" lang="zh"
-- **观察要点**：有三处出人意料，全都来自 Keras：
--
-- - **`tx` 移动的是行**：它来自 `height_shift_range`；来自 `width_shift_range` 的 `ty` 移动的是列。
--   在 Keras 里，第一个轴是行，而 x 就是第一个轴。
-- - **大于 1 的缩放使细胞变小**：这些数值说的是每个**新**像素到**旧**图像的哪里去取值；取值的位置远
--   到 1.4 倍，看到的东西就缩小了。同理，正的平移使细胞向上或向左移动。
-- - **通道偏移会照亮黑色**：它给每个数值加上同一个量，背景也不例外。在这些细胞上，这会造成任何真实
--   图像都没有的灰色边框。要么不用它，要么做好让网络困惑的准备。
--
-- 旋转是围绕图像中心进行的，或者说几乎是：课程所用时期的 Keras，把中心放得偏下、偏右了一个像素（64
-- 个像素时是 32.5 而不是 31.5）。为了数值相等，giemsa 保留了这一点；旋转二十度时，它使细胞移动半个
-- 像素。
--
-- ## 课程的配方

-- %% name="recipe"
local recipe = { rescale = 1 / 255, rotation_range = 20, zoom_range = 0.05,
  width_shift_range = 0.05, height_shift_range = 0.05, shear_range = 0.05,
  horizontal_flip = true, fill_mode = "nearest" }
local train_aug = data.ImageDataGenerator(recipe)

local drawn = train_aug:get_random_transform({ 64, 64, 3 }, 1) -- Keras's own numbers for seed 1
for _, name in ipairs { "theta", "tx", "ty", "shear", "zx", "zy" } do
  print(("%-6s %8.4f"):format(name, drawn[name]))
end
print("flip_horizontal is " .. tostring(drawn.flip_horizontal))

-- %% [markdown] name="before-sixteen"
-- One draw: turn by so many degrees, shift by so many pixels (5 % of 64 is 3.2), slant, zoom,
-- mirror. Now sixteen of them.

-- %% [markdown] name="before-sixteen-zh" lang="zh"
-- 这是一次抽取的结果：旋转若干度，平移若干像素（64 的 5 % 是 3.2），剪切，缩放，镜像。现在抽十六
-- 次。

-- %% name="sixteen"
local variations = {}
for i = 1, 16 do variations[i] = train_aug:random_transform(cell) end
plot.images(variations, { columns = 8, tile = 112 }):save("out/03_sixteen.png"):show()

-- %% [markdown] name="notice-sixteen"
-- **What to notice.** Sixteen times the same cell, and you would not doubt any of them. That is the
-- right strength: visible, and believable. The parasite keeps its place relative to the rim, which
-- can carry information; only its direction is lost, and direction means nothing. (Then why not
-- flip vertically and turn by 180 degrees? Nothing speaks against it. The course does not; try it
-- in lesson 5.)
--
-- ## Degrees, fractions, pixels
--
-- The options count in different units, and nothing in their names says which:
--
-- | option | 0.05 means |
-- |---|---|
-- | `rotation_range` | 0.05 **degrees** |
-- | `shear_range` | 0.05 **degrees** |
-- | `width_shift_range` | 5 % of the width (from 1 on it would be pixels) |
-- | `zoom_range` | a factor from 0.95 to 1.05 |
--
-- How far does each option of the recipe move a pixel at the edge of a picture of 64 x 64, at most?

-- %% [markdown] name="notice-sixteen-zh" lang="zh"
-- **观察要点**：十六次都是同一个细胞，而你对哪一个都不会起疑。这就是合适的强度：看得出来，又令人信
-- 服。疟原虫相对于边缘的位置保持不变，而这个位置可能携带信息；丢失的只是方向，而方向没有意义。（那
-- 么，为什么不上下翻转，再旋转 180 度？没有什么反对的理由。课程没有这样做；可以在第 5 课里试试。）
--
-- ## 度、比例、像素
--
-- 各选项的计量单位不同，而它们的名称里一点也看不出来：
--
-- | 选项 | 0.05 的含义 |
-- |---|---|
-- | `rotation_range` | 0.05 **度** |
-- | `shear_range` | 0.05 **度** |
-- | `width_shift_range` | 宽度的 5 %（从 1 起则表示像素数） |
-- | `zoom_range` | 从 0.95 到 1.05 的倍数 |
--
-- 对一张 64 x 64 的图像，配方中的每个选项最多能把边缘的像素移动多远？

-- %% name="units"
local r = 32 -- pixels from the middle to the edge
print(("rotation by 20 degrees:  %5.2f pixels"):format(2 * r * math.sin(math.rad(20) / 2)))
print(("shift by 0.05:           %5.2f pixels"):format(0.05 * 2 * r))
print(("zoom by 0.05:            %5.2f pixels"):format(0.05 * r))
print(("shear by 0.05 degrees:   %5.2f pixels"):format(r * math.sin(math.rad(0.05))))
print(("shear by 0.05 radians:   %5.2f pixels"):format(r * math.sin(0.05)))

tiles, captions = {}, {}
for i, angle in ipairs { 0, 0.05, math.deg(0.05), 20 } do
  tiles[i] = plain:apply_transform(cell, { shear = angle })
  captions[i] = ("%.2f degrees"):format(angle)
end
plot.images(tiles, { captions = captions, columns = 4, tile = 128 }):save("out/03_shear.png"):show()
local change = (tiles[2] - tiles[1]):abs():mean():item()
print(("0.05 degrees of shear change a pixel by %.2f of 255 on average"):format(change))

-- %% [markdown] name="notice-units"
-- **What to notice.** The first two cells are the same. The author of the recipe meant five per
-- cent, one supposes, or 0.05 radians, and got three hundredths of a pixel. Such a line does no
-- harm; it does nothing, and stands in thousands of programs. We keep it for the course's numbers.
-- The cure is what you just did: *look at the pictures that go into the network*.
--
-- ## What comes in from outside
--
-- A turned or shifted cell leaves empty corners. `fill_mode` says what to put there. Here the cell
-- is turned by 20 degrees and moved by a quarter, far enough to tell the modes apart.

-- %% [markdown] name="notice-units-zh" lang="zh"
-- **观察要点**：前两个细胞是一样的。可以推测，配方的作者想要的是百分之五，或者 0.05 弧度，得到的却
-- 是一个像素的百分之三。这样一行代码没有害处；它什么也没做，却出现在成千上万个程序里。为了得到课程
-- 的数值，我们保留它。对策就是你刚才做的事：**看一看送进网络的图像**。
--
-- ## 从外面补进来的是什么
--
-- 旋转或平移过的细胞会留下空角。`fill_mode` 决定用什么来填。这里把细胞旋转 20 度，再移动四分之一，
-- 足以看出各种模式的区别。

-- %% name="fill-modes"
tiles, captions = { cell }, { "as it is" }
for _, mode in ipairs { "nearest", "constant", "reflect", "wrap" } do
  local generator = data.ImageDataGenerator{ fill_mode = mode, cval = 128 }
  tiles[#tiles + 1] = generator:apply_transform(cell, { theta = 20, tx = -32, ty = 32 })
  captions[#tiles] = mode == "constant" and "constant, cval = 128" or mode
end
plot.images(tiles, { captions = captions, columns = 5, tile = 144 }):save("out/03_fill.png"):show()

-- %% [markdown] name="notice-fill-modes"
-- **What to notice.** `nearest` draws the last pixel out into stripes. Where the rim of the picture
-- is black, that is black and perfect; where the cell touches the rim (these pictures are cut
-- tightly) it grows a smear of cell colour. `reflect` and `wrap` bring in a piece of cell that may
-- have a parasite in it: a second one that does not exist. For cells on black, `constant` with
-- `cval = 0` would be the honest choice; with shifts of 5 % the difference is small, and the course
-- takes `nearest`.
--
-- ## Two zooms, not one
--
-- `zoom_range = 0.05` draws **two** factors, one for the rows and one for the columns, each on its
-- own. So it changes not only the size but the shape.

-- %% [markdown] name="notice-fill-modes-zh" lang="zh"
-- **观察要点**：`nearest` 把最后一个像素拉成条纹。图像边缘是黑色的地方，填出来的就是黑色，完美无
-- 缺；细胞碰到边缘的地方（这些图像裁得很紧），则会长出一片细胞颜色的污迹。`reflect` 和 `wrap` 会带
-- 进一块细胞，里面可能有疟原虫：并不存在的第二个。对于黑底上的细胞，`constant` 加 `cval = 0` 才是诚
-- 实的选择；平移只有 5 % 时差别很小，而课程用的是 `nearest`。
--
-- ## 两个缩放倍数，而不是一个
--
-- `zoom_range = 0.05` 会抽取**两个**倍数，一个用于行，一个用于列，彼此独立。所以它改变的不仅是大
-- 小，还有形状。

-- %% name="zooms"
local zx, zy, oval = {}, {}, 0
for i = 1, 400 do
  local one = train_aug:get_random_transform { 64, 64, 3 }
  zx[i], zy[i] = one.zx, one.zy
  oval = math.max(oval, one.zx / one.zy, one.zy / one.zx)
end
plot.points{ { x = zx, y = zy }, title = "400 draws of zoom_range = 0.05", legend = false,
  xlabel = "zx (rows)", ylabel = "zy (columns)", width = 600, height = 560 }
  :save("out/03_zooms.png"):show()
print(("the most oval of them: one side %.1f %% longer than the other"):format(100 * (oval - 1)))

-- %% [markdown] name="notice-zooms"
-- **What to notice.** The points fill a square, not a diagonal. Up to ten per cent of ovalness are
-- drawn. Here nobody minds, because shrinking everything to 64 x 64 has squeezed the cells anyway.
-- In a course on sickle cells it would be a mistake: there the shape *is* the disease.
--
-- ## Only the training
--
-- Validation and testing get a generator of their own, with nothing in it but the rescale.

-- %% [markdown] name="notice-zooms-zh" lang="zh"
-- **观察要点**：这些点填满了一个正方形，而不是一条对角线。抽到的椭圆程度最多可达百分之十。在这里没
-- 有人介意，因为把所有图像缩小到 64 x 64 时，细胞反正已经被压变形了。在关于镰状细胞的课程里，这就是
-- 个错误：在那里，形状**就是**疾病。
--
-- ## 只用于训练
--
-- 验证集和测试集各用自己的生成器，其中除了 rescale 什么都没有。

-- %% name="two-generators"
local options = { target_size = { 64, 64 }, batch_size = 32, shuffle = false, verbose = false }
local train_gen = train_aug:flow_from_directory(set.training, options)
local val_aug = data.ImageDataGenerator{ rescale = 1 / 255 }
local val_gen = val_aug:flow_from_directory(set.validation, options)

for i, generator in ipairs { train_gen, val_gen } do
  local first, second = generator:batch(1, { epoch = 1 }), generator:batch(1, { epoch = 2 })
  local difference = (first - second):abs():mean():item()
  print(("%-10s the same 32 pictures in epoch 1 and in epoch 2: %.3f apart on average")
    :format(i == 1 and "training" or "validation", difference))
end

-- %% [markdown] name="before-epochs"
-- And this is one training picture as the epochs of a training really get it, the first eleven of
-- them. `show_augment` asks the generator itself, so what you see is what the network sees.

-- %% [markdown] name="before-epochs-zh" lang="zh"
-- 下面是一张训练图像在训练各轮中真正送进网络的样子，这里是前十一轮。`show_augment` 直接向生成器索取
-- 图像，所以你看到的就是网络看到的。

-- %% name="epochs"
giemsa.show_augment(train_gen, { picture = 7 }):save("out/03_epochs.png"):show()

-- %% [markdown] name="notice-two-generators"
-- **What to notice.** The validation pictures are the same in every epoch, to the bit. A measure
-- must not change while you measure: if the validation were augmented, its score would go up and
-- down by the luck of the draw, and the model that is kept would be the one with the luckiest
-- pictures. It would also answer the wrong question, since nobody will shear a patient's cell
-- before the diagnosis.
--
-- One consequence for lesson 5: the accuracy in training is measured on varied pictures, the harder
-- ones. It can be lower than the accuracy in validation, and nothing is wrong then.
--
-- ## Rescale
--
-- A picture has numbers from 0 to 255; networks like them near 1. `rescale = 1/255` multiplies,
-- **after** all variations.

-- %% [markdown] name="notice-two-generators-zh" lang="zh"
-- **观察要点**：验证图像在每一轮都相同，一个比特也不差。测量的时候，尺子不能变：如果对验证集作增
-- 强，它的分数就会随抽取的运气起伏，最后留下来的会是碰上最走运图像的那个模型。而且它回答的也是错误
-- 的问题，因为诊断之前没有人会去剪切患者的细胞。
--
-- 这一点会在第 5 课里显现：训练准确率是在变换过的、较难的图像上测得的。它可能低于验证准确率，而这并
-- 没有什么不对。
--
-- ## 重新标度（rescale）
--
-- 图像的数值从 0 到 255；网络喜欢 1 附近的数值。`rescale = 1/255` 作一次乘法，在所有变换**之后**进
-- 行。

-- %% name="rescale"
local raw = data.ImageDataGenerator{}:flow_from_directory(set.validation, options):batch(1)
local scaled = val_gen:batch(1)
print(("without rescale: %6.2f to %6.2f"):format(raw:min():item(), raw:max():item()))
print(("with rescale:    %6.2f to %6.2f"):format(scaled:min():item(), scaled:max():item()))
print("scaled by hand, the same: ", (raw * (1 / 255)):allclose(scaled, 0, 0))

-- %% [markdown] name="notice-rescale"
-- **What to notice.** The division belongs to the model as much as its weights do. A program that
-- loads the model next year and forgets it feeds numbers 255 times too large, and gets answers that
-- are confident and wrong, without any error. giemsa therefore saves the rescale, the size and the
-- way of resizing in the model (lesson 7).
--
-- ## The same again
--
-- Random does not mean that it cannot be repeated. A variation depends on the seed, the epoch and
-- the number of the picture, and on nothing else: not on how many processors work, not on which
-- picture was ready first.

-- %% [markdown] name="notice-rescale-zh" lang="zh"
-- **观察要点**：这个除法与权重一样，是模型的一部分。一个程序如果明年加载这个模型时忘了它，送进去的
-- 数值就大了 255 倍，得到的答案会很自信，而且是错的，却没有任何报错。因此，giemsa 把 rescale、尺寸
-- 和缩放方式都保存在模型里（第 7 课）。
--
-- ## 再来一次，一模一样
--
-- 随机并不意味着不能重复。一次变换取决于种子、轮次和图像的编号，此外不取决于任何东西：不取决于有多
-- 少处理器在工作，也不取决于哪张图像先准备好。

-- %% name="repeat"
local function first_batch(seed, epoch)
  local generator = data.ImageDataGenerator(recipe)
  options.seed = seed
  return generator:flow_from_directory(set.training, options):batch(1, { epoch = epoch })
end
local once = first_batch(1, 1)
print("seed 1, epoch 1, again:", once == first_batch(1, 1))
print("seed 1, epoch 2:       ", once == first_batch(1, 2))
print("seed 2, epoch 1:       ", once == first_batch(2, 1))
options.seed = nil

-- %% [markdown] name="notice-repeat"
-- **What to notice.** True, false, false. Without a `seed` of its own a generator takes one from
-- giemsa's (42 unless you say otherwise), so even a lesson that names no seed gives the same
-- numbers every time.
--
-- ## How pictures are made smaller
--
-- Cells of 130 pixels become 64. There is more than one way. **Nearest** takes every second pixel
-- and throws the others away. **Bilinear** mixes the four pixels around the place it looks at.
-- **Area** takes the mean of all pixels that fall into the new one. Let us look at the parasite
-- from close by.

-- %% [markdown] name="notice-repeat-zh" lang="zh"
-- **观察要点**：true、false、false。生成器如果没有自己的 `seed`，就从 giemsa 的种子得到一个（除非另
-- 行指定，否则是 42），所以即使一课里没有写种子，每次得到的数值也都相同。
--
-- ## 图像是怎样缩小的
--
-- 130 像素的细胞变成 64 像素。办法不止一种。**最近邻**（nearest）每隔一个像素取一个，其余丢弃。**双
-- 线性**（bilinear）把取值位置周围的四个像素混合起来。**区域平均**（area）对落入新像素的所有像素求
-- 平均。我们来近距离看看疟原虫。

-- %% name="resize"
local rules, resized = { "nearest", "bilinear", "area" }, {}
for i, rule in ipairs(rules) do
  resized[i] = image.load(path, { target_size = { 64, 64 }, interpolation = rule })
end
-- Where the area's green is lowest beside red: the spot.
local pixels, best, row, column = resized[3]:to_tensor():totable(), 2, 1, 1
for i = 1, 64 do
  for j = 1, 64 do
    local red, green = pixels[i][j][1], pixels[i][j][2]
    if red > 60 and green / red < best then best, row, column = green / red, i, j end
  end
end
local left, top = math.max(0, math.min(44, column - 11)), math.max(0, math.min(44, row - 11))
tiles, captions = {}, {}
for i, rule in ipairs(rules) do
  tiles[i], captions[i] = resized[i], rule
  tiles[i + 3], captions[i + 3] = resized[i]:crop(left, top, 20, 20), rule .. ", 20 x 20 pixels"
end
plot.images(tiles, { captions = captions, columns = 3, tile = 200 })
  :save("out/03_resize.png"):show()

-- %% name="resize-difference"
local function compare(a, b)
  local difference = (resized[a]:to_tensor() - resized[b]:to_tensor()):abs()
  print(("%s and %s: %.1f of 255 apart on average, %d at most"):format(rules[a], rules[b],
    difference:mean():item(), difference:max():item()))
end
compare(1, 2)
compare(1, 3)
compare(2, 3)

-- %% [markdown] name="notice-resize"
-- **What to notice.** With `nearest` the edges are ragged and a thin ring may break: whether a line
-- survives depends on which rows happened to be kept. With `area` the edge is softer, and every
-- pixel has its say.
--
-- Here is a trap of the course. Its generator resizes by **nearest** (Keras's default), and its
-- prediction program, which reads pictures with another library, by **bilinear**. The network is
-- thus asked about pictures of another kind than it learnt from. The difference is small and so is
-- the damage, and yet it is a mistake one should know of. In giemsa both take
-- `interpolation = ...`, nearest is the default as in Keras, and a saved model remembers which it
-- was.
--
-- ## How fast
--
-- Decoding, resizing and varying is done in C, on all cores, while the network computes. Is it fast
-- enough? The rates below are of the first pass over the training pictures, and of the quickest of
-- five later ones; other programs on your machine make it slower.

-- %% [markdown] name="notice-resize-zh" lang="zh"
-- **观察要点**：用 `nearest` 时，边缘参差不齐，细环可能断开：一条线能否保留下来，取决于碰巧留下了哪
-- 些行。用 `area` 时，边缘较柔和，每个像素都有份。
--
-- 这里有课程的一个陷阱。它的生成器用**最近邻**缩放（Keras 的默认值），而它的预测程序用另一个库读取
-- 图像，用的是**双线性**。于是，网络被问到的图像，与它学习时的图像不是同一种。差别很小，损害也很
-- 小，但这毕竟是一个应当知道的错误。在 giemsa 里，两者都接受 `interpolation = ...`，默认与 Keras 一
-- 样是最近邻，而保存的模型会记住用的是哪一种。
--
-- ## 有多快
--
-- 解码、缩放和变换由 C 完成，使用所有的核，与网络的计算同时进行。够快吗？下面的速率，一个是第一遍读
-- 取训练图像时的，其余是后来五遍中最快的；你机器上的其他程序会使它变慢。

-- %% name="speed"
local function pictures_per_second(generator)
  local least = math.huge
  for _ = 1, 5 do
    local start, n = core.now(), 0
    for x in generator:batches() do n = n + #x end
    least = math.min(least, (core.now() - start) / n)
  end
  return 1 / least
end

local start = core.now()
for _ in train_gen:batches() do end
print(("first pass, reading files: %7.0f pictures/s"):format(train_gen.n / (core.now() - start)))
local unvaried = val_aug:flow_from_directory(set.training, options)
print(("varied:                    %7.0f pictures/s"):format(pictures_per_second(train_gen)))
print(("not varied:                %7.0f pictures/s"):format(pictures_per_second(unvaried)))
print(("threads: %d"):format(core.threads()))

-- %% [markdown] name="notice-speed"
-- **What to notice.** The first pass reads and decodes the files; after that the small pictures
-- stay in memory as bytes (as long as they fit in 256 MB) and only the variation is made anew. The
-- course's network trains on some hundreds of pictures a second on two cores, so it never has to
-- wait for its data.

-- %% [markdown] name="notice-speed-zh" lang="zh"
-- **观察要点**：第一遍读取文件并解码；之后，缩小的图像以字节形式留在内存里（只要 256 MB 装得下），
-- 重新做的只有变换。课程的网络在两个核上每秒训练几百张图像，所以它从不需要等待数据。

-- %% [markdown] name="exercises"
-- ## Check yourself
--
-- 1. A picture has 64 columns. By how many pixels does `width_shift_range = 0.1` move it, at most?
-- 2. Write a recipe for cells that may lie in any direction: turned by any angle, mirrored both
--    ways, and nothing else.
--
-- Replace `nil` and run the lesson again. A check that is still open says so and stops nothing.

-- %% [markdown] name="exercises-zh" lang="zh"
-- ## 自测
--
-- 1. 一张图像有 64 列。`width_shift_range = 0.1` 最多把它移动多少像素？
-- 2. 为可能朝向任何方向的细胞写一个配方：旋转任意角度，两个方向都可镜像，此外什么都不做。
--
-- 把 `nil` 换成你的答案，再运行一次本课。尚未作答的检查会如实说明，不会中断运行。

-- %% name="answers" tags=["solution"]
local most_pixels = nil
local any_direction = nil -- a table of options, as `recipe`

-- %% name="checks" tags=["check"]
local check = giemsa.check
check.near("shift in pixels", most_pixels, 6.4, 0.01, "a tenth of the columns")
check("any direction", function()
  if not any_direction then return nil end
  local generator = data.ImageDataGenerator(any_direction)
  local varied = table.concat(generator:variations(), ", ")
  if varied ~= "rotation_range, horizontal_flip, vertical_flip" then
    return false, "it varies " .. (varied == "" and "nothing" or varied)
  end
  return generator.options.rotation_range >= 180, "degrees either way: how many reach every angle?"
end)
if any_direction then
  giemsa.show_augment(path, data.ImageDataGenerator(any_direction)):show()
end

-- %% [markdown] name="try"
-- ## Try it
--
-- 1. In `recipe`, make everything ten times stronger (`rotation_range = 180`, `zoom_range = 0.5`,
--    shifts of 0.5) and look at `sixteen`. Which of the cells would you still label yourself? Where
--    does the parasite leave the picture, and what is its label then?
-- 2. Add `vertical_flip = true` and `brightness_range = { 0.8, 1.2 }`. Lesson 1 showed that stain
--    tells the patient: which of the two options hides the patient better?
-- 3. Write a `preprocessing_function` that gets a picture tensor (64, 64, 3) with numbers 0 to 255
--    and returns it with its mean colour taken away (`x - x:mean()`). What does `sixteen` look like
--    when you pass it through `train_aug:standardize`?
--
-- Next: `04_resnet`, the network.

-- %% [markdown] name="try-zh" lang="zh"
-- ## 动手试试
--
-- 1. 在 `recipe` 中，把一切加强十倍（`rotation_range = 180`，`zoom_range = 0.5`，平移 0.5），再看
--    `sixteen`。哪些细胞你自己还敢标注？在哪些图里疟原虫移出了画面，那时的标签又是什么？
-- 2. 加上 `vertical_flip = true` 和 `brightness_range = { 0.8, 1.2 }`。第 1 课表明，染色会透露患者
--    是谁：这两个选项中，哪一个更能把患者隐藏起来？
-- 3. 写一个 `preprocessing_function`，它接收一个数值为 0 到 255 的图像张量（64, 64, 3），返回减去平
--    均颜色后的张量（`x - x:mean()`）。让 `sixteen` 经过 `train_aug:standardize`，看上去会怎样？
--
-- 下一课：`04_resnet`，网络。
