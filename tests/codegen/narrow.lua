-- Quotients and products on their way to narrow floats, with NaN of any payload among them: device cpu must give the interpreter's codes, the
-- sign of zero included.
local tg <const> = require "tegula"
local f32, bf16, e4m3 = tg.f32, tg.bf16, tg.e4m3
local cpu, interp = tg.device "cpu", tg.device "interp"

local function same(name, kernel, args)
  local got, want = cpu:run(kernel, args).O, interp:run(kernel, args).O
  local equal, difference = got:compare(want)
  assert(equal, ("%s: %d elements differ"):format(name, difference.bad))
end

local function of_bits(bits) return (string.unpack("<f", string.pack("<I4", bits))) end

local inf <const> = math.huge
local divisors <const> = {
  1, 3, 1 / 3, 7, 0.1, 1e-4 / 448, 448, 0x1.fffffep-1, 0x1.000002p0, 0x1p-40, 0x1.fffffep-41, 0x1p40, 0x1.000002p40, 0x1p-126, 0x1p-149,
  0x1.fffffep127, inf, 0, -0.0, -1, -3, -inf, of_bits(0x7fc00000), of_bits(0x7fffffff), of_bits(0xff800001), of_bits(0xffff8000),
}
local COLUMNS <const> = 512

-- What is next to the middle between two codes times the divisor, the ends, NaN with any payload, then random numbers.
local function dividends(s)
  local all = { 0, -0.0, inf, -inf, of_bits(0x7fffffff), of_bits(0xffffffff), of_bits(0x7f800001), of_bits(0x7fc0f808), 0x1p-149, -0x1p-149,
                0x1.fffffep127, -0x1.fffffep127, 448 * s, -448 * s, 464 * s, 465 * s, 0x1p-10 * s, -0x1p-10 * s }
  for e = -10, 8 do
    for m = 16, 31, 3 do
      local x = string.unpack("<f", string.pack("<f", m / 16 * 2.0 ^ e * s))
      all[#all + 1], all[#all + 2], all[#all + 3] = x, x * (1 + 2.0 ^ -23), -x * (1 - 2.0 ^ -24)
    end
  end
  local seed = 1
  while #all < COLUMNS do
    seed = (seed * 6364136223846793005 + 1442695040888963407) & 0xffffffffffffffff
    all[#all + 1] = of_bits(seed >> 32)
  end
  return all
end

for name, dtype in pairs { f32 = f32, bf16 = bf16 } do
  local kernel = tg.kernel("quotient_" .. name, function(k)
    local M, N = k.dim "M", k.dim "N"
    local X, S, O = k.input("X", dtype, M, N), k.input("S", f32, M), k.output("O", e4m3, M, N)
    k.blocks(N:by(128), M:by(1), function(n, m) O[{ m, n }] = (X[{ m, n }]:to(f32) / S[{ m }]:reshape(1, 1)):to(e4m3, "sat") end)
  end)
  local X, S = tg.tensor(dtype, { #divisors, COLUMNS }), tg.tensor(f32, { #divisors })
  for r, s in ipairs(divisors) do
    S:set(r - 1, s)
    for c, x in ipairs(dividends(s)) do
      if c <= COLUMNS then X:set(r - 1, c - 1, x) end
    end
  end
  same("quotients of " .. name, kernel, { X = X, S = S })
end

-- Every bf16 times numbers of which some are NaN that rounding would carry over.
for name, dtype in pairs { bf16 = bf16, e4m3 = e4m3 } do
  local kernel = tg.kernel("products_" .. name, function(k)
    local M, N = k.dim "M", k.dim "N"
    local X, S, O = k.input("X", bf16, N), k.input("S", f32, M), k.output("O", dtype, M, N)
    k.blocks(N:by(128), M:by(1), function(n, m)
      O[{ m, n }] = (X[{ n }]:to(f32) * S[{ m }]:reshape(1, 1)):to(dtype, name == "e4m3" and "sat" or nil)
    end)
  end)
  local X, S = tg.tensor(bf16, { 65536 }), tg.tensor(f32, { #divisors })
  for i = 0, 65535 do X:set(i, of_bits(i << 16)) end
  for r, s in ipairs(divisors) do S:set(r - 1, s) end
  same("products in " .. name, kernel, { X = X, S = S })
end
