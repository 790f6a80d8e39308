-- tg.yarn against frequencies computed elsewhere, and what it refuses. arg[1]: the file of them.
local tg = require "tegula"
local failures = 0
local function check(ok, ...)
  if ok then return end
  failures = failures + 1
  io.stderr:write("failed: ", string.format(...), "\n")
end

for n, case in ipairs(dofile(arg[1])) do
  local inv_freq, scale, softmax = tg.yarn(case.given)
  check(inv_freq.dtype == "f32" and #inv_freq.shape == 1 and inv_freq.shape[1] == #case.inv_freq, "case %d: the tensor", n)
  for i, want in ipairs(case.inv_freq) do
    local got = inv_freq:get(i - 1)
    check(math.abs(got - want) <= 2 ^ -23 * want, "case %d: inv_freq[%d] is %.9g, not %.9g", n, i - 1, got, want)
  end
  check(math.abs(scale - case.scale) <= 1e-14, "case %d: scale %.17g, not %.17g", n, scale, case.scale)
  check(math.abs(softmax - case.softmax) <= 1e-14, "case %d: softmax factor %.17g, not %.17g", n, softmax, case.softmax)
end
local _, scale = tg.yarn { dim = 4, base = 100, factor = 2, original = 8, attention_factor = 1.25 }
check(scale == 1.25, "attention_factor is %g", scale)

local function refused(given, text)
  local ok, message = pcall(tg.yarn, given)
  check(not ok and message:find(text, 1, true), "%s: %s", text, tostring(message))
end
refused(7, "it takes a table")
refused({ dim = 64, base = 10000, factr = 2 }, "no field 'factr'")
refused({ base = 10000 }, "dim must be a number")
refused({ dim = 63, base = 10000 }, "dim must be an even whole number, not 63")
refused({ dim = 2.5, base = 10000 }, "dim must be an even whole number, not 2.5")
refused({ dim = 1 << 62, base = 10000 }, "dim must be an even whole number")
refused({ dim = 64 }, "base must be a number of at least 1, not nil")
refused({ dim = 64, base = 0 / 0 }, "base must be a number")
refused({ dim = 64, base = 1, factor = 2, original = 8 }, "base must be greater than 1")
refused({ dim = 64, base = 10, factor = 0.5, original = 8 }, "factor must be a number of at least 1, not 0.5")
refused({ dim = 64, base = 10, factor = 2 }, "original must be a number of at least 1, not nil")
refused({ dim = 64, base = 10, factor = 2, original = 8, beta_slow = 0 }, "beta_slow must be a number of at least")
refused({ dim = 64, base = 10, factor = 2, original = 8, mscale = "1" }, "mscale must be a number")
if failures > 0 then error(failures .. " failed") end
