-- Names of keys, and where a run stands. KEYS[1] is the ledger's prefix. Times are milliseconds of Redis's own clock.
local P = KEYS[1]

local TERMINAL = { SUCCEEDED = true, FAILED = true, CANCELLED = true }
local IN_FLIGHT = { SUBMITTING = true, SUBMITTED = true, PROVISIONING = true, PENDING = true, RUNNING = true }
local WAITING = { HELD = true, RETRYING = true }

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function run_key(id) return P .. ':run:' .. id end
local function batch_key(id) return P .. ':batch:' .. id end
local function lane_key(pool, org) return P .. ':lane:' .. pool .. ':' .. org end
local function rotation_key(pool) return P .. ':rotation:' .. pool end

-- One token is enough: whoever takes it passes it on while work remains.
local function wake()
  if redis.call('LLEN', P .. ':wake') == 0 then redis.call('LPUSH', P .. ':wake', '1') end
end

-- A shard keeps only what differs from its batch; everything else is read from the batch.
local function placed(id)
  local own = redis.call('HMGET', run_key(id), 'pool', 'org', 'priority', 'batch')
  if own[1] then return own[1], own[2], tonumber(own[3]) end
  local shared = redis.call('HMGET', batch_key(own[4] or ''), 'pool', 'org', 'priority')
  return shared[1], shared[2], tonumber(shared[3])
end

local function count(batch, phase, by)
  if batch and phase then redis.call('HINCRBY', batch_key(batch) .. ':counts', phase, by) end
end

-- A change of phase, for the recorder. Nothing is noted where no recorder has opened the history (NOMKSTREAM).
local function note(id, phase)
  redis.call('XADD', P .. ':history', 'NOMKSTREAM', 'MAXLEN', '~', 1000000, '*', 'run', id, 'phase', phase)
end

-- A pool is <region>/<cluster>|<capacity type>. Quotas of calls are the region's, slots are the cluster's.
local function region_of(pool) return string.match(pool, '^(.-)/') or '' end
local function capacity_of(pool) return string.match(pool, '|(.*)$') or '' end
local function cluster_of(pool) return string.match(pool, '^(.*)|') or pool end
local function slots_key(pool) return P .. ':slots:' .. cluster_of(pool) end

-- CPU units of a run's task, as far as its request tells.
local function units_of(id)
  local own = redis.call('HMGET', run_key(id), 'cpu', 'batch')
  return tonumber(own[1] or (own[2] and redis.call('HGET', batch_key(own[2]), 'cpu')) or '0') or 0
end
