-- The batch has ended: send its callback, once. ARGV: batch id, seconds to keep the batch, broker list and message of the
-- callback ('' = there is none to send). Returns 1, or 0 if it was ended before.
local batch, ttl = ARGV[1], ARGV[2]
local key = batch_key(batch)
redis.call('ZREM', P .. ':ending', batch)
if redis.call('HSETNX', key, 'ended', now_ms()) == 0 then return 0 end
if ARGV[3] ~= '' then redis.call('LPUSH', ARGV[3], ARGV[4]) end
redis.call('HDEL', key, 'template', 'ender', 'canceller', 'at_work')
for _, name in ipairs({ '', ':counts', ':done', ':waiting' }) do redis.call('EXPIRE', key .. name, ttl) end
return 1
