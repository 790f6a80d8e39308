local tg <const> = require "tegula"
local f32, i32 = tg.f32, tg.i32
local none <const> = -1

-- idx[t] = the column of the greatest L[t,v], of equals the lowest, a NaN above all; -1 where V = 0
return tg.kernel("argmax", function(k)
  local T, V = k.dim "T", k.dim "V"
  local L, idx = k.input("L", f32, T, V), k.output("idx", i32, T)
  local bv = k.tune("BV", 256, 512, 1024, 2048, 4096, { default = 1024 })

  k.blocks(T, function(t)
    local best = V:by(bv):fold(tg.full(i32, none), tg.full(f32, -math.huge), function(best, top, v)
      local x = L[{t, v, fill = -math.huge}]
      local most = x:rmax(1):reshape()
      local better = best:eq(none) | most:gt(top) | (most:isnan() & ~top:isnan())
      return tg.where(better, v:first():to(i32) + x:argmax(1):reshape(), best), tg.where(better, most, top)
    end)
    idx[{t}] = best
  end)
end)
