-- A task has not started in time: it is stopped. ARGV: run id, attempt. Returns 1, or 0 if it has started, or ended, or
-- is stopped already because its run's timeout is over: that is more than an attempt's end, and stays so.
local id, attempt = ARGV[1], ARGV[2]
local found = redis.call('HMGET', run_key(id), 'phase', 'attempt', 'late')
if found[2] ~= attempt or not has_task(found[1]) or found[1] == 'RUNNING' or found[3] == '1' then return 0 end
mark_late(id, 'start')
owe_stop(id, now_ms())
return 1
