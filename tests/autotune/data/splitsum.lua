local tg <const> = require "tegula"
local f32 = tg.f32
-- y[m] = sum_k x[m,k], in E slices
return tg.kernel("splitsum", function(k)
  local M, K = k.dim "M", k.dim "K"
  local E = k.static "E"
  local X = k.input("X", f32, M, K)
  local P = k.workspace("P", f32, E, M)
  local Y = k.output("Y", f32, M)
  local bm = k.tune("BM", 4, 8, 16, { default = 8 })
  local bk = k.tune("BK", 32, 64, { default = 32 })
  k.blocks(M:by(bm), E, function(m, e)
    local acc = K:by(bk):fold(tg.zeros(f32, bm), function(acc, kk) return acc + X[{m, kk}]:rsum(2):reshape(bm) end)
    P[{e, m}] = acc
  end)
  k.blocks(M:by(bm), function(m)
    local acc = P[{0, m}]
    for i = 1, E - 1 do acc = acc + P[{i, m}] end
    Y[{m}] = acc / E
  end)
end)
