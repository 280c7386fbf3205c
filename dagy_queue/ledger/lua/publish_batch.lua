-- Enter a batch with its spec and its message, and send the message. ARGV: batch id, broker list, message, number of
-- spec chunks, the chunks, then field/value pairs. Returns 1 if it is new, 0 if the ledger has it already.
local id, list, message, chunks = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = batch_key(id)
if redis.call('EXISTS', key) == 1 then return 0 end
local now = now_ms()
redis.call('HSET', key, 'created', now, 'published', message)
for i = 5, 4 + chunks do redis.call('RPUSH', key .. ':spec', ARGV[i]) end
for i = 5 + chunks, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', P .. ':published_batches', now, id)
note_publication('batch', id)
local timeout = redis.call('HGET', key, 'timeout_ms')
if timeout then
  redis.call('ZADD', P .. ':deadlines', now + tonumber(timeout), 'batch:' .. id)
  wake()
end
tell('batch', id)
redis.call('LPUSH', list, message)
return 1
