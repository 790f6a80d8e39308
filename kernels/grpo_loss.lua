local tg <const> = require "tegula"
local f32 = tg.f32

-- GRPO, token by token (Shao et al. 2024), with r = exp(logp - old) and d = ref - logp:
--   loss = mask * (-min(r*A, clip(r, 1 - clip_low, 1 + clip_high)*A) + beta*(exp(d) - d - 1)), dlogp = its derivative by logp.
-- mask is 0 where a token does not count, else its weight: 1/length, 1/tokens or 1, as the sum over tokens is meant. kl=0 drops ref and beta.
return tg.kernel("grpo_loss", function(k)
  local T = k.dim "T"
  local kl = k.option("kl", 1, 1, 0)
  local logp, old, A, mask = k.input("logp", f32, T), k.input("old", f32, T), k.input("A", f32, T), k.input("mask", f32, T)
  local low, high = k.scalar("clip_low", f32), k.scalar("clip_high", f32)
  local ref = kl == 1 and k.input("ref", f32, T)
  local beta = kl == 1 and k.scalar("beta", f32)
  local loss, dlogp = k.output("loss", f32, T), k.output("dlogp", f32, T)
  local bt = k.tune("BT", 64, 256, 1024, { default = 256 })

  local function k3(d) -- exp(d) - d - 1; near 0, where these cancel, its series
    local series = d * d * (d * (d * (d * (d / 720 + 1 / 120) + 1 / 24) + 1 / 6) + 0.5)
    return tg.where(d:abs():lt(0.125), series, d:exp() - d - 1)
  end

  k.blocks(T:by(bt), function(t)
    local x, a, m = logp[{t}], A[{t}], mask[{t}]
    local r = (x - old[{t}]):exp()
    local clipped = tg.where(a:ge(0), r:min(1 + high), r:max(1 - low))   -- min(r*A, clip(r)*A) is clipped*A
    local l, d = -a * clipped, -a * tg.where(clipped:lt(r) | clipped:gt(r), 0, r)
    if kl == 1 then
      local off = ref[{t}] - x
      l, d = l + beta * k3(off), d + beta * (1 - off:exp())
    end
    loss[{t}] = tg.where(m:eq(0), 0, l * m)
    dlogp[{t}] = tg.where(m:eq(0), 0, d * m)
  end)
end)
