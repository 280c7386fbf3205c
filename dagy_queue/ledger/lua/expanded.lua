-- All shards of a batch are entered, or none will be any more: drop what only the expansion needed. Without shards the
-- batch has ended, and its end is sent in the same step. ARGV: batch id.
local batch = ARGV[1]
local key = batch_key(batch)
redis.call('HDEL', key, 'published', 'at_work')
redis.call('ZREM', P .. ':published_batches', batch)
redis.call('DEL', key .. ':spec')
end_if_over(batch)
return 1
