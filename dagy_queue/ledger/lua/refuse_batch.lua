-- A batch's manifest cannot be run: the batch has the shards that are entered, these are cancelled, and it fails. ARGV:
-- batch id, reason. Returns 1, or 0 if all its shards are entered.
local batch, reason = ARGV[1], ARGV[2]
local key = batch_key(batch)
local found = redis.call('HMGET', key, 'total', 'expanded')
local expanded = tonumber(found[2] or '0')
if found[1] and expanded >= tonumber(found[1]) then return 0 end
redis.call('HSET', key, 'refused', reason, 'total', expanded)
if expanded > 0 then
  cancel_batch(batch, reason)
  end_if_over(batch)
end
return 1
