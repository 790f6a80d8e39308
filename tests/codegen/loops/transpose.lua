local tg <const> = require "tegula"

return tg.kernel("transpose", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, O = k.input("X", tg.bf16, M, N), k.output("O", tg.f32, N, M)
  k.blocks(M:by(32), N:by(16), function(m, n) O[{n, m}] = X[{m, n}].T:to(tg.f32) * 3 end)
end)
