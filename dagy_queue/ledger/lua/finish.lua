-- The Celery task has its result: the run is over. ARGV: run id, attempt, final status, seconds to keep the entry,
-- outcome in its final words ('' = as it is known), key of its result in Celery's backend ('' = kept elsewhere, or not at
-- all), then, if anything follows, as for send_all. The last shard of a batch has the batch ended.
-- Returns 1, or 0 if the run is not stopped at that attempt, or was resumed since its result is lost.
local MOST_LOST_RESULTS = 3
local id, ttl, outcome, result = ARGV[1], ARGV[4], ARGV[5], ARGV[6]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'batch')
local ended = found[1] == 'STOPPED' or (found[1] == 'QUEUED' and outcome ~= '')
if not ended or found[2] ~= ARGV[2] then return 0 end

-- The result was stored before; where Celery's state is that of a run which goes on, Redis has lost the moment in which it
-- was, and with it what the run counted for in its chord. Another pass does all of that again.
local function is_lost()
  local head = result ~= '' and redis.pcall('GETRANGE', result, 0, 30)
  local state = type(head) == 'string' and string.match(head, '^{"status": ?"(%a+)"')
  return state == 'PARKED' or state == 'RETRY'
end

if found[1] == 'STOPPED' and is_lost() and redis.call('HINCRBY', key, 'lost_results', 1) <= MOST_LOST_RESULTS then
  resume(id)
  return 0
end
if outcome ~= '' then
  local completion = cjson.decode(redis.call('HGET', key, 'completion') or '{}')
  completion.outcome = cjson.decode(outcome)
  redis.call('HSET', key, 'completion', cjson.encode(completion))
end
forget_sent(id)
for _, name in ipairs({ ':passes', ':deadlines' }) do redis.call('ZREM', P .. name, id) end
redis.call('HSET', key, 'ended', now_ms())
set_phase(id, ARGV[3])
redis.call('HDEL', key, 'message', 'queue', 'published', 'ended_before')
redis.call('EXPIRE', key, ttl)
if found[3] then batch_progress(found[3], redis.call('HGET', key, 'shard'), ARGV[3]) end
if #ARGV > 6 then send_all(7) end
return 1
