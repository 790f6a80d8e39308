local tg <const> = require "tegula"
local f32, i32, i64 = tg.f32, tg.i32, tg.i64
local huge <const>, log2e <const> = math.huge, 1.4426950408889634

-- Causal attention within sequences: token i of sequence b, which are tokens cu[b] ... cu[b+1]-1, sees that sequence's tokens up to itself.
-- O = softmax(scale * Q . K) . V for each head; LSE is a natural logarithm. Tokens of no sequence are left alone.
return tg.kernel("mla_prefill", function(k)
  local T, N, B = k.dim "T", k.dim "N", k.dim "B"
  local Dqk, Dv = k.static "Dqk", k.static "Dv"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local Q, K, V = k.input("Q", dtype, T, N, Dqk), k.input("K", dtype, T, N, Dqk), k.input("V", dtype, T, N, Dv)
  local cu = k.input("cu", i32, B + 1, { offsets = T })
  local scale = k.scalar("scale", f32)
  local O, LSE = k.output("O", dtype, T, N, Dv), k.output("LSE", f32, T, N, { optional = true })
  local bq, bk = k.tune("BQ", 16, 32, 64, 128, { default = 64 }), k.tune("BK", 32, 64, 128, 256, { default = 128 })

  k.blocks(N, T:cdiv(bq) + B, function(h, tile) -- as many tiles as T tokens in B sequences can take; those left over find no sequence
    local function sequence(b)
      local first = cu[{b}]:to(i64):max(0):min(T)
      return first, cu[{b + 1}]:to(i64):max(first):min(T)
    end
    local function tiles(b)
      local first, last = sequence(b)
      return (last - first + (bq - 1)) // bq
    end
    local b, nth = tg.loop(tg.full(i64, 0), tile, function(b, rest) return b:lt(B) & rest:ge(tiles(b)) end,
      function(b, rest) return b + 1, rest - tiles(b) end)

    tg.when(b:lt(B), function()
      local first, last = sequence(b)
      local m, c = tg.range(first + nth * bq, bq, last), tg.range(0, Dv)
      local queries, own = Q[{m, h, tg.range(0, Dqk)}].T, m:index() + 1

      local function attend(acc, top, sum, keys, limit) -- top, sum: of each row's scores and their powers of 2
        local sees = keys:index():reshape(keys.len, 1):lt(limit)
        local scores = tg.where(sees, tg.dot(K[{keys, h, tg.range(0, Dqk)}], queries) * (scale * log2e), -huge)
        local next = top:max(scores:rmax(1))
        local zero = tg.where(next:eq(-huge), 0, next)
        local p, factor = (scores - zero):exp2(), (top - zero):exp2()
        local new = tg.dot(p.T:to(dtype), V[{keys, h, c}], { acc = acc * factor.T })
        return keys.len > 1 and new or tg.where(sees.T, new, acc), next, sum * factor + p:rsum(1)
      end
      local acc, top, sum = tg.range(first, bk, m:first()):fold(tg.zeros(f32, bq, Dv), tg.full(f32, -huge, 1, bq), tg.zeros(f32, 1, bq),
        function(a, t, u, keys) return attend(a, t, u, keys, m:first()) end)
      acc, top, sum = tg.range(m:first(), bk, last:min(m:first() + bq)):fold(acc, top, sum, function(a, t, u, keys) -- some rows see
        local v = V[{keys, h, c}]:to(f32)
        local finite = (v - v):eq(0):rand(2):rand(1):reshape()            -- else one by one: 0 * NaN would reach rows that do not see it
        return tg.when(finite, function() return attend(a, t, u, keys, own) end, function()
          return keys:by(1):fold(a, t, u, function(x, y, z, key) return attend(x, y, z, key, own) end)
        end)
      end)
      O[{m, h, c}] = (acc / sum.T):to(dtype)
      LSE[{m, h}] = ((top + sum:log2()) / log2e):reshape(bq)
    end)
  end)
end)
