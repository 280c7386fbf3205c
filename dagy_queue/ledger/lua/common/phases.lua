-- Phases, the slots that follow them, and the crews that share a container.

-- Slots in use follow the phases, in the same step: what leaves its phase gives back its slot.
local function occupy(id, by)
  local pool, org = placed(id)
  if not pool then return end
  local key, units = slots_key(pool), units_of(id) * by
  redis.call('HINCRBY', key, 'tasks', by)
  redis.call('HINCRBY', key, 'tasks:' .. org, by)
  if units ~= 0 then
    redis.call('HINCRBY', key, 'cpu', units)
    redis.call('HINCRBY', key, 'cpu:' .. org, units)
  end
  if by < 0 and redis.call('EXISTS', rotation_key(pool)) == 1 then wake() end
end

-- Shards that share a container: the crew of a leader, which alone is launched. Those that have ended, or go on by
-- themselves, no longer belong to it.
local function crew_of(id, listed)
  local crew = {}
  for member in string.gmatch(listed or redis.call('HGET', run_key(id), 'crew') or '', '[^,]+') do
    local found = redis.call('HMGET', run_key(member), 'leader', 'phase')
    if found[1] == id and not TERMINAL[found[2]] and found[2] ~= 'STOPPED' then crew[#crew + 1] = member end
  end
  return crew
end

-- A run and those that share its container.
local function with_crew(id)
  local all = crew_of(id)
  table.insert(all, 1, id)
  return all
end

-- Time is over for a container: how ('start', or 1 for the run's timeout) is true of all that are in it.
local function mark_late(id, how)
  for _, each in ipairs(with_crew(id)) do redis.call('HSET', run_key(each), 'late', how) end
end

-- Whether a leader and all of its crew are cancelled.
local function nobody_wants(leader)
  if not redis.call('HGET', run_key(leader), 'cancel') then return false end
  for _, member in ipairs(crew_of(leader)) do
    if not redis.call('HGET', run_key(member), 'cancel') then return false end
  end
  return true
end

-- Tell monitors of a change of phase; of the end of an attempt, what kind of end it was.
local function tell_phase(id, phase, before, now)
  local key, kind = run_key(id), ''
  if phase == 'STOPPED' then
    kind = string.match(redis.call('HGET', key, 'completion') or '', '"kind": ?"([%a_]+)"') or ''
  end
  local since = tonumber(redis.call('HGET', key, 'at')) or now
  tell('run', id, 'moved', table.concat({ phase, before or '', now - since, kind }, ' '))
end

local function enter_phase(id, phase, before, batch)
  local now = now_ms()
  tell_phase(id, phase, before, now)
  redis.call('HSET', run_key(id), 'phase', phase, 'at', now)
  if phase == 'RUNNING' then redis.call('HSETNX', run_key(id), 'started', now) end
  count(batch, before, -1)
  count(batch, phase, 1)
  note(id, phase)
end

-- Whether a run may have a task that the reconciler has to know of.
local function has_task(phase) return IN_FLIGHT[phase or ''] and phase ~= 'SUBMITTING' end

-- Whether an attempt is one that a run in this phase, at its own attempt, may still come to.
local function is_ahead(attempt, own, phase)
  return own and not TERMINAL[phase] and tonumber(attempt) > tonumber(own)
end

-- A leader takes its crew along from phase to phase, up to its end: that is each one's own.
local function set_phase(id, phase)
  local before = redis.call('HMGET', run_key(id), 'phase', 'batch', 'crew', 'leader')
  if before[1] == phase then return end
  if not before[4] and IN_FLIGHT[before[1] or ''] ~= IN_FLIGHT[phase] then occupy(id, IN_FLIGHT[phase] and 1 or -1) end
  if not before[4] and has_task(phase) and not has_task(before[1]) then redis.call('ZADD', P .. ':tasks', now_ms(), id) end
  enter_phase(id, phase, before[1], before[2])
  if before[3] and (phase == 'HELD' or IN_FLIGHT[phase]) then
    for _, member in ipairs(crew_of(id, before[3])) do
      enter_phase(member, phase, redis.call('HGET', run_key(member), 'phase'), before[2])
    end
  end
end
