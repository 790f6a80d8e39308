-- `echo.lua FROM TO`: a checkpoint of one file whose next token is (t + 7) mod V, after layers that add little; the MTP layer says the same, but for
-- every third token, where it is wrong: so half of its drafts and more are taken, and others are not.
local tg <const> = require "tegula"
local from, to = arg[1], arg[2]
local c, tensors = tg.safetensors(from .. "/model.safetensors"), {}
for _, name in ipairs(c.names) do tensors[name] = c:tensor(name) end
for name, t in pairs(tensors) do
  if name:find "o_proj" or name:find "down_proj" then tensors[name] = t:normal(1, 0.001) end
end
local embed, head = tensors["model.embed_tokens.weight"], tensors["lm_head.weight"]
local V, H = table.unpack(embed.shape)
tensors["model.norm.weight"]:fill(1)
tensors["model.layers.2.shared_head.norm.weight"]:fill(1)
tensors["model.layers.2.enorm.weight"]:fill(1)
local draft_head, eh = head:copy(), tensors["model.layers.2.eh_proj.weight"]:fill(0)
for v = 0, V - 1 do
  for h = 0, H - 1 do
    head:set((v + 7) % V, h, embed:get(v, h))
    draft_head:set((v + (v % 3 == 0 and 8 or 7)) % V, h, embed:get(v, h))
  end
end
for h = 0, H - 1 do eh:set(h, h, 1) end
tensors["model.layers.2.embed_tokens.weight"], tensors["model.layers.2.shared_head.head.weight"] = embed, draft_head
tg.write_safetensors(to .. "/model.safetensors", tensors)
