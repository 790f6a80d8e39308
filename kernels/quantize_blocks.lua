local tg <const> = require "tegula"
local e4m3, bf16, f32, i32 = tg.e4m3, tg.bf16, tg.f32, tg.i32

-- Per block of 128 x 128: S = max(amax, 1e-4) / 448, Q = X / S to nearest even, saturating.
-- A NaN does not enter amax and reaches its own code alone.
return tg.kernel("quantize_blocks", function(k)
  local N, K = k.dim "N", k.dim "K"
  local ue8m0 = k.option("ue8m0", 0, 0, 1) -- 1: scales rounded up to a power of two
  local X = k.input("X", bf16, N, K)
  local Q, S = k.output("Q", e4m3, N, K), k.output("S", f32, N:cdiv(128), K:cdiv(128))

  k.blocks(K:by(128), N:by(128), function(c, n) -- along a row first: neighbours in memory
    local x = X[{n, c}]:to(f32)
    local s = x:abs():rmaxnum(2):rmaxnum(1):maxnum(1e-4) / 448
    if ue8m0 == 1 then -- a carry out of the mantissa raises the exponent
      s = ((s:bitcast(i32) + 0x7fffff) & 0x7f800000):bitcast(f32)
    end
    Q[{n, c}] = (x / s):to(e4m3, "sat")
    S[{n // 128, c // 128}] = s
  end)
end)
