-- usage: lua machines.gen.lua MACHINES_DIR OUT.c MACHINE.lua…
-- Evaluates every machine description in an empty environment, checks it, and writes the C tables of targets/machines.h.
-- A description returns
--   { name = "a100", target = "nvptx:sm_80", arch = "sm_80", features = "", doc = "…",
--     figures = { warp = { 32, source = "the document that states it" }, … } }
-- or, with like = "another", what differs from that one: arch, features and figures that it does not state are the other's.
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

local texts <const> = { name = true, target = true, like = false, arch = true, features = false, doc = true } -- true = must be there

local function check(path, m)
  if type(m) ~= "table" then fail("%s: returns %s, not a table", path, type(m)) end
  for key in pairs(m) do
    if texts[key] == nil and key ~= "figures" then fail("%s: unknown field '%s'", path, tostring(key)) end
  end
  for key, needed in pairs(texts) do
    if m[key] == nil and needed and not (key == "arch" and m.like) then fail("%s: field '%s' is missing", path, key) end
    if m[key] ~= nil and type(m[key]) ~= "string" then fail("%s: field '%s' is a %s, not a string", path, key, type(m[key])) end
  end
  if not m.name:match("^[%w][%w_.-]*$") then fail("%s: field 'name': '%s' is not letters, digits, '-', '_' and '.'", path, m.name) end
  if not m.target:match("^%l+:[%w_.-]+$") then fail("%s: field 'target': '%s' is not FAMILY:ARCH", path, m.target) end
  if type(m.figures) ~= "table" then fail("%s: field 'figures' is a %s, not a table", path, type(m.figures)) end
  for key, figure in pairs(m.figures) do
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
end

local function quote(text)
  return '"' .. text:gsub('[%c"\\\x7f-\xff]', function(c) return string.format("\\%03o", c:byte()) end) .. '"'
end

-- The build names the files: plain Lua cannot list a directory.
local machines <const>, owner <const>, named <const> = {}, {}, {}
for i = 3, #arg do
  local path = arg[i]
  local chunk, complaint = load(read(path), "@" .. path, "t", {})
  if not chunk then fail("%s", complaint) end
  local ok, m = pcall(chunk)
  if not ok then fail("%s", m) end
  check(path, m)
  if owner[m.name] then fail("%s: the name '%s' is taken by %s", path, m.name, owner[m.name]) end
  owner[m.name], named[m.name] = path, m
  machines[#machines + 1] = m
end
if #machines == 0 then fail("no machine descriptions named") end
for _, m in ipairs(machines) do
  local base = m.like and named[m.like]
  if m.like and (not base or base.like) then fail("%s: field 'like': '%s' is no description that stands on its own", owner[m.name], m.like) end
  if base then
    m.arch, m.features = m.arch or base.arch, m.features or base.features
    for name, figure in pairs(base.figures) do m.figures[name] = m.figures[name] or figure end
  end
end
table.sort(machines, function(a, b) return a.name < b.name end)

local out <const> = { "// Written by targets/machines.gen.lua from targets/machines/*.lua.\n#include \"targets/machines.h\"\n\n",
  "const tg_machine_row tg_machine_rows[] = {\n" }
local function add(...) out[#out + 1] = string.format(...) end
for _, m in ipairs(machines) do
  add("  {.machine = {.name = %s, .target = %s, .arch = %s, .features = %s, .doc = %s", quote(m.name), quote(m.target), quote(m.arch),
    quote(m.features or ""), quote(m.doc))
  for _, name in ipairs(figures) do
    if m.figures[name] then add(",\n      .%s = %.17g", name, m.figures[name][1]) end
  end
  add("},\n   .sources = {\n")
  for _, name in ipairs(figures) do
    if m.figures[name] then add("      [TG_FIGURE_%s] = %s,\n", name, quote(m.figures[name].source)) end
  end
  add("      [TG_NFIGURES] = 0}},\n")
end
add("};\nconst int tg_machine_row_count = %d;\n", #machines)

local file <const> = io.open(output, "wb") or fail("cannot write %s", output)
file:write(table.concat(out))
file:close()
