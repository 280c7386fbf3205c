-- Ask for a run to end. ARGV: run id, reason, completion for a run that has no container yet, 1 to leave runs alone
-- that have one or are getting one. Returns {what, task ARN}: 'unknown', 'finished', 'already', 'queued' (its first
-- pass will have it resumed as cancelled), 'dropped' (it was waiting, it is resumed as cancelled), 'submitting' or 'stop'
-- (a pump will stop its task, once nobody wants it), 'stopped' (its container has ended: a success stays one, a failure
-- is not tried again) or 'running' (left alone).
local id, reason, completion, waiting_only = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local key = run_key(id)
local found = redis.call('HMGET', key, 'phase', 'cancel', 'arn', 'leader')
local phase = found[1]
if not phase then return { 'unknown', '' } end
if TERMINAL[phase] or (phase == 'STOPPED' and (found[2] or waiting_only)) then return { 'finished', '' } end
if found[2] and not (IN_FLIGHT[phase] and found[3]) then return { 'already', '' } end
if IN_FLIGHT[phase] and waiting_only then return { 'running', found[3] or '' } end
redis.call('HSETNX', key, 'cancel', reason)  -- whoever asked first said why
if phase == 'STOPPED' then return { 'stopped', '' } end
if phase == 'QUEUED' then
  redis.call('HSET', key, 'cancelled', completion)
  -- A message with a countdown is held by a worker until then: one without it ends the run now.
  local message, list = unpack(redis.call('HMGET', key, 'published', 'queue'))
  local now, later = string.gsub(message or '', '"eta": ?"[^"]*"', '"eta":null')
  if later > 0 then
    redis.call('HSET', key, 'published', now)
    redis.call('LPUSH', list, fresh(now))
    note_sent('published', id, list, now_ms())
  end
  return { 'queued', '' }
end
if WAITING[phase] then
  hand_over(id)
  redis.call('HDEL', key, 'leader')
  stop(id, completion)
  wake()  -- what was kept for it, or stood behind it, may go
  return { 'dropped', '' }
end
-- A container that several shards share is stopped when all of them are cancelled; until then they go on, and each is
-- told at the end.
local leader = found[4] or id
local arn = redis.call('HGET', run_key(leader), 'arn')
if not arn then return { 'submitting', '' } end
if nobody_wants(leader) then owe_stop(leader, now_ms()) end
return { 'stop', arn }
