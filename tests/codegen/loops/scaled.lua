local tg <const> = require "tegula"

-- Two scale blocks along the reduced axis in a trip, several along both others.
return tg.kernel("scaled", function(k)
  local M, N, K = k.dim "M", k.dim "N", k.dim "K"
  local A, As = k.input("A", tg.e4m3, M, K), k.input("As", tg.f32, M:cdiv(4), K:cdiv(32))
  local B, Bs = k.input("B", tg.e4m3, N, K), k.input("Bs", tg.f32, N:cdiv(16), K:cdiv(32))
  local C = k.output("C", tg.f32, M, N)
  local bm, bn = k.tune("BM", 16, 4), k.tune("BN", 64, 32)
  k.blocks(M:by(bm), N:by(bn), function(m, n)
    C[{m, n}] = K:by(64):fold(tg.zeros(tg.f32, bm, bn), function(acc, kk)
      return tg.dot(A[{m, kk}], B[{n, kk}].T, { acc = acc, scale_a = As[{m // 4, kk // 32}], scale_b = Bs[{n // 16, kk // 32}] })
    end)
  end)
end)
