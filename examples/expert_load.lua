-- How loaded are a MoE layer's experts, and where should they live? `tegula run examples/expert_load.lua [ids.npy] [experts] [replicas] [groups]
-- [nodes] [devices]`: from the expert numbers that a router chose (any shape of integers), or from a made-up skewed router. The defaults are a
-- DeepSeek-V3 layer on 4 nodes of 8 devices with 32 spare slots.
local tg <const> = require "tegula"

local from = 1
local file = arg[1] and not arg[1]:match "^%d+$" and arg[1]
if file then from = 2 end
local function number(i, fallback)
  local text = arg[from + i]
  return text and (math.tointeger(tonumber(text)) or tg.refuse(("'%s' is not a whole number"):format(text))) or fallback
end
local experts, replicas, groups, nodes, devices = number(0, 256), number(1, 288), number(2, 8), number(3, 4), number(4, 32)

local function place(options)
  local ok, placed = pcall(tg.place_experts, options)
  return ok and placed or tg.refuse((tostring(placed):gsub("^[^:]+:%d+: ", "")))
end

-- ids[token, choice], as moe_gate gives them: the 8 best of scores that lean towards some experts
local function made_up(tokens, choices)
  local popular, noise = tg.tensor(tg.f32, experts):normal(1, 0.6), tg.tensor(tg.f32, tokens, experts):normal(2)
  local ids = tg.tensor(tg.i32, tokens, choices)
  for t = 0, tokens - 1 do
    local score, order = {}, {}
    for e = 1, experts do score[e], order[e] = popular:get(e - 1) + noise:get(t, e - 1), e end
    table.sort(order, function(a, b) return score[a] > score[b] end)
    for c = 1, choices do ids:set(t, c - 1, order[c] - 1) end
  end
  return ids
end

-- Tokens of each expert; -1 marks a dropped choice.
local function count(ids)
  local loads, dropped = {}, 0
  for e = 1, experts do loads[e] = 0 end
  local flat = 1
  for _, extent in ipairs(ids.shape) do flat = flat * extent end
  local index = {}
  for i = 0, flat - 1 do
    local rest = i
    for axis = #ids.shape, 1, -1 do index[axis], rest = rest % ids.shape[axis], rest // ids.shape[axis] end
    local e = ids:get(table.unpack(index))
    if e == -1 then dropped = dropped + 1
    elseif math.type(e) ~= "integer" or e < 0 or e >= experts then tg.refuse(("%s holds the expert %s; there are 0 to %d"):format(file, e, experts - 1))
    else loads[e + 1] = loads[e + 1] + 1 end
  end
  return loads, flat, dropped
end

local function stats(loads)
  local sum, top, at, idle = 0, 0, 1, 0
  for i, x in ipairs(loads) do
    sum = sum + x
    if x > top then top, at = x, i end
    if x == 0 then idle = idle + 1 end
  end
  local mean = sum / #loads
  return { mean = mean, top = top, at = at - 1, idle = idle, imbalance = mean > 0 and top / mean or 1 }
end

local loads, choices, dropped = count(file and tg.read(file) or made_up(512, math.min(8, experts)))
local s = stats(loads)
print(("%s choices of %d experts, %d dropped: %.1f each on average, most %d (expert %d), %d idle, most / average %.2f"):format(
  choices, experts, dropped, s.mean, s.top, s.at, s.idle, s.imbalance))

print "load of an expert against the average, and how many experts have so much"
local bars = {}
for _, x in ipairs(loads) do
  local bin = s.mean > 0 and math.min(math.floor(x / s.mean * 4), 12) or 0
  bars[bin] = (bars[bin] or 0) + 1
end
for bin = 0, 12 do
  if bars[bin] then print(("  %4.2f%s %4d %s"):format(bin / 4, bin == 12 and "+" or " ", bars[bin], ("#"):rep(math.ceil(60 * bars[bin] / experts)))) end
end

print(("over %d devices on %d nodes"):format(devices, nodes))
print(("  %-34s %10s %15s"):format("placement", "busiest", "most / average"))
local function report(name, device_loads)
  local d = stats(device_loads)
  print(("  %-34s %10.1f %15.3f"):format(name, d.top, d.imbalance))
end
if experts % devices == 0 then
  local plain = {}
  for e, x in ipairs(loads) do
    local d = (e - 1) // (experts // devices) + 1
    plain[d] = (plain[d] or 0) + x
  end
  report("in order, one of each", plain)
  report("packed, one of each", place { loads = loads, replicas = experts, devices = devices }.loads)
end
report(("global, %d replicas"):format(replicas), place { loads = loads, replicas = replicas, devices = devices }.loads)
local placed = place { loads = loads, replicas = replicas, groups = groups, nodes = nodes, devices = devices }
if placed.policy == "hierarchical" then report(("hierarchical, %d groups, %d replicas"):format(groups, replicas), placed.loads) end

local order = {}
for e = 1, experts do order[e] = e end
table.sort(order, function(a, b) return loads[a] > loads[b] or (loads[a] == loads[b] and a < b) end)
print "the busiest experts and the slots of their replicas"
for i = 1, math.min(5, experts) do
  local e = order[i]
  print(("  expert %d: %d tokens, slots %s"):format(e - 1, loads[e], table.concat(placed.places[e], " ")))
end
