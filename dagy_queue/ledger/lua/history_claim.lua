-- Take or keep the lease of the history, and open the history. ARGV: who asks, milliseconds to hold it.
-- Returns 1, or 0 while somebody else has it.
local lease = P .. ':history:lease'
local holder = redis.call('GET', lease)
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
-- An empty stream is one from which every entry was deleted; from now on changes are noted.
local history = P .. ':history'
if redis.call('EXISTS', history) == 0 then redis.call('XDEL', history, redis.call('XADD', history, '*', 'run', '')) end
return 1
