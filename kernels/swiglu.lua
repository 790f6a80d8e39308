local tg <const> = require "tegula"
local f32 <const> = tg.f32

-- O[t,i] = silu(G[t,i]) * G[t,I+i]; clamp > 0 bounds the gate from above and the other factor on both sides
return tg.kernel("swiglu", function(k)
  local T, I = k.dim "T", k.dim "I"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local clamp = k.option("clamp", 0, { min = 0 })
  local G = k.input("G", dtype, T, 2 * I)
  local O = k.output("O", dtype, T, I)
  local bm = k.tune("BM", 1, 2, 4, 8, 16, { default = 1 })
  local bi = k.tune("BI", 64, 128, 256, 512, 1024, { default = 1024 })
  local up = G:slice(2, I, I)

  k.blocks(I:by(bi), T:by(bm), function(i, t) -- along a row first: neighbours in memory
    local g, u = G[{t, i}]:to(f32), up[{t, i}]:to(f32)
    if clamp > 0 then g, u = g:min(clamp), u:min(clamp):max(-clamp) end
    O[{t, i}] = (g * g:sigmoid() * u):to(dtype)
  end)
end)
