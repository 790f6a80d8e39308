local tg <const> = require "tegula"

-- Groups of 16 columns: their maxima, and each element over its group's maximum.
return tg.kernel("reshape", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, O, G = k.input("X", tg.f32, M, N), k.output("O", tg.f32, M, N), k.output("G", tg.f32, M, N:cdiv(16))
  k.blocks(M:by(4), N:by(64), function(m, n)
    local x = X[{m, n}]
    local top = x:abs():reshape(4, 4, 16):rmax(3)
    G[{m, n // 16}] = top:reshape(4, 4)
    O[{m, n}] = x / (top:reshape(4, 4):spread(2, 16) + 1)
  end)
end)
