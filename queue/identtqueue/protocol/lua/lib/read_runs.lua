-- include lib/packed.lua
-- Reads the tasks of an enqueue out of its words, from the first of them on. Four words are a run:
-- the tasks of one job with the same options, one after the other. Returns what a run says of its
-- tasks (id and length of the payload, by turns) under the number of its first word, and the keys
-- of the HASHes and the short ids of all tasks.
-- A run has its ids in one word, and its payloads too, because each word of a call costs Redis
-- 1,400 instructions (ADR 48).
local function read_runs(words, first, task_prefix)
  local sub, runs, keys, shorts, n, short_from = string.sub, {}, {}, {}, 0, nil
  for i = first, #words, 4 do
    local heads = cmsgpack.unpack(words[i + 2])
    runs[i], short_from = heads, short_from or short_start(heads[1])
    for j = 1, #heads, 2 do
      local id = heads[j]
      n = n + 1
      keys[n], shorts[n] = task_prefix .. id, sub(id, short_from)
    end
  end
  return runs, keys, shorts
end
