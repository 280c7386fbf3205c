-- Who concludes a run: one pass at a time. Sending the run's message once more frees the claim (resume, in messages.lua).

local function has_claim(id, claimant)
  local found = redis.call('HMGET', run_key(id), 'claimed', 'claimant')
  return found[1] and found[2] == claimant
end

-- Whether the claimant has the run from here on. Another one's claim ends when it gave no sign for so many milliseconds.
local function take_claim(id, claimant, lease)
  local key = run_key(id)
  local found = redis.call('HMGET', key, 'claimed', 'claimant')
  local now = now_ms()
  if found[1] and found[2] ~= claimant and now - tonumber(found[1]) < tonumber(lease) then return false end
  redis.call('HSET', key, 'claimed', now, 'claimant', claimant)
  return true
end
