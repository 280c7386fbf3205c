-- The rate that all dispatchers share, lowered by throttles of RunTask.

-- What AWS refuses for RunTask's rate concerns the whole region. Throttles of one second are one incident: the first
-- empties the bucket, as AWS's is empty too; another one within ten seconds halves the rate. Every hundred launches after
-- that raise it again by a fifth.
local INCIDENT_MS, AGAIN_MS, LOWEST_FACTOR = 1000, 10000, 0.05
-- What limits calls is forgotten when nobody has called for so many seconds, and not before a bucket is full again.
local LIMITER_SECONDS, LONGEST_SECONDS = 3600, 30 * 86400

local function throttle_key(region) return P .. ':throttle:' .. region end

local function note_throttle(id)
  local region, now = region_of(placed(id) or ''), now_ms()
  local key = throttle_key(region)
  local found = redis.call('HMGET', key, 'factor', 'at')
  local since = found[2] and now - tonumber(found[2])
  if since and since < INCIDENT_MS then return end
  redis.call('HSET', key, 'at', now, 'launches', 0)
  local bucket = P .. ':bucket:calls:' .. region
  redis.call('HSET', bucket, 'tokens', 0, 'at', now)
  if redis.call('TTL', bucket) < LIMITER_SECONDS then redis.call('EXPIRE', bucket, LIMITER_SECONDS) end
  if since and since < AGAIN_MS then
    redis.call('HSET', key, 'factor', tostring(math.max(LOWEST_FACTOR, tonumber(found[1] or '1') / 2)))
  end
  redis.call('EXPIRE', key, LIMITER_SECONDS)
end

local function note_success(id)
  local key = throttle_key(region_of(placed(id) or ''))
  local factor = tonumber(redis.call('HGET', key, 'factor') or '1')
  if factor >= 1 or redis.call('HINCRBY', key, 'launches', 1) < 100 then return end
  redis.call('HSET', key, 'factor', tostring(math.min(1, factor * 1.2)), 'launches', 0)
end
