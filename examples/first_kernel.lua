-- A first kernel: write it, run it on the CPU and on the interpreter, compare. `tegula run examples/first_kernel.lua`
local tg <const> = require "tegula"
local f32 = tg.f32

-- O[r,c] = softmax of X[r,c] over c, a block per group of rows
local softmax = tg.kernel("softmax", function(k)
  local R, C = k.dim "R", k.dim "C"
  local X, O = k.input("X", f32, R, C), k.output("O", f32, R, C)
  local br = k.tune("BR", 1, 2, 4, 8, { default = 4 })
  local bc = k.tune("BC", 64, 128, 256, { default = 128 })

  k.blocks(R:by(br), function(r)
    -- the greatest so far and the sum of exponentials relative to it, in one pass
    local top, sum = C:by(bc):fold(tg.full(f32, -1e30, br, 1), tg.zeros(f32, br, 1), function(top, sum, c)
      local x = X[{r, c, fill = -1e30}]
      local higher = top:max(x:rmax(2))
      return higher, sum * (top - higher):exp() + (x - higher):exp():rsum(2)
    end)
    C:by(bc):each(function(c)
      O[{r, c}] = (X[{r, c}] - top):exp() / sum
    end)
  end)
end)

local rows, columns = 37, 1000
local X = tg.tensor(f32, { rows, columns }):normal(1, 3)
local cpu, interp = tg.device "cpu", tg.device "interp"

local got = cpu:run(softmax, { X = X }, { set = { BR = 2 } }).O
local want = interp:run(softmax, { X = X }).O
local ok, report = got:compare(want, { rel = 1e-5, abs = 1e-7 })
print(("cpu and interp agree: %s, largest difference %.3g"):format(ok, report.max_abs))

local sum = 0.0
for c = 0, columns - 1 do sum = sum + got:get(0, c) end
print(("row 0 sums to %.6f"):format(sum))

local time = cpu:time(softmax, { X = X }, { runs = 20 })
print(("%.1f us, %.2f GB/s"):format(time.median * 1e6, 2 * 4 * rows * columns / time.median / 1e9))
if not ok then error "cpu and interp differ" end
