-- A checkpoint, changed and in one file: `tegula run change.lua FROM TO ACTION TENSOR`. ACTION: drop, grow (one row more), flatten (one axis),
-- embed (a copy of model.embed_tokens.weight), spare (one more tensor: TENSOR with "bias" for its last word), only (without the layers from TENSOR,
-- a number, on), loud (what the norms inside attention take, times 1024, in every layer), fuse (TENSOR's layer gets its experts in one tensor, as
-- some versions of transformers write them), or a dtype.
local tg <const> = require "tegula"
local from, to, action, name = table.unpack(arg)
local c, tensors = tg.safetensors(from), {}
for _, n in ipairs(c.names) do tensors[n] = c:tensor(n) end
if action == "fuse" then
  local base = name:match "^.*%.experts%."
  local gate = tensors[base .. "0.gate_proj.weight"]
  local I, H = table.unpack(gate.shape)
  local E = 0
  while tensors[("%s%d.gate_proj.weight"):format(base, E)] do E = E + 1 end
  local up, down = tg.tensor(gate.dtype, E, 2 * I, H), tg.tensor(gate.dtype, E, H, I)
  for e = 0, E - 1 do
    local function take(part)
      local full = ("%s%d.%s_proj.weight"):format(base, e, part)
      local t = tensors[full]
      tensors[full] = nil
      return t
    end
    local g, u, d = take "gate", take "up", take "down"
    for i = 0, I - 1 do
      for h = 0, H - 1 do
        up:set(e, i, h, g:get(i, h))
        up:set(e, I + i, h, u:get(i, h))
        down:set(e, h, i, d:get(h, i))
      end
    end
  end
  tensors[base .. "gate_up_proj"], tensors[base .. "down_proj"] = up, down
  tg.write_safetensors(to .. "/model.safetensors", tensors)
  return
end
if action == "only" then
  for n in pairs(tensors) do
    local layer = math.tointeger(tonumber(n:match "^model%.layers%.(%d+)%."))
    if layer and layer >= tonumber(name) then tensors[n] = nil end
  end
  tg.write_safetensors(to .. "/model.safetensors", tensors)
  return
end
if action == "loud" then
  for n, t in pairs(tensors) do
    local kv = n:find("kv_a_proj_with_mqa", 1, true)
    if kv or n:find("q_a_proj", 1, true) then
      local rows = kv and #tensors[n:gsub("kv_a_proj_with_mqa", "kv_a_layernorm")] or t.shape[1]
      for r = 0, rows - 1 do
        for c = 0, t.shape[2] - 1 do t:set(r, c, 1024 * t:get(r, c)) end
      end
    end
  end
  tg.write_safetensors(to .. "/model.safetensors", tensors)
  return
end
local old = assert(tensors[name], "no such tensor")
local shape = old.shape
if action == "drop" then
  tensors[name] = nil
elseif action == "embed" then
  tensors[name] = tensors["model.embed_tokens.weight"]:copy()
elseif action == "spare" then
  tensors[name:gsub("[^.]*$", "bias")] = tg.tensor(old.dtype, shape[1])
elseif action == "grow" then
  shape[1] = shape[1] + 1
  tensors[name] = tg.tensor(old.dtype, shape)
elseif action == "flatten" then
  tensors[name] = tg.tensor(old.dtype, #old)
else
  tensors[name] = tg.tensor(action, shape)
end
tg.write_safetensors(to .. "/model.safetensors", tensors)
