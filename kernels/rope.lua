local tg <const> = require "tegula"
local f32, f64, i32, i64 = tg.f32, tg.f64, tg.i32, tg.i64
local turn <const> = 2 * math.pi

-- Pairs (x, y) = X[t,n,(2i,2i+1)] turned by the angle pos[t] * inv_freq[i], as in DeepSeek's own code, and stretched by `scale` (YaRN's
-- factor, 1 for V3). A pair is read and written as one integer, y in its upper half: bf16 is the upper half of f32.
-- The angle is taken and reduced in f64: in f32 it errs by 1e-3 at position 100,000.
return tg.kernel("rope", function(k)
  local T, N, D = k.dim "T", k.dim "N", k.dim "D"
  local dtype, scale = k.option("dtype", "bf16", "bf16", "f32"), k.option("scale", 1)
  local pairs = D // 2 * 2 -- what D must be: an odd one fits no tensor
  local X, pos = k.input("X", dtype, T, N, pairs), k.input("pos", i32, T)
  local inv_freq = k.input("inv_freq", f32, D // 2)
  local O = k.output("O", dtype, T, N, pairs)
  local bn = k.tune("BN", 1, 2, 4, 8, 16)
  local bi = k.tune("BI", 16, 32, 64, 128, { default = 32 })
  local pairwise <const> = dtype == f32 and i64 or i32
  local from, to = X:as(pairwise, 0), O:as(pairwise, 0)
  local upper <const> = -0x10000

  local function halves(pair)
    if dtype == f32 then return pair:to(i32):bitcast(f32), (pair >> 32):to(i32):bitcast(f32) end
    return (pair << 16):bitcast(f32), (pair & upper):bitcast(f32)
  end
  local function joined(x, y)
    if dtype == f32 then return y:bitcast(i32):to(i64) << 32 | x:bitcast(i32):to(i64) & 0xffffffff end
    local function rounded(v) return v:to(dtype):to(f32):bitcast(i32) end
    return rounded(y) & upper | rounded(x) >> 16 & 0xffff
  end

  k.blocks((D // 2):by(bi), T, function(i, t)
    local whole = inv_freq[{i}]:to(f64) * pos[{t}]:to(f64)
    local angle = (whole - (whole / turn):rint() * turn):to(f32)
    local c, s = angle:cos(), angle:sin()
    if scale ~= 1 then c, s = c * scale, s * scale end
    N:by(bn):each(function(n)
      local x, y = halves(from[{t, n, i}])
      to[{t, n, i}] = joined(x * c - y * s, x * s + y * c)
    end)
  end)
end)
