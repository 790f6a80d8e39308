local tg <const> = require "tegula"

-- Online softmax over N keys of 32: two dots a trip, the second into a rescaled accumulator.
return tg.kernel("attention", function(k)
  local M, N = k.dim "M", k.dim "N"
  local Q, K, V = k.input("Q", tg.bf16, M, 32), k.input("K", tg.bf16, N, 32), k.input("V", tg.bf16, N, 24)
  local O = k.output("O", tg.f32, M, 24)
  local bm = k.tune("BM", 16, 1, 4)
  k.blocks(M:by(bm), function(m)
    local q = Q[{m, tg.range(0, 32)}]
    local least, none, nothing = tg.full(tg.f32, -1e30, bm, 1), tg.zeros(tg.f32, bm, 1), tg.zeros(tg.f32, bm, 24)
    local top, sum, acc = N:by(16):fold(least, none, nothing, function(top, sum, acc, n)
      local inside = n:index():lt(N):reshape(1, 16)
      local s = tg.where(inside, tg.dot(q, K[{n, tg.range(0, 32)}].T) * 0.2, -1e30)
      local new = top:max(s:rmax(2))
      local p, scale = (s - new):exp(), (top - new):exp()
      return new, sum * scale + p:rsum(2), tg.dot(p, V[{n, tg.range(0, 24)}]:to(tg.f32), { acc = acc * scale })
    end)
    O[{m, tg.range(0, 24)}] = acc / sum
  end)
end)
