-- Packed weights: pack once, multiply often. `tegula run examples/packed_weights.lua [DIRECTORY]` also leaves the arrays there as .npy files.
local tg <const> = require "tegula"
local e4m3, bf16, f32 = tg.e4m3, tg.bf16, tg.f32

local M, N, K = 4, 512, 256
local cpu = tg.device "cpu"
local quantize_rows, quantize_blocks = tg.load "quantize_rows", tg.load "quantize_blocks"
local pack_weights, gemm = tg.load "pack_weights", tg.load "gemm_fp8"

local x = cpu:run(quantize_rows, { X = tg.tensor(bf16, M, K):normal(1) })   -- Q[M,K], S[M,K/128]
local w = cpu:run(quantize_blocks, { X = tg.tensor(bf16, N, K):normal(2) }) -- Q[N,K], S[N/128,K/128]

-- the same product of row-major weights and of packed ones: B is what pack_weights gave, N and K are read from its header
local Bp = cpu:run(pack_weights, { B = w.Q }).Bp
local row_major = cpu:run(gemm, { A = x.Q, As = x.S, B = w.Q, Bs = w.S }).C
local packed = cpu:run(gemm, { A = x.Q, As = x.S, B = Bp, Bs = w.S }, { set = { packed = 1 } }).C
local ok, report = packed:compare(row_major, { rel = 2 ^ -7, abs = 1e-3 })
print(("packed and row-major agree: %s, largest difference %.3g"):format(ok, report.max_abs))

-- only the second of these has its weights ready; packing is not part of either time
local plain = cpu:time(gemm, { A = x.Q, As = x.S, B = w.Q, Bs = w.S })
local ready = cpu:time(gemm, { A = x.Q, As = x.S, B = Bp, Bs = w.S }, { set = { packed = 1 } })
print(("row-major %.1f us, packed %.1f us"):format(1e6 * plain.median, 1e6 * ready.median))

if arg[1] then
  for name, tensor in pairs { a = x.Q, as = x.S, b = w.Q, bs = w.S, c = row_major } do tensor:write(("%s/%s.npy"):format(arg[1], name)) end
end
if not ok then error "packed and row-major differ" end
