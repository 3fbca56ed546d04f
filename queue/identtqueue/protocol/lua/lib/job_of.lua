-- include lib/packed.lua
-- Returns the job's name in the text of a packed task, without parsing the rest.
local function job_of(text) return job_in(text, (string.find(text, '\n', 15, true))) end
