-- Expressions thousands of ops long, which are evaluated by recursion: device cpu must give the interpreter's bits.
local tg <const> = require "tegula"
local f32, bf16 = tg.f32, tg.bf16
local cpu, interp = tg.device "cpu", tg.device "interp"

local function same(name, kernel, args, out)
  local got, want = cpu:run(kernel, args), interp:run(kernel, args)
  local equal, difference = got[out]:compare(want[out])
  assert(equal, ("%s: %d elements differ"):format(name, difference.bad))
end

-- Halving is exact, so that it does not matter whether it is fused with the addition.
same("a tile", tg.kernel("tile", function(k)
  local M = k.dim "M"
  local X, O = k.input("X", f32, M), k.output("O", f32, M)
  k.blocks(M:by(16), function(m)
    local x = X[{ m }]
    local t = x
    for _ = 1, 5000 do t = t * 0.5 + x end
    O[{ m }] = t
  end)
end), { X = tg.tensor(f32, 37):normal(1, 3) }, "O")

same("a scalar", tg.kernel("scalar", function(k)
  local M, s = k.dim "M", k.scalar("s", f32)
  local O = k.output("O", f32, M)
  k.blocks(M:by(16), function(m)
    local t = s
    for _ = 1, 5000 do t = t * 0.5 + s end
    O[{ m }] = tg.zeros(f32, 16) + t
  end)
end), { s = 1.25, O = tg.tensor(f32, 37) }, "O")

same("in a fold", tg.kernel("fold", function(k)
  local M, K = k.dim "M", k.dim "K"
  local X, O = k.input("X", bf16, M, K), k.output("O", f32, M)
  k.blocks(M:by(8), function(m)
    O[{ m }] = K:by(16):fold(tg.zeros(f32, 8), function(acc, kk)
      local t = X[{ m, kk }]:to(f32)
      for _ = 1, 200 do t = ((t * 0.5 + t).T:max(-4):reshape(8, 16) * 0.5):abs() end
      return acc:max(t:rmax(2):reshape(8))
    end)
  end)
end), { X = tg.tensor(bf16, 19, 37):normal(1, 3) }, "O")

-- Each op uses the one before twice: to look at both uses by themselves would take 2^60 steps.
same("an index", tg.kernel("index", function(k)
  local M = k.dim "M"
  local X, I, O = k.input("X", f32, M), k.input("I", tg.i64, 1), k.output("O", f32, M)
  k.blocks(1, function()
    local i = I[{ 0 }]
    for _ = 1, 60 do i = i + (i * i) end
    local r = tg.range(i & 7, 16)
    O[{ r }] = X[{ r }] * 2
  end)
end), { X = tg.tensor(f32, 64):normal(1, 3), I = tg.tensor(tg.i64, 1), O = tg.tensor(f32, 64) }, "O")
