-- The end of attempts: messages that resume runs, and what becomes of those that shared the container.

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
  redis.call('HDEL', key, 'claimed')
  redis.call('ZREM', P .. ':passes', id)
  note_sent('resumed', id, queue, now_ms())
  message = fill(message, 'id', '"' .. id .. '"')
  message = fill(message, 'tag', '"' .. id .. '/' .. own[5] .. '/' .. resumes .. '"')
  message = fill(message, 'attempt', own[5])
  message = fill(message, 'resume', tostring(resumes))
  message = fill(message, 'retries', own[6] or '0')
  if own[4] then message = fill(message, 'shard', own[4]) end
  redis.call('LPUSH', queue, message)
end

-- A message that is sent once more, with a tag of its own: kombu keeps what is unacknowledged by it.
local function fresh(message)
  local tag = '"delivery_tag":"' .. redis.call('INCR', P .. ':again') .. '-again"'
  return (string.gsub(message, '"delivery_tag":"[^"]*"', (string.gsub(tag, '%%', '%%%%'))))
end

-- Nobody knows whether a call of RunTask made a task, and none will be made any more: the reconciler looks for it.
local function look_for_task(id)
  local own = redis.call('HMGET', run_key(id), 'asked', 'attempt')
  if own[1] and own[1] == own[2] then redis.call('ZADD', P .. ':searches', now_ms(), id .. '/' .. own[2]) end
end

local function stop_one(id, completion)
  look_for_task(id)
  redis.call('HSET', run_key(id), 'completion', completion)
  set_phase(id, 'STOPPED')
  leave_queues(id)
  leave_window(id)
  resume(id)
end

-- One has left a container that goes on: where all who stay are cancelled, nobody wants it any more.
local function stop_if_unwanted(leader)
  local found = redis.call('HMGET', run_key(leader), 'phase', 'arn')
  if IN_FLIGHT[found[1] or ''] and found[2] and nobody_wants(leader) then owe_stop(leader, now_ms()) end
end

-- What ends a container ends all that were in it.
local function stop(id, completion)
  local crew, own = crew_of(id), redis.call('HMGET', run_key(id), 'arn', 'leader')
  stop_one(id, completion)
  for _, member in ipairs(crew) do
    if own[1] then redis.call('HSET', run_key(member), 'arn', own[1]) end
    stop_one(member, completion)
  end
  if own[2] then stop_if_unwanted(own[2]) end
end

-- A waiting leader leaves: the first of its crew leads the others. Nobody knows of a launch without an answer whether
-- there is a task with all of them in it: theirs is another attempt then, which has nothing in common with that task.
local function hand_over(id)
  local crew = crew_of(id)
  local own = redis.call('HMGET', run_key(id), 'asked', 'attempt')
  if own[1] and own[1] == own[2] then
    for _, member in ipairs(crew) do redis.call('HINCRBY', run_key(member), 'attempt', 1) end
  end
  redis.call('HDEL', run_key(id), 'crew')
  local next_leader = table.remove(crew, 1)
  if not next_leader then return end
  redis.call('HDEL', run_key(next_leader), 'leader')
  for _, member in ipairs(crew) do redis.call('HSET', run_key(member), 'leader', next_leader) end
  if #crew > 0 then redis.call('HSET', run_key(next_leader), 'crew', table.concat(crew, ',')) end
  enter_lane(next_leader, true)
end

-- A leased run that is cancelled leaves its container: the others go on without it.
local function let_crew_go_on(id)
  if nobody_wants(id) then return end
  local own = redis.call('HMGET', run_key(id), 'phase', 'batch')
  for _, member in ipairs(crew_of(id)) do enter_phase(member, 'HELD', own[1], own[2]) end
  hand_over(id)
end
