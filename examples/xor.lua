-- XOR: the smallest problem that a net without a hidden layer cannot learn.
local giemsa = require "giemsa"
local nn, optim, tensor = giemsa.nn, giemsa.optim, giemsa.tensor

local x = tensor{ { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } }
local y = tensor{ { 0 }, { 1 }, { 1 }, { 0 } }

local model = nn.Sequential{
  nn.Input{ 2 },
  nn.Dense{ 8, activation = "tanh" },
  nn.Dense{ 1, activation = "sigmoid" },
}
model:compile{ loss = "binary_crossentropy", optimizer = optim.Adam{ lr = 0.1 }, metrics = { "accuracy" } }
model:fit(x, y, { epochs = 100, verbose = 0 })

local p = model:predict(x)
for i = 1, 4 do print(("%d xor %d = %.3f"):format(x[i][1], x[i][2], p[i][1])) end
