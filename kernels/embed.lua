local tg <const> = require "tegula"
local i32 <const> = tg.i32

-- X[t] = W[ids[t]]; an id outside of 0 … V-1 gives a row of zeros
return tg.kernel("embed", function(k)
  local T, V, H = k.dim "T", k.dim "V", k.dim "H"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local W, ids = k.input("W", dtype, V, H), k.input("ids", i32, T, { index = V })
  local X = k.output("X", dtype, T, H)
  local bh = k.tune("BH", 256, 512, 1024, 2048, 4096, { default = 1024 })

  k.blocks(H:by(bh), T, function(h, t) -- along a row first: neighbours in memory
    X[{t, h}] = W[{ids[{t}], h}]
  end)
end)
