-- usage: lua machines.gen.lua MACHINES_DIR OUT.c MACHINE.lua…
-- Evaluates every machine description in an empty environment, checks it, and writes the C tables of targets/machines.h.
-- A description returns
--   { name = "a100", target = "nvptx:sm_80", arch = "sm_80", features = "", doc = "…",
--     figures = { warp = { 32, source = "the document that states it" }, … },
--     defaults = { { "gemm_bf16", BM = 128, warps = 8 }, { "mla_decode", when = { dtype = "f32" }, BM = 16 }, … } }
-- or, with like = "another", what differs from that one: what it does not state itself is the other's, and of defaults its own come first.
-- With base = true it is no machine, only what others are like.
-- targets/machines.c makes the same checks on a user's own file at run time.
local directory <const>, output <const> = arg[1], arg[2]

local function fail(...)
  io.stderr:write("machines.gen.lua: ", string.format(...), "\n")
  os.exit(1)
end

local function read(path)
  local file = io.open(path, "rb") or fail("cannot read %s", path)
  local text = file:read("a")
  file:close()
  return text
end

local figures <const>, known <const> = {}, {} -- in the order of figures.def
for name in ("\n" .. read(directory .. "/figures.def")):gmatch("\nFIGURE%(([%w_]+)") do
  figures[#figures + 1] = name
  known[name] = true
end

-- Figures that only some architectures may state, and of each architecture those that it may: archs.def, ARCH(name, ptx, units, doc).
local special <const>, units <const> = {}, {}
for arch, names in read(directory .. "/../nvptx/archs.def"):gmatch('\nARCH%("([%w_]+)",%s*%d+,%s*"([%w_ ]*)"') do
  units[arch] = {}
  for name in names:gmatch "[%w_]+" do
    if not known[name] then fail("archs.def: %s: there is no figure '%s' in figures.def", arch, name) end
    special[name], units[arch][name] = true, true
  end
end

local texts <const> = { name = true, target = true, like = false, arch = true, features = false, doc = true } -- true = must be there
local tables <const> = { figures = true, defaults = false }
local inherited <const> = { target = true, arch = true, figures = true }

local function check_figure(path, key, figure)
  if not known[key] then fail("%s: figures.%s: no such figure; targets/machines/figures.def lists them", path, tostring(key)) end
  if type(figure) ~= "table" then fail("%s: figures.%s is a %s, not { value, source = … }", path, key, type(figure)) end
  local value = math.tointeger(figure[1])
  if not value or value < 0 or value > 1 << 24 then
    fail("%s: figures.%s: the value is not a whole number from 0 to 16777216", path, key)
  end
  if type(figure.source) ~= "string" or figure.source == "" then fail("%s: figures.%s: 'source' names no document", path, key) end
  for field in pairs(figure) do
    if field ~= 1 and field ~= "source" then fail("%s: figures.%s: unknown field '%s'", path, key, tostring(field)) end
  end
end

local function check_word(path, where, key)
  if type(key) ~= "string" or not key:match("^[%a_][%w_]*$") then fail("%s: %s: '%s' is not a name", path, where, tostring(key)) end
end

local function check_default(path, i, entry, n)
  local where = ("defaults[%s]"):format(tostring(i))
  if math.type(i) ~= "integer" or i < 1 or i > n or type(entry) ~= "table" or type(entry[1]) ~= "string" then
    fail("%s: %s is not { \"kernel\", NAME = value, … }", path, where)
  end
  check_word(path, where, entry[1])
  for key, value in pairs(entry) do
    if key == "when" then
      if type(value) ~= "table" then fail("%s: %s: 'when' is not { option = value, … }", path, where) end
      for option, wanted in pairs(value) do
        check_word(path, where .. ".when", option)
        if type(wanted) ~= "string" and math.type(wanted) ~= "integer" then
          fail("%s: %s.when.%s is neither a text nor a whole number", path, where, option)
        end
      end
    elseif key ~= 1 then
      check_word(path, where, key)
      if math.type(value) ~= "integer" then fail("%s: %s.%s is not a whole number", path, where, key) end
    end
  end
end

local function check(path, m)
  if type(m) ~= "table" then fail("%s: returns %s, not a table", path, type(m)) end
  for key in pairs(m) do
    if texts[key] == nil and tables[key] == nil and key ~= "base" then fail("%s: unknown field '%s'", path, tostring(key)) end
  end
  if m.base ~= nil and m.base ~= true then fail("%s: field 'base' can only be true", path) end
  for key, needed in pairs(texts) do
    local spared = inherited[key] and (m.like or m.base)
    if m[key] == nil and needed and not spared then fail("%s: field '%s' is missing", path, key) end
    if m[key] ~= nil and type(m[key]) ~= "string" then fail("%s: field '%s' is a %s, not a string", path, key, type(m[key])) end
  end
  for key, needed in pairs(tables) do
    if type(m[key]) ~= "table" and not (m[key] == nil and (m.like or not needed)) then
      fail("%s: field '%s' is a %s, not a table", path, key, type(m[key]))
    end
    m[key] = m[key] or {}
  end
  if not m.name:match("^[%w][%w_.-]*$") then fail("%s: field 'name': '%s' is not letters, digits, '-', '_' and '.'", path, m.name) end
  if m.target and not m.target:match("^%l+:[%w_.-]+$") then fail("%s: field 'target': '%s' is not FAMILY:ARCH", path, m.target) end
  for key, figure in pairs(m.figures) do check_figure(path, key, figure) end
  for i, entry in pairs(m.defaults) do check_default(path, i, entry, #m.defaults) end
end

local function quote(text)
  return '"' .. text:gsub('[%c"\\\x7f-\xff]', function(c) return string.format("\\%03o", c:byte()) end) .. '"'
end

-- The build names the files: plain Lua cannot list a directory.
local all <const>, owner <const>, named <const> = {}, {}, {}
for i = 3, #arg do
  local path = arg[i]
  local chunk, complaint = load(read(path), "@" .. path, "t", {})
  if not chunk then fail("%s", complaint) end
  local ok, m = pcall(chunk)
  if not ok then fail("%s", m) end
  check(path, m)
  if owner[m.name] then fail("%s: the name '%s' is taken by %s", path, m.name, owner[m.name]) end
  owner[m.name], named[m.name] = path, m
  all[#all + 1] = m
end
if #all == 0 then fail("no machine descriptions named") end

-- Completes a description from the one that it is like, that one first.
local function complete(m)
  if m.state == "complete" then return end
  if m.state then fail("%s: field 'like': '%s' leads back to '%s'", owner[m.name], m.like, m.name) end
  m.state = "open"
  local base = m.like and named[m.like]
  if m.like and not base then fail("%s: field 'like': '%s' is no description", owner[m.name], m.like) end
  if base then
    complete(base)
    m.target, m.arch, m.features = m.target or base.target, m.arch or base.arch, m.features or base.features
    for name, figure in pairs(base.figures) do m.figures[name] = m.figures[name] or figure end
  end
  for key in pairs(inherited) do
    if not m[key] and not m.base then fail("%s: field '%s' is missing, and '%s' does not have it", owner[m.name], key, m.like) end
  end
  for _, arch in ipairs { m.arch or "", m.target and m.target:match(":(.*)") or "" } do
    for name in pairs(special) do
      if units[arch] and m.figures[name] and m.figures[name][1] > 0 and not units[arch][name] then
        fail("%s: figures.%s: %s has nothing of the kind (targets/nvptx/archs.def)", owner[m.name], name, arch)
      end
    end
  end
  m.state = "complete"
end
for _, m in ipairs(all) do complete(m) end
table.sort(all, function(a, b) return a.name < b.name end)

local out <const> = { "// Written by targets/machines.gen.lua from targets/machines/*.lua and targets/nvptx/archs/*.lua.\n#include \"targets/machines.h\"\n\n" }
local function add(...) out[#out + 1] = string.format(...) end

local function word(name) return (name:gsub("%W", function(c) return ("_%02x"):format(c:byte()) end)) end -- of its own for each name

-- The members of a table whose keys are names, sorted, as one tg_bindings.
local function bindings(t)
  local names = {}
  for name in pairs(t) do
    if name ~= 1 and name ~= "when" then names[#names + 1] = name end
  end
  table.sort(names)
  if #names == 0 then return "{0}" end
  for i, name in ipairs(names) do names[i] = ("{%s, %s}"):format(quote(name), quote(tostring(t[name]))) end
  return ("{%d, (tg_binding[]){%s}}"):format(#names, table.concat(names, ", "))
end

-- Of a description without any the defaults are those of the one that it is like.
local function defaults(m)
  while m and #m.defaults == 0 do m = named[m.like] end
  return m and "&defaults_" .. word(m.name) or "NULL"
end

local function add_defaults(m)
  if m.declared then return end
  m.declared = true
  if m.like then add_defaults(named[m.like]) end
  if #m.defaults == 0 then return end
  add("static const tg_defaults defaults_%s = {%s, NULL, %d, (tg_machine_default[]){\n", word(m.name), m.like and defaults(named[m.like]) or "NULL",
    #m.defaults)
  for _, entry in ipairs(m.defaults) do add("  {%s, %s, %s},\n", quote(entry[1]), bindings(entry.when or {}), bindings(entry)) end
  add("}};\n")
end
for _, m in ipairs(all) do add_defaults(m) end

local function add_rows(array, count, base)
  local n = 0
  add("const tg_machine_row %s[] = {\n", array)
  for _, m in ipairs(all) do
    if not m.base == not base then
      n = n + 1
      add("  {.machine = {.name = %s, .target = %s, .arch = %s, .features = %s, .doc = %s", quote(m.name), quote(m.target or ""), quote(m.arch or ""),
        quote(m.features or ""), quote(m.doc))
      for _, name in ipairs(figures) do
        if m.figures[name] then add(",\n      .%s = %.17g", name, m.figures[name][1]) end
      end
      add(",\n      .defaults = %s},\n   .sources = {\n", defaults(m))
      for _, name in ipairs(figures) do
        if m.figures[name] then add("      [TG_FIGURE_%s] = %s,\n", name, quote(m.figures[name].source)) end
      end
      add("      [TG_NFIGURES] = 0}},\n")
    end
  end
  add("  {.machine = {.name = NULL}}};\nconst int %s = %d;\n", count, n)
end
add_rows("tg_machine_rows", "tg_machine_row_count", false)
add_rows("tg_machine_bases", "tg_machine_base_count", true)

local file <const> = io.open(output, "wb") or fail("cannot write %s", output)
file:write(table.concat(out))
file:close()
