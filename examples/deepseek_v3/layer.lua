-- A decoder layer: its weights, and its steps in a pipeline.
local tg <const> = require "tegula"
local kernels <const> = require "deepseek_v3.kernels"
local is_moe <const> = require "deepseek_v3.config".is_moe

local M = {}

-- ---- weights

local function attention_weights(w, c, base, absorbed)
  local N, nope, R, D, H = c.num_attention_heads, c.qk_nope_head_dim, c.qk_rope_head_dim, c.kv_lora_rank, c.hidden_size
  local a = {
    kv_a = w:linear(base .. "kv_a_proj_with_mqa.weight", D + R, H), kv_norm = w:plain(base .. "kv_a_layernorm.weight", { D }),
    o = w:linear(base .. "o_proj.weight", H, N * c.v_head_dim),
  }
  if not absorbed then a.kv_b = w:linear(base .. "kv_b_proj.weight", N * (nope + c.v_head_dim), D) end
  if c.q_lora_rank then
    a.q_a, a.q_norm = w:linear(base .. "q_a_proj.weight", c.q_lora_rank, H), w:plain(base .. "q_a_layernorm.weight", { c.q_lora_rank })
    a.q = w:linear(base .. "q_b_proj.weight", N * (nope + R), c.q_lora_rank)
  else
    a.q = w:linear(base .. "q_proj.weight", N * (nope + R), H)
  end
  -- kv_b's key part [N, nope, D] and value part [N, v, D], which the absorbed form multiplies by
  local whole = w.device:buffer(w:dense(base .. "kv_b_proj.weight", N * (nope + c.v_head_dim), D))
  local key, value = w:buffer(w.dtype, N, 1, nope * D), w:buffer(w.dtype, N, 1, c.v_head_dim * D)
  w:run(kernels.split, { X = whole:view(N, 1, (nope + c.v_head_dim) * D), P = key, Q = value }, { set = { A = nope * D, dtype = w.dtype } })
  a.key, a.value = key:view(N, nope, D), value:view(N, c.v_head_dim, D)
  return a
end

-- Layer i; num_hidden_layers is the MTP layer's. absorbed: keys and values are never expanded
function M.load(w, c, i, absorbed)
  local base, H = ("model.layers.%d."):format(i), c.hidden_size
  local l = {
    name = "layer " .. i, attention = attention_weights(w, c, base .. "self_attn.", absorbed),
    input_norm = w:plain(base .. "input_layernorm.weight", { H }), post_norm = w:plain(base .. "post_attention_layernorm.weight", { H }),
  }
  if not is_moe(c, i) then
    l.mlp = w:mlp(base .. "mlp.", c.intermediate_size, H)
    return l
  end
  l.router = w:plain(base .. "mlp.gate.weight", { c.n_routed_experts, H }, tg.f32)
  l.bias = w:plain(base .. "mlp.gate.e_score_correction_bias", { c.n_routed_experts }, tg.f32)
  l.experts = w:experts(base .. "mlp.experts.", c.n_routed_experts, c.moe_intermediate_size, H)
  if c.n_shared_experts > 0 then
    l.shared = w:mlp(base .. "mlp.shared_experts.", c.n_shared_experts * c.moe_intermediate_size, H)
  elseif w:has(base .. "mlp.shared_experts.down_proj.weight") then
    w:refuse(base .. "mlp.shared_experts.down_proj.weight", "is there, but n_shared_experts of config.json is 0")
  end
  return l
end

-- ---- steps

local G <const> = {} -- steps in a pipeline of activations of one dtype
G.__index = G

function M.graph(pipeline, config, mode)
  return setmetatable({ p = pipeline, c = config, mode = mode, dtype = mode == "f32" and tg.f32 or tg.bf16, codes = {}, bound = {}, nbound = 0 }, G)
end

-- A weight as the pipeline's, bound once
function G:weight(buffer)
  if not self.bound[buffer] then
    self.nbound = self.nbound + 1
    self.bound[buffer] = self.p:bind("w" .. self.nbound, buffer)
  end
  return self.bound[buffer]
end

function G:step(name, kernel, arguments, set)
  return self.p:step(kernel, arguments, { set = set, name = self.at and self.at .. " " .. name or name })
end

local function typed(g, set)
  set = set or {}
  set.dtype = g.dtype
  return set
end

-- x's rows as codes and scales per 1x128, made once however many layers take them
function G:quantized(name, x)
  if not self.codes[x] then self.codes[x] = self:step(name .. " quantize", "quantize_rows", { X = x }) end
  return self.codes[x]
end

-- x [T, k] times a linear layer -> [T, rows]
function G:linear(name, x, l)
  if self.mode == "fp8" and l.S then
    local q = self:quantized(name, x)
    return self:step(name, "gemm_fp8", { A = q.Q, As = q.S, B = self:weight(l.W), Bs = self:weight(l.S) }).C
  end
  return self:step(name, self.mode == "f32" and "gemm_f32" or "gemm_bf16", { A = x, B = self:weight(l.W) }).C
end

-- The same for rows of experts
function G:grouped(name, x, l, offsets)
  if self.mode == "fp8" then
    local q = self:quantized(name, x)
    return self:step(name, "grouped_gemm_fp8", { A = q.Q, As = q.S, B = self:weight(l.W), Bs = self:weight(l.S), offsets = offsets }).C
  end
  return self:step(name, self.mode == "f32" and "grouped_gemm_f32" or "grouped_gemm_bf16", { A = x, B = self:weight(l.W), offsets = offsets }).C
end

function G:norm(name, x, weight, eps)
  return self:step(name, "rmsnorm", { X = x, W = self:weight(weight), eps = eps or self.c.rms_norm_eps }, typed(self)).O
end

function G:add(name, a, b) return self:step(name, "add", { A = a, B = b }, typed(self)).O end

function G:swiglu(name, x)
  if self.mode ~= "fp8" then return self:step(name, "swiglu", { G = x }, typed(self)).O end
  local q = self:step(name, "swiglu_quantize", { G = x })
  self.codes[q.Q] = q -- the layer after it takes them as they are
  return q.Q
end

function G:join(name, p, q, shared)
  return self:step(name, kernels.join, { P = p, Q = q }, typed(self, { shared = shared and 1 or 0 })).O
end

-- Of the norms inside attention, whatever rms_norm_eps: transformers and DeepSeek's own code leave theirs at the default
local LATENT_EPS <const> = 1e-6

-- Latent attention of rows h [T, H]. `at` says where they are: T, pos [T], cu (expanded: prefill of one sequence), table, seq and lens of the
-- paged cache kv, and B x S = T for the absorbed form: B lists of keys with S queries each.
function G:attention(a, h, at, kv)
  local c, T, N = self.c, at.T, self.c.num_attention_heads
  local nope, R, D, V = c.qk_nope_head_dim, c.qk_rope_head_dim, c.kv_lora_rank, c.v_head_dim
  local q = h
  if a.q_a then q = self:norm("q norm", self:linear("q_a", h, a.q_a), a.q_norm, LATENT_EPS) end
  q = self:step("split q", kernels.split, { X = self:linear("q", q, a.q):view(T, N, nope + R) }, typed(self, { A = nope }))
  local kva = self:step("split kv", kernels.split, { X = self:linear("kv_a", h, a.kv_a):view(T, 1, D + R) }, typed(self, { A = D }))
  local latent = self:norm("kv norm", kva.P:view(T, D), a.kv_norm, LATENT_EPS)
  local q_rope = self:step("rope q", "rope", { X = q.Q, pos = at.pos, inv_freq = at.inv_freq }, typed(self, { scale = c.rope_scale })).O
  local k_rope = self:step("rope k", "rope", { X = kva.Q, pos = at.pos, inv_freq = at.inv_freq }, typed(self, { scale = c.rope_scale })).O
  self:step("append", "append_cache",
    { Latent = latent, Rope = k_rope:view(T, R), table = at.table, seq = at.seq, pos = at.pos, KV = kv }, typed(self))
  local o
  if at.cu then
    local kv_b = self:linear("kv_b", latent, a.kv_b):view(T, N, nope + V)
    kv_b = self:step("split kv_b", kernels.split, { X = kv_b }, typed(self, { A = nope }))
    local key = self:join("join k", kv_b.P, k_rope, true)
    o = self:step("attention", "mla_prefill", { Q = self:join("join q", q.P, q_rope), K = key, V = kv_b.Q, cu = at.cu, scale = c.scale }, typed(self)).O
  else
    local absorbed = self:step("absorb", "bmm", { A = q.P, B = self:weight(a.key) }, typed(self, { transpose_b = 1 })).C
    local queries = self:join("join q", absorbed, q_rope):view(at.B, at.S, N, D + R)
    o = self:step("attention", "mla_decode", { Q = queries, KV = kv, table = at.table, lens = at.lens, scale = c.scale }, typed(self, { D = D, R = R })).O
    o = self:step("values", "bmm", { A = o:view(T, N, D), B = self:weight(a.value) }, typed(self)).C
  end
  return self:linear("o", o:view(T, N * V), a.o)
end

function G:mlp(name, x, m)
  return self:linear(name .. "down", self:swiglu(name .. "swiglu", self:linear(name .. "up", x, m.up)), m.down)
end

-- Routed experts and the shared one. The router works in f32: bf16 logits would flip choices.
function G:moe(l, x)
  local c = self.c
  local wide = x
  if self.dtype ~= tg.f32 then wide = self:step("router cast", "cast", { X = x }, { from = tg.bf16, to = tg.f32 }).O end
  local logits = self:step("router", "gemm_f32", { A = wide, B = self:weight(l.router) }).C
  local gate = self:step("gate", "moe_gate", { L = logits, bias = self:weight(l.bias) },
    { groups = c.n_group, topk_groups = c.topk_group, topk = c.num_experts_per_tok, scale = c.routed_scaling_factor })
  local rows = self:step("dispatch", "moe_dispatch", { X = x, idx = gate.idx }, typed(self, { experts = c.n_routed_experts }))
  local y = self:swiglu("experts swiglu", self:grouped("experts up", rows.Xp, l.experts.up, rows.offsets))
  y = self:grouped("experts down", y, l.experts.down, rows.offsets)
  y = self:step("combine", "moe_combine", { Y = y, src = rows.src, w = gate.w }, typed(self)).O
  if l.shared then y = self:add("add shared", y, self:mlp("shared ", x, l.shared)) end
  return y
end

-- x [T, H] through the layer
function G:layer(l, x, at, kv)
  self.at = l.name
  local a = self:attention(l.attention, self:norm("norm", x, l.input_norm), at, kv)
  local h = self:step("post norm", "add_rmsnorm", { X = x, R = a, W = self:weight(l.post_norm), eps = self.c.rms_norm_eps }, typed(self))
  x = self:add("add mlp", h.S, l.mlp and self:mlp("", h.O, l.mlp) or self:moe(l, h.O))
  self.at = nil
  return x
end

-- Logits of x into `out` [T, V], f32
function G:head(x, head, out)
  self:step("head", self.dtype == tg.f32 and "gemm_f32" or kernels.head, { A = x, B = self:weight(head), C = out })
end

return M
