-- p:tune keeps a config, and puts it into the database (the file arg[1]), only where the pipeline takes no longer with it. A host step takes
-- its time in every second run, as two configs take turns: so what the pipeline says of them does not depend on how fast they are.
local tg <const> = require "tegula"
local f32 <const> = tg.f32
local dev = tg.device "cpu"
local function check(ok, text) if not ok then error("failed: " .. text, 2) end end
local function database()
  local file <close> = assert(io.open(arg[1]))
  return file:read "a"
end

-- The database's config is the slowest of all that were tried, so that the tuner finds a better one for certain.
local M, N, K = 4, 256, 256
local gemm, shape = tg.load "gemm_f32", { M = M, N = N, K = K }
local found = gemm:tune { shape = shape, trials = 6, threads = 1, seed = 3, record = false }
local empty = io.open(arg[1])
check(not empty or empty:read "a" == "", "a run without a record")
local worst = found.best
for _, e in ipairs(found.evaluated) do
  if e.ok and e.seconds > worst.seconds then worst = e end
end
check(worst.seconds > 1.2 * found.best.seconds, "six configs are alike")
gemm:tune { shape = shape, set = worst.config, trials = 1, threads = 1 }
local before = database()

local calls, slow = 0, 1 -- of the host step; in which of two it takes its time
local function make()
  local p = tg.pipeline("tuned", dev, { threads = 1 })
  local h = p:step(gemm, { A = p:input("A", f32, M, K), B = tg.tensor(f32, N, K):normal(2) })
  p:host("waits", { h.C }, { p:output("Y", f32, M, N) }, function(c, y)
    calls = calls + 1
    local start = os.clock()
    while calls % 2 == slow and os.clock() - start < 0.005 do end
    for i = 0, M - 1 do y:set(i, 0, c:get(i, 0)) end
  end)
  return p:build()
end
local inputs <const> = { A = tg.tensor(f32, M, K):normal(1) }
local options <const> = { trials = 6, seed = 3, inputs = inputs }
local p = make()
check(p:report():find "gemm_f32 +gemm_f32 +database", p:report())

-- the times before take 21 runs: the first of two configs has the even ones
local tuned = p:tune(options)
check(tostring(tuned):find("configs tried, not kept: the pipeline takes ", 1, true), tostring(tuned))
check(not tuned.steps[1].kept and database() == before, "what was not kept went to the database")
check(p:report():find "gemm_f32 +gemm_f32 +database", p:report())

calls, slow = 0, 0
tuned = p:tune(options)
check(tostring(tuned):find("configs tried, kept: the pipeline takes ", 1, true), tostring(tuned))
check(tuned.steps[1].kept and database():sub(1, #before) == before, "what the database had")
check(select(2, database():sub(#before + 1):gsub("\n", "")) == 1, "one record of what was kept")
check(p:report():find "gemm_f32 +gemm_f32 +tuned", p:report())

-- a pipeline that is built then begins with it
check(make():report():find "gemm_f32 +gemm_f32 +database", "of the database")
