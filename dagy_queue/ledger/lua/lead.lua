-- Take or keep the lead of a kind of work. ARGV: its name, who asks, milliseconds to hold it (0 = give it back).
-- Returns 1, or 0 while somebody else has it.
local key = P .. ':lead:' .. ARGV[1]
local holder = redis.call('GET', key)
if holder and holder ~= ARGV[2] then return 0 end
if ARGV[3] == '0' then
  redis.call('DEL', key)
else
  redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
end
return 1
