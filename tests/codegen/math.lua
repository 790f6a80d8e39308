-- The functions that codegen/math.c expands, against double precision: on the cpu device within what its polynomials are good for, on a
-- simulated GPU, whose ex2 and rcp stray as far as the PTX ISA lets them, within the ulps that ir/elementwise.def states.
local tg <const> = require "tegula"
local f32 = tg.f32
local N <const> = 1 << 16

local function ulp(v)
  v = math.abs(v)
  if v < 0x1p-126 then return 0x1p-149 end
  local bits = string.unpack("<i8", string.pack("<d", v))
  return 2.0 ^ ((bits >> 52) - 1023 - 23)
end

local function line(low, high) return function(i) return low + (high - low) * i / (N - 1) end end
local function powers(low, high) return function(i) return 2.0 ^ (low + (high - low) * i / (N - 1)) end end

local function sigmoid(x) return 1 / (1 + math.exp(-x)) end
local gpu <const> = { exp = 3, exp2 = 2.5, sigmoid = 8 } -- of exp2 within 2 of the correctly rounded
local cases <const> = {
  { "exp", 2, math.exp, line(-104, 88.7) }, { "exp", 2, math.exp, line(-0.4, 0.4) },
  { "exp2", 2, function(x) return 2.0 ^ x end, line(-150, 127.9) },
  { "log", 2, math.log, powers(-149, 127.9) }, { "log", 2, math.log, line(0.5, 2) },
  { "log2", 2, function(x) return math.log(x, 2) end, powers(-149, 127.9) },
  { "rsqrt", 2, function(x) return 1 / math.sqrt(x) end, powers(-149, 127.9) },
  { "sigmoid", 4, sigmoid, line(-105, 30) }, { "sigmoid", 4, sigmoid, line(-20, 0) }, { "sigmoid", 4, sigmoid, line(-2, 2) },
  { "sin", 4, math.sin, line(-100, 100) }, { "sin", 4, math.sin, powers(-149, 127.99) },
  { "cos", 4, math.cos, line(-100, 100) }, { "cos", 4, math.cos, powers(-149, 127.99) },
}

for _, device in ipairs { "cpu", "sim:sm_80" } do
  local on = tg.device(device)
  for _, case in ipairs(cases) do
    local name, bound, meaning, at = table.unpack(case)
    if device ~= "cpu" then bound = gpu[name] or bound end
    local kernel = tg.kernel("one_" .. name, function(k)
      local n = k.dim "N"
      local X, Y = k.input("X", f32, n), k.output("Y", f32, n)
      k.blocks(n:by(256), function(i) Y[{i}] = X[{i}][name](X[{i}]) end)
    end)
    local X = tg.tensor(f32, { N })
    for i = 0, N - 1 do X:set(i, at(i)) end
    local Y = on:run(kernel, { X = X }).Y
    local worst, where = 0.0, 0
    for i = 0, N - 1 do
      local x = X:get(i)
      local want = meaning(x)
      local off = math.abs(Y:get(i) - want) / ulp(want)
      if not (off <= worst) then worst, where = off, x end
    end
    if arg[1] then print(("%-9s %-8s %.3f ulp at %.9g"):format(device, name, worst, where)) end
    assert(worst <= bound, ("%s: %s(%.9g) is off by %.3f ulp"):format(device, name, where, worst))

    -- The ends: what an infinity gives, and that NaN stays.
    local ends = tg.tensor(f32, { 3 }, { math.huge, -math.huge, 0 / 0 })
    local got = on:run(kernel, { X = ends }).Y
    local top = ({ exp = math.huge, exp2 = math.huge, log = math.huge, log2 = math.huge, rsqrt = 0, sigmoid = 1 })[name]
    local bottom = ({ exp = 0, exp2 = 0, sigmoid = 0 })[name]
    if top == 1 and device ~= "cpu" then assert(1 - got:get(0) <= bound * 0x1p-24, name .. " of inf is " .. got:get(0)) -- rcp(2^32) may be off
    elseif top then assert(got:get(0) == top, name .. " of inf is " .. got:get(0)) else assert(got:get(0) ~= got:get(0), name .. " of inf") end
    if bottom then assert(got:get(1) == bottom, name .. " of -inf is " .. got:get(1)) else assert(got:get(1) ~= got:get(1), name .. " of -inf") end
    assert(got:get(2) ~= got:get(2), name .. " of NaN")
  end
end
