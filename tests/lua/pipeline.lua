-- Pipelines on the device arg[1]: replays against fresh runs bit for bit, memory shared and reused, scalars, host steps, views, mistakes.
local tg <const> = require "tegula"
local bf16, f32, i32 = tg.bf16, tg.f32, tg.i32
local dev = tg.device(arg[1])

local function expect(level, ok, ...) if not ok then error(("failed: " .. (...)):format(select(2, ...)), level + 1) end end
local function check(...) expect(2, ...) end
local function mistake(name, f, ...)
  local ok, message = pcall(f)
  expect(2, not ok, "%s: no error", name)
  for _, says in ipairs { ... } do expect(2, tostring(message):find(says, 1, true), "%s: wanted '%s', got '%s'", name, says, message) end
  expect(2, tostring(message):find("pipeline.lua:", 1, true), "%s: no line in '%s'", name, message)
end
local function same(got, want, name) expect(2, got:compare(want), "%s differs", name) end

-- O = a * X + Y, Y' = Y + 1 in place, with scratch of its own
local mix = tg.kernel("mix", function(k)
  local M, N = k.dim "M", k.dim "N"
  local X, Y, a = k.input("X", f32, M, N), k.input("Y", f32, M, N), k.scalar("a", f32)
  local O, R = k.output("O", f32, M, N), k.output("R", f32, M, { optional = true })
  local S = k.workspace("S", f32, M, N)
  k.blocks(M:by(2), N:by(16), function(m, n) S[{m, n}] = X[{m, n}] * a end)
  k.blocks(M:by(2), N:by(16), function(m, n) O[{m, n}] = S[{m, n}] + Y[{m, n}] end)
  k.blocks(M:by(2), function(m) R[{m}] = X[{m, tg.range(0, 1)}]:reshape(2) end)
end)
local count = tg.kernel("count", function(k)
  local N = k.dim "N"
  local C, n = k.inout("C", i32, N), k.scalar("n", tg.i64)
  k.blocks(N:by(8), function(i) C[{i}] = C[{i}] + 1 end)
end)
local take = tg.kernel("take", function(k)
  local N, P = k.dim "N", k.dim "P"
  local X, I, O = k.input("X", f32, P), k.input("I", i32, N, { index = P }), k.output("O", f32, N)
  k.blocks(N:by(4), function(i) O[{i}] = X[{I[{i}]}] end)
end)

local M, N = 5, 37
local function tensor(seed) return tg.tensor(f32, M, N):uniform(seed) end

do -- buffers
  local b = dev:buffer(f32, { M, N })
  local t = tensor(1)
  check(b.dtype == "f32" and #b == M * N and b.shape[2] == N and tostring(b) == "buffer f32[5x37]", "a buffer's looks")
  same(b:read(), tg.tensor(f32, M, N), "a new buffer")
  check(b:write(t) == b, "write gives the buffer")
  same(dev:buffer(t):read(), t, "a copy")
  local row = b:slice(2, 2)
  check(row:read():get(1, 5) == t:get(3, 5) and b:view(N, M):read():get(1, 0) == t:get(0, M), "parts")
  local O = dev:buffer(f32, M, N)
  local out = dev:run(mix, { X = b, Y = t, a = 2, O = O, R = false })
  check(out.O == O and out.R == nil, "what a run gives back")
  same(O:read(), dev:run(mix, { X = t, Y = t, a = 2 }).O, "buffers and tensors in one call")
  dev:time(mix, { X = b, Y = b, a = 2, O = O }, { runs = 2 })
  check(#dev:buffer(f32, 0, 7) == 0 and #dev:buffer(f32, {}) == 1, "empty and scalar")
  mistake("overlap", function() dev:run(mix, { X = b, Y = t, a = 2, O = b }) end, "O of kernel 'mix' is written to memory that X lies in")
  mistake("shapes", function() b:write(tg.tensor(f32, M)) end, "the buffer is f32[5x37], the tensor f32[5]")
  mistake("slice", function() b:slice(4, 2) end, "2 rows from row 4 on lead outside of buffer f32[5x37]")
  mistake("slice from minus one", function() b:slice(-1, 2) end, "lead outside")
  mistake("slice of any size", function() b:slice(math.maxinteger, math.maxinteger) end, "lead outside")
  local none = dev:buffer(f32, 5, 1 << 62, 1 << 62, 0)
  check(#none == 0 and #none:slice(1, 2) == 0 and #none:view(0, 3) == 0, "nothing of huge dims")
  mistake("half a byte more", function() dev:buffer("e2m1", 3):view(4) end, "has as many elements as it, not 4")
  mistake("view", function() b:view(3, 3) end, "has as many elements as it, not 9")
  mistake("huge view", function() b:view(1 << 62, 1 << 62) end, "has as many elements as it")
  mistake("huge", function() dev:buffer(f32, 1 << 62, 1 << 62) end, "larger than any memory")
  check(not pcall(dev.buffer, dev, f32, 1 << 55), "more memory than there is")
  mistake("negative", function() dev:buffer(f32, -1) end, "dim 1 is not an integer of 0 or more")
  mistake("dtype", function() dev:buffer("f31", 1) end, "'f31' is not a dtype")
  mistake("no such", function() return b.size end, "buffers have no 'size'")
  mistake("assigned", function() b.shape = {} end, "set with b:write(tensor)")
  row:close()
  row:close()
  mistake("closed", function() row:read() end, "the buffer is closed")
  mistake("closed in a run", function() dev:run(mix, { X = row, Y = t, a = 1 }) end, "the buffer is closed")
  check(tostring(row) == "closed buffer", "a closed buffer's looks")
  local other = tg.device(arg[1])
  local theirs = other:buffer(t)
  mistake("another device's", function() dev:run(mix, { X = theirs, Y = t, a = 1 }) end, "X of kernel 'mix' is a buffer of another device")
  other:close()
  mistake("of a closed device", function() theirs:read() end, "is closed")
  mistake("in a closed device", function() other:buffer(f32, 1) end, "the device is closed")
end

do -- a chain: replayed with other contents and scalars, equal to runs of their own; temporaries share memory
  local W, cache = tensor(7), dev:buffer(i32, 11)
  local p = tg.pipeline("chain", dev, { threads = 1 })
  local X, Y, a = p:input("X", f32, M, N), p:output("Y", f32, M, N), p:scalar "a"
  local w = p:bind("W", W)
  local h = X
  for i = 1, 6 do h = p:step(mix, { X = h, Y = w, a = i == 3 and a or 0.5 }).O end
  p:step(count, { C = cache, n = 3 })
  p:host("twice", { h, w }, { Y }, function(h, w, y)
    check(y:get(0, 0) == 0, "outs of a host step are zeroed")
    for i = 0, M - 1 do
      for j = 0, N - 1 do y:set(i, j, 2 * h:get(i, j) + w:get(i, j)) end
    end
  end)
  check(p:build() == p and tostring(p) == "pipeline 'chain' of 8 steps", "looks")
  for run = 1, 4 do
    local x, scale = tensor(run), run * 1.25
    local got = p:run { X = run % 2 == 0 and dev:buffer(x) or x, a = scale }
    local want = x
    for i = 1, 6 do want = dev:run(mix, { X = want, Y = W, a = i == 3 and scale or 0.5 }, { threads = 1 }).O end
    for i = 0, M - 1 do
      for j = 0, N - 1 do want:set(i, j, 2 * want:get(i, j) + W:get(i, j)) end
    end
    same(got.Y, want, "run " .. run)
    check(cache:read():get(10) == run, "memory that stays")
  end
  local x = tensor(9)
  local kept = p:run({ X = x, a = 1 }, { fetch = false }).Y
  same(kept:read(), p:run { X = x, a = 1 }.Y, "an output left on the device")
  mistake("missing", function() p:run { a = 1 } end, "pipeline 'chain': input 'X' f32[5x37] is not given")
  mistake("shape", function() p:run { X = tg.tensor(f32, N, M), a = 1 } end, "input 'X' is f32[5x37], but a tensor f32[37x5] was given")
  mistake("dtype", function() p:run { X = dev:buffer(bf16, M, N), a = 1 } end, "input 'X' is f32[5x37], but a buffer bf16[5x37] was given")
  mistake("no scalar", function() p:run { X = x } end, "scalar 'a' must be a number, not nil")
  mistake("unknown", function() p:run { X = x, a = 1, Z = x } end, "there is no input 'Z'; there is X, a")
  mistake("late", function() p:temp("late", f32, 1) end, "p:temp comes before p:build()")
  mistake("twice", function() p:build() end, "p:build, once, comes before p:build()")
  local gone = dev:buffer(x)
  gone:close()
  mistake("closed", function() p:run { X = gone, a = 1 } end, "pipeline 'chain': the buffer is closed, given as input 'X'")
  local unaligned = dev:buffer(f32, M * N + 1)
  local part = unaligned:slice(1, M * N):view(M, N)
  part:write(x)
  same(p:run { X = part, a = 1 }.Y, kept:read(), "an input that begins anywhere")
  kept:close()
  same(p:run { X = x, a = 1 }.Y, p:run { X = part, a = 1 }.Y, "after an output was closed")
end

do -- two pipelines over one buffer; slices and views; several steps fill one temporary; an optional output
  local state = dev:buffer(f32, M, N)
  local a, b = tg.pipeline("writer", dev), tg.pipeline("reader", dev)
  local x = a:input("X", f32, M, N)
  a:step(mix, { X = x, Y = x, a = 1, O = a:bind("state", state) })
  a:build()
  local s, all, y = b:bind("state", state), b:temp("all", f32, 2 * M, N), b:output("Y", f32, N, 2 * M)
  local h = b:step(mix, { X = s, Y = s, a = 1, O = all:slice(0, M), R = true })
  b:step(mix, { X = s, Y = s, a = 3, O = all:slice(M, M) })
  b:host("move", { all, h.R }, { y:view(2 * M, N) }, function(all, r, y)
    for i = 0, 2 * M - 1 do
      for j = 0, N - 1 do y:set(i, j, all:get(i, j) + r:get(i % M)) end
    end
  end)
  b:build()
  local t = tensor(3)
  a:run { X = t }
  local y = b:run().Y
  local flat = 1 * N + 3 -- of row 1: 2t * 2; the second half 2t * 4, both with the row's first
  check(math.abs(y:get(flat // (2 * M), flat % (2 * M)) - (4 * t:get(1, 3) + 2 * t:get(1, 0))) < 1e-6, "the first half")
  flat = (M + 1) * N + 3
  check(math.abs(y:get(flat // (2 * M), flat % (2 * M)) - (8 * t:get(1, 3) + 2 * t:get(1, 0))) < 1e-6, "the second half")
end

do -- its own output as an input: what a run was given stays while it runs, though a step writes there
  local p = tg.pipeline("own", dev)
  local x, y, z = p:input("X", f32, M, N), p:output("Y", f32, M, N), p:output("Z", f32, M, N)
  p:step(mix, { X = p:step(mix, { X = x, Y = x, a = 1 }).O, Y = x, a = 1, O = y })
  p:step(mix, { X = x, Y = x, a = 2, O = z })
  p:build()
  local t = p:run({ X = tensor(1) }, { fetch = false }).Y
  local copy = t:read()
  same(p:run { X = t }.Z, p:run { X = copy }.Z, "Z of its own output")
end

do -- a bound buffer that the caller closes, a scalar tensor, names that failed
  local b = dev:buffer(i32, 3)
  local p = tg.pipeline("holds", dev)
  local c, y = p:bind("C", b), p:output("Y", i32)
  p:step(count, { C = b, n = 1 })
  p:host("first", { c }, { y }, function(c, y) y:set(c:get(0)) end)
  b:close()
  check(p:build():run().Y:get() == 1 and p:run().Y:get() == 2, "the pipeline's own hold")
  local q = tg.pipeline("again", dev)
  mistake("negative", function() q:temp("T", f32, -1) end, "dim 1 is not an integer of 0 or more, in temporary 'T'")
  check(q:temp("T", f32).name == "T" and #q:input("X", f32).shape == 0, "a name that was not taken")
end

do -- a host step that runs its own pipeline, one that fails, one that stops in a coroutine
  local p, what = tg.pipeline("again", dev), nil
  local x, y = p:input("X", f32, 4), p:output("Y", f32, 4)
  p:host("h", { x }, { y }, function(x, y)
    what()
    y:set(0, x:get(0))
  end)
  p:build()
  local input = { X = tg.tensor(f32, 4):fill(3) }
  what = function() p:run(input) end
  mistake("recursion", function() p:run(input) end, "pipeline 'again': p:run while it runs")
  what = function() p:time(input) end
  mistake("times", function() p:run(input) end, "pipeline 'again': p:time while it runs")
  what = function() error "in a host step" end
  mistake("failing", function() p:run(input) end, "in a host step")
  what = coroutine.yield
  local co = coroutine.create(p.run)
  check(coroutine.resume(co, p, input), "stopped")
  mistake("meanwhile", function() p:run(input) end, "p:run while it runs: a host step calls it, or a coroutine stopped in one")
  check(coroutine.close(co), "given up")
  what = function() end
  check(p:run(input).Y:get(0) == 3, "goes on")
end

do -- workspaces beyond all memory, of inputs without a byte
  local vast = tg.kernel("vast", function(k)
    local N, Z = k.dim "N", k.dim "Z"
    local X, O, S = k.input("X", f32, N, Z), k.output("O", f32, 8), {}
    for i = 1, 8 do S[i] = k.workspace("S" .. i, tg.f64, N) end
    k.blocks(1, function()
      local r = tg.range(0, 8)
      for i = 1, 8 do S[i][{r}] = tg.full(tg.f64, 1, 8) end
      O[{r}] = S[8][{r}]:to(f32)
    end)
  end)
  local p = tg.pipeline("vast", dev)
  p:step(vast, { X = p:input("X", f32, 1 << 58, 0), O = p:output("Y", f32, 8) })
  mistake("workspaces", function() p:build() end, "the workspaces of kernel 'vast' are larger than any memory")
end

do -- indices are looked at in every run
  local p = tg.pipeline("indexed", dev)
  local i, o = p:input("I", i32, 3), p:output("O", f32, 3)
  p:step(take, { X = tg.tensor(f32, { 4 }, { 1, 2, 3, 4 }), I = i, O = o }, { name = "gather" })
  p:build()
  check(p:run { I = tg.tensor(i32, { 3 }, { 3, 0, 1 }) }.O:get(0) == 4, "gathered")
  mistake("index", function() p:run { I = tg.tensor(i32, { 3 }, { 3, 4, 1 }) } end,
    "pipeline 'indexed', step 1 'gather' (kernel take): I[1] is 4, but these indices lie in 0 ... 3")
  check(p:run { I = tg.tensor(i32, { 3 }, { 2, 0, 1 }) }.O:get(0) == 3, "goes on")
end

do -- nothing to do
  local p = tg.pipeline("empty", dev)
  local x, y = p:input("X", f32, 0, N), p:output("Y", f32, 0, N)
  p:step(mix, { X = x, Y = x, a = 1, O = y })
  p:build()
  check(#p:run { X = tg.tensor(f32, 0, N) }.Y == 0, "no rows")
end

do -- mistakes while it is described
  local p = tg.pipeline("wrong", dev)
  local x, y, z = p:input("X", f32, M, N), p:output("Y", f32, M, N), p:temp("Z", f32, M, N)
  local q = tg.pipeline("other", dev)
  local theirs = q:input("X", f32, M, N)
  mistake("repeated", function() p:temp("X", f32, 1) end, "pipeline 'wrong': there is input 'X' already, made at", "pipeline.lua:")
  mistake("reserved", function() p:input("runs", f32, 1) end, "cannot be called 'runs'")
  mistake("no name", function() p:input(nil, f32, 1) end, "the name of input is a text, not nil")
  mistake("huge", function() p:temp("huge", f32, 1 << 62, 4) end, "pipeline 'wrong': ", "larger than any memory", "in temporary 'huge'")
  mistake("no dtype", function() p:temp("none", "f31", 4) end, "'f31' is not a dtype", "in temporary 'none'")
  mistake("shape", function() p:step(mix, { X = x, Y = p:bind("wide", tg.tensor(f32, M, N + 1)), a = 1 }, { name = "s" }) end,
    "pipeline 'wrong', step 1 's' (kernel mix): ", "Y's axis 1 is 38, but N = 37 (N = 37 from X's axis 1)",
    "(X is 'X' f32[5x37], Y is 'wide' f32[5x38])")
  mistake("dtype", function() p:step(mix, { X = x, Y = tg.tensor(bf16, M, N), a = 1 }) end, "step 1 'mix' (kernel mix): ",
    "Y holds bf16, but kernel 'mix' declares f32")
  mistake("axes", function() p:step(mix, { X = x, Y = x, a = 1, O = p:output("O1", f32, M) }) end, "O has shape [5], but kernel 'mix' declares")
  mistake("no parameter", function() p:step(mix, { X = x, Y = x, Q = x, a = 1 }) end, "there is no parameter 'Q'; there is X, Y, a, O, R")
  mistake("missing", function() p:step(mix, { X = x, a = 1 }) end, "step 1 'mix' (kernel mix): input Y is missing")
  mistake("no number", function() p:step(mix, { X = x, Y = x, a = x }) end, "argument a is a scalar: give a number or p:scalar(…), not")
  mistake("not whole", function() p:step(count, { C = tg.tensor(i32, 3), n = 1.5 }) end, "n = 1.5, but kernel 'count' declares i64")
  mistake("a number", function() p:step(mix, { X = 3, Y = x, a = 1 }) end, "argument X is 3: give a handle")
  mistake("theirs", function() p:step(mix, { X = theirs, Y = x, a = 1 }) end, "argument X is 'X' f32[5x37] of pipeline 'other'")
  mistake("input written", function() p:step(mix, { X = z, Y = z, a = 1, O = x }) end, "argument O would write input 'X' f32[5x37]")
  mistake("in place", function() p:step(mix, { X = z, Y = x, a = 1, O = z }) end, "O of kernel 'mix' is written to memory that X lies in")
  mistake("no kernel", function() p:step("no_such_kernel", {}) end, "pipeline 'wrong': ", "no_such_kernel")
  mistake("no kernel at all", function() p:step(7, {}) end, "kernel")
  mistake("option", function() p:step(mix, {}, { sets = {} }) end, "there is no option 'sets'; there is bytes, flops, name, set, shape")
  mistake("setting", function() p:step("rmsnorm", { X = tg.tensor(bf16, 2, 8), W = tg.tensor(bf16, 8), eps = 1 }, { set = 3 }) end, "set")
  mistake("dot", function() p.step(mix, {}) end, "this is a method of pipelines")
  mistake("no method", function() p:steps() end, "pipelines have no 'steps'; there is bind, build")
  mistake("assigned", function() p.name = "x" end, "fields of a pipeline cannot be assigned to")
  mistake("slice", function() x:slice(3, 3) end, "3 rows from row 3 on lead outside of", "in a slice of 'X' f32[5x37]")
  mistake("view", function() x:view(M) end, "in a view of 'X' f32[5x37]")
  mistake("names in a list", function() p:host("h", { X = x }, {}, print) end, "the reads are a list of handles: { h, … }, with no key 'X'")
  mistake("a step", function()
    local r = tg.pipeline("steps", dev)
    local x = r:input("X", f32, M, N)
    r:step(mix, { X = r:step(mix, { X = x, Y = x, a = 1 }), Y = x, a = 1 })
  end,
    "argument X is the step 'mix': give one of its outputs, as in h.O")
  mistake("host", function() p:host("h", { x }, { 3 }, print) end, "step 1 'h': argument 1 of the writes is 3")
  mistake("no function", function() p:host("h", { x }, { y }) end, "the last is nil")
  mistake("early", function() p:run { X = x } end, "pipeline 'wrong': p:run comes after p:build()")
  mistake("no steps", function() p:build() end, "it has no steps")
  p:step(mix, { X = z, Y = x, a = 1 }, { name = "first" })
  mistake("name again", function() p:step(mix, { X = x, Y = x, a = 1 }, { name = "first" }) end, "there is a step 'first' already")
  mistake("unwritten", function() p:build() end, "step 1 'first' (kernel mix): argument X reads 'Z' f32[5x37], which nothing wrote before")
  q:step(mix, { X = theirs, Y = theirs, a = 1, O = q:output("Y", f32, 2 * M, N):slice(1, M) })
  mistake("partly", function() q:build() end, "output 'Y' is written only in part")
  mistake("packed", function()
    local r = tg.pipeline("packed", dev)
    local x = r:step("quantize_rows", { X = r:input("X", bf16, 2, 128) })
    local w = r:step("pack_weights", { B = r:bind("W", tg.tensor(tg.e4m3, 32, 128)) })
    r:step("gemm_fp8", { A = x.Q, As = x.S, B = w.Bp, Bs = tg.tensor(f32, 1, 1) }, { set = { packed = 1 } })
  end, "B takes packed weights, whose header says their dims", "(kernel gemm_fp8)")
  mistake("no such output", function() return q:step(mix, { X = theirs, Y = theirs, a = 1 }).R end, "it gives no 'R'; it gives O")
  local other <close> = tg.device(arg[1])
  local elsewhere = other:buffer(f32, M, N)
  mistake("another device", function() q:bind("E", elsewhere) end, "bind 'E': the buffer is another device's")
  mistake("no device", function() tg.pipeline("x", "cpu") end, "the second argument is a device")
  mistake("switch", function() tg.pipeline("x", dev, { check_indices = 1 }) end, "option 'check_indices' is true or false, not 1")
  mistake("threads", function() tg.pipeline("x", dev, { threads = -1 }) end, "threads is a whole number from 0")
end

do -- times, report, roofline, tuning
  local p = tg.pipeline("timed", dev, { threads = 1 })
  local x, y = p:input("X", bf16, 4, 256), p:output("Y", bf16, 4, 256)
  local h = p:step("rmsnorm", { X = x, W = tg.tensor(bf16, 256):fill(1), eps = p:scalar "eps" }, { name = "norm" })
  p:host("copy", { h.O }, { y }, function(from, to)
    for i = 0, 3 do
      for j = 0, 255 do to:set(i, j, from:get(i, j)) end
    end
  end, { bytes = function() return 4 * 256 * 4 end })
  local q = p:step("quantize_rows", { X = y }, { set = { BM = 1 }, flops = 1000 })
  local own = p:step(mix, { X = q.S, Y = q.S, a = 1 })
  mistake("roofline early", function() p:roofline() end, "pipeline 'timed': p:roofline comes after p:build()")
  p:build()
  local input = { X = tg.tensor(bf16, 4, 256):normal(1), eps = 1e-6 }
  mistake("tune without inputs", function() p:tune { trials = 1 } end, "p:tune needs inputs to run on")
  check(p:report():find("not timed yet", 1, true), "a report without times")
  input.runs = 3
  local t = p:time(input)
  check(t.runs == 3 and #t.steps == 4 and #t.steps[2].seconds == 3 and t.steps[1].name == "norm" and t.steps[1].kernel == "rmsnorm", "times")
  check(t.total.min <= t.total.median and t.steps[4].min >= 0 and t.clock == (arg[1] == "cpu" and "processor" or "wall"), "totals")
  for _, says in ipairs { "pipeline 'timed' on " .. arg[1] .. ", 1 thread, 3 runs", "\n1  norm           rmsnorm        ", "2  copy ",
                          "3  quantize_rows  quantize_rows  set", "memory: ", " planned for ", "limits: " } do
    check(p:report():find(says, 1, true), "report lacks '%s':\n%s", says, p:report())
  end
  input.runs = 0
  mistake("no runs", function() p:time(input) end, "runs must be 1 to 1000000, not 0")
  input.runs = nil
  mistake("option of tune", function() p:tune { trial = 3 } end, "there is no option 'trial'; there is budget, inputs, seed")
  mistake("budget", function() p:tune { budget = -1 } end, "budget is a number of seconds above 0, not -1")
  mistake("kind of trials", function() p:tune { trials = "x" } end, "trials is of type integer, not \"x\"")
  mistake("strategy", function() p:tune { strategy = "guess" } end, "pipeline 'timed': there is no strategy 'guess'; there are")
  if arg[1] == "cpu" then
    local chart = p:roofline()
    check(chart:find("A  norm: ", 1, true) and chart:find("without a place (no operations, or not known): copy", 1, true), "chart:\n%s", chart)
    local before = p:run(input).Y
    local tuned = p:tune { trials = 2, seed = 1, inputs = input }
    check(#tuned.steps == 3 and tuned.before > 0 and tuned.after > 0, "tuned")
    check(tostring(tuned):find("BM is fixed by the step's set", 1, true), "says: %s", tostring(tuned))
    check(tostring(tuned):find("kernel 'mix' was made by a script", 1, true), "says: %s", tostring(tuned))
    check(tostring(tuned):find("2 configs tried", 1, true), "says: %s", tostring(tuned))
    same(p:run(input).Y, before, "what it gives after tuning")
  else
    mistake("no limits", function() p:roofline() end, "the limits of device '" .. arg[1] .. "' are not known")
  end
end

do -- the device goes first
  local d = tg.device(arg[1])
  local p = tg.pipeline("orphan", d)
  p:step(count, { C = p:bind("C", d:buffer(i32, 9)), n = 1 })
  p:build()
  p:run()
  d:close()
  mistake("closed device", function() p:run() end, "pipeline 'orphan', step 1 'count' (kernel count): device", "is closed")
  mistake("closed early", function() tg.pipeline("x", d) end, "the device is closed")
end
collectgarbage()
