local tg <const> = require "tegula"
local e4m3, f32 = tg.e4m3, tg.f32

-- The gradient of gemm_fp8's A: dX[m,k] = sum_n dY[m,n]*dYs[m,n/128] * W[n,k]*Ws[n/128,k/128]. The weights keep the forward's codes and
-- scales: a block of 128 x 128 is the same block from both sides.
return tg.kernel("gemm_fp8_dgrad", function(k)
  local M, N, K = k.dim "M", k.dim "N", k.dim "K"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local dY, dYs = k.input("dY", e4m3, M, N), k.input("dYs", f32, M, N:cdiv(128))
  local W, Ws = k.input("W", e4m3, N, K), k.input("Ws", f32, N:cdiv(128), K:cdiv(128))
  local dX = k.output("dX", dtype, M, K)
  local bm = k.tune("BM", 1, 2, 4, 8, 16, 32, 64, 128, 192, 256, { default = 64 })
  local bk = k.tune("BK", 32, 64, 128, 256, 512, { default = 128 }) -- 192 would cut the scales' 128-blocks

  k.blocks(M:by(bm), K:by(bk), function(m, kk)
    dX[{m, kk}] = N:by(128):fold(tg.zeros(f32, bm, bk), function(acc, n)
      return tg.dot(dY[{m, n}], W[{n, kk}], { acc = acc, scale_a = dYs[{m, n // 128}], scale_b = Ws[{n // 128, kk // 128}].T })
    end):to(dtype)
  end)
end)
