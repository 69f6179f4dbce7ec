-- ---
-- title: Malaria, and what a picture of blood can tell
-- seed: 42
-- ---

-- %% [markdown] name="goal"
-- # 0. Malaria, and what a picture of blood can tell
--
-- **Goal:** know what the pictures in this course show, why reading them matters, and what a
-- program that reads them could and could not do for a patient.
--
-- You will draw four small figures with giemsa's own plotting. Nothing is trained yet. Time: two
-- minutes of computing at most, half an hour of reading.
--
-- This course is a teaching tool. Nothing in it is a medical device, and no result of it may be
-- used to treat a person.

-- %% [markdown] name="goal-zh" lang="zh"
-- # 0. 疟疾，以及一张血液图像能说明什么
--
-- **目标**：了解本课程的图像拍的是什么，判读它们为什么重要，以及一个判读图像的程序能为病人做什么、
-- 不能做什么。
--
-- 你将用 giemsa 自带的绘图功能画四张小图，这一课还不训练任何模型。所需时间：计算最多两分钟，阅读半
-- 小时。
--
-- 本课程只用于教学。其中没有任何内容是医疗器械，任何结果都不得用于诊治病人。

-- %% name="setup"
local giemsa = require "giemsa"
local plot = giemsa.plot

-- %% [markdown] name="disease"
-- ## A parasite with two hosts
--
-- Malaria is caused by single-celled parasites of the genus *Plasmodium*. Five species infect
-- people; *P. falciparum* causes most of the deaths, *P. vivax* most of the illness outside Africa.
-- The parasite needs two hosts: a human and a female *Anopheles* mosquito. A bite brings a few
-- parasites into the blood. They hide in the liver for about a week, multiply, and then enter red
-- blood cells. Inside a red cell a parasite eats haemoglobin, divides, bursts the cell, and its
-- offspring enter new ones. Each round takes about two days; the fever comes with the bursting.
--
-- That life inside the red cell is what makes the disease visible. For two days, every infected
-- cell carries a guest that is a few thousandths of a millimetre large, has a nucleus, and takes up
-- a stain.
--
-- ## How much malaria there is
--
-- The World Health Organization publishes an estimate every year. The report of 2023 counts about
-- 249 million cases and about 608,000 deaths in 2022. The figures are estimates: most cases happen
-- where few are counted.

-- %% [markdown] name="disease-zh" lang="zh"
-- ## 一种有两个宿主的寄生虫
--
-- 疟疾由疟原虫属（*Plasmodium*）的单细胞寄生虫引起。能感染人的有五种：恶性疟原虫（*P. falciparum*）
-- 造成大多数死亡，间日疟原虫（*P. vivax*）则是非洲以外大多数病例的病因。疟原虫需要两个宿主：人和雌
-- 性按蚊（*Anopheles*）。按蚊叮咬时，少量疟原虫进入血液，在肝脏里潜伏约一周并大量增殖，随后侵入红细
-- 胞。疟原虫在红细胞内吞食血红蛋白、分裂，最后胀破细胞，子代再侵入新的红细胞。每一轮大约两天；红细
-- 胞破裂之时，正是发热之时。
--
-- 正是红细胞内的这段生活，使疟疾可以被看见。在这两天里，每个受感染的红细胞都带着一位“客人”：它只有
-- 几微米大，有细胞核，能被染料着色。
--
-- ## 疟疾有多少
--
-- 世界卫生组织（WHO）每年发布一次估计。2023 年的报告估计，2022 年约有 2.49 亿病例、约 60.8 万人死
-- 亡。这些数字只是估计：病例最多的地方，往往正是统计最少的地方。

-- %% name="where"
-- Share of the world's malaria cases in 2022, per cent, by WHO region (World Malaria Report 2023).
local regions = { "Africa", "Eastern Mediterranean", "South-East Asia", "Western Pacific",
  "Americas" }
local share = { 94, 3.3, 2.1, 0.8, 0.2 }

plot.bars{ labels = regions, values = share, horizontal = true, format = "%g %%",
  title = "Where the malaria cases of 2022 were", xlabel = "share of all cases, %" }
  :save("out/00_regions.png"):show()

-- %% [markdown] name="notice-where"
-- **What to notice.** One region carries almost everything. Within it, four countries (Nigeria, the
-- Democratic Republic of the Congo, Uganda and Mozambique) account for almost half of all cases,
-- and nearly four of five who die there are children under five.
--
-- ## Why it persists
--
-- Malaria has been eliminated from places with the same mosquitoes and the same climate. What
-- differs is everything else:
--
-- - **Poverty.** Houses with open eaves, no nets, a day's walk to a clinic, and money for the test
--   or for the drug but not both.
-- - **Care that is far away.** A child with *P. falciparum* can die within a day or two of the
--   first convulsion. Time to diagnosis is the treatment.
-- - **War and flight.** Spraying stops, supply breaks, people without immunity move into places
--   where malaria is.
-- - **The vector.** *Anopheles* bites at night and breeds in clean still water: rice fields,
--   footprints, tins. In many places it has become resistant to the insecticides used on nets, and
--   a newcomer, *An. stephensi*, breeds in cities.
-- - **The parasite.** It becomes resistant to drugs, one after the other; partial resistance to
--   artemisinin is now seen in Africa too.

-- %% [markdown] name="notice-where-zh" lang="zh"
-- **观察要点**：几乎全部病例都集中在一个区域。在这个区域里，四个国家（尼日利亚、刚果民主共和国、乌
-- 干达和莫桑比克）占了全部病例的将近一半；而那里的死者中，将近五分之四是五岁以下的儿童。
--
-- ## 疟疾为什么难以根除
--
-- 在蚊子相同、气候也相同的一些地方，疟疾已经被消灭。不同的是其他一切条件：
--
-- - **贫困**：屋檐敞开的房子，没有蚊帐，走一天才能到诊所，手里的钱只够检测或只够买药，两样不能兼
--   得。
-- - **医疗太远**：感染恶性疟原虫的儿童，从第一次惊厥起，一两天内就可能死亡。能否得救，取决于多快得
--   到诊断。
-- - **战争与流离**：杀虫喷洒停止，供应中断，没有免疫力的人迁入疟疾流行区。
-- - **传播媒介**：按蚊夜间叮人，在干净的静水里繁殖：稻田、脚印里的积水、空罐头盒。在许多地方，它已
--   对蚊帐上使用的杀虫剂产生抗性；而一个新来者，斯氏按蚊（*An. stephensi*），能在城市里繁殖。
-- - **寄生虫**：它对药物一种接一种地产生耐药性；如今在非洲也出现了对青蒿素的部分耐药。

-- %% name="trend"
-- Estimated malaria deaths in the world (World Malaria Report 2023), thousands.
local year = { 2000, 2015, 2019, 2020, 2021, 2022 }
local deaths = { 864, 586, 576, 631, 610, 608 }

plot.lines{ { x = year, y = deaths, style = "both" }, title = "Deaths from malaria, by year",
  xlabel = "year", ylabel = "thousand deaths", yrange = { 0, 1000 }, legend = false }
  :save("out/00_deaths.png"):show()

-- %% [markdown] name="notice-trend"
-- **What to notice.** Fifteen years of nets, tests and combination drugs took away a third of the
-- deaths. Then the curve flattens, and in 2020, when clinics closed for another disease, it rises.
-- Progress here is not a law of nature.
--
-- ## Two ways to find the parasite
--
-- **A blood smear.** A drop of blood is spread on glass, fixed, and stained with Giemsa's stain
-- (Gustav Giemsa, Hamburg, 1904; this program is named after it). The stain colours nucleic acid
-- purple and the red cells pink. A microscopist looks through a hundred or more fields at a
-- thousandfold magnification. She learns not only *whether* there are parasites but *which*
-- species, *which* stage and *how many*, and the number tells how the treatment works. It costs
-- little in material and much in training: a tired or untrained eye misses half, and a good one
-- needs twenty minutes a slide.
--
-- **A rapid test.** A strip that shows a line when it meets a protein of the parasite. It needs no
-- lamp and no training, takes a quarter of an hour, and made diagnosis possible in villages. It
-- does not count, it stays positive for weeks after a cure, and some parasites have lost the gene
-- for the protein most strips look for.
--
-- They complete each other. Where a microscope exists, the scarce part is the eye behind it, and
-- that is the gap this course is about.

-- %% [markdown] name="notice-trend-zh" lang="zh"
-- **观察要点**：十五年的蚊帐、检测和复方药物使死亡减少了三分之一。随后曲线趋于平缓；2020 年，诊所因
-- 另一种疾病而关闭，曲线又上升了。在这里，进步并非自然规律。
--
-- ## 发现疟原虫的两种方法
--
-- **血涂片**：取一滴血在玻片上推开、固定，用吉姆萨染液染色（Gustav Giemsa，汉堡，1904；本程序以他命
-- 名）。染料把核酸染成紫色，把红细胞染成粉红色。镜检人员在一千倍放大下观察一百个以上的视野。由此得
-- 知的不仅是**有没有**疟原虫，还有是**哪个**虫种、处于**哪个**发育阶段、数量**有多少**，而数量能反
-- 映治疗的效果。这种方法材料便宜，培训却昂贵：疲劳或未经训练的眼睛会漏掉一半，熟练的眼睛看一张片子
-- 也要二十分钟。
--
-- **快速诊断试验**：一根试纸条，遇到疟原虫的某种蛋白就显出一条线。它不需要灯光，也不需要培训，一刻
-- 钟出结果，使村庄里也能做诊断。但它不能计数，治愈后数周内仍呈阳性，而且有些疟原虫已经丢失了多数试
-- 纸条所检测的那种蛋白的基因。
--
-- 两者相辅相成。在有显微镜的地方，稀缺的是显微镜后面的那双眼睛，本课程要填补的正是这个缺口。

-- %% name="compare"
-- How a method behaves at a clinic is told by two numbers. Sensitivity: of the infected, how many
-- are found. Specificity: of the healthy, how many are left in peace. Typical values of field
-- studies, in per cent; they vary widely.
plot.bars{ labels = { "expert microscopist", "routine microscopy", "rapid test" },
  series = { { title = "sensitivity", values = { 95, 70, 93 } },
    { title = "specificity", values = { 98, 90, 95 } } },
  format = "%g", yrange = { 0, 110 }, ylabel = "%", title = "Finding the ill, sparing the healthy" }
  :save("out/00_methods.png"):show()

-- %% [markdown] name="notice-compare"
-- **What to notice.** The same slide is worth 95 % or 70 %, depending on who looks. These bars are
-- rounded from many studies that disagree; the gap between the two microscopists is what they agree
-- on.
--
-- ## What the numbers mean for one patient
--
-- A test that is right nineteen times out of twenty sounds good. Whether a *positive result* is
-- right depends on something else: how common the disease is among those who are tested. Let us
-- compute it.

-- %% [markdown] name="notice-compare-zh" lang="zh"
-- **观察要点**：同一张玻片，价值是 95 % 还是 70 %，取决于谁来看。这些柱形是许多彼此不一致的研究的约
-- 数；它们一致认同的，是两类镜检人员之间的差距。
--
-- ## 这些数字对一个病人意味着什么
--
-- 一种二十次里能对十九次的检测，听起来不错。但一个**阳性结果**是否正确，还取决于另一件事：在受检人
-- 群中，这种病有多常见。我们来算一算。

-- %% name="predictive"
-- Bayes: of all positive results, the share that is truly infected.
local function positive_predictive_value(sensitivity, specificity, prevalence)
  local true_positive = sensitivity * prevalence
  local false_positive = (1 - specificity) * (1 - prevalence)
  return true_positive / (true_positive + false_positive)
end

local prevalence, ppv = {}, {}
for i = 1, 60 do
  prevalence[i] = i / 100
  ppv[i] = positive_predictive_value(0.95, 0.95, prevalence[i])
end
print(("one patient in two infected: a positive result is right %4.1f %% of the time")
  :format(100 * ppv[50]))
print(("one patient in a hundred:    a positive result is right %4.1f %% of the time")
  :format(100 * ppv[1]))

plot.lines{ { x = prevalence, y = ppv }, legend = false, yrange = { 0, 1 },
  title = "A test with 95 % sensitivity and 95 % specificity",
  xlabel = "share of tested people who are infected", ylabel = "share of positives that are right" }
  :save("out/00_predictive_value.png"):show()

-- %% [markdown] name="notice-predictive"
-- **What to notice.** The test did not change, the village did. Among patients with fever in the
-- rainy season a positive result is almost certain. In a screening where one in a hundred is
-- infected, five of six positives are false alarms. In this course the two classes are equally
-- frequent, fifty and fifty, which is convenient for learning and true nowhere. Remember it when an
-- accuracy of 95 % appears.
--
-- ## A device for the field
--
-- Imagine a clinic with a microscope, a telephone on its eyepiece and no microscopist. The
-- telephone takes pictures of the smear, a program cuts out each red cell, and a second program
-- says of each: *parasitized* or *uninfected*. A nurse sees the count and, what matters more, the
-- twenty most suspicious cells, and decides. This course builds the second program. Around it stand
-- questions that no accuracy answers: who stains the slide, who pays, what happens after a wrong
-- answer, who is responsible. A tool for a clinic has to be tried at that clinic, on its own stain
-- and its own patients.
--
-- ## The pictures of the course
--
-- The cells were photographed through a telephone at a hospital in Chittagong, Bangladesh, and
-- labelled by an expert: 150 infected and 50 healthy people, 27,558 cells, half of them
-- parasitized. The data are published by the U.S. National Library of Medicine (Rajaraman et al.
-- 2018, *PeerJ* 6:e4568). The next lesson looks at them.
--
-- ## Try it
--
-- 1. In `predictive`, let the sensitivity be 0.99 and the specificity 0.80. What happens at one
--    infected in a hundred? Which of the two numbers matters more when the disease is rare?
-- 2. Write `negative_predictive_value` and draw it into the same picture (give `plot.lines` two
--    series with titles).
-- 3. A smear with 100 cells looked at, each judged with a specificity of 95 %: how many cells of a
--    healthy person are called parasitized? What follows for a rule that turns cells into a
--    diagnosis?
--
-- Next: `01_data`, the cells themselves.

-- %% [markdown] name="notice-predictive-zh" lang="zh"
-- **观察要点**：检测没有变，变的是村庄。雨季里的发热病人，阳性结果几乎是确定的。而在一百人中只有一
-- 人感染的筛查里，六个阳性中有五个是误报。本课程的两个类别各占一半，五十对五十，这便于学习，但真实
-- 世界里没有哪个地方是这样的。看到 95 % 的准确率时，请记住这一点。
--
-- ## 供现场使用的设备
--
-- 设想一间诊所：有一台显微镜，目镜上架着一部手机，但没有镜检人员。手机给血涂片拍照，一个程序把每个
-- 红细胞裁切出来，另一个程序逐个判断：**受感染**（parasitized）还是**未感染**（uninfected）。护士看
-- 到计数，以及更重要的、最可疑的二十个细胞，然后由她决定。本课程要做的就是这第二个程序。围绕它的一
-- 些问题，是任何准确率都回答不了的：谁来染色，谁来付费，判错之后怎么办，谁来负责。给诊所用的工具，
-- 必须在那间诊所里，用那里的染色、那里的病人来检验。
--
-- ## 本课程的图像
--
-- 这些细胞是在孟加拉国吉大港（Chittagong）的一家医院用手机拍摄的，由一位专家标注：150 名感染者和 50
-- 名健康人，共 27,558 个细胞，其中一半受感染。数据由美国国家医学图书馆发布（Rajaraman et al. 2018,
-- *PeerJ* 6:e4568）。下一课就来看它们。
--
-- ## 动手试试
--
-- 1. 在 `predictive` 中，把灵敏度设为 0.99，特异度设为 0.80。感染率为百分之一时会怎样？疾病罕见时，
--    两个数字中哪个更重要？
-- 2. 编写 `negative_predictive_value`，并把它画进同一张图（给 `plot.lines` 两个带标题的序列）。
-- 3. 一张血涂片看了 100 个细胞，每个细胞的判断特异度为 95 %：一个健康人会有多少个细胞被判为受感染？
--    由此看来，要把对细胞的判断变成诊断，规则应当注意什么？
--
-- 下一课：`01_data`，细胞本身。
