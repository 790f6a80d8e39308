-- The DSL's surface on the interpreter: every form of docs/dsl.md once, against values written by hand. Views also by their dims and
-- strides.
local tg = require "tegula"
local f32, i32, i64, i8, i1, bf16, e4m3 = tg.f32, tg.i32, tg.i64, tg.i8, tg.i1, tg.bf16, tg.e4m3
local device = tg.device "interp"
local failures, checks = 0, 0

local function check(ok, ...)
  checks = checks + 1
  if ok then return end
  failures = failures + 1
  io.stderr:write("failed: ", string.format(...), "\n")
end

local function values(t)
  local list, flat = {}, {}
  local shape = t.shape
  local function walk(axis)
    if axis > #shape then
      list[#list + 1] = t:get(table.unpack(flat))
      return
    end
    for i = 0, shape[axis] - 1 do
      flat[axis] = i
      walk(axis + 1)
    end
  end
  walk(1)
  return list
end

local function same(name, t, want)
  local got = values(t)
  local text = {}
  for i, x in ipairs(got) do text[i] = ("%.6g"):format(x) end
  local g, w = table.concat(text, " "), {}
  for i, x in ipairs(want) do w[i] = ("%.6g"):format(x) end
  w = table.concat(w, " ")
  check(g == w, "%s: %s, not %s", name, g, w)
end

-- A kernel with one output C of `shape`, its body given the view of C and the inputs' views.
local function run(name, dtype, shape, inputs, body, options)
  local names = {}
  for key in pairs(inputs) do names[#names + 1] = key end
  table.sort(names)
  local kernel = tg.kernel(name, function(k)
    local views = {}
    for _, key in ipairs(names) do views[key] = k.input(key, inputs[key].dtype, table.unpack(inputs[key].shape)) end
    local C = k.output("C", dtype, table.unpack(shape))
    k.blocks(1, function() body(C, views) end)
  end)
  return device:run(kernel, inputs, options).C, kernel
end

local function R(n) return tg.range(0, n) end
local function vector(dtype, list) return tg.tensor(dtype, { #list }, list) end

-- ---- operators and methods

local function apply(name, dtype, out, list, f, want)
  same(name, (run("op", out, { #list }, { X = vector(dtype, list) }, function(C, v) C[{ R(#list) }] = f(v.X[{ R(#list) }]) end)), want)
end

apply("arithmetic", f32, f32, { 1, 2, 3 }, function(x) return 10 - x * 2 / 4 + -x end, { 8.5, 7, 5.5 })
apply("// on floats", f32, f32, { 7, -7 }, function(x) return x // 2 end, { 3, -4 })
apply("integers", i32, i32, { 7, -7 }, function(x) return x // 2 * 100 + x % 5 end, { 302, -397 })
apply("bits", i32, i32, { 12, 5 }, function(x) return (x & 6) | (x << 4) ~ ~x >> 1 end,
  { (12 & 6) | ((12 << 4) ~ (-13 >> 1 | ~(-1 >> 1))), (5 & 6) | ((5 << 4) ~ -3) })
apply("compare", f32, i1, { 1, 2, 3 }, function(x) return x:lt(3) & x:ge(2) | x:eq(1) end, { 1, 1, 0 })
apply("not", f32, i1, { 1, 2 }, function(x) return ~x:ne(1) end, { 1, 0 })
apply("where", f32, f32, { -1, 2 }, function(x) return tg.where(x:gt(0), x, 0) end, { 0, 2 })
apply("unary", f32, f32, { 4, 16 }, function(x) return x:sqrt() + x:rsqrt() + (x - 20):abs() + x:log2() + x:exp2():log2() end,
  { 24.5, 28.25 })
apply("min and max", f32, f32, { 0 / 0, 2 }, function(x) return x:maxnum(1):min(5) end, { 1, 2 })
apply("fma", f32, f32, { 2, 3 }, function(x) return x:fma(x, 1) end, { 5, 10 })
apply("cast", f32, i32, { 1.75, -1e20 }, function(x) return x:to(i32) end, { 1, -2147483648 })
apply("saturate", f32, e4m3, { 500, 17.2 }, function(x) return x:to(e4m3, "sat") end, { 448, 18 })
apply("to e5m2", f32, tg.e5m2, { 61439, 61440, -1e9, 1.1 }, function(x) return x:to(tg.e5m2) end, { 57344, 1 / 0, -1 / 0, 1 })
apply("to e8m0", f32, tg.e8m0, { 3, 2.9, 1e-3 }, function(x) return x:to(tg.e8m0, "ieee") end, { 4, 2, 2 ^ -10 })
apply("bitcast", f32, i32, { 1, -2 }, function(x) return x:bitcast(i32) end, { 0x3f800000, -0x40000000 })
apply("widen", i32, i64, { 1, 2 }, function(x) return x:to(i64) + x end, { 2, 4 })
apply("isnan", f32, i1, { 0 / 0, 2 }, function(x) return x:isnan() end, { 1, 0 })

-- ---- shapes

local six = tg.tensor(f32, { 2, 3 }, { 1, 2, 3, 4, 5, 6 })
local function shaped(name, shape, f, want) same(name, (run("shape", f32, shape, { X = six }, function(C, v)
  local index = {}
  for i, n in ipairs(shape) do index[i] = R(n) end
  C[index] = f(v.X[{ R(2), R(3) }])
end)), want) end
shaped("T", { 3, 2 }, function(x) return x.T end, { 1, 4, 2, 5, 3, 6 })
shaped("reshape", { 3, 2 }, function(x) return x:reshape(3, 2) end, { 1, 2, 3, 4, 5, 6 })
shaped("transpose", { 3, 1, 2 }, function(x) return x:reshape(2, 3, 1):transpose(2, 3, 1) end, { 1, 4, 2, 5, 3, 6 })
shaped("spread", { 2, 6 }, function(x) return x:spread(2, 2) end, { 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6 })
shaped("broadcast", { 2, 2, 3 }, function(x) return x:broadcast(2, 2, 3) end, { 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6 })
shaped("join", { 2, 3, 2 }, function(x) return x:join(-x) end, { 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6 })
shaped("split", { 3 }, function(x)
  local a, b = x.T:split()
  return b - a
end, { 3, 3, 3 })
shaped("rsum", { 2, 1 }, function(x) return x:rsum(2) end, { 6, 15 })
shaped("rmax", { 1, 3 }, function(x) return x:rmax(1) + x:rmin(1) end, { 5, 7, 9 })
shaped("rprod", { 2, 1 }, function(x) return x:rprod(-1) end, { 6, 120 })
shaped("scan", { 2, 3 }, function(x) return x:scan(2) end, { 1, 3, 6, 4, 9, 15 })
shaped("scan options", { 2, 3 }, function(x) return x:scan(2, { exclusive = true, reverse = true }) end, { 5, 3, 0, 11, 6, 0 })
shaped("argmax", { 1, 3 }, function(x) return x:argmax(1):to(f32) end, { 1, 1, 1 })
shaped("dot", { 2, 2 }, function(x) return tg.dot(x, x.T, { acc = tg.full(f32, 100, 2, 2) }) end, { 114, 132, 132, 177 })
shaped("scaled dot", { 2, 2 }, function(x) return tg.dot(x, x.T, { scale_a = tg.full(f32, 2, 2, 1), scale_b = tg.full(f32, 3, 1, 1) }) end,
       { 84, 192, 192, 462 })
shaped("literals", { 2, 3 }, function() return 7 end, { 7, 7, 7, 7, 7, 7 })

do
  local C, keys = nil, vector(f32, { 3, 1, 2, 1 })
  C = run("sort", f32, { 2, 4 }, { X = keys }, function(C, v)
    local s, order = v.X[{ R(4) }]:sort(1, tg.iota(i32, 4), { descending = true })
    C[{ 0, R(4) }] = s
    C[{ 1, R(4) }] = order:to(f32)
  end)
  same("sort", C, { 3, 2, 1, 1, 0, 2, 1, 3 })
end

-- ---- ranges, indices, gathers, scatters, atomics

local ten = tg.tensor(f32, { 10 }, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 })
local function indexed(name, n, f, want) same(name, (run("index", f32, { n }, { X = ten, I = vector(i32, { 2, 5, 8, -1 }) }, f)), want) end
indexed("outside reads give 0", 4, function(C, v) C[{ R(4) }] = v.X[{ tg.range(8, 4, 10) }] end, { 8, 9, 0, 0 })
indexed("end of the range", 4, function(C, v) C[{ R(4) }] = v.X[{ tg.range(1, 4, 3) }] end, { 1, 2, 0, 0 })
indexed("fill", 4, function(C, v) C[{ R(4) }] = v.X[{ tg.range(8, 4, 10), fill = -3 }] end, { 8, 9, -3, -3 })
indexed("any", 2, function(C, v) C[{ R(2) }] = v.X[{ tg.range(8, 2), fill = tg.any }] end, { 8, 9 })
indexed("scalar index", 2, function(C, v) C[{ R(2) }] = v.X[{ 3 }] + v.X[{ v.I[{ 1 }] }] end, { 8, 8 })
indexed("gather", 4, function(C, v) C[{ R(4) }] = v.X[{ v.I[{ R(4) }], fill = 50 }] end, { 2, 5, 8, 50 })
indexed("scatter", 10, function(C, v)
  C[{ R(10) }] = 0
  C:store({ v.I[{ R(4) }] }, 1, v.I[{ R(4) }]:ne(5))
end, { 0, 0, 1, 0, 0, 0, 0, 0, 1, 0 })
indexed("masked store", 4, function(C, v)
  C[{ R(4) }] = 1
  C:store({ R(4) }, v.X[{ R(4) }], R(4):index():gt(1))
end, { 1, 1, 2, 3 })
indexed("index, first, last", 3, function(C)
  local r = tg.range(4, 3, 9)
  C[{ R(3) }] = (r:index() * 100 + r:first() * 10 + r:last()):to(f32)
end, { 449, 549, 649 })
indexed("range // n", 2, function(C, v) C[{ R(2) }] = v.X[{ tg.range(4, 4, 10) // 2 }] end, { 2, 3 })
indexed("an empty range // n", 4, function(C, v)
  C[{ R(4) }] = 7
  C[{ tg.range(2, 2, v.I[{ 0 }]) // 4 }] = 1 -- from 2 to 2: no element, and so no block
  C[{ tg.range(6, 2, v.I[{ 2 }]) // 4 }] = 2 -- from 6 to 8
  C[{ tg.range(10, 2, v.I[{ 2 }]) // 4 }] = 3
end, { 7, 2, 7, 7 })
indexed("what a cast wraps is no multiple any more", 6, function(C, v)
  local start = (v.I[{ 2 }] * 33):assume { divisible = 12 }:to(tg.i8):to(i64) -- 264 becomes 8
  C[{ R(6) }] = v.X[{ tg.range(start, 6) }]
end, { 8, 9, 0, 0, 0, 0 })
indexed("a float is no multiple of its factor", 4, function(C, v)
  C[{ R(4) }] = v.X[{ tg.range((v.X[{ 1 }] * 0.75 * 4):to(i64), 4) }]
end, { 3, 4, 5, 6 })
indexed("range:by", 4, function(C, v)
  C[{ R(4) }] = R(4):by(3):fold(tg.zeros(f32, 3), function(s, r) return s + v.X[{ r, fill = 20 }] end):rsum(1)
end, { 46, 46, 46, 46 })
do
  local C = run("atomic", i32, { 2 }, {}, function(C)
    C[{ R(2) }] = 5
    local old = C:atomic("add", { 0 }, tg.full(i32, 3))
    C[{ 1 }] = old
  end)
  same("atomic", C, { 8, 5 })
end

-- ---- control

indexed("fold of two", 2, function(C, v)
  local s, p = tg.range(1, 1, 5):fold(tg.zeros(f32), tg.full(f32, 1), function(s, p, r)
    local x = v.X[{ r:first() }]
    return s + x, p * x
  end)
  C[{ 0 }] = s
  C[{ 1 }] = p
end, { 10, 24 })
indexed("when", 2, function(C, v)
  local a = tg.when(v.X[{ 3 }]:gt(2), function() return v.X[{ 4 }] end, function() return v.X[{ 5 }] end)
  C[{ 0 }] = a
  C[{ 1 }] = 0
  tg.when(v.X[{ 3 }]:gt(5), function() C[{ 1 }] = 1 end)
end, { 4, 0 })
indexed("loop", 2, function(C, v)
  local x, n = tg.loop(v.X[{ 1 }], tg.zeros(f32), function(x) return x:lt(100) end, function(x, n) return x * 3, n + 1 end)
  C[{ 0 }] = x
  C[{ 1 }] = n
end, { 243, 5 })
indexed("assume and assert", 1, function(C, v)
  local i = v.I[{ 2 }]:to(i64):assume { divisible = 4, min = 0, max = 9 }
  tg.assert(i:eq(8), "eight")
  C[{ 0 }] = v.X[{ i }]
end, { 8 })

-- ---- parameters of all kinds, several launches, dims as values

do
  local kernel = tg.kernel("everything", function(k)
    local N, E = k.dim "N", k.static "E"
    local word, factor = k.option("word", "plus", "plus", "minus"), k.option("factor", 2.5)
    local bn = k.tune("BN", 2, 4)
    local eps = k.scalar("eps", f32)
    local X, Y = k.input("X", f32, N, E), k.inout("Y", f32, N)
    local O = k.output("O", f32, N, { optional = true })
    local part = k.workspace("part", f32, N:cdiv(bn), bn, { zero = true })
    k.blocks(N:by(bn), function(n)
      local sum = tg.zeros(f32, bn)
      for e = 0, E - 1 do sum = sum + X[{ n, e }] end -- unrolled at trace time
      part[{ (n // bn):first(), R(bn) }] = sum
    end)
    k.blocks(N, function(n)
      local s = part[{ n // bn, n % bn }]
      local sign = word == "plus" and 1 or -1
      Y[{ n }] = Y[{ n }] * sign * factor + s + eps
      O[{ n }] = (N - n):to(f32) + N:cdiv(2) * 100
    end)
  end)
  local X, Y = tg.tensor(f32, { 3, 2 }, { 1, 2, 3, 4, 5, 6 }), vector(f32, { 10, 20, 30 })
  local out = device:run(kernel, { X = X, Y = Y:copy(), eps = 0.5 }, { set = { BN = 2, word = "minus" } })
  same("inout", out.Y, { -21.5, -42.5, -63.5 })
  same("optional", out.O, { 203, 202, 201 })
  local text = kernel:ir { set = { BN = 4, factor = 3 }, fix = { E = 2, N = 3 } }
  check(text:find('option factor = "3" fallback "2.5"', 1, true), "options are printed: %s", text)
  check(text:find('tune BN = "4" fallback "2" of ("2", "4")', 1, true), "settings are printed")
  check(text:find("workspace part : f32[ceildiv(N, 4), 4] zero", 1, true), "workspaces are printed")
  check(text:find("launch (1)", 1, true) and text:find("launch (3)", 1, true), "fixed dims fold: %s", text)
end

-- ---- views: dims and strides by hand

-- Numbers of the only view op of the kernel's text: offset, dims…, strides….
local function view_of(shape, dtype, make)
  local kernel = tg.kernel("view", function(k)
    local X = k.inout("X", dtype, table.unpack(shape))
    k.blocks(1, function()
      local v, index = make(X), {}
      for i = 1, #v.dims do index[i] = 0 end
      v[index] = 0
    end)
  end)
  local text, const, list = kernel:ir {}, {}, {}
  for id, value in text:gmatch("%%(%d+) = const {type = i64, value = (%-?%d+)}") do const[id] = value end
  local operands, type_text = text:match("= view ([^{]*) {type = ([^}]*)}")
  local first = true
  for id in (operands or ""):gmatch("%%(%d+)") do
    if not first then list[#list + 1] = const[id] or "?" end
    first = false
  end
  return table.concat(list, " "), type_text
end

local function view(name, shape, dtype, make, want, want_type)
  local got, got_type = view_of(shape, dtype, make)
  check(got == want, "view %s: %s, not %s", name, got, want)
  check(got_type == want_type, "view %s: %s, not %s", name, got_type, want_type)
end
view("slice", { 6, 8 }, f32, function(X) return X:slice(2, 3, 4) end, "3 6 4 8 1", "view<f32,2>")
view("split", { 6, 8 }, f32, function(X) return X:split(1, 2) end, "0 3 2 8 16 8 1", "view<f32,3>")
view("merge", { 2, 3, 4 }, f32, function(X) return X:merge(1) end, "0 6 4 4 1", "view<f32,2>")
view("permute", { 2, 3, 4 }, f32, function(X) return X:permute(3, 1, 2) end, "0 4 2 3 1 12 4", "view<f32,3>")
view("broadcast", { 2, 3 }, f32, function(X) return X:broadcast(2, 5) end, "0 2 5 3 3 0 1", "view<f32,3>")
view("reshape", { 4, 6 }, f32, function(X) return X:reshape(2, 3, 4) end, "0 2 3 4 12 4 1", "view<f32,3>")
-- a row of 656 bytes: 512 e4m3, 4 f32 scales, 64 bf16
view("as f32", { 5, 656 }, e4m3, function(X) return X:slice(2, 512, 16):as(f32) end, "128 5 4 164 1", "view<f32,2>")
view("as bf16", { 5, 656 }, e4m3, function(X) return X:as(bf16, 528) end, "264 5 64 328 1", "view<bf16,2>")
view("as e4m3", { 5, 4 }, f32, function(X) return X:as(e4m3, 2) end, "2 5 14 16 1", "view<e4m3,2>")
view("chain", { 4, 6, 8 }, f32, function(X) return X:slice(1, 1, 2):permute(2, 1, 3):split(3, 4):slice(4, 1, 2) end,
  "49 6 2 2 2 8 48 4 1", "view<f32,4>")

local function mistake(name, f, says)
  local ok, message = pcall(f)
  check(not ok and tostring(message):find(says, 1, true), "%s: %s", name, tostring(message))
end
mistake("merge of what is not contiguous", function() view_of({ 2, 3 }, f32, function(X) return X:permute(2, 1):merge(1) end) end,
        ":merge: axes 1 and 2 of 'X' are not contiguous: stride 1, where 6 is needed")
mistake("slice beyond", function() view_of({ 4 }, f32, function(X) return X:slice(1, 2, 3) end) end,
  ":slice: 2 + 3 is beyond the axis of 4")
mistake("odd split", function() view_of({ 7 }, f32, function(X) return X:split(1, 2) end) end, ":split: 7 is not a multiple of 2")
mistake("odd offset", function() view_of({ 4, 6 }, e4m3, function(X) return X:as(f32, 2) end) end,
  ":as: the byte offset 2 is not a multiple of the size of f32")
mistake("odd rows", function() view_of({ 4, 6 }, e4m3, function(X) return X:as(f32) end) end, ":as: a stride 6 does not come out even")
local function rows_as(dtype, extent) -- of e4m3 rows whose length a launch alone knows
  return tg.kernel("rows", function(k)
    local H = k.dim "H"
    local X, O = k.input("X", e4m3, 4, extent(H)), k.output("O", dtype, 4)
    k.blocks(4, function(t) O[{t}] = X:as(dtype)[{t, 0}] end)
  end):ir {}
end
mistake("rows that may be odd", function() rows_as(f32, function(H) return H end) end, ":as: a stride dim H is not always a multiple of 4")
mistake("rows of half as much", function() rows_as(f32, function(H) return H * 6 end) end, "is not always a multiple of 4")
for _, extent in ipairs { function(H) return H // 4 * 4 end, function(H) return (8 * H):max(12) end, function(H) return 2 * (H * 6 + 8) end } do
  check(rows_as(f32, extent):find("view<f32,2>", 1, true), "rows that are even whatever H is")
end
mistake("five axes", function() view_of({ 2, 2, 2, 2 }, f32, function(X) return X:broadcast(1, 3) end) end, "a view has at most 4 axes")

-- ---- host arrays and calls

do
  local t = tg.tensor(bf16, 2, 2)
  t:set(1, 0, 1.00390625) -- between two bf16 numbers: to the even one
  check(t:get(1, 0) == 1.0 and t.dtype == "bf16" and #t == 4 and t.shape[2] == 2, "get and set")
  check(tostring(t) == "tensor bf16[2x2] {0, 0, 1, 0}", "tostring: %s", tostring(t))
  local file = os.tmpname()
  t:write(file)
  local back = tg.read(file, bf16)
  check(back:compare(t) and back.dtype == "bf16", "npy goes and comes back")
  os.remove(file)
  local u, v = tg.tensor(f32, { 100 }):uniform(7), tg.tensor(f32, { 100 }):uniform(7)
  check(u:compare(v), "a seed gives the same numbers")
  check(not u:compare(tg.tensor(f32, { 100 }):uniform(8)), "another seed gives others")
  v:set(41, v:get(41) + 0.25)
  local ok, report = v:compare(u, { abs = 0.125 })
  check(not ok and report.bad == 1 and report.at[1] == 41 and math.abs(report.max_abs - 0.25) < 1e-6, "compare finds the worst")
  check((v:compare(u, { abs = 0.5 })), "compare tolerates")
  check(u:to(i32):get(3) == 0, "to")
  mistake("outside", function() t:get(2, 0) end, "index 1 is 2, the axis has elements 0 to 1")
  mistake("too few", function() t:get(1) end, "get wants 2 indices, 1 were given")
  mistake("not a method", function() t:shift() end, "tensors have no 'shift'")
  mistake("missing file", function() tg.read "no/such.npy" end, "no/such.npy")
  mistake("bad dtype", function() tg.tensor("f31", 3) end, "'f31' is not a dtype")
  mistake("negative", function() tg.tensor(f32, -1) end, "not an integer of 0 or more")
  local gemm = tg.load "gemm_f32"
  check(tostring(gemm) == "kernel gemm_f32", "tostring of a kernel")
  mistake("unknown argument", function() device:run(gemm, { A = t, D = t }) end, "the kernel has no parameter 'D'; it has A, B, C")
  mistake("missing argument", function() device:run(gemm, { A = t }) end, "argument B is missing")
  mistake("not a tensor", function() device:run(gemm, { A = t, B = 3 }) end, "argument B must be a tensor")
  mistake("unknown option", function() device:run(gemm, { A = t, B = t }, { thread = 2 }) end,
    "unknown option 'thread'; there is set, shape, threads")
  local numbers = tg.kernel("numbers", function(k)
    local C, n, i = k.output("C", i64, 2), k.scalar("n", i64), k.scalar("i", i32)
    k.blocks(1, function() for at, x in ipairs { n, i } do C[{ at - 1 }] = x:to(i64) end end)
  end)
  same("scalars", device:run(numbers, { n = 1 - 2 ^ 53, i = -2 ^ 31 }).C, { 1 - 2 ^ 53, -2 ^ 31 })
  mistake("scalar beyond 2^53", function() device:run(numbers, { n = 2 ^ 53, i = 0 }) end, "declares i64: give a whole number from -9007199254740991 to")
  mistake("scalar beyond i32", function() device:run(numbers, { n = 0, i = 2 ^ 31 }) end, "i = 2147483648, but kernel 'numbers' declares i32")
  mistake("scalar with a fraction", function() device:run(numbers, { n = 0, i = 0.5 }) end, "i = 0.5")
  mistake("not a kernel", function() device:run(3, {}) end, "kernel (from tg.load or tg.kernel) expected")
  mistake("unknown device", function() tg.device "abacus" end, "abacus")
  mistake("unknown kernel", function() tg.load "gemm_fp9" end, "there is no library kernel 'gemm_fp9'")
  local times = device:time(gemm, { A = tg.tensor(f32, 3, 4), B = tg.tensor(f32, 5, 4) }, { runs = 3, set = { BM = 4, BN = 32 } })
  check(#times.seconds == 3 and times.min > 0 and times.min <= times.median, "time")
  local bench = tg.load("rmsnorm"):bench { device = "interp", shape = { T = 2, H = 96 }, set = { BM = 2 }, runs = 3 }
  check(bench.kernel == "rmsnorm" and bench.config.BM == 2 and bench.shape.H == 96 and bench.config_source == "set",
    "bench tells what it ran")
  check(bench.seconds.min > 0 and bench.seconds.min <= bench.seconds.median, "bench gives seconds")
  local tune = tg.load("rmsnorm"):tune { device = "interp", shape = { T = 2, H = 96 }, set = { BH = 64 }, trials = 2, seed = 3 }
  check(#tune.evaluated >= 2 and tune.seed == 3 and math.type(tune.best.config.BM) == "integer" and tune.best.seconds > 0,
    "tune gives the best")
  check(tg.load("rmsnorm"):bench({ device = device, shape = { T = 2, H = 96 }, runs = 1 }).device == "interp", "bench takes a device")
  mistake("bench on a number", function() gemm:bench { device = 3, shape = { M = 1, N = 1, K = 1 } } end,
    "option 'device' must be a device or its name, not 3")
  mistake("runs as a text", function() gemm:bench { device = device, runs = "3" } end, "option 'runs' must be an integer, not 3")
  mistake("unknown option of tune", function() gemm:tune { trails = 3 } end,
    "unknown option 'trails'; there is device, shape, set, strategy, trials")
  device:close()
  mistake("bench on a closed device", function() gemm:bench { device = device } end, "the device is closed")
  mistake("closed", function() device:run(gemm, {}) end, "the device is closed")
end

print(("%d checks, %d failed"):format(checks, failures))
if failures > 0 then error(("%d of %d checks failed"):format(failures, checks)) end
