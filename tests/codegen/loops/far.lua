-- Ranges whose start or end lies near the ends of 64 bits, loaded or constant: what wraps around must not look like room.
local tg <const> = require "tegula"
local f32, i32, i64 = tg.f32, tg.i32, tg.i64

return tg.kernel("far", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, J = k.input("X", f32, M, N), k.input("J", i32, M)
  local Y, Z = k.output("Y", f32, M, 4, 8), k.output("Z", f32, M, 4, 8)

  k.blocks(M, function(i)
    local r, c = tg.range(0, 4), tg.range(0, 8)
    local far = J[{i}]:to(i64) * (1 << 60) + (math.maxinteger - 1)
    Y[{i, r, c}] = X[{tg.range(far, 4), c, fill = 3}]
    local near = X[{tg.range(J[{i}]:to(i64), 4), c, fill = 5}]
    Z[{i, r, c}] = near + X[{tg.range(math.maxinteger - 1, 4, math.mininteger + 2), c, fill = 7}]
  end)
end)
