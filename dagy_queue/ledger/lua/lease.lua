-- Grant runs to a pump. ARGV: how many at most, lease in milliseconds, completion of a run whose timeout is over while
-- it waits. Returns {grants, milliseconds until something falls due (-1 = nothing will), 1 if more is waiting, task ARNs
-- of runs whose timeout is over}; a grant is {id, attempt, retries, request, batch, shard, refusals, 1 if it expired
-- while waiting}.
local most, lease, too_late = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local STOP_AGAIN_MS = 30000
local now = now_ms()

-- Leases of dispatchers that died: back to the front of their lanes, same attempt, same client token.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':leases', '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', P .. ':leases', id)
  if redis.call('HGET', run_key(id), 'phase') == 'SUBMITTING' then
    set_phase(id, 'HELD')
    enter_lane(id, true)
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':delayed', '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', P .. ':delayed', id)
  local phase = redis.call('HGET', run_key(id), 'phase')
  if phase == 'STOPPED' then
    resume(id)
  elseif WAITING[phase] then
    set_phase(id, 'HELD')
    enter_lane(id, false)
  end
end

-- Runs whose timeout is over end here, or their tasks are stopped: again and again, until ECS says that they have ended.
local stops = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':deadlines', '-inf', now, 'LIMIT', 0, 100)) do
  local key = run_key(id)
  local run = redis.call('HMGET', key, 'phase', 'arn')
  if WAITING[run[1]] then
    redis.call('HSET', key, 'late', 1)
    redis.call('ZREM', P .. ':deadlines', id)
    stop(id, too_late)
  elseif IN_FLIGHT[run[1]] then
    redis.call('HSET', key, 'late', 1)
    redis.call('ZADD', P .. ':deadlines', now + STOP_AGAIN_MS, id)
    if run[2] then stops[#stops + 1] = run[2] end
  elseif run[1] == 'STOPPED' then
    redis.call('ZADD', P .. ':deadlines', now + STOP_AGAIN_MS, id)
  else
    redis.call('ZREM', P .. ':deadlines', id)
  end
end

local function grant(id)
  local run = redis.call('HMGET', run_key(id), 'phase', 'attempt', 'retries', 'request', 'batch', 'shard', 'expires', 'delta', 'refusals')
  if run[1] ~= 'HELD' then return nil end
  set_phase(id, 'SUBMITTING')
  redis.call('ZADD', P .. ':leases', now + lease, id)
  local expired = run[7] and tonumber(run[7]) <= now
  -- From its first grant on a run may have a task, and is not dropped as expired any more.
  if run[7] then redis.call('HDEL', run_key(id), 'expires') end
  return { id, run[2], run[3] or '0', run[4] or run[8] or '', run[5] or '', run[6] or '', run[9] or '0', expired and '1' or '0' }
end

local grants, more = {}, 0
local pools = redis.call('SMEMBERS', P .. ':pools')
local progress = true
while progress and #grants < most do
  progress = false
  for _, pool in ipairs(pools) do
    local org = redis.call('ZRANGE', rotation_key(pool), 0, 0)[1]
    if org and #grants < most then
      progress = true
      local popped = redis.call('ZPOPMIN', lane_key(pool, org))
      local granted = popped[1] and grant(popped[1])
      if granted then grants[#grants + 1] = granted end
      if redis.call('EXISTS', lane_key(pool, org)) == 1 then
        redis.call('ZADD', rotation_key(pool), redis.call('INCR', P .. ':turn'), org)
      else
        redis.call('ZREM', rotation_key(pool), org)
      end
    end
  end
end

for _, pool in ipairs(pools) do
  if redis.call('EXISTS', rotation_key(pool)) == 1 then more = 1 end
end
if more == 1 then wake() end

local next_due = -1
for _, set in ipairs({ ':leases', ':delayed', ':deadlines' }) do
  local first = redis.call('ZRANGE', P .. set, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, tonumber(first[2]) - now)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end
return { grants, next_due, more, stops }
