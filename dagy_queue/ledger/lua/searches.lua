-- Take the launches whose answer never came, to look for their tasks: soon, and once more when ECS must have heard of
-- them. ARGV: milliseconds until the first look, until the second, how many at most. Returns {run id, attempt, pool}.
local first, second, most, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), now_ms()
local found = {}

local function take(index, after)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now - after, 'LIMIT', 0, most)) do
    redis.call('ZREM', index, member)
    local id, attempt = string.match(member, '^(.*)/(%d+)$')
    local pool = placed(id)
    if pool then found[#found + 1] = { id, attempt, pool } end
    if index == P .. ':searches' then redis.call('ZADD', P .. ':second_searches', now, member) end
  end
end

take(P .. ':second_searches', second)
take(P .. ':searches', first)
return found
