local tg <const> = require "tegula"

-- Newton's square root by while; a branch with tiles; a block that ends early.
return tg.kernel("control", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, O, R = k.input("X", tg.f32, M, N), k.output("O", tg.f32, M, N), k.output("R", tg.f32, M)
  k.blocks(M, function(m)
    local start = X[{m, 0}]:abs() + 1
    local r = tg.loop(start, function(r) return (r * r - start):abs():gt(start * 0.001) end, function(r) return (r + start / r) * 0.5 end)
    R[{m}] = r
    N:by(32):each(function(n)
      local x = X[{m, n}]
      O[{m, n}] = tg.when((m % 2):eq(0), function() return x * r end, function() return x:exp():min(100) - r end)
    end)
  end)
end)
