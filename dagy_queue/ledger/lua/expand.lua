-- Enter a chunk of a batch's shards, already parked. ARGV: batch id, index of the first, then id/delta pairs ('' = the
-- batch's request as it is). Returns the number of shards entered so far: a chunk that was entered before changes nothing.
local batch, first = ARGV[1], tonumber(ARGV[2])
local key = batch_key(batch)
local shared = redis.call('HMGET', key, 'expanded', 'pool', 'org', 'priority', 'window')
local expanded = tonumber(shared[1] or '0')
if expanded ~= first then return expanded end
local now = now_ms()
local lane, base = lane_key(shared[2], shared[3]), tonumber(shared[4]) * 1e13
local entered = (#ARGV - 2) / 2
local seq = redis.call('INCRBY', P .. ':seq', entered) - entered
for i = 1, entered do
  local id, delta = ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  redis.call('HSET', run_key(id), 'phase', 'HELD', 'attempt', 1, 'created', now, 'at', now, 'batch', batch, 'shard',
    first + i - 1)
  if delta ~= '' then redis.call('HSET', run_key(id), 'delta', delta) end
  if string.find(delta, '"correlation_id"', 1, true) then
    redis.call('HSET', run_key(id), 'correlation', cjson.decode(delta).correlation_id)
  end
  if shared[5] then
    redis.call('ZADD', key .. ':waiting', first + i - 1, id)
  else
    redis.call('ZADD', lane, base + seq + i, id)
  end
  note(id, 'HELD')
end
count(batch, 'HELD', entered)
redis.call('HSET', key, 'expanded', first + entered)
if shared[5] then
  fill_window(batch)
else
  redis.call('ZADD', rotation_key(shared[2]), 'NX', redis.call('INCR', P .. ':turn'), shared[3])
  redis.call('SADD', P .. ':pools', shared[2])
end
wake()
return first + entered
