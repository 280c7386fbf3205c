-- Grant runs to a pump, as far as quotas and slots allow. ARGV: how many at most, lease in milliseconds, completion of a
-- run whose timeout is over while it waits, limits as JSON (see AdmissionLedger).
-- Returns {grants, milliseconds until something falls due (-1 = nothing will), 1 if more could go on at once, tasks to
-- stop as {ARN, reason}}; a grant is {id, attempt, retries, request, batch, shard, refusals, 1 if it expired while
-- waiting, crew, what it has otherwise than its request, the version of its flow if that is settled}, and each of the
-- crew {id, attempt, request, shard}.
local most, lease, too_late, limits = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], cjson.decode(ARGV[4])
local STOP_AGAIN_MS, SOON_MS, MOST_STOPS = 30000, 1000, 100
local now = now_ms()
local next_due = -1

local function due_in(milliseconds)
  local wait = math.max(0, math.ceil(milliseconds))
  if next_due < 0 or wait < next_due then next_due = wait end
end

local function due(name, limit)
  return redis.call('ZRANGEBYSCORE', P .. name, '-inf', now, 'LIMIT', 0, limit)
end

-- Leases of dispatchers that died: back to the front of their lanes, same attempt, same client token.
for _, id in ipairs(due(':leases', 1000)) do
  redis.call('ZREM', P .. ':leases', id)
  local run = read_run(id, 'phase', 'attempt')
  if run[1] == 'SUBMITTING' then
    redis.call('HSET', run_key(id), 'asked', run[2])
    set_phase(id, 'HELD')
    enter_lane(id, true)
  end
end

for _, id in ipairs(due(':delayed', 1000)) do
  redis.call('ZREM', P .. ':delayed', id)
  local phase = read_run(id, 'phase')[1]
  if phase == 'STOPPED' then
    resume(id)
  elseif WAITING[phase] then
    set_phase(id, 'HELD')
    enter_lane(id, phase == 'HELD')  -- refused before: it goes back to where it was, at the front
  end
end

-- Runs whose timeout is over end here, or their tasks are stopped.
for _, id in ipairs(due(':deadlines', 100)) do
  redis.call('ZREM', P .. ':deadlines', id)
  local batch = string.match(id, '^batch:(.*)')
  local run = batch and {} or read_run(id, 'phase', 'leader')
  local phase = run[1]
  if batch then
    cancel_batch(batch, 'its timeout is over')
  elseif WAITING[phase] then
    mark_late(id, 1)
    stop(id, too_late)
  elseif IN_FLIGHT[phase] then
    local leader = run[2] or id
    mark_late(leader, 1)
    owe_stop(leader, now)
  elseif phase == 'STOPPED' then
    redis.call('ZADD', P .. ':deadlines', now + SOON_MS, id)
  end
end

-- Token buckets, read once and written back at the end. No limit of a name, no bucket.
local buckets = {}

local function bucket(name, limit, factor)
  if not limit or limit == cjson.null then return nil end
  local found = buckets[name]
  if not found then
    local key = P .. ':bucket:' .. name
    local kept = redis.call('HMGET', key, 'tokens', 'at')
    local rate = limit.rate * factor / 1000
    local tokens = kept[1] and math.min(limit.burst, tonumber(kept[1]) + (now - tonumber(kept[2])) * rate) or limit.burst
    found = { key = key, rate = rate, tokens = tokens, taken = 0, burst = limit.burst }
    buckets[name] = found
  end
  return found
end

local factors = {}

local function factor_of(region)
  if not factors[region] then
    factors[region] = tonumber(redis.call('HGET', throttle_key(region), 'factor') or '1')
  end
  return factors[region]
end

-- The buckets that a launch in a pool takes from: calls of RunTask, and launches of each capacity type it may use.
local function buckets_of(pool)
  local region = region_of(pool)
  local factor = factor_of(region)
  local found = { bucket('calls:' .. region, limits.calls, factor) }
  for capacity in string.gmatch(capacity_of(pool), '[^+]+') do
    if string.sub(capacity, 1, 7) == 'FARGATE' then
      table.insert(found, bucket('launches:' .. region .. ':' .. capacity, limits.launches, factor))
    end
  end
  return found
end

-- Take a token of each, or tell when there will be one.
local function take(from)
  for _, each in ipairs(from) do
    if each.tokens < 1 then
      due_in((1 - each.tokens) / each.rate)
      return false
    end
  end
  for _, each in ipairs(from) do
    each.tokens = each.tokens - 1
    each.taken = each.taken + 1
  end
  return true
end

local function room(key, field, limit, wanted)
  if not limit or limit == cjson.null then return true end
  -- What is larger than the limit goes alone: it would wait for ever, and everything behind it.
  return tonumber(redis.call('HGET', key, field) or '0') + math.min(wanted, limit) <= limit
end

local function cluster_has_room(pool)
  return room(slots_key(pool), 'tasks', limits.tasks, 1)
end

-- Return the next run of a lane that is held; what is not is dropped from it. A cancelled batch may be all of a long
-- lane: so many are dropped in one call, which keeps all of Redis waiting. The second value says that there are more.
local MOST_DROPPED = 1000
local dropped = 0

local function head_of(pool, org)
  while true do
    local id = redis.call('ZRANGE', lane_key(pool, org), 0, 0)[1]
    if not id then return nil end
    local run = read_run(id, 'phase', 'batch', 'cancel')
    if run[1] == 'HELD' and run[3] then
      -- Cancelled while a dispatcher had it, which died or stopped.
      let_crew_go_on(id)
      stop(id, too_late)
    elseif run[1] == 'HELD' and not (run[2] and redis.call('HEXISTS', batch_key(run[2]), 'cancel') == 1) then
      return id
    end
    if dropped == MOST_DROPPED then
      due_in(0)
      return nil, true
    end
    -- What belongs to a cancelled batch stays HELD until its cancelling gets to it.
    redis.call('ZREM', lane_key(pool, org), id)
    dropped = dropped + 1
  end
end

-- Orgs of a pool that have no room, and are passed over for the rest of this call.
local full = {}

local function org_has_room(pool, org, units)
  local key = slots_key(pool)
  return room(key, 'tasks:' .. org, limits.org_tasks, 1) and room(key, 'cpu:' .. org, limits.org_cpu, units)
end

-- A run that needs more CPU than is free lets smaller ones pass, but not for ever: it is remembered, and after a while
-- what becomes free is kept for it, as long as nothing but CPU keeps it from going. What its own org has before it goes
-- first, in the order of one lane, and when that takes what was kept, the others wait no longer: its time begins anew, and
-- meanwhile it gives way to a large run of another org.
local function large_key(pool) return P .. ':large:' .. cluster_of(pool) end

local function large_of(pool)
  local found = redis.call('HMGET', large_key(pool), 'run', 'pool', 'org', 'since', 'passed')
  if not found[2] then return nil end
  local has_waited = now - tonumber(found[4]) >= limits.patience * 1000
  return { id = found[1], pool = found[2], org = found[3], has_waited = has_waited, was_passed = found[5] }
end

local function lacks_only_cpu(large)
  return head_of(large.pool, large.org) == large.id and org_has_room(large.pool, large.org, units_of(large.id))
end

local function goes_before(pool, org, id, large)
  if org ~= large.org then return false end
  local own = redis.call('ZSCORE', lane_key(pool, org), id)
  return tonumber(own) < tonumber(redis.call('ZSCORE', lane_key(large.pool, org), large.id))
end

local function gives_way(large, org)
  return (large.was_passed and not large.has_waited and org ~= large.org) or not lacks_only_cpu(large)
end

local function cluster_has_cpu(pool, org, id, units)
  if limits.cpu == cjson.null then return true end
  local large = large_of(pool)
  local another = large and large.id ~= id
  if another and large.has_waited and lacks_only_cpu(large) and not goes_before(pool, org, id, large) then return false end
  if room(slots_key(pool), 'cpu', limits.cpu, units) then return true end
  local key = large_key(pool)
  if not large or (another and gives_way(large, org)) then
    redis.call('DEL', key)
    redis.call('HSET', key, 'run', id, 'pool', pool, 'org', org, 'since', now)
  end
  redis.call('EXPIRE', key, LIMITER_SECONDS)
  return false
end

-- A run has been granted: it is the large one, or took what was kept for it. Others may go now, or be remembered.
local function note_taken(pool, org, id)
  local large = limits.cpu ~= cjson.null and large_of(pool)
  if not large or (large.id ~= id and not (large.org == org and large.has_waited)) then return end
  if large.id == id then
    redis.call('DEL', large_key(pool))
  else
    redis.call('HSET', large_key(pool), 'since', now, 'passed', 1)
  end
  full = {}
end

local function fits(pool, org, id)
  local units = 0
  if limits.cpu ~= cjson.null or limits.org_cpu ~= cjson.null then units = units_of(id) end
  return org_has_room(pool, org, units) and cluster_has_cpu(pool, org, id, units)
end

local function grant(id)
  local run = redis.call('HMGET', run_key(id), 'phase', 'attempt', 'retries', 'request', 'batch', 'shard', 'expires', 'delta', 'refusals', 'crew',
    'change', 'flow_version', 'asked')
  set_phase(id, 'SUBMITTING')
  redis.call('ZADD', P .. ':leases', now + lease, id)
  -- A run that may have a task, as its launch was never answered, is not dropped as expired. One that was granted as
  -- expired was not launched, whatever became of its dispatcher: it is so from then on (0).
  local expires = tonumber(run[7])
  local expired = expires and (expires == 0 or (expires <= now and run[13] ~= run[2]))
  if expired then redis.call('HSET', run_key(id), 'expires', 0) end
  local crew = {}
  for _, member in ipairs(run[10] and crew_of(id, run[10]) or {}) do
    local found = redis.call('HMGET', run_key(member), 'attempt', 'delta', 'shard')
    crew[#crew + 1] = { member, found[1], found[2] or '', found[3] }
  end
  local version = run[12] or (run[5] and redis.call('HGET', batch_key(run[5]), 'flow_version'))
  return { id, run[2], run[3] or '0', run[4] or run[8] or '', run[5] or '', run[6] or '', run[9] or '0',
    expired and '1' or '0', crew, run[11] or '', version or '' }
end

-- Grant one run of a pool, of the org whose turn it is; orgs without room are passed over, and remembered.
local function grant_one(pool, from)
  local turn = 0
  while true do
    local org = redis.call('ZRANGE', rotation_key(pool), turn, turn)[1]
    if not org then return nil end
    local id, more_to_drop
    if not full[pool .. org] then id, more_to_drop = head_of(pool, org) end
    if id and fits(pool, org, id) then
      if not take(from) then return nil end
      redis.call('ZREM', lane_key(pool, org), id)
      redis.call('ZADD', rotation_key(pool), redis.call('INCR', P .. ':turn'), org)
      note_taken(pool, org, id)
      return grant(id)
    elseif id or more_to_drop or full[pool .. org] then
      full[pool .. org] = true
      turn = turn + 1
    else
      redis.call('ZREM', rotation_key(pool), org)
    end
  end
end

local grants, more = {}, 0
-- Pools of a region share its calls: the one that was granted last comes last, and one that is empty is forgotten.
local pools = redis.call('ZRANGE', P .. ':pool_turns', 0, -1)
local progress = true
while progress and #grants < most do
  progress = false
  for _, pool in ipairs(pools) do
    if #grants < most and cluster_has_room(pool) then
      local granted = grant_one(pool, buckets_of(pool))
      if granted then
        grants[#grants + 1] = granted
        progress = true
        redis.call('ZADD', P .. ':pool_turns', redis.call('INCR', P .. ':turn'), pool)
      end
    end
  end
end
-- Every thread of this pump has work: another one may have room for more.
if progress then
  more = 1
  wake()
end

for _, pool in ipairs(pools) do
  if redis.call('EXISTS', rotation_key(pool)) == 0 then redis.call('ZREM', P .. ':pool_turns', pool) end
end

local stops = {}
local owed = due(':stops', MOST_STOPS)
for _, id in ipairs(owed) do
  local orphan = string.match(id, '^task:(.*)')
  local run = orphan and { 'RUNNING', orphan, 'its run is over' }
    or read_run(id, 'phase', 'arn', 'cancel')
  if not IN_FLIGHT[run[1] or ''] or not run[2] then
    redis.call('ZREM', P .. ':stops', id)
  elseif take({ bucket('stops:' .. string.match(run[2], '^[^:]*:[^:]*:[^:]*:([^:]*)'), limits.stops, 1) }) then
    if orphan then redis.call('ZREM', P .. ':stops', id) else redis.call('ZADD', P .. ':stops', now + STOP_AGAIN_MS, id) end
    stops[#stops + 1] = { run[2], run[3] or 'its timeout is over' }
  else
    owed = {}  -- the next token says when to come again
    break
  end
end
-- Stops share the threads of launches, so that not all of them are given out at once.
if #owed == MOST_STOPS then due_in(SOON_MS) end

for _, each in pairs(buckets) do
  if each.taken > 0 then
    redis.call('HSET', each.key, 'tokens', tostring(each.tokens), 'at', now)
    local full_in = math.min(LONGEST_SECONDS, math.ceil(each.burst / each.rate / 1000))
    redis.call('EXPIRE', each.key, math.max(LIMITER_SECONDS, full_in))
  end
end

for _, set in ipairs({ ':leases', ':delayed', ':deadlines', ':stops' }) do
  local first = redis.call('ZRANGE', P .. set, 0, 0, 'WITHSCORES')
  if first[2] and (tonumber(first[2]) > now or set ~= ':stops') then due_in(tonumber(first[2]) - now) end
end
return { grants, next_due, more, stops }
