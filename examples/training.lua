-- Training, small: distillation into a linear layer all in FP8, then GRPO on a table of logits. `tegula run examples/training.lua`
-- Only the steps of the optimiser are Lua; losses and gradients come from the library's kernels.
local tg <const> = require "tegula"
local bf16, f32, i32 = tg.bf16, tg.f32, tg.i32
local cpu <const> = tg.device "cpu"

local function run(kernel, inputs, settings) return cpu:run(tg.load(kernel), inputs, { set = settings }) end
local function mean(t)
  local sum = 0.0
  for i = 0, #t - 1 do sum = sum + t:get(i) end
  return sum / #t
end

-- A student W of V x H learns what a teacher says of T inputs: logits = X·Wᵀ, loss = KL(teacher || student).
local function distill(steps)
  local T <const>, H <const>, V <const>, rate <const> = 64, 48, 80, 2
  local X, W = tg.tensor(bf16, T, H):normal(1), tg.tensor(f32, V, H):normal(2, 0.02)
  local function forward(weights)
    local x, w = run("quantize_rows", { X = X }), run("quantize_blocks", { X = weights:to(bf16) })
    return run("gemm_fp8", { A = x.Q, As = x.S, B = w.Q, Bs = w.S }).C
  end
  local teacher, ones = forward(tg.tensor(f32, V, H):normal(3, 0.3)), tg.tensor(f32, T):fill(1)
  local x = run("quantize_columns", { X = X })                     -- for the sum over tokens
  local losses = {}
  for step = 1, steps do
    local student = forward(W)
    local forth = run("kl_loss", { student = student, teacher = teacher, temperature = 2 })
    local back = run("kl_loss_grad", { student = student, teacher = teacher, temperature = 2, lse = forth.lse, g = ones })
    local dY = run("quantize_columns", { X = back.dS })
    local dW = run("gemm_fp8_wgrad", { dY = dY.Q, dYs = dY.S, X = x.Q, Xs = x.S }).dW
    for v = 0, V - 1 do
      for h = 0, H - 1 do W:set(v, h, W:get(v, h) - rate / T * dW:get(v, h)) end
    end
    losses[step] = mean(forth.loss)
  end
  return losses
end

-- A policy L of C contexts x V actions, of which one is right: R tries each, their rewards normalised in groups, two steps on each batch.
local function reinforce(steps)
  local C <const>, R <const>, V <const>, rate <const> = 6, 8, 10, 0.5
  local T <const> = C * R                                          -- row t is a try of context t // R
  local L, rewards, ones = tg.tensor(f32, C, V), {}, tg.tensor(f32, T):fill(1)
  math.randomseed(1)
  local function rows()
    local t = tg.tensor(f32, T, V)
    for r = 0, T - 1 do
      for v = 0, V - 1 do t:set(r, v, L:get(r // R, v)) end
    end
    return t
  end
  local function try(c)                                            -- an action by the policy's probabilities
    local sum, u = 0.0, math.random()
    for v = 0, V - 1 do sum = sum + math.exp(L:get(c, v)) end
    for v = 0, V - 1 do
      u = u - math.exp(L:get(c, v)) / sum
      if u < 0 then return v end
    end
    return V - 1
  end
  local function logp(logits, actions)                             -- the log-probability is minus the cross-entropy
    local out = run("cross_entropy", { L = logits, targets = actions }, { dtype = "f32" })
    for t = 0, T - 1 do out.loss:set(t, -out.loss:get(t)) end
    return out.loss, out.lse
  end
  for step = 1, steps do
    local actions, reward = tg.tensor(i32, T), tg.tensor(f32, C, R)
    for t = 0, T - 1 do
      local v = try(t // R)
      actions:set(t, v)
      if v == t // R * 3 % V then reward:set(t // R, t % R, 1) end
    end
    local old = logp(rows(), actions)
    local group = run("grpo_advantages", { rewards = reward, eps = 1e-4 }).A
    local A = tg.tensor(f32, T)
    for t = 0, T - 1 do A:set(t, group:get(t // R, t % R)) end
    for _ = 1, 2 do
      local logits = rows()
      local new, lse = logp(logits, actions)
      local loss = run("grpo_loss", { logp = new, old = old, A = A, mask = ones, clip_low = 0.2, clip_high = 0.28 }, { kl = 0 })
      local g = tg.tensor(f32, T)
      for t = 0, T - 1 do g:set(t, -loss.dlogp:get(t)) end
      local dL = run("cross_entropy_grad", { L = logits, targets = actions, lse = lse, g = g }, { dtype = "f32" }).dL
      for t = 0, T - 1 do
        for v = 0, V - 1 do L:set(t // R, v, L:get(t // R, v) - rate / R * dL:get(t, v)) end
      end
    end
    local sum = 0
    for t = 0, T - 1 do sum = sum + reward:get(t // R, t % R) end
    rewards[step] = sum / T
  end
  return rewards
end

local losses, rewards = distill(40), reinforce(40)
print(("distillation: loss %.4f, after 40 steps %.4f"):format(losses[1], losses[40]))
print(("GRPO: mean reward %.2f, after 40 steps %.2f"):format(rewards[1], rewards[40]))
if losses[40] > losses[1] / 4 then error "the student has not learnt" end
if rewards[40] < 0.9 then error "the policy has not learnt" end
print "both learn"
