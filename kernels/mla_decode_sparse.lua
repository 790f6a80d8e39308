local tg <const> = require "tegula"
local e4m3, bf16, f32, i32 = tg.e4m3, tg.bf16, tg.f32, tg.i32
local huge <const>, log2e <const> = math.huge, 1.4426950408889634

-- mla_decode over chosen keys: query s of sequence b sees the positions idx[b,s] of its sequence, as `topk` gives them; -1, what lies beyond the
-- table and pages outside 0 ... P-1 are none, and no key gives O = 0, LSE = -inf. A position named twice counts twice.
return tg.kernel("mla_decode_sparse", function(k)
  local B, S, N, P, W, K = k.dim "B", k.dim "S", k.dim "N", k.dim "P", k.dim "W", k.dim "K"
  local D, R = k.option("D", 512), k.option("R", 64)
  local dtype, fp8 = k.option("dtype", "bf16", "bf16", "f32"), k.option("cache", "plain", "plain", "fp8") == "fp8"
  if fp8 and (D % 128 ~= 0 or R % 2 ~= 0) then error(("of rows of FP8 D is a multiple of 128 and R even, not D=%s, R=%s"):format(D, R)) end
  local row = fp8 and D + D // 32 + 2 * R or D + R
  local Q, KV = k.input("Q", dtype, B, S, N, D + R), k.input("KV", fp8 and e4m3 or dtype, P, 64, row)
  local pages, idx = k.input("table", i32, B, W, { index = P, none = true }), k.input("idx", i32, B, S, K, { index = 64 * W, none = true })
  local scale = k.scalar("scale", f32)
  local O, LSE = k.output("O", dtype, B, S, N, D), k.output("LSE", f32, B, S, N, { optional = true })
  local splits = k.tune("splits", 1, 2, 4, 8, 16, 32, { default = 4 }) -- then heads and keys at a time
  local bm = k.tune("BM", 16, 32, 64, 128, { default = 32 })
  local bk = k.tune("BK", 32, 64, 128, { default = 64 })
  local part, logs = k.workspace("part", f32, splits, B * S, N, D), k.workspace("logs", f32, splits, B * S, N)
  local slots, c = KV:merge(1), tg.range(0, D)
  local tails = fp8 and slots:as(bf16, D + D // 32) or slots:slice(2, D, R)
  local function latents(slot)
    if not fp8 then return slots[{slot, c}] end
    local codes, scales = slots:as(e4m3, 0)[{slot, c}], slots:as(f32, D)[{slot, tg.range(0, D // 128)}]
    return (codes:to(f32) * scales:spread(2, 128)):to(dtype)
  end

  k.blocks(splits, N:by(bm), B * S, function(nth, m, query)
    local b, s = query // S, query % S
    local latent, share = Q[{b, s, m, c}].T, K:cdiv(splits)
    local acc, top, sum = tg.range(nth * share, bk, (nth * share + share):min(K)):fold(tg.zeros(f32, bm, D), tg.full(f32, -huge, 1, bm),
      tg.zeros(f32, 1, bm), function(acc, top, sum, i)                    -- top, sum: of each head's scores and their powers of 2
      local position = idx[{b, s, i, fill = -1}]
      local page = pages[{b, position // 64, fill = -1}]
      local valid = page:ge(0) & page:lt(P)
      local slot, sees = tg.where(valid, page * 64 + position % 64, -1), valid:reshape(bk, 1)
      local v = latents(slot)                                             -- 0 for none
      local scores = tg.dot(v, latent)
      if R > 0 then scores = tg.dot(tails[{slot, tg.range(0, R)}]:to(dtype), Q[{b, s, m, tg.range(D, R)}].T, { acc = scores }) end
      scores = tg.where(sees, scores * (scale * log2e), -huge)
      local next = top:max(scores:rmax(1))
      local zero = tg.where(next:eq(-huge), 0, next)
      local p, factor = (scores - zero):exp2(), (top - zero):exp2()
      return tg.dot(p.T:to(dtype), v, { acc = acc * factor.T }), next, sum * factor + p:rsum(1)
    end)
    part[{nth, query, m, c}] = acc / tg.where(sum:eq(0), 1, sum).T
    logs[{nth, query, m}] = (top + sum:log2()):reshape(bm)
  end)

  k.blocks(N, B * S, function(m, query)
    local log = logs[{tg.range(0, splits), query, m}]
    local top = log:rmax(1)
    local weights = (log - tg.where(top:eq(-huge), 0, top)):exp2()
    local sum = weights:rsum(1)
    D:by(128):each(function(h)
      local mean = (part[{tg.range(0, splits), query, m, h}] * weights:reshape(splits, 1)):rsum(1) / tg.where(sum:eq(0), 1, sum)
      O:reshape(B * S, N, D)[{query, m, h}] = mean:reshape(128):to(dtype)
    end)
    LSE:reshape(B * S, N)[{query, m}] = ((top + sum:log2()) / log2e):reshape()
  end)
end)
