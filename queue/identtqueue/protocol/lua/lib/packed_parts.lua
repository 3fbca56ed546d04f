-- include lib/packed.lua
-- Returns the parts of the text of a pending task, which begins at `first`: when it was enqueued,
-- its waiters or false, and its payload.
local function parts_of(text, first)
  local enqueued_at = string.sub(text, first + 1, first + 13)
  if string.byte(text, first + 14) ~= SPACE then
    return enqueued_at, false, string.sub(text, first + 15)
  end
  local cut = string.find(text, '\n', first + 14, true)
  return enqueued_at, string.sub(text, first + 15, cut - 1), string.sub(text, cut + 1)
end
