-- Resume a stopped run once more, later. ARGV: run id, attempt, delay in milliseconds, how often at most in an attempt,
-- the longest delay. Returns 1, or 0 if it may not be postponed again. Each time takes as much longer as the first did.
local id = ARGV[1]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'postponed')
if found[1] ~= 'STOPPED' or found[2] ~= ARGV[2] or tonumber(found[3] or '0') >= tonumber(ARGV[4]) then return 0 end
local times = redis.call('HINCRBY', key, 'postponed', 1)
forget_sent(id)
redis.call('ZREM', P .. ':passes', id)
redis.call('ZADD', P .. ':delayed', now_ms() + math.min(tonumber(ARGV[3]) * times, tonumber(ARGV[5])), id)
wake()
return 1
