-- tg.kernel and the object `k` that its function gets: declarations, then launches.
--
-- A kernel's function runs twice in its life or more: once for the signature, up to the first k.blocks, and once for each full trace.
local S = ...
local core, fail, kind, D = S.core, S.fail, S.kind, S.D

local M = {}
local stop = setmetatable({}, { __tostring = function() return "end of the signature" end })

-- ---- settings: options and meta-parameters

local function text_of(x)
  if math.type(x) ~= "float" then return tostring(x) end
  return (x == math.floor(x) and x < 2 ^ 53 and x > -2 ^ 53 and "%d" or "%.17g"):format(x)
end

local function names_in(list)
  local t = {}
  for i, x in ipairs(list) do t[i] = text_of(x) end
  return table.concat(t, ", ")
end

local function check_name(name, who)
  if kind(name) == "table" then fail("%s is called with a dot, not a colon", who) end
  if type(name) ~= "string" or not name:match("^[%a_][%w_]*$") then
    fail("%s: a name is letters, digits and _, not %s", who, S.describe(name))
  end
  return name
end

local function declaring(who)
  local t = S.trace
  if not t then fail("%s belongs inside tg.kernel(name, function(k) … end)", who) end
  if t.launches > 0 or #t.open > 0 then fail("%s: declarations come before the first k.blocks", who) end
  return t
end

-- The value in force: from the settings, of the same type as the default, one of the allowed ones, not below `least`.
local function setting(who, name, default, allowed, setting_kind, least)
  local t = declaring(who)
  if t.names[name] then fail("%s: '%s' is declared twice", who, name) end
  t.names[name] = true
  local value, given = default, t.settings[name]
  if given ~= nil then
    value = given
    if type(default) == "number" then
      value = tonumber(given)
      if not value or value - value ~= 0 then
        fail("setting %s=%s: it must be a number%s", name, given, #allowed > 0 and ", one of " .. names_in(allowed) or "")
      end
      value = math.tointeger(value) or value
      if setting_kind == "tune" and math.type(value) ~= "integer" then fail("setting %s=%s: it must be an integer", name, given) end
    end
    local found = #allowed == 0
    for _, x in ipairs(allowed) do found = found or x == value end
    if not found then fail("setting %s=%s is not allowed; it is one of %s", name, given, names_in(allowed)) end
    if least and value < least then fail("setting %s=%s is not allowed; it is a number of at least %s", name, given, text_of(least)) end
  end
  local texts = {}
  for i, x in ipairs(allowed) do texts[i] = text_of(x) end
  core.setting(t.handle, { name = name, kind = setting_kind, value = text_of(value), fallback = text_of(default), allowed = texts })
  return value
end

local k = {}

-- The letter that shapes know an option's value by: a dim that the option fixes.
local function fixed_letter(t, letter, value, name)
  local who = ("k.option('%s')"):format(name)
  check_name(letter, who .. ": letter")
  if math.type(value) ~= "integer" or value < 0 then
    fail("%s: a letter stands for an integer, 0 or more, not %s", who, S.describe(value))
  end
  if t.names[letter] then fail("%s: '%s' is declared twice", who, letter) end
  t.names[letter], t.symbols[#t.symbols + 1] = true, letter
  local fixed = t.statics[letter]
  if fixed ~= nil and tonumber(fixed) ~= value then
    fail("%s = %s contradicts the option %s=%d: change it with --set", letter, fixed, name, value)
  end
  core.static(t.handle, letter, value)
end

-- k.option(name, default, allowed… [, {min = n, letter = "E"}]): a Lua number or string, from --set.
function k.option(name, default, ...)
  check_name(name, "k.option")
  if type(default) ~= "number" and type(default) ~= "string" then
    fail("k.option('%s', default, allowed…): the default is a number or a string, not %s", name, S.describe(default))
  end
  local allowed, o = { ... }, nil
  if kind(allowed[#allowed]) == "table" then o = table.remove(allowed) end
  o = S.options(o, "k.option", { min = true, letter = true })
  local least = o.min
  if least ~= nil and (#allowed > 0 or type(default) ~= "number" or type(least) ~= "number" or not (default >= least)) then
    fail("k.option('%s', default, {min = n}): a number, its default not below n", name)
  end
  for _, x in ipairs(allowed) do
    if type(x) ~= type(default) then
      fail("k.option('%s'): allowed values are %ss like the default, not %s", name, type(default), S.describe(x))
    end
  end
  if #allowed > 0 then
    local found = false
    for _, x in ipairs(allowed) do found = found or x == default end
    if not found then table.insert(allowed, 1, default) end
  end
  local value = setting("k.option", name, default, allowed, "option", least)
  if o.letter ~= nil then fixed_letter(S.trace, o.letter, value, name) end
  return value
end

-- k.tune(name, values… [, {default = v}]): an integer, from --set, the tuner, the machine's description or the default (the first value
-- when none is named).
function k.tune(name, ...)
  check_name(name, "k.tune")
  local allowed, o = { ... }, nil
  if kind(allowed[#allowed]) == "table" then o = table.remove(allowed) end
  o = S.options(o, "k.tune", { default = true })
  if #allowed == 0 then fail("k.tune('%s', values…) wants at least one value", name) end
  local default, found = o.default or allowed[1], false
  for i, x in ipairs(allowed) do
    allowed[i] = kind(x) == "number" and math.tointeger(x) or fail("k.tune('%s'): values are integers, not %s", name, S.describe(x))
    found = found or allowed[i] == default
  end
  if not found then fail("k.tune('%s'): the default %s is not among the values", name, S.describe(default)) end
  return setting("k.tune", name, default, allowed, "tune")
end

-- ---- dims, statics, parameters

local function symbol(name, who)
  local t = declaring(who)
  check_name(name, who)
  if t.names[name] then fail("%s: '%s' is declared twice", who, name) end
  t.names[name], t.symbols[#t.symbols + 1] = true, name
  local text = t.statics[name]
  if text == nil then return t, nil end
  local value = math.tointeger(tonumber(text))
  if not value or value < 0 then fail("%s=%s: a dim is an integer, 0 or more", name, text) end
  return t, value
end

function k.dim(name)
  local t, value = symbol(name, "k.dim")
  if value then
    core.static(t.handle, name, value)
  else
    core.dim(t.handle, name)
  end
  return D.sym(name, value)
end

-- A Lua number in a full trace; in the signature a dim, to be used in dims alone.
function k.static(name)
  local t, value = symbol(name, "k.static")
  core.static(t.handle, name, value or -1)
  if t.signature then return D.sym(name) end
  if not value then fail("k.static: '%s' has no value; it is taken from the tensors' shapes or given as --fix %s=…", name, name) end
  return value
end

function k.scalar(name, dtype)
  local t = declaring("k.scalar")
  check_name(name, "k.scalar")
  S.check_dtype(dtype, "k.scalar")
  core.param(t.handle, { name = name, kind = "scalar", dtype = dtype, dims = {}, flags = {} })
  return S.object({ scalar = name, dtype = dtype, shape = {}, region = t.root }, S.Tile)
end

local function dim_expr(d, who)
  if kind(d) == "number" and math.tointeger(d) then
    if d < 0 then fail("%s: a dim is negative: %d", who, d) end
    return D.expr(math.tointeger(d))
  end
  if kind(d) == "dim" then return D.expr(d) end
  fail("%s: dims are dims, expressions over them or integers, not %s", who, S.describe(d))
end

local allowed_options = {
  input = { packed = true, index = true, none = true, drops = true, offsets = true },
  output = { optional = true },
  inout = {},
  workspace = { zero = true },
}

local function tensor(param_kind)
  return function(name, dtype, ...)
    local who = "k." .. param_kind
    local t = declaring(who)
    check_name(name, who)
    who = ("k.%s('%s')"):format(param_kind, name)
    S.check_dtype(dtype, who)
    local dims, o = { ... }, nil
    if kind(dims[#dims]) == "table" then o = table.remove(dims) end
    o = S.options(o, who, allowed_options[param_kind])
    if #dims > 4 then fail("%s: a tensor has at most 4 axes, not %d", who, #dims) end
    local exprs, packed = {}, nil
    for i, d in ipairs(dims) do exprs[i] = dim_expr(d, who) end
    if o.packed then
      if #o.packed ~= 2 and #o.packed ~= 3 then fail("%s: packed = {N, K} names the logical dims, {N, K, E} those of E matrices", who) end
      packed = {}
      for i, d in ipairs(o.packed) do packed[i] = dim_expr(d, who) end
    end
    local index, offsets = o.index and dim_expr(o.index, who), o.offsets and dim_expr(o.offsets, who)
    core.param(t.handle, { name = name, kind = param_kind, dtype = dtype, dims = exprs, packed = packed, index = index, offsets = offsets,
                           flags = { optional = o.optional, zero = o.zero, none = o.none, drops = o.drops } })
    local v = S.param_view(name, dtype, dims)
    v.param.readonly = param_kind == "input"
    return v
  end
end
k.input, k.output, k.inout, k.workspace = tensor "input", tensor "output", tensor "inout", tensor "workspace"

-- ---- launches

-- k.blocks(axis…, function(index…) … end): one launch; an axis is a range (its blocks' ranges are passed on) or a dim or number
-- (coordinates are).
function k.blocks(...)
  local t = S.trace
  if not t then fail("k.blocks belongs inside tg.kernel(name, function(k) … end)") end
  if #t.open > 0 then
    fail("k.blocks inside the %s opened at line %d: launches follow each other, they do not nest",
         t.open[#t.open].what, t.open[#t.open].line)
  end
  local axes = { ... }
  local body = table.remove(axes)
  if type(body) ~= "function" then fail("k.blocks(axis…, function(…) … end): the last argument must be a function") end
  if #axes > 4 then fail("k.blocks: a grid has at most 4 axes, not %d", #axes) end
  if t.signature then error(stop, 0) end
  if #axes == 0 then axes[1] = 1 end
  local grid = {}
  for i, a in ipairs(axes) do
    local blocks
    if kind(a) == "range" then
      if kind(a.start) == "tile" or kind(a.stop) == "tile" then
        fail("k.blocks: axis %d is a range over loaded values; a grid is known at launch", i)
      end
      blocks = S.scalar("cdiv", S.scalar("-", a.stop, a.start), a.len)
    elseif kind(a) == "dim" or kind(a) == "number" then
      blocks = S.a_scalar(a, "k.blocks: axis " .. i)
    else
      fail("k.blocks: axis %d is %s; an axis is a range (M:by(64)), a dim or a number", i, S.describe(a))
    end
    grid[i] = D.expr(D.resolve(blocks))
  end
  core.launch_begin(t.handle, grid)
  t.launches = t.launches + 1
  local region = S.open_region("k.blocks")
  local args = {}
  for i, a in ipairs(axes) do
    local pid = S.emit("pid", {}, { axis = i - 1 })
    if kind(a) == "range" then
      local start = S.scalar("*", pid, a.len)
      args[i] = S.make_range(a.start == 0 and start or S.scalar("+", start, a.start), a.len, a.stop, nil, true)
    else
      args[i] = pid
    end
  end
  if select("#", body(table.unpack(args))) > 0 then fail("k.blocks: its function returned a value; results are stored: V[{…}] = tile") end
  S.close_region(region)
  core.launch_end(t.handle)
end

setmetatable(k, {
  __index = function(_, key)
    fail("k has no '%s'; there is k.dim, static, option, scalar, input, output, inout, workspace, tune, blocks", tostring(key))
  end,
})
local shown = S.frozen(k, function() fail("k cannot be changed") end)

-- ---- kernels and their traces

local Kernel = {}
M.Kernel = Kernel
Kernel.__name = "kernel"

function S.kernel(name, fn)
  check_name(name, "tg.kernel")
  if type(fn) ~= "function" then fail("tg.kernel('%s', function(k) … end): the second argument must be a function", name) end
  local file, line = core.where()
  return setmetatable({ name = name, fn = fn, file = file, line = line }, Kernel)
end

-- What a file returned, if it is a kernel.
function S.returned_kernel(x, file)
  if getmetatable(x) == Kernel then return x end
  error(("%s: a kernel's file must return tg.kernel(name, function(k) … end), not %s"):format(file, S.describe(x)), 0)
end

-- settings, statics: tables of text by name. Returns the core's kernel.
function M.trace(kernel, signature, settings, statics)
  local outer = S.trace
  local handle = core.kernel_new(kernel.name, kernel.file, kernel.line)
  local t = { handle = handle, name = kernel.name, signature = signature, settings = settings, statics = statics,
              names = {}, symbols = {}, open = {}, launches = 0, nops = 0, root = { open = true, what = "kernel", line = kernel.line } }
  t.root.trace = t
  S.trace = t
  local ok, err = core.pcall(kernel.fn, shown)
  if ok and t.launches == 0 then ok, err = core.pcall(fail, "the kernel has no k.blocks(…)") end
  local left = t.open[#t.open]
  if ok and left then ok, err = core.pcall(fail, "the %s opened at line %d was left open", left.what, left.line) end
  if ok or rawequal(err, stop) then
    for name in pairs(statics) do
      local known = false
      for _, s in ipairs(t.symbols) do known = known or s == name end
      if not known then
        local symbols = #t.symbols > 0 and table.concat(t.symbols, ", ") or "none"
        ok, err = false, ("kernel '%s' has no dim or static '%s'; it has %s"):format(kernel.name, name, symbols)
        break
      end
    end
  end
  if type(err) == "string" and not err:find("in kernel '", 1, true) then -- Lua's own words
    err = err:gsub("^([^:\n]+:%d+: )", ("%%1in kernel '%s': "):format(kernel.name), 1)
  end
  t.root.open = false
  for _, r in ipairs(t.open) do r.open = false end
  S.trace = outer
  if not ok and not rawequal(err, stop) then error(err, 0) end
  if not signature then core.verify(handle) end
  return handle
end

return M
