-- What test_lua_memory.c runs while memory is refused: a kernel of the script's own, traced, a few arrays and a pipeline.
local tg = require "tegula"
local double = tg.kernel("double", function(k)
  local N = k.dim "N"
  local X, Y = k.input("X", tg.f32, N), k.output("Y", tg.f32, N)
  k.blocks(N:by(8), function(n) Y[{n}] = X[{n}] * 2 end)
end)
assert(double:ir():find "mul")
local t = tg.tensor(tg.f32, 3, 4):uniform(1)
assert(t:copy():compare(t))
local golden = arg[0]:gsub("lua/memory.lua$", "golden/safetensors/sharded")
local c = tg.safetensors(golden)
assert(c:tensor(c.names[1]):get(0, 1) == 1 and c.metadata.format == "pt")
assert(tg.json(golden .. "/model.safetensors.index.json").weight_map)
assert(#tg.place_experts { loads = { 3, 1 }, replicas = 4, devices = 2 }.loads == 2)
local dev = tg.device "interp"
local p = tg.pipeline("p", dev)
local X, Y = p:input("X", tg.f32, 9), p:output("Y", tg.f32, 9)
local h = p:step(double, { X = X })
p:host("copy", { h.Y }, { Y }, function(from, to) for i = 0, 8 do to:set(i, from:get(i)) end end)
p:build()
assert(p:run { X = dev:buffer(tg.tensor(tg.f32, 9):fill(3)) }.Y:get(8) == 6)
