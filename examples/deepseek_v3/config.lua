-- config.json of a DeepSeek-V3 checkpoint, as transformers writes it or as DeepSeek released it: read, checked, and what follows from it.
-- Everything that the example cannot run is refused here, by the field's name.
local tg <const> = require "tegula"

local M = {}

-- name, least, most, default; without a default the field must be there
local whole <const> = {
  { "vocab_size", 1, 1 << 24 }, { "hidden_size", 1, 1 << 20 }, { "intermediate_size", 1, 1 << 24 }, { "moe_intermediate_size", 1, 1 << 24 },
  { "num_hidden_layers", 1, 4096 }, { "num_attention_heads", 1, 4096 }, { "kv_lora_rank", 1, 1 << 16 }, { "qk_nope_head_dim", 1, 1 << 16 },
  { "qk_rope_head_dim", 2, 1 << 16 }, { "v_head_dim", 1, 1 << 16 }, { "n_routed_experts", 1, 1 << 16 }, { "num_experts_per_tok", 1, 1 << 16 },
  { "n_group", 1, 1 << 16 }, { "topk_group", 1, 1 << 16 }, { "n_shared_experts", 0, 1 << 16 }, { "first_k_dense_replace", 0, 4096 },
  { "max_position_embeddings", 1, 1 << 24 }, { "num_nextn_predict_layers", 0, 4096, 0 },
}
-- what has one meaning here: name, the value, also meant when the field is missing
local fixed <const> = {
  { "hidden_act", "silu" }, { "norm_topk_prob", true }, { "scoring_func", "sigmoid" }, { "topk_method", "noaux_tc" }, { "moe_layer_freq", 1 },
  { "attention_bias", false }, { "rope_interleave", true }, { "ep_size", 1 },
}

local function said(x) return type(x) == "table" and "an object or a list" or tostring(x) end

local function check(file, ok, text, ...)
  if not ok then tg.refuse(("%s: %s"):format(file, text:format(...))) end
end

local function number(file, t, name, least, most, default)
  local x = t[name]
  if x == nil then x = default end
  check(file, x ~= nil, "lacks %s; a DeepSeek-V3 config has it", name)
  local inside = type(x) == "number" and x >= least and x <= most
  check(file, inside, "%s is %s, it must be a number from %s to %s", name, said(x), least, most)
  return x
end

local function integer(file, t, name, least, most, default)
  local x = number(file, t, name, least, most, default)
  check(file, math.type(x) == "integer", "%s is %s, it must be a whole number", name, said(x))
  return x
end

-- What tg.yarn gives for the rope part: frequencies of its pairs, the factor of cos and sin, that of the softmax scale
local function rope(file, json, dim)
  local name = json.rope_parameters ~= nil and "rope_parameters" or "rope_scaling"
  local r = json[name] or {}
  check(file, type(r) == "table", "%s is %s, it must be an object or null", name, said(json[name]))
  local kind = r.rope_type or r.type or "default"
  check(file, kind == "default" or kind == "yarn", "%s.rope_type is %s; default and yarn can be run", name, said(kind))
  local base = number(file, { rope_theta = r.rope_theta or json.rope_theta }, "rope_theta", 1.001, 1e12, 10000)
  if kind == "default" then return tg.yarn { dim = dim, base = base } end
  local where = ("%s: %s"):format(file, name)
  local function optional(field, least) return r[field] ~= nil and number(where, r, field, least, 1e6) or nil end
  return tg.yarn {
    dim = dim, base = base, factor = number(where, r, "factor", 1, 1e6),
    original = integer(where, r, "original_max_position_embeddings", 1, 1 << 24), beta_fast = optional("beta_fast", 1e-3),
    beta_slow = optional("beta_slow", 1e-3), mscale = optional("mscale", 0), mscale_all_dim = optional("mscale_all_dim", 0),
    attention_factor = optional("attention_factor", 1e-3),
  }
end

local function quantization(file, json)
  local q = json.quantization_config
  if q == nil then return end
  local method = type(q) == "table" and q.quant_method or q
  check(file, method == "fp8", "quantization_config.quant_method is %s; fp8 with 128x128 blocks can be read, convert others", said(method))
  local block = q.weight_block_size
  check(file, type(block) == "table" and block[1] == 128 and block[2] == 128, "quantization_config.weight_block_size must be [128, 128]")
  check(file, q.fmt == nil or q.fmt == "e4m3", "quantization_config.fmt is %s; e4m3 can be read", said(q.fmt))
end

-- A table with the fields above and: q_lora_rank (nil: none), rms_norm_eps, routed_scaling_factor, tied, inv_freq and rope_scale
-- (of cos and sin) for the rope kernel, scale of the softmax, bos.
function M.read(directory)
  local file = directory .. "/config.json"
  local ok, json = pcall(tg.json, file)
  if not ok then tg.refuse((tostring(json):gsub("^[^:]+:%d+: ", ""))) end
  check(file, type(json) == "table", "is no model's config: its JSON is not an object")
  check(file, json.model_type == nil or json.model_type == "deepseek_v3", "model_type is %s; deepseek_v3 can be run", said(json.model_type))
  local c = { file = file, directory = directory }
  for _, f in ipairs(whole) do c[f[1]] = integer(file, json, table.unpack(f)) end
  for _, f in ipairs(fixed) do
    check(file, json[f[1]] == nil or json[f[1]] == f[2], "%s is %s; only %s can be run", f[1], said(json[f[1]]), tostring(f[2]))
  end
  if json.q_lora_rank ~= nil then c.q_lora_rank = integer(file, json, "q_lora_rank", 1, 1 << 20) end
  local heads = integer(file, json, "num_key_value_heads", 1, 4096, c.num_attention_heads)
  check(file, heads == c.num_attention_heads, "num_key_value_heads is %d and num_attention_heads %d; latent attention has as many", heads,
    c.num_attention_heads)
  check(file, c.qk_rope_head_dim % 2 == 0, "qk_rope_head_dim is %d, it must be even: pairs are turned", c.qk_rope_head_dim)
  check(file, c.n_routed_experts % c.n_group == 0, "n_group is %d, it must divide n_routed_experts %d", c.n_group, c.n_routed_experts)
  check(file, c.topk_group <= c.n_group, "topk_group is %d, more than n_group %d", c.topk_group, c.n_group)
  local open = c.n_routed_experts // c.n_group * c.topk_group
  check(file, c.num_experts_per_tok <= open, "num_experts_per_tok is %d, but topk_group groups hold %d experts", c.num_experts_per_tok, open)
  c.rms_norm_eps = number(file, json, "rms_norm_eps", 0, 1, 1e-6)
  c.routed_scaling_factor = number(file, json, "routed_scaling_factor", 0, 1e6)
  check(file, json.tie_word_embeddings == nil or type(json.tie_word_embeddings) == "boolean", "tie_word_embeddings is %s, it must be true or false",
    said(json.tie_word_embeddings))
  c.tied = json.tie_word_embeddings == true
  local softmax
  c.inv_freq, c.rope_scale, softmax = rope(file, json, c.qk_rope_head_dim)
  c.scale = (c.qk_nope_head_dim + c.qk_rope_head_dim) ^ -0.5 * softmax
  quantization(file, json)
  if json.bos_token_id ~= nil then c.bos = integer(file, json, "bos_token_id", 0, c.vocab_size - 1) end
  return c
end

function M.is_moe(c, layer) return layer >= c.first_k_dense_replace end

return M
