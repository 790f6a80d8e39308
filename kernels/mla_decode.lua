local tg <const> = require "tegula"
local e4m3, bf16, f32, i32, i64 = tg.e4m3, tg.bf16, tg.f32, tg.i32, tg.i64
local huge <const>, log2e <const> = math.huge, 1.4426950408889634

-- Absorbed attention over a paged latent cache: O = softmax(scale * Q . KV) . KV[first D]; query s sees the first lens - S + s + 1 keys,
-- but for those in pages outside 0 ... P-1; none gives O = 0, LSE = -inf. `splits` blocks share the keys, the second launch combines.
-- A row of the FP8 cache, as DeepSeek-V3.2 has it, is D e4m3 codes, an f32 scale for each 128 of them, and R bf16.
return tg.kernel("mla_decode", function(k)
  local B, S, N, P, W = k.dim "B", k.dim "S", k.dim "N", k.dim "P", k.dim "W"
  local D, R = k.option("D", 512), k.option("R", 64)
  local dtype, fp8 = k.option("dtype", "bf16", "bf16", "f32"), k.option("cache", "plain", "plain", "fp8") == "fp8"
  if fp8 and (D % 128 ~= 0 or R % 2 ~= 0) then error(("of rows of FP8 D is a multiple of 128 and R even, not D=%s, R=%s"):format(D, R)) end
  local Q, KV = k.input("Q", dtype, B, S, N, D + R), k.input("KV", fp8 and e4m3 or dtype, P, 64, fp8 and D + D // 32 + 2 * R or D + R)
  local pages, lens = k.input("table", i32, B, W, { index = P, none = true }), k.input("lens", i32, B, { index = 64 * W + 1 })
  local scale = k.scalar("scale", f32)
  local O, LSE = k.output("O", dtype, B, S, N, D), k.output("LSE", f32, B, S, N, { optional = true })
  local splits = k.tune("splits", 1, 2, 4, 8, 16, 32, { default = 4 }) -- then rows and keys at a time
  local bm = k.tune("BM", 16, 32, 64, 128, 256, { default = 32 })
  local bk = k.tune("BK", 32, 64, 128, 256, { default = 128 })
  local rows, q, o, lse = S * N, Q:merge(2), O:merge(2), LSE:merge(2)     -- a row: a query's head
  local part, logs = k.workspace("part", f32, splits, B, rows, D), k.workspace("logs", f32, splits, B, rows)
  local tails = fp8 and KV:as(bf16, D + D // 32) or KV:slice(3, D, R)
  local function latents(page, at, n)
    if not fp8 then return KV[{page, at, tg.range(0, D)}]:reshape(n, D) end
    local codes, scales = KV:as(e4m3, 0)[{page, at, tg.range(0, D)}], KV:as(f32, D)[{page, at, tg.range(0, D // 128)}]
    return (codes:to(f32):reshape(n, D) * scales:reshape(n, D // 128):spread(2, 128)):to(dtype)
  end

  k.blocks(splits, rows:by(bm), B, function(s, m, b)
    local c = tg.range(0, D)
    local latent = q[{b, m, c}].T
    local len = lens[{b}]:to(i64):max(0):min(64 * W)
    local share = (len + (64 * splits - 1)) // (64 * splits) * 64         -- keys of a block: whole pages
    local first, last, common = s * share, (s * share + share):min(len), len - (S - 1) -- keys before `common` are seen by all queries

    local function attend(acc, top, sum, keys, limit)                     -- top, sum: of each row's scores and their powers of 2
      local n, page = keys.len, pages[{b, keys // 64}]
      local at = n < 64 and tg.range(keys:first() % 64, n) or tg.range(0, 64)
      local sees = keys:index():reshape(n, 1):lt(limit) & (page:ge(0) & page:lt(P)):spread(1, n:min(64)):reshape(n, 1)
      local v = tg.where(sees:ror(2), latents(page, at, n), 0) -- 0 * NaN is NaN, also where nothing was ever written
      local scores = tg.dot(v, latent)
      if R > 0 then
        scores = tg.dot(tails[{page, at, tg.range(0, R)}]:reshape(n, R):to(dtype), q[{b, m, tg.range(D, R)}].T, { acc = scores })
      end
      scores = tg.where(sees, scores * (scale * log2e), -huge)
      local next = top:max(scores:rmax(1))
      local zero = tg.where(next:eq(-huge), 0, next)
      local p, factor = (scores - zero):exp2(), (top - zero):exp2()
      local new = tg.dot(p.T:to(dtype), v, { acc = acc * factor.T })
      return n > 1 and new or tg.where(sees.T, new, acc), next, sum * factor + p:rsum(1)
    end
    local acc, top, sum = tg.range(first, bk, last:min(common)):fold(tg.zeros(f32, bm, D), tg.full(f32, -huge, 1, bm),
      tg.zeros(f32, 1, bm), function(a, t, u, keys) return attend(a, t, u, keys, last:min(common)) end)
    acc, top, sum = tg.range(first:max(common), 1, last):fold(acc, top, sum, function(a, t, u, keys) -- the others one by one: what a row
      return attend(a, t, u, keys, common + m:index() // N)                -- does not see must not reach it
    end)
    part[{s, b, m, c}] = acc / tg.where(sum:eq(0), 1, sum).T
    logs[{s, b, m}] = (top + sum:log2()):reshape(bm)
  end)

  k.blocks(rows, B, function(m, b)
    local log = logs[{tg.range(0, splits), b, m}]
    local top = log:rmax(1)
    local weights = (log - tg.where(top:eq(-huge), 0, top)):exp2()
    local sum = weights:rsum(1)
    D:by(128):each(function(c)
      local mean = (part[{tg.range(0, splits), b, m, c}] * weights:reshape(splits, 1)):rsum(1) / tg.where(sum:eq(0), 1, sum)
      o[{b, m, c}] = mean:reshape(128):to(dtype)
    end)
    lse[{b, m}] = ((top + sum:log2()) / log2e):reshape()
  end)
end)
