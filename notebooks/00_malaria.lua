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
