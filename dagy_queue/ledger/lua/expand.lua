-- Enter a chunk of a batch's shards, already parked. ARGV: batch id, index of the first, then id/delta pairs ('' = the
-- batch's request as it is). Returns the number of shards entered so far: a chunk that was entered before changes nothing.
local WORKLOAD_CPU = { small = 256, medium = 1024, large = 2048, xlarge = 4096, heavy = 8192, max = 16384 }
local batch, first = ARGV[1], tonumber(ARGV[2])
local key = batch_key(batch)
local shared = redis.call('HMGET', key, 'expanded', 'pool', 'org', 'priority', 'window', 'per_run')
local expanded = tonumber(shared[1] or '0')
if expanded ~= first or redis.call('HEXISTS', key, 'refused') == 1 then return expanded end
local now = now_ms()
local lane, base = lane_key(shared[2], shared[3]), tonumber(shared[4]) * 1e13
local entered = (#ARGV - 2) / 2
local per_run = tonumber(shared[6] or '1')
local seq = redis.call('INCRBY', P .. ':seq', entered) - entered
for i = 1, entered do
  local id, delta = ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  redis.call('HSET', run_key(id), 'phase', 'HELD', 'attempt', 1, 'created', now, 'at', now, 'batch', batch, 'shard',
    first + i - 1)
  if delta ~= '' then redis.call('HSET', run_key(id), 'delta', delta) end
  if string.find(delta, '"correlation_id"', 1, true) then
    redis.call('HSET', run_key(id), 'correlation', cjson.decode(delta).correlation_id)
  end
  if string.find(delta, '"cpu"', 1, true) or string.find(delta, '"workload_profile"', 1, true) then
    local own = cjson.decode(delta)
    local units = own.cpu or WORKLOAD_CPU[own.workload_profile or '']
    if units then redis.call('HSET', run_key(id), 'cpu', units) end
  end
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
count(batch, 'HELD', entered)
redis.call('HSET', key, 'expanded', first + entered, 'at_work', now)
if shared[5] then
  fill_window(batch)
else
  redis.call('ZADD', rotation_key(shared[2]), 'NX', redis.call('INCR', P .. ':turn'), shared[3])
  redis.call('ZADD', P .. ':pool_turns', 'NX', redis.call('INCR', P .. ':turn'), shared[2])
end
wake()
return first + entered
