-- Begin the next attempt of a stopped run. ARGV: run id, attempt that ended, delay in milliseconds.
-- Returns the number of the new attempt, or -1 if the run is not stopped at that attempt, or cancelled.
local id, attempt = ARGV[1], ARGV[2]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'cancel')
if found[1] ~= 'STOPPED' or found[2] ~= attempt then return -1 end
if found[3] then  -- cancelled since its second pass began: another one ends it
  resume(id)
  return -1
end
-- It goes on by itself, whoever shared its container.
redis.call('HDEL', key, 'crew', 'leader', 'completion', 'arn', 'version', 'refused', 'refusals', 'refusal', 'asked')
redis.call('ZREM', P .. ':resumed', id)
redis.call('HINCRBY', key, 'retries', 1)
local next_attempt = redis.call('HINCRBY', key, 'attempt', 1)
set_phase(id, 'RETRYING')
redis.call('ZADD', P .. ':delayed', now_ms() + tonumber(ARGV[3]), id)
wake()
return next_attempt
