local tg <const> = require "tegula"

-- Few rows of e4m3: lanes along the columns without scales, lanes along the reduced axis with groups of columns that share one.
return tg.kernel("codes", function(k)
  local M, N, K = k.dim "M", k.dim "N", k.dim "K"
  local A, B, Bt = k.input("A", tg.e4m3, M, K), k.input("B", tg.e4m3, K, N), k.input("Bt", tg.e4m3, N, K)
  local As, Bs = k.input("As", tg.f32, M, K:cdiv(64)), k.input("Bs", tg.f32, N:cdiv(32), K:cdiv(64))
  local C, D = k.output("C", tg.f32, M, N), k.output("D", tg.f32, M, N)
  local bm = k.tune("BM", 4, 1, 2)
  k.blocks(M:by(bm), N:by(64), function(m, n)
    C[{m, n}] = K:by(64):fold(tg.zeros(tg.f32, bm, 64), function(acc, kk) return tg.dot(A[{m, kk}], B[{kk, n}], { acc = acc }) end)
    D[{m, n}] = K:by(64):fold(tg.zeros(tg.f32, bm, 64), function(acc, kk)
      return tg.dot(A[{m, kk}], Bt[{n, kk}].T, { acc = acc, scale_a = As[{m, kk // 64}], scale_b = Bs[{n // 32, kk // 64}] })
    end)
  end)
end)
