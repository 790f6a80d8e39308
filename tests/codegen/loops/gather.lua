local tg <const> = require "tegula"

-- Rows by index, some of them outside; and scattered to the reverse order.
return tg.kernel("gather", function(k)
  local M, N, P = k.dim "M", k.dim "N", k.dim "P"
  local X, I = k.input("X", tg.f32, P, N), k.input("I", tg.i32, M)
  local O, S, T = k.output("O", tg.f32, M, N), k.output("S", tg.f32, M, N), k.output("T", tg.f32, N, M)
  k.blocks(M:by(8), N:by(32), function(m, n)
    local i = I[{m}]
    O[{m, n}] = X[{i, n, fill = -1}]
    S[{M - 1 - m:index(), n}] = X[{i, n}] * 2
    T[{n, m}] = X[{i, n}].T
  end)
end)
