-- What a kernel's file sees: the parts of Lua that compute, `require "tegula"`, and the checks of check.lua. No files, no processes, no way
-- to hide an error from the tracer, and nothing that runs long inside C.
local core, S, tg, check = ...

local max_text = 1 << 20 -- bytes that string.rep may make

local lua_rep = string.rep
local function rep(text, n, separator)
  local each = #tostring(text) + (separator and #separator or 0)
  n = math.tointeger(tonumber(n)) or S.fail("string.rep: the count must be an integer, not %s", S.describe(n))
  if n > max_text or each * n > max_text then S.fail("string.rep: %d copies of %d bytes are more than %d bytes", n, #text, max_text) end
  return lua_rep(text, n, separator)
end

-- Lua's pattern matcher backtracks inside C, where no limit on steps reaches it. What a pattern can cost at most is known from its form:
-- every unbounded repetition tries each length, a missing ^ each beginning, and every ? doubles.
local max_pattern, max_tries = 1000, 2 ^ 30
local forms, nforms = {}, 0 -- by pattern
local lua_find, lua_match, lua_gsub, lua_gmatch = string.find, string.match, string.gsub, string.gmatch

local function form_of(pattern)
  local form = forms[pattern]
  if form then return form end
  local literal = lua_gsub(pattern, "%%.", function(item) return lua_find(item, "[b1-9]", 2) and item or "x" end)
  literal = lua_gsub(literal, "%[%^?%]?[^%]]*%]", "x")
  local _, powers = lua_gsub(literal, "[*+-]", "")
  local _, doubles = lua_gsub(literal, "?", "")
  local _, linear = lua_gsub(literal, "%%[b1-9]", "")
  form = { powers = powers + (lua_find(pattern, "^%^") and 0 or 1), factor = 2.0 ^ doubles, linear = linear > 0 }
  if nforms == 1000 then forms, nforms = {}, 0 end
  forms[pattern], nforms = form, nforms + 1
  return form
end

local function check_pattern(name, text, pattern)
  local n = #text + 1
  if #pattern > max_pattern then S.fail("string.%s: a pattern may have %d bytes, this one has %d", name, max_pattern, #pattern) end
  local form = form_of(pattern)
  if form.factor * n ^ form.powers * (form.linear and n or 1) > max_tries then
    S.fail("string.%s: matching this pattern in a text of %d bytes could take too long; "
      .. "use fewer of * + - ?, begin it with ^, or cut the text up first", name, #text)
  end
end

local function is_text(x) return type(x) == "string" or type(x) == "number" end
local function bounded(name, call)
  return function(text, pattern, ...)
    if is_text(text) and is_text(pattern) then check_pattern(name, tostring(text), tostring(pattern)) end -- else an error of Lua's own
    return call(text, pattern, ...)
  end
end

local function find(text, pattern, init, plain)
  if not plain and is_text(text) and is_text(pattern) then check_pattern("find", tostring(text), tostring(pattern)) end
  return lua_find(text, pattern, init, plain)
end

local function keep(library, names)
  local copy = {}
  for name in names:gmatch("%S+") do copy[name] = library[name] end
  return copy
end

local function strings()
  local list = keep(string, "byte char format len lower reverse sub upper")
  list.rep, list.find = rep, find
  list.match, list.gsub, list.gmatch = bounded("match", lua_match), bounded("gsub", lua_gsub), bounded("gmatch", lua_gmatch)
  return list
end

-- What a tile, range, view or dim is made of is not the kernel's to visit, and so not to change; pairs asks their __pairs.
local sealed = { tile = true, range = true, view = true, dim = true }
local function visit(x, ...)
  local k = S.kind(x)
  if sealed[k] then S.fail("next on a %s: it has no elements to visit", k) end
  return next(x, ...)
end

local function environment()
  local env = keep(_G, "assert error ipairs pairs rawequal rawlen select tonumber tostring type _VERSION")
  env.next = visit
  env.string = strings()
  env.table = keep(table, "concat insert pack remove sort unpack")
  env.math = keep(math, "abs ceil exp floor fmod huge log max maxinteger min mininteger modf pi sqrt tointeger type ult")
  env.utf8 = keep(utf8, "char charpattern codepoint len offset")
  env.print = function(...)
    local list = table.pack(...)
    for i = 1, list.n do list[i] = tostring(list[i]) end
    core.log(table.concat(list, "\t"))
  end
  env.require = function(name)
    if name ~= "tegula" then S.fail("require '%s': a kernel's file may only require \"tegula\"", tostring(name)) end
    return tg
  end
  for name, f in pairs(check.checks) do env[name] = f end
  return setmetatable(env, {
    __index = function(_, name) S.fail("'%s' is not defined here; is a local missing or misspelt?", tostring(name)) end,
    __newindex = function(_, name) S.fail("assignment to the global '%s'; write local %s", tostring(name), tostring(name)) end,
    __metatable = false,
  })
end

-- Methods of strings (("x"):rep(n)) obey the same limits.
local function restrict_strings() core.string_methods(strings()) end

-- Runs a kernel's file and gives the kernel that it returned.
local function load_kernel(text, name)
  local ok, result = core.pcall(core.load(text, name, environment()))
  if not ok then error(result, 0) end
  return S.returned_kernel(result, name:sub(2))
end

return { restrict_strings = restrict_strings, load_kernel = load_kernel }
