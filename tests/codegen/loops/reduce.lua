local tg <const> = require "tegula"

return tg.kernel("reduce", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, I = k.input("X", tg.f32, M, N), k.input("I", tg.i32, M, N)
  local R, C = k.output("R", tg.f32, M, N:cdiv(32), 4), k.output("C", tg.f32, M:cdiv(16), N)
  local D = k.output("D", tg.i32, M:cdiv(16), N:cdiv(32), 3)
  k.blocks(M:by(16), N:by(32), function(m, n)
    local x, i = X[{m, n}], I[{m, n}]
    local y = x * 2 + 1 -- not 0 outside
    for j, r in ipairs { y:rsum(2), y:rmax(2), x:rmin(2), (x * 0.01 + 1):rprod(2) } do R[{m, n // 32, j - 1}] = r:reshape(16, 1) end
    C[{m // 16, n}] = y:rsum(1)
    for j, r in ipairs { i:rsum(2):rsum(1), i:rxor(1):rxor(2), i:rmax(2):rmin(1) } do D[{m // 16, n // 32, j - 1}] = r end
  end)
end)
