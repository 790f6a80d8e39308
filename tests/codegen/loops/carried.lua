local tg <const> = require "tegula"

-- Two carried tiles that change places, a carried scalar, an accumulator that is read across its rows.
return tg.kernel("carried", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, O, C = k.input("X", tg.f32, M, N), k.output("O", tg.f32, M, 16), k.output("C", tg.i64, M:cdiv(4))
  k.blocks(M:by(4), function(m)
    local a, b, n = N:by(16):fold(tg.zeros(tg.f32, 4, 16), tg.full(tg.f32, 1, 4, 16), tg.full(tg.i64, 0), function(a, b, n, r)
      return b, a * 0.5 + X[{m, r}] * b:rsum(2), n + r:first()
    end)
    local c = N:by(16):fold(a + b, function(c, r) return c * 0.5 + (c:rsum(1) + X[{m, r}]) * 0.01 end)
    O[{m, tg.range(0, 16)}] = c
    C[{m // 4}] = n
  end)
end)
