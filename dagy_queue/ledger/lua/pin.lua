-- Keep the version of its flow that a run is to have, of a shard for its whole batch. ARGV: run id, version.
-- Returns the version that counts: the one that was kept first.
local id, version = ARGV[1], ARGV[2]
local key = flow_key(id)
if redis.call('EXISTS', key) == 0 then return version end
redis.call('HSETNX', key, 'flow_version', version)
return redis.call('HGET', key, 'flow_version')
