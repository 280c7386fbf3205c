-- Resume a stopped run once more, later. ARGV: run id, attempt, delay in milliseconds, how often at most in an attempt.
-- Returns 1, or 0 if it may not be postponed again. Each time takes as much longer, up to twelve times the delay.
local LONGEST = 12
local id = ARGV[1]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'postponed')
if found[1] ~= 'STOPPED' or found[2] ~= ARGV[2] or tonumber(found[3] or '0') >= tonumber(ARGV[4]) then return 0 end
local times = redis.call('HINCRBY', key, 'postponed', 1)
forget_sent(id)
redis.call('ZREM', P .. ':passes', id)
redis.call('ZADD', P .. ':delayed', now_ms() + tonumber(ARGV[3]) * math.min(times, LONGEST), id)
wake()
return 1
