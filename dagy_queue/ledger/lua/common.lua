-- Put before every other script. KEYS[1] is the ledger's prefix. Times are milliseconds of Redis's own clock.
local P = KEYS[1]

local TERMINAL = { SUCCEEDED = true, FAILED = true, CANCELLED = true }
local IN_FLIGHT = { SUBMITTING = true, SUBMITTED = true, PROVISIONING = true, PENDING = true, RUNNING = true }
local WAITING = { HELD = true, RETRYING = true }

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function run_key(id) return P .. ':run:' .. id end
local function batch_key(id) return P .. ':batch:' .. id end
local function lane_key(pool, org) return P .. ':lane:' .. pool .. ':' .. org end
local function rotation_key(pool) return P .. ':rotation:' .. pool end

-- One token is enough: whoever takes it passes it on while work remains.
local function wake()
  if redis.call('LLEN', P .. ':wake') == 0 then redis.call('LPUSH', P .. ':wake', '1') end
end

-- A shard keeps only what differs from its batch; everything else is read from the batch.
local function placed(id)
  local own = redis.call('HMGET', run_key(id), 'pool', 'org', 'priority', 'batch')
  if own[1] then return own[1], own[2], tonumber(own[3]) end
  local shared = redis.call('HMGET', batch_key(own[4] or ''), 'pool', 'org', 'priority')
  return shared[1], shared[2], tonumber(shared[3])
end

local function count(batch, phase, by)
  if batch and phase then redis.call('HINCRBY', batch_key(batch) .. ':counts', phase, by) end
end

-- A change of phase, for the recorder. Nothing is noted where no recorder has opened the history (NOMKSTREAM).
local function note(id, phase)
  redis.call('XADD', P .. ':history', 'NOMKSTREAM', 'MAXLEN', '~', 1000000, '*', 'run', id, 'phase', phase)
end

-- A pool is <region>/<cluster>|<capacity type>. Quotas of calls are the region's, slots are the cluster's.
local function region_of(pool) return string.match(pool, '^(.-)/') or '' end
local function capacity_of(pool) return string.match(pool, '|(.*)$') or '' end
local function cluster_of(pool) return string.match(pool, '^(.*)|') or pool end
local function slots_key(pool) return P .. ':slots:' .. cluster_of(pool) end

-- CPU units of a run's task, as far as its request tells.
local function units_of(id)
  local own = redis.call('HMGET', run_key(id), 'cpu', 'batch')
  return tonumber(own[1] or (own[2] and redis.call('HGET', batch_key(own[2]), 'cpu')) or '0') or 0
end

-- Slots in use follow the phases, in the same step: what leaves its phase gives back its slot.
local function occupy(id, by)
  local pool, org = placed(id)
  if not pool then return end
  local key, units = slots_key(pool), units_of(id) * by
  redis.call('HINCRBY', key, 'tasks', by)
  redis.call('HINCRBY', key, 'tasks:' .. org, by)
  if units ~= 0 then
    redis.call('HINCRBY', key, 'cpu', units)
    redis.call('HINCRBY', key, 'cpu:' .. org, units)
  end
  if by < 0 and redis.call('EXISTS', rotation_key(pool)) == 1 then wake() end
end

-- Shards that share a container: the crew of a leader, which alone is launched. Those that have ended, or go on by
-- themselves, no longer belong to it.
local function crew_of(id, listed)
  local crew = {}
  for member in string.gmatch(listed or redis.call('HGET', run_key(id), 'crew') or '', '[^,]+') do
    local found = redis.call('HMGET', run_key(member), 'leader', 'phase')
    if found[1] == id and not TERMINAL[found[2]] and found[2] ~= 'STOPPED' then crew[#crew + 1] = member end
  end
  return crew
end

-- Whether a leader and all of its crew are cancelled.
local function nobody_wants(leader)
  if not redis.call('HGET', run_key(leader), 'cancel') then return false end
  for _, member in ipairs(crew_of(leader)) do
    if not redis.call('HGET', run_key(member), 'cancel') then return false end
  end
  return true
end

local function enter_phase(id, phase, before, batch)
  redis.call('HSET', run_key(id), 'phase', phase, 'at', now_ms())
  if phase == 'RUNNING' then redis.call('HSETNX', run_key(id), 'started', now_ms()) end
  count(batch, before, -1)
  count(batch, phase, 1)
  note(id, phase)
end

-- Whether a run may have a task that the reconciler has to know of.
local function has_task(phase) return IN_FLIGHT[phase or ''] and phase ~= 'SUBMITTING' end

-- A leader takes its crew along from phase to phase, up to its end: that is each one's own.
local function set_phase(id, phase)
  local before = redis.call('HMGET', run_key(id), 'phase', 'batch', 'crew', 'leader')
  if before[1] == phase then return end
  if not before[4] and IN_FLIGHT[before[1] or ''] ~= IN_FLIGHT[phase] then occupy(id, IN_FLIGHT[phase] and 1 or -1) end
  if not before[4] and has_task(phase) and not has_task(before[1]) then redis.call('ZADD', P .. ':tasks', now_ms(), id) end
  enter_phase(id, phase, before[1], before[2])
  if before[3] and (phase == 'HELD' or IN_FLIGHT[phase]) then
    for _, member in ipairs(crew_of(id, before[3])) do
      enter_phase(member, phase, redis.call('HGET', run_key(member), 'phase'), before[2])
    end
  end
end

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
  for _, name in ipairs({ ':leases', ':delayed', ':published', ':stops', ':tasks' }) do redis.call('ZREM', P .. name, id) end
  local pool, org = placed(id)
  if pool then redis.call('ZREM', lane_key(pool, org), id) end
end

-- A task that must be stopped: pumps do it, at their rate, and again until ECS says that it has ended.
local function owe_stop(id, at)
  redis.call('ZADD', P .. ':stops', at, id)
  wake()
end

-- The clock of a run's timeout starts with its first task, and goes on over its retries.
local function start_clock(id)
  local key = run_key(id)
  local own = redis.call('HMGET', key, 'deadline', 'timeout', 'batch')
  if own[1] then return end
  local timeout = own[2] or (own[3] and redis.call('HGET', batch_key(own[3]), 'timeout'))
  if not timeout then return end
  local deadline = now_ms() + tonumber(timeout)
  redis.call('HSET', key, 'deadline', deadline)
  redis.call('ZADD', P .. ':deadlines', deadline, id)
  wake()
end

local function fill(text, name, value)
  return (string.gsub(text, '"@dagy:' .. name .. '@"', (string.gsub(value, '%%', '%%%%'))))
end

-- Push the run's continuation to the broker: the same Celery message, now carrying its attempt.
local function resume(id)
  local key = run_key(id)
  local own = redis.call('HMGET', key, 'message', 'queue', 'batch', 'shard', 'attempt', 'retries')
  local message, queue = own[1], own[2]
  if not message then
    local shared = redis.call('HMGET', batch_key(own[3]), 'template', 'queue')
    message, queue = shared[1], shared[2]
  end
  local resumes = redis.call('HINCRBY', key, 'resumes', 1)
  redis.call('HDEL', key, 'claimed')
  redis.call('ZADD', P .. ':resumed', now_ms(), id)
  message = fill(message, 'id', '"' .. id .. '"')
  message = fill(message, 'tag', '"' .. id .. '/' .. own[5] .. '/' .. resumes .. '"')
  message = fill(message, 'attempt', own[5])
  message = fill(message, 'resume', tostring(resumes))
  message = fill(message, 'retries', own[6] or '0')
  if own[4] then message = fill(message, 'shard', own[4]) end
  redis.call('LPUSH', queue, message)
end

-- A message that is sent once more, with a tag of its own: kombu keeps what is unacknowledged by it.
local function fresh(message)
  local tag = '"delivery_tag":"' .. redis.call('INCR', P .. ':again') .. '-again"'
  return (string.gsub(message, '"delivery_tag":"[^"]*"', (string.gsub(tag, '%%', '%%%%'))))
end

-- Nobody knows whether a call of RunTask made a task, and none will be made any more: the reconciler looks for it.
local function look_for_task(id)
  local own = redis.call('HMGET', run_key(id), 'asked', 'attempt')
  if own[1] and own[1] == own[2] then redis.call('ZADD', P .. ':searches', now_ms(), id .. '/' .. own[2]) end
end

local function stop_one(id, completion)
  look_for_task(id)
  redis.call('HSET', run_key(id), 'completion', completion)
  set_phase(id, 'STOPPED')
  leave_queues(id)
  leave_window(id)
  resume(id)
end

-- What ends a container ends all that were in it.
local function stop(id, completion)
  local crew, arn = crew_of(id), redis.call('HGET', run_key(id), 'arn')
  stop_one(id, completion)
  for _, member in ipairs(crew) do
    if arn then redis.call('HSET', run_key(member), 'arn', arn) end
    stop_one(member, completion)
  end
end

-- A waiting leader leaves: the first of its crew leads the others.
local function hand_over(id)
  local crew = crew_of(id)
  redis.call('HDEL', run_key(id), 'crew')
  local next_leader = table.remove(crew, 1)
  if not next_leader then return end
  redis.call('HDEL', run_key(next_leader), 'leader')
  for _, member in ipairs(crew) do redis.call('HSET', run_key(member), 'leader', next_leader) end
  if #crew > 0 then redis.call('HSET', run_key(next_leader), 'crew', table.concat(crew, ',')) end
  enter_lane(next_leader, true)
end

-- A leased run that is cancelled leaves its container: the others go on without it.
local function let_crew_go_on(id)
  if nobody_wants(id) then return end
  local own = redis.call('HMGET', run_key(id), 'phase', 'batch')
  for _, member in ipairs(crew_of(id)) do enter_phase(member, 'HELD', own[1], own[2]) end
  hand_over(id)
end

-- What AWS refuses for its rate concerns the whole region. Throttles of one second are one incident: the first empties
-- the bucket, as AWS's is empty too; another one within ten seconds halves the rate. Every hundred launches after that
-- raise it again by a fifth.
local INCIDENT_MS, AGAIN_MS, LOWEST_FACTOR = 1000, 10000, 0.05

local function throttle_key(region) return P .. ':throttle:' .. region end

local function note_throttle(id)
  local region, now = region_of(placed(id) or ''), now_ms()
  local key = throttle_key(region)
  local found = redis.call('HMGET', key, 'factor', 'at')
  local since = found[2] and now - tonumber(found[2])
  if since and since < INCIDENT_MS then return end
  redis.call('HSET', key, 'at', now, 'launches', 0)
  redis.call('HSET', P .. ':bucket:calls:' .. region, 'tokens', 0, 'at', now)
  if since and since < AGAIN_MS then
    redis.call('HSET', key, 'factor', tostring(math.max(LOWEST_FACTOR, tonumber(found[1] or '1') / 2)))
  end
  redis.call('EXPIRE', key, 3600)
end

local function note_success(id)
  local key = throttle_key(region_of(placed(id) or ''))
  local factor = tonumber(redis.call('HGET', key, 'factor') or '1')
  if factor >= 1 or redis.call('HINCRBY', key, 'launches', 1) < 100 then return end
  redis.call('HSET', key, 'factor', tostring(math.min(1, factor * 1.2)), 'launches', 0)
end

-- Have a batch cancelled, for the reason given, unless it is already: a task walks its shards.
local function cancel_batch(batch, reason)
  local key = batch_key(batch)
  local found = redis.call('HMGET', key, 'canceller', 'fan_out_queue')
  if not found[1] or redis.call('HSETNX', key, 'cancel', reason) == 0 then return false end
  redis.call('ZADD', P .. ':cancelling', now_ms(), batch)
  redis.call('LPUSH', found[2], found[1])
  return true
end

-- End a batch whose shards have all ended; returns whether they have. Without a total its manifest is still being read.
local function end_if_over(batch)
  local key = batch_key(batch)
  local counts = redis.call('HMGET', key .. ':counts', 'SUCCEEDED', 'FAILED', 'CANCELLED')
  local over = tonumber(counts[1] or '0') + tonumber(counts[2] or '0') + tonumber(counts[3] or '0')
  local found = redis.call('HMGET', key, 'total', 'ender', 'fan_out_queue')
  if not found[1] or over < tonumber(found[1]) then return false end
  redis.call('ZREM', P .. ':deadlines', 'batch:' .. batch)
  if found[2] and redis.call('HSETNX', key, 'over', now_ms()) == 1 then
    redis.call('ZADD', P .. ':ending', now_ms(), batch)
    redis.call('LPUSH', found[3], found[2])
  end
  return true
end

-- A shard has ended: too many failures cancel the others of a batch that fails fast, the last one ends the batch.
local function batch_progress(batch, shard, status, ttl)
  local key = batch_key(batch)
  redis.call('RPUSH', key .. ':done', shard)
  if end_if_over(batch) or status ~= 'FAILED' then return end
  local found = redis.call('HMGET', key, 'tolerated', 'fail_fast')
  local failed = tonumber(redis.call('HGET', key .. ':counts', 'FAILED') or '0')
  if found[2] and failed > tonumber(found[1] or '0') then cancel_batch(batch, 'too many shards have failed') end
end
