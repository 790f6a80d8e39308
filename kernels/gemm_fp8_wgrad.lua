local tg <const> = require "tegula"
local e4m3, f32 = tg.e4m3, tg.f32

-- The gradient of gemm_fp8's B: dW[n,k] = sum_m dY[m,n]*dYs[m/128,n] * X[m,k]*Xs[m/128,k], with accumulate=1 added to what dW holds. The sum
-- runs over tokens, so both operands come from quantize_columns.
return tg.kernel("gemm_fp8_wgrad", function(k)
  local M, N, K = k.dim "M", k.dim "N", k.dim "K"
  local accumulate = k.option("accumulate", 0, 0, 1)
  local dY, dYs = k.input("dY", e4m3, M, N), k.input("dYs", f32, M:cdiv(128), N)
  local X, Xs = k.input("X", e4m3, M, K), k.input("Xs", f32, M:cdiv(128), K)
  local dW = accumulate == 1 and k.inout("dW", f32, N, K) or k.output("dW", f32, N, K)
  local bn = k.tune("BN", 16, 32, 64, 128, 192, 256, { default = 64 })
  local bk = k.tune("BK", 32, 64, 128, 192, 256, 512, { default = 128 })

  k.blocks(N:by(bn), K:by(bk), function(n, kk)
    local sum = M:by(128):fold(tg.zeros(f32, bn, bk), function(acc, m)
      return tg.dot(dY[{m, n}].T, X[{m, kk}], { acc = acc, scale_a = dYs[{m // 128, n}].T, scale_b = Xs[{m // 128, kk}].T })
    end)
    if accumulate == 1 then sum = dW[{n, kk}] + sum end
    dW[{n, kk}] = sum
  end)
end)
