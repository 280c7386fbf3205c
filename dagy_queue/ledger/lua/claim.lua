-- A second pass begins: it concludes the run, unless another one does. ARGV: run id, the number of the resume that sent it
-- ('' = not told), who claims it, milliseconds without a sign of life after which a claimant counts as dead, then names of
-- fields. Returns their values; nothing if the run is not stopped, was resumed again since, or is somebody else's.
local id, resume, claimant = ARGV[1], ARGV[2], ARGV[3]
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'resumes')
if found[1] ~= 'STOPPED' or (resume ~= '' and found[2] ~= resume) then return {} end
if not take_claim(id, claimant, ARGV[4]) then return {} end
forget_sent(id)
redis.call('ZADD', P .. ':passes', now_ms(), id)
local names = {}
for i = 5, #ARGV do names[#names + 1] = ARGV[i] end
return redis.call('HMGET', key, unpack(names))
