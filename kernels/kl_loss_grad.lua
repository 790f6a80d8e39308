local tg <const> = require "tegula"
local f32 = tg.f32

-- The gradient of kl_loss towards the student: dS[t,v] = g[t] * temperature * (softmax(student / temperature)[v] -
-- softmax(teacher / temperature)[v]). lse is what kl_loss gave, g the gradient of each row's loss.
return tg.kernel("kl_loss_grad", function(k)
  local T, V = k.dim "T", k.dim "V"
  local dtype = k.option("dtype", "bf16", "bf16", "f32")
  local student, teacher = k.input("student", dtype, T, V), k.input("teacher", dtype, T, V)
  local lse, g, temperature = k.input("lse", f32, T, 2), k.input("g", f32, T), k.scalar("temperature", f32)
  local dS = k.output("dS", dtype, T, V)
  local bv = k.tune("BV", 256, 512, 1024, 2048, { default = 1024 })

  k.blocks(T, function(t)
    local scale, cold = g[{t}] * temperature, 1 / temperature
    V:by(bv):each(function(v)
      local function softmax(x, which) return (x[{t, v}]:to(f32) * cold - lse[{t, which}]):exp() end
      dS[{t, v}] = ((softmax(student, 0) - softmax(teacher, 1)) * scale):to(dtype)
    end)
  end)
end)
