-- Forget a stream of changes and have nothing added to it for a while, unless some bridge leads the work that reads it.
-- ARGV: that work, the stream, milliseconds, then further keys to forget. Returns 1, or 0 if it is read.
if redis.call('EXISTS', P .. ':lead:' .. ARGV[1]) == 1 then return 0 end
redis.call('SET', ARGV[2] .. ':off', '1', 'PX', ARGV[3])
redis.call('DEL', ARGV[2])
for i = 4, #ARGV do redis.call('DEL', ARGV[i]) end
return 1
