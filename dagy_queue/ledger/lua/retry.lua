-- Begin the next attempt of a stopped run. ARGV: run id, attempt that ended, delay in milliseconds, field that counts
-- it ('' = none but retries), what it has otherwise than the request as JSON ('' = as before), its pool ('' = as
-- before), its CPU units ('' = as before), how the attempt ended as JSON ('' = not told).
-- Returns the number of the new attempt, or -1 if the run is not stopped at that attempt, or cancelled.
local id, attempt, counted, change, pool, units, ended = ARGV[1], ARGV[2], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'cancel', 'late', 'arn', 'arns')
if found[1] ~= 'STOPPED' or found[2] ~= attempt then return -1 end
if found[3] then  -- cancelled since its second pass began: another one ends it
  resume(id)
  return -1
end
if found[5] then redis.call('HSET', key, 'arns', (found[6] or '') .. attempt .. ' ' .. found[5] .. '\n') end
-- It goes on by itself, whoever shared its container.
redis.call('HDEL', key, 'crew', 'leader', 'completion', 'arn', 'version', 'refused', 'refusals', 'refusal', 'asked',
  'expires', 'postponed')
forget_sent(id)
redis.call('ZREM', P .. ':passes', id)
if found[4] == 'start' then redis.call('HDEL', key, 'late') end  -- that was the attempt's, a timeout is the run's
redis.call('HINCRBY', key, 'retries', 1)
if counted ~= '' then redis.call('HINCRBY', key, counted, 1) end
if change ~= '' then redis.call('HSET', key, 'change', change) end
if ended ~= '' then redis.call('HSET', key, 'ended_before', ended) end
-- A stopped run has no slot, so it may change its cluster's lane and its size; a shard has them of its own from here on.
if pool ~= '' then
  local _, org, priority = placed(id)
  redis.call('HSET', key, 'pool', pool, 'org', org, 'priority', priority)
end
if units ~= '' then redis.call('HSET', key, 'cpu', units) end
local next_attempt = redis.call('HINCRBY', key, 'attempt', 1)
set_phase(id, 'RETRYING')
redis.call('ZADD', P .. ':delayed', now_ms() + tonumber(ARGV[3]), id)
wake()
return next_attempt
