-- What a task's HASH does not say: the defaults of `TaskOptions`, in ms.
local DEFAULT_TTL = '3600000'
local DEFAULT_UNIQUE_TTL = '86400000'
