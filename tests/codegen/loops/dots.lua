local tg <const> = require "tegula"

-- Operands in every orientation, i8, an initial accumulator that is not 0, a fold whose operands are not 0 outside.
return tg.kernel("dots", function(k)
  local M, N, K = k.dim "M", k.dim "N", k.dim "K"
  local A, B, I, J = k.input("A", tg.f32, K, M), k.input("B", tg.f16, K, N), k.input("I", tg.i8, M, K), k.input("J", tg.i8, N, K)
  local C, D, E = k.output("C", tg.f32, M, N), k.output("D", tg.i32, M, N), k.output("E", tg.f32, M, N)
  local bm, bn = k.tune("BM", 16, 2, 48), k.tune("BN", 32, 8, 96)
  k.blocks(M:by(bm), N:by(bn), function(m, n)
    local start = tg.full(tg.f32, 0.5, bm, bn)
    C[{m, n}] = K:by(16):fold(start, function(acc, kk) return tg.dot(A[{kk, m}].T, B[{kk, n}]:to(tg.f32), { acc = acc }) end)
    D[{m, n}] = K:by(32):fold(tg.zeros(tg.i32, bm, bn), function(acc, kk) return tg.dot(I[{m, kk}], J[{n, kk}].T, { acc = acc }) end)
    E[{m, n}] = K:by(16):fold(start, function(acc, kk) return tg.dot(A[{kk, m}].T + 1, B[{kk, n}]:to(tg.f32) + 1, { acc = acc }) end)
  end)
end)
