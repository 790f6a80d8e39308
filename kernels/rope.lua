local tg <const> = require "tegula"
local bf16, f32, i32 = tg.bf16, tg.f32, tg.i32

-- Pairs (x, y) = X[t,n,(2i,2i+1)] turned by the angle pos[t] * inv_freq[i], as in DeepSeek's own code.
-- Positions up to 2^24. The product's rounding error turns the pair once more: f32 angles alone err by 1e-3 at 100,000.
return tg.kernel("rope", function(k)
  local T, N, D = k.dim "T", k.dim "N", k.dim "D"
  local X, pos = k.input("X", bf16, T, N, D), k.input("pos", i32, T)
  local inv_freq = k.input("inv_freq", f32, D // 2)
  local O = k.output("O", bf16, T, N, D)
  local bn = k.tune("BN", 1, 2, 4, 8, 16, { default = 4 })
  local bi = k.tune("BI", 16, 32, 64, 128, { default = 32 })

  k.blocks((D // 2):by(bi), T, function(i, t)
    local p, f = pos[{t}]:to(f32), inv_freq[{i}]
    local angle = p * f
    local rest = f:fma(p, -angle)
    local c, s = angle:cos(), angle:sin()
    c, s = c - rest * s, s + rest * c
    local d = tg.range(i:first() * 2, 2 * bi, D)
    N:by(bn):each(function(n)
      local x, y = X[{t, n, d}]:to(f32):reshape(bn, bi, 2):split()
      O[{t, n, d}] = (x * c - y * s):join(x * s + y * c):reshape(bn, 2 * bi):to(bf16)
    end)
  end)
end)
