local tg <const> = require "tegula"
local bf16, f32 = tg.bf16, tg.f32

-- C[m,n] = sum_k A[m,k] * B[n,k], accumulated in f32
return tg.kernel("gemm_bf16", function(k)
  local M, N, K = k.dim "M", k.dim "N", k.dim "K"
  local A, B = k.input("A", bf16, M, K), k.input("B", bf16, N, K)
  local C = k.output("C", bf16, M, N)
  local bm = k.tune("BM", 1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512, { default = 64 })
  local bn = k.tune("BN", 32, 64, 128, 192, 256, 512, 1024, { default = 64 })
  local bk = k.tune("BK", 16, 32, 64, 128, { default = 32 })

  k.blocks(M:by(bm), N:by(bn), function(m, n)
    C[{m, n}] = K:by(bk):fold(tg.zeros(f32, bm, bn), function(acc, kk)
      return tg.dot(A[{m, kk}], B[{n, kk}].T, { acc = acc })
    end):to(bf16)
  end)
end)
