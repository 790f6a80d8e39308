local tg <const> = require "tegula"
local f32, i32 = tg.f32, tg.i32
local least <const> = -2 ^ 31 | 0

-- DeepSeek-V3's routing: scores are sigmoids of the logits, the bias serves to choose alone. Groups are ranked by the sum of their two best
-- biased scores, the best topk_groups kept; of these the topk best by biased score, descending, of equals the lower index (NaN before all).
-- w = unbiased scores / (their sum + 1e-20) * scale. score=sqrt_softplus,groups=1 is V4's.
return tg.kernel("moe_gate", function(k)
  local T, E = k.dim "T", k.static "E"
  local groups, topk_groups = k.option("groups", 8, { min = 1 }), k.option("topk_groups", 4, { min = 1 })
  local topk, scale = k.option("topk", 8, { min = 1, letter = "k" }), k.option("scale", 2.5)
  local kind = k.option("score", "sigmoid", "sigmoid", "sqrt_softplus")
  local L, bias = k.input("L", f32, T, E), k.input("bias", f32, E)
  local idx, w = k.output("idx", i32, T, topk), k.output("w", f32, T, topk)
  local bt = k.tune("BT", 1, 2, 4, 8, 16, { default = 1 })
  local logits = L:reshape(T * E)

  local function score(x)
    if kind == "sigmoid" then return x:sigmoid() end
    local e = (-x:abs()):exp()                           -- log(1 + e) to the last bits: the rounding of 1 + e is divided out
    local u = e + 1
    return (x:max(0) + tg.where(u:eq(1), e, u:log() * e / (u - 1))):sqrt()
  end
  local function ordered(x)                              -- integers in the order of floats, NaN above all
    local bits = x:bitcast(i32)
    return tg.where(x:isnan(), 2 ^ 31 - 1 | 0, bits ~ (bits >> 31 & 0x7fffffff))
  end
  local function best(keys, n)                           -- places of the n greatest along the last axis, and keys without them
    local places = tg.iota(i32, keys.shape[2])
    return n:by(1):fold(tg.zeros(i32, bt, n), keys, function(found, keys, j)
      local i = keys:argmax(2)
      return tg.where(tg.iota(i32, n):eq(j:first()), i, found), tg.where(places:eq(i), least, keys)
    end)
  end

  k.blocks(T:by(bt), function(t)
    if E % groups ~= 0 or topk > E // groups * groups:min(topk_groups) then
      error(("moe_gate: of %d experts in %d groups, the %d best are no %d"):format(E, groups, topk_groups, topk))
    end
    local e = tg.range(0, E)
    local biased = score(L[{t, e}]) + bias[{e}]
    local keys = ordered(biased)
    if topk_groups < groups then
      local members = biased:reshape(bt, groups, E // groups)
      local first = members:argmax(3)
      local sum = members:rmax(3)
      if E > groups then sum = sum + tg.where(tg.iota(i32, E // groups):eq(first), -math.huge, members):rmax(3) end
      local _, rest = best(ordered(sum):reshape(bt, groups), topk_groups)
      keys = tg.where(rest:eq(least):reshape(bt, groups, 1), keys:reshape(bt, groups, E // groups), least):reshape(bt, E)
    end
    local chosen = best(keys, topk)
    local s = score(logits[{(chosen + t:index():reshape(bt, 1) * E):reshape(bt * topk)}]:reshape(bt, topk))
    idx[{t, tg.range(0, topk)}] = chosen
    w[{t, tg.range(0, topk)}] = s / (s:rsum(2) + 1e-20) * scale
  end)
end)
