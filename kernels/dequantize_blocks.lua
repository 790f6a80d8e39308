local tg <const> = require "tegula"
local e4m3, f32 = tg.e4m3, tg.f32

-- X[n,c] = Q[n,c] * S[n/128,c/128]
return tg.kernel("dequantize_blocks", function(k)
  local N, K = k.dim "N", k.dim "K"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local Q, S = k.input("Q", e4m3, N, K), k.input("S", f32, N:cdiv(128), K:cdiv(128))
  local X = k.output("X", dtype, N, K)

  k.blocks(K:by(128), N:by(128), function(c, n) -- along a row first: neighbours in memory
    X[{n, c}] = (Q[{n, c}]:to(f32) * S[{n // 128, c // 128}]):to(dtype)
  end)
end)
