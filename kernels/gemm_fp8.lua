local tg <const> = require "tegula"
local e4m3, bf16, f32, i64 = tg.e4m3, tg.bf16, tg.f32, tg.i64

-- C[m,n] = sum_k A[m,k]*As[m,k/128] * B[n,k]*Bs[n/128,k/128]
return tg.kernel("gemm_fp8", function(k)
  local M, N, K = k.dim "M", k.dim "N", k.dim "K"
  local packed = k.option("packed", 0, 0, 1)
  local A, As = k.input("A", e4m3, M, K), k.input("As", f32, M, K:cdiv(128))
  local B, panels
  if packed == 1 then -- from pack_weights: a header of 64 bytes, then panels of 32 rows, K-major
    B = k.input("B", e4m3, N:cdiv(32) * K * 32 + 64, { packed = { N, K } })
    panels = B:as(e4m3, 64):reshape(N:cdiv(32), K, 32)
  else
    B = k.input("B", e4m3, N, K)
  end
  local Bs = k.input("Bs", f32, N:cdiv(128), K:cdiv(128))
  local C = k.output("C", bf16, M, N)
  local bm = k.tune("BM", 1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512, { default = 64 })
  local bn = k.tune("BN", 32, 64, 128, 192, 256, 512, 1024, { default = 128 })

  k.blocks(M:by(bm), N:by(bn), function(m, n)                        -- one block per (m, n)
    local function weights(kk)                                       -- [128, bn]
      if packed == 0 then return B[{n, kk}].T end
      return panels[{n // 32, kk, tg.range(0, 32)}]:transpose(2, 1, 3):reshape(128, bn)
    end
    local function scales(kk)                                        -- of B: a tile of 192 columns begins or ends within a block of 128
      if bn ~= 192 then return Bs[{n // 128, kk}] end
      local first, part = n:first() // 128, tg.iota(i64, 3):reshape(3, 1)
      local second = (first + 1):min(N:cdiv(128) - 1):assume{ min = 0 } -- of columns that are not there where it is another's
      local function of(block) return Bs[{tg.range(block, 1, N:cdiv(128)), kk}] end
      return tg.where(part:eq(2) | part:eq(1) & (n:first() % 128):ne(0), of(second), of(first))
    end
    C[{m, n}] = K:by(128):fold(tg.zeros(f32, bm, bn), function(acc, kk)
      return tg.dot(A[{m, kk}], weights(kk), { acc = acc,
                    scale_a = As[{m, kk // 128}], scale_b = scales(kk // 128) })
    end):to(bf16)
  end)
end)
