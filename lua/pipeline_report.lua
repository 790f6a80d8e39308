-- Pipelines' times, table, roofline and tuning.
local S, native, methods, P = ...
local fail, try, built = P.fail, P.try, P.built

local function median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return (sorted[(#sorted + 1) // 2] + sorted[#sorted // 2 + 1]) / 2, sorted[1]
end

-- ---- times

local function check_runs(p, runs)
  if math.type(runs) ~= "integer" or runs < 1 or runs > 1000000 then fail(p, nil, "runs must be 1 to 1000000, not %s", S.describe(runs)) end
  return runs
end

local function take_times(p, runs)
  for _, s in ipairs(p.steps) do P.run_step(p, s) end -- warms up; not counted
  local totals, all = {}, {}
  for i = 1, #p.steps do all[i] = {} end
  for r = 1, runs do
    local sum = 0
    for i, s in ipairs(p.steps) do
      all[i][r] = P.run_step(p, s)
      sum = sum + all[i][r]
    end
    totals[r] = sum
  end
  local out = { runs = runs, clock = p.own_time and "processor" or "wall", total = {}, steps = {} }
  out.total.median, out.total.min = median(totals)
  for i, s in ipairs(p.steps) do
    out.steps[i] = { name = s.name, kernel = s.kernel, seconds = all[i] }
    out.steps[i].median, out.steps[i].min = median(all[i])
  end
  p.timing = out
  return out
end

-- p:time{NAME = tensor…, runs = 20} -> {total = {min, median}, steps = {{name, kernel, min, median, seconds}…}, runs, clock}
function methods.time(self, given)
  local p = built(self, "p:time")
  local running <close> = P.alone(p, "p:time")
  P.give(p, given or {}, { runs = true })
  local runs = check_runs(p, given and given.runs or 20)
  return take_times(p, runs)
end

-- ---- what steps do, what the machine can

local function work_of(p, s)
  if s.kernel and not s.counted then
    s.counted = table.pack(try(p, s, nil, s.launches[1].work, s.launches[1], s.source))
  end
  local flops, bytes = table.unpack(s.counted or {}, 1, 2)
  local function given(key, x)
    if s[key] == nil then return x end
    if type(s[key]) == "number" then return s[key] end
    local y = s[key]()
    if type(y) ~= "number" then fail(p, s, "the function %s gave %s, not a number", key, S.describe(y)) end
    return y
  end
  return given("flops", flops), given("bytes", bytes)
end

local function limits_of(p)
  if native.device_name(p.device) ~= "cpu" then return nil end
  if not p.limits then
    local peak, bf16, stream = try(p, nil, nil, native.limits, p.threads)
    p.limits = { peak = peak, bf16 = bf16, stream = stream }
  end
  return p.limits
end

-- Seconds that the machine needs at least, and what keeps it from less.
local function least(limits, flops, bytes)
  if not limits or not (flops or bytes) then return nil end
  local compute, memory = (flops or 0) / limits.peak, (bytes or 0) / limits.stream
  return math.max(compute, memory), compute > memory and "multiply-adds" or "memory"
end

local function number(x, format, scale) return x and x == x and x < math.huge and format:format(x * (scale or 1)) or "-" end

local function size(n)
  local units, u = { "B", "KiB", "MiB", "GiB", "TiB" }, 1
  while n >= 1024 and u < #units do n, u = n / 1024, u + 1 end
  return ("%.4g %s"):format(n, units[u])
end

local function limits_text(limits)
  if not limits then return "limits: not known of this device" end
  local bf16 = limits.bf16 and (", %.1f of bf16 dots"):format(limits.bf16 / 1e9) or ""
  return ("limits: %.1f GFLOP/s of f32 multiply-adds%s, %.1f GB/s"):format(limits.peak / 1e9, bf16, limits.stream / 1e9)
end

local function title(p)
  local threads = p.threads == 0 and "all threads" or p.threads == 1 and "1 thread" or ("%d threads"):format(p.threads)
  return ("pipeline '%s' on %s, %s"):format(p.name, native.device_name(p.device), threads)
end

local function source_of(s)
  if not s.kernel then return "host" end
  return s.kept and "tuned" or (s.launches[1]:info())
end

function methods.report(self)
  local p = built(self, "p:report")
  local limits, t = limits_of(p), p.timing
  local rows = { { "", "step", "kernel", "config", "ms", "share", "GB/s", "GFLOP/s", "of limit", "limit" } }
  for i, s in ipairs(p.steps) do
    local seconds = t and t.steps[i].median
    local flops, bytes = work_of(p, s)
    local floor, what = least(limits, flops, bytes)
    rows[#rows + 1] = { tostring(i), s.name, s.kernel or "-", source_of(s), number(seconds, "%.4f", 1e3),
                        number(t and seconds / t.total.median, "%.1f%%", 100), number(bytes and t and bytes / seconds, "%.2f", 1e-9),
                        number(flops and t and flops / seconds, "%.2f", 1e-9), number(floor and t and floor / seconds, "%.1f%%", 100),
                        what or "-" }
  end
  local width = {}
  for _, row in ipairs(rows) do
    for c, text in ipairs(row) do width[c] = math.max(width[c] or 0, utf8.len(text) or #text) end
  end
  local timed = t and (", %d runs, %s time: %.4f ms (least %.4f)"):format(t.runs, t.clock, t.total.median * 1e3, t.total.min * 1e3)
    or ", not timed yet: p:time { … }"
  local lines = { title(p) .. timed }
  for _, row in ipairs(rows) do
    local cells = {}
    for c, text in ipairs(row) do
      local pad = (" "):rep(width[c] - (utf8.len(text) or #text))
      local left = c >= 2 and c <= 4 or c == 10
      cells[c] = left and text .. pad or pad .. text
    end
    lines[#lines + 1] = (table.concat(cells, "  "):gsub("%s+$", ""))
  end
  lines[#lines + 1] = ("memory: %s planned for %s of temporaries and workspaces"):format(size(p.planned), size(p.sum))
  lines[#lines + 1] = limits_text(limits)
  return table.concat(lines, "\n")
end

-- ---- roofline: operations a byte across, operations a second up, both in powers of 2

local columns <const>, rows <const> = 64, 16

function methods.roofline(self)
  local p = built(self, "p:roofline")
  local limits, t = limits_of(p), p.timing
  if not t then fail(p, nil, "p:roofline comes after p:time { … }") end
  if not limits then fail(p, nil, "the limits of device '%s' are not known", native.device_name(p.device)) end
  local points, left_out = {}, {}
  local low, high = math.log(limits.peak / limits.stream, 2) - 6, math.log(limits.peak / limits.stream, 2) + 6
  local bottom = math.log(limits.peak, 2) - 12
  for i, s in ipairs(p.steps) do
    local flops, bytes = work_of(p, s)
    local speed = flops and bytes and flops > 0 and bytes > 0 and flops / t.steps[i].median
    if speed and speed < math.huge then
      local x, y = math.log(flops / bytes, 2), math.log(speed, 2)
      points[#points + 1] = { x = x, y = y, i = i, s = s, intensity = flops / bytes, speed = speed }
      low, high, bottom = math.min(low, x - 1), math.max(high, x + 1), math.min(bottom, y - 1)
    else
      left_out[#left_out + 1] = s.name
    end
  end
  local top = math.log(math.max(limits.peak, limits.bf16 or 0), 2) + 1
  local grid = {}
  for r = 1, rows do grid[r] = {} end
  local function put(x, y, c, over)
    local column = math.floor((x - low) / (high - low) * (columns - 1) + 1.5)
    local row = math.floor((top - y) / (top - bottom) * (rows - 1) + 1.5)
    if row >= 1 and row <= rows and (over or not grid[row][column]) then grid[row][column] = c end
  end
  for c = 1, columns do
    local x = low + (high - low) * (c - 1) / (columns - 1)
    local slope = x + math.log(limits.stream, 2)
    local flat = math.log(limits.peak, 2)
    put(x, math.min(slope, flat), slope < flat and "/" or "-")
    if limits.bf16 and slope > flat then
      flat = math.log(limits.bf16, 2)
      put(x, math.min(slope, flat), slope < flat and "/" or "=")
    end
  end
  local letters <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
  local function letter(n) return n <= #letters and letters:sub(n, n) or "*" end
  for n, point in ipairs(points) do put(point.x, point.y, letter(n), true) end
  local lines = { title(p) .. ": GFLOP/s over operations a byte" }
  for r = 1, rows do
    local cells = {}
    for c = 1, columns do cells[c] = grid[r][c] or " " end
    local speed = 2 ^ (top - (top - bottom) * (r - 1) / (rows - 1)) / 1e9
    lines[#lines + 1] = ("%9.3g |%s"):format(speed, (table.concat(cells):gsub("%s+$", "")))
  end
  lines[#lines + 1] = (" "):rep(10) .. "+" .. ("-"):rep(columns)
  lines[#lines + 1] = (" "):rep(11) .. ("%-" .. columns - 8 .. ".3g%8.3g"):format(2 ^ low, 2 ^ high)
  for n, point in ipairs(points) do
    local floor, what = least(limits, point.intensity, 1)
    lines[#lines + 1] = ("%s  %s: %.3g operations a byte, %.2f GFLOP/s, %.1f%% of what %s allow"):format(letter(n), point.s.name,
      point.intensity, point.speed / 1e9, 100 * point.speed * floor / point.intensity, what == "memory" and "memory reads" or what)
  end
  if #left_out > 0 then lines[#lines + 1] = "without a place (no operations, or not known): " .. table.concat(left_out, ", ") end
  lines[#lines + 1] = "- f32 multiply-adds" .. (limits.bf16 and ", = bf16 dots" or "") .. ", / memory; " .. limits_text(limits)
  return table.concat(lines, "\n")
end

-- ---- tuning

local function text_of(config)
  local list = {}
  for name, value in pairs(config) do list[#list + 1] = ("%s=%s"):format(name, value) end
  table.sort(list)
  return table.concat(list, " ")
end

-- Steps that a tuned config serves alike: one kernel under one set of options at one shape.
local function groups_of(p)
  local groups, by_key = {}, {}
  for i, s in ipairs(p.steps) do
    if s.kernel then
      local _, _, shape = s.launches[1]:info()
      local key = ("%s|%s|%s|%s"):format(s.kernel, tostring(s.source), text_of(s.set or {}), text_of(shape))
      if not by_key[key] then
        by_key[key] = { steps = {}, seconds = 0, shape = shape, first = s }
        groups[#groups + 1] = by_key[key]
      end
      table.insert(by_key[key].steps, s)
      by_key[key].seconds = by_key[key].seconds + p.timing.steps[i].median
    end
  end
  table.sort(groups, function(a, b)
    if a.seconds ~= b.seconds then return a.seconds > b.seconds end
    return a.first.index < b.first.index
  end)
  return groups
end

-- Medians of the whole pipeline with the group's first launches and with its second ones, in turns.
local function compare(p, group, runs)
  local times = { {}, {} }
  local tried = {}
  for _, s in ipairs(group.steps) do tried[s] = true end
  for r = 0, runs do
    for which = 1, 2 do
      local sum = 0
      for _, s in ipairs(p.steps) do sum = sum + P.run_step(p, s, tried[s] and which or 1) end
      if r > 0 then times[which][r] = sum end -- the first warms up
    end
  end
  return (median(times[1])), (median(times[2]))
end

local function merged(set, config)
  local all = {}
  for name, value in pairs(config) do all[name] = value end
  for name, value in pairs(set or {}) do all[name] = value end
  return all
end

-- Tries a config in the group's steps: the medians with the one in use and with it, and what differs; nil when it is the one in use. It
-- stays where the pipeline takes no longer with it.
local function try_config(p, group, config)
  local s = group.first
  local _, before = s.launches[1]:info()
  local undo <close> = setmetatable({}, { __close = function()
    for _, step in ipairs(group.steps) do step.launches[2] = nil end
  end })
  for _, step in ipairs(group.steps) do step.launches[2] = P.prepare(p, step, merged(s.set, config)) end
  local _, after = s.launches[2]:info()
  if text_of(before) == text_of(after) then return nil end
  P.plan(p)
  P.give_scalars(p)
  local old, new = compare(p, group, 7)
  for _, step in ipairs(new <= old and group.steps or {}) do
    step.launches[1], step.counted, step.kept = step.launches[2], nil, true
  end
  local changed = {}
  for name, value in pairs(after) do
    if before[name] ~= value then changed[name] = value end
  end
  return old, new, text_of(changed)
end

local function tune_group(p, group, options, budget)
  local s = group.first
  for name in pairs(s.set or {}) do
    if s.tuned[name] ~= false then return ("%s is fixed by the step's set"):format(name) end
  end
  local ok, document = pcall(s.source.tune, s.source, { device = p.device, shape = group.shape, set = s.set, trials = options.trials or 20,
    budget = budget, threads = p.threads, strategy = options.strategy, seed = options.seed, record = false })
  if not ok then
    if type(document) ~= "string" or document:find "^interrupted at " then error(document, 0) end
    if document:find("there is no strategy", 1, true) then P.try(p, nil, nil, error, document, 0) end
    return "not tuned: " .. document
  end
  local best = document.best
  local old, new, changed = try_config(p, group, best.config)
  P.plan(p)
  if not old then return ("%d configs tried, the one in use is the best"):format(#document.evaluated) end
  local keep = new <= old
  if keep then
    try(p, s, nil, native.record, s.source, { device = p.device, shape = group.shape, set = s.set, threads = p.threads,
                                              config = best.config }, best.seconds)
  end
  return ("%d configs tried, %s: the pipeline takes %.4f ms with %s, %.4f without"):format(#document.evaluated,
    keep and "kept" or "not kept", new * 1e3, changed, old * 1e3), keep
end

local tune_options <const> = { trials = "integer", budget = "number", strategy = "string", seed = "integer", inputs = "table" }

local function check_tune_options(p, options)
  options = P.check_options(p, nil, options, tune_options)
  for key, want in pairs(tune_options) do
    local x = options[key]
    local is = want == "integer" and math.type(x) or type(x)
    if x ~= nil and is ~= want then fail(p, nil, "%s is of type %s, not %s", key, want, S.describe(x)) end
  end
  if options.budget and not (options.budget > 0) then
    fail(p, nil, "budget is a number of seconds above 0, not %s", S.describe(options.budget))
  end
  if options.trials and options.trials < 1 then fail(p, nil, "trials is a number from 1 on, not %d", options.trials) end
  return options
end

-- p:tune{trials, budget, strategy, seed, inputs} -> {before, after, steps = {…}}, which prints as text
function methods.tune(self, options)
  local p = built(self, "p:tune")
  local running <close> = P.alone(p, "p:tune")
  options = check_tune_options(p, options)
  if options.inputs then P.give(p, options.inputs, {}) end
  if not p.given then
    if next(p.inputs) or next(p.scalars) then fail(p, nil, "p:tune needs inputs to run on: p:tune { inputs = { … } }, or p:run first") end
  end
  local start = native.seconds(false)
  local function time_whole() return take_times(p, 20).total.median end
  local out = { before = time_whole(), steps = {} }
  local groups, left = groups_of(p), 0
  for _, group in ipairs(groups) do left = left + group.seconds end
  local lines = {}
  for _, group in ipairs(groups) do
    local rest = options.budget and options.budget - (native.seconds(false) - start)
    local what, kept
    if rest and rest <= 0 then what = "no time was left to tune it"
    else what, kept = tune_group(p, group, options, rest and math.max(0.1, rest * math.min(group.seconds / left, 1))) end
    left = math.max(left - group.seconds, 1e-12)
    out.steps[#out.steps + 1] = { kernel = group.first.kernel, name = group.first.name, count = #group.steps, kept = kept or false,
                                  what = what }
    lines[#lines + 1] = ("  %s (kernel %s%s): %s"):format(group.first.name, group.first.kernel,
      #group.steps > 1 and (", %d steps"):format(#group.steps) or "", what)
  end
  out.after = time_whole()
  table.insert(lines, 1, ("%s: %.4f ms before tuning, %.4f after"):format(title(p), out.before * 1e3, out.after * 1e3))
  out.text = table.concat(lines, "\n")
  return setmetatable(out, { __tostring = function(x) return x.text end })
end
