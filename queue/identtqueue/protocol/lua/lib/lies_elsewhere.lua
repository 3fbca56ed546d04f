-- For an id that was popped from `list` although it has a tombstone, while its task is pending:
-- returns whether the id lies in a list a second time, because it was enqueued again. If not, the
-- tombstone was stale. It looks at the `ids` that were popped after this one, and at 10,000 ids from
-- both ends of the lists where it may be. A task that lies deeper starts too early. `key` is the
-- task's HASH, and `at` names `pending` and `held_prefix`.
local function lies_elsewhere(at, list, key, ids, position)
  local id, job = ids[position], redis.call('HGET', key, 'function') or ''
  for i = position + 1, #ids do
    if ids[i] == id then return true end
  end
  for _, other in ipairs({list, at.pending, at.held_prefix .. job}) do
    for _, rank in ipairs({1, -1}) do
      if redis.call('LPOS', other, id, 'RANK', rank, 'MAXLEN', 10000) then return true end
    end
  end
  return false
end
