local tg <const> = require "tegula"
local e4m3, bf16, f32, i32 = tg.e4m3, tg.bf16, tg.f32, tg.i32

-- Per column and 128 rows: S = max(amax, 1e-4) / 448, Q = X / S to nearest even, saturating: what gemm_fp8_wgrad takes, whose sum runs
-- down the rows. A NaN does not enter amax and reaches its own code alone.
return tg.kernel("quantize_columns", function(k)
  local M, K = k.dim "M", k.dim "K"
  local ue8m0 = k.option("ue8m0", 0, 0, 1) -- 1: scales rounded up to a power of two
  local X = k.input("X", bf16, M, K)
  local Q, S = k.output("Q", e4m3, M, K), k.output("S", f32, M:cdiv(128), K)
  local bm = k.tune("BM", 1, 2, 4, 8, 16, { default = 4 })
  local bk = k.tune("BK", 64, 128, 256, 512, 1024, { default = 256 })

  k.blocks(K:by(bk), M:by(128), function(c, m) -- along a row first: neighbours in memory
    local amax = m:by(bm):fold(tg.full(f32, 1e-4, bm, bk), function(amax, r) -- whole rows: columns are often a multiple of 4 KiB apart
      return amax:maxnum(X[{r, c}]:to(f32):abs())
    end)
    local s = amax / 448
    if ue8m0 == 1 then -- a carry out of the mantissa raises the exponent
      s = ((s:bitcast(i32) + 0x7fffff) & 0x7f800000):bitcast(f32)
    end
    s = s:rmax(1)                              -- both keep the order, so that this is the scale of the greatest
    S[{m // 128, c}] = s
    m:by(bm):each(function(r)
      Q[{r, c}] = (X[{r, c}]:to(f32) / s):to(e4m3, "sat")
    end)
  end)
end)
