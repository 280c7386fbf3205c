-- Take the launches whose answer never came, to look for their tasks. ARGV: how many at most.
-- Returns {run id, attempt, pool}.
local due = redis.call('ZRANGEBYSCORE', P .. ':searches', '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[1]))
local found = {}
for _, member in ipairs(due) do
  redis.call('ZREM', P .. ':searches', member)
  local id, attempt = string.match(member, '^%d:(.*)/(%d+)$')
  local pool = placed(id)
  if pool then found[#found + 1] = { id, attempt, pool } end
end
return found
