-- A DeepSeek-V3 checkpoint in Hugging Face format, run from its directory: logits, greedy text, the MTP head. docs/model.md explains it.
package.path = (arg[0]:match "^(.*/)" or "./") .. "?.lua;" .. package.path
local tg <const> = require "tegula"
local config <const>, model <const>, generate <const> = require "deepseek_v3.config", require "deepseek_v3.model", require "deepseek_v3.generate"

local usage <const> = [[
usage: tegula run examples/deepseek_v3.lua DIR [OPTIONS]

Runs the checkpoint in DIR: config.json and its .safetensors files, stored as bf16, f32 or FP8 with weight_scale_inv.

  --tokens FILE          the prompt, integers [T] or [1,T]; without it config.json's bos_token_id
  --greedy N             prints the N most likely tokens that follow, decoded with the cache
  --draft mtp            with --greedy: the MTP layer drafts, the model checks two tokens a step; the text stays the same
  --logits FILE          writes the logits of the prompt, f32 [T,V]
  --mtp FILE             writes the MTP layer's logits, f32 [T-1,V]; row i predicts token i+2
  --layers IN OUT        runs each decoder layer on its own input IN, f32 [L,T,H], and writes the outputs to OUT
  --activations KIND     bf16 (default), f32, or fp8: FP8 weights and inputs of linear layers
  --attention KIND       of the prompt: expanded (default) or absorbed
  --device NAME          cpu (default) or interp
  --threads N            host threads; all without it
  --report               prints what each pass takes, step by step
  --help                 this]]

local function fail(text, ...) tg.refuse("deepseek_v3: " .. text:format(...)) end

-- ---- options

local values <const> = {
  tokens = "FILE", greedy = "N", draft = { "mtp" }, logits = "FILE", mtp = "FILE", layers = "IN OUT", activations = { "bf16", "f32", "fp8" },
  attention = { "expanded", "absorbed" }, device = { "cpu", "interp" }, threads = "N",
}

local function one_of(name, word, list)
  for _, x in ipairs(list) do if x == word then return word end end
  fail("--%s %s: it is one of %s", name, word, table.concat(list, ", "))
end

local function count_of(name, word, most)
  local n = math.tointeger(tonumber(word))
  if not n or n < 1 or n > most then fail("--%s %s: it must be a whole number from 1 to %d", name, word, most) end
  return n
end

local function parse(words)
  local o, i = {}, 1
  while words[i] do
    local name, text = words[i]:match "^%-%-([%l_]+)=?(.*)$"
    if not words[i]:match "^%-" then
      if o.directory then fail("a second directory, %s; there is one checkpoint", words[i]) end
      o.directory = words[i]
    elseif words[i] == "--help" or words[i] == "-h" then
      print(usage)
      return nil
    elseif words[i] == "--report" then
      o.report = true
    elseif not name or not values[name] then
      fail("no option %s; --help lists them", words[i])
    elseif o[name] ~= nil then
      fail("--%s is given twice", name)
    else
      if not words[i]:find("=", 1, true) then
        i = i + 1
        text = words[i]
      end
      if not text or text == "" then fail("--%s needs a value", name) end
      if type(values[name]) == "table" then text = one_of(name, text, values[name])
      elseif values[name] == "N" then text = count_of(name, text, name == "greedy" and 1 << 24 or 4096)
      elseif values[name] == "IN OUT" then
        i = i + 1
        text = { text, words[i] or fail "--layers needs two files, IN and OUT" }
      end
      o[name] = text
    end
    i = i + 1
  end
  if not o.directory then fail "which checkpoint? Give its directory; --help tells more" end
  local file = { logits = o.logits, mtp = o.mtp, layers = o.layers and o.layers[2] }
  for _, pair in ipairs { { "logits", "mtp" }, { "logits", "layers" }, { "mtp", "layers" } } do
    local first = file[pair[1]]
    if first and first == file[pair[2]] then fail("--%s and --%s both write %s", pair[1], pair[2], first) end
  end
  if o.draft and not o.greedy then fail "--draft mtp needs --greedy N" end
  return o
end

-- ---- inputs

local function read(file, what)
  local ok, t = pcall(tg.read, file)
  if not ok then tg.refuse(("%s %s"):format(what, tostring(t):gsub("^[^:]+:%d+: ", ""))) end
  return t
end

local function prompt(o, c)
  if not o.tokens then
    if not c.bos then fail("%s names no bos_token_id: give --tokens FILE", c.file) end
    return { c.bos }
  end
  local t = read(o.tokens, "--tokens")
  local shape = t.shape
  if t.dtype ~= tg.i64 and t.dtype ~= tg.i32 then fail("%s holds %s; tokens are i64 or i32", o.tokens, t.dtype) end
  local row = #shape == 2 and shape[1] == 1
  if #shape ~= 1 and not row then fail("%s has the shape [%s]; tokens are [T] or [1,T]", o.tokens, table.concat(shape, ",")) end
  local list, count = {}, shape[#shape]
  if count == 0 then fail("%s holds no token", o.tokens) end
  if count > c.max_position_embeddings then
    fail("%s holds %d tokens, more than max_position_embeddings %d of %s", o.tokens, count, c.max_position_embeddings, c.file)
  end
  for i = 1, count do
    local id = row and t:get(0, i - 1) or t:get(i - 1)
    if math.type(id) ~= "integer" or id < 0 or id >= c.vocab_size then
      fail("%s: token %d is %s; the vocabulary has 0 to %d", o.tokens, i - 1, tostring(id), c.vocab_size - 1)
    end
    list[i] = id
  end
  return list
end

local function layer_inputs(o, c)
  local t = read(o.layers[1], "--layers")
  local s = t.shape
  if t.dtype ~= tg.f32 or #s ~= 3 or s[1] ~= c.num_hidden_layers or s[3] ~= c.hidden_size or s[2] < 1 or s[2] > c.max_position_embeddings then
    fail("%s is %s [%s]; it must be f32 [%d,T,%d] with T from 1 to %d", o.layers[1], t.dtype, table.concat(s, ","), c.num_hidden_layers,
      c.hidden_size, c.max_position_embeddings)
  end
  return t
end

-- ---- work

local function run_layers(m, inputs)
  local L, T, H = table.unpack(inputs.shape)
  local from, to = m.device:buffer(inputs), m.device:buffer(tg.f32, L, T, H)
  for l = 0, L - 1 do to:slice(l, 1):view(T, H):write(m:forward_layer(l, from:slice(l, 1):view(T, H))) end
  return to:read()
end

local function mebibytes(n) return ("%.1f MiB"):format(n / 2 ^ 20) end

local function main()
  local o = parse(arg)
  if not o then return end
  local c = config.read(o.directory)
  local tokens, inputs = prompt(o, c), o.layers and layer_inputs(o, c)
  local length = #tokens + (o.greedy or 0)
  if length > c.max_position_embeddings then
    fail("%d tokens and --greedy %d pass max_position_embeddings %d of %s", #tokens, o.greedy, c.max_position_embeddings, c.file)
  end
  if o.mtp and #tokens < 2 then fail("--mtp needs two tokens or more, to predict the third") end
  local m = model.load(c, { device = tg.device(o.device or "cpu"), threads = o.threads or 0, mode = o.activations or "bf16",
    absorbed = o.attention == "absorbed", mtp = o.mtp or o.draft, tokens = math.max(length + 1, inputs and inputs.shape[2] or 0) })
  print(("%s: %d layers%s, %s, weights %s, cache %s for %d tokens"):format(o.directory, c.num_hidden_layers, m.mtp and " and MTP" or "", m.mode,
    mebibytes(m.bytes), mebibytes(m.cache_bytes), m.pages * 64))
  local written = {} -- {file, tensor}: at the end, when all has worked
  if o.layers then written[1] = { o.layers[2], run_layers(m, inputs) } end
  if o.logits or o.mtp then
    local all = m:forward(tokens, 0, true)
    if o.logits then written[#written + 1] = { o.logits, all.logits:read() } end
    if o.mtp then
      local count = #tokens - 1
      local follow = table.move(tokens, 2, #tokens, 1, {})
      written[#written + 1] = { o.mtp, m:forward_mtp(all.hidden:slice(0, count), follow, 0, true).logits:read() }
    end
  end
  local text, drafts, taken
  if o.greedy then
    if o.draft then text, drafts, taken = generate.drafted(m, tokens, o.greedy) else text = generate.plain(m, tokens, o.greedy) end
  end
  if text then print("greedy: " .. table.concat(text, " ")) end
  if drafts then print(("drafts: %d of %d taken: %s"):format(taken, #drafts, table.concat(drafts, " "))) end
  for _, w in ipairs(written) do w[2]:write(w[1]) end -- after the text, which a full disk must not swallow
  if o.report then m:report() end
end

main()
