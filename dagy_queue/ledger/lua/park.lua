-- The first pass: put the run in the admission queue with its continuation. ARGV: run id, request, continuation,
-- broker list of the continuation, pool, org, priority, seconds until it expires ('' = never), completion of a run that
-- has expired ('' = it has not), key, value and seconds to live of Celery's state of the run ('' = it is kept elsewhere),
-- then field/value pairs.
-- Returns what was found: 'parked', 'cancelled' (its second pass is on its way, and ends it), or the phase of a run that
-- is beyond its first pass.
local id = ARGV[1]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'cancel', 'cancelled')
if found[1] and found[1] ~= 'QUEUED' then return found[1] end
local now = now_ms()
if not found[1] then
  redis.call('HSET', key, 'phase', 'QUEUED', 'attempt', 1, 'created', now, 'at', now)
  note_publication('run', id)
end
forget_sent(id)
redis.call('HDEL', key, 'published')
redis.call('HSET', key, 'request', ARGV[2], 'message', ARGV[3], 'queue', ARGV[4], 'pool', ARGV[5], 'org', ARGV[6],
  'priority', ARGV[7])
if ARGV[8] ~= '' then redis.call('HSET', key, 'expires', now + math.floor(tonumber(ARGV[8]) * 1000)) end
if ARGV[10] ~= '' then redis.call('SET', ARGV[10], ARGV[11], 'EX', ARGV[12], 'NX') end
for i = 13, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
if found[2] or ARGV[9] ~= '' then
  redis.call('HDEL', key, 'cancelled')
  stop(id, found[3] or ARGV[9])
  return 'cancelled'
end
set_phase(id, 'HELD')
enter_lane(id, false)
wake()
return 'parked'
