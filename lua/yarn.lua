-- tg.yarn{dim, base [, factor, original, beta_fast, beta_slow, mscale, mscale_all_dim, attention_factor]}: what the `rope` kernel and the
-- attention after it take, as transformers computes them (_compute_yarn_parameters; the last one DeepseekV3Attention).
--
-- Frequencies base^(-2i/dim) that turn more than beta_fast times within `original` positions stay, those that turn less than
-- beta_slow times are divided by `factor`, and between the two dims (rounded outwards) a ramp leads from one to the other.
local tensor = ...

local fields = { dim = true, base = true, factor = true, original = true, beta_fast = true, beta_slow = true, mscale = true,
                 mscale_all_dim = true, attention_factor = true }

-- A finite number from `least` on; nil where it may be missing.
local function number(given, key, least, fallback)
  local x = given[key]
  if x == nil then x = fallback end
  if type(x) ~= "number" or not (x >= least and x < math.huge) then
    error(("yarn: %s must be a number of at least %g, not %s"):format(key, least, tostring(x)), 3)
  end
  return x
end

local function clamp(x, low, high) return math.max(low, math.min(high, x)) end

-- 0.1 · m · ln(factor) + 1: how much attention sharpens over the longer context
local function mscale(factor, m) return 0.1 * m * math.log(factor) + 1 end

-- How much of the i-th frequency is divided by the factor: 0 … 1.
local function ramp(dim, base, original, fast, slow)
  local function dim_of(turns) return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base)) end
  local low, high = math.max(math.floor(dim_of(fast)), 0), math.min(math.ceil(dim_of(slow)), dim - 1)
  if low == high then high = high + 0.001 end
  return function(i) return clamp((i - low) / (high - low), 0, 1) end
end

return function(given)
  if type(given) ~= "table" then error("yarn: it takes a table, yarn{dim = 64, base = 10000, …}, not a " .. type(given), 2) end
  for key in pairs(given) do
    if not fields[key] then error(("yarn: there is no field '%s'; docs/dsl.md lists them"):format(tostring(key)), 2) end
  end
  local dim, base = math.tointeger(number(given, "dim", 2)), number(given, "base", 1)
  if not dim or dim % 2 ~= 0 or dim > 1 << 20 then error(("yarn: dim must be an even whole number, not %s"):format(given.dim), 2) end
  local inv_freq = tensor("f32", { dim // 2 })
  if given.factor == nil then
    for i = 0, dim // 2 - 1 do inv_freq:set(i, base ^ (-2 * i / dim)) end
    return inv_freq, 1, 1
  end
  if base == 1 then error("yarn: base must be greater than 1", 2) end
  local factor, m, all = number(given, "factor", 1), number(given, "mscale", 0, 0), number(given, "mscale_all_dim", 0, 0)
  local slowed = ramp(dim, base, number(given, "original", 1), number(given, "beta_fast", 1e-6, 32), number(given, "beta_slow", 1e-6, 1))
  for i = 0, dim // 2 - 1 do
    local f, part = base ^ (-2 * i / dim), slowed(i)
    inv_freq:set(i, f / factor * part + f * (1 - part))
  end
  local both = m ~= 0 and all ~= 0
  local attention = both and mscale(factor, m) / mscale(factor, all) or mscale(factor, 1)
  return inv_freq, number(given, "attention_factor", 0, attention), all ~= 0 and mscale(factor, all) ^ 2 or 1
end
