local tg <const> = require "tegula"
local bf16, f32, i64 = tg.bf16, tg.f32, tg.i64

-- P[e,j,n] = sum_k A[From[e]+j,k] * B[n,k] for the rows of part e, which begins at From[e] and ends at To[e], and for j < 64; 0 for others.
-- sums=0: C[e,j,n] = P[e,j,n]; sums=1: C[From[e]+j,n] = sum_{d<=e} P[d,j,n] for the rows of part e
return tg.kernel("parts", function(k)
  local T, N, K, E = k.dim "T", k.dim "N", k.dim "K", k.dim "E"
  local A, B = k.input("A", bf16, T, K), k.input("B", bf16, N, K)
  local From, To = k.input("From", i64, E), k.input("To", i64, E)
  local sums = k.option("sums", 0, 0, 1)
  local C = sums == 1 and k.output("C", f32, T, N) or k.output("C", f32, E, 64, N)

  local function product(rows, n, first)
    return K:by(64):fold(first, function(acc, kk) return tg.dot(A[{rows, kk}], B[{n, kk}].T, { acc = acc }) end)
  end
  if sums == 1 then
    k.blocks(N:by(64), function(n)
      E:by(1):fold(tg.zeros(f32, 64, 64), function(before, e)
        local rows = tg.range(From[{e:first()}], 64, To[{e:first()}]:min(T))
        local all = product(rows, n, before)
        C[{rows, n}] = all
        return all
      end)
    end)
  else
    k.blocks(E, N:by(64), function(e, n)
      C[{e, tg.range(0, 64), n}] = product(tg.range(From[{e}], 64, T), n, tg.zeros(f32, 64, 64))
    end)
  end
end)
