-- An FP8 linear layer: weights quantised and packed once, rows quantised at each call. `tegula run examples/fp8_linear.lua`
local tg <const> = require "tegula"
local bf16, f32, e4m3 = tg.bf16, tg.f32, tg.e4m3

local M, N, K = 8, 384, 512
local cpu = tg.device "cpu"
local x = tg.tensor(bf16, M, K):normal(1)
local w = tg.tensor(bf16, N, K):normal(2, K ^ -0.5)

-- once: 128 x 128 blocks of the weights share a scale; panels are what the product reads fastest
local weight = cpu:run(tg.load "quantize_blocks", { X = w }) -- Q[N,K], S[N/128,K/128]
local packed = cpu:run(tg.load "pack_weights", { B = weight.Q }).Bp

local p = tg.pipeline("fp8 linear", cpu, { threads = 1 })
local X, Y = p:input("X", bf16, M, K), p:output("Y", bf16, M, N)
local rows = p:step("quantize_rows", { X = X }) -- Q[M,K], S[M,K/128]
p:step("gemm_fp8", { A = rows.Q, As = rows.S, B = p:bind("W", packed), Bs = weight.S, C = Y }, { set = { packed = 1 } })
p:build()
local y = p:run { X = x }.Y

-- (1) the same numbers in double precision: what is left is the rounding of the product. (2) what the eight bits cost.
local q = cpu:run(tg.load "quantize_rows", { X = x })
local exact = cpu:run(tg.load "gemm_f32", { A = x:to(f32), B = w:to(f32) }).C
local rounding, norm, cost = 0, 0, 0
for m = 0, M - 1 do
  for n = 0, N - 1 do
    local sum, size = 0.0, 0.0
    for k = 0, K - 1 do
      local term = q.Q:get(m, k) * q.S:get(m, k // 128) * weight.Q:get(n, k) * weight.S:get(n // 128, k // 128)
      sum, size = sum + term, size + math.abs(term)
    end
    rounding = math.max(rounding, math.abs(y:get(m, n) - sum) / (2 ^ -8 * math.abs(sum) + 1e-5 * size)) -- 1: a bf16's own rounding
    norm, cost = norm + exact:get(m, n) ^ 2, cost + (y:get(m, n) - exact:get(m, n)) ^ 2
  end
end
local lost = (cost / norm) ^ 0.5
print(("against the quantised numbers in double precision: %.2f of a rounding to bf16"):format(rounding))
print(("against the product in f32: %.2f%% of the output's length"):format(100 * lost))
p:time { X = x }
print(p:report())
if rounding > 1.01 or lost > 0.06 then error "the product is wrong" end
