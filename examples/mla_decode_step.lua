-- Decode steps of one MLA layer: the new token's latent row goes into the paged cache, then the absorbed queries attend to all of it.
-- One pipeline, replayed at every step. `tegula run examples/mla_decode_step.lua`
local tg <const> = require "tegula"
local bf16, i32, f32 = tg.bf16, tg.i32, tg.f32

local B, heads, latent, rope, pages = 2, 4, 512, 64, 6
local width <const> = latent + rope -- of a row of the cache: the latent, which is key and value, and the rotated part of the key
local cpu = tg.device "cpu"

local cache = cpu:buffer(bf16, pages, 64, width)
local pages_of = tg.tensor(i32, { B, 3 }, { 4, 1, -1, 0, 5, 2 }) -- -1: not yet needed
local scale <const> = (128 + rope) ^ -0.5

local p = tg.pipeline("mla decode", cpu, { threads = 1 })
local Q = p:input("Q", bf16, B, 1, heads, width)
local Latent, Rope = p:input("latent", bf16, B, latent), p:input("rope", bf16, B, rope)
local pos, lens = p:input("pos", i32, B), p:input("lens", i32, B)
local O = p:output("O", bf16, B, 1, heads, latent)
local KV, pages_bound = p:bind("KV", cache), p:bind("table", pages_of)
local seq = tg.tensor(i32, { B }, { 0, 1 })
p:step("append_cache", { Latent = Latent, Rope = Rope, table = pages_bound, seq = seq, pos = pos, KV = KV }, { bytes = 2 * 2 * B * width })
p:step("mla_decode", { Q = Q, KV = KV, table = pages_bound, lens = lens, scale = scale, O = O })
p:build()

-- the same in double precision, from the rows themselves
local latents, ropes = {}, {}
local function row(t, b, c) return c < latent and latents[t]:get(b, c) or ropes[t]:get(b, c - latent) end
local function attend(q, b, h, length)
  local scores, top, total, out = {}, -math.huge, 0.0, {}
  for t = 1, length do
    local dot = 0.0
    for c = 0, width - 1 do dot = dot + q:get(b, 0, h, c) * row(t, b, c) end
    scores[t] = dot * scale
    top = math.max(top, scores[t])
  end
  for t = 1, length do
    scores[t] = math.exp(scores[t] - top)
    total = total + scores[t]
  end
  for c = 0, latent - 1, 37 do -- every 37th column is enough
    local sum = 0.0
    for t = 1, length do sum = sum + scores[t] / total * row(t, b, c) end
    out[c] = sum
  end
  return out
end

local steps <const>, worst, input = 70, 0, nil -- over the end of the first page
for t = 1, steps do
  latents[t], ropes[t] = tg.tensor(bf16, B, latent):normal(t), tg.tensor(bf16, B, rope):normal(500 + t)
  input = { Q = tg.tensor(bf16, B, 1, heads, width):normal(1000 + t), latent = latents[t], rope = ropes[t],
            pos = tg.tensor(i32, { B }, { t - 1, t - 1 }), lens = tg.tensor(i32, { B }, { t, t }) }
  local o = p:run(input).O
  if t == 1 or t == 2 or (t >= 64 and t <= 66) or t == steps then
    for b = 0, B - 1 do
      for h = 0, heads - 1 do
        local error2, norm = 0, 0
        for c, want in pairs(attend(input.Q, b, h, t)) do
          error2, norm = error2 + (o:get(b, 0, h, c) - want) ^ 2, norm + want ^ 2
        end
        worst = math.max(worst, (error2 / norm) ^ 0.5)
      end
    end
  end
end
print(("%d steps, the worst row is off by %.2f%% of its length"):format(steps, 100 * worst))
p:time(input)
print(p:report())
if worst > 0.01 then error "a decode step is wrong" end
