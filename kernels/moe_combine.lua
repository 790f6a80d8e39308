local tg <const> = require "tegula"
local f32, i32 = tg.f32, tg.i32

-- O[t,h] = sum over slots j of w[t,j] * Y[p,h] where src[p] = t*k + j, in f32 and in the order of the slots. A slot that src does not name
-- adds nothing; of several rows for one slot the last counts.
return tg.kernel("moe_combine", function(k)
  local T, H, K = k.dim "T", k.dim "H", k.static "k"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local Y, src = k.input("Y", dtype, T * K, H), k.input("src", i32, T * K, { index = T * K, none = true })
  local w = k.input("w", f32, T, K)
  local O = k.output("O", dtype, T, H)
  local bp = k.tune("BP", 64, 256, { default = 64 })
  local bh = k.tune("BH", 64, 128, 256, 512, 1024, 2048, { default = 512 })
  local row = k.workspace("row", i32, T * K, { zero = true }) -- of Y for a slot, from 1; 0 = none

  k.blocks((T * K):by(bp), function(p)
    row:atomic("max", {src[{p, fill = -1}]}, p:index():to(i32) + 1)
  end)

  k.blocks(T, function(t)
    H:by(bh):each(function(h)
      local sum = tg.zeros(f32, bh)
      for j = 0, K - 1 do
        local p = row[{t * K + j}]
        sum = sum + tg.where(p:gt(0), w[{t, j}], 0) * Y[{p - 1, h}]:to(f32)
      end
      O[{t, h}] = sum:to(dtype)
    end)
  end)
end)
