-- A task has not started in time: it is stopped. ARGV: run id, attempt. Returns 1, or 0 if it has started, or ended.
local id, attempt = ARGV[1], ARGV[2]
local found = redis.call('HMGET', run_key(id), 'phase', 'attempt')
if found[2] ~= attempt or not has_task(found[1]) or found[1] == 'RUNNING' then return 0 end
redis.call('HSET', run_key(id), 'late', 'start')
owe_stop(id, now_ms())
return 1
