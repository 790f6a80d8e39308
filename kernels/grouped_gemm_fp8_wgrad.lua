local tg <const> = require "tegula"
local e4m3, f32, i32 = tg.e4m3, tg.f32, tg.i32

-- gemm_fp8_wgrad for each expert's rows t, offsets[e] … offsets[e+1], any offsets:
-- dW[e,n,k] = sum_t dY[t,n]*dYs[t/128,n] * X[t,k]*Xs[t/128,k], with accumulate=1 added to what dW holds. Scales keep to blocks of 128 of all
-- rows, so that an expert's first rows, up to the next block, are summed by themselves.
return tg.kernel("grouped_gemm_fp8_wgrad", function(k)
  local T, E, N, K = k.dim "T", k.dim "E", k.dim "N", k.dim "K"
  local accumulate = k.option("accumulate", 0, 0, 1)
  local dY, dYs = k.input("dY", e4m3, T, N), k.input("dYs", f32, T:cdiv(128), N)
  local X, Xs = k.input("X", e4m3, T, K), k.input("Xs", f32, T:cdiv(128), K)
  local offsets = k.input("offsets", i32, E + 1, { offsets = T })
  local dW = accumulate == 1 and k.inout("dW", f32, E, N, K) or k.output("dW", f32, E, N, K)
  local bn = k.tune("BN", 16, 32, 64, 128, 192, 256, { default = 64 })
  local bk = k.tune("BK", 32, 64, 128, 192, 256, 512, { default = 128 })

  k.blocks(N:by(bn), K:by(bk), E, function(n, kk, e)
    local first, last = offsets[{e}]:max(0):min(T), offsets[{e + 1}]:min(T)
    local next = (first + 127) // 128 * 128
    local function add(sum, t, block)
      return tg.dot(dY[{t, n}].T, X[{t, kk}], { acc = sum, scale_a = dYs[{block, n}].T, scale_b = Xs[{block, kk}].T })
    end
    local head = tg.range(first, 128, last:min(next))
    local sum = head:fold(tg.zeros(f32, bn, bk), function(sum, t) return add(sum, t, tg.range(first // 128, 1)) end)
    sum = tg.range(next, 128, last, { align = 128 }):fold(sum, function(sum, t) return add(sum, t, t // 128) end)
    if accumulate == 1 then sum = dW[{e, n, kk}] + sum end
    dW[{e, n, kk}] = sum
  end)
end)
