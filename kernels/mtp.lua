local tg <const> = require "tegula"
local f32 <const> = tg.f32

-- What eh_proj takes: O[t] = rmsnorm(Emb[t]) * enorm ‖ rmsnorm(Hid[t]) * hnorm, the embedding of the next token first; f32 inside
return tg.kernel("mtp", function(k)
  local T, H = k.dim "T", k.dim "H"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local Emb, Hid = k.input("Emb", dtype, T, H), k.input("Hid", dtype, T, H)
  local enorm, hnorm = k.input("enorm", dtype, H), k.input("hnorm", dtype, H)
  local eps = k.scalar("eps", f32)
  local O = k.output("O", dtype, T, 2 * H)
  local bm = k.tune("BM", 1, 2, 4, 8, 16, { default = 1 })
  local bh = k.tune("BH", 64, 128, 256, 512, 1024, { default = 256 })

  k.blocks(T:by(bm), function(t)
    for half, input in ipairs { { Emb, enorm }, { Hid, hnorm } } do
      local X, W = table.unpack(input)
      local part = O:slice(2, (half - 1) * H, H)
      local squares = H:by(bh):fold(tg.zeros(f32, bm, bh), function(sum, h)
        local x = X[{t, h}]:to(f32)
        return sum + x * x
      end)
      local scale = (squares:rsum(2) / H + eps):rsqrt()
      H:by(bh):each(function(h)
        part[{t, h}] = (X[{t, h}]:to(f32) * scale * W[{h}]:to(f32)):to(dtype)
      end)
    end
  end)
end)
