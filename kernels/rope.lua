local tg <const> = require "tegula"
local bf16, f32, i32 = tg.bf16, tg.f32, tg.i32

-- Pairs (x, y) = X[t,n,(2i,2i+1)] turned by the angle pos[t] * inv_freq[i], as in DeepSeek's own code. A pair is read and written as one
-- i32, y in its upper half: bf16 is the upper half of f32.
-- Positions up to 2^24. The product's rounding error turns the pair once more: f32 angles alone err by 1e-3 at 100,000.
return tg.kernel("rope", function(k)
  local T, N, D = k.dim "T", k.dim "N", k.dim "D"
  local X, pos = k.input("X", bf16, T, N, D), k.input("pos", i32, T)
  local inv_freq = k.input("inv_freq", f32, D // 2)
  local O = k.output("O", bf16, T, N, D)
  local bn = k.tune("BN", 1, 2, 4, 8, 16)
  local bi = k.tune("BI", 16, 32, 64, 128, { default = 32 })
  local from, to = X:as(i32, 0), O:as(i32, 0)
  local upper <const> = -0x10000

  k.blocks((D // 2):by(bi), T, function(i, t)
    local p, f = pos[{t}]:to(f32), inv_freq[{i}]
    local angle = p * f
    local rest = f:fma(p, -angle)
    local c, s = angle:cos(), angle:sin()
    c, s = c - rest * s, s + rest * c
    local function rounded(x) return x:to(bf16):to(f32):bitcast(i32) end
    N:by(bn):each(function(n)
      local pair = from[{t, n, i}]
      local x, y = (pair << 16):bitcast(f32), (pair & upper):bitcast(f32)
      to[{t, n, i}] = rounded(x * s + y * c) & upper | rounded(x * c - y * s) >> 16 & 0xffff
    end)
  end)
end)
