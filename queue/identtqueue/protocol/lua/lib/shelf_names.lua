-- The names of the first 100 shelves.
local function shelf_names(shelves)
  local names = redis.call('HKEYS', shelves)
  return {unpack(names, 1, 100)}
end

-- For the news of a claim.
local function tell_shelves(shelves, news)
  if redis.call('EXISTS', shelves) == 0 then return end
  news[#news + 1], news[#news + 2] = 'shelves', shelf_names(shelves)
end
