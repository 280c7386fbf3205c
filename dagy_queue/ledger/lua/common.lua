-- Put before every other script. KEYS[1] is the ledger's prefix. Times are milliseconds of Redis's own clock.
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

local function set_phase(id, phase)
  local key = run_key(id)
  local before = redis.call('HMGET', key, 'phase', 'batch')
  if before[1] == phase then return end
  redis.call('HSET', key, 'phase', phase, 'at', now_ms())
  count(before[2], before[1], -1)
  count(before[2], phase, 1)
  note(id, phase)
end

-- Lanes are ordered by priority (0 first, as on Celery's Redis transport), then by arrival; 'front' goes before its equals.
local function enter_lane(id, front)
  local pool, org, priority = placed(id)
  local seq = front and 0 or redis.call('INCR', P .. ':seq')
  redis.call('ZADD', lane_key(pool, org), priority * 1e13 + seq, id)
  redis.call('ZADD', rotation_key(pool), 'NX', redis.call('INCR', P .. ':turn'), org)
  redis.call('SADD', P .. ':pools', pool)
end

local function leave_queues(id)
  redis.call('ZREM', P .. ':leases', id)
  redis.call('ZREM', P .. ':delayed', id)
  redis.call('ZREM', P .. ':published', id)
  local pool, org = placed(id)
  if pool then redis.call('ZREM', lane_key(pool, org), id) end
end

-- The clock of a run's timeout starts with its first task, and goes on over its retries.
local function start_clock(id)
  local key = run_key(id)
  local own = redis.call('HMGET', key, 'deadline', 'timeout', 'batch')
  if own[1] then return end
  local timeout = own[2] or (own[3] and redis.call('HGET', batch_key(own[3]), 'timeout'))
  if not timeout then return end
  local deadline = now_ms() + tonumber(timeout)
  redis.call('HSET', key, 'deadline', deadline)
  redis.call('ZADD', P .. ':deadlines', deadline, id)
  wake()
end

local function fill(text, name, value)
  return (string.gsub(text, '"@dagy:' .. name .. '@"', (string.gsub(value, '%%', '%%%%'))))
end

-- Push the run's continuation to the broker: the same Celery message, now carrying its attempt.
local function resume(id)
  local key = run_key(id)
  local own = redis.call('HMGET', key, 'message', 'queue', 'batch', 'shard', 'attempt', 'retries')
  local message, queue = own[1], own[2]
  if not message then
    local shared = redis.call('HMGET', batch_key(own[3]), 'template', 'queue')
    message, queue = shared[1], shared[2]
  end
  local resumes = redis.call('HINCRBY', key, 'resumes', 1)
  message = fill(message, 'id', '"' .. id .. '"')
  message = fill(message, 'tag', '"' .. id .. '/' .. own[5] .. '/' .. resumes .. '"')
  message = fill(message, 'attempt', own[5])
  message = fill(message, 'retries', own[6] or '0')
  if own[4] then message = fill(message, 'shard', own[4]) end
  redis.call('LPUSH', queue, message)
end

local function stop(id, completion)
  redis.call('HSET', run_key(id), 'completion', completion)
  set_phase(id, 'STOPPED')
  leave_queues(id)
  resume(id)
end
