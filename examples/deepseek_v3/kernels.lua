-- The few kernels that the model needs beside the library's: moving columns, and a head whose logits stay f32.
local tg <const> = require "tegula"
local f32 <const> = tg.f32

local M = {}

-- P[t,n] = X[t,n]'s first A columns, Q[t,n] = the others
M.split = tg.kernel("split", function(k)
  local T, N, W = k.dim "T", k.dim "N", k.dim "W"
  local A, dtype = k.option("A", 1, { min = 1 }), k.option("dtype", "bf16", "bf16", "f32")
  local X = k.input("X", dtype, T, N, W)
  local P, Q = k.output("P", dtype, T, N, A), k.output("Q", dtype, T, N, W - A)
  k.blocks(N, T, function(n, t)
    A:by(128):each(function(c) P[{t, n, c}] = X[{t, n, c}] end)
    local rest = X:slice(3, A, W - A)
    ;(W - A):by(128):each(function(c) Q[{t, n, c}] = rest[{t, n, c}] end)
  end)
end)

-- O[t,n] = P[t,n] ‖ Q[t,n]; shared=1: Q[t,0] for every n
M.join = tg.kernel("join", function(k)
  local T, N, A, B = k.dim "T", k.dim "N", k.dim "A", k.dim "B"
  local dtype, shared = k.option("dtype", "bf16", "bf16", "f32"), k.option("shared", 0, 0, 1)
  local P, Q = k.input("P", dtype, T, N, A), k.input("Q", dtype, T, shared == 1 and 1 or N, B)
  local O = k.output("O", dtype, T, N, A + B)
  k.blocks(N, T, function(n, t)
    A:by(128):each(function(c) O[{t, n, c}] = P[{t, n, c}] end)
    local rest = O:slice(3, A, B)
    B:by(64):each(function(c) rest[{t, n, c}] = Q[{t, shared == 1 and 0 or n, c}] end)
  end)
end)

-- C[m,n] = sum_k A[m,k] * B[n,k] in f32 of bf16: logits, among which bf16 would make ties
M.head = tg.kernel("head", function(k)
  local M, N, K = k.dim "M", k.dim "N", k.dim "K"
  local A, B, C = k.input("A", tg.bf16, M, K), k.input("B", tg.bf16, N, K), k.output("C", f32, M, N)
  local bm, bn = k.tune("BM", 1, 2, 4, 8, 16, 32, 64, { default = 16 }), k.tune("BN", 32, 64, 128, 256, { default = 64 })
  k.blocks(M:by(bm), N:by(bn), function(m, n)
    C[{m, n}] = K:by(32):fold(tg.zeros(f32, bm, bn), function(acc, kk) return tg.dot(A[{m, kk}], B[{n, kk}].T, { acc = acc }) end)
  end)
end)

-- O = X under other dims, zeros beyond it
M.resize = tg.kernel("resize", function(k)
  local N, K, R, C = k.dim "N", k.dim "K", k.dim "R", k.dim "C"
  local X, O = k.input("X", tg.e4m3, N, K), k.output("O", tg.e4m3, R, C)
  k.blocks(C:by(128), R, function(c, r) O[{r, c}] = X[{r, c}] end)
end)

return M
