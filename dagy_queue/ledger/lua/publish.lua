-- Enter a run with its message as it is published. ARGV: run id, broker list, message, 1 to send it ('' if Celery itself
-- does), milliseconds since the epoch before which no worker begins with it ('' = it may at once), then field/value pairs. Returns 1 if it is new, 0 if the ledger has it already.
local id, list, message = ARGV[1], ARGV[2], ARGV[3]
local key = run_key(id)
if redis.call('EXISTS', key) == 1 then return 0 end
local now = now_ms()
redis.call('HSET', key, 'phase', 'QUEUED', 'attempt', 1, 'created', now, 'at', now, 'published', message,
  'queue', list)
for i = 6, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', P .. ':published', math.max(now, tonumber(ARGV[5]) or 0), id)
note(id, 'QUEUED')
if ARGV[4] ~= '' then redis.call('LPUSH', list, message) end
return 1
