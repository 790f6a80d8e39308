local tg <const> = require "tegula"
local f32 <const> = tg.f32

-- O[t,h] = A[t,h] + B[t,h], in f32
return tg.kernel("add", function(k)
  local T, H = k.dim "T", k.dim "H"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local A, B = k.input("A", dtype, T, H), k.input("B", dtype, T, H)
  local O = k.output("O", dtype, T, H)
  local bh = k.tune("BH", 256, 512, 1024, 2048, 4096, { default = 1024 })

  k.blocks(H:by(bh), T, function(h, t) -- along a row first: neighbours in memory
    O[{t, h}] = (A[{t, h}]:to(f32) + B[{t, h}]:to(f32)):to(dtype)
  end)
end)
