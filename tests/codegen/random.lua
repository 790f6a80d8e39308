-- A kernel that differs with its option `seed`: elementwise ops, shapes, reductions, products, folds, conditions, gathers and scatters in
-- random order. Every float that is computed is an integer of at most 2^12 or Inf or NaN, so that each device has to give the same bits.
local tg <const> = require "tegula"

return tg.kernel("random", function(k)
  local M, N, P = k.dim "M", k.dim "N", k.dim "P"
  local state = k.option("seed", 1) * 2654435761 % 2147483647 + 1
  local length = k.option("length", 24)
  local X, Y = k.input("X", tg.f32, M, N), k.input("Y", tg.bf16, M, N)
  local Z, B, E = k.input("Z", tg.i32, M, N), k.input("B", tg.i8, M, N), k.input("E", tg.e4m3, M, N)
  local V = k.input("V", tg.i32, P)

  local function append(list, more)
    for _, x in ipairs(more) do list[#list + 1] = x end
    return list
  end
  local function below(n) -- 0 … n-1
    state = state * 48271 % 2147483647
    return (state >> 4) % n
  end
  local function pick(list) return list[below(#list) + 1] end
  local function chance(percent) return below(100) < percent end

  local extents = { 1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 32, 33, 48 }
  local bm, bn = pick(extents), pick(extents)
  local dtypes = { "f32", "f32", "f32", "i32", "i32", "i64", "i8", "i1", "bf16", "f16", "f64", "e4m3", "e5m2" }
  local arithmetic = { f32 = true, f64 = true, bf16 = true, f16 = true, i32 = true, i64 = true, i8 = true }
  local floats = { f32 = true, f64 = true, bf16 = true, f16 = true, e4m3 = true, e5m2 = true }

  local function elements(t)
    local n = 1
    for _, d in ipairs(t.shape) do n = n * d end
    return n
  end
  local function to(t, dtype)
    if t.dtype == dtype then return t end
    if t.dtype == "i1" and floats[dtype] then t = t:to(tg.i32) end
    if not floats[t.dtype] and t.dtype ~= "i8" and t.dtype ~= "i1" and floats[dtype] then t = t:min(200):max(-200) end -- exact in sums
    if dtype == "i1" then
      if not arithmetic[t.dtype] then t = t:to(tg.f32) end
      return t:gt(1)
    end
    if dtype == "e4m3" then
      if not floats[t.dtype] then t = t:to(tg.f32) end
      return t:to(tg.e4m3, pick { "sat", "ieee" })
    end
    return t:to(tg[dtype])
  end
  -- Floats small and integer again, zeros positive, so that what follows stays exact.
  local function tame(t)
    if not floats[t.dtype] or not arithmetic[t.dtype] then return t end
    local most = (t.dtype == "bf16" or t.dtype == "f16") and 8 or 32
    if chance(70) then t = t:min(most):max(-most) else t = tg.where(t:abs():gt(most), pick { 3, 0 / 0, 1 / 0 }, t) end
    return t:rint() + 0.0
  end

  -- ---- one op on what there is
  local grow

  local function like(pool, t) -- another value that broadcasts against t, of its dtype
    for _ = 1, 6 do
      local u = pick(pool)
      local ok = #u.shape <= #t.shape
      for i = 1, #u.shape do
        local d = t.shape[#t.shape - #u.shape + i]
        ok = ok and (u.shape[i] == d or u.shape[i] == 1)
      end
      if ok then return to(u, t.dtype) end
    end
    if t.dtype == "i1" then return tg.full(tg.i1, below(2), 1) end
    return to(tg.full(tg.i8, below(7) - 3, 1), t.dtype)
  end

  local function binary(pool)
    local a = pick(pool)
    if not arithmetic[a.dtype] and a.dtype ~= "i1" then a = tame(to(a, "f32")) end
    local b = like(pool, a)
    if chance(30) then a, b = b, a end
    if a.dtype == "i1" then return a[pick { "band", "bor", "xor", "eq", "ne" }](a, b) end
    local names = floats[a.dtype] and { "add", "sub", "mul", "min", "max", "minnum", "maxnum", "div", "lt", "le", "eq", "ne", "ge", "gt" }
      or { "add", "sub", "mul", "min", "max", "div", "rem", "band", "bor", "xor", "shl", "shr", "lt", "le", "eq", "ne", "ge", "gt" }
    local r = a[pick(names)](a, b)
    return tame(r)
  end

  local function unary(pool)
    local a = pick(pool)
    if a.dtype == "i1" then return a:bnot() end
    if not arithmetic[a.dtype] then a = to(a, "f32") end
    if not floats[a.dtype] then return a[pick { "neg", "abs", "bnot" }](a) end
    local name = pick { "neg", "abs", "floor", "ceil", "trunc", "rint", "isnan", "sqrt" }
    local r = a[name](a)
    return name == "isnan" and r or tame(r)
  end

  local function convert(pool)
    local a = pick(pool)
    local dtype = pick(dtypes)
    local r = to(a, dtype)
    return r
  end

  local function bits(pool)
    local a = pick(pool)
    if a.dtype == "i8" then return a:bitcast(pick { tg.e4m3, tg.e5m2 }) end
    if a.dtype == "f32" then return (tg.where(a:isnan(), 1, a) + 0.0):bitcast(tg.i32) end
    if a.dtype == "i32" then return tame(a:bitcast(tg.f32)) end
    return tame(to(a, "f32"))
  end

  local function choose(pool)
    local a = pick(pool)
    if not arithmetic[a.dtype] then a = tame(to(a, "f32")) end
    local c = to(pick(pool), "i1")
    local ok = #c.shape <= #a.shape
    for i = 1, #c.shape do ok = ok and (c.shape[i] == a.shape[#a.shape - #c.shape + i] or c.shape[i] == 1) end
    if not ok then c = a:gt(0) end
    return tg.where(c, a, like(pool, a))
  end

  local function reshape(pool)
    local a = pick(pool)
    local n, shape = elements(a), {}
    for _ = 1, below(4) do
      local divisors = {}
      for d = 1, math.min(n, 64) do if n % d == 0 then divisors[#divisors + 1] = d end end
      local d = pick(divisors)
      shape[#shape + 1], n = d, n // d
    end
    table.insert(shape, below(#shape + 1) + 1, n)
    return a:reshape(shape)
  end

  local function transpose(pool)
    local a = pick(pool)
    local left, perm = {}, {}
    for i = 1, #a.shape do left[i] = i end
    while #left > 0 do perm[#perm + 1] = table.remove(left, below(#left) + 1) end
    return #perm > 0 and a:transpose(perm) or a
  end

  local function widen(pool)
    local a = pick(pool)
    if elements(a) > 512 then return a end
    if #a.shape > 0 and chance(50) then return a:spread(below(#a.shape) + 1, pick { 2, 3, 4 }) end
    local shape = append({}, a.shape)
    for i = 1, #shape do if shape[i] == 1 and chance(60) then shape[i] = pick(extents) end end
    if #shape < 4 and chance(30) then table.insert(shape, 1, pick { 1, 2, 3 }) end
    return a:broadcast(shape)
  end

  local function halves(pool)
    local a = pick(pool)
    if #a.shape > 0 and a.shape[#a.shape] == 2 then
      local x, y = a:split()
      pool[#pool + 1] = y
      return x
    end
    if #a.shape == 4 then return a end
    local b = like(pool, a)
    if #a.shape == 0 then b = b:reshape() else b = b:broadcast(a.shape) end
    return a:join(b)
  end

  local function reduce(pool)
    local a = pick(pool)
    if #a.shape == 0 then return a end
    local axis = below(#a.shape) + 1
    if a.dtype == "i1" then return a[pick { "rand", "ror", "rxor" }](a, axis) end
    if not arithmetic[a.dtype] then a = tame(to(a, "f32")) end
    if not floats[a.dtype] then return a[pick { "rsum", "rmin", "rmax", "rand", "ror", "rxor", "rprod" }](a, axis) end
    if a.dtype == "bf16" or a.dtype == "f16" then return tame(a[pick { "rmin", "rmax" }](a, axis)) end
    return tame(a[pick { "rsum", "rsum", "rmin", "rmax", "rminnum", "rmaxnum" }](a, axis))
  end

  local function scan(pool)
    local a = pick(pool)
    if #a.shape == 0 then return a end
    local kinds = { "and", "or", "xor" }
    if a.dtype ~= "i1" then
      if not arithmetic[a.dtype] then a = tame(to(a, "f32")) end
      kinds = floats[a.dtype] and { "max", "min", "maxnum", "minnum", "sum" } or { "sum", "prod", "min", "max", "and", "or", "xor" }
      if a.dtype == "bf16" or a.dtype == "f16" then kinds[#kinds] = nil end -- sums are rounded where they are stored
    end
    return tame(a:scan(below(#a.shape) + 1, { kind = pick(kinds), exclusive = chance(50), reverse = chance(50) }))
  end

  local function order(pool)
    local a = pick(pool)
    if #a.shape == 0 then return a end
    if not arithmetic[a.dtype] then a = to(a, a.dtype == "i1" and "i32" or "f32") end
    local axis = below(#a.shape) + 1
    local n = a.shape[axis]
    if n & (n - 1) ~= 0 or chance(30) then return a:argmax(axis) end
    local b = like(pool, a)
    local keys, carried = a:sort(axis, b:broadcast(a.shape), { descending = chance(50) })
    pool[#pool + 1] = tame(keys)
    return carried
  end

  local function product(pool)
    local a, b = pick(pool), pick(pool)
    local function matrix(t)
      t = tame(to(t, "f32"))
      local n = elements(t)
      local d = 1
      for x = 2, math.min(n, 32) do if n % x == 0 and chance(60) then d = x end end
      return t:reshape(n // d, d)
    end
    a, b = matrix(a), matrix(b)
    if a.shape[2] ~= b.shape[1] then b = a.T end
    if a.shape[1] * b.shape[2] > 2048 then return tame(a:rsum(1)) end
    if chance(40) then a, b = to(a, "bf16"), to(b, "bf16") end
    return tame(tg.dot(a, b, chance(50) and {} or { acc = tg.full(tg.f32, 2, a.shape[1], b.shape[2]) }))
  end

  local m, n -- the block's ranges
  local function load()
    local which = below(5)
    local T = ({ X, Y, Z, B, E })[which + 1]
    local fill = chance(30) and which ~= 4 and below(5) - 2 or nil
    local way = below(7)
    local r
    if way == 0 then r = T[{ tg.range(m:first() + (below(9) - 4), pick(extents), M), n, fill = fill }]
    elseif way == 1 then r = T[{ m, below(11), fill = fill }]
    elseif way == 2 then r = T:permute(2, 1)[{ n, m, fill = fill }]
    elseif way == 3 then r = T[{ V[{ tg.range(n:first(), pick(extents), P) }], n, fill = fill }]
    elseif way == 4 then r = T[{ m, V[{ tg.range(m:first(), pick(extents), P) }] + 1, fill = fill }]
    else r = T[{ m, n, fill = fill }] end
    if which == 4 and chance(80) then return tame(to(r, "f32")) end
    return tame(r)
  end

  local function carried(pool)
    local list = {}
    for i = 1, 1 + below(3) do
      list[i] = pick(pool)
      if elements(list[i]) > 1024 then list[i] = tg.zeros(tg.f32, pick(extents), pick { 1, 2, 3 }) end
    end
    return list
  end
  -- A value of the type of t, made from the pool.
  local function shaped(pool, t)
    local r = like(pool, t)
    if #t.shape == 0 then return r:reshape() end
    return r:broadcast(t.shape)
  end

  local function fold(pool, depth)
    local inits = carried(pool)
    local function body(...)
      local args = { ... }
      local r
      if #args > #inits then r = table.remove(args) end
      local inside = append({}, pool)
      for _ = 1, 2 do append(inside, args) end
      if r then
        inside[#inside + 1] = r:first()
        local part = ({ X, Z, Y })[below(3) + 1]
        inside[#inside + 1] = tame(part[{ m, r }])
        if chance(30) then inside[#inside + 1] = tame(part[{ r, n }]) end
      end
      grow(inside, 2 + below(6), depth + 1)
      local out = {}
      for i = 1, #args do out[i] = chance(15) and pick(args) or shaped(inside, args[i]) end
      for i = 1, #args do
        local fits = out[i].dtype == inits[i].dtype and #out[i].shape == #inits[i].shape
        for j = 1, #inits[i].shape do fits = fits and out[i].shape[j] == inits[i].shape[j] end
        if not fits then out[i] = args[i] end
      end
      return table.unpack(out)
    end
    local way = below(3)
    local results
    if way == 0 then
      local list = append({}, inits)
      list[#list + 1] = body
      results = { N:by(pick(extents)):fold(table.unpack(list)) }
    elseif way == 1 then
      local list = append({}, inits)
      list[#list + 1] = body
      local start = below(3) * 3
      results = { tg.range(start, start + below(9) + 1):by(pick { 1, 2, 3, 5 }):fold(table.unpack(list)) }
    else
      local c = tg.full(tg.i32, below(3), 1):reshape()
      local list = { c, table.unpack(inits) }
      list[#list + 1] = function(i) return i:lt(3) end
      list[#list + 1] = function(i, ...) return i + 1, body(...) end
      results = { tg.loop(table.unpack(list)) }
    end
    append(pool, results)
    return results[1]
  end

  local function when(pool, depth)
    local c = to(pick(pool), "i1")
    for axis = 1, #c.shape do c = c:ror(axis) end
    c = c:reshape()
    local types
    local function side()
      local inside = append({}, pool)
      grow(inside, 2 + below(4), depth + 1)
      if not types then
        types = { inside[#inside], pick(inside) }
        return table.unpack(types)
      end
      return shaped(inside, types[1]), shaped(inside, types[2])
    end
    local a, b = tg.when(c, side, side)
    pool[#pool + 1] = b
    return a
  end

  local ops = { binary, binary, binary, unary, convert, convert, bits, choose, reshape, transpose, widen, halves, reduce, reduce, scan, order, product,
    load, load, fold, when }
  function grow(pool, count, depth)
    for _ = 1, count do
      local op = pick(ops)
      if depth >= 2 and (op == fold or op == when) then op = binary end
      local t = op(pool, depth)
      if elements(t) <= 4096 then pool[#pool + 1] = t end
    end
  end

  -- ---- the launch: some values to outputs of their own, whole; some into Fb by the block's ranges
  local F, G = k.output("F", tg.f32, M, N), k.output("G", tg.i32, M, N)
  local H = k.output("H", tg.f32, M:cdiv(bm), N:cdiv(bn), 4, 4096)
  local S = k.output("S", tg.i32, M:cdiv(bm), 4096)
  k.blocks(M:by(bm), N:by(bn), function(rm, rn) -- what is not written below
    for i = 0, 3 do H[{ rm // bm, rn // bn, i, tg.range(0, 4096) }] = tg.zeros(tg.f32, 1, 1, 4096) end
    F[{ rm, rn }], G[{ rm, rn }] = tg.zeros(tg.f32, bm, bn), tg.zeros(tg.i32, bm, bn)
  end)
  k.blocks(M:by(bm), N:by(bn), function(rm, rn)
    m, n = rm, rn
    local pool = {}
    for i = 1, 3 do pool[i] = load() end
    pool[4] = rn:index() pool[5] = rm:first()
    grow(pool, length, 0)
    local function code(t) -- NaN as one number
      t = to(t, "f32")
      return tg.where(t:isnan(), 12345, t) + 0.0
    end
    for i = 1, 4 do
      local t = code(pool[#pool - below(math.min(#pool, 8))])
      local count = elements(t)
      H[{ m // bm, n // bn, i - 1, tg.range(0, count) }] = t:reshape(1, 1, count)
    end
    local whole = tg.zeros(tg.f32, bm, bn)
    F[{ m, n }] = code(like(pool, whole))
    G:store({ m, n }, shaped(pool, tg.zeros(tg.i32, bm, bn)), shaped(pool, tg.zeros(tg.i32, bm, bn)):gt(-1))
  end)
  k.blocks(M:by(bm), function(rm)
    m, n = rm, tg.range(0, bn, N)
    S[{ rm // bm, tg.range(0, 4096) }] = tg.zeros(tg.i32, 1, 4096)
    local pool = { load(), rm:index() }
    grow(pool, length // 2, 0)
    pool[#pool + 1] = tg.range(0, 3):by(1):fold(to(pool[2], "f32"), function(x) -- 3^60 paths from the result to x
      for _ = 1, 60 do x = (x + x * x):min(3) end
      return x
    end)
    local t = to(pool[#pool - below(2)], "i32")
    local count = elements(t)
    S[{ m // bm, (tg.iota(tg.i32, count) * 5 + below(7)) }] = t:reshape(1, count)
    local f = F[{ m, n }] -- of the launch before, and of this block's own stores
    F[{ m, n }] = tg.where(f:gt(3), f, 7)
    F[{ m, n }] = tame(F[{ m, n }]) + 1
  end)
end)
