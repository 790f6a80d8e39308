local tg <const> = require "tegula"
local f32 = tg.f32

-- A[g,r] = (rewards[g,r] - mean of group g) / (its standard deviation + eps) (GRPO, Shao et al. 2024). std=sample divides the squares by
-- R - 1 as trl and verl do, std=population by R; std=none leaves the deviation out (Dr. GRPO, Liu et al. 2025).
return tg.kernel("grpo_advantages", function(k)
  local G, R = k.dim "G", k.dim "R"
  local std = k.option("std", "sample", "sample", "population", "none")
  local rewards, A = k.input("rewards", f32, G, R), k.output("A", f32, G, R)
  local eps = std ~= "none" and k.scalar("eps", f32)
  local br = k.tune("BR", 8, 16, 32, 64, { default = 16 })

  k.blocks(G, function(g)
    local function off(r) return tg.where(r:index():lt(R), rewards[{g, r}] - rewards[{g, 0}], 0) end -- exactly 0 where all are equal
    local function sum_of(term) return R:by(br):fold(tg.zeros(f32, 1), function(sum, r) return sum + term(r):rsum(1) end) end
    local mean = sum_of(off) / R
    local function scaled(x) return x end
    if std ~= "none" then
      local squares = sum_of(function(r)
        local x = tg.where(r:index():lt(R), off(r) - mean, 0)
        return x * x
      end)
      local deviation = (squares / (std == "sample" and (R - 1):max(1) or R)):sqrt() + eps
      scaled = function(x) return x / deviation end
    end
    R:by(br):each(function(r)
      A[{g, r}] = scaled(off(r) - mean)
    end)
  end)
end)
