local tg <const> = require "tegula"

-- A tile is what was there when it was loaded, whatever is stored afterwards.
return tg.kernel("inplace", function(k)
  local M = k.dim "M"
  local P, Q = k.inout("P", tg.f32, M, 16), k.inout("Q", tg.f32, M, 16)
  k.blocks(M:by(16), function(m)
    local w = tg.range(0, 16)
    local p, q = P[{m, w}], Q[{m, w}]
    P[{m, w}] = p.T + q
    Q[{m, w}] = p
    P[{m, w}] = P[{m, w}] + 1
  end)
end)
