local tg <const> = require "tegula"

-- Ranges that begin before the tensor and end within it; loaded bounds; masks.
return tg.kernel("causal", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, L = k.input("X", tg.f32, N), k.input("L", tg.i32, M)
  local O, P = k.output("O", tg.f32, M, 32), k.inout("P", tg.f32, M, 32)
  k.blocks(M, function(m)
    local last = L[{m}]:to(tg.i64)
    local r = tg.range(last - 20, 32, last)
    local x = X[{r, fill = 7}]
    O[{m, tg.range(0, 32)}] = x + 1
    local w = tg.range(0, 32)
    P:store({m, w}, P[{m, w}] * 2 + x, w:index():lt(last))
  end)
end)
