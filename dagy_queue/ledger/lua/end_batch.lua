-- The batch has ended: send what follows, once. ARGV: batch id, seconds to keep the batch, then as for send_all.
-- Returns 1, or 0 if it was ended before.
local batch, ttl = ARGV[1], ARGV[2]
local key = batch_key(batch)
redis.call('ZREM', P .. ':ending', batch)
if redis.call('HSETNX', key, 'ended', now_ms()) == 0 then return 0 end
tell('batch', batch)
send_all(3)
redis.call('SREM', P .. ':windowed', batch)
redis.call('HDEL', key, 'template', 'ender', 'canceller', 'at_work')
for _, name in ipairs({ '', ':counts', ':done', ':waiting' }) do redis.call('EXPIRE', key .. name, ttl) end
return 1
