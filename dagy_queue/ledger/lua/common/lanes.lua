-- Where runs wait: windows of batches, lanes of orgs, delays, deadlines, and the stops that are owed.

-- A batch with a window lets only so many of its shards wait for their launch or run; the others wait in the batch's own
-- queue. Returns whether the run may go on to its lane.
local function pass_window(id, front)
  local own = redis.call('HMGET', run_key(id), 'batch', 'inside', 'shard')
  if not own[1] or own[2] then return true end
  local key = batch_key(own[1])
  local window = redis.call('HMGET', key, 'window', 'inside')
  if not window[1] then return true end
  if tonumber(window[2] or '0') >= tonumber(window[1]) then
    redis.call('ZADD', key .. ':waiting', front and -1 or own[3], id)
    return false
  end
  redis.call('HINCRBY', key, 'inside', 1)
  redis.call('HSET', run_key(id), 'inside', 1)
  return true
end

-- Lanes are ordered by priority (0 first, as on Celery's Redis transport), then by arrival; 'front' goes before its equals.
local function enter_lane(id, front)
  if not pass_window(id, front) then return end
  local pool, org, priority = placed(id)
  local seq = front and 0 or redis.call('INCR', P .. ':seq')
  redis.call('ZADD', lane_key(pool, org), priority * 1e13 + seq, id)
  redis.call('ZADD', rotation_key(pool), 'NX', redis.call('INCR', P .. ':turn'), org)
  redis.call('ZADD', P .. ':pool_turns', 'NX', redis.call('INCR', P .. ':turn'), pool)
  wake()
end

-- Let the next shards of a batch out of its own queue, as far as its window allows.
local function fill_window(batch)
  local key = batch_key(batch)
  local window = redis.call('HMGET', key, 'window', 'inside', 'cancel')
  if window[3] then return end  -- its cancelling drops what waits
  for _ = 1, tonumber(window[1] or '0') - tonumber(window[2] or '0') do
    local popped = redis.call('ZPOPMIN', key .. ':waiting')
    if not popped[1] then return end
    enter_lane(popped[1], false)
  end
end

local function leave_window(id)
  local own = redis.call('HMGET', run_key(id), 'batch', 'inside')
  if not own[1] then return end
  if not own[2] then
    redis.call('ZREM', batch_key(own[1]) .. ':waiting', id)
    return
  end
  redis.call('HDEL', run_key(id), 'inside')
  redis.call('HINCRBY', batch_key(own[1]), 'inside', -1)
  fill_window(own[1])
end

local function leave_queues(id)
  for _, name in ipairs({ ':leases', ':delayed', ':stops', ':tasks' }) do redis.call('ZREM', P .. name, id) end
  local pool, org = placed(id)
  if pool then redis.call('ZREM', lane_key(pool, org), id) end
end

-- A task that must be stopped: pumps do it, at their rate, and again until ECS says that it has ended.
local function owe_stop(id, at)
  redis.call('ZADD', P .. ':stops', at, id)
  wake()
end

-- The same for a task that no run owns: once, for nobody knows when it has ended. Whoever finds it running later than
-- ECS may take to stop one asks again.
local UNOWNED_AGAIN_SECONDS = 600

local function owe_stop_of_unowned(arn)
  if redis.call('SET', P .. ':stop_asked:' .. arn, 1, 'NX', 'EX', UNOWNED_AGAIN_SECONDS) then
    owe_stop('task:' .. arn, now_ms())
  end
end

-- The clock of a run's timeout starts with its first task, and goes on over its retries; so does that of each who shares
-- its container, as they may be retried by themselves.
local function start_clock(id)
  local own = redis.call('HMGET', run_key(id), 'deadline', 'timeout', 'batch')
  if own[1] then return end
  local timeout = own[2] or (own[3] and redis.call('HGET', batch_key(own[3]), 'timeout'))
  if not timeout then return end
  local deadline = now_ms() + tonumber(timeout)
  for _, each in ipairs(with_crew(id)) do
    redis.call('HSET', run_key(each), 'deadline', deadline)
    redis.call('ZADD', P .. ':deadlines', deadline, each)
  end
  wake()
end
