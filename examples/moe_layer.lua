-- A MoE layer of DeepSeek-V3: router, dispatch, two grouped FP8 products, combine, as one pipeline.
-- `tegula run examples/moe_layer.lua [--experts 256 --hidden 2048 --inter 512 --tokens 32 --topk 8 --threads 1 --tune]`
local tg <const> = require "tegula"
local bf16, f32, e4m3, i32 = tg.bf16, tg.f32, tg.e4m3, tg.i32

local options = { experts = 16, hidden = 256, inter = 128, tokens = 8, topk = 4, threads = 1 }
local tune = false
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match "^%-%-(%l+)$"
    local number = name and options[name] and math.tointeger(tonumber(arg[i + 1]))
    if name == "tune" then
      tune = true
    elseif number and number >= 0 and number <= 1 << 20 then
      options[name], i = number, i + 1
    else
      tg.refuse(("usage: moe_layer.lua [--experts N --hidden N --inter N --tokens N --topk N --threads N --tune]; '%s' is not that"):format(arg[i]))
    end
    i = i + 1
  end
end
local E, H, I, T, K = options.experts, options.hidden, options.inter, options.tokens, options.topk
local groups = E % 8 == 0 and E >= 64 and 8 or 1
if H % 128 ~= 0 or I % 128 ~= 0 or H * I == 0 then tg.refuse("hidden and inter are multiples of 128: scales cover so many numbers") end
if K < 1 or K > E // groups * math.max(groups // 2, 1) then tg.refuse(("the %d best of %d experts cannot be chosen"):format(K, E)) end
local kept_groups = math.max(groups // 2, 1)

local dev = tg.device "cpu"

-- ---- weights: codes that look random, made on the device; one scale for each 128 x 128

local codes = tg.kernel("codes", function(k)
  local R, C, seed = k.dim "R", k.dim "C", k.scalar("seed", i32)
  local O = k.output("O", e4m3, R, C)
  k.blocks(R:by(16), C:by(128), function(r, c)
    local h = r:index():to(i32):reshape(16, 1) * 73856093 ~ c:index():to(i32) * 19349663 ~ seed
    h = (h ~ h >> 13) * 1274126177
    O[{r, c}] = (((h ~ h >> 16) & 255):to(f32) / 128 - 1):to(e4m3, "sat")
  end)
end)
local function weights(seed, n, k) -- E matrices [n, k]: packed, row-major, scales
  local rows = dev:buffer(e4m3, E * n, k)
  dev:run(codes, { seed = seed, O = rows })
  local each = rows:view(E, n, k)
  local packed = dev:buffer(e4m3, E * ((n + 31) // 32) * k * 32 + 64)
  dev:run(tg.load "pack_weights", { B = E > 1 and each or rows, Bp = packed }, { set = { experts = E } })
  return packed, each, tg.tensor(f32, E, (n + 127) // 128, k // 128):fill(1.7 * k ^ -0.5)
end
local up_packed, up, up_scales = weights(1, 2 * I, H)
local down_packed, down, down_scales = weights(2, H, I)
local router, bias = tg.tensor(f32, E, H):normal(3, H ^ -0.5), tg.tensor(f32, E):uniform(4, -0.05, 0.05)

-- ---- the pipeline

local p = tg.pipeline("moe layer", dev, { threads = options.threads })
local X, Y = p:input("X", bf16, T, H), p:output("Y", bf16, T, H)
local wide = p:step("cast", { X = X }) -- the router works in f32
local logits = p:step("gemm_f32", { A = wide.O, B = p:bind("router", router) }, { name = "router" })
local gate = p:step("moe_gate", { L = logits.C, bias = p:bind("bias", bias) },
  { set = { groups = groups, topk_groups = kept_groups, topk = K, scale = 2.5 } })
local sent = p:step("moe_dispatch", { X = X, idx = gate.idx }, { set = { experts = E } })
local q = p:step("quantize_rows", { X = sent.Xp })
-- of all weights a product reads those of the experts that were chosen
local chosen
local function product(name, A, As, packed, scales, n, k)
  return p:step("grouped_gemm_fp8", { A = A, As = As, B = p:bind(name .. ".W", packed), Bs = p:bind(name .. ".S", scales), offsets = sent.offsets },
    { name = name, set = { packed = 1 }, flops = 2 * T * K * n * k, bytes = function() return chosen * n * k + T * K * (k + 2 * n) end })
end
local hidden = product("up and gate", q.Q, q.S, up_packed, up_scales, 2 * I, H)
local act = p:step("swiglu_quantize", { G = hidden.C })
local back = product("down", act.Q, act.S, down_packed, down_scales, H, I)
p:step("moe_combine", { Y = back.C, src = sent.src, w = gate.w, O = Y })
p:build()

local x = tg.tensor(bf16, T, H):normal(5)
local y = p:run { X = x }.Y

-- ---- the same in double precision: every token of a small layer, the first of a large one

local function routed(t) -- {expert = weight}
  local score, biased, best = {}, {}, {}
  for e = 0, E - 1 do
    local sum = 0.0
    for h = 0, H - 1 do sum = sum + x:get(t, h) * router:get(e, h) end
    score[e] = 1 / (1 + math.exp(-sum))
    biased[e] = score[e] + bias:get(e)
  end
  local ranks = {}
  for g = 0, groups - 1 do
    local list = table.move(biased, g * (E // groups), (g + 1) * (E // groups) - 1, 1, {})
    table.sort(list, function(a, b) return a > b end)
    ranks[g + 1] = { g = g, sum = list[1] + (list[2] or 0) }
  end
  table.sort(ranks, function(a, b) return a.sum > b.sum end)
  for i = 1, kept_groups do
    for e = ranks[i].g * (E // groups), (ranks[i].g + 1) * (E // groups) - 1 do best[#best + 1] = e end
  end
  table.sort(best, function(a, b) return biased[a] > biased[b] end)
  local total, out = 0.0, {}
  for i = 1, K do total = total + score[best[i]] end
  for i = 1, K do out[best[i]] = 2.5 * score[best[i]] / total end
  return out
end

local function expert(e, row) -- row: numbers from 1 on
  local w1, w2 = up:slice(e, 1):read(), down:slice(e, 1):read()
  local mid, out = {}, {}
  for i = 0, 2 * I - 1 do
    local sum = 0.0
    for h = 0, H - 1 do sum = sum + row[h + 1] * w1:get(0, i, h) end
    mid[i] = sum * up_scales:get(e, i // 128, 0)
  end
  for h = 0, H - 1 do
    local sum = 0.0
    for i = 0, I - 1 do sum = sum + mid[i] / (1 + math.exp(-mid[i])) * mid[I + i] * w2:get(0, h, i) end
    out[h] = sum * down_scales:get(e, h // 128, 0)
  end
  return out
end

local tokens, worst = T * K * H * I <= 1 << 20 and T or math.min(T, 1), 0
for t = 0, tokens - 1 do
  local row, want = {}, {}
  for h = 0, H - 1 do row[h + 1], want[h] = x:get(t, h), 0.0 end
  for e, weight in pairs(routed(t)) do
    for h, value in pairs(expert(e, row)) do want[h] = want[h] + weight * value end
  end
  local error2, norm = 0.0, 0.0
  for h = 0, H - 1 do error2, norm = error2 + (y:get(t, h) - want[h]) ^ 2, norm + want[h] ^ 2 end
  worst = math.max(worst, (error2 / norm) ^ 0.5)
end
print(("%d experts, the best %d of %d groups of %d; hidden %d, intermediate %d, %d tokens"):format(E, K, groups, kept_groups, H, I, T))
print(("%d of %d tokens against double precision without quantising: the worst row is off by %.2f%% of its length"):format(tokens, T, 100 * worst))

do -- how many experts have tokens
  local seen, idx = {}, dev:run(tg.load "moe_gate", { L = dev:run(tg.load "gemm_f32", { A = x:to(f32), B = router }).C, bias = bias },
    { set = { groups = groups, topk_groups = kept_groups, topk = K, scale = 2.5 } }).idx
  chosen = 0
  for t = 0, T - 1 do
    for j = 0, K - 1 do
      local e = idx:get(t, j)
      if not seen[e] then seen[e], chosen = true, chosen + 1 end
    end
  end
end
if tune then print(p:tune { trials = 12, budget = 120 }) end
p:time { X = x }
print(p:report())
print(p:roofline())
if worst > 0.08 then error "the layer is wrong" end
