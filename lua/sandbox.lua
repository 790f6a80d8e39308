-- What a kernel's file sees: the parts of Lua that compute, `require "tegula"`, and the checks of check.lua. No files, no processes, no way to
-- hide an error from the tracer, and nothing that runs long inside C.
local core, S, tg, check = ...

local max_text = 1 << 20 -- bytes that string.rep may make

local lua_rep = string.rep
local function rep(text, n, separator)
  local each = #tostring(text) + (separator and #separator or 0)
  n = math.tointeger(tonumber(n)) or S.fail("string.rep: the count must be an integer, not %s", S.describe(n))
  if n > max_text or each * n > max_text then S.fail("string.rep: %d copies of %d bytes are more than %d bytes", n, #text, max_text) end
  return lua_rep(text, n, separator)
end

local function keep(library, names)
  local copy = {}
  for name in names:gmatch("%S+") do copy[name] = library[name] end
  return copy
end

local function environment()
  local env = keep(_G, "assert error ipairs next pairs rawequal rawlen select tonumber tostring type _VERSION")
  env.string = keep(string, "byte char find format gmatch gsub len lower match reverse sub upper")
  env.string.rep = rep
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

-- Methods of strings (("x"):rep(n)) obey the same limit.
local function restrict_strings()
  local methods = keep(string, "byte char find format gmatch gsub len lower match reverse sub upper")
  methods.rep = rep
  core.string_methods(methods)
end

-- Runs a kernel's file and gives what it returned.
local function load_kernel(text, name)
  if text:sub(1, 1) == "#" then text = "--" .. text end
  core.load(text, name)
  local chunk = core.load(check.rewrite(text), name, environment())
  local ok, result = core.pcall(chunk)
  if not ok then error(result, 0) end
  return result
end

return { restrict_strings = restrict_strings, load_kernel = load_kernel }
