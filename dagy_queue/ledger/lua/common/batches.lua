-- The end of batches.

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
local function batch_progress(batch, shard, status)
  local key = batch_key(batch)
  redis.call('RPUSH', key .. ':done', shard)
  if end_if_over(batch) or status ~= 'FAILED' then return end
  local found = redis.call('HMGET', key, 'tolerated', 'fail_fast')
  local failed = tonumber(redis.call('HGET', key .. ':counts', 'FAILED') or '0')
  if found[2] and failed > tonumber(found[1] or '0') then cancel_batch(batch, 'too many shards have failed') end
end
