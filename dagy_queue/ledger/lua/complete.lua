-- End an attempt and resume its parked task. ARGV: run id, attempt, version (0 = not from an event), completion,
-- task ARN ('' = none), when its container started ('' = not known; it counts where the run was never seen running), 1 to
-- leave alone an attempt that has a task.
-- Returns 'resumed', 'unknown' or 'stale'.
local id, attempt, version, arn = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'arn')
if not found[1] then return 'unknown' end
if found[2] ~= attempt or not (IN_FLIGHT[found[1]] or WAITING[found[1]]) then return 'stale' end
if ARGV[7] == '1' and found[3] then return 'stale' end
if arn ~= '' then
  if found[3] and found[3] ~= arn then return 'stale' end
  redis.call('HSET', key, 'arn', arn)
end
if ARGV[6] ~= '' then redis.call('HSETNX', key, 'started', ARGV[6]) end
if version > 0 then redis.call('HSET', key, 'version', version) end
stop(id, ARGV[4])
return 'resumed'
