local tg <const> = require "tegula"
local e4m3, bf16, f32, i32 = tg.e4m3, tg.bf16, tg.f32, tg.i32

-- C[t,n] = sum_k A[t,k]*As[t,k/128] * B[e,n,k]*Bs[e,n/128,k/128] for the rows t of expert e, offsets[e] … offsets[e+1]; rows of no expert
-- are not written. An expert's rows go by 1, 2, 4 … where there are so many at most, up to FEW, else by BM.
return tg.kernel("grouped_gemm_fp8", function(k)
  local T, E, N, K = k.dim "T", k.dim "E", k.dim "N", k.dim "K"
  local packed = k.option("packed", 0, 0, 1)
  local A, As = k.input("A", e4m3, T, K), k.input("As", f32, T, K:cdiv(128))
  local B, panels
  if packed == 1 then -- from pack_weights with experts=E: a header of 64 bytes, then for each expert panels of 32 rows, K-major
    B = k.input("B", e4m3, E * N:cdiv(32) * K * 32 + 64, { packed = { N, K, E } })
    panels = B:as(e4m3, 64):reshape(E, N:cdiv(32), K, 32)
  else
    B = k.input("B", e4m3, E, N, K)
  end
  local Bs = k.input("Bs", f32, E, N:cdiv(128), K:cdiv(128))
  local offsets = k.input("offsets", i32, E + 1, { offsets = T })
  local C = k.output("C", bf16, T, N)
  local few = k.tune("FEW", 2, 4, 8, { default = 8 })
  local bm = k.tune("BM", 16, 32, 64, 128, { default = 64 })
  local bn = k.tune("BN", 32, 64, 128, 256, 512, { default = 128 })

  k.blocks(N:by(bn), E, function(n, e)
    local function weights(kk) -- [128, bn]
      if packed == 0 then return B[{e, n, kk}].T end
      return panels[{e, n // 32, kk, tg.range(0, 32)}]:transpose(2, 1, 3):reshape(128, bn)
    end
    local first, last = offsets[{e}]:max(0), offsets[{e + 1}]:min(T)
    local function multiply(rows)
      tg.range(first, rows, last):each(function(t)
        C[{t, n}] = K:by(128):fold(tg.zeros(f32, rows, bn), function(acc, kk)
          return tg.dot(A[{t, kk}], weights(kk), { acc = acc, scale_a = As[{t, kk // 128}], scale_b = Bs[{e, n // 128, kk // 128}] })
        end):to(bf16)
      end)
    end
    local count = last - first
    local function tile(rows) -- the fewest of 1, 2, 4 … FEW that hold all of the expert's rows: its weights are read once, each row costs
      if rows > few then return multiply(bm) end
      tg.when(count:le(rows), function() multiply(rows) end, function() tile(2 * rows) end)
    end
    tile(1)
  end)
end)
