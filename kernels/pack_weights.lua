local tg <const> = require "tegula"
local e4m3, i64 = tg.e4m3, tg.i64

-- Weights B[N,K] in panels of 32 rows, K-major: Bp = a header of 64 bytes, then [N/32][K][32] codes; rows beyond N are 0.
-- Header: eight little-endian i64: the bytes "TGLPACK1", N, K, layout 1, family 1 (cpu), 0, 0, 0. One layout serves every M.
-- With experts=E above 1: B[E,N,K], each expert's panels after another; the header's sixth number is E.
return tg.kernel("pack_weights", function(k)
  local N, K = k.dim "N", k.dim "K"
  local experts = k.option("experts", 1, { min = 1, letter = "E" })
  local B
  if experts > 1 then B = k.input("B", e4m3, experts, N, K) else B = k.input("B", e4m3, N, K):broadcast(1, 1) end
  local Bp = k.output("Bp", e4m3, experts * N:cdiv(32) * K * 32 + 64)
  local bk = k.tune("BK", 16, 32, 64, 128, 256, { default = 64 })
  local header = Bp:as(i64, 0)
  local panels = Bp:as(e4m3, 64):reshape(experts, N:cdiv(32), K, 32)

  k.blocks(1, function()
    local magic <const> = 0x314b4341504c4754
    for i, value in ipairs { magic, N, K, 1, 1, experts > 1 and experts or 0, 0, 0 } do header[{i - 1}] = value end
  end)

  k.blocks(N:by(32), experts, function(n, e)
    K:by(bk):each(function(kk)
      panels[{e, n // 32, kk, tg.range(0, 32)}] = B[{e, n, kk}].T:reshape(1, bk, 32)
    end)
  end)
end)
