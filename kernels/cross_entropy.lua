local tg <const> = require "tegula"
local f32, i32 = tg.f32, tg.i32
local huge <const> = math.huge

-- lse[t] = log sum_v exp L[t,v], loss[t] = lse[t] - L[t, targets[t]], one pass over the logits. smoothing mixes in the mean of all V such
-- losses, z adds z*lse^2. A target outside 0 ... V-1 (-100) is ignored: its loss is 0.
return tg.kernel("cross_entropy", function(k)
  local T, V = k.dim "T", k.dim "V"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local smoothing, z = k.option("smoothing", 0, { min = 0 }), k.option("z", 0, { min = 0 })
  if smoothing > 1 then error(("smoothing is a share of the loss, 0 to 1, not %s"):format(smoothing)) end
  local L, targets = k.input("L", dtype, T, V), k.input("targets", i32, T, { index = V, drops = true })
  local loss, lse = k.output("loss", f32, T), k.output("lse", f32, T)
  local bv = k.tune("BV", 256, 512, 1024, 2048, { default = 1024 })

  k.blocks(T, function(t)
    local top, sum, total = V:by(bv):fold(tg.full(f32, -huge, 1), tg.zeros(f32, 1), tg.zeros(f32, 1), function(top, sum, total, v)
      local x = L[{t, v, fill = -huge}]:to(f32)
      local next = top:max(x:rmax(1))
      local zero = tg.where(next:eq(-huge), 0, next)
      if smoothing > 0 then total = total + L[{t, v}]:to(f32):rsum(1) end
      return next, sum * (top - zero):exp() + (x - zero):exp():rsum(1), total
    end)
    local target, log = targets[{t}], sum:log()
    local nll = top - L[{t, target}]:to(f32) + log -- in this order: lse alone has lost what is small beside top
    if smoothing > 0 then nll = (1 - smoothing) * nll + smoothing * (top - total / V + log) end
    if z > 0 then nll = nll + z * (top + log) * (top + log) end
    loss[{t}] = tg.where(target:ge(0) & target:lt(V), nll, 0):reshape()
    lse[{t}] = (top + log):reshape()
  end)
end)
