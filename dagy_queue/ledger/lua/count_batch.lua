-- A manifest has been read through: its batch's total is known. ARGV: batch id, total, failures that it tolerates, version
-- of the manifest. Returns 1, or 0 if it was known before.
local key = batch_key(ARGV[1])
if redis.call('HSETNX', key, 'total', ARGV[2]) == 0 then return 0 end
redis.call('HSET', key, 'tolerated', ARGV[3], 'manifest_tag', ARGV[4])
return 1
