-- The first pass: put the run in the admission queue with its continuation. ARGV: run id, request, continuation,
-- broker list of the continuation, pool, org, priority, seconds until it expires ('' = never), key, value and seconds
-- to live of Celery's state of the run ('' = it is kept elsewhere), then field/value pairs.
-- Returns what was found: 'parked', 'cancelled', or the phase of a run that is beyond its first pass.
local id = ARGV[1]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'cancel', 'completion')
-- Cancelled before its first pass, which died before it could say so.
if found[1] == 'STOPPED' and found[2] and not found[3] then return 'cancelled' end
if found[1] and found[1] ~= 'QUEUED' then return found[1] end
local now = now_ms()
if not found[1] then redis.call('HSET', key, 'phase', 'QUEUED', 'attempt', 1, 'created', now, 'at', now) end
redis.call('HDEL', key, 'published')
redis.call('ZREM', P .. ':published', id)
redis.call('HSET', key, 'request', ARGV[2], 'message', ARGV[3], 'queue', ARGV[4], 'pool', ARGV[5], 'org', ARGV[6],
  'priority', ARGV[7])
if ARGV[8] ~= '' then redis.call('HSET', key, 'expires', now + math.floor(tonumber(ARGV[8]) * 1000)) end
if ARGV[9] ~= '' then redis.call('SET', ARGV[9], ARGV[10], 'EX', ARGV[11], 'NX') end
for i = 12, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
if found[2] then
  set_phase(id, 'STOPPED')
  return 'cancelled'
end
set_phase(id, 'HELD')
enter_lane(id, false)
wake()
return 'parked'
