local tg <const> = require "tegula"
local e4m3, bf16, f32, i32 = tg.e4m3, tg.bf16, tg.f32, tg.i32

-- append_cache into the FP8 cache of DeepSeek-V3.2: a row is D e4m3 codes of Latent, an f32 scale for each 128 of them, max(amax, 1e-4) / 448
-- rounded up to a power of two, and R bf16 of Rope. Row t becomes position pos[t] of sequence seq[t]; what has no place there is dropped.
return tg.kernel("quantize_cache", function(k)
  local T, B, W, P = k.dim "T", k.dim "B", k.dim "W", k.dim "P"
  local D, R, dtype = k.option("D", 512, { min = 128 }), k.option("R", 64, { min = 0 }), k.option("dtype", "bf16", "bf16", "f32")
  if D % 128 ~= 0 or R % 2 ~= 0 then error(("of rows of FP8 D is a multiple of 128 and R even, not D=%s, R=%s"):format(D, R)) end
  local Latent, Rope = k.input("Latent", dtype, T, D), k.input("Rope", dtype, T, R)
  local pages, seq = k.input("table", i32, B, W, { index = P, none = true }), k.input("seq", i32, T, { index = B, none = true })
  local pos, KV = k.input("pos", i32, T, { index = 64 * W, none = true }), k.inout("KV", e4m3, P, 64, D + D // 32 + 2 * R)
  local codes, scales, rope = KV:as(e4m3, 0), KV:as(f32, D), KV:as(bf16, D + D // 32)

  k.blocks(T, function(t)
    local p = pos[{t}]
    local page, row = pages[{seq[{t}], p // 64, fill = -1}], p % 64
    D:by(128):each(function(c)
      local x = Latent[{t, c}]:to(f32)
      local s = x:abs():rmaxnum(1):maxnum(1e-4) / 448
      s = ((s:bitcast(i32) + 0x7fffff) & 0x7f800000):bitcast(f32) -- a carry out of the mantissa raises the exponent
      codes[{page, row, c}] = (x / s):to(e4m3, "sat")
      scales[{page, row, c // 128}] = s
    end)
    R:by(64):each(function(c) rope:slice(3, 0, R)[{page, row, c}] = Rope[{t, c}]:to(bf16) end)
  end)
end)
