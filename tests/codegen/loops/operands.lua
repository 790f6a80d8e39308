local tg <const> = require "tegula"

-- Operands that dots share: keys that are values as well, a query tile that every trip of a loop takes, and one that a third root wants too.
return tg.kernel("operands", function(k)
  local M, N = k.dim "M", k.dim "N"
  local Q, K = k.input("Q", tg.bf16, M, 48), k.input("K", tg.bf16, N, 48)
  local O, S = k.output("O", tg.f32, M, 48), k.output("S", tg.f32, M, 48)
  local bm, bn = k.tune("BM", 16, 4, 32), k.tune("BN", 16, 1, 32)
  k.blocks(M:by(bm), function(m)
    local c = tg.range(0, 48)
    local q = Q[{m, c}]
    O[{m, c}] = N:by(bn):fold(tg.zeros(tg.f32, bm, 48), function(acc, n)
      local v = tg.where(n:index():lt(N):reshape(bn, 1), K[{n, c}], 0)
      return tg.dot((tg.dot(v, q.T) * 0.125).T:to(tg.bf16), v, { acc = acc })
    end)
    S[{m, c}] = tg.dot(q, tg.full(tg.bf16, 0.5, 48, 48)) + tg.dot(q, tg.full(tg.bf16, 0.25, 48, 48)) + q:to(tg.f32)
  end)
end)
