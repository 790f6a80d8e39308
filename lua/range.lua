-- Ranges and control: a range is (start, static length, end); folds walk it, loads are indexed by it.
--
-- start and end are numbers, dims or rank-0 integer tiles. `align`: start is known to be a multiple of it.
local S = ...
local core, fail, kind, Range, D = S.core, S.fail, S.kind, S.Range, S.D
local fields = S.fields

local methods = {}
local ranges_made = 0

-- ---- arithmetic on start and end: stays symbolic as long as no tile takes part

local function a_scalar(x, who)
  local k = kind(x)
  if k == "number" then
    local i = math.tointeger(x)
    if not i then fail("%s must be an integer, not %s", who, tostring(x)) end
    return i
  end
  if k == "dim" then return x end
  if k == "tile" then
    if #x.shape ~= 0 then
      fail("%s must be a single number: a tile of rank 0, not %s; :reshape() drops axes of extent 1", who, S.describe(x))
    end
    if not S.is_int(x.dtype) or x.dtype == "i1" then fail("%s must be an integer, not %s", who, x.dtype) end
    return x
  end
  fail("%s must be a number, a dim or a rank-0 tile, not %s", who, S.describe(x))
end
S.a_scalar = a_scalar

-- The i64 tile of a scalar.
function S.scalar_tile(x)
  if type(x) == "number" then return S.const("i64", {}, x) end
  if kind(x) == "dim" then return S.dim_tile(x) end
  if x.dtype == "i64" then return x end
  local t = S.emit("cast", { x }, { to = "i64" })
  return S.note(t, "align", x.align)
end

local tile_ops = { ["+"] = "add", ["-"] = "sub", ["*"] = "mul", ["//"] = "div", min = "min", max = "max" }
function S.scalar(op, a, b)
  if kind(a) ~= "tile" and kind(b) ~= "tile" then return D.make(op, a, b) end
  if op == "cdiv" then return S.scalar("//", S.scalar("+", a, S.scalar("-", b, 1)), b) end
  if b == 1 and (op == "*" or op == "//") or b == 0 and (op == "+" or op == "-") then return a end
  return S.binary(tile_ops[op], S.scalar_tile(a), S.scalar_tile(b))
end

-- ---- making ranges

local function known_align(x)
  if type(x) == "number" then return x end
  if kind(x) == "dim" then return x.op == "*" and type(x.b) == "number" and x.b or 1 end
  return S.align_of(x)
end

-- align: start is known to be a multiple of it; nil works it out. live: known to have an element, start < stop.
function S.make_range(start, len, stop, align, live)
  align = align or S.gcd(known_align(start), len)
  ranges_made = ranges_made + 1
  local region = S.trace and S.here() or false
  local own = { start = start, len = len, stop = stop, align = align, live = live or false, id = ranges_made, region = region }
  return S.object(own, Range)
end

function S.range(start, len, stop, o)
  o = S.options(o, "tg.range", { align = true })
  start = a_scalar(start, "tg.range: start")
  len = S.extent(len, "tg.range: length")
  local whole = stop == nil
  stop = whole and S.scalar("+", start, len) or a_scalar(stop, "tg.range: end")
  return S.make_range(start, len, stop, o.align and S.extent(o.align, "tg.range: align"), whole)
end

function S.a_range(x, who)
  if kind(x) == "range" then return x end
  if kind(x) == "dim" or kind(x) == "number" then fail("%s wants a range, not %s; write %s:by(n)", who, S.describe(x), tostring(x)) end
  fail("%s wants a range, not %s", who, S.describe(x))
end

-- The IR's range value, made once per region.
function S.range_value(r)
  if r.region and not r.region.open then S.check_open(r, "range") end
  return S.cached("range " .. r.id, function()
    local attrs = { len = r.len, align = math.min(r.align, 1 << 30) }
    local _, results = S.emit_op("range", { S.scalar_tile(r.start), S.scalar_tile(r.stop) }, attrs)
    results[1].region = S.here()
    return results[1]
  end)
end

function methods.first(r)
  local t = S.scalar_tile(r.start)
  if r.align > 1 and not t.align then S.note(t, "align", r.align) end
  return t
end
function methods.last(r) return S.scalar_tile(r.stop) end
function methods.index(r)
  return S.note(S.emit("index", { S.range_value(r) }), "axes", { r })
end

-- The range's own elements in parts of n, for :each and :fold.
function methods.by(r, n)
  n = S.extent(n, "range:by")
  return S.make_range(r.start, n, S.scalar("min", r.stop, S.scalar("+", r.start, r.len)), S.gcd(r.align, n))
end

Range.__idiv = function(r, n)
  if kind(r) ~= "range" then fail("'//': a range can only be divided, not divide") end
  n = S.extent(n, "range // n")
  local len, align
  if r.len % n == 0 and r.align % n == 0 then
    len, align = r.len // n, r.align // n
  elseif n % r.len == 0 and r.align % r.len == 0 then
    len, align = 1, r.align % n == 0 and r.align // n or 1
  else
    fail("range // %d: a range of %d with starts that are multiples of %d does not lie in whole blocks of %d: "
      .. "the length must divide %d, or length and start be multiples of it",
         n, r.len, r.align, n, n)
  end
  local function make()
    local start, stop = S.scalar("//", r.start, n), nil
    if r.live or r.align % n == 0 then
      stop = S.scalar("cdiv", r.stop, n)
    else -- an empty range within a block lies in none: rounding its end up would give it the one it begins in
      stop = S.scalar("+", start, S.scalar("cdiv", S.scalar("-", r.stop, r.start), n))
    end
    return S.make_range(start, len, stop, align, r.live)
  end
  if not S.trace or not S.here() then return make() end
  return S.cached(("range %d // %d"):format(r.id, n), make)
end
Range.__name = "range"
Range.__tostring = function(r) return S.describe(r) end
Range.__index = function(r, key)
  local own = r[fields][key]
  if own ~= nil then return own end
  local m = methods[key]
  if m then return m end
  fail("ranges have no '%s'; there is :fold, :each, :by(n), :index(), :first(), :last(), .len and range // n", tostring(key))
end
Range.__newindex = function(_, key)
  fail("ranges are immutable: cannot set '%s'; tg.range(start, length, end) makes another", tostring(key))
end
local function no(op, cure)
  return function() fail("'%s' on a range: %s", op, cure) end
end
local by_index = "r:index() gives its indices as a tile, r:first() its start"
Range.__add, Range.__sub, Range.__mul, Range.__mod = no("+", by_index), no("-", by_index), no("*", by_index), no("%", by_index)
Range.__div = no("/", "write range // n for the range of n-blocks it lies in")
Range.__lt, Range.__le = no("<", by_index), no("<=", by_index)
Range.__concat, Range.__len = no("..", "ranges have no text"), no("#", "its length is r.len")

-- ---- control

local function type_text(t) return t.dtype .. S.shape_text(t.shape) end

-- The values a body returned, checked against the carried ones.
local function returned(who, carried, out, n, word)
  if n ~= #carried then
    local verb = word and "must return" or "carries"
    fail("%s %s %d value%s, its function returned %d", who, verb, #carried, #carried == 1 and "" or "s", n)
  end
  for i = 1, n do
    local want, got = carried[i], out[i]
    if kind(got) == "number" then
      out[i] = S.literal(got, want.dtype, want.shape, who)
    else
      S.a_tile(got, ("%s: value %d of what its function returned:"):format(who, i))
      if got.dtype ~= want.dtype then
        fail("%s: %s %d changes from %s to %s; convert it with :to(tg.%s)", who, word or "carried value", i, type_text(want),
          type_text(got), want.dtype)
      end
      if not S.same_shape(got.shape, want.shape) then
        fail("%s: %s %d changes its shape from %s to %s", who, word or "carried value", i, type_text(want), type_text(got))
      end
    end
  end
  return out
end

local function arguments(who, ...)
  local list = table.pack(...)
  local n = list.n
  local body = list[n]
  if n == 0 or type(body) ~= "function" then fail("%s: the last argument must be a function", who) end
  list[n] = nil
  for i = 1, n - 1 do
    if kind(list[i]) == "number" then
      fail("%s: initial value %d is a number without dtype; write tg.full(dtype, %s, shape…)", who, i, tostring(list[i]))
    end
    S.a_tile(list[i], ("%s: initial value %d:"):format(who, i))
  end
  return list, body
end

local function wrap_results(op, inits)
  local results = core.results(op)
  for i = 1, #results do
    results[i] = S.wrap(results[i])
    if inits then S.note(results[i], "axes", inits[i].axes) end
  end
  return table.unpack(results)
end

-- Runs fn as region `index` of the op; `finish(list, n)` checks what it returned and gives the values to yield.
local function region(op, index, what, make_args, fn, finish)
  local t = S.trace
  local r = S.open_region(what)
  local raw = core.region_begin(t.handle, op, index)
  local out = table.pack(fn(table.unpack(make_args(raw))))
  local values = {}
  for i, x in ipairs(finish(out, out.n)) do values[i] = S.value(x, what) end
  core.region_end(t.handle, values)
  S.close_region(r)
end

local function loop(r, who, inits, body)
  S.tracing(who)
  local operands = { S.scalar_tile(r.start), S.scalar_tile(r.stop), table.unpack(inits) }
  local op = S.emit_op("for", operands, { step = r.len })
  region(op, 0, who, function(raw)
    local args = {}
    for i = 2, #raw do
      args[i - 1] = S.note(S.wrap(raw[i]), "axes", inits[i - 1].axes)
    end
    local i = S.wrap(raw[1])
    S.note(i, "align", S.gcd(r.align, r.len))
    args[#args + 1] = S.make_range(i, r.len, r.stop, i.align, true)
    return args
  end, body, function(out, n) return returned("range:" .. who, inits, out, n) end)
  return wrap_results(op, inits)
end

function methods.fold(r, ...)
  S.a_range(r, "fold")
  local inits, body = arguments("range:fold", ...)
  if #inits == 0 then fail("range:fold needs an initial value; a loop that only stores is range:each(function(r) … end)") end
  return loop(r, "fold", inits, body)
end

function methods.each(r, ...)
  S.a_range(r, "each")
  local inits, body = arguments("range:each", ...)
  if #inits > 0 then fail("range:each carries no values; use range:fold") end
  loop(r, "each", {}, function(...)
    local n = select("#", body(...))
    if n > 0 then fail("range:each: its function returned %d value%s; use range:fold to carry values", n, n == 1 and "" or "s") end
  end)
end

local function condition(c, who)
  S.a_tile(c, who)
  if c.dtype ~= "i1" or #c.shape ~= 0 then
    fail("%s must be one truth value, i1 of rank 0, not %s; reduce it with :ror(axis) and :reshape(), or use tg.where", who, S.describe(c))
  end
  return c
end

-- tg.when(cond, then_body [, else_body]): the bodies may return values, as many and of the same types in both.
function S.when(c, yes, no_body)
  condition(c, "tg.when: the condition")
  if type(yes) ~= "function" or (no_body ~= nil and type(no_body) ~= "function") then
    fail("tg.when(cond, function() … end [, function() … end])")
  end
  local op = S.emit_op("if", { c })
  local types
  local function finish(out, n)
    if types then return returned("tg.when: the second function", types, out, n, "value") end
    for i = 1, n do S.a_tile(out[i], ("tg.when: value %d of the first function:"):format(i)) end
    if n > 0 and not no_body then fail("tg.when: a function that returns values needs a second one for the other case") end
    types = out
    return out
  end
  region(op, 0, "when", function() return {} end, yes, finish)
  region(op, 1, "when", function() return {} end, no_body or function() end, finish)
  return wrap_results(op)
end

-- tg.loop(init…, cond, body): while cond(carried…) do carried… = body(carried…) end.
function S.loop(...)
  local list = table.pack(...)
  local cond = list[list.n - 1]
  if list.n < 3 or type(cond) ~= "function" then
    fail("tg.loop(init…, function(carried…) return cond end, function(carried…) return carried… end)")
  end
  local body = list[list.n]
  list[list.n - 1] = body
  local inits = arguments("tg.loop", table.unpack(list, 1, list.n - 1))
  local op = S.emit_op("while", inits)
  local function args(raw)
    local a = {}
    for i = 1, #raw do a[i] = S.wrap(raw[i]) end
    return a
  end
  region(op, 0, "loop", args, cond, function(out, n)
    if n ~= 1 then fail("tg.loop: the condition must return one value, not %d", n) end
    return { condition(out[1], "tg.loop: the condition") }
  end)
  region(op, 1, "loop", args, body, function(out, n) return returned("tg.loop", inits, out, n) end)
  return wrap_results(op)
end

S.guard(methods, "range", "r")
return methods
