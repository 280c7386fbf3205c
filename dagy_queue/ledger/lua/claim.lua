-- A second pass begins. ARGV: run id, the number of the resume that sent it ('' = not told), then names of fields.
-- Returns their values; nothing if the run is not stopped, or was resumed again since.
local id, resume = ARGV[1], ARGV[2]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'resumes')
if found[1] ~= 'STOPPED' or (resume ~= '' and found[2] ~= resume) then return {} end
redis.call('HSET', key, 'claimed', now_ms())
local names = {}
for i = 3, #ARGV do names[#names + 1] = ARGV[i] end
return redis.call('HMGET', key, unpack(names))
