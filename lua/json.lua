-- Reads the JSON documents that tg_bench and tg_tune give. null becomes nil, and so leaves no key.
local function fail(at) error(("malformed JSON at byte %d"):format(at), 0) end

local value
local function skip(text, at) return text:find("%S", at) or #text + 1 end

local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local function string_at(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = text:find('["\\]', from) or fail(at)
    parts[#parts + 1] = text:sub(from, stop - 1)
    if text:byte(stop) == 34 then return table.concat(parts), stop + 1 end
    local c = text:sub(stop + 1, stop + 1)
    if c == "u" then
      parts[#parts + 1] = utf8.char(tonumber(text:sub(stop + 2, stop + 5), 16) or fail(stop))
      from = stop + 6
    else
      parts[#parts + 1] = escapes[c] or c
      from = stop + 2
    end
  end
end

-- Entries of a list or object from its bracket on; `entry(at)` reads one and gives the place behind it.
local function entries(text, at, close, entry)
  at = skip(text, at + 1)
  if text:sub(at, at) == close then return at + 1 end
  while true do
    at = skip(text, entry(at))
    local c = text:sub(at, at)
    if c == close then return at + 1 end
    if c ~= "," then fail(at) end
    at = skip(text, at + 1)
  end
end

local function list_at(text, at)
  local list, n = {}, 0
  at = entries(text, at, "]", function(i)
    n = n + 1
    local x, stop = value(text, i)
    list[n] = x
    return stop
  end)
  return list, at
end

local function object_at(text, at)
  local object = {}
  at = entries(text, at, "}", function(i)
    if text:byte(i) ~= 34 then fail(i) end
    local key, stop = string_at(text, i)
    stop = skip(text, stop)
    if text:sub(stop, stop) ~= ":" then fail(stop) end
    local x, next_at = value(text, stop + 1)
    object[key] = x
    return next_at
  end)
  return object, at
end

local words = { ["true"] = true, ["false"] = false }
function value(text, at)
  at = skip(text, at)
  local c = text:sub(at, at)
  if c == "{" then return object_at(text, at) end
  if c == "[" then return list_at(text, at) end
  if c == '"' then return string_at(text, at) end
  local word = text:match("^%a+", at)
  if word then
    if words[word] == nil and word ~= "null" then fail(at) end
    return words[word], at + #word
  end
  local number = text:match("^[-+.%deE]+", at)
  local x = number and tonumber(number) or fail(at)
  return math.tointeger(x) or x, at + #number
end

return function(text) return (value(text, 1)) end
