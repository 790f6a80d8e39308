-- The module `tegula`: what kernels and scripts get from require "tegula".
--
-- Loaded once per Lua state with the binding's functions (`core`) and a loader for the modules beside this file.
local core, load_module = ...

local S = load_module("state", core)
S.D = load_module("dim", S)
load_module("tile", S)
load_module("range", S)
load_module("view", S)
local kernels = load_module("kernel", S)

local tg = {
  kernel = S.kernel,
  range = S.range,
  zeros = S.zeros, full = S.full, iota = S.iota,
  where = S.where, dot = S.dot, when = S.when, loop = S.loop,
  any = S.any,
  version = core.version,
}

local function statement(op, who)
  return function(text, ...)
    if type(text) ~= "string" then S.fail("%s: the first argument is a text, not %s", who, S.describe(text)) end
    local operands = { ... }
    for i, x in ipairs(operands) do operands[i] = S.kind(x) == "dim" and S.dim_tile(x) or S.a_tile(x, who) end
    S.emit_op(op, operands, { text = text })
  end
end
-- tg.print("text", tile…); tg.assert(condition, "text")
tg.print = statement("print", "tg.print")
local assert_op = statement("assert", "tg.assert")
function tg.assert(condition, text)
  S.a_tile(condition, "tg.assert: the condition")
  if condition.dtype ~= "i1" then S.fail("tg.assert: the condition must be i1, not %s", condition.dtype) end
  assert_op(text or "assertion failed", condition)
end

for name in pairs(core.dtypes) do tg[name] = name end

setmetatable(tg, { __index = function(_, key) S.fail("tegula has no '%s'; docs/dsl.md lists what there is", tostring(key)) end })
-- What users hold: the state may serve other kernels after this one, so nothing of it can be replaced.
local shown = S.frozen(tg, function(_, key) S.fail("tegula's table cannot be changed (key '%s')", tostring(key)) end)

-- What the binding itself calls.
local check = load_module("check", S)
return { tg = tg, S = S, trace = kernels.trace, Kernel = kernels.Kernel, check = check,
         sandbox = load_module("sandbox", core, S, shown, check),
         script = load_module("script", core, tg, shown, check, function(tensor) return load_module("yarn", tensor) end),
         json = function(text) return load_module("json")(text) end,
         pipeline = function(native) -- loaded by the first call
           local make
           return function(...)
             make = make or load_module("pipeline", S, native, load_module)
             return make(...)
           end
         end }
