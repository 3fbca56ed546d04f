-- Returns the names of the first 100 shelves.
local function shelf_names(shelves)
  local names = redis.call('HKEYS', shelves)
  return {unpack(names, 1, 100)}
end

-- Adds the names of the shelves to the news of a claim, if there are any.
local function tell_shelves(shelves, news)
  if redis.call('EXISTS', shelves) == 0 then return end
  news[#news + 1], news[#news + 2] = 'shelves', shelf_names(shelves)
end
