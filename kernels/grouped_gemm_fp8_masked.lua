local tg <const> = require "tegula"
local e4m3, bf16, f32, i32 = tg.e4m3, tg.bf16, tg.f32, tg.i32

-- C[e,r,n] = sum_k A[e,r,k]*As[e,r,k/128] * B[e,n,k]*Bs[e,n/128,k/128] for the first counts[e] rows r of expert e; others are not touched.
-- An expert's rows go by 1, 2, 4 … where there are so many at most, up to FEW, else by BM.
return tg.kernel("grouped_gemm_fp8_masked", function(k)
  local E, R, N, K = k.dim "E", k.dim "R", k.dim "N", k.dim "K"
  local A, As = k.input("A", e4m3, E, R, K), k.input("As", f32, E, R, K:cdiv(128))
  local B, Bs = k.input("B", e4m3, E, N, K), k.input("Bs", f32, E, N:cdiv(128), K:cdiv(128))
  local counts = k.input("counts", i32, E, { index = R + 1 })
  local C = k.output("C", bf16, E, R, N)
  local few = k.tune("FEW", 2, 4, 8, { default = 8 })
  local bm = k.tune("BM", 16, 32, 64, 128, { default = 64 })
  local bn = k.tune("BN", 32, 64, 128, 256, 512, { default = 128 })

  k.blocks(N:by(bn), E, function(n, e)
    local last = counts[{e}]:min(R)
    local function multiply(rows)
      tg.range(0, rows, last):each(function(r)
        C[{e, r, n}] = K:by(128):fold(tg.zeros(f32, rows, bn), function(acc, kk)
          return tg.dot(A[{e, r, kk}], B[{e, n, kk}].T, { acc = acc,
                        scale_a = As[{e, r, kk // 128}], scale_b = Bs[{e, n // 128, kk // 128}] })
        end):to(bf16)
      end)
    end
    local function tile(rows) -- the fewest of 1, 2, 4 … FEW that hold all of the expert's rows: its weights are read once, each row costs
      if rows > few then return multiply(bm) end
      tg.when(last:le(rows), function() multiply(rows) end, function() tile(2 * rows) end)
    end
    tile(1)
  end)
end)
