local tg <const> = require "tegula"
local f32, i32 = tg.f32, tg.i32

-- The gradient of cross_entropy: dL[t,v] = g[t] * (softmax(L[t])[v] * (1 + 2*z*lse[t]) - (1 - smoothing)*[v = targets[t]] - smoothing/V),
-- 0 where the target is ignored. lse is what cross_entropy gave, g the gradient of each row's loss.
return tg.kernel("cross_entropy_grad", function(k)
  local T, V = k.dim "T", k.dim "V"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local smoothing, z = k.option("smoothing", 0, { min = 0 }), k.option("z", 0, { min = 0 })
  if smoothing > 1 then error(("smoothing is a share of the loss, 0 to 1, not %s"):format(smoothing)) end
  local L, targets = k.input("L", dtype, T, V), k.input("targets", i32, T, { index = V, drops = true })
  local lse, g = k.input("lse", f32, T), k.input("g", f32, T)
  local dL = k.output("dL", dtype, T, V)
  local bv = k.tune("BV", 256, 512, 1024, 2048, { default = 1024 })

  k.blocks(T, function(t)
    local target, log, scale = targets[{t}], lse[{t}], g[{t}]
    local counts = target:ge(0) & target:lt(V)
    V:by(bv):each(function(v)
      local p = (L[{t, v}]:to(f32) - log):exp()
      if z > 0 then p = p * (1 + 2 * z * log) end
      local d = p - tg.where(v:index():eq(target), 1 - smoothing, tg.zeros(f32))
      if smoothing > 0 then d = d - tg.full(f32, smoothing) / V end
      dL[{t, v}] = tg.where(counts, d * scale, 0):to(dtype)
    end)
  end)
end)
