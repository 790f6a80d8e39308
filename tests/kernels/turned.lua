local tg <const> = require "tegula"
local bf16, f32 = tg.bf16, tg.f32

-- C[m,n] = sum_k A[m,k] * B[n,k]; ta=1: of A[k,m], tb=1: of B[k,n] as they lie in memory
return tg.kernel("turned", function(k)
  local M, N, K = k.dim "M", k.dim "N", k.dim "K"
  local ta, tb = k.option("ta", 0, 0, 1), k.option("tb", 0, 0, 1)
  local A = ta == 1 and k.input("A", bf16, K, M) or k.input("A", bf16, M, K)
  local B = tb == 1 and k.input("B", bf16, K, N) or k.input("B", bf16, N, K)
  local C = k.output("C", bf16, M, N)
  local bm, bn = k.tune("BM", 64, 128, 192, 256, { default = 64 }), k.tune("BN", 32, 64, 128, 256, { default = 64 })
  local bk = k.tune("BK", 32, 64, 128, { default = 64 })

  k.blocks(M:by(bm), N:by(bn), function(m, n)
    C[{m, n}] = K:by(bk):fold(tg.zeros(f32, bm, bn), function(acc, kk)
      return tg.dot(ta == 1 and A[{kk, m}].T or A[{m, kk}], tb == 1 and B[{kk, n}] or B[{n, kk}].T, { acc = acc })
    end):to(bf16)
  end)
end)
