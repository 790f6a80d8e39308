-- Conformance and a benchmark of the library on a GPU, as one JSON document; and the same kernels compiled beforehand, for machines without a
-- compiler. Run by `./dev gpu` and by the `run` of a pack: tegula run gpu.lua TEGULA KEY=VALUE…
--   device=cuda:0 out=FILE [quick=1] [kernels=K,…] [peers=COMMAND]   checks and times
--   targets=T,… [quick=1] [kernels=K,…]                             compiles what these take (into $TEGULA_PACK, which the caller sets)
-- Every row runs in a process of its own: a kernel that ends the GPU's context costs its row alone.
local tg <const> = require "tegula"

local tegula <const> = arg[1] or error "usage: tegula run gpu.lua TEGULA KEY=VALUE…"
local options <const> = {}
for i = 2, #arg do
  local key, value = arg[i]:match "^(%w+)=(.*)$"
  if not key then error(("gpu.lua: '%s' is not KEY=VALUE"):format(arg[i])) end
  options[key] = value
end

-- ---- the rows: DeepSeek-V3's shapes; GEMMs are those of DeepGEMM's own list

local rows <const> = {}
local function row(kernel, shape, set) rows[#rows + 1] = { kernel = kernel, shape = shape, set = set } end

if options.quick then
  row("gemm_bf16", "M=64,N=256,K=128")
  row("gemm_fp8", "M=64,N=256,K=128")
  row("rmsnorm", "T=8,H=256")
else
  for _, nk in ipairs { { 2112, 7168 }, { 576, 7168 }, { 24576, 1536 }, { 32768, 512 }, { 7168, 16384 }, { 4096, 7168 }, { 7168, 2048 } } do
    for _, m in ipairs { 1, 128, 4096 } do
      for _, kernel in ipairs { "gemm_fp8", "gemm_bf16" } do row(kernel, ("M=%d,N=%d,K=%d"):format(m, nk[1], nk[2])) end
    end
  end
  row("gemm_bf16", "M=4096,N=256,K=7168")
  for _, s in ipairs { 4096, 16384 } do -- 128 requests of 128 heads; pages of 64 rows
    row("mla_decode", ("B=128,S=1,N=128,P=%d,W=%d"):format(128 * s // 64, s // 64))
  end
  row("mla_decode", "B=128,S=1,N=16,P=8192,W=64")
  for _, gm in ipairs { { 4, 32768 }, { 8, 32768 } } do
    for _, nk in ipairs { { 4096, 7168 }, { 7168, 2048 } } do
      row("grouped_gemm_fp8", ("T=%d,N=%d,K=%d,E=%d"):format(gm[2], nk[1], nk[2], gm[1]))
    end
  end
  row("moe_gate", "T=4096,E=256")
  row("moe_dispatch", "T=4096,H=7168,k=8")
  row("moe_combine", "T=4096,H=7168,k=8")
  for _, t in ipairs { 128, 4001 } do
    row("rmsnorm", ("T=%d,H=7168"):format(t))
    row("add_rmsnorm", ("T=%d,H=7168"):format(t))
    row("swiglu", ("T=%d,I=2048"):format(t))
    row("swiglu_quantize", ("T=%d,I=2048"):format(t))
    row("quantize_rows", ("M=%d,K=7168"):format(t))
  end
end

-- ---- processes, JSON; { raw = text } is JSON already

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- What a command says on standard output, all of it; its exit status; its last words on standard error.
local function output_of(...)
  local words, errors = { ... }, os.tmpname()
  for i, word in ipairs(words) do words[i] = quoted(word) end
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>" .. errors))
  local text = pipe:read "a"
  local _, _, status = pipe:close()
  local said = assert(io.open(errors)):read "a"
  os.remove(errors)
  return text, status, said:match "([^\n]*)\n?$"
end

local function encode(x, indent)
  local inner = indent .. "  "
  if type(x) == "string" then
    return '"' .. x:gsub('[%c"\\\127]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  elseif type(x) ~= "table" then
    if x ~= x or x == math.huge or x == -math.huge then return "null" end
    return tostring(x)
  elseif x.raw then
    return (x.raw:gsub("%s+$", ""))
  end
  local parts, keys = {}, {}
  for i, item in ipairs(x) do parts[i] = inner .. encode(item, inner) end
  if #parts > 0 then return "[\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "]" end
  for key in pairs(x) do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do parts[i] = inner .. encode(key, inner) .. ": " .. encode(x[key], inner) end
  return "{\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "}"
end

local function decode(text)
  local file = os.tmpname()
  local f = assert(io.open(file, "w"))
  f:write(text)
  f:close()
  local value = tg.json(file)
  os.remove(file)
  return value
end

local function say(...) io.stderr:write(string.format(...), "\n") end

local function words_of(r) -- of a command line
  local words = { "--shape", r.shape }
  if r.set then table.move({ "--set", r.set }, 1, 2, 3, words) end
  return words
end

-- ---- compiling beforehand

if options.targets then
  for target in options.targets:gmatch "[^,]+" do
    local check = { "check", "--target", target, "--all-shapes" }
    if options.kernels then table.move({ "--kernels", options.kernels }, 1, 2, 5, check) end
    say("%s: what the conformance runs", target)
    local text = output_of(tegula, table.unpack(check))
    for line in text:gmatch "FAIL%s+([^\n]*)" do say("  not in the pack: %s", line) end
    say("  %s", text:match "([^\n]*)\n?$")
    for _, experts in ipairs { 4, 8, 16, 24, 72, 256 } do output_of(tegula, "compile", "pack_weights", "--target", target, "--set", "experts=" .. experts, "--emit", "asm") end
    local failed = 0
    for _, r in ipairs(rows) do
      for variant = 0, 7 do -- until there is none
        local words = words_of(r)
        words[4] = (r.set and r.set .. "," or "") .. "variant=" .. variant
        words[3] = "--set"
        local _, status, said = output_of(tegula, "compile", r.kernel, "--target", target, "--emit", "asm", "-o", "/dev/null", table.unpack(words))
        if status ~= 0 then
          if not said:find("this kernel has variants", 1, true) then failed = failed + 1 end
          break
        end
      end
    end
    say("  %d rows of the benchmark, %d that this target does not take", #rows, failed)
  end
  return
end

-- ---- checking and timing

local device <const> = options.device or "cuda:0"
local described
for _, d in ipairs(decode((output_of(tegula, "devices", "--json")))) do
  if d.name == device then described = d end
end
if not described or not described.available then
  say("tegula: error: device '%s' cannot be used: %s", device, described and described.why or "there is none of this name")
  os.exit(2)
end
local began <const> = os.time()
local document <const> = { device = described, command = table.concat(arg, " "), date = os.date("!%Y-%m-%dT%H:%M:%SZ", began) }

local smi = io.popen "nvidia-smi --query-gpu=index,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit,temperature.gpu --format=csv,noheader 2>/dev/null"
document.nvidia_smi = smi:read "a"
smi:close()

say("conformance on %s (%s)", device, described.description)
local check = { "check", "--device", device }
if options.kernels then table.move({ "--kernels", options.kernels }, 1, 2, 4, check) end
local text, status, said = output_of(tegula, table.unpack(check))
local conformance <const> = { status = status, summary = text:match "([^\n]*)\n?$", error = said, failed = {} }
for line in text:gmatch "FAIL%s+([^\n]*)" do conformance.failed[#conformance.failed + 1] = line end
if #conformance.failed == 0 then conformance.failed = nil end
document.conformance = conformance
say("  %s", conformance.summary)

document.benchmark = {}
for i, r in ipairs(rows) do
  local reply, code, words = output_of(tegula, "bench", r.kernel, "--device", device, "--json", table.unpack(words_of(r)))
  local result = { kernel = r.kernel, shape = r.shape, set = r.set }
  if code == 0 then
    result.result = { raw = reply }
    local r = decode(reply)
    say("%3d of %d  %-18s %-28s %9.4f ms  %8.1f GFLOP/s  %7.1f GB/s", i, #rows, r.kernel, rows[i].shape, 1e3 * r.seconds.min, r.gflops or 0, r.gbs or 0)
  else
    result.error = words
    say("%3d of %d  %-18s %-28s %s", i, #rows, r.kernel, r.shape, words)
  end
  document.benchmark[i] = result
end

if options.peers then
  local file = os.tmpname()
  local f = assert(io.open(file, "w"))
  for _, r in ipairs(rows) do f:write(r.kernel, " ", r.shape, "\n") end
  f:close()
  local reply, code, words = output_of("sh", "-c", options.peers .. " " .. quoted(file) .. " " .. quoted(device:match "%d+$"))
  document.peers = code == 0 and { raw = reply } or { error = words }
  os.remove(file)
end

document.seconds = os.time() - began
local out <const> = assert(io.open(options.out, "w"))
assert(out:write(encode(document, ""), "\n"))
assert(out:close())
say("written to %s", options.out)
os.exit(conformance.status == 0 and 0 or 1)
