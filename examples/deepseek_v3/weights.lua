-- A checkpoint's tensors on the device, as the model wants them: checked against the config, in the dtype of the activations or as FP8 codes
-- with their scales, gate and up projections stacked, experts stacked.
local tg <const> = require "tegula"
local kernels <const> = require "deepseek_v3.kernels"

local M = {}
local W <const> = {}
W.__index = W

local cast, dequantize, quantize = tg.load "cast", tg.load "dequantize_blocks", tg.load "quantize_blocks"

local function shape_text(shape) return "[" .. table.concat(shape, ", ") .. "]" end

-- mode: "f32", "bf16" or "fp8", the activations' dtype; in "fp8" linear layers keep codes and everything else is bf16
function M.open(config, device, mode, threads)
  local ok, checkpoint = pcall(tg.safetensors, config.directory)
  if not ok then tg.refuse((tostring(checkpoint):gsub("^[^:]+:%d+: ", ""))) end
  local w = setmetatable({ c = checkpoint, config = config, device = device, mode = mode, threads = threads, bytes = 0 }, W)
  w.dtype = mode == "f32" and tg.f32 or tg.bf16
  local extra = config.num_hidden_layers -- the MTP layer's number; an ordinary layer there is one that config.json does not count
  local mtp = ("model.layers.%d."):format(extra)
  for _, name in ipairs(checkpoint.names) do
    if name:match "%.bias$" then w:refuse(name, "is a bias; linear layers with biases cannot be run") end
    local layer = math.tointeger(tonumber(name:match "^model%.layers%.(%d+)%."))
    if layer and (layer >= extra + math.max(config.num_nextn_predict_layers, 1)
      or layer == extra and not (w:has(mtp .. "enorm.weight") or w:has(mtp .. "eh_proj.weight"))) then
      tg.refuse(("%s: num_hidden_layers is %d and num_nextn_predict_layers %d, but %s holds %s"):format(config.file, config.num_hidden_layers,
        config.num_nextn_predict_layers, checkpoint:info(name).file, name))
    end
  end
  return w
end

function W:has(name) return self.c:info(name) ~= nil end

function W:refuse(name, text, ...)
  local info = self.c:info(name)
  tg.refuse(("%s: the tensor %s %s"):format(info and info.file or self.config.directory, name, text:format(...)))
end

-- Is the tensor there, of that shape? `why` says where the shape comes from. Asked before memory is made for it.
function W:expect(name, shape, why)
  local info = self.c:info(name)
  if not info then self:refuse(name, "%s is missing; config.json calls for it", shape_text(shape)) end
  local same = #info.shape == #shape
  for i, n in ipairs(shape) do same = same and info.shape[i] == n end
  if not same then self:refuse(name, "is %s; %s makes it %s", shape_text(info.shape), why or "config.json", shape_text(shape)) end
  return info
end

-- The tensor as it is stored, in one of the dtypes that are allowed
function W:raw(name, shape, allowed, why)
  local info = self:expect(name, shape, why)
  for _, dtype in ipairs(allowed) do
    if info.dtype == dtype then
      local ok, tensor = pcall(self.c.tensor, self.c, name)
      if not ok then tg.refuse((tostring(tensor):gsub("^[^:]+:%d+: ", ""))) end
      return tensor
    end
  end
  self:refuse(name, "is stored as %s; it can be read from %s", info.stored, table.concat(allowed, ", "))
end

function W:run(kernel, arguments, options)
  options = options or {}
  options.threads = self.threads
  return self.device:run(kernel, arguments, options)
end

function W:convert(tensor, dtype)
  if tensor.dtype == dtype then return tensor end
  if #tensor.shape ~= 2 then return tensor:to(dtype) end
  return self:run(cast, { X = tensor }, { set = { from = tensor.dtype, to = dtype } }).O
end

function W:keep(buffer, bytes)
  self.bytes = self.bytes + bytes
  return buffer
end

local size <const> = { [tg.f32] = 4, [tg.bf16] = 2, [tg.e4m3] = 1 }
function W:buffer(dtype, ...)
  local n = size[dtype]
  for _, extent in ipairs { ... } do n = n * extent end
  return self:keep(self.device:buffer(dtype, ...), n)
end

-- A tensor without scales on the device: norms, embeddings, heads, the router.
function W:plain(name, shape, dtype)
  local tensor = self:convert(self:raw(name, shape, { tg.bf16, tg.f32 }), dtype or self.dtype)
  return self:keep(self.device:buffer(tensor), #tensor * size[tensor.dtype])
end

-- {codes, scales} as stored, or made of what is stored; [n, k]
function W:codes(name, n, k)
  local info = self.c:info(name)
  local scales = name .. "_scale_inv"
  if info and info.dtype == tg.e4m3 then
    return self:raw(name, { n, k }, { tg.e4m3 }), self:raw(scales, { n:cdiv(128), k:cdiv(128) }, { tg.f32 }, "the weight with blocks of 128x128")
  end
  local made = self:run(quantize, { X = self:convert(self:raw(name, { n, k }, { tg.bf16, tg.f32, tg.e4m3 }), tg.bf16) })
  return made.Q, made.S
end

-- [n, k] in the activations' dtype, dequantised where it is stored as FP8
function W:dense(name, n, k)
  local info = self.c:info(name)
  if info and info.dtype == tg.e4m3 then
    local q, s = self:codes(name, n, k)
    return self:run(dequantize, { Q = q, S = s }, { set = { dtype = self.dtype } }).X
  end
  return self:convert(self:raw(name, { n, k }, { tg.bf16, tg.f32, tg.e4m3 }), self.dtype)
end

-- A stack of linear layers [count, rows, k] for gemms: {W =, S = (FP8), rows =, k =}; `parts(e)` lists {name, rows} of matrix e, one below the
-- other. FP8 pads each part's rows and k with zeros to multiples of 128 where there are several parts or `pad` says so: a block of scales must
-- not reach into two of them.
function W:stack(count, parts, k, pad)
  local fp8 = self.mode == "fp8"
  local first, rows = parts(0), 0
  for e = 0, count - 1 do
    for _, part in ipairs(parts(e)) do self:expect(part[1], { part[2], k }) end
  end
  local function padded(n) return fp8 and (pad or #first > 1) and n:cdiv(128) * 128 or n end
  local wide = pad and padded(k) or k
  for _, part in ipairs(first) do rows = rows + (#first > 1 and padded(part[2]) or part[2]) end
  local out = { rows = rows, k = wide, W = self:buffer(fp8 and tg.e4m3 or self.dtype, count, rows, wide) }
  local flat, scales = out.W:view(count * rows, wide), nil
  if fp8 then
    out.S = self:buffer(tg.f32, count, rows:cdiv(128), wide:cdiv(128))
    scales = out.S:view(count * rows:cdiv(128), wide:cdiv(128))
  end
  for e = 0, count - 1 do
    local row, scale = e * rows, e * rows:cdiv(128)
    for _, part in ipairs(parts(e)) do
      local name, n = table.unpack(part)
      if fp8 then
        local q, s = self:codes(name, n, k)
        local high = #first > 1 and padded(n) or n
        if high ~= n or wide ~= k then q = self:run(kernels.resize, { X = q }, { shape = { R = high, C = wide } }).O end
        flat:slice(row, high):write(q)
        scales:slice(scale, n:cdiv(128)):write(s)
        row, scale = row + high, scale + n:cdiv(128)
      else
        flat:slice(row, n):write(self:dense(name, n, k))
        row = row + n
      end
    end
  end
  return out
end

-- One linear layer [n, k] for gemms
function W:linear(name, n, k, pad)
  local out = self:stack(1, function() return { { name, n } } end, k, pad)
  out.W = out.W:view(out.rows, out.k)
  if out.S then out.S = out.S:view(out.rows:cdiv(128), out.k:cdiv(128)) end
  return out
end

-- Gate and up projection as one [2 i, h], and the way down [h, i]
function W:mlp(base, i, h)
  local function two() return { { base .. "gate_proj.weight", i }, { base .. "up_proj.weight", i } } end
  local up = self:stack(1, two, h)
  up.W = up.W:view(up.rows, up.k)
  if up.S then up.S = up.S:view(up.rows:cdiv(128), up.k:cdiv(128)) end
  return { up = up, down = self:linear(base .. "down_proj.weight", h, i, true) }
end

-- The routed experts, one tensor each or all in one as transformers may write them
function W:experts(base, count, i, h)
  local fused = base .. "gate_up_proj"
  if self:has(fused) then
    local function all(name, n, k) -- [count, n, k]
      local tensor = self:raw(name, { count, n, k }, { tg.bf16, tg.f32 }, "config.json")
      if self.mode == "fp8" then tg.refuse(("%s: experts in one tensor can be run with --activations bf16 or f32"):format(name)) end
      tensor = tensor:to(self.dtype)
      return { W = self:keep(self.device:buffer(tensor), #tensor * size[tensor.dtype]), rows = n, k = k }
    end
    return { up = all(fused, 2 * i, h), down = all(base .. "down_proj", h, i) }
  end
  local function name(e, part) return ("%s%d.%s_proj.weight"):format(base, e, part) end
  return {
    up = self:stack(count, function(e) return { { name(e, "gate"), i }, { name(e, "up"), i } } end, h),
    down = self:stack(count, function(e) return { { name(e, "down"), h } } end, i, true),
  }
end

function W:close() self.c:close() end

return M
