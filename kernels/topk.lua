local tg <const> = require "tegula"
local f32, i32, i64 = tg.f32, tg.i32, tg.i64
local least <const> = -2 ^ 31 | 0

-- idx[b,s] = the columns of the `topk` greatest of the first lens[b] - S + s + 1 elements of L[b,s], descending, of equals the lower column
-- first, a NaN above all; -1 where there are no more. The key of the topk-th is found bit by bit from the highest, then columns with greater
-- keys and the first with that key are gathered in order and sorted.
return tg.kernel("topk", function(k)
  local B, S, J = k.dim "B", k.dim "S", k.dim "J"
  local topk = k.option("topk", 2048, { min = 1, letter = "k" })
  local L, lens = k.input("L", f32, B, S, J), k.input("lens", i32, B, { index = J + 1 })
  local idx = k.output("idx", i32, B, S, topk)
  local bj = k.tune("BJ", 64, 256, 1024, { default = 256 })
  local found = k.workspace("found", i32, B, S, topk)
  local room = 1
  while room < topk do room = room * 2 end

  local function ordered(x) -- integers in the order of floats, NaN above all, -0 with 0
    local bits = (x + 0):bitcast(i32)
    return tg.where(x:isnan(), 2 ^ 31 - 1 | 0, bits ~ (bits >> 31 & 0x7fffffff))
  end

  k.blocks(S, B, function(s, b)
    local len = (lens[{b}]:to(i64):min(J) - (S - 1) + s):max(0)
    local all = tg.range(0, bj, len)
    local function keys_of(j) return tg.where(j:index():lt(len), ordered(L[{b, s, j}]), least) end

    local limit = tg.range(0, 1, 32):fold(tg.full(i32, least), function(limit, bit)
      local higher = limit + (tg.full(i32, 1) << (31 - bit:first()):to(i32))
      local count = all:fold(tg.zeros(i32, 1), function(n, j) return n + keys_of(j):ge(higher):to(i32):rsum(1) end):reshape()
      return tg.where(count:ge(topk), higher, limit)
    end)
    local greater = all:fold(tg.zeros(i32, 1), function(n, j) return n + keys_of(j):gt(limit):to(i32):rsum(1) end)
    local equals = topk - greater -- so many of those with the limit's key are taken

    all:fold(tg.zeros(i32, 1), tg.zeros(i32, 1), function(taken, passed, j)
      local keys = keys_of(j)
      local same = keys:eq(limit) & j:index():lt(len)
      local any = (keys:gt(limit) | same):ror(1):reshape()
      return tg.when(any, function()
        local nth = passed + same:to(i32):scan(1, { exclusive = true })
        local takes = keys:gt(limit) | same & nth:lt(equals)
        local place = taken + takes:to(i32):scan(1, { exclusive = true })
        found[{b, s, tg.where(takes, place, -1)}] = j:index():to(i32)
        return taken + takes:to(i32):rsum(1), passed + same:to(i32):rsum(1)
      end, function() return taken, passed end)
    end)

    local places = tg.range(0, room, len:min(topk))
    local columns = found[{b, s, places, fill = -1}]
    local keys = tg.where(columns:ge(0), ordered(L[{b, s, columns}]), least)
    local _, best = keys:sort(1, columns, { descending = true })
    idx[{b, s, tg.range(0, room, topk)}] = best
  end)
end)
