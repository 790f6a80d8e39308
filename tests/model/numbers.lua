-- The integers of a .npy file of one axis, on one line
local t <const> = require "tegula".read(arg[1])
local list = {}
for i = 1, #t do list[i] = t:get(i - 1) end
print(table.concat(list, " "))
