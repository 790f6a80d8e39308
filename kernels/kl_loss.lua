local tg <const> = require "tegula"
local f32 = tg.f32
local huge <const> = math.huge

-- Distillation: with p = softmax(student / temperature), q = softmax(teacher / temperature),
-- loss[t] = temperature^2 * sum_v q[v] * (log q[v] - log p[v]) (Hinton, Vinyals, Dean 2015); lse[t]: of student and teacher / temperature.
return tg.kernel("kl_loss", function(k)
  local T, V = k.dim "T", k.dim "V"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local student, teacher = k.input("student", dtype, T, V), k.input("teacher", dtype, T, V)
  local temperature = k.scalar("temperature", f32)
  local loss, lse = k.output("loss", f32, T), k.output("lse", f32, T, 2)
  local bv = k.tune("BV", 256, 512, 1024, 2048, { default = 1024 })

  k.blocks(T, function(t)
    local cold = 1 / temperature
    local function grow(x, top, sum)                                     -- the greatest so far, the sum of powers relative to it
      local next = top:max(x:rmax(1))
      local zero = tg.where(next:eq(-huge), 0, next)
      return next, sum * ((top - zero) * cold):exp() + ((x - zero) * cold):exp():rsum(1)
    end
    local first, none = tg.full(f32, -huge, 1), tg.zeros(f32, 1)
    local top_s, sum_s, top_t, sum_t = V:by(bv):fold(first, none, first, none, function(top_s, sum_s, top_t, sum_t, v)
      top_s, sum_s = grow(student[{t, v, fill = -huge}]:to(f32), top_s, sum_s)
      top_t, sum_t = grow(teacher[{t, v, fill = -huge}]:to(f32), top_t, sum_t)
      return top_s, sum_s, top_t, sum_t
    end)
    local log_s, log_t = sum_s:log(), sum_t:log()
    local kl = V:by(bv):fold(tg.zeros(f32, 1), function(sum, v)          -- from differences: lse alone has lost what is small beside top
      local log_p = (student[{t, v}]:to(f32) - top_s) * cold - log_s
      local log_q = (teacher[{t, v, fill = -huge}]:to(f32) - top_t) * cold - log_t
      local q = log_q:exp()
      return sum + tg.where(q:eq(0), 0, q * (log_q - log_p)):rsum(1)     -- 0 * log 0 is 0
    end)
    loss[{t}] = (kl * temperature * temperature):reshape()
    lse[{t, 0}], lse[{t, 1}] = (top_s * cold + log_s):reshape(), (top_t * cold + log_t):reshape()
  end)
end)
