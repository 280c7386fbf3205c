-- A first pass ends a run that it cannot park, unless another one does. ARGV: run id, who claims it, milliseconds without a
-- sign of life after which a claimant counts as dead. Returns 1, or 0 if it is somebody else's, parked, or over.
local id = ARGV[1]
local key = run_key(id)
local phase = redis.call('HGET', key, 'phase')
if phase and phase ~= 'QUEUED' then return 0 end
if not phase then
  local now = now_ms()
  redis.call('HSET', key, 'phase', 'QUEUED', 'attempt', 1, 'created', now, 'at', now)
end
return take_claim(id, ARGV[2], ARGV[3]) and 1 or 0
