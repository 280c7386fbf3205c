-- Put a leased run back after a launch that did not happen. ARGV: run id, attempt, delay in milliseconds, 1 if the
-- next try needs a new client token (a new attempt), milliseconds after which to give up, error text, 1 if AWS refused
-- RunTask for its rate, 1 if nobody knows whether there is a task now (no answer came).
-- Returns 'held', 'stale', 'cancelled' or 'expired' (the caller must complete the run in the last two).
local id, attempt = ARGV[1], ARGV[2]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'attempt', 'cancel', 'refused', 'late')
if found[1] ~= 'SUBMITTING' or found[2] ~= attempt then return 'stale' end
if ARGV[8] == '1' then redis.call('HSET', key, 'asked', attempt) end
if found[3] then
  let_crew_go_on(id)
  return 'cancelled'
end
local now = now_ms()
if ARGV[7] == '1' then note_throttle(id) end
redis.call('HSET', key, 'refusal', ARGV[6])
if not found[4] then redis.call('HSET', key, 'refused', now) end
-- Its timeout may have passed while it was leased: it does not wait for another try then.
if found[5] or (found[4] and now - tonumber(found[4]) > tonumber(ARGV[5])) then return 'expired' end
if ARGV[4] == '1' then redis.call('HINCRBY', key, 'attempt', 1) end
redis.call('HINCRBY', key, 'refusals', 1)
redis.call('ZREM', P .. ':leases', id)
set_phase(id, 'HELD')
redis.call('ZADD', P .. ':delayed', now + tonumber(ARGV[3]), id)
wake()
return 'held'
