-- Apply a state change that is not the end. ARGV: run id, attempt, version, phase ('' = keep), task ARN.
-- Returns 'applied', 'unknown' or 'stale'.
local id, attempt, version, phase, arn = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'version', 'arn', 'cancel', 'late')
if not found[1] then return 'unknown' end
-- A live task of a run that is over, or beyond this attempt, and never heard of it: its launch was not recorded.
-- (One that is QUEUED, or before this attempt, has such a task only if Redis has lost a moment: when it comes to that
-- attempt, its launch will be answered with that task.)
local beyond = found[2] ~= attempt or not (IN_FLIGHT[found[1]] or WAITING[found[1]])
if found[1] == 'QUEUED' or is_ahead(attempt, found[2], found[1]) then return 'stale' end
if beyond and found[4] ~= arn and phase ~= '' then owe_stop_of_unowned(arn) end
if beyond or (found[4] and found[4] ~= arn) then return 'stale' end
if found[3] and tonumber(found[3]) >= version then return 'stale' end
redis.call('HSET', key, 'version', version, 'arn', arn)
redis.call('HDEL', key, 'asked', 'expires')
start_clock(id)
-- The task exists, whatever became of the dispatcher that asked for it.
if found[1] == 'SUBMITTING' or WAITING[found[1]] then
  leave_queues(id)
  -- A task on its way down: the run must be in flight for its end to find it.
  if phase == '' then phase = 'SUBMITTED' end
end
if phase ~= '' then set_phase(id, phase) end
-- Cancelled or out of time before its task was known.
if not found[4] and (found[6] or nobody_wants(id)) then owe_stop(id, now_ms()) end
return 'applied'
