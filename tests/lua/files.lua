-- Checkpoints, JSON documents and expert placement from scripts. arg[1]: a directory to write in, arg[2]: tests/golden/safetensors.
local tg <const> = require "tegula"
local dir, golden = arg[1], arg[2]

local function check(ok, ...) if not ok then error(("failed: " .. (...)):format(select(2, ...)), 2) end end
local function mistake(name, f, says)
  local ok, message = pcall(f)
  check(not ok, "%s: no error", name)
  check(tostring(message):find(says, 1, true), "%s: wanted '%s', got '%s'", name, says, message)
end
local function put(name, text)
  local f <close> = assert(io.open(dir .. "/" .. name, "wb"))
  f:write(text)
  return dir .. "/" .. name
end

do -- checkpoints
  local c <close> = tg.safetensors(golden .. "/sharded")
  check(#c == 4 and #c.names == 4 and c.names[1] == "lm_head.weight", "names")
  check(tostring(c) == "checkpoint of 4 tensors", "tostring: %s", tostring(c))
  local info = c:info "model.embed.weight"
  check(info.dtype == "bf16" and info.stored == "BF16" and info.shape[1] == 2 and info.shape[2] == 3 and #info.shape == 2, "info")
  check(info.bytes == 12 and info.name == "model.embed.weight" and info.file:find "model%-00001%-of%-00002", "info's rest")
  check(c:info "model.embed.bias" == nil, "info of what is not there")
  check(c.metadata.format == "pt", "metadata")
  local t = c:tensor "model.embed.weight"
  check(t.dtype == "bf16" and t:get(1, 2) == 6 and t:get(0, 2) == -2, "a tensor")
  mistake("missing", function() c:tensor "model.embed.bias" end, "no tensor 'model.embed.bias' in the 2 files")
  mistake("another dtype", function() c:tensor("model.embed.weight", "f32") end, "is BF16, not f32; read it as it is and convert it with :to")
  mistake("no dtype", function() c:tensor("model.embed.weight", "f31") end, "'f31' is not a dtype")
  mistake("no method", function() c:load "x" end, "checkpoints have no 'load'; there is names, metadata")
  local others = tg.safetensors(golden .. "/others.safetensors")
  check(others:info("c64").dtype == nil and others:info("c64").stored == "C64", "a dtype that is only listed")
  mistake("only listed", function() others:tensor "c64" end, "'c64' is C64, which no dtype here has")
  check(others:tensor("u8", tg.e4m3):get(0, 2) == -2, "bytes read as e4m3")
  others:close()
  others:close()
  mistake("closed", function() return others.names end, "the checkpoint was closed")
  check(tostring(others) == "closed checkpoint", "tostring of a closed one")
  mistake("no file", function() tg.safetensors "no/such" end, "no/such: cannot be opened")
  mistake("where", function() tg.safetensors "no/such" end, "files.lua:")
end

do -- writing
  local file = dir .. "/out.safetensors"
  local made = { a = tg.tensor(tg.f32, 3, 2):uniform(1), b = tg.tensor(tg.e4m3, 5):uniform(2), ["c.d"] = tg.tensor(tg.i1, 0) }
  tg.write_safetensors(file, made, { format = "pt", step = "3" })
  local c = tg.safetensors(file)
  check(#c == 3 and c.metadata.step == "3" and c.metadata.format == "pt", "what was written")
  for name, t in pairs(made) do
    local back = c:tensor(name)
    check(back.dtype == t.dtype and back:compare(t), "%s goes and comes back", name)
  end
  tg.write_safetensors(file, {})
  check(#tg.safetensors(file) == 0 and c:tensor("a"):compare(made.a), "an open file keeps what it had")
  mistake("not a tensor", function() tg.write_safetensors(file, { a = 3 }) end, "tegula.tensor expected")
  mistake("a list", function() tg.write_safetensors(file, { made.a }) end, "a tensor's name must be a text, not a number")
  mistake("a number in the metadata", function() tg.write_safetensors(file, made, { step = 3 }) end, "a value of the metadata must be a text")
  mistake("NUL", function() tg.write_safetensors(file, { ["a\0b"] = made.a }) end, "holds a NUL")
  mistake("reserved", function() tg.write_safetensors(file, { __metadata__ = made.a }) end, "other than __metadata__")
  mistake("nowhere", function() tg.write_safetensors(dir .. "/no/out", made) end, "cannot be created")
end

do -- JSON
  local j = tg.json(put("a.json", '\xef\xbb\xbf{"a": 1, "b": -2.5e3, "c": [1, null, "x\\u00e9\\ud83d\\ude00"], "d": {"e": true, "f": false}, "g": null, "h": 1e-06}\n'))
  check(math.type(j.a) == "integer" and j.b == -2500 and j.c[1] == 1 and j.c[2] == nil and j.c[3] == "xé😀", "values")
  check(j.d.e == true and j.d.f == false and j.g == nil and j.h == 1e-6, "more values")
  check(tg.json(put("b.json", "3")) == 3 and tg.json(put("c.json", '"x"')) == "x" and tg.json(put("d.json", "null")) == nil, "bare values")
  check(#tg.json(golden .. "/sharded/model.safetensors.index.json").metadata.nested == 3, "an index")
  local text = ("["):rep(100) .. ("]"):rep(100)
  check(type(tg.json(put("deep.json", text))) == "table", "100 brackets")
  mistake("101 brackets", function() tg.json(put("deep.json", "[[" .. text .. "]]")) end, "nests its brackets deeper than 100")
  mistake("very deep", function() tg.json(put("deep.json", ("["):rep(100000))) end, "deep.json: is malformed JSON")
  for name, bad in pairs { empty = "", cut = '{"a": 1', comma = '{"a": 1,}', nan = '{"a": NaN}', two = "{} {}", word = "nul", quote = '{"a}' } do
    mistake(name, function() tg.json(put("bad.json", bad)) end, "bad.json: is malformed JSON at line 1")
  end
  mistake("line", function() tg.json(put("bad.json", '{\n"a": 1,\n"b" 2}')) end, "at line 3")
  mistake("NUL", function() tg.json(put("bad.json", '{"a\\u0000b": 1}')) end, "holds a NUL")
  mistake("raw NUL", function() tg.json(put("bad.json", '{"a": 1}\0')) end, "holds a NUL")
  check(tg.json(put("good.json", '"\\\\u0000"')) == "\\u0000", "a backslash before u0000")
  mistake("too large", function() tg.json(put("large.json", (" "):rep(16 << 20))) end, "is larger than 16384 KiB")
  mistake("no file", function() tg.json(dir .. "/none.json") end, "none.json")
end

do -- placing experts
  local p = tg.place_experts { loads = { 90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86 }, replicas = 16, groups = 4, nodes = 2, devices = 8 }
  check(table.concat(p.slots, " ") == "5 6 5 7 8 4 3 4 10 9 10 2 0 1 11 1" and p.policy == "hierarchical", "the published example")
  check(table.concat(p.copies, " ") == "1 2 1 1 2 2 1 1 1 1 2 1" and table.concat(p.places[6], " ") == "0 2", "copies and places")
  check(#p.loads == 8 and p.loads[1] == 165 / 2 + 39, "loads of devices")
  local q = tg.place_experts { loads = tg.tensor(tg.f32, { 4 }, { 8, 1, 1, 2 }), replicas = 6, devices = 2 }
  check(q.policy == "global" and table.concat(q.copies, " ") == "3 1 1 1", "loads in a tensor")
  mistake("field", function() tg.place_experts { load = {}, replicas = 1, devices = 1 } end, "unknown field 'load'; there is loads")
  mistake("loads", function() tg.place_experts { replicas = 1, devices = 1 } end, "loads must be a list of numbers or a tensor")
  mistake("a load", function() tg.place_experts { loads = { 1, "x" }, replicas = 2, devices = 1 } end, "load 2 is not a number")
  mistake("negative", function() tg.place_experts { loads = { 1, -1 }, replicas = 2, devices = 1 } end, "the load of expert 1 is -1")
  mistake("rank", function() tg.place_experts { loads = tg.tensor(tg.f32, 2, 2), replicas = 4, devices = 1 } end, "one axis, this one has 2")
  mistake("no devices", function() tg.place_experts { loads = { 1 }, replicas = 4 } end, "devices must be a whole number, not nil")
  mistake("too many", function() tg.place_experts { loads = { 1 }, replicas = 1 << 40, devices = 1 } end, "replicas is 1099511627776")
  mistake("negative replicas", function() tg.place_experts { loads = { 1 }, replicas = -5, devices = 1 } end, "replicas is -5")
  mistake("not a multiple", function() tg.place_experts { loads = { 1 }, replicas = 3, devices = 2 } end, "3 replicas are not a multiple of 2 devices")
end
