local tg <const> = require "tegula"
local e4m3, bf16, f32, i32, i64 = tg.e4m3, tg.bf16, tg.f32, tg.i32, tg.i64

-- DeepSeek-V3.2's lightning indexer over a paged cache of keys: L[b,s,j] = sum_h w[b,s,h] * relu(Q[b,s,h] . K[j]) for the keys j that query
-- s sees, the first lens - S + s + 1; -Inf beyond them and for those in pages outside 0 ... P-1. A page of the FP8 cache holds the codes of
-- its 64 keys, then their 64 f32 scales.
return tg.kernel("indexer_logits", function(k)
  local B, S, P, W, H, D = k.dim "B", k.dim "S", k.dim "P", k.dim "W", k.static "H", k.option("D", 128)
  local fp8 = k.option("cache", "fp8", "fp8", "plain") == "fp8"
  local Q, w = k.input("Q", bf16, B, S, H, D), k.input("w", f32, B, S, H)
  local K = fp8 and k.input("K", e4m3, P, 64 * (D + 4)) or k.input("K", bf16, P, 64, D)
  local pages, lens = k.input("table", i32, B, W, { index = P, none = true }), k.input("lens", i32, B, { index = 64 * W + 1 })
  local L = k.output("L", f32, B, S, 64 * W)
  local bs = k.tune("BS", 1, 2, 4, 8, { default = 1 }) -- queries at a time
  local codes, scales = K, K
  if fp8 then codes, scales = K:as(e4m3, 0):slice(2, 0, 64 * D):split(2, D), K:as(f32, 64 * D):slice(2, 0, 64) end

  k.blocks(W, S:by(bs), B, function(nth, s, b)
    local len, page, at = lens[{b}]:to(i64):max(0):min(64 * W), pages[{b, nth}], tg.range(0, 64)
    local keys = tg.range(nth * 64, 64)
    local sees = keys:index():lt((len - (S - 1) + s:index()):reshape(bs, 1)) & page:ge(0)
    L[{b, s, keys}] = tg.full(f32, -math.huge, bs, 64)
    tg.when(keys:first():lt(len) & page:ge(0) & page:lt(P), function()
      local heads, weights = tg.range(0, H), w[{b, s, tg.range(0, H)}]:reshape(1, bs * H)
      local here = page:max(0) -- it is: said once more, it spares every load a test of its own and the zeros of what it skips
      local queries = Q[{b, s, heads, tg.range(0, D)}]:reshape(bs * H, D)
      local scores = tg.dot(codes[{here, at, tg.range(0, D)}]:to(bf16), queries.T):max(0) * weights
      local sum = scores:reshape(64, bs, H):rsum(3):reshape(64, bs)
      if fp8 then sum = sum * scales[{here, at}]:reshape(64, 1) end
      L[{b, s, keys}] = tg.where(sees, sum.T, -math.huge)
    end)
  end)
end)
