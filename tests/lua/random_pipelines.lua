-- Random pipelines on the device arg[1], arg[2] of them from seed arg[3] on: kernels with workspaces, kernels in place and host steps over
-- inputs, temporaries, parts and views of them, outputs and buffers that two pipelines share, run several times with other inputs, given as
-- tensors and as buffers, the pipeline's own outputs among them. Each run is held against the same steps on lists of whole numbers in Lua:
-- memory that is shared too early, zeroed too late or looked at where it lay before gives other numbers.
local tg <const> = require "tegula"
local i32 <const>, P <const> = tg.i32, 997
local dev = tg.device(arg[1])

-- R = the sums of X's rows, in scratch S that begins with zeros; O = 3X + Y + R + a, partly in scratch T that does not
local mix = tg.kernel("mix", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, Y, a = k.input("X", i32, M, N), k.input("Y", i32, M, N), k.scalar("a", i32)
  local O, R = k.output("O", i32, M, N), k.output("R", i32, M, { optional = true })
  local S, T = k.workspace("S", i32, M, { zero = true }), k.workspace("T", i32, M, N)
  k.blocks(M:by(2), function(m)
    S[{m}] = S[{m}] + N:by(8):fold(tg.zeros(i32, 2, 1), function(s, n) return s + X[{m, n}]:rsum(2) end):reshape(2)
  end)
  k.blocks(M:by(2), N:by(16), function(m, n) T[{m, n}] = X[{m, n}] * 3 + Y[{m, n}] end)
  k.blocks(M:by(2), N:by(16), function(m, n) O[{m, n}] = (T[{m, n}] + S[{m}]:reshape(2, 1) + a) % P end)
  k.blocks(M:by(4), function(m) R[{m}] = S[{m}] % P end)
end)
-- C = 2C + X, in place
local change = tg.kernel("change", function(k)
  local N = k.dim "N"
  local C, X = k.inout("C", i32, N), k.input("X", i32, N)
  k.blocks(N:by(8), function(n) C[{n}] = (C[{n}] * 2 + X[{n}]) % P end)
end)

local state -- of a linear congruential generator (Numerical Recipes' constants)
local function below(n)
  state = (state * 1664525 + 1013904223) % (1 << 32)
  return (state >> 8) % n
end
local function pick(list) return list[below(#list) + 1] end

-- What pipeline and model know of a tensor: `data` is its contents in the model, from 1 on; a part has the root's and an offset.
local function root_of(handle, n, what) return { handle = handle, n = n, offset = 0, what = what, data = {} } end

-- Elements [start, start + n) of x under a shape, as a handle and as the model's part.
local function part_of(x, start, m, n)
  local h = x.handle
  if start ~= 0 or m * n ~= x.n or below(2) == 0 then h = h:view(x.n):slice(start, m * n) end
  return { handle = h:view(m, n), n = m * n, offset = x.offset + start, data = x.data }
end

local function apart(a, b) return a.data ~= b.data or a.n == 0 or b.n == 0 or a.offset + a.n <= b.offset or b.offset + b.n <= a.offset end

local function new_case(seed, shared)
  state = seed
  local case = { p = tg.pipeline("p" .. seed, dev, { threads = below(2) }), roots = {}, inputs = {}, outputs = {}, steps = {}, bound = {} }
  local p = case.p
  local function size() return pick { 0, 1, 2, 3, 7, 16, 33 }, pick { 1, 2, 5, 16, 37 } end
  local function add(root)
    case.roots[#case.roots + 1] = root
    return root
  end
  for i = 1, 1 + below(3) do
    local m, n = size()
    case.inputs[i] = add(root_of(p:input("X" .. i, i32, m, n), m * n, "input"))
  end
  for i, s in ipairs(shared) do
    if below(2) == 0 then
      case.bound[#case.bound + 1] = s
      add { handle = p:bind("B" .. i, s.buffer), n = s.n, offset = 0, what = "bound", data = s.data }
    end
  end
  local a = p:scalar "a"

  -- a readable part of m x n that lies apart from the ones that are written, or nil
  local function readable(m, n, ...)
    for _ = 1, 8 do
      local x = pick(case.roots)
      if x.n >= m * n then
        local part, free = part_of(x, below(x.n - m * n + 1), m, n), true
        for _, w in ipairs { ... } do free = free and apart(part, w) end
        if free then return part end
      end
    end
  end
  local function writable()
    local x = pick(case.roots)
    return x.what ~= "input" and x.n > 0 and x or nil
  end

  local function mix_step(into, m, n)
    local x, y = readable(m, n, into), readable(m, n, into)
    if not x or not y then return end
    local given, number, sums = below(2) == 0, below(100), below(2) == 0
    local h = p:step(mix, { X = x.handle, Y = y.handle, a = given and a or number, O = into and into.handle, R = sums or nil })
    local o = into or add(root_of(h.O, m * n, "temporary"))
    local r = sums and add(root_of(h.R, m, "temporary"))
    case.steps[#case.steps + 1] = function(scalar)
      for i = 0, m - 1 do
        local sum = 0
        for j = i * n + 1, i * n + n do sum = sum + x.data[x.offset + j] end
        for j = i * n + 1, i * n + n do
          o.data[o.offset + j] = (3 * x.data[x.offset + j] + y.data[y.offset + j] + sum + (given and scalar or number)) % P
        end
        if r then r.data[i + 1] = sum % P end
      end
    end
    return true
  end

  local function change_step()
    local c = writable()
    if not c then return end
    local n = 1 + below(c.n)
    c = part_of(c, below(c.n - n + 1), 1, n)
    local x = readable(1, n, c)
    if not x then return end
    p:step(change, { C = c.handle:view(n), X = x.handle:view(n) })
    case.steps[#case.steps + 1] = function()
      for i = 1, n do c.data[c.offset + i] = (2 * c.data[c.offset + i] + x.data[x.offset + i]) % P end
    end
  end

  -- y = x + 1, and, where z is given, z = z + x in place
  local function host_step(into, m, n)
    local x = readable(m, n, into)
    if not x then return end
    local z = below(2) == 0 and writable()
    z = z and z.n >= m * n and part_of(z, below(z.n - m * n + 1), m, n)
    if z and into and not apart(z, into) then z = nil end
    local y = into or (function()
      local h = p:temp("T" .. #case.steps, i32, m, n)
      return root_of(h, m * n, "temporary")
    end)()
    p:host("host " .. #case.steps, { x.handle, z and z.handle or nil }, { y.handle, z and z.handle or nil }, function(...)
      local t, s, u = ...
      if not z then s, u = nil, s end
      for i = 0, m - 1 do
        for j = 0, n - 1 do
          u:set(i, j, (t:get(i, j) + 1) % P)
          if s then s:set(i, j, (s:get(i, j) + t:get(i, j)) % P) end
        end
      end
    end)
    if not into then add(y) end
    case.steps[#case.steps + 1] = function()
      local sums = {}
      for i = 1, z and m * n or 0 do sums[i] = (z.data[z.offset + i] + x.data[x.offset + i]) % P end
      for i = 1, m * n do y.data[y.offset + i] = (x.data[x.offset + i] + 1) % P end
      for i = 1, z and m * n or 0 do z.data[z.offset + i] = sums[i] end
    end
    return true
  end

  -- a tensor of two parts that different steps write, other steps between them; what nobody can fill is not made
  local function in_parts(what)
    local rows, n = 2 + below(4), pick { 1, 5, 8, 37 }
    local first = 1 + below(rows - 1)
    if not readable(rows, n) then return end
    local h = what == "output" and p:output("Y" .. #case.steps, i32, rows, n) or p:temp("T" .. #case.steps, i32, rows, n)
    local whole = root_of(h, rows * n, what)
    local function fill(start, count)
      local into = part_of(whole, start * n, count, n)
      repeat until (below(3) == 0 and host_step or mix_step)(into, count, n)
    end
    fill(0, first)
    if below(2) == 0 then change_step() end
    mix_step(nil, size())
    fill(first, rows - first)
    add(whole)
    if what == "output" then case.outputs[#case.outputs + 1] = { name = h.name, root = whole, rows = rows, n = n } end
  end

  for _ = 1, 3 + below(10) do
    local what = below(8)
    if what < 3 then mix_step(nil, size())
    elseif what < 5 then change_step()
    elseif what < 6 then host_step(nil, size())
    else in_parts(what == 6 and "temporary" or "output") end
  end
  in_parts "output"
  if #case.steps == 0 then return nil end
  p:build()
  return case
end

local function to_tensor(list, m, n)
  local t = tg.tensor(i32, m, n)
  for i = 1, m * n do t:set((i - 1) // n, (i - 1) % n, list[i]) end
  return t
end

local function check(case, name, t, data)
  local m, n = table.unpack(t.shape)
  for i = 1, m * n do
    local got = t:get((i - 1) // n, (i - 1) % n)
    if got ~= data[i] then
      error(("%s: %s[%d, %d] is %s instead of %s"):format(tostring(case.p), name, (i - 1) // n, (i - 1) % n, got, data[i]), 0)
    end
  end
end

local function run(case, left)
  local scalar = below(500)
  local given = { a = scalar }
  for i, root in ipairs(case.inputs) do
    local name, m, n = "X" .. i, table.unpack(root.handle.shape)
    local way, from = below(5), left and pick(left)
    for i = 1, m * n do root.data[i] = below(P) end
    if way == 0 then
      given[name] = dev:buffer(to_tensor(root.data, m, n))
    elseif way == 1 then -- begins anywhere
      given[name] = dev:buffer(i32, m * n + 3):slice(3, m * n):view(m, n):write(to_tensor(root.data, m, n))
    elseif way < 4 and from and #from >= m * n then -- what the run before left on the device, where this one writes
      given[name] = from:view(#from):slice(0, m * n):view(m, n)
      local t = given[name]:read()
      for i = 1, m * n do root.data[i] = t:get((i - 1) // n, (i - 1) % n) end
    else
      given[name] = to_tensor(root.data, m, n)
    end
  end
  for _, root in ipairs(case.roots) do
    if root.what == "temporary" or root.what == "output" then
      for i = 1, root.n do root.data[i] = nil end
    end
  end
  for _, f in ipairs(case.steps) do f(scalar) end
  local fetch = below(3) == 0
  local got = case.p:run(given, { fetch = fetch })
  left = {}
  for _, y in ipairs(case.outputs) do
    check(case, y.name, fetch and got[y.name] or got[y.name]:read(), y.root.data)
    if not fetch then left[#left + 1] = got[y.name] end
  end
  for i, s in ipairs(case.bound) do check(case, "shared " .. i, s.buffer:view(1, s.n):read(), s.data) end
  return #left > 0 and left or nil
end

local seed = math.tointeger(arg[3])
for i = 0, math.tointeger(arg[2]) - 1 do
  local shared = {}
  for s, n in ipairs { 40, 131 } do
    shared[s] = { buffer = dev:buffer(i32, n), n = n, data = {} }
    for j = 1, n do shared[s].data[j] = 0 end
  end
  local cases = {}
  for c = 1, 2 do cases[#cases + 1] = new_case((seed + i) * 2 + c, shared) end
  local left = {}
  for r = 1, #cases > 0 and 5 or 0 do
    local c = r % #cases + 1
    local ok, message = pcall(run, cases[c], left[c])
    if not ok then error(("seed %d, run %d: %s"):format(seed + i, r, message), 0) end
    left[c] = message
  end
end
