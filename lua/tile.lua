-- Tiles: operators, the methods generated from the op table, shapes, reductions, dot.
local S = ...
local core, fail, kind, Tile, D = S.core, S.fail, S.kind, S.Tile, S.D
local fields = S.fields

local methods = {}
local max_extent = 1 << 24 -- elements of a tile that the IR allows

-- ---- checks of arguments

function S.extent(n, who)
  local i = kind(n) == "number" and math.tointeger(n)
  if not i then
    if kind(n) == "dim" then
      fail("%s: extents of tiles are numbers known at trace time, not dim %s; use k.tune, k.option, k.static or a constant",
           who, tostring(n))
    end
    fail("%s: an extent must be an integer, not %s", who, S.describe(n))
  end
  if i < 1 then fail("%s: an extent must be at least 1, not %d", who, i) end
  if i > max_extent then
    fail("%s: the extent %d is too large for a tile; a longer axis is walked in parts: M:by(n):fold or :each", who, i)
  end
  return i
end

-- Extents given as numbers or as one table.
local function shape_of(who, ...)
  local list = { ... }
  if #list == 1 and kind(list[1]) == "table" then list = list[1] end
  if #list > 4 then fail("%s: a tile has at most 4 axes, not %d", who, #list) end
  local shape = {}
  for i = 1, #list do shape[i] = S.extent(list[i], who) end
  return shape
end
S.shape_of = shape_of

-- How a tile is had from what is none.
local function tile_cure(x)
  if kind(x) == "view" then return ("; load it first: %s[{…}]"):format(x.name) end
  return kind(x) == "range" and "; :index() gives its indices as a tile" or ""
end

local function a_tile(x, who)
  if kind(x) ~= "tile" then fail("%s wants a tile, not %s%s", who, S.describe(x), tile_cure(x)) end
  return x
end
S.a_tile = a_tile

-- 1-based axis to the IR's 0-based one; negative counts from the end.
local function axis_of(t, axis, who)
  local n, i = #t.shape, math.tointeger(axis)
  if not i then fail("%s: the axis must be a number, not %s", who, S.describe(axis)) end
  if i < 0 then i = n + 1 + i end
  if i < 1 or i > n then fail("%s: the tile %s has axes 1 to %d, not %d", who, t.dtype .. S.shape_text(t.shape), n, axis) end
  return i - 1
end

local function same_shape(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end
S.same_shape = same_shape

local function elements(shape)
  local n = 1
  for i = 1, #shape do n = n * shape[i] end
  return n
end
S.elements = elements

-- ---- literals, broadcasting, common dtypes

local limits = { i1 = { 0, 1 }, i8 = { -128, 127 }, i32 = { -2 ^ 31, 2 ^ 31 - 1 } }

-- A number as a constant tile of the dtype.
function S.literal(x, dtype, shape, who)
  if S.is_int(dtype) then
    if kind(x) == "boolean" and dtype == "i1" then x = x and 1 or 0 end
    local i = kind(x) == "number" and math.tointeger(x)
    if not i then fail("%s: %s is not an integer and cannot become %s", who, S.describe(x), dtype) end
    local range = limits[dtype]
    if range and (i < range[1] or i > range[2]) then fail("%s: %d does not fit %s", who, i, dtype) end
    return S.const(dtype, shape, i)
  end
  if kind(x) ~= "number" then fail("%s: %s cannot become %s", who, S.describe(x), dtype) end
  return S.const(dtype, shape, x + 0.0)
end

function S.dim_tile(d)
  d = D.resolve(d)
  if type(d) == "number" then return S.const("i64", {}, d) end
  return S.cached("expr " .. D.text(d), function() return S.emit("expr", {}, { e = D.expr(d) }) end)
end

local function broadcast_to(t, shape)
  if same_shape(t.shape, shape) then return t end
  local r = S.emit("broadcast", { t }, { shape = shape })
  local shift, axes = #shape - #t.shape, nil
  if t.axes then
    axes = {}
    for i = 1, #shape do axes[i] = i > shift and shape[i] == t.shape[i - shift] and t.axes[i - shift] or nil end
  end
  return S.note(r, "axes", axes)
end
S.broadcast_to = broadcast_to

-- The common shape of two, right-aligned; nil and the axis (from the right, 1-based) that does not agree.
local function common_shape(a, b)
  local n, shape = math.max(#a, #b), {}
  for i = 1, n do
    local x, y = a[i - n + #a] or 1, b[i - n + #b] or 1
    if x ~= y and x ~= 1 and y ~= 1 then return nil, i end
    shape[i] = math.max(x, y)
  end
  return shape
end

local function broadcast_error(who, a, b)
  local x, y = a.dtype .. S.shape_text(a.shape), b.dtype .. S.shape_text(b.shape)
  local cure = "extents are aligned at the right and must be equal or 1"
  if #a.shape == 2 and #b.shape == 2 and a.shape[1] == b.shape[2] and a.shape[2] == b.shape[1] then
    cure = cure .. "; is a .T missing?"
  elseif #b.shape == 1 and #a.shape == 2 and a.shape[1] == b.shape[1] then
    cure = cure .. ("; a column is written :reshape(%d, 1)"):format(b.shape[1])
  elseif #a.shape == 1 and #b.shape == 2 and b.shape[1] == a.shape[1] then
    cure = cure .. ("; a column is written :reshape(%d, 1)"):format(a.shape[1])
  end
  fail("%s: %s and %s do not broadcast: %s", who, x, y, cure)
end

local symbols = { add = "+", sub = "-", mul = "*", div = "/", rem = "%", ["and"] = "&", ["or"] = "|", xor = "~", shl = "<<", shr = ">>" }

local function cast(t, dtype, mode) return S.emit("cast", { t }, { to = dtype, mode = mode }) end

-- Numbers and dims take the tile's dtype; integers of unlike widths widen (exact); floats of unlike dtypes are an error.
local function unify(list, who)
  local dtype
  for _, x in ipairs(list) do
    if kind(x) == "tile" then
      if not dtype then
        dtype = x.dtype
      elseif dtype ~= x.dtype then
        if S.is_int(dtype) and S.is_int(x.dtype) and dtype ~= "i1" and x.dtype ~= "i1" then
          if core.dtypes[x.dtype].bits > core.dtypes[dtype].bits then dtype = x.dtype end
        else
          fail("%s: %s and %s do not mix; convert one, for example :to(tg.%s)", who, dtype, x.dtype,
               S.is_float(dtype) and (not S.is_float(x.dtype) or core.dtypes[dtype].bits >= core.dtypes[x.dtype].bits) and dtype or x.dtype)
        end
      end
    end
  end
  if not dtype then
    for _, x in ipairs(list) do
      if kind(x) == "dim" then dtype = "i64" end
    end
  end
  if not dtype then fail("%s: at least one operand must be a tile; tg.full(dtype, value, shape…) makes one", who) end
  local wide = dtype
  for _, x in ipairs(list) do
    if kind(x) == "dim" and S.is_int(dtype) and dtype ~= "i1" then wide = "i64" end
  end
  local shape = {}
  for i, x in ipairs(list) do
    if kind(x) == "dim" then x = S.dim_tile(x) end
    if kind(x) == "tile" then
      if x.dtype ~= wide then
        x = S.note(S.note(cast(x, wide), "axes", x.axes), "align", x.align)
      end
      list[i] = x
      local s, _ = common_shape(shape, x.shape)
      if not s then
        for j = 1, i - 1 do
          if kind(list[j]) == "tile" and not common_shape(list[j].shape, x.shape) then broadcast_error(who, list[j], x) end
        end
        fail("%s: the operands' shapes do not broadcast", who)
      end
      shape = s
    elseif kind(x) ~= "number" and not (kind(x) == "boolean" and wide == "i1") then
      fail("%s: a tile does not mix with %s%s", who, S.describe(x), tile_cure(x))
    end
  end
  return wide, shape
end

local function merge_axes(result, list)
  local axes
  for _, t in ipairs(list) do
    if t.axes then
      axes = axes or {}
      for i = 1, #result.shape do
        axes[i] = axes[i] or t.axes[i]
      end
    end
  end
  return S.note(result, "axes", axes)
end

local function elementwise(op, who, list)
  local dtype, shape = unify(list, who)
  for i, x in ipairs(list) do
    list[i] = kind(x) == "tile" and broadcast_to(x, shape) or S.literal(x, dtype, shape, who)
  end
  return merge_axes(S.emit(op, list), list)
end

-- What a rank-0 integer is known to be a multiple of, for the alignment of ranges.
local function gcd(a, b)
  while b ~= 0 do a, b = b, a % b end
  return a < 0 and -a or a
end
S.gcd = gcd
local function align_of(x)
  if kind(x) == "number" then return math.tointeger(x) or 1 end
  return kind(x) == "tile" and x.align or 1
end
S.align_of = align_of

local arithmetic_cures = {
  e4m3 = true, e4m3fnuz = true, e5m2 = true, e2m1 = true, e8m0 = true,
}

function S.binary(op, a, b)
  local who = symbols[op] and ("'%s'"):format(symbols[op]) or ":" .. op
  if rawequal(a, nil) or rawequal(b, nil) then fail("%s: an operand is nil", who) end
  for _, x in ipairs { a, b } do
    if kind(x) == "tile" and arithmetic_cures[x.dtype] then
      fail("%s: %s is a storage format; compute in f32: :to(tg.f32)", who, x.dtype)
    end
  end
  local r = elementwise(op, who, { a, b })
  if #r.shape == 0 and S.is_int(r.dtype) and (op == "add" or op == "sub" or op == "mul") then
    S.note(r, "align", op == "mul" and align_of(a) * align_of(b) or gcd(align_of(a), align_of(b)))
  end
  return r
end
local binary = S.binary

local function is_float_tile(a, b)
  local t = kind(a) == "tile" and a or b
  return S.is_float(t.dtype)
end

function Tile.__div(a, b)
  local t = kind(a) == "tile" and a or b
  if not S.is_float(t.dtype) then fail("'/' on %s: integers are divided by //, or converted first: :to(tg.f32)", t.dtype) end
  return binary("div", a, b)
end
function Tile.__idiv(a, b)
  local q = binary("div", a, b)
  return S.is_float(q.dtype) and S.emit("floor", { q }) or q
end
for event, op in pairs { __add = "add", __sub = "sub", __mul = "mul" } do
  Tile[event] = function(a, b) return binary(op, a, b) end
end
for event, op in pairs { __mod = "rem", __band = "and", __bor = "or", __bxor = "xor", __shl = "shl", __shr = "shr" } do
  Tile[event] = function(a, b)
    if is_float_tile(a, b) then fail("'%s' works on integers and i1, not on floats", symbols[op]) end
    return binary(op, a, b)
  end
end
function Tile.__pow() fail("'^' on tiles: write x * x, x:sqrt(), or (x:log2() * n):exp2()") end

local function unary(op, x, who)
  a_tile(x, who)
  if arithmetic_cures[x.dtype] then fail("%s: %s is a storage format; compute in f32: :to(tg.f32)", who, x.dtype) end
  return S.note(S.emit(op, { x }), "axes", x.axes)
end
function Tile.__unm(a) return unary("neg", a, "'-'") end
function Tile.__bnot(a)
  if not S.is_int(a.dtype) then fail("'~' works on integers and i1, not on %s", a.dtype) end
  return unary("not", a, "'~'")
end

-- ---- what Lua offers and tiles cannot do

local cures = { ["<"] = "lt", ["<="] = "le" }
local function compared(op)
  return function(a, b)
    fail("'%s' on tiles yields one Lua boolean; use a:%s(b) and tg.where", op, cures[op])
  end
end
Tile.__lt, Tile.__le = compared "<", compared "<="
function Tile.__eq() fail("'==' on tiles yields one Lua boolean; use a:eq(b) (or a:ne(b)) and tg.where") end
function Tile.__concat() fail("'..' on a tile: tiles have no text at trace time; tg.print(\"text\", tile) prints at run time") end
function Tile.__len(t) fail("'#' on a tile: its extents are t.shape[1] … t.shape[%d]", math.max(1, #t.shape)) end
function Tile.__call() fail("a tile is called like a function") end
function Tile.__pairs() fail("pairs on a tile: a tile's elements cannot be visited; use operations on the whole tile") end
function Tile.__tostring(t) return S.describe(t) end
Tile.__name = "tile"
function Tile.__newindex(_, key)
  fail("tiles are immutable: cannot set '%s'; store to a tensor with V[{…}] = tile", tostring(key))
end
Tile.__index = function(t, key)
  local own = t[fields][key]
  if own ~= nil then return own end
  if key == "T" then return methods.T(t) end
  local m = methods[key]
  if m then return m end
  if key == "axes" or key == "align" then return nil end
  if type(key) == "string" then fail("tiles have no method '%s'; docs/dsl.md lists them", key) end
  fail("a tile is indexed with %s: a tile's elements cannot be picked; slice when loading, V[{…}]", S.describe(key))
end

-- ---- methods generated from the op table

local function exactly(n, name, list)
  if list.n ~= n then
    fail(":%s takes %s, %d were given", name, n == 1 and "no arguments" or n == 2 and "one argument" or (n - 1) .. " arguments", list.n - 1)
  end
  return table.unpack(list, 1, n)
end

local rename = { ["and"] = "band", ["or"] = "bor", ["not"] = "bnot" }
for _, op in ipairs(core.ops) do
  local name = rename[op.name] or op.name
  if op.elementwise and op.attrs == "" then
    if op.in_hi == 1 then
      methods[name] = function(...) return unary(op.name, exactly(1, name, table.pack(...)), ":" .. name) end
    elseif op.in_hi == 2 then
      methods[name] = function(...) return binary(op.name, exactly(2, name, table.pack(...))) end
    elseif op.name ~= "select" then
      methods[name] = function(...) return elementwise(op.name, ":" .. name, { exactly(op.in_hi, name, table.pack(...)) }) end
    end
  end
end

function S.where(c, a, b)
  a_tile(c, "tg.where: the condition")
  if c.dtype ~= "i1" then fail("tg.where: the condition must be i1, not %s; make it with :eq, :lt, …", c.dtype) end
  if a == nil or b == nil then fail("tg.where wants a condition and two values") end
  local list = { a, b }
  local dtype, shape = unify(list, "tg.where")
  local full = common_shape(shape, c.shape)
  if not full then broadcast_error("tg.where", c, kind(list[1]) == "tile" and list[1] or list[2]) end
  for i, x in ipairs(list) do
    list[i] = kind(x) == "tile" and broadcast_to(x, full) or S.literal(x, dtype, full, "tg.where")
  end
  return merge_axes(S.emit("select", { broadcast_to(c, full), list[1], list[2] }), list)
end

-- Floats without Inf: a cast that narrows to them says what becomes of values beyond the largest.
local finite = S.finite
methods["to"] = function(t, dtype, mode)
  a_tile(t, ":to")
  S.check_dtype(dtype, ":to")
  if mode ~= nil and mode ~= "sat" and mode ~= "ieee" then fail(':to: the mode is "sat" or "ieee", not %s', S.describe(mode)) end
  if t.dtype == dtype then return t end
  local widens = t.dtype == "i1" or t.dtype == "e2m1" and dtype ~= "e8m0" -- all that these hold has its place there
  if finite[dtype] and not widens and not mode then
    fail(':to(tg.%s): say what becomes of values beyond the largest: "sat" gives the largest, "ieee" NaN', dtype)
  end
  if mode and not finite[dtype] then
    fail(':to(tg.%s): "%s" is for floats without Inf (e4m3, e4m3fnuz, e2m1, e8m0); to saturate, clamp with :min and :max first',
         dtype, mode)
  end
  local r = cast(t, dtype, mode)
  if t.align and S.is_int(dtype) then -- a narrower integer wraps: a power of two still divides what is left
    S.note(r, "align", core.dtypes[dtype].bits < core.dtypes[t.dtype].bits and t.align & -t.align or t.align)
  end
  return S.note(r, "axes", t.axes)
end
function methods.bitcast(t, dtype)
  S.check_dtype(dtype, ":bitcast")
  if core.dtypes[dtype].bits ~= core.dtypes[t.dtype].bits then fail(":bitcast: %s and %s differ in width", t.dtype, dtype) end
  return S.emit("bitcast", { t }, { to = dtype })
end

-- ---- shapes

function methods.transpose(t, ...)
  local perm = shape_of(":transpose", ...)
  if #perm ~= #t.shape then fail(":transpose: the tile %s has %d axes, %d were named", S.shape_text(t.shape), #t.shape, #perm) end
  local seen, zero_based, axes = {}, {}, t.axes and {}
  for i, p in ipairs(perm) do
    if p > #perm or seen[p] then fail(":transpose wants each axis 1 to %d once", #perm) end
    seen[p], zero_based[i] = true, p - 1
    if axes then axes[i] = t.axes[p] end
  end
  return S.note(S.emit("transpose", { t }, { perm = zero_based }), "axes", axes)
end
function methods.T(t)
  if #t.shape ~= 2 then fail(".T is for tiles with 2 axes, this one is %s%s; use :transpose(…)", t.dtype, S.shape_text(t.shape)) end
  return methods.transpose(t, 2, 1)
end
function methods.reshape(t, ...)
  local shape = shape_of(":reshape", ...)
  if elements(shape) ~= elements(t.shape) then
    fail(":reshape: %s has %d elements, %s has %d", S.shape_text(t.shape), elements(t.shape), S.shape_text(shape), elements(shape))
  end
  if same_shape(shape, t.shape) then return t end
  return S.emit("reshape", { t }, { shape = shape })
end
function methods.broadcast(t, ...)
  local shape = shape_of(":broadcast", ...)
  local common = common_shape(t.shape, shape)
  if not common or not same_shape(common, shape) then
    fail(":broadcast: %s does not broadcast to %s: extents are aligned at the right and must be equal or 1",
         S.shape_text(t.shape), S.shape_text(shape))
  end
  return broadcast_to(t, shape)
end
function methods.spread(t, axis, factor)
  if factor == nil then fail(":spread(axis, factor) repeats each element `factor` times along the axis") end
  return S.emit("spread", { t }, { axis = axis_of(t, axis, ":spread"), factor = S.extent(factor, ":spread") })
end
function methods.join(a, b)
  a_tile(b, ":join")
  if a.dtype ~= b.dtype or not same_shape(a.shape, b.shape) then
    fail(":join wants two tiles of one dtype and shape, not %s and %s", S.describe(a), S.describe(b))
  end
  if #a.shape >= 4 then fail(":join: the result would have more than 4 axes") end
  return S.emit("join", { a, b })
end
function methods.split(t)
  if t.shape[#t.shape] ~= 2 then fail(":split wants a last axis of extent 2, this tile is %s; :reshape(…, 2) first", S.describe(t)) end
  local _, r = S.emit_op("split", { t })
  return S.wrap(r[1]), S.wrap(r[2])
end

-- ---- reductions, scans, sorting

local reductions = { "sum", "prod", "min", "max", "minnum", "maxnum", "and", "or", "xor" }
local reduction_kinds = {}
local function reduced_axes(t, r, axis)
  if not t.axes then return r end
  local axes = {}
  for i = 1, #t.shape do axes[i] = i ~= axis + 1 and t.axes[i] or nil end
  return S.note(r, "axes", axes)
end
for _, what in ipairs(reductions) do
  reduction_kinds[what] = true
  local name = "r" .. what
  local bitwise = what == "and" or what == "or" or what == "xor"
  methods[name] = function(t, axis)
    if axis == nil then fail(":%s(axis) names the axis to reduce, 1 to %d; it stays with extent 1", name, #t.shape) end
    if bitwise and not S.is_int(t.dtype) then fail(":%s works on integers and i1, not on %s", name, t.dtype) end
    if arithmetic_cures[t.dtype] then fail(":%s: %s is a storage format; compute in f32: :to(tg.f32)", name, t.dtype) end
    local a = axis_of(t, axis, ":" .. name)
    return reduced_axes(t, S.emit("reduce", { t }, { kind = what, axis = a }), a)
  end
end

local function options(o, who, allowed)
  if o == nil then return {} end
  if kind(o) ~= "table" then fail("%s: options are a table, not %s", who, S.describe(o)) end
  for key in pairs(o) do
    if not allowed[key] then
      local list = {}
      for name in pairs(allowed) do list[#list + 1] = name end
      table.sort(list)
      fail("%s: unknown option '%s'; there is %s", who, tostring(key), #list > 0 and table.concat(list, ", ") or "none")
    end
  end
  return o
end
S.options = options

function methods.scan(t, axis, o)
  if axis == nil then fail(":scan(axis) names the axis, 1 to %d", #t.shape) end
  o = options(o, ":scan", { kind = true, exclusive = true, reverse = true })
  local what = o.kind or "sum"
  if not reduction_kinds[what] then fail(":scan: unknown kind %s; there is %s", S.describe(what), table.concat(reductions, ", ")) end
  local a = axis_of(t, axis, ":scan")
  return S.emit("scan", { t }, { kind = what, axis = a, exclusive = o.exclusive and 1 or nil, reverse = o.reverse and 1 or nil })
end
function methods.argmax(t, axis)
  if axis == nil then fail(":argmax(axis) names the axis, 1 to %d; it stays with extent 1", #t.shape) end
  return S.emit("argmax", { t }, { axis = axis_of(t, axis, ":argmax") })
end
-- keys:sort(axis, payload…, {descending = true}) gives keys, payload… in order.
function methods.sort(t, axis, ...)
  local operands, o = { t, ... }, nil
  if kind(operands[#operands]) == "table" then o = table.remove(operands) end
  o = options(o, ":sort", { descending = true })
  local a = axis_of(t, axis, ":sort")
  local n = t.shape[a + 1]
  if n & (n - 1) ~= 0 then fail(":sort: the extent %d is not a power of two; load a longer range with fill=", n) end
  for i = 2, #operands do
    a_tile(operands[i], ":sort")
    if not same_shape(operands[i].shape, t.shape) then
      fail(":sort: keys are %s, payload %d is %s; shapes must agree", S.describe(t), i - 1, S.describe(operands[i]))
    end
  end
  local _, results = S.emit_op("sort", operands, { axis = a, descending = o.descending and 1 or nil })
  for i = 1, #results do results[i] = S.wrap(results[i]) end
  return table.unpack(results)
end

function methods.assume(t, o)
  o = options(o, ":assume", { divisible = true, min = true, max = true })
  if not S.is_int(t.dtype) then fail(":assume is for integers, not %s", t.dtype) end
  for key, value in pairs(o) do
    if math.type(value) ~= "integer" then fail(":assume: %s must be an integer, not %s", key, S.describe(value)) end
  end
  return S.note(S.emit("assume", { t }, { divisible = o.divisible, min = o.min, max = o.max }), "align", o.divisible)
end

-- ---- dot

-- Whether two axes run over the same indices, as far as can be seen.
local function same_range(r, s)
  return rawequal(r, s) or (type(r.start) == "number" and r.start == s.start and r.len == s.len)
end

-- Square tiles hide a missing .T from their extents; the ranges they were loaded along do not.
local function crossed(a, b)
  local inner, outer, last = a.axes and a.axes[2], b.axes and b.axes[1], b.axes and b.axes[2]
  return inner and outer and last and same_range(inner, last) and not same_range(inner, outer)
end

local function dot_operands(a, b)
  a_tile(a, "tg.dot: the first operand")
  a_tile(b, "tg.dot: the second operand")
  if #a.shape ~= 2 or #b.shape ~= 2 then fail("tg.dot wants a[M,K] and b[K,N], not %s and %s", S.describe(a), S.describe(b)) end
  if a.shape[2] ~= b.shape[1] or crossed(a, b) then
    if a.shape[2] == b.shape[2] then
      fail("tg.dot: the inner extents of %s and %s do not meet: a[M,K] times b[K,N]; the second operand needs .T",
           S.describe(a), S.describe(b))
    end
    if a.shape[1] == b.shape[1] then
      fail("tg.dot: the inner extents of %s and %s do not meet: a[M,K] times b[K,N]; the first operand needs .T",
           S.describe(a), S.describe(b))
    end
    fail("tg.dot: the inner extents %d and %d differ: a[M,K] times b[K,N]", a.shape[2], b.shape[1])
  end
end

-- Scale of a: [M or M/x, K/y]; of b, given as it lies in memory: [N or N/x, K/y].
local function check_scale(s, rows, inner, who, letter)
  a_tile(s, who)
  if s.dtype ~= "f32" then fail("%s must be f32, not %s; convert with :to(tg.f32)", who, s.dtype) end
  if #s.shape ~= 2 or rows % s.shape[1] ~= 0 or inner % s.shape[2] ~= 0 then
    fail("%s is %s; it must be [%s/x, K/y] with %s = %d, K = %d, each scale covering an equal block",
         who, S.describe(s), letter, letter, rows, inner)
  end
end

function S.dot(a, b, o)
  o = options(o, "tg.dot", { acc = true, scale_a = true, scale_b = true })
  dot_operands(a, b)
  local scaled = o.scale_a ~= nil or o.scale_b ~= nil
  local m, n, kk = a.shape[1], b.shape[2], a.shape[2]
  if not scaled and a.dtype ~= b.dtype then fail("tg.dot: %s and %s do not mix; convert one with :to", a.dtype, b.dtype) end
  if not S.is_float(a.dtype) and a.dtype ~= "i8" then fail("tg.dot works on floats and i8, not on %s", a.dtype) end
  local want = a.dtype == "i8" and "i32" or a.dtype == "f64" and "f64" or "f32"
  local acc = o.acc
  if acc == nil then acc = S.const(want, { m, n }, want == "i32" and 0 or 0.0) end
  a_tile(acc, "tg.dot: acc")
  if acc.dtype ~= want then fail("tg.dot of %s accumulates in %s, acc is %s", a.dtype, want, acc.dtype) end
  if not same_shape(acc.shape, { m, n }) then
    fail("tg.dot: the result is %s, acc is %s", S.shape_text { m, n }, S.shape_text(acc.shape))
  end
  local r
  if scaled then
    local sa = o.scale_a == nil and S.const("f32", { 1, 1 }, 1.0) or o.scale_a
    local sb = o.scale_b == nil and S.const("f32", { 1, 1 }, 1.0) or o.scale_b
    check_scale(sa, m, kk, "tg.dot: scale_a", "M")
    check_scale(sb, n, kk, "tg.dot: scale_b", "N")
    r = S.emit("dot_scaled", { a, b, acc, sa, sb })
  else
    r = S.emit("dot", { a, b, acc })
  end
  local rows, columns = a.axes and a.axes[1] or nil, b.axes and b.axes[2] or nil
  return (rows or columns) and S.note(r, "axes", { rows, columns }) or r
end

S.guard(methods, "tile", "t")

-- ---- makers

function S.full(dtype, value, ...)
  S.check_dtype(dtype, "tg.full")
  local shape = shape_of("tg.full", ...)
  if kind(value) == "tile" then return broadcast_to(value.dtype == dtype and value or methods.to(value, dtype), shape) end
  return S.literal(value, dtype, shape, "tg.full")
end
function S.zeros(dtype, ...)
  S.check_dtype(dtype, "tg.zeros")
  return S.literal(0, dtype, shape_of("tg.zeros", ...), "tg.zeros")
end
function S.iota(dtype, n)
  S.check_dtype(dtype, "tg.iota")
  if not S.is_int(dtype) then fail("tg.iota counts in integers, not %s; convert with :to", dtype) end
  return S.emit("iota", {}, { type = { kind = "tile", dtype = dtype, shape = { S.extent(n, "tg.iota") } } })
end

return methods
