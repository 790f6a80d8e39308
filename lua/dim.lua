-- Launch-time integers: dims and expressions over them. A Dim is a tree {op, a, b} or {op = "sym", name}; numbers stay Lua numbers, and
-- whatever can be folded is, so that a fixed dim (--fix) costs nothing in the IR.
local S = ...
local core, fail, kind, Dim = S.core, S.fail, S.kind, S.Dim
local fields = S.fields

local D = {}
local function node(op, a, b) return S.object({ op = op, a = a, b = b, e = false, resolved = false, trace = S.trace or false }, Dim) end

local function operand(x, who)
  local k = kind(x)
  if k == "dim" then return x end
  if k == "number" then
    local n = math.tointeger(x)
    if n then return n end
    fail("%s: a dim is an integer, not %s", who, tostring(x))
  end
  fail("%s: a dim does not mix with %s", who, S.describe(x))
end

local function floordiv(a, b) return b == 0 and fail("a dim is divided by 0") or a // b end

-- a op b where it fits 64 bits, else nil: what wraps around would be taken for a small number.
local function fitting(op, a, b)
  local r
  if op == "*" then
    r = a * b
    if a ~= 0 and (r // a ~= b or (a == -1 and b == math.mininteger)) then return nil end
  elseif op == "+" then
    r = a + b
    if (a ~ r) & (b ~ r) < 0 then return nil end
  else
    r = a - b
    if (a ~ b) & (a ~ r) < 0 then return nil end
  end
  return r
end

local function exactly(op)
  return function(a, b) return fitting(op, a, b) or fail("%d %s %d does not fit 64 bits", a, op, b) end
end
local number_ops = {
  ["+"] = exactly "+",
  ["-"] = exactly "-",
  ["*"] = exactly "*",
  ["//"] = floordiv,
  cdiv = function(a, b) return floordiv(a, b) + (a % b ~= 0 and 1 or 0) end,
  min = math.min,
  max = math.max,
}

-- (x op1 n) op2 m with numbers n, m, where it folds to x op1 something. What does not fit is left to the launch, which checks it.
local function fold_chain(op, x, m)
  if kind(x) ~= "dim" or type(x.b) ~= "number" then return nil end
  if (op == "+" or op == "*") and x.op == op then
    local n = fitting(op, x.b, m)
    return n and D.make(op, x.a, n)
  end
  if (op == "//" or op == "cdiv") and x.op == "*" and m > 0 and x.b % m == 0 then return D.make("*", x.a, x.b // m) end
  if op == "//" and x.op == "//" and m > 0 and x.b > 0 and fitting("*", x.b, m) then return D.make("//", x.a, x.b * m) end
end

function D.equal(a, b)
  if type(a) == "number" or type(b) == "number" then return a == b and type(a) == type(b) end
  if rawequal(a, b) then return true end
  if a.op ~= b.op then return false end
  if a.op == "sym" then return a.name == b.name end
  return D.equal(a.a, b.a) and D.equal(a.b, b.b)
end

function D.make(op, a, b)
  a, b = operand(a, op), operand(b, op)
  if type(a) == "number" and type(b) == "number" then return number_ops[op](a, b) end
  if op == "-" and type(b) == "number" then op, b = "+", number_ops["-"](0, b) end
  if type(a) == "number" and (op == "+" or op == "*" or op == "min" or op == "max") then a, b = b, a end
  if type(b) == "number" then
    if (op == "+" and b == 0) or ((op == "*" or op == "//" or op == "cdiv") and b == 1) then return a end
    if op == "*" and b == 0 then return 0 end
    if (op == "//" or op == "cdiv") and b <= 0 then fail("%s: a dim is divided by %d, which must be positive", op, b) end
    local folded = fold_chain(op, a, b)
    if folded then return folded end
  elseif D.equal(a, b) then
    if op == "-" then return 0 end
    if op == "min" or op == "max" then return a end
  end
  return node(op, a, b)
end

function D.sym(name, value)
  return S.object({ op = "sym", name = name, value = value or false, b = false, e = false, trace = S.trace or false }, Dim)
end

-- A dim's expression and its fixed value belong to the kernel being traced when it was made.
local function check_trace(d)
  if d.trace ~= S.trace then
    fail("dim %s belongs to another trace: it was kept from one run of the kernel's function to the next", D.text(d))
  end
end

-- With fixed symbols replaced by their values: a number or a smaller Dim.
function D.resolve(d)
  if type(d) == "number" then return d end
  check_trace(d)
  if d.op == "sym" then return d.value or d end
  if not d.resolved then d[fields].resolved = D.make(d.op, D.resolve(d.a), D.resolve(d.b)) end
  return d.resolved
end

-- The greatest divisor of n that divides x whatever the symbols are.
function D.divisor(x, n)
  if type(x) == "number" then return S.gcd(n, x) end
  if x.op == "*" then return S.gcd(D.divisor(x.a, n) * D.divisor(x.b, n), n) end
  if x.op == "+" or x.op == "-" or x.op == "min" or x.op == "max" then return S.gcd(D.divisor(x.a, n), D.divisor(x.b, n)) end
  return 1
end

-- The tg_expr, symbols kept.
function D.expr(d)
  local h = S.trace.handle
  if type(d) == "number" then return core.expr_const(h, d) end
  check_trace(d)
  if not d.e then d[fields].e = d.op == "sym" and core.expr_sym(h, d.name) or core.expr_binary(h, d.op, D.expr(d.a), D.expr(d.b)) end
  return d.e
end

local rank = { ["+"] = 1, ["-"] = 1, ["*"] = 2, ["//"] = 2 }
local function text(d, outer, right)
  if type(d) == "number" then return tostring(d) end
  if d.op == "sym" then return d.name end
  if not rank[d.op] then return ("%s(%s, %s)"):format(d.op, text(d.a), text(d.b)) end
  local s = ("%s %s %s"):format(text(d.a, d.op), d.op, text(d.b, d.op, true))
  if outer and rank[outer] and (rank[outer] > rank[d.op] or (right and rank[outer] == rank[d.op])) then return "(" .. s .. ")" end
  return s
end
D.text = text

-- ---- what user code sees

local methods = {}
Dim.__index = function(d, key)
  local own = d[fields][key]
  if own ~= nil then return own end
  local m = methods[key]
  if m then return m end
  fail("dim %s has no '%s'; dims have :by(n), :cdiv(n), :min(x), :max(x)", text(d), tostring(key))
end
Dim.__newindex = function(d) fail("dim %s cannot be changed", text(d)) end
Dim.__tostring = function(d) return text(d) end
Dim.__name = "dim"

local function arithmetic(op, tile_op)
  return function(a, b)
    if kind(a) == "tile" or kind(b) == "tile" then return S.binary(tile_op, a, b) end
    return D.make(op, a, b)
  end
end
Dim.__add, Dim.__sub = arithmetic("+", "add"), arithmetic("-", "sub")
Dim.__mul, Dim.__idiv = arithmetic("*", "mul"), arithmetic("//", "div")
Dim.__unm = function(a) return D.make("-", 0, a) end
Dim.__mod = function(a, b)
  if kind(a) == "tile" or kind(b) == "tile" then return S.binary("rem", a, b) end
  return a - (a // b) * b
end
Dim.__div = function(a, b)
  if kind(a) == "tile" or kind(b) == "tile" then return S.binary("div", a, b) end
  fail("'/' on dims: write a // b to round down or a:cdiv(b) to round up")
end
local function compared(op)
  return function(a, b)
    fail("'%s' on %s and %s: dims are known at launch, not at trace time; use k.static for a number, or tiles and tg.where", op,
      S.describe(a), S.describe(b))
  end
end
Dim.__lt, Dim.__le, Dim.__eq = compared "<", compared "<=", compared "=="
Dim.__concat = function(a, b) return tostring(a) .. tostring(b) end
Dim.__len = function(d) fail("'#' on dim %s", text(d)) end
Dim.__call = function(d) fail("dim %s is called like a function; index tensors with brackets: V[{…}]", text(d)) end

-- Also the methods of plain numbers, so that statics, options and literals read like dims.
function methods.cdiv(a, b)
  if kind(b) == "tile" then fail("cdiv by a tile: write (d + t - 1) // t") end
  return D.make("cdiv", a, b)
end
function methods.min(a, b) return kind(b) == "tile" and S.binary("min", a, b) or D.make("min", a, b) end
function methods.max(a, b) return kind(b) == "tile" and S.binary("max", a, b) or D.make("max", a, b) end
function methods.by(a, n)
  n = S.extent(n, "by")
  return S.make_range(0, n, a, n)
end
D.methods = methods

core.number_methods(function(x, key)
  local m = methods[key]
  if m then return m end
  fail("attempt to index a number (%s) with '%s'; numbers have :by(n), :cdiv(n), :min(x), :max(x)", tostring(x), tostring(key))
end)

return D
