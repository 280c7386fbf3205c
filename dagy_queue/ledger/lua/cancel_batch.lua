-- Have a batch cancelled. ARGV: batch id, reason. Returns 'unknown', 'over', 'already' or 'cancelled'.
local batch, reason = ARGV[1], ARGV[2]
local found = redis.call('HMGET', batch_key(batch), 'created', 'over')
if not found[1] then return 'unknown' end
if found[2] then return 'over' end
return cancel_batch(batch, reason) and 'cancelled' or 'already'
