-- Every library kernel on a device against its meaning written out in float64: small awkward shapes, NaN and Inf where they matter.
-- arg[1]: device.
local tg = require "tegula"
local device = tg.device(arg[1] or "interp")
local failures, checks = 0, 0

local function check(ok, ...)
  checks = checks + 1
  if ok then return end
  failures = failures + 1
  if failures <= 20 then io.stderr:write("failed: ", string.format(...), "\n") end
end

-- ---- number formats, written out from their definitions

local function to_f32(x) return (string.unpack("<f", string.pack("<f", x))) end

local function half_even(x)
  local low = math.floor(x)
  local rest = x - low
  if rest > 0.5 or (rest == 0.5 and low % 2 == 1) then return low + 1 end
  return low
end

local function round_to(x, mantissa, least, largest)
  if x ~= x or x == 0 or math.abs(x) == math.huge then return x end
  local e = math.floor(math.log(math.abs(x), 2))
  if 2.0 ^ e > math.abs(x) then e = e - 1 end
  if 2.0 ^ (e + 1) <= math.abs(x) then e = e + 1 end
  local step = 2.0 ^ (math.max(e, least) - mantissa)
  local y = half_even(x / step) * step
  return math.max(-largest, math.min(largest, y))
end
local function to_e4m3(x) return round_to(x, 3, -6, 448) end
local function to_bf16(x) return round_to(x, 7, -126, math.huge) end

-- ---- data

local function matrix(dtype, rows, columns, seed, deviation) return tg.tensor(dtype, { rows, columns }):normal(seed, deviation or 1) end

-- Equal, both NaN, or within the bound.
local function close(got, want, bound)
  if got == want or (got ~= got and want ~= want) then return true end
  return math.abs(got - want) <= bound
end

local function compare(name, got, want, bound, ...)
  local rows, columns = got.shape[1], got.shape[2]
  for i = 0, rows - 1 do
    for j = 0, columns - 1 do
      local w, b = want(i, j), bound
      if type(bound) == "function" then b = bound(i, j, w) end
      check(close(got:get(i, j), w, b), "%s %s: [%d,%d] is %.9g, not %.9g", name, table.concat({ ... }, " "), i, j, got:get(i, j), w)
    end
  end
end

-- ---- matrix products: |error| <= 2^-8 |ref| + 2^-13 sum |a||b| for bf16 results, 2^-20 sum |a||b| for f32

local function products(a, b, K, scale)
  return function(m, n)
    local sum, magnitude = 0.0, 0.0
    for k = 0, K - 1 do
      local p = a:get(m, k) * b:get(n, k) * (scale and scale(m, n, k) or 1)
      sum, magnitude = sum + p, magnitude + math.abs(p)
    end
    return sum, magnitude
  end
end

local function check_gemm(name, out, dot, narrow, ...)
  local magnitude
  compare(name, out, function(m, n)
    local sum
    sum, magnitude = dot(m, n)
    return sum
  end, function(_, _, want) return narrow and 2 ^ -8 * math.abs(want) + 2 ^ -13 * magnitude or 2 ^ -20 * magnitude end, ...)
end

local shapes = { { 1, 1, 16 }, { 3, 33, 144 }, { 5, 40, 0 }, { 0, 8, 16 }, { 4, 0, 16 }, { 17, 130, 272 } }

for _, kind in ipairs { "f32", "bf16" } do
  for _, s in ipairs(shapes) do
    local M, N, K = table.unpack(s)
    local A, B = matrix(kind, M, K, 1), matrix(kind, N, K, 2)
    local out = device:run(tg.load("gemm_" .. kind), { A = A, B = B }, { set = { BM = 4, BN = 32, BK = 16 } })
    check_gemm("gemm_" .. kind, out.C, products(A, B, K), kind == "bf16", M, N, K)
  end
end

local gemm_fp8, pack = tg.load "gemm_fp8", tg.load "pack_weights"

local function fp8_case(M, N, K, settings)
  local blocks = (K + 127) // 128
  local A, B = matrix(tg.e4m3, M, K, 3, 40), matrix(tg.e4m3, N, K, 4, 40)
  local As = tg.tensor(tg.f32, { M, blocks }):uniform(5, 0.01, 0.1)
  local Bs = tg.tensor(tg.f32, { (N + 127) // 128, blocks }):uniform(6, 0.01, 0.1)
  if M > 1 and K > 3 and N > 2 then A:set(1, 3, 0 / 0) end -- row 1 alone becomes NaN
  local dot = products(A, B, K, function(m, n, k) return As:get(m, k // 128) * Bs:get(n // 128, k // 128) end)
  local out = device:run(gemm_fp8, { A = A, As = As, B = B, Bs = Bs }, { set = settings })
  check_gemm("gemm_fp8", out.C, dot, true, M, N, K)
  local packed = device:run(pack, { B = B }).Bp
  settings.packed = 1
  out = device:run(gemm_fp8, { A = A, As = As, B = packed, Bs = Bs }, { set = settings })
  check_gemm("gemm_fp8 packed", out.C, dot, true, M, N, K)
end
for _, s in ipairs(shapes) do fp8_case(s[1], s[2], s[3], { BM = 4, BN = 32 }) end
fp8_case(3, 300, 400, { BM = 8, BN = 256 })

-- The layout of packed weights, byte by byte.
do
  local N, K = 35, 24
  local B = matrix(tg.e4m3, N, K, 7, 40)
  local Bp = device:run(pack, { B = B }).Bp
  local file = os.tmpname()
  Bp:write(file)
  local handle = io.open(file, "rb")
  local bytes = handle:read("a")
  handle:close()
  os.remove(file)
  local size = 64 + 2 * K * 32
  bytes = bytes:sub(-size)
  check(Bp.shape[1] == size, "pack_weights: %d bytes, not %d", Bp.shape[1], size)
  check(bytes:sub(1, 8) == "TGLPACK1", "pack_weights: no magic")
  local header = { string.unpack("<i8i8i8i8i8i8i8", bytes, 9) }
  for i, want in ipairs { N, K, 1, 1, 0, 0, 0 } do
    check(header[i] == want, "pack_weights: header word %d is %d, not %d", i, header[i], want)
  end
  for n = 0, 63 do
    for k = 0, K - 1 do
      local at = 64 + ((n // 32) * K + k) * 32 + n % 32
      check(close(Bp:get(at), n < N and B:get(n, k) or 0, 0), "pack_weights: element %d,%d is %g", n, k, Bp:get(at))
    end
  end
end

-- ---- quantising

-- Codes may differ by one step where f32 rounding of x/s decides; on f32 inputs as exact as these none does.
local function check_quantised(name, Q, S, value, rows, columns, tall, ue8m0)
  for i = 0, rows - 1, tall do
    for j = 0, columns - 1, 128 do
      local amax = 0.0
      for r = i, math.min(i + tall, rows) - 1 do
        for c = j, math.min(j + 128, columns) - 1 do
          local x = math.abs(value(r, c))
          if x > amax then amax = x end
        end
      end
      local s = to_f32(to_f32(math.max(amax, to_f32(1e-4))) / 448)
      if ue8m0 then s = 2.0 ^ math.ceil(math.log(s, 2)) end
      local got = S:get(i // tall, j // 128)
      check(close(got, s, 2 ^ -21 * s), "%s: scale %d,%d is %.9g, not %.9g", name, i // tall, j // 128, got, s)
      for r = i, math.min(i + tall, rows) - 1 do
        for c = j, math.min(j + 128, columns) - 1 do
          local want = to_e4m3(to_f32(value(r, c) / got))
          check(close(Q:get(r, c), want, 0), "%s: code %d,%d is %g, not %g (of %.9g)", name, r, c, Q:get(r, c), want, value(r, c))
        end
      end
    end
  end
end

for _, s in ipairs { { 1, 1 }, { 3, 144 }, { 129, 200 }, { 2, 0 }, { 0, 5 } } do
  local M, K = s[1], s[2]
  local X = matrix(tg.bf16, M, K, 8, 3)
  if M > 2 then
    X:set(1, 5, 0 / 0)
    for c = 0, K - 1 do X:set(2, c, 0) end
    X:set(0, 1, 1e30)
  end
  local value = function(i, j) return X:get(i, j) end
  local out = device:run(tg.load "quantize_rows", { X = X })
  check_quantised("quantize_rows", out.Q, out.S, value, M, K, 1)
  out = device:run(tg.load "quantize_rows", { X = X }, { set = { ue8m0 = 1, BM = 2, BK = 256 } })
  check_quantised("quantize_rows ue8m0", out.Q, out.S, value, M, K, 1, true)
  out = device:run(tg.load "quantize_blocks", { X = X })
  check_quantised("quantize_blocks", out.Q, out.S, value, M, K, 128)
end

-- ---- norms and activations: 1.5 * 2^-8 per element

for _, s in ipairs { { 1, 1 }, { 3, 300 }, { 5, 64 }, { 2, 0 } } do
  local T, H = s[1], s[2]
  local X, W = matrix(tg.bf16, T, H, 9, 2), tg.tensor(tg.bf16, { H }):normal(10)
  if T > 2 then X:set(1, 7, 0 / 0) end
  local out = device:run(tg.load "rmsnorm", { X = X, W = W, eps = 1e-6 }, { set = { BM = 2, BH = 64 } })
  local function rms(t)
    local sum = 0.0
    for h = 0, H - 1 do sum = sum + X:get(t, h) ^ 2 end
    return math.sqrt(sum / H + 1e-6)
  end
  compare("rmsnorm", out.O, function(t, h) return X:get(t, h) * W:get(h) / rms(t) end,
    function(_, _, w) return 1.5 * 2 ^ -8 * math.abs(w) end, T, H)
end

local function swiglu(G, I, clamp)
  return function(t, i)
    local g, u = G:get(t, i), G:get(t, I + i)
    if clamp > 0 then
      if g > clamp then g = clamp end
      if u > clamp then u = clamp elseif u < -clamp then u = -clamp end
    end
    return g / (1 + math.exp(-g)) * u
  end
end

for _, s in ipairs { { 1, 1 }, { 3, 300 }, { 2, 0 } } do
  for _, clamp in ipairs { 0, 1.5 } do
    local T, I = s[1], s[2]
    local G = matrix(tg.bf16, T, 2 * I, 11, 2)
    if T > 2 then G:set(1, 7, 0 / 0) end
    local value = swiglu(G, I, clamp)
    local out = device:run(tg.load "swiglu", { G = G }, { set = { clamp = clamp, BI = 64 } })
    compare("swiglu", out.O, value, function(_, _, w) return 1.5 * 2 ^ -8 * math.abs(w) end, T, I, clamp)
    out = device:run(tg.load "swiglu_quantize", { G = G }, { set = { clamp = clamp, BI = 128 } })
    for t = 0, T - 1 do
      for i = 0, I - 1 do
        local scale, w = out.S:get(t, i // 128), value(t, i)
        check(close(out.Q:get(t, i) * scale, w, 2 ^ -4 * math.abs(w) + 2 ^ -9 * scale), "swiglu_quantize: %d,%d is %g * %g, not %g",
          t, i, out.Q:get(t, i), scale, w)
      end
    end
  end
end

print(("%d checks, %d failed"):format(checks, failures))
if failures > 0 then error(("%d of %d checks failed"):format(failures, checks)) end
