-- Note the ECS task of an attempt. ARGV: run id, attempt, task ARN, its CPU units ('' = not known), the version of the
-- flow that it runs ('' = it is no flow) and the SHA-256 of its artifact ('' = not known).
-- Returns 'noted', 'stale' (the run is over, or beyond this attempt, and the caller must stop the task), or 'ahead': it
-- is before this attempt, as Redis has lost a moment, and will be answered with this task when it comes to it.
local id, attempt, arn = ARGV[1], ARGV[2], ARGV[3]
local key = run_key(id)

-- Until now it was counted by what its request tells; the launch knows what its deployment or task definition adds.
local function resize(phase, units)
  local more = units - units_of(id)
  if more == 0 then return end
  redis.call('HSET', key, 'cpu', units)
  if not IN_FLIGHT[phase] then return end
  local pool, org = placed(id)
  redis.call('HINCRBY', slots_key(pool), 'cpu', more)
  redis.call('HINCRBY', slots_key(pool), 'cpu:' .. org, more)
end

local found = redis.call('HMGET', key, 'phase', 'attempt', 'cancel', 'late')
if found[2] ~= attempt then
  return is_ahead(attempt, found[2], found[1]) and 'ahead' or 'stale'
end
if TERMINAL[found[1]] or found[1] == 'STOPPED' then
  -- Over already: because this task ended, or without it, and then it must not go on.
  return redis.call('HGET', key, 'arn') == arn and 'noted' or 'stale'
end
redis.call('HSET', key, 'arn', arn)
redis.call('HDEL', key, 'asked', 'expires')
if ARGV[4] ~= '' then resize(found[1], tonumber(ARGV[4])) end
if ARGV[5] ~= '' then
  local flow = flow_key(id)
  redis.call('HSETNX', flow, 'flow_version', ARGV[5])
  if ARGV[6] ~= '' then redis.call('HSETNX', flow, 'artifact', ARGV[6]) end
end
if found[1] == 'SUBMITTING' or found[1] == 'HELD' then
  leave_queues(id)
  set_phase(id, 'SUBMITTED')
end
start_clock(id)
if found[4] or nobody_wants(id) then owe_stop(id, now_ms()) end
note_success(id)
return 'noted'
