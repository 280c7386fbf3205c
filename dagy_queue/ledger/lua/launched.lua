-- Note the ECS task of an attempt. ARGV: run id, attempt, task ARN.
-- Returns 'noted', or 'stale': the run is over, or beyond this attempt, and the caller must stop the task.
local id, attempt, arn = ARGV[1], ARGV[2], ARGV[3]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'cancel', 'late')
if found[2] ~= attempt then return 'stale' end
if TERMINAL[found[1]] or found[1] == 'STOPPED' then
  -- Over already: because this task ended, or without it, and then it must not go on.
  return redis.call('HGET', key, 'arn') == arn and 'noted' or 'stale'
end
redis.call('HSET', key, 'arn', arn)
if found[1] == 'SUBMITTING' or found[1] == 'HELD' then
  leave_queues(id)
  set_phase(id, 'SUBMITTED')
end
start_clock(id)
if found[4] or nobody_wants(id) then owe_stop(id, now_ms()) end
note_success(id)
return 'noted'
