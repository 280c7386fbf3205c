-- A dispatcher that stops gives a leased run back, to the front of its lane. ARGV: run id, attempt, 1 if its call of
-- RunTask is under way: AWS may have made a task, and the same attempt asks for it again under the same client token.
-- Returns 'held', 'stale', 'cancelled' or 'expired' (the caller must complete the run in the last two).
local id, attempt, called = ARGV[1], ARGV[2], ARGV[3] == '1'
local found = redis.call('HMGET', run_key(id), 'phase', 'attempt', 'cancel', 'late')
if found[1] ~= 'SUBMITTING' or found[2] ~= attempt then return 'stale' end
if called then
  redis.call('HSET', run_key(id), 'asked', attempt)
elseif found[3] then
  let_crew_go_on(id)
  return 'cancelled'
elseif found[4] then
  return 'expired'
end
redis.call('ZREM', P .. ':leases', id)
set_phase(id, 'HELD')
enter_lane(id, true)
return 'held'
