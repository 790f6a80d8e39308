-- One loaded tile at two positions at a time: what the loop over the first knows to be inside, the other need not be. Tiles that lie whole,
-- in part and not at all within the tensor, on device cpu as on the interpreter.
local tg <const> = require "tegula"
local i32 = tg.i32
local cpu, interp = tg.device "cpu", tg.device "interp"

local function pairs_of(combine)
  return tg.kernel("pairs", function(k)
    local T, U = k.dim "T", k.dim "U"
    local X, O = k.input("X", i32, T), k.output("O", i32, U)
    k.blocks(U:by(32), function(t)
      local x = X[{t, fill = -7}]
      O[{t}] = combine(x:reshape(32, 1), x):rsum(2):reshape(32)
    end)
  end)
end

local kernels <const> = {
  equal = pairs_of(function(x, y) return x:eq(y):to(i32) end),
  product = pairs_of(function(x, y) return x * y end),
  later = pairs_of(function(x, y) return (y:lt(x) & y:eq(-7)):to(i32) + y end),
}

for _, T in ipairs { 0, 1, 5, 16, 17, 31, 32, 33, 63, 64, 97 } do
  local X = tg.tensor(i32, T)
  for i = 0, T - 1 do X:set(i, i * 7 % 13) end
  for name, kernel in pairs(kernels) do
    local args = { X = X, O = tg.tensor(i32, 128) }
    local got = cpu:run(kernel, args).O:copy()
    local want = interp:run(kernel, { X = X, O = tg.tensor(i32, 128) }).O
    local equal, difference = got:compare(want)
    assert(equal, ("%s of %d: %d elements differ"):format(name, T, difference.bad))
  end
end
