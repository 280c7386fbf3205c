-- The Celery task has its result: the run is over. ARGV: run id, attempt, final status, seconds to keep the entry,
-- outcome in its final words ('' = as it is known). The last shard of a batch has the batch ended.
-- Returns 1, or 0 if the run is not stopped at that attempt.
local id, ttl, outcome = ARGV[1], ARGV[4], ARGV[5]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'batch')
local ended = found[1] == 'STOPPED' or (found[1] == 'QUEUED' and outcome ~= '')
if not ended or found[2] ~= ARGV[2] then return 0 end
if outcome ~= '' then
  local completion = cjson.decode(redis.call('HGET', key, 'completion') or '{}')
  completion.outcome = cjson.decode(outcome)
  redis.call('HSET', key, 'completion', cjson.encode(completion))
end
redis.call('ZREM', P .. ':published', id)
redis.call('ZREM', P .. ':deadlines', id)
redis.call('ZREM', P .. ':resumed', id)
redis.call('HSET', key, 'ended', now_ms())
set_phase(id, ARGV[3])
redis.call('HDEL', key, 'message', 'queue', 'published', 'ended_before')
redis.call('EXPIRE', key, ttl)
if found[3] then batch_progress(found[3], redis.call('HGET', key, 'shard'), ARGV[3], ttl) end
return 1
