-- Views of tensors: base, offset, dims, strides. Views compose without copying; V[{…}] loads, V[{…}] = tile stores.
--
-- offset, dims and strides are numbers, dims or rank-0 tiles, counted in elements of the view's dtype. One `param` op names the tensor, and
-- one `view` op, made where it is first needed, gives whatever differs from it.
local S = ...
local core, fail, kind, View, D = S.core, S.fail, S.kind, S.View, S.D
local fields = S.fields

local methods = {}
local views_made = 0
S.any = setmetatable({}, { __tostring = function() return "tg.any" end })

local function row_major(dims)
  local strides, n = {}, 1
  for i = #dims, 1, -1 do
    strides[i] = n
    n = S.scalar("*", n, dims[i])
  end
  return strides, n
end

local function make(from, changes)
  views_made = views_made + 1
  local own = { name = from.name, param = from.param, dtype = from.dtype, offset = from.offset, dims = from.dims, strides = from.strides,
                whole = false, id = views_made }
  for key, value in pairs(changes) do own[key] = value end
  if #own.dims > 4 then fail("view of '%s': a view has at most 4 axes", from.name) end
  return S.object(own, View)
end

-- The view of a whole parameter.
function S.param_view(name, dtype, dims)
  return make({ name = name, param = { name = name, dtype = dtype, rank = #dims } },
              { dtype = dtype, offset = 0, dims = dims, strides = row_major(dims), whole = true })
end

local function value_of(v)
  local p = v.param
  local base = S.cached("param " .. p.name, function()
    local _, r = S.emit_op("param", {}, { name = p.name, type = { kind = "view", dtype = p.dtype, rank = p.rank } })
    r[1].region = S.here()
    return r[1]
  end)
  if v.whole then return base end
  return S.cached("view " .. v.id, function()
    local operands = { base, S.scalar_tile(v.offset) }
    for i = 1, #v.dims do operands[#operands + 1] = S.scalar_tile(v.dims[i]) end
    for i = 1, #v.dims do operands[#operands + 1] = S.scalar_tile(v.strides[i]) end
    local _, r = S.emit_op("view", operands, { type = { kind = "view", dtype = v.dtype, rank = #v.dims } })
    r[1].region = S.here()
    return r[1]
  end)
end

-- ---- composing (axes are 1-based)

local function axis_of(v, axis, who)
  local i = math.tointeger(axis)
  if not i or i < 1 or i > #v.dims then fail("%s: view '%s' has axes 1 to %d, not %s", who, v.name, #v.dims, S.describe(axis)) end
  return i
end

-- A number of elements: what only the launch knows is trusted, a negative number is not.
local function extent_of(x, who)
  x = S.a_scalar(x, who)
  if type(x) == "number" and x < 0 then fail("%s %d is negative", who, x) end
  return x
end

local function copy(list) return table.move(list, 1, #list, 1, {}) end

-- `extent` elements of an axis from `start` on.
function methods.slice(v, axis, start, extent)
  local i = axis_of(v, axis, ":slice")
  if start == nil or extent == nil then fail(":slice(axis, start, extent)") end
  start, extent = extent_of(start, ":slice: start"), extent_of(extent, ":slice: extent")
  local dims = copy(v.dims)
  if type(start) == "number" and type(extent) == "number" and type(dims[i]) == "number" and start > dims[i] - extent then
    fail(":slice: %d + %d is beyond the axis of %d", start, extent, dims[i])
  end
  dims[i] = extent
  return make(v, { offset = S.scalar("+", v.offset, S.scalar("*", start, v.strides[i])), dims = dims })
end

-- An axis of d elements as two: d // inner outside, `inner` inside.
function methods.split(v, axis, inner)
  local i = axis_of(v, axis, ":split")
  inner = S.a_scalar(inner, ":split: inner extent")
  if type(inner) == "number" and inner < 1 then fail(":split: the inner extent must be at least 1") end
  local d = v.dims[i]
  if type(d) == "number" and type(inner) == "number" and d % inner ~= 0 then fail(":split: %d is not a multiple of %d", d, inner) end
  local dims, strides = copy(v.dims), copy(v.strides)
  dims[i] = S.scalar("//", d, inner)
  table.insert(dims, i + 1, inner)
  strides[i] = S.scalar("*", v.strides[i], inner)
  table.insert(strides, i + 1, v.strides[i])
  return make(v, { dims = dims, strides = strides })
end

local function equal(a, b)
  if kind(a) == "tile" or kind(b) == "tile" then return rawequal(a, b) end
  return D.equal(a, b)
end

-- Axes `axis` and `axis + 1`, which must lie one inside the other, as one.
function methods.merge(v, axis)
  local i = axis_of(v, axis, ":merge")
  if i == #v.dims then fail(":merge(axis) merges axis and axis + 1; %d is the last", i) end
  local want = S.scalar("*", v.dims[i + 1], v.strides[i + 1])
  if not equal(v.strides[i], want) then
    fail(":merge: axes %d and %d of '%s' are not contiguous: stride %s, where %s is needed",
         i, i + 1, v.name, tostring(v.strides[i]), tostring(want))
  end
  local dims, strides = copy(v.dims), copy(v.strides)
  dims[i] = S.scalar("*", dims[i], dims[i + 1])
  strides[i] = strides[i + 1]
  table.remove(dims, i + 1)
  table.remove(strides, i + 1)
  return make(v, { dims = dims, strides = strides })
end

-- The elements of a contiguous view under other dims (row-major).
function methods.reshape(v, ...)
  local dims = { ... }
  for i = 1, #dims do dims[i] = extent_of(dims[i], ":reshape: dim " .. i) end
  local strides = row_major(v.dims)
  for i = 1, #v.dims do
    if not equal(strides[i], v.strides[i]) then fail(":reshape: view '%s' is not contiguous along axis %d", v.name, i) end
  end
  local _, have = row_major(v.dims)
  local new, want = row_major(dims)
  if type(have) == "number" and type(want) == "number" and have ~= want then
    fail(":reshape: view '%s' has %d elements, the new shape %d", v.name, have, want)
  end
  return make(v, { dims = dims, strides = new })
end

function methods.permute(v, ...)
  local perm, seen, dims, strides = { ... }, {}, {}, {}
  if #perm ~= #v.dims then fail(":permute: view '%s' has %d axes, %d were named", v.name, #v.dims, #perm) end
  for i, p in ipairs(perm) do
    p = axis_of(v, p, ":permute")
    if seen[p] then fail(":permute wants each axis 1 to %d once", #perm) end
    seen[p], dims[i], strides[i] = true, v.dims[p], v.strides[p]
  end
  return make(v, { dims = dims, strides = strides })
end

-- A new axis before `axis` along which everything repeats.
function methods.broadcast(v, axis, extent)
  local i = math.tointeger(axis)
  if not i or i < 1 or i > #v.dims + 1 then
    fail(":broadcast: view '%s' takes a new axis at 1 to %d, not %s", v.name, #v.dims + 1, S.describe(axis))
  end
  extent = extent_of(extent, ":broadcast: extent")
  local dims, strides = copy(v.dims), copy(v.strides)
  table.insert(dims, i, extent)
  table.insert(strides, i, 0)
  return make(v, { dims = dims, strides = strides })
end

-- x * from / to where it must come out even, which must be known here: a launch that rounded would read other rows.
local function rescale(x, from, to, who, what)
  if from == to then return x end
  local g = S.gcd(from, to)
  from, to = from // g, to // g
  local y = S.scalar("*", x, from)
  if type(y) == "number" and y % to ~= 0 then fail("%s: %s %d does not come out even in the new dtype", who, what, y) end
  local known = kind(y) == "dim" and D.divisor(D.resolve(y), to) or S.gcd(to, S.align_of(y))
  if known ~= to then
    fail("%s: %s %s is not always a multiple of %d: it may not come out even in the new dtype; write the dim as one, as in N // %d * %d",
      who, what, S.describe(y), to, to, to)
  end
  return S.scalar("//", y, to)
end

-- The same storage read as another dtype, from byte_offset of each row on. Rows are along the last axis, which must be contiguous.
methods["as"] = function(v, dtype, byte_offset)
  S.check_dtype(dtype, ":as")
  byte_offset = S.a_scalar(byte_offset or 0, ":as: byte offset")
  local n = #v.dims
  if n == 0 or not equal(v.strides[n], 1) then fail(":as: the last axis of view '%s' is not contiguous", v.name) end
  local from, to = core.dtypes[v.dtype].bits, core.dtypes[dtype].bits
  if type(byte_offset) == "number" and (byte_offset < 0 or byte_offset * 8 % to ~= 0) then
    fail(":as: the byte offset %d is not a multiple of the size of %s", byte_offset, dtype)
  end
  local skip = rescale(byte_offset, 8, to, ":as", "the byte offset")
  local dims, strides = copy(v.dims), copy(v.strides)
  local bits = S.scalar("*", v.dims[n], from)
  dims[n] = from == to and S.scalar("-", v.dims[n], skip) or S.scalar("-", S.scalar("//", bits, to), skip)
  if type(dims[n]) == "number" and dims[n] < 0 then fail(":as: the byte offset lies beyond the row of view '%s'", v.name) end
  for i = 1, n - 1 do strides[i] = rescale(v.strides[i], from, to, ":as", "a stride") end
  local offset = S.scalar("+", rescale(v.offset, from, to, ":as", "the offset"), skip)
  return make(v, { dtype = dtype, offset = offset, dims = dims, strides = strides })
end

-- ---- indexing

local index_cure = "an index is a range (keeps the axis), a number, dim or rank-0 tile (drops it), or a rank-1 integer tile (gathers)"

-- Operands, shape and axes of V[{…}]; vector = an index is a rank-1 tile.
local function indices(v, list, who)
  if #list ~= #v.dims then
    fail("%s: view '%s' has %d ax%s, the index %d", who, v.name, #v.dims, #v.dims == 1 and "is" or "es", #list)
  end
  local operands, shape, axes, vector = { value_of(v) }, {}, {}, false
  for i = 1, #list do
    local x = list[i]
    local k = kind(x)
    if k == "range" then
      operands[i + 1] = S.range_value(x)
      shape[#shape + 1] = x.len
      axes[#shape] = x
    elseif k == "tile" and #x.shape == 1 then
      if vector then fail("%s: only one axis may be indexed by a vector", who) end
      if not S.is_int(x.dtype) or x.dtype == "i1" then fail("%s: index %d must be an integer tile, not %s", who, i, S.describe(x)) end
      vector = true
      operands[i + 1] = x
      shape[#shape + 1] = x.shape[1]
    elseif k == "number" or k == "dim" or k == "tile" then
      operands[i + 1] = S.scalar_tile(S.a_scalar(x, ("%s: index %d"):format(who, i)))
    else
      fail("%s: index %d is %s; %s", who, i, S.describe(x), index_cure)
    end
  end
  return operands, shape, axes, vector
end

local index_keys = { fill = true }
local function index_list(v, list, who)
  if kind(list) ~= "table" then
    fail("view '%s' is indexed with braces: %s[{…}], not %s[%s]; %s",
         v.name, v.name, v.name, kind(list) == "string" and list or kind(list), index_cure)
  end
  for key in pairs(list) do
    if type(key) ~= "number" and not index_keys[key] then fail("%s: unknown key '%s' in the index; there is fill=", who, tostring(key)) end
  end
end

local function load(v, list)
  index_list(v, list, "load")
  local operands, shape, axes, vector = indices(v, list, ("load from '%s'"):format(v.name))
  local attrs, fill = {}, list.fill
  if rawequal(fill, S.any) then
    attrs.any = 1
  elseif fill ~= nil then
    if kind(fill) ~= "number" then fail("fill= is a number or tg.any, not %s", S.describe(fill)) end
    attrs.fill = S.is_int(v.dtype) and math.tointeger(fill) or fill + 0.0
    if S.is_int(v.dtype) and math.type(attrs.fill) ~= "integer" then fail("fill=%s does not fit %s", tostring(fill), v.dtype) end
  end
  local t = S.emit(vector and "gather" or "load", operands, attrs)
  return S.note(t, "axes", #shape > 0 and axes or nil)
end

-- The tile to store: literals take dtype and shape, smaller tiles broadcast.
-- How a value of one shape gets the other: only what keeps every element at its place, or plainly the transpose.
local function shape_cure(from, to)
  if #from == 2 and #to == 2 and from[1] == to[2] and from[2] == to[1] then return "; write .T" end
  local a, b = {}, {}
  for _, n in ipairs(from) do a[#a + 1] = n > 1 and n or nil end
  for _, n in ipairs(to) do b[#b + 1] = n > 1 and n or nil end
  return S.same_shape(a, b) and ("; write :reshape(%s)"):format(table.concat(to, ", ")) or ""
end

local function stored(v, tile, shape, who)
  if kind(tile) == "number" or kind(tile) == "boolean" then return S.literal(tile, v.dtype, shape, who) end
  if kind(tile) == "dim" then tile = S.dim_tile(tile) end
  S.a_tile(tile, who)
  if tile.dtype ~= v.dtype then
    local widens = S.is_int(tile.dtype) and S.is_int(v.dtype) and tile.dtype ~= "i1"
    fail("%s: '%s' is %s, the value %s; convert it with :to(tg.%s%s)", who, v.name, v.dtype, tile.dtype, v.dtype,
         S.finite[v.dtype] and not widens and ', "sat"' or "")
  end
  if S.same_shape(tile.shape, shape) then return tile end
  if #tile.shape <= #shape then
    local fits, shift = true, #shape - #tile.shape
    for i = 1, #tile.shape do fits = fits and (tile.shape[i] == 1 or tile.shape[i] == shape[i + shift]) end
    if fits then return S.broadcast_to(tile, shape) end
  end
  fail("%s: the index selects %s, the value is %s%s", who, v.dtype .. S.shape_text(shape), S.describe(tile), shape_cure(tile.shape, shape))
end

local function masked(mask, shape, who)
  S.a_tile(mask, who .. ": the mask")
  if mask.dtype ~= "i1" then fail("%s: the mask must be i1, not %s; make it with :lt, :eq, …", who, mask.dtype) end
  if #mask.shape > #shape then fail("%s: the mask is %s, the index selects %s", who, S.describe(mask), S.shape_text(shape)) end
  for i = 1, #mask.shape do
    local m = mask.shape[i]
    if m ~= 1 and m ~= shape[i + #shape - #mask.shape] then
      fail("%s: the mask is %s, the index selects %s", who, S.describe(mask), S.shape_text(shape))
    end
  end
  return S.broadcast_to(mask, shape)
end

-- V:store({…}, tile [, mask]); V[{…}] = tile is the form without mask.
local function store(v, list, tile, mask)
  local who = ("store to '%s'"):format(v.name)
  index_list(v, list, who)
  if list.fill ~= nil then fail("%s: fill= is for loads", who) end
  if v.readonly then fail("%s: it is an input; declare it with k.output or k.inout", who) end
  local operands, shape, _, vector = indices(v, list, who)
  operands[#operands + 1] = stored(v, tile, shape, who)
  if mask ~= nil then operands[#operands + 1] = masked(mask, shape, who) end
  S.emit_op(vector and "scatter" or "store", operands, mask ~= nil and { mask = 1 } or {})
end

methods.store = store

local atomic_kinds = { add = true, min = true, max = true, ["and"] = true, ["or"] = true, xor = true, exch = true }
-- V:atomic(kind, {…}, tile [, {mask, order, scope}]) gives the old values.
function methods.atomic(v, what, list, tile, o)
  local who = ("atomic on '%s'"):format(v.name)
  if not atomic_kinds[what] then
    fail('%s: the kind is "add", "min", "max", "and", "or", "xor" or "exch", not %s', who, S.describe(what))
  end
  o = S.options(o, who, { mask = true, order = true, scope = true })
  index_list(v, list, who)
  if v.readonly then fail("%s: it is an input; declare it with k.output or k.inout", who) end
  local operands, shape = indices(v, list, who)
  operands[#operands + 1] = stored(v, tile, shape, who)
  if o.mask ~= nil then operands[#operands + 1] = masked(o.mask, shape, who) end
  return S.emit("atomic", operands, { kind = what, order = o.order, scope = o.scope, mask = o.mask ~= nil and 1 or nil })
end

S.guard(methods, "view", "V")

View.__index = function(v, key)
  if type(key) == "string" then
    local own = v[fields][key]
    if own ~= nil then return own end
    local m = methods[key]
    if m then return m end
    if key == "readonly" then return v.param.readonly end
    fail("views have no method '%s'; there is :slice, :split, :merge, :reshape, :permute, :broadcast, :as, :store, :atomic", key)
  end
  return load(v, key)
end
View.__newindex = function(v, key, tile)
  if type(key) == "string" then fail("view '%s': cannot set '%s'; store with %s[{…}] = tile", v.name, key, v.name) end
  store(v, key, tile)
end
View.__name = "view"
View.__tostring = function(v) return S.describe(v) end
View.__len = function(v) fail("'#' on view '%s': its dims are dims of the kernel", v.name) end
local function arithmetic() fail("arithmetic on a view: load a tile first: V[{…}]") end
for event in ("add sub mul div idiv mod unm pow band bor bxor bnot shl shr lt le concat"):gmatch "%a+" do
  View["__" .. event] = arithmetic
end

return methods
