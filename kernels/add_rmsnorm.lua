local tg <const> = require "tegula"
local f32 <const> = tg.f32

-- S[t,h] = X[t,h] + R[t,h], O[t,h] = S[t,h] * W[h] / sqrt(mean_h S[t,h]^2 + eps): a residual and the norm after it; f32 inside, of S as it
-- was rounded
return tg.kernel("add_rmsnorm", function(k)
  local T, H = k.dim "T", k.dim "H"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local X, R, W = k.input("X", dtype, T, H), k.input("R", dtype, T, H), k.input("W", dtype, H)
  local eps = k.scalar("eps", f32)
  local S, O = k.output("S", dtype, T, H), k.output("O", dtype, T, H)
  local bm = k.tune("BM", 1, 2, 4, 8, 16, { default = 1 })
  local bh = k.tune("BH", 64, 128, 256, 512, 1024, { default = 256 })

  k.blocks(T:by(bm), function(t)
    local function sum(h) return (X[{t, h}]:to(f32) + R[{t, h}]:to(f32)):to(dtype):to(f32) end
    local squares = H:by(bh):fold(tg.zeros(f32, bm, bh), function(squares, h)
      local s = sum(h)
      return squares + s * s
    end)
    local scale = (squares:rsum(2) / H + eps):rsqrt()
    H:by(bh):each(function(h)
      local s = sum(h)
      S[{t, h}] = s:to(dtype)
      O[{t, h}] = (s * scale * W[{h}]:to(f32)):to(dtype)
    end)
  end)
end)
