-- Is each token of TEXT the best of its row where the whole sequence was computed at once? `recompute.lua prepare TOKENS.npy GREEDY.npy OUT.npy` joins
-- prompt and text; `recompute.lua check TOKENS.npy GREEDY.npy LOGITS.npy` looks at the logits of that.
local tg <const> = require "tegula"
local tokens, greedy = tg.read(arg[2]), tg.read(arg[3])
local T, N = #tokens, #greedy
if arg[1] == "prepare" then
  local both = tg.tensor(tg.i32, 1, T + N)
  for i = 0, T - 1 do both:set(0, i, tokens:get(i)) end
  for i = 0, N - 1 do both:set(0, T + i, greedy:get(i)) end
  both:write(arg[4])
  return
end
local logits = tg.read(arg[4])
for i = 0, N - 1 do
  local best = 0
  for v = 1, logits.shape[2] - 1 do
    if logits:get(T - 1 + i, v) > logits:get(T - 1 + i, best) then best = v end
  end
  if best ~= greedy:get(i) then error(("token %d is %d, a full recompute gives %d"):format(i, greedy:get(i), best)) end
end
