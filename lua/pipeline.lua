-- Pipelines: kernels and host steps over named buffers, checked and planned when they are built, then replayed. What users hold are empty
-- tables; what belongs to them is kept here (`state`), out of reach.
local S, native, load_module = ...
local core = S.core

local methods, handle_methods = {}, {}
local Pipeline, Handle, Step, Scalar = {}, {}, {}, {} -- metatables of what users hold
local state = setmetatable({}, { __mode = "k" })

-- ---- errors: FILE:LINE: pipeline 'P', step 2 'S' (kernel K): …

local function where(p, s)
  local text = ("pipeline '%s'"):format(p.name)
  if not s then return text .. ": " end
  local kernel = s.kernel and (" (kernel %s)"):format(s.kernel) or ""
  return ("%s, step %d '%s'%s: "):format(text, s.index, s.name, kernel)
end

local function fail(p, s, format, ...)
  S.fail("%s%s", where(p, s), select("#", ...) > 0 and format:format(...) or format)
end

-- Calls f; an error of its own is told with the pipeline and step in front and `more()` behind it.
local function try(p, s, more, f, ...)
  local result = table.pack(pcall(f, ...))
  if result[1] then return table.unpack(result, 2, result.n) end
  local message = result[2]
  if type(message) ~= "string" or message:find "^interrupted at " then error(message, 0) end
  local file, line = core.where()
  local at = file and ("%s:%d: "):format(file, line) or ""
  if message:sub(1, #at) == at then message = message:sub(#at + 1) end
  message = message:gsub("^%[tegula%.%w+%]:%d+: ", "")
  fail(p, s, "%s%s", message, more and more() or "")
end

local function describe(h) return ("'%s' %s[%s]"):format(h.root.name, h.dtype, table.concat(h.dims, "x")) end

local function of(p, want)
  local own = state[p]
  if own and own.what == want then return own end
  local x = want == "pipeline" and "p" or "h"
  S.fail("this is a method of %ss, not of %s: write %s:name(…), with a colon", want, S.describe(p), x)
end

local function open(p, method)
  local own = of(p, "pipeline")
  if own.built then fail(own, nil, "%s comes before p:build()", method) end
  return own
end

local function name_of(p, name, what)
  if type(name) ~= "string" or name == "" then fail(p, nil, "the name of %s is a text, not %s", what, S.describe(name)) end
  return name
end

-- ---- names and handles

local reserved = { runs = true } -- of p:time

local function check_name(p, name, what)
  name_of(p, name, what)
  if reserved[name] then fail(p, nil, "%s cannot be called '%s': p:time has an option of that name", what, name) end
  local before = p.names[name]
  if before then fail(p, nil, "there is %s '%s' already, made at %s", before.what, name, before.at) end
end

local function take_name(p, name, what)
  local file, line = core.where()
  p.names[name] = { what = what, at = ("%s:%d"):format(file or "?", line or 0) }
end

local function new_handle(p, root, buffer, offset)
  local h = setmetatable({}, Handle)
  state[h] = { what = "handle", p = p, root = root, buffer = buffer, offset = offset, bytes = native.bytes(buffer), dtype = buffer.dtype,
               dims = buffer.shape }
  return h
end

-- A named tensor: `written` are the byte ranges that steps have written, in order.
local function new_root(p, name, what, buffer)
  local root = { name = name, what = what, buffer = buffer, bytes = native.bytes(buffer) }
  p.roots[#p.roots + 1] = root
  return new_handle(p, root, buffer, 0), root
end

-- A new name for a buffer that `make` makes of p's device, dtype and dims.
local function named(p, name, what, make, dtype, ...)
  check_name(p, name, what)
  local dims = type((...)) == "table" and (...) or { ... }
  local buffer = try(p, nil, function() return (", in %s '%s'"):format(what, name) end, make, p.device, dtype, dims)
  take_name(p, name, what)
  return new_root(p, name, what, buffer)
end

function methods.input(self, name, dtype, ...)
  local p = open(self, "p:input")
  local h, root = named(p, name, "input", native.declare, dtype, ...)
  p.inputs[name] = root
  return h
end

function methods.temp(self, name, dtype, ...)
  return (named(open(self, "p:temp"), name, "temporary", native.declare, dtype, ...))
end

function methods.output(self, name, dtype, ...)
  local p = open(self, "p:output")
  local h, root = named(p, name, "output", p.device.buffer, dtype, ...)
  p.outputs[#p.outputs + 1] = root
  return h
end

local function bind(p, name, x)
  local kind = native.kind(x)
  if kind ~= "tensor" and kind ~= "buffer" then
    fail(p, nil, "bind '%s' takes a tensor or a buffer (device:buffer(…)), not %s", name, S.describe(x))
  end
  local more = function() return (", in bind '%s'"):format(name) end
  local buffer = kind == "buffer" and x or try(p, nil, more, p.device.buffer, p.device, x)
  if not try(p, nil, more, native.owns, p.device, buffer) then
    fail(p, nil, "bind '%s': the buffer is another device's; make it with device:buffer(…) of the pipeline's own", name)
  end
  if kind == "buffer" then buffer = buffer:view(buffer.shape) end -- the pipeline's own hold: the caller may close his
  return (new_root(p, name, "bound", buffer))
end

function methods.bind(self, name, x)
  local p = open(self, "p:bind")
  check_name(p, name, "bound buffer")
  local h = bind(p, name, x)
  take_name(p, name, "bound buffer")
  return h
end

function methods.scalar(self, name)
  local p = open(self, "p:scalar")
  check_name(p, name, "scalar")
  take_name(p, name, "scalar")
  local x = setmetatable({}, Scalar)
  state[x] = { what = "scalar", p = p, name = name }
  p.scalars[name] = { uses = {} }
  return x
end

function handle_methods.view(self, ...)
  local h = of(self, "handle")
  local buffer = try(h.p, nil, function() return (", in a view of %s"):format(describe(h)) end, h.buffer.view, h.buffer, ...)
  return new_handle(h.p, h.root, buffer, h.offset)
end

function handle_methods.slice(self, start, count)
  local h = of(self, "handle")
  local buffer = try(h.p, nil, function() return (", in a slice of %s"):format(describe(h)) end, h.buffer.slice, h.buffer, start, count)
  local row = h.dims[1] > 0 and h.bytes // h.dims[1] or 0
  return new_handle(h.p, h.root, buffer, h.offset + row * start)
end

function Handle.__index(self, key)
  if handle_methods[key] then return handle_methods[key] end
  local h = state[self]
  if key == "dtype" then return h.dtype end
  if key == "shape" then return table.move(h.dims, 1, #h.dims, 1, {}) end
  if key == "name" then return h.root.name end
  S.fail("handles have no '%s'; there is dtype, shape, name, view, slice", tostring(key))
end
function Handle.__tostring(self) return state[self].root.what .. " " .. describe(state[self]) end
function Scalar.__tostring(self) return ("scalar '%s'"):format(state[self].name) end

-- ---- steps

local function new_step(p, name, fallback)
  local s = { index = #p.steps + 1, name = name or fallback, uses = {}, what = "step" }
  if name ~= nil then name_of(p, name, "a step") end
  if name and p.step_names[name] then fail(p, nil, "there is a step '%s' already, the %d.", name, p.step_names[name]) end
  for i = 2, name and 1 or math.huge do
    if not p.step_names[s.name] then break end
    s.name = ("%s %d"):format(fallback, i)
  end
  return s
end

local function keep_step(p, s)
  for _, use in ipairs(s.uses) do
    if use.writes and use.h.root.what == "input" then
      fail(p, s, "argument %s would write input %s: bind a buffer (p:bind) to write into it", use.name, describe(use.h))
    end
  end
  p.step_names[s.name] = s.index
  p.steps[s.index] = s
end

local function check_options(p, s, options, known)
  if options == nil then return {} end
  if type(options) ~= "table" then fail(p, s, "options are a table, not %s", S.describe(options)) end
  for key in pairs(options) do
    if not known[key] then
      local list = {}
      for name in pairs(known) do list[#list + 1] = name end
      table.sort(list)
      fail(p, s, "there is no option '%s'; there is %s", tostring(key), table.concat(list, ", "))
    end
  end
  return options
end

local function own_handle(p, s, name, x)
  local h = state[x]
  if h and h.what == "step" then fail(p, s, "argument %s is the step '%s': give one of its outputs, as in h.O", name, h.step.name) end
  if not h or h.what ~= "handle" then
    fail(p, s, "argument %s is %s: give a handle of this pipeline, a tensor or a buffer", name, S.describe(x))
  end
  if h.p ~= p then
    fail(p, s, "argument %s is %s of pipeline '%s': buffers are shared by binding them (p:bind) in both", name, describe(h), h.p.name)
  end
  return h
end

local function scalar_argument(p, s, name, x)
  if type(x) == "number" then return x end
  local scalar = state[x]
  if not scalar or scalar.what ~= "scalar" then
    fail(p, s, "argument %s is a scalar: give a number or p:scalar(…), not %s", name, S.describe(x))
  end
  if scalar.p ~= p then fail(p, s, "argument %s is a scalar of pipeline '%s'", name, scalar.p.name) end
  s.scalars[#s.scalars + 1] = { name = name, scalar = scalar.name }
  return 0 -- until the run says it
end

-- A tensor's argument: what the launch takes, after noting the use.
local function tensor_argument(p, s, param, x)
  local name, output = param.name, param.kind == "output"
  if x == nil or x == false or (x == true and output) then
    if not output then fail(p, s, "%s %s is missing", param.kind, name) end
    if x == false and not param.optional then fail(p, s, "output %s is not optional: it cannot be dropped", name) end
    if x == true or not param.optional then s.makes[#s.makes + 1] = name end
    if x == nil and param.optional then return false end
    return x == false and false or nil
  end
  if native.kind(x) == "tensor" or native.kind(x) == "buffer" then x = bind(p, s.name .. "." .. name, x) end
  local h = own_handle(p, s, name, x)
  s.uses[#s.uses + 1] = { name = name, h = h, reads = not output, writes = param.kind ~= "input" }
  s.handles[name] = param.kind ~= "input" and x or nil
  return h.buffer
end

-- The tensors of a step, for messages.
local function arguments_text(s)
  local list = {}
  for i, use in ipairs(s.uses) do list[i] = ("%s is %s"):format(use.name, describe(use.h)) end
  return #list > 0 and (" (" .. table.concat(list, ", ") .. ")") or ""
end

local function read_arguments(p, s, params, args)
  local known = {}
  for _, param in ipairs(params) do known[param.name] = true end
  for name in pairs(args) do
    if not known[name] then
      local list = {}
      for i, param in ipairs(params) do list[i] = param.name end
      fail(p, s, "there is no parameter '%s'; there is %s", tostring(name), table.concat(list, ", "))
    end
  end
  for _, param in ipairs(params) do
    local name, x = param.name, args[param.name]
    if param.kind == "scalar" then s.args[name] = scalar_argument(p, s, name, x)
    else s.args[name] = tensor_argument(p, s, param, x) end
  end
end

local step_options <const> = { set = true, shape = true, name = true, flops = true, bytes = true }

local function check_work(p, s, options)
  for _, key in ipairs { "flops", "bytes" } do
    local x = options[key]
    if x ~= nil and type(x) ~= "number" and type(x) ~= "function" then
      fail(p, s, "%s is a number or a function that gives one, not %s", key, S.describe(x))
    end
    s[key] = x
  end
end

local function find_kernel(p, kernel)
  if type(kernel) ~= "string" then return kernel end
  p.kernels[kernel] = p.kernels[kernel] or try(p, nil, nil, native.load, kernel)
  return p.kernels[kernel]
end

-- A step of a kernel; the result has a handle for each output: given ones, and those made here.
function methods.step(self, kernel, args, options)
  local p = open(self, "p:step")
  if type(args) ~= "table" then fail(p, nil, "p:step(kernel, { NAME = … }): the arguments are a table, not %s", S.describe(args)) end
  options = check_options(p, nil, options, step_options)
  local source = find_kernel(p, kernel)
  local set, shape = options.set, options.shape
  local params, tuned, name = try(p, nil, nil, native.params, source, { set = set })
  local s = new_step(p, options.name, name)
  s.kernel, s.source, s.set, s.shape, s.tuned = name, source, set, shape, tuned
  s.args, s.handles, s.makes, s.scalars = {}, {}, {}, {}
  check_work(p, s, options)
  read_arguments(p, s, params, args)
  local made = try(p, s, function() return arguments_text(s) end, native.outputs, p.device, source, s.args, { set = set, shape = shape })
  for _, name in ipairs(s.makes) do
    local h = new_root(p, s.name .. "." .. name, "temporary", made[name])
    s.uses[#s.uses + 1] = { name = name, h = state[h], writes = true }
    s.handles[name], s.args[name] = h, made[name]
  end
  keep_step(p, s)
  local result = setmetatable({}, Step)
  state[result] = { what = "step", p = p, step = s }
  return result
end

function Step.__index(self, key)
  local own = state[self]
  local h = own.step.handles[key]
  if h then return h end
  local list = {}
  for name in pairs(own.step.handles) do list[#list + 1] = name end
  table.sort(list)
  fail(own.p, own.step, "it gives no '%s'; it gives %s (an optional output is made when it is asked for: %s = true)", tostring(key),
    table.concat(list, ", "), tostring(key))
end

local function host_uses(p, s, list, what)
  if type(list) ~= "table" then fail(p, s, "the %s are a list of handles, not %s", what, S.describe(list)) end
  for key in pairs(list) do
    if math.type(key) ~= "integer" or key < 1 or key > #list then
      fail(p, s, "the %s are a list of handles: { h, … }, with no key '%s'", what, tostring(key))
    end
  end
  for i = 1, #list do
    local h = own_handle(p, s, ("%d of the %s"):format(i, what), list[i])
    s.uses[#s.uses + 1] = { name = ("%d of the %s"):format(i, what), h = h, reads = what == "reads", writes = what == "writes" }
  end
end

function methods.host(self, name, reads, writes, f, options)
  local p = open(self, "p:host")
  local s = new_step(p, name_of(p, name, "a host step"))
  check_work(p, s, check_options(p, s, options, { flops = true, bytes = true }))
  host_uses(p, s, reads, "reads")
  host_uses(p, s, writes, "writes")
  if type(f) ~= "function" then fail(p, s, "p:host(name, reads, writes, function): the last is %s", S.describe(f)) end
  s.f = f
  keep_step(p, s)
end

-- ---- building

-- Adds [a, b) to sorted ranges that do not touch.
local function add_range(list, a, b)
  local i = 1
  while i <= #list do
    local r = list[i]
    if r[2] < a then
      i = i + 1
    elseif r[1] > b then
      break
    else
      a, b = math.min(a, r[1]), math.max(b, r[2])
      table.remove(list, i)
    end
  end
  table.insert(list, i, { a, b })
end

local function covers(list, a, b)
  if a == b then return true end
  for _, r in ipairs(list) do
    if r[1] <= a and b <= r[2] then return true end
  end
  return false
end

local function check_order(p)
  local written = {}
  for _, root in ipairs(p.roots) do
    local full = root.what == "input" or root.what == "bound"
    written[root] = full and { { 0, root.bytes } } or {}
  end
  for _, s in ipairs(p.steps) do
    for _, use in ipairs(s.uses) do
      local h = use.h
      if use.reads and not covers(written[h.root], h.offset, h.offset + h.bytes) then
        local some = #written[h.root] > 0 and "only a part of which was written before" or "which nothing wrote before"
        fail(p, s, "argument %s reads %s, %s: let an earlier step write it, or bind a buffer (p:bind), which begins with zeros", use.name,
          describe(h), some)
      end
    end
    for _, use in ipairs(s.uses) do
      if use.writes then add_range(written[use.h.root], use.h.offset, use.h.offset + use.h.bytes) end
    end
  end
  for _, root in ipairs(p.outputs) do
    if not covers(written[root], 0, root.bytes) then
      local some = #written[root] > 0 and "only in part" or "by no step"
      fail(p, nil, "output '%s' is written %s: give it as an argument, as in p:step(kernel, { O = Y })", root.name, some)
    end
  end
end

local function prepare(p, s, set)
  return try(p, s, function() return arguments_text(s) end, native.prepare, p.device, s.source, s.args,
    { set = set or s.set, shape = s.shape, threads = p.threads, check = p.check })
end

-- Temporaries and the workspaces of `launches` (all that a step may run) share one allocation.
local function plan(p)
  local list, places, sum, by_root = {}, {}, 0, {}
  local function add(bytes, first, put)
    list[#list + 1] = { bytes = bytes, first = first, last = first }
    places[#places + 1] = put
    sum = sum + (bytes + 63) // 64 * 64
    return list[#list]
  end
  for i, s in ipairs(p.steps) do
    for _, use in ipairs(s.uses) do
      local root = use.h.root
      if root.what == "temporary" then
        by_root[root] = by_root[root] or add(root.bytes, i, function(offset) native.place(root.buffer, p.memory, offset) end)
        by_root[root].last = i
      end
    end
    local need = 0
    for _, l in ipairs(s.launches or {}) do need = math.max(need, l:workspace()) end
    if need > 0 then
      add(need, i, function(offset)
        for _, l in ipairs(s.launches) do l:lend(p.memory:slice(offset, need)) end
      end)
    end
  end
  local offsets, total = try(p, nil, nil, native.plan, list)
  if not p.memory or #p.memory < total then
    p.memory = try(p, nil, function() return ", for its temporaries" end, p.device.buffer, p.device, "i8", total)
  end
  for i, put in ipairs(places) do try(p, nil, nil, put, offsets[i]) end
  p.planned, p.sum = total, sum
end

function methods.build(self)
  local p = open(self, "p:build, once,")
  if #p.steps == 0 then fail(p, nil, "it has no steps: p:step(kernel, { … })") end
  check_order(p)
  for _, s in ipairs(p.steps) do
    if s.kernel then s.launches = { prepare(p, s) } end
  end
  plan(p)
  for _, s in ipairs(p.steps) do
    for _, x in ipairs(s.scalars or {}) do table.insert(p.scalars[x.scalar].uses, { s = s, name = x.name }) end
  end
  p.own_time = p.threads == 1 and native.device_name(p.device) == "cpu"
  p.built = true
  return self
end

-- ---- running

local function same_shape(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

-- Does a step write where this buffer lies? What a run was given must stay while it runs, so such a buffer is copied.
local function writes_into(p, x)
  for _, s in ipairs(p.steps) do
    for _, use in ipairs(s.uses) do
      if use.writes and native.overlap(use.h.buffer, x) then return true end
    end
  end
  return false
end

local function give_input(p, root, x)
  local kind = native.kind(x)
  if kind ~= "tensor" and kind ~= "buffer" then
    fail(p, nil, "input '%s' must be a tensor or a buffer, not %s", root.name, S.describe(x))
  end
  local want = root.buffer
  local more = function() return (", given as input '%s'"):format(root.name) end
  local dtype, shape = try(p, nil, more, function() return x.dtype, x.shape end)
  if dtype ~= want.dtype or not same_shape(shape, want.shape) then
    fail(p, nil, "input '%s' is %s[%s], but a %s %s[%s] was given", root.name, want.dtype, table.concat(want.shape, "x"), kind, dtype,
      table.concat(shape, "x"))
  end
  if kind == "buffer" then
    if not native.owns(p.device, x) then
      fail(p, nil, "input '%s': the buffer is another device's; make it with device:buffer(…) of the pipeline's own", root.name)
    end
    if not writes_into(p, x) and try(p, nil, more, native.place, want, x, 0) then return end
  end
  root.memory = root.memory or try(p, nil, more, p.device.buffer, p.device, want.dtype, want.shape)
  native.place(want, root.memory, 0)
  try(p, nil, more, root.memory.write, root.memory, kind == "tensor" and x or x:read())
end

local function give_scalars(p)
  for name, scalar in pairs(p.scalars) do
    for _, use in ipairs(scalar.uses) do
      for _, l in ipairs(use.s.launches) do
        try(p, use.s, function() return (", given as scalar '%s'"):format(name) end, l.scalar, l, use.name, scalar.value)
      end
    end
  end
end

local function give(p, given, options)
  if type(given) ~= "table" then fail(p, nil, "the inputs are a table { NAME = tensor, … }, not %s", S.describe(given)) end
  for name in pairs(given) do
    if not p.inputs[name] and not p.scalars[name] and not options[name] then
      local list = {}
      for known in pairs(p.inputs) do list[#list + 1] = known end
      for known in pairs(p.scalars) do list[#list + 1] = known end
      table.sort(list)
      fail(p, nil, "there is no input '%s'; there is %s", tostring(name), #list > 0 and table.concat(list, ", ") or "none")
    end
  end
  for name, root in pairs(p.inputs) do
    if given[name] == nil then
      fail(p, nil, "input '%s' %s[%s] is not given", name, root.buffer.dtype, table.concat(root.buffer.shape, "x"))
    end
  end
  for name in pairs(p.scalars) do
    if type(given[name]) ~= "number" then fail(p, nil, "scalar '%s' must be a number, not %s", name, S.describe(given[name])) end
  end
  p.given = false -- until all are
  for name, root in pairs(p.inputs) do give_input(p, root, given[name]) end
  for name, scalar in pairs(p.scalars) do scalar.value = given[name] end
  give_scalars(p)
  p.given = true
end

-- The function's tensors are its own: fresh ones each time, and one of both lists the same in both places.
local function run_host(p, s)
  local start, list, made = native.seconds(p.own_time), {}, {}
  for i, use in ipairs(s.uses) do
    local h = use.h
    made[h.buffer] = made[h.buffer] or (use.reads and try(p, s, nil, h.buffer.read, h.buffer)) or native.tensor(h.dtype, h.dims)
    list[i] = made[h.buffer]
  end
  s.f(table.unpack(list, 1, #s.uses))
  for i, use in ipairs(s.uses) do
    if use.writes then try(p, s, nil, use.h.buffer.write, use.h.buffer, list[i]) end
  end
  return native.seconds(p.own_time) - start
end

-- Seconds that the step took; `which` of its launches, while two are compared.
local function run_step(p, s, which)
  if s.f then return run_host(p, s) end
  local l = s.launches[which or 1]
  local ok, seconds = pcall(l.run, l)
  if ok then return seconds end
  try(p, s, nil, error, seconds, 0)
end

local function built(self, method)
  local p = of(self, "pipeline")
  if not p.built then fail(p, nil, "%s comes after p:build()", method) end
  return p
end

-- Closed at the end of a method that runs the steps: their temporaries serve one run at a time.
local function alone(p, method)
  if p.running then fail(p, nil, "%s while it runs: a host step calls it, or a coroutine stopped in one", method) end
  p.running = true
  return setmetatable({}, { __close = function() p.running = false end })
end

local function check_switch(p, options, key)
  if options[key] ~= nil and type(options[key]) ~= "boolean" then
    fail(p, nil, "option '%s' is true or false, not %s", key, S.describe(options[key]))
  end
end

function methods.run(self, given, options)
  local p = built(self, "p:run")
  local running <close> = alone(p, "p:run")
  options = check_options(p, nil, options, { fetch = true })
  check_switch(p, options, "fetch")
  give(p, given or {}, {})
  for _, s in ipairs(p.steps) do run_step(p, s) end
  local out = {}
  for _, root in ipairs(p.outputs) do
    if options.fetch == false then out[root.name] = root.buffer:view(root.buffer.shape) -- its holder may close it
    else out[root.name] = try(p, nil, nil, root.buffer.read, root.buffer) end
  end
  return out
end

-- ---- making

local pipeline_options <const> = { threads = true, check_indices = true }

local function make(name, device, options)
  local p = { what = "pipeline", name = type(name) == "string" and name or "?", device = device, names = {}, roots = {}, inputs = {},
              outputs = {}, scalars = {}, steps = {}, step_names = {}, kernels = {} }
  name_of(p, name, "a pipeline")
  if native.kind(device) ~= "device" then
    fail(p, nil, "the second argument is a device (tg.device \"cpu\"), not %s", S.describe(device))
  end
  options = check_options(p, nil, options, pipeline_options)
  check_switch(p, options, "check_indices")
  p.threads, p.check = options.threads or 0, options.check_indices ~= false
  if math.type(p.threads) ~= "integer" or p.threads < 0 or p.threads > 4096 then
    fail(p, nil, "threads is a whole number from 0 (all) on, not %s", S.describe(options.threads))
  end
  try(p, nil, nil, native.device_name, device)
  local self = setmetatable({}, Pipeline)
  state[self] = p
  return self
end

Pipeline.__index = function(self, key)
  local method = methods[key]
  if method then return method end
  local list = {}
  for name in pairs(methods) do list[#list + 1] = name end
  table.sort(list)
  fail(state[self], nil, "pipelines have no '%s'; there is %s", tostring(key), table.concat(list, ", "))
end
function Pipeline.__tostring(self) return ("pipeline '%s' of %d steps"):format(state[self].name, #state[self].steps) end
for class, name in pairs { [Pipeline] = "pipeline", [Handle] = "handle", [Step] = "step", [Scalar] = "scalar" } do
  function class.__newindex(_, key) S.fail("fields of a %s cannot be assigned to (key '%s')", name, tostring(key)) end
  class.__metatable = false
end

load_module("pipeline_report", S, native, methods, { built = built, give = give, give_scalars = give_scalars, run_step = run_step,
  alone = alone, fail = fail, try = try, plan = plan, prepare = prepare, check_options = check_options })
return make
