-- Resume a stopped run once more, later. ARGV: run id, attempt, delay in milliseconds, how often at most.
-- Returns 1, or 0 if it may not be postponed again.
local id = ARGV[1]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'resumes')
if found[1] ~= 'STOPPED' or found[2] ~= ARGV[2] or tonumber(found[3] or '0') > tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', P .. ':delayed', now_ms() + tonumber(ARGV[3]), id)
wake()
return 1
