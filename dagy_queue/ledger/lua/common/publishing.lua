-- Runs enter the ledger together with their message.

-- ARGV from first to last: run id, broker list, message, 1 to send it ('' if Celery itself does), milliseconds since the
-- epoch before which no worker begins with it ('' = it may at once), then field/value pairs. Returns whether it is new.
local function publish_run(first, last)
  local id, list, message, send, not_before = unpack(ARGV, first, first + 4)
  local key = run_key(id)
  if redis.call('EXISTS', key) == 1 then return false end
  local now = now_ms()
  redis.call('HSET', key, 'phase', 'QUEUED', 'attempt', 1, 'created', now, 'at', now, 'published', message,
    'queue', list)
  for i = first + 5, last, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
  note_sent('published', id, list, math.max(now, tonumber(not_before) or 0))
  note(id, 'QUEUED')
  note_publication('run', id)
  tell('run', id, 'moved', 'QUEUED   ')
  if send ~= '' then redis.call('LPUSH', list, message) end
  return true
end

-- Send messages and publish runs. ARGV from first on: number of messages, broker list and text of each, then for each run
-- the number of its arguments, and these as for publish_run.
local function send_all(first)
  local at = first + 1
  for _ = 1, tonumber(ARGV[first]) do
    redis.call('LPUSH', ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  while at <= #ARGV do
    local last = at + tonumber(ARGV[at])
    publish_run(at + 1, last)
    at = last + 1
  end
end
