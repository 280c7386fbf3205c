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

-- Fields of a run, for those who go through many: what is at its key and no run's has none, and stops nobody.
local function read_run(id, ...)
  local found = redis.pcall('HMGET', run_key(id), ...)
  return found.err and {} or found
end

local function lane_key(pool, org) return P .. ':lane:' .. pool .. ':' .. org end
local function rotation_key(pool) return P .. ':rotation:' .. pool end

-- One token is enough: whoever takes it passes it on while work remains.
local function wake()
  if redis.call('LLEN', P .. ':wake') == 0 then redis.call('LPUSH', P .. ':wake', '1') end
end

-- A lane's order is made of it: what is no number goes first, as Celery's Redis transport has it.
local function as_priority(text) return math.max(0, math.min(9, tonumber(text) or 0)) end

-- Messages on their way, of each list by itself: when they were sent. 'published' are those that enter runs, 'resumed'
-- those that resume them. The lists are looked at in turn, so they are kept in the order of their last look.
local function sent_key(kind, list) return P .. ':' .. kind .. ':' .. list end

local function note_sent(kind, id, list, at)
  redis.call('ZADD', P .. ':lists', 'NX', 0, list)
  redis.call('ZADD', sent_key(kind, list), at, id)
end

-- A shard keeps only what differs from its batch; everything else is read from the batch.
local function placed(id)
  local own = redis.call('HMGET', run_key(id), 'pool', 'org', 'priority', 'batch')
  if own[1] then return own[1], own[2], as_priority(own[3]) end
  local shared = redis.call('HMGET', batch_key(own[4] or ''), 'pool', 'org', 'priority')
  return shared[1], shared[2], as_priority(shared[3])
end

-- The list that a run's messages go to.
local function list_of(id)
  local own = redis.call('HMGET', run_key(id), 'queue', 'batch')
  return own[1] or (own[2] and redis.call('HGET', batch_key(own[2]), 'queue'))
end

-- A run's message has come, or is not needed any more.
local function forget_sent(id)
  local list = list_of(id)
  if not list then return end
  redis.call('ZREM', sent_key('published', list), id)
  redis.call('ZREM', sent_key('resumed', list), id)
end

-- Which version of its flow a run has is kept with it, and for shards with their batch: they all have the same.
local function flow_key(id)
  local batch = redis.call('HGET', run_key(id), 'batch')
  return batch and batch_key(batch) or run_key(id)
end

local function count(batch, phase, by)
  if batch and phase then redis.call('HINCRBY', batch_key(batch) .. ':counts', phase, by) end
end

-- Add to a stream that a bridge reads. A bridge that does not want it turns it off; until one has started, it waits.
local function add(stream, longest, ...)
  if redis.call('EXISTS', stream .. ':off') == 1 then return end
  redis.call('XADD', stream, 'MAXLEN', '~', longest, '*', ...)
end

-- A change of phase, for the recorder.
local function note(id, phase) add(P .. ':history', 1000000, 'run', id, 'phase', phase) end

-- A change that monitors watch: of a run, with the phase it leaves and the milliseconds it was in it; of a batch; or of
-- the shards that a batch entered together.
local function tell(...) add(P .. ':watched', 50000, ...) end

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
