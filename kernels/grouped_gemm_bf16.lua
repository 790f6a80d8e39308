local tg <const> = require "tegula"
local bf16, f32, i32 = tg.bf16, tg.f32, tg.i32

-- C[t,n] = sum_k A[t,k] * B[e,n,k], accumulated in f32, for the rows t of expert e, offsets[e] … offsets[e+1]; rows of no expert are not
-- written. An expert's rows go by one where there is one, by FEW where there are so many at most, else by BM.
return tg.kernel("grouped_gemm_bf16", function(k)
  local T, E, N, K = k.dim "T", k.dim "E", k.dim "N", k.dim "K"
  local A, B = k.input("A", bf16, T, K), k.input("B", bf16, E, N, K)
  local offsets = k.input("offsets", i32, E + 1, { offsets = T })
  local C = k.output("C", bf16, T, N)
  local few = k.tune("FEW", 2, 4, 8, { default = 8 })
  local bm = k.tune("BM", 16, 32, 64, 128, { default = 64 })
  local bn = k.tune("BN", 32, 64, 128, 256, 512, { default = 128 })
  local bk = k.tune("BK", 16, 32, 64, 128, { default = 128 })

  k.blocks(N:by(bn), E, function(n, e)
    local first, last = offsets[{e}]:max(0), offsets[{e + 1}]:min(T)
    local function multiply(rows)
      tg.range(first, rows, last):each(function(t)
        C[{t, n}] = K:by(bk):fold(tg.zeros(f32, rows, bn), function(acc, kk)
          return tg.dot(A[{t, kk}], B[{e, n, kk}].T, { acc = acc })
        end):to(bf16)
      end)
    end
    local count = last - first
    tg.when(count:le(1), function() multiply(1) end, function()
      tg.when(count:le(few), function() multiply(few) end, function() multiply(bm) end)
    end)
  end)
end)
