-- KV memory of multi-head latent attention against MHA, GQA and MQA. `tegula run examples/mla_memory.lua [config.json] [--length N] [--bytes N]
-- [--groups N]`: from any model's config.json, DeepSeek-V3 without one.
local tg <const> = require "tegula"

local deepseek_v3 <const> = {
  model_type = "deepseek_v3", num_hidden_layers = 61, num_attention_heads = 128, num_key_value_heads = 128, hidden_size = 7168,
  kv_lora_rank = 512, qk_rope_head_dim = 64, qk_nope_head_dim = 128, v_head_dim = 128, max_position_embeddings = 163840, torch_dtype = "bfloat16",
}
local value_bytes <const> = { bfloat16 = 2, float16 = 2, float32 = 4, float64 = 8, float8_e4m3fn = 1 }

local function whole(x, name, low)
  x = math.tointeger(tonumber(x)) or tg.refuse(("%s is %s, it must be a whole number"):format(name, tostring(x)))
  if x < low or x > 1 << 40 then tg.refuse(("%s is %d, it must be %d or more"):format(name, x, low)) end
  return x
end

local options, file = {}, nil
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match "^%-%-(%l+)$"
    if name == "length" or name == "bytes" or name == "groups" then
      options[name] = whole(arg[i + 1], "--" .. name, 1)
      i = i + 1
    elseif arg[i]:sub(1, 1) == "-" or file then
      tg.refuse("usage: mla_memory.lua [config.json] [--length N] [--bytes N] [--groups N]")
    else
      file = arg[i]
    end
    i = i + 1
  end
end

local config = deepseek_v3
if file then
  local ok, read = pcall(tg.json, file)
  if not ok then tg.refuse((tostring(read):gsub("^[^:]+:%d+: ", ""))) end
  config = read
end
if type(config) ~= "table" then tg.refuse(file .. ": is no model's config: its JSON is not an object") end
if type(config.text_config) == "table" then config = config.text_config end -- a model that also sees or hears
local function field(name, fallback)
  local x = config[name]
  if x == nil then x = fallback end
  if x == nil then tg.refuse(("%s: lacks %s"):format(file, name)) end
  return whole(x, ("%s: %s"):format(file or "DeepSeek-V3", name), 1)
end

local layers, heads = field "num_hidden_layers", field "num_attention_heads"
local kv_heads = field("num_key_value_heads", heads)
if kv_heads > heads or heads % kv_heads ~= 0 then
  tg.refuse(("%s: num_key_value_heads is %d, which does not divide num_attention_heads %d"):format(file, kv_heads, heads))
end
local latent_model = config.kv_lora_rank ~= nil
local latent, rope = field("kv_lora_rank", 512), field("qk_rope_head_dim", 64)
local key, val -- numbers that one head keeps of a token
if latent_model then
  key, val = field "qk_nope_head_dim" + rope, field "v_head_dim"
else
  key = config.head_dim and field "head_dim" or field "hidden_size" // heads
  val = key
end
local bytes = options.bytes or value_bytes[config.torch_dtype or config.dtype or "bfloat16"] or 2
local length = options.length or field("max_position_embeddings", 4096)
local groups = options.groups or (kv_heads < heads and kv_heads > 1 and kv_heads) or math.min(8, heads)

local function grouped(n) -- 1234567 -> 1,234,567
  local text = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end
local function scaled(n)
  local units, u = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" }, 1
  while n >= 1024 and u < #units do n, u = n / 1024, u + 1 end
  return ("%.4g %s"):format(n, units[u])
end

local own = latent_model and "MLA" or kv_heads == heads and "MHA" or kv_heads == 1 and "MQA" or "GQA"
local per_head = ("(%d + %d)"):format(key, val)
local rows = {
  { "MHA", heads * (key + val), ("heads x (key + value) = %d x %s"):format(heads, per_head) },
  { "GQA", groups * (key + val), ("groups x (key + value) = %d x %s"):format(groups, per_head) },
  { "MQA", key + val, ("key + value = %d + %d"):format(key, val) },
  { "MLA", latent + rope, ("latent + rope = %d + %d"):format(latent, rope) },
}

print(("%s: %d layers, %d heads, %d bytes a value, %s tokens"):format(file or "DeepSeek-V3", layers, heads, bytes, grouped(length)))
print(("%-5s %11s %13s %13s %13s %8s  %s"):format("", "values a", "bytes a token", "bytes a token,", "at " .. grouped(length), "against", "values a token and layer"))
print(("%-5s %11s %13s %13s %13s %8s"):format("", "token, layer", "and layer", "all layers", "tokens", "MLA"))
for _, row in ipairs(rows) do
  local name, values, formula = table.unpack(row)
  local token = values * bytes
  print(("%-5s %11s %13s %13s %13s %7.2fx  %s"):format(name .. (name == own and "*" or ""), grouped(values), grouped(token), grouped(token * layers),
    scaled(token * layers * length), values / (latent + rope), formula))
end
print("* what this model has; the others are what the same heads would keep")
print("bytes = values a token and layer x bytes a value x layers x tokens")
if not latent_model then print(("MLA's row takes DeepSeek's latent of %d and rope part of %d"):format(latent, rope)) end
if config.layer_types or config.sliding_window then print "some layers of this model may keep less: every layer is counted as full attention" end
