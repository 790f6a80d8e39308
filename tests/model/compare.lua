-- Row by row: rms error / rms of the reference. `tegula run compare.lua GOT.npy WANT.npy MEDIAN MOST` fails where the median row or any row is
-- worse, and says how bad they were.
local tg <const> = require "tegula"
local got, want = tg.read(arg[1]), tg.read(arg[2])
local median, most = tonumber(arg[3]), tonumber(arg[4])
local shape = want.shape
assert(got.dtype == tg.f32 and table.concat(got.shape, "x") == table.concat(shape, "x"), "another dtype or shape")
local errors, width = {}, shape[#shape]
for r = 0, #want // width - 1 do
  local bad, all = 0, 0
  for c = 0, width - 1 do
    local i = #shape == 3 and { r // shape[2], r % shape[2], c } or { r, c }
    local g, w = got:get(table.unpack(i)), want:get(table.unpack(i))
    bad, all = bad + (g - w) ^ 2, all + w ^ 2
  end
  errors[#errors + 1] = (bad / all) ^ 0.5
end
table.sort(errors, function(a, b) return a < b or b ~= b and a == a end) -- a NaN last
local middle, worst = errors[(#errors + 1) // 2], errors[#errors]
print(("median row %.3g, worst %.3g of %d"):format(middle, worst, #errors))
if not (middle <= median and worst <= most) then tg.refuse(("%s: median row %.3g (bound %g), worst %.3g (bound %g)"):format(arg[1], middle, median, worst, most)) end
