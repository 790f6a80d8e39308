local tg <const> = require "tegula"
local e4m3, f32, i32 = tg.e4m3, tg.f32, tg.i32

-- O[t,i] = silu(G[t,i]) * G[t,I+i] in f32, then per row and 128 columns S = max(amax, 1e-4) / 448, Q = O / S to nearest even, saturating.
-- clamp > 0 bounds the gate from above and the other factor on both sides. A NaN does not enter amax and reaches its own code alone.
return tg.kernel("swiglu_quantize", function(k)
  local T, I = k.dim "T", k.dim "I"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local clamp = k.option("clamp", 0, { min = 0 })
  local ue8m0 = k.option("ue8m0", 0, 0, 1) -- 1: scales rounded up to a power of two
  local G = k.input("G", dtype, T, 2 * I)
  local Q, S = k.output("Q", e4m3, T, I), k.output("S", f32, T, I:cdiv(128))
  local bm = k.tune("BM", 1, 2, 4, 8, 16, 32, { default = 4 })
  local bi = k.tune("BI", 128, 256, 512, 1024, 2048, { default = 1024 })
  local up = G:slice(2, I, I)

  k.blocks(I:by(bi), T:by(bm), function(columns, t) -- along a row first: neighbours in memory
    columns:by(128):each(function(i)
      local g, u = G[{t, i}]:to(f32), up[{t, i}]:to(f32)
      if clamp > 0 then g, u = g:min(clamp), u:min(clamp):max(-clamp) end
      local o = g * g:sigmoid() * u
      local s = o:abs():rmaxnum(2):maxnum(1e-4) / 448
      if ue8m0 == 1 then -- a carry out of the mantissa raises the exponent
        s = ((s:bitcast(i32) + 0x7fffff) & 0x7f800000):bitcast(f32)
      end
      Q[{t, i}] = (o / s):to(e4m3, "sat")
      S[{t, i // 128}] = s
    end)
  end)
end)
