--- Training: compile, fit, evaluate, predict, which become methods of every model, and train.step.
--
--   train/step.lua       compile and the step     train/objective.lua  losses and metrics by name
--   train/score.lua      evaluate and predict     train/feed.lua       what data may be given
--   train/fit.lua        fit
require "giemsa.train.fit"
require "giemsa.train.score"

local train = { step = require("giemsa.train.step").run }

return train
