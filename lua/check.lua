-- Sees what metamethods cannot: a tile under if, while, until, and, or, not, ==, ~=, as a loop's bound or a table's key.
--
-- A source that Lua has already accepted is parsed once more, and the operands of those constructs are passed through checking functions:
-- `if E then` becomes `if __tg_if(E) then`, `A == B` becomes `__tg_eq(A, B)`. Values come back unchanged unless they are tiles (or dims compared
-- with numbers), so nothing is reported that did not happen. Lines stay as they are.
local S = ...
local M = {}

-- ---- tokens

local two = { ["=="] = true, ["~="] = true, ["<="] = true, [">="] = true, ["//"] = true, ["::"] = true, ["<<"] = true, [">>"] = true, [".."] = true }
local keywords = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true until while"):gmatch("%a+") do
  keywords[word] = true
end

local function long_bracket_end(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, stop = text:find("]" .. level .. "]", at, true)
  return stop or #text
end

local function string_end(text, at)
  local quote = text:sub(at, at)
  local i = at + 1
  while true do
    i = text:find("[\\" .. quote .. "]", i)
    if not i then return #text end
    if text:byte(i) ~= 92 then return i end
    i = i + 2
  end
end

local function skip_space(text, at)
  while true do
    at = text:find("%S", at)
    if not at then return #text + 1 end
    if text:sub(at, at + 1) ~= "--" then return at end
    local stop = long_bracket_end(text, at + 2)
    at = stop and stop + 1 or (text:find("\n", at, true) or #text) + 1
  end
end

-- Kinds, first bytes and last bytes of all tokens. A kind is the keyword or operator itself, or "name", "number", "string".
local function tokens(text)
  local kinds, first, last = {}, {}, {}
  local at, n = skip_space(text, 1), 0
  while at <= #text do
    local what, stop
    local c = text:sub(at, at)
    if c:match("[%a_]") then
      _, stop = text:find("^[%w_]+", at)
      local word = text:sub(at, stop)
      what = keywords[word] and word or "name"
    elseif c:match("%d") or text:match("^%.%d", at) then
      _, stop = text:find("^0[xX][%x.]*", at)
      if stop then
        local _, e = text:find("^[pP][+-]?%d+", stop + 1)
        stop = e or stop
      else
        _, stop = text:find("^[%d.]+", at)
        local _, e = text:find("^[eE][+-]?%d+", stop + 1)
        stop = e or stop
      end
      what = "number"
    elseif c == '"' or c == "'" then
      what, stop = "string", string_end(text, at)
    elseif text:match("^%[=*%[", at) then
      what, stop = "string", long_bracket_end(text, at)
    else
      local op = text:sub(at, at + 2) == "..." and "..." or text:sub(at, at + 1)
      if op ~= "..." and not two[op] then op = c end
      what, stop = op, at + #op - 1
    end
    n = n + 1
    kinds[n], first[n], last[n] = what, at, stop
    at = skip_space(text, stop + 1)
  end
  kinds[n + 1], first[n + 1], last[n + 1] = "end of file", #text + 1, #text
  return kinds, first, last
end

-- ---- parser: Lua 5.4's grammar, keeping only the extents of operands

local binary = { -- left and right priorities, as in Lua's own parser
  ["+"] = { 10, 10 }, ["-"] = { 10, 10 }, ["*"] = { 11, 11 }, ["%"] = { 11, 11 }, ["^"] = { 14, 13 }, ["/"] = { 11, 11 }, ["//"] = { 11, 11 },
  ["&"] = { 6, 6 }, ["|"] = { 4, 4 }, ["~"] = { 5, 5 }, ["<<"] = { 7, 7 }, [">>"] = { 7, 7 }, [".."] = { 9, 8 },
  ["=="] = { 3, 3 }, ["<"] = { 3, 3 }, ["<="] = { 3, 3 }, ["~="] = { 3, 3 }, [">"] = { 3, 3 }, [">="] = { 3, 3 }, ["and"] = { 2, 2 }, ["or"] = { 1, 1 },
}
local unary = { ["not"] = true, ["-"] = true, ["#"] = true, ["~"] = true }
local block_ends = { ["end"] = true, ["else"] = true, ["elseif"] = true, ["until"] = true, ["end of file"] = true }

local P = {}
P.__index = P

function P:peek() return self.kinds[self.i] end
function P:next() self.i = self.i + 1 end
function P:accept(what)
  if self.kinds[self.i] ~= what then return false end
  self.i = self.i + 1
  return true
end
function P:expect(what)
  if not self:accept(what) then error(("internal: '%s' expected at byte %d"):format(what, self.first[self.i]), 0) end
end

-- Wraps the tokens from..self.i-1 in a call. Outer calls are added later and so come first at one place.
function P:wrap(from, call)
  local a, b = self.first[from], self.last[self.i - 1]
  self.before[a] = " " .. call .. "(" .. (self.before[a] or "")
  self.after[b] = (self.after[b] or "") .. ")"
end

function P:expr_list()
  self:expr(0)
  while self:accept(",") do self:expr(0) end
end

function P:checked(call)
  local from = self.i
  self:expr(0)
  self:wrap(from, call)
end

-- A key in brackets: checked unless it is plainly a literal or a table constructor.
function P:key()
  self:expect("[")
  local from, start = self.i, self:peek()
  self:expr(0)
  local single = self.i == from + 1 and (start == "string" or start == "number")
  if not single and start ~= "{" then self:wrap(from, "__tg_key") end
  self:expect("]")
end

function P:constructor()
  self:expect("{")
  while self:peek() ~= "}" do
    if self:peek() == "[" then
      self:key()
      self:expect("=")
      self:expr(0)
    elseif self:peek() == "name" and self.kinds[self.i + 1] == "=" then
      self:next()
      self:next()
      self:expr(0)
    else
      self:expr(0)
    end
    if not (self:accept(",") or self:accept(";")) then break end
  end
  self:expect("}")
end

function P:body()
  self:expect("(")
  while self:peek() ~= ")" do self:next() end
  self:expect(")")
  self:block()
  self:expect("end")
end

function P:suffixed()
  if self:accept("(") then
    self:expr(0)
    self:expect(")")
  else
    self:expect("name")
  end
  while true do
    local what = self:peek()
    if what == "." then
      self:next()
      self:expect("name")
    elseif what == "[" then
      self:key()
    elseif what == ":" then
      self:next()
      self:expect("name")
    elseif what == "string" then
      self:next()
    elseif what == "{" then
      self:constructor()
    elseif what == "(" then
      self:next()
      if self:peek() ~= ")" then self:expr_list() end
      self:expect(")")
    else
      return
    end
  end
end

local plain = { number = true, string = true, ["nil"] = true, ["true"] = true, ["false"] = true, ["..."] = true }
function P:simple()
  local what = self:peek()
  if plain[what] then
    self:next()
  elseif what == "{" then
    self:constructor()
  elseif what == "function" then
    self:next()
    self:body()
  else
    self:suffixed()
  end
end

-- Returns the outermost operator that was read, nil for none. `a and b or c` chooses between values: only `a` is tested.
function P:expr(limit)
  local from, top = self.i, nil
  local op = self:peek()
  if unary[op] then
    self:next()
    local operand = self.i
    self:expr(12)
    if op == "not" then self:wrap(operand, "__tg_not") end
    top = op
  else
    self:simple()
  end
  op = self:peek()
  while binary[op] and binary[op][1] > limit do
    if op == "and" or (op == "or" and top ~= "and") then self:wrap(from, "__tg_" .. op) end
    local at = self.i
    self:next()
    self:expr(binary[op][2])
    if op == "==" or op == "~=" then
      self:wrap(from, op == "==" and "__tg_eq" or "__tg_ne")
      self.replaced[self.first[at]] = true
    end
    top = op
    op = self:peek()
  end
  return top
end

local statements = {}
statements["if"] = function(p)
  p:checked("__tg_if")
  p:expect("then")
  p:block()
  while p:accept("elseif") do
    p:checked("__tg_if")
    p:expect("then")
    p:block()
  end
  if p:accept("else") then p:block() end
  p:expect("end")
end
statements["while"] = function(p)
  p:checked("__tg_while")
  p:expect("do")
  p:block()
  p:expect("end")
end
statements["do"] = function(p)
  p:block()
  p:expect("end")
end
statements["repeat"] = function(p)
  p:block()
  p:expect("until")
  p:checked("__tg_until")
end
statements["for"] = function(p)
  p:expect("name")
  if p:accept("=") then
    p:checked("__tg_for")
    while p:accept(",") do p:checked("__tg_for") end
  else
    while p:peek() ~= "in" do p:next() end
    p:expect("in")
    p:expr_list()
  end
  p:expect("do")
  p:block()
  p:expect("end")
end
statements["function"] = function(p)
  while p:peek() ~= "(" do p:next() end
  p:body()
end
statements["local"] = function(p)
  if p:accept("function") then
    p:expect("name")
    return p:body()
  end
  repeat
    p:expect("name")
    if p:accept("<") then
      p:expect("name")
      p:expect(">")
    end
  until not p:accept(",")
  if p:accept("=") then p:expr_list() end
end
statements["return"] = function(p)
  if not block_ends[p:peek()] and p:peek() ~= ";" then p:expr_list() end
  p:accept(";")
end
statements["goto"] = function(p) p:expect("name") end
statements["break"] = function() end
statements["::"] = function(p)
  p:expect("name")
  p:expect("::")
end
statements[";"] = function() end

function P:block()
  while not block_ends[self:peek()] do
    local what = self:peek()
    if statements[what] then
      self:next()
      statements[what](self)
    else
      self:suffixed()
      if self:peek() == "," or self:peek() == "=" then
        while self:accept(",") do self:suffixed() end
        self:expect("=")
        self:expr_list()
      end
    end
  end
end

-- The source with its checks; the same number of lines.
function M.rewrite(text)
  if text:sub(1, 1) == "#" then text = "--" .. text end
  if text:find("_ENV", 1, true) then return text end
  local kinds, first, last = tokens(text)
  local p = setmetatable({ kinds = kinds, first = first, last = last, i = 1, before = {}, after = {}, replaced = {} }, P)
  p:block()
  p:expect("end of file")
  local out = {}
  local at = 1
  for i = 1, #kinds - 1 do
    local a, b = first[i], last[i]
    out[#out + 1] = text:sub(at, a - 1)
    out[#out + 1] = p.before[a]
    if p.replaced[a] then
      out[#out + 1] = ", "
    else
      out[#out + 1] = text:sub(a, b)
    end
    out[#out + 1] = p.after[b]
    at = b + 1
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

-- ---- the checks

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
    if k == "dim" then fail("dim %s as a bound of 'for': Lua's loops run at trace time; use %s:by(n):fold or :each", tostring(x), tostring(x)) end
    return x
  end,
  __tg_key = function(x)
    if kind(x) == "tile" then fail("a tile as an index or key: index tensors with braces, V[{…}]; a Lua table would tell tiles apart by identity") end
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
