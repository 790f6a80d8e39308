-- Greedy decoding: token by token with the cache, or two a step where the MTP layer drafts the second.
local M = {}

local function token(best, row) return best:read():get(row or #best - 1) end -- the last row's unless named

-- `count` tokens after `tokens`, each the best of its row
function M.plain(model, tokens, count)
  local out = {}
  local next = token(model:forward(tokens, 0).best)
  for n = 1, count do
    out[n] = next
    if n < count then next = token(model:forward({ next }, #tokens + n - 1).best) end
  end
  return out
end

-- The same text: what the MTP layer drafts is checked by the model, which sees both tokens in one step; a draft counts when the model's own
-- choice is the same. Gives the tokens, the drafts that were checked and how many were taken. After a draft that was not taken its row stays in the
-- cache, beyond the length, until the next step overwrites it.
function M.drafted(model, tokens, count)
  local out, drafts, taken = {}, {}, 0
  local step = model:forward(tokens, 0)
  local next = token(step.best)
  out[1] = next
  local follow = table.move(tokens, 2, #tokens, 1, {}) -- the token after each position
  follow[#tokens] = next
  local position = #tokens                             -- of `next`
  local draft = token(model:forward_mtp(step.hidden, follow, 0).best)
  while #out < count do
    step = model:forward({ next, draft }, position, true)
    local own, after = token(step.best, 0), token(step.best, 1)
    drafts[#drafts + 1], out[#out + 1] = draft, own
    if own == draft then
      taken = taken + 1
      if #out < count then out[#out + 1] = after end
      if #out < count then draft = token(model:forward_mtp(step.hidden, { own, after }, position).best) end
      next, position = after, position + 2
    else
      if #out < count then draft = token(model:forward_mtp(step.hidden:slice(0, 1), { own }, position).best) end
      next, position = own, position + 1
    end
  end
  return out, drafts, taken
end

return M
