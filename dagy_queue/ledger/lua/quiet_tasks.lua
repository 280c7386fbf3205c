-- Tasks of which nothing was heard for a while. ARGV: milliseconds of silence, how many at most.
-- Returns {how many were looked at, {run id, attempt, task ARN, phase, milliseconds in this phase} ...}; each comes
-- again after as long a silence.
local silence, most, now = tonumber(ARGV[1]), tonumber(ARGV[2]), now_ms()
local key = P .. ':tasks'
local due = redis.call('ZRANGEBYSCORE', key, '-inf', now - silence, 'LIMIT', 0, most)
local found = {}
for _, id in ipairs(due) do
  local run = read_run(id, 'phase', 'attempt', 'arn', 'at')
  local heard = tonumber(run[4] or '0')
  if not has_task(run[1]) or not run[3] then
    redis.call('ZREM', key, id)
  elseif heard > now - silence then
    redis.call('ZADD', key, heard, id)
  else
    redis.call('ZADD', key, now, id)
    found[#found + 1] = { id, run[2], run[3], run[1], now - heard }
  end
end
return { #due, found }
