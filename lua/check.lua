-- What the checks of rewrite.c say when they see a tile. Values come back unchanged unless they are tiles (or dims compared with numbers),
-- so nothing is reported that did not happen.
local S = ...
local M = {}

local kind, fail = S.kind, S.fail

local function truth(word, cure)
  return function(x)
    if kind(x) == "tile" then fail("a tile under '%s' is always true in Lua; %s", word, cure) end
    return x
  end
end
local conditional = "use tg.where(cond, a, b) for elements, tg.when(cond, body) for a whole block"
M.checks = {
  __tg_if = truth("if", conditional),
  __tg_while = truth("while", "use tg.loop(init…, cond, body)"),
  __tg_until = truth("until", "use tg.loop(init…, cond, body)"),
  __tg_and = truth("and", "use a & b on i1 tiles"),
  __tg_or = truth("or", "use a | b on i1 tiles; a default for nil is written `if x == nil then`"),
  __tg_not = truth("not", "use ~a on an i1 tile"),
  __tg_for = function(x)
    local k = kind(x)
    if k == "tile" then fail("a tile as a bound of 'for': Lua's loops run at trace time; use tg.range(start, len, end):fold or :each") end
    if k == "dim" then
      fail("dim %s as a bound of 'for': Lua's loops run at trace time; use %s:by(n):fold or :each", tostring(x), tostring(x))
    end
    return x
  end,
  __tg_key = function(x)
    if kind(x) == "tile" then
      fail("a tile as an index or key: index tensors with braces, V[{…}]; a Lua table would tell tiles apart by identity")
    end
    return x
  end,
}

local function comparable(op, method, a, b)
  local x, y = kind(a), kind(b)
  if (x == "tile" and b ~= nil) or (y == "tile" and a ~= nil) then
    fail("'%s' on tiles yields one Lua boolean; use a:%s(b) and tg.where", op, method)
  end
  if (x == "dim" and b ~= nil) or (y == "dim" and a ~= nil) then
    fail("'%s' on %s and %s: dims are known at launch, not at trace time; use k.static for a number", op, S.describe(a), S.describe(b))
  end
end
function M.checks.__tg_eq(a, b)
  comparable("==", "eq", a, b)
  return a == b
end
function M.checks.__tg_ne(a, b)
  comparable("~=", "ne", a, b)
  return a ~= b
end

return M
