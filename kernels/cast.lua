local tg <const> = require "tegula"

-- O[t,h] = X[t,h], `from` to `to`, to nearest even
return tg.kernel("cast", function(k)
  local T, H = k.dim "T", k.dim "H"
  local from, to = k.option("from", "bf16", "bf16", "f32"), k.option("to", "f32", "bf16", "f32")
  local X, O = k.input("X", from, T, H), k.output("O", to, T, H)
  local bh = k.tune("BH", 256, 512, 1024, 2048, 4096, { default = 1024 })

  k.blocks(H:by(bh), T, function(h, t) -- along a row first: neighbours in memory
    O[{t, h}] = X[{t, h}]:to(to)
  end)
end)
