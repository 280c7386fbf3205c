-- Enter a chunk of a batch's shards, already parked. ARGV: batch id, index of the first, then id/delta pairs ('' = the
-- batch's request as it is). Returns the number of shards entered so far: a chunk that was entered before changes nothing.
local WORKLOAD_CPU = { small = 256, medium = 1024, large = 2048, xlarge = 4096, heavy = 8192, max = 16384 }
local batch, first = ARGV[1], tonumber(ARGV[2])
local key = batch_key(batch)

-- What differs is kept as the caller wrote it, null and "2 vCPU" too; its names may also be those of parameters.
local function units_in(own)
  local cpu = own.cpu
  if type(cpu) == 'string' then
    cpu = tonumber(cpu) or math.floor((tonumber(string.match(cpu, '[%d.]+')) or 0) * 1024)
  end
  return type(cpu) == 'number' and cpu or WORKLOAD_CPU[own.workload_profile or '']
end

local function keep_own(id, delta)
  local function has(name) return string.find(delta, '"' .. name .. '"', 1, true) end
  if not (has('correlation_id') or has('cpu') or has('workload_profile')) then return end
  local own = cjson.decode(delta)
  local correlation, units = own.correlation_id, units_in(own)
  if type(correlation) == 'string' and correlation ~= '' then
    redis.call('HSET', run_key(id), 'correlation', correlation)
  end
  if units then redis.call('HSET', run_key(id), 'cpu', units) end
end

local shared = redis.call('HMGET', key, 'expanded', 'pool', 'org', 'priority', 'window', 'per_run')
local expanded = tonumber(shared[1] or '0')
if expanded ~= first or redis.call('HEXISTS', key, 'refused') == 1 then return expanded end
local now = now_ms()
local lane, base = lane_key(shared[2], shared[3]), as_priority(shared[4]) * 1e13
local entered = (#ARGV - 2) / 2
local per_run = tonumber(shared[6] or '1')
local seq = redis.call('INCRBY', P .. ':seq', entered) - entered
for i = 1, entered do
  local id, delta = ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  redis.call('HSET', run_key(id), 'phase', 'HELD', 'attempt', 1, 'created', now, 'at', now, 'batch', batch, 'shard',
    first + i - 1)
  if delta ~= '' then redis.call('HSET', run_key(id), 'delta', delta) end
  keep_own(id, delta)
  local place = (i - 1) % per_run
  if place > 0 then
    redis.call('HSET', run_key(id), 'leader', ARGV[1 + 2 * (i - place)])
  elseif per_run > 1 then
    local crew = {}
    for other = i + 1, math.min(i + per_run - 1, entered) do crew[#crew + 1] = ARGV[1 + 2 * other] end
    if #crew > 0 then redis.call('HSET', run_key(id), 'crew', table.concat(crew, ',')) end
  end
  if place > 0 then
    -- Its leader waits for all of them.
  elseif shared[5] then
    redis.call('ZADD', key .. ':waiting', first + i - 1, id)
  else
    redis.call('ZADD', lane, base + seq + i, id)
  end
  note(id, 'HELD')
end
tell('batch', batch, 'first', first, 'count', entered)
count(batch, 'HELD', entered)
redis.call('HSET', key, 'expanded', first + entered, 'at_work', now)
if shared[5] then
  redis.call('SADD', P .. ':windowed', batch)
  fill_window(batch)
else
  redis.call('ZADD', rotation_key(shared[2]), 'NX', redis.call('INCR', P .. ':turn'), shared[3])
  redis.call('ZADD', P .. ':pool_turns', 'NX', redis.call('INCR', P .. ':turn'), shared[2])
end
wake()
return first + entered
