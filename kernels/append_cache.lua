local tg <const> = require "tegula"
local i32 <const> = tg.i32

-- Row t, Latent[t] ‖ Rope[t], becomes position pos[t] of sequence seq[t] in mla_decode's paged cache: KV[table[seq, pos/64], pos % 64].
-- What has no place there is dropped: a sequence, position or page outside, a page of -1. No two rows may have one place.
return tg.kernel("append_cache", function(k)
  local T, D, R, B, W, P = k.dim "T", k.dim "D", k.dim "R", k.dim "B", k.dim "W", k.dim "P"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local Latent, Rope = k.input("Latent", dtype, T, D), k.input("Rope", dtype, T, R)
  local pages, seq = k.input("table", i32, B, W, { index = P, none = true }), k.input("seq", i32, T, { index = B, none = true })
  local pos, KV = k.input("pos", i32, T, { index = 64 * W, none = true }), k.inout("KV", dtype, P, 64, D + R)
  local bd = k.tune("BD", 64, 128, 256, 512, { default = 512 })

  k.blocks(T, function(t)
    local p = pos[{t}]
    local page, row = pages[{seq[{t}], p // 64, fill = -1}], p % 64
    for _, part in ipairs { { Latent, KV:slice(3, 0, D), D }, { Rope, KV:slice(3, D, R), R } } do
      local from, to, extent = table.unpack(part)
      extent:by(bd):each(function(c) to[{page, row, c}] = from[{t, c}] end)
    end
  end)
end)
