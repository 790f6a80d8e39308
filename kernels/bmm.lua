local tg <const> = require "tegula"
local f32 <const> = tg.f32

-- C[t,n,m] = sum_k A[t,n,k] * B[n,m,k], a product for each n, accumulated in f32; transpose_b=1: B[N,K,M], sum_k A[t,n,k] * B[n,k,m].
-- Rows go by one where there is one, by FEW where there are so many at most, else by BT.
return tg.kernel("bmm", function(k)
  local T, N, K, M = k.dim "T", k.dim "N", k.dim "K", k.dim "M"
  local dtype, transpose_b = k.option("dtype", "bf16", "bf16", "f32"), k.option("transpose_b", 0, 0, 1)
  local A, C = k.input("A", dtype, T, N, K), k.output("C", dtype, T, N, M)
  local B = transpose_b == 0 and k.input("B", dtype, N, M, K) or k.input("B", dtype, N, K, M)
  local bt = k.tune("BT", 1, 2, 4, 8, 16, 32, 64, 128, { default = 16 })
  local few = k.tune("FEW", 2, 4, 8, { default = 4 }):min(bt) -- a block has no more rows
  local bm = k.tune("BM", 32, 64, 128, 256, 512, { default = 128 })
  local bk = k.tune("BK", 16, 32, 64, 128, { default = 128 })

  k.blocks(T:by(bt), M:by(bm), N, function(t, m, n)
    local function multiply(rows)
      local r = tg.range(t:first(), rows, t:last())
      C[{r, n, m}] = K:by(bk):fold(tg.zeros(f32, rows, bm), function(acc, kk)
        local b = transpose_b == 0 and B[{n, m, kk}].T or B[{n, kk, m}]
        return tg.dot(A[{r, n, kk}], b, { acc = acc })
      end):to(dtype)
    end
    local count = (t:last() - t:first()):min(bt)
    tg.when(count:le(1), function() multiply(1) end, function()
      tg.when(count:le(few), function() multiply(few) end, function() multiply(bt) end)
    end)
  end)
end)
