local tg <const> = require "tegula"
local e4m3, bf16, f32, i32 = tg.e4m3, tg.bf16, tg.f32, tg.i32

-- Per row and 128 columns: S = max(amax, 1e-4) / 448, Q = X / S to nearest even, saturating.
-- A NaN does not enter amax and reaches its own code alone.
return tg.kernel("quantize_rows", function(k)
  local M, K = k.dim "M", k.dim "K"
  local ue8m0 = k.option("ue8m0", 0, 0, 1) -- 1: scales rounded up to a power of two
  local X = k.input("X", bf16, M, K)
  local Q, S = k.output("Q", e4m3, M, K), k.output("S", f32, M, K:cdiv(128))
  local bm = k.tune("BM", 1, 2, 4, 8, 16, 32, { default = 4 })
  local bk = k.tune("BK", 128, 256, 512, 1024, 2048, 4096, { default = 1024 })

  k.blocks(K:by(bk), M:by(bm), function(columns, m) -- along a row first: neighbours in memory
    columns:by(128):each(function(c)
      local x = X[{m, c}]:to(f32)
      local s = x:abs():rmaxnum(2):maxnum(1e-4) / 448
      if ue8m0 == 1 then -- a carry out of the mantissa raises the exponent
        s = ((s:bitcast(i32) + 0x7fffff) & 0x7f800000):bitcast(f32)
      end
      Q[{m, c}] = (x / s):to(e4m3, "sat")
      S[{m, c // 128}] = s
    end)
  end)
end)
