local tg <const> = require "tegula"
local f32 <const> = tg.f32

-- O[t,h] = X[t,h] * W[h] / sqrt(mean_h X[t,h]^2 + eps), f32 inside
return tg.kernel("rmsnorm", function(k)
  local T, H = k.dim "T", k.dim "H"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local X, W = k.input("X", dtype, T, H), k.input("W", dtype, H)
  local eps = k.scalar("eps", f32)
  local O = k.output("O", dtype, T, H)
  local bm = k.tune("BM", 1, 2, 4, 8, 16, { default = 1 })
  local bh = k.tune("BH", 64, 128, 256, 512, 1024, { default = 256 })

  k.blocks(T:by(bm), function(t)
    local squares = H:by(bh):fold(tg.zeros(f32, bm, bh), function(sum, h)
      local x = X[{t, h}]:to(f32)
      return sum + x * x
    end)
    local scale = (squares:rsum(2) / H + eps):rsqrt()
    H:by(bh):each(function(h)
      O[{t, h}] = (X[{t, h}]:to(f32) * scale * W[{h}]:to(f32)):to(dtype)
    end)
  end)
end)
