local tg <const> = require "tegula"
local i32 <const> = tg.i32

-- Rows of X in the order of their experts, of equals in that of the tokens: expert e's are offsets[e] … offsets[e+1] of Xp, row p is
-- token src[p] // k's for its slot src[p] % k. An idx outside of 0 … experts-1 drops its row: src is -1 at the end, Xp is not written there.
-- Slots are counted by blocks, the counts summed up, every slot placed, then rows moved.
return tg.kernel("moe_dispatch", function(k)
  local T, H, K = k.dim "T", k.dim "H", k.dim "k"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local E = k.option("experts", 256, { min = 1, letter = "E" })
  local slots = T * K
  local X, idx = k.input("X", dtype, T, H), k.input("idx", i32, T, K, { index = E, drops = true })
  local Xp, offsets, src = k.output("Xp", dtype, slots, H), k.output("offsets", i32, E + 1), k.output("src", i32, slots)
  local bs = k.tune("BS", 16, 32, 64, 128, { default = 64 })
  local bh = k.tune("BH", 256, 512, 1024, 2048, 4096, { default = 2048 })
  local before = k.workspace("before", i32, slots:cdiv(bs), E) -- an expert's slots in a block, then in the blocks before it
  local place = k.workspace("place", i32, slots)
  local flat, experts = idx:reshape(slots), tg.range(0, E)

  k.blocks(slots:by(bs), function(s)
    before[{s:first() // bs, experts}] = flat[{s, fill = -1}]:reshape(bs, 1):eq(tg.iota(i32, E)):to(i32):rsum(1):reshape(E)
  end)

  k.blocks(1, function()
    local total = slots:cdiv(bs):by(1):fold(tg.zeros(i32, E), function(sum, b)
      local count = before[{b:first(), experts}]
      before[{b:first(), experts}] = sum
      return sum + count
    end)
    offsets[{experts}] = total:scan(1, { exclusive = true })
    offsets[{E}] = total:rsum(1):reshape()
  end)

  k.blocks(slots:by(bs), function(s)
    local e = flat[{s, fill = -1}]
    local i = tg.iota(i32, bs)
    local earlier = e:reshape(bs, 1):eq(e) & i:lt(i:reshape(bs, 1))
    local p = offsets[{e}] + before[{s:first() // bs, e}] + earlier:to(i32):rsum(2):reshape(bs)
    p = tg.where(e:ge(0) & e:lt(E), p, -1)
    place[{s}] = p
    src[{p}] = s:index():to(i32)
    src:store({ s }, -1, s:index():ge(offsets[{E}]))
  end)

  k.blocks(T, function(t)
    H:by(bh):each(function(h)
      local row = X[{t, h}]
      K:by(1):each(function(j) Xp[{place[{t * K + j:first()}], h}] = row end)
    end)
  end)
end)
