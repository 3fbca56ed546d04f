-- Of an id that has a tombstone and was popped from a list: whether its task, which is pending, lies
-- elsewhere, since the id was enqueued again. If not, the tombstone was stale. Looks at `ids`, which
-- were popped together, from this one on, and at 10,000 ids from both ends of the lists: a task that
-- lies deeper starts early.
local function lies_elsewhere(lists, ids, position)
  local id = ids[position]
  for i = position + 1, #ids do
    if ids[i] == id then return true end
  end
  for _, list in ipairs(lists) do
    for _, rank in ipairs({1, -1}) do
      if redis.call('LPOS', list, id, 'RANK', rank, 'MAXLEN', 10000) then return true end
    end
  end
  return false
end
