-- The model on a device: weights, one paged latent cache for each layer, and a pipeline for each kind and number of rows, built when it is
-- first wanted and then replayed.
local tg <const> = require "tegula"
local weights <const>, layer <const> = require "deepseek_v3.weights", require "deepseek_v3.layer"
local is_moe <const> = require "deepseek_v3.config".is_moe
local i32 <const>, f32 <const> = tg.i32, tg.f32

local M = {}
local Model <const> = {}
Model.__index = Model

-- options: device, threads, mode (bf16, f32, fp8), absorbed (prefill without expanding keys and values), tokens that the cache has to hold, mtp
function M.load(config, options)
  local c, device = config, options.device
  local w = weights.open(c, device, options.mode, options.threads)
  local m = setmetatable({ c = c, device = device, mode = options.mode, dtype = w.dtype, threads = options.threads,
    absorbed = options.absorbed, pipelines = {}, order = {}, given = {}, layers = {}, cache = {} }, Model)
  for i = 0, c.num_hidden_layers - 1 do m.layers[i] = layer.load(w, c, i, options.absorbed) end
  m.norm = w:plain("model.norm.weight", { c.hidden_size })
  m.embed = w:plain("model.embed_tokens.weight", { c.vocab_size, c.hidden_size })
  m.head = c.tied and m.embed or w:plain("lm_head.weight", { c.vocab_size, c.hidden_size })
  if options.mtp then m:load_mtp(w) end
  w:close()
  m.bytes = w.bytes
  m.pages = math.max(options.tokens, 1):cdiv(64)
  m.page_list = {} -- pages of the sequence, the last first: nothing may hang on their order
  for i = 1, m.pages do m.page_list[i] = m.pages - i end
  for i = 0, #m.layers + (m.mtp and 1 or 0) do m.cache[i] = device:buffer(w.dtype, m.pages, 64, c.kv_lora_rank + c.qk_rope_head_dim) end
  m.cache_bytes = (#m.layers + 1 + (m.mtp and 1 or 0)) * m.pages * 64 * (c.kv_lora_rank + c.qk_rope_head_dim) * (w.dtype == f32 and 4 or 2)
  return m
end

function Model:load_mtp(w)
  local c, base = self.c, ("model.layers.%d."):format(self.c.num_hidden_layers)
  if c.num_nextn_predict_layers == 0 then
    tg.refuse(c.file .. ": num_nextn_predict_layers is 0; without an MTP layer there is no --mtp and no --draft mtp")
  end
  if not is_moe(c, c.num_hidden_layers) then tg.refuse(c.file .. ": first_k_dense_replace counts the MTP layer, which is a MoE layer") end
  local mtp = layer.load(w, c, c.num_hidden_layers, self.absorbed)
  mtp.name = "mtp"
  mtp.enorm, mtp.hnorm = w:plain(base .. "enorm.weight", { c.hidden_size }), w:plain(base .. "hnorm.weight", { c.hidden_size })
  mtp.eh = w:linear(base .. "eh_proj.weight", c.hidden_size, 2 * c.hidden_size)
  mtp.norm = w:plain(base .. "shared_head.norm.weight", { c.hidden_size })
  local function copy(name, shared) -- the released checkpoint repeats both; where they are missing the model's are meant
    if not w:has(name) then return shared end
    return w:plain(name, { c.vocab_size, c.hidden_size })
  end
  mtp.embed, mtp.head = copy(base .. "embed_tokens.weight", self.embed), copy(base .. "shared_head.head.weight", self.head)
  self.mtp = mtp
end

-- ---- pipelines

-- The inputs of rows at the cache's places: table [B, W], and pos, seq, and cu or lens
local function places(p, m, T, kind)
  local at = { T = T, B = kind == "step" and 1 or T, S = kind == "step" and T or 1, pos = p:input("pos", i32, T), seq = p:input("seq", i32, T),
    inv_freq = p:bind("inv_freq", m.c.inv_freq) }
  at.table = p:input("table", i32, at.B, m.pages)
  if kind == "expanded" then at.cu = p:input("cu", i32, 2)
  else at.lens = p:input("lens", i32, at.B) end
  return at
end

-- Values of those inputs for T rows from position `start` on
function Model:at(T, start, kind)
  local B = kind == "step" and 1 or T
  local pos, seq, pages = tg.tensor(i32, T), tg.tensor(i32, T), {}
  for t = 0, T - 1 do
    pos:set(t, start + t)
    seq:set(t, B == 1 and 0 or t)
  end
  for b = 0, B - 1 do table.move(self.page_list, 1, self.pages, b * self.pages + 1, pages) end
  local given = { pos = pos, seq = seq, table = tg.tensor(i32, { B, self.pages }, pages) }
  if kind == "expanded" then
    given.cu = tg.tensor(i32, { 2 }, { 0, T })
  else -- a step's queries are the last of the keys; rows of a prefill see those up to themselves
    given.lens = tg.tensor(i32, B)
    for b = 0, B - 1 do given.lens:set(b, kind == "step" and start + T or b + 1) end
  end
  return given
end

function Model:kind(start) return start > 0 and "step" or self.absorbed and "absorbed" or "expanded" end

-- Runs the pipeline `name`, keeping the inputs for Model:report
function Model:run(name, given, options)
  self.given[name] = given
  return self.pipelines[name]:run(given, options)
end

-- What each pass that was run takes, step by step, timed on its last inputs: the same rows go to the same places of the cache
function Model:report()
  for _, name in ipairs(self.order) do
    local again = { runs = 5 }
    for key, value in pairs(self.given[name]) do again[key] = value end
    self.pipelines[name]:time(again)
    print(self.pipelines[name]:report())
  end
end

-- Builds the pipeline `name` by `steps(p, g)`, once
function Model:pipeline(name, steps)
  if not self.pipelines[name] then
    local p = tg.pipeline(name, self.device, { threads = self.threads })
    steps(p, layer.graph(p, self.c, self.mode))
    p:build()
    self.pipelines[name] = p
    self.order[#self.order + 1] = name
  end
  return name
end

-- What rows x [T, H] give: hidden [T, H], which the MTP layer takes, and logits [T, V] in f32 with the best token of each row, of all rows or
-- the last alone
local function finish(p, g, m, x, norm, head, T, all)
  local c, rows = m.c, all and T or 1
  local hidden = p:output("hidden", m.dtype, T, c.hidden_size)
  g:step("norm", "rmsnorm", { X = x, W = g:weight(norm), eps = c.rms_norm_eps, O = hidden }, { dtype = m.dtype })
  local logits = p:output("logits", f32, rows, c.vocab_size)
  g:head(all and hidden or hidden:slice(T - 1, 1), head, logits)
  g:step("best", "argmax", { L = logits, idx = p:output("best", i32, rows) })
end

-- The tokens (a list) at positions start …, into the cache; all: logits of every row. Gives {hidden, logits, best}, buffers
-- that the next call with as many rows overwrites.
function Model:forward(tokens, start, all)
  local T, kind = #tokens, self:kind(start)
  local name = self:pipeline(("%s %d%s"):format(kind, T, all and " all" or ""), function(p, g)
    local at = places(p, self, T, kind)
    local x = g:step("embed", "embed", { W = g:weight(self.embed), ids = p:input("ids", i32, T) }, { dtype = self.dtype }).X
    for i = 0, #self.layers do x = g:layer(self.layers[i], x, at, p:bind("cache " .. i, self.cache[i])) end
    finish(p, g, self, x, self.norm, self.head, T, all)
  end)
  local given = self:at(T, start, kind)
  given.ids = tg.tensor(i32, { T }, tokens)
  return self:run(name, given, { fetch = false })
end

-- The MTP layer: row i takes the hidden state of position start + i and the token that follows it, and predicts the one after that.
function Model:forward_mtp(hidden, tokens, start, all)
  local T, kind, mtp = #tokens, self:kind(start), self.mtp
  local name = self:pipeline(("mtp %s %d%s"):format(kind, T, all and " all" or ""), function(p, g)
    local at = places(p, self, T, kind)
    local e = g:step("embed", "embed", { W = g:weight(mtp.embed), ids = p:input("ids", i32, T) }, { dtype = self.dtype }).X
    local both = g:step("join", "mtp", { Emb = e, Hid = p:input("previous", self.dtype, T, self.c.hidden_size), enorm = g:weight(mtp.enorm),
      hnorm = g:weight(mtp.hnorm), eps = self.c.rms_norm_eps }, { dtype = self.dtype }).O
    local x = g:layer(mtp, g:linear("eh_proj", both, mtp.eh), at, p:bind("cache", self.cache[#self.layers + 1]))
    finish(p, g, self, x, mtp.norm, mtp.head, T, all)
  end)
  local given = self:at(T, start, kind)
  given.ids, given.previous = tg.tensor(i32, { T }, tokens), hidden
  return self:run(name, given, { fetch = false })
end

-- Layer i alone on x [T, H] at positions 0 …, both f32
function Model:forward_layer(i, x)
  local T, kind, H = x.shape[1], self:kind(0), self.c.hidden_size
  local name = self:pipeline("layer " .. i, function(p, g)
    local y = p:input("x", f32, T, H)
    if self.dtype ~= f32 then y = g:step("cast", "cast", { X = y }, { from = f32, to = self.dtype }).O end
    y = g:layer(self.layers[i], y, places(p, self, T, kind), p:bind("cache", self.cache[i]))
    g:step("widen", "cast", { X = y, O = p:output("y", f32, T, H) }, { from = self.dtype, to = f32 })
  end)
  local given = self:at(T, 0, kind)
  given.x = x
  return self:run(name, given).y
end

return M
