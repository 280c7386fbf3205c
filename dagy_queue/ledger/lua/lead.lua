-- Take or keep the lead of a kind of work. ARGV: its name, who asks, milliseconds to hold it.
-- Returns 1, or 0 while somebody else has it.
local key = P .. ':lead:' .. ARGV[1]
local holder = redis.call('GET', key)
if holder and holder ~= ARGV[2] then return 0 end
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
return 1
