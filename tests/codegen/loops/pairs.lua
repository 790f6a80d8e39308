local tg <const> = require "tegula"

-- Rotation of neighbouring elements: split and join.
return tg.kernel("pairs", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, O = k.input("X", tg.bf16, M, 64), k.output("O", tg.bf16, M, 64)
  local F = k.input("F", tg.f32, N)
  k.blocks(M:by(2), function(m)
    local a, b = X[{m, tg.range(0, 64)}]:to(tg.f32):reshape(2, 32, 2):split()
    local t = F[{tg.range(0, 32)}]:reshape(1, 32) * m:index():to(tg.f32):reshape(2, 1)
    local c, s = t:cos(), t:sin()
    O[{m, tg.range(0, 64)}] = (a * c - b * s):join(a * s + b * c):reshape(2, 64):to(tg.bf16)
  end)
end)
