-- What the DSL's modules share: the trace in progress, errors with the user's file and line, and the one road to tg_emit.
--
-- A trace is one kernel being built: {handle, name, signature, settings, statics, fixed, open}. `open` is the stack of open regions; every
-- tile, range and view value remembers the region it was made in, so that a value that leaks out of a fold is named with the loop's line.
local core = ...

local S = { core = core, trace = nil, Tile = {}, Range = {}, View = {}, Dim = {} }

-- A table that reads like `contents` and refuses to be written to.
function S.frozen(contents, refuse) return setmetatable({}, { __index = contents, __newindex = refuse, __metatable = false }) end

-- Tiles, ranges, views and dims hold nothing but a table of fields under this key: a field of their own could be assigned to, and no
-- metamethod would see it.
local fields = {}
S.fields = fields
function S.object(own, class) return setmetatable({ [fields] = own }, class) end
-- What the modules here note about a tile: `axes`, the ranges that its axes run along, and `align`, what divides a rank-0 integer.
function S.note(t, key, value)
  t[fields][key] = value
  return t
end

local names = { [S.Tile] = "tile", [S.Range] = "range", [S.View] = "view", [S.Dim] = "dim" }
for class, name in pairs(names) do
  function class.__pairs() S.fail("pairs on a %s: it has no elements to visit", name) end
end

local regions_made = 0
S.max_ops = 50000 -- of one kernel: far above any real kernel, far below what exhausts memory

-- "tile", "range", "view", "dim", or Lua's own type.
function S.kind(x)
  local t = type(x)
  return t == "table" and names[getmetatable(x)] or t
end
local kind = S.kind

-- Raises an error at the innermost line of user code.
function S.fail(format, ...)
  local text = select("#", ...) > 0 and format:format(...) or format
  local file, line = core.where()
  local at = file and ("%s:%d: "):format(file, line) or ""
  local inside = S.trace and ("in kernel '%s': "):format(S.trace.name) or ""
  error(at .. inside .. text, 0)
end
local fail = S.fail

function S.shape_text(shape) return #shape == 0 and "" or "[" .. table.concat(shape, "x") .. "]" end

-- For messages: what a value is, in the reader's words.
function S.describe(x)
  local k = kind(x)
  if k == "tile" then return ("tile %s%s"):format(x.dtype, S.shape_text(x.shape)) end
  if k == "range" then return ("range of %d"):format(x.len) end
  if k == "view" then return ("view '%s'"):format(x.name) end
  if k == "dim" then return ("dim %s"):format(tostring(x)) end
  if k == "string" then return ('"%s"'):format(x) end
  if k == "number" or k == "boolean" then return tostring(x) end
  return k == "nil" and "nil" or "a " .. k
end

-- Makes every method say so when it is called with a dot instead of a colon.
function S.guard(methods, want, letter)
  for name, f in pairs(methods) do
    methods[name] = function(self, ...)
      if kind(self) ~= want then fail("'%s' is a method of %ss: write %s:%s(…), with a colon", name, want, letter, name) end
      return f(self, ...)
    end
  end
end

function S.check_dtype(dtype, who)
  if type(dtype) ~= "string" or not core.dtypes[dtype] then
    fail("%s: %s is not a dtype; dtypes are tg.f32, tg.bf16, tg.e4m3, tg.i32 and so on", who, S.describe(dtype))
  end
  return dtype
end
function S.is_float(dtype) return core.dtypes[dtype].float end
S.finite = { e4m3 = true, e4m3fnuz = true, e2m1 = true, e8m0 = true } -- floats without Inf
function S.is_int(dtype) return not core.dtypes[dtype].float and dtype ~= "e8m0" end

-- ---- regions

function S.tracing(who)
  local t = S.trace
  if not t then fail("%s: tiles exist only while a kernel is traced, inside tg.kernel(name, function(k) … end)", who) end
  if #t.open == 0 then fail("%s: tiles exist only inside k.blocks(…, function(…) … end)", who) end
  return t
end

function S.open_region(what, handle)
  regions_made = regions_made + 1
  local file, line = core.where()
  local r = { id = regions_made, what = what, file = file, line = line or 0, cache = {}, handle = handle, trace = S.trace, open = true }
  local open = S.trace.open
  open[#open + 1] = r
  return r
end

function S.close_region(r)
  local open = S.trace.open
  if open[#open] ~= r then
    local inner = open[#open]
    fail("the %s opened at line %d was left open: an error inside it must not be caught", inner.what, inner.line)
  end
  r.open = false
  open[#open] = nil
end

function S.here()
  local open = S.trace.open
  return open[#open]
end

-- A value may be used while the region that made it is open.
function S.check_open(x, who)
  local r = x.region
  if r.open then return end
  local what = S.kind(x)
  if S.trace and r.trace ~= S.trace and r.trace ~= nil then fail("%s: this %s belongs to another trace", who, what) end
  if r.what == "k.blocks" then
    fail("%s: this %s was made in the launch at line %d; launches share nothing but tensors: store it to a workspace and load it again",
         who, what, r.line)
  end
  fail("%s: this %s is defined inside the %s at line %d and does not exist outside; return it from the %s's function and use its result",
       who, what, r.what,
       r.line, r.what == "each" and "fold" or r.what)
end

-- ---- emitting

-- Wraps a result or region argument {v, kind, dtype, shape} as a Tile.
function S.wrap(value, region)
  value.region = region or S.here()
  return S.object(value, S.Tile)
end

-- The core value of a tile, range or view, which must be of an open region. A k.scalar becomes an op where it is first needed.
function S.value(x, who)
  local own = rawget(x, fields) or x
  if not own.region.open then S.check_open(x, who) end
  if own.v then return own.v end
  return S.cached("scalar " .. own.scalar, function()
    return S.emit("scalar", {}, { name = own.scalar, type = { kind = "tile", dtype = own.dtype, shape = {} } })
  end).v
end

-- Emits an op by name. `operands` hold a core value in field `v`; returns the op and the list of raw results.
function S.emit_op(name, operands, attrs)
  local t = S.tracing(name)
  t.nops = t.nops + 1
  if t.nops > S.max_ops then
    fail("the kernel has more than %d operations: a Lua loop unrolls at trace time; use range:fold or range:each", S.max_ops)
  end
  local v = {}
  for i = 1, #operands do
    local x = operands[i]
    v[i] = S.value(x, name)
  end
  return core.emit(t.handle, core.opcode[name], v, attrs)
end

-- Emits an op with one tile result.
function S.emit(name, operands, attrs)
  local _, results = S.emit_op(name, operands, attrs)
  return S.wrap(results[1])
end

-- Pure ops without operands (constants, expressions, params) are made once per region and found again from the regions inside it.
function S.cached(key, make)
  local open = S.tracing("this operation").open
  for i = #open, 1, -1 do
    local hit = open[i].cache[key]
    if hit then return hit end
  end
  local value = make()
  open[#open].cache[key] = value
  return value
end

function S.const(dtype, shape, value)
  local key = ("const %s%s %s"):format(dtype, S.shape_text(shape), math.type(value) == "float" and ("%a"):format(value) or value)
  return S.cached(key, function()
    local t = S.emit("const", {}, { type = { kind = "tile", dtype = dtype, shape = shape }, value = value })
    return S.note(t, "align", math.type(value) == "integer" and value or nil)
  end)
end

return S
