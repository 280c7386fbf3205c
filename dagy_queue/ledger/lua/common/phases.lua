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

-- Whether a leader and all of its crew are cancelled.
local function nobody_wants(leader)
  if not redis.call('HGET', run_key(leader), 'cancel') then return false end
  for _, member in ipairs(crew_of(leader)) do
    if not redis.call('HGET', run_key(member), 'cancel') then return false end
  end
  return true
end

local function enter_phase(id, phase, before, batch)
  redis.call('HSET', run_key(id), 'phase', phase, 'at', now_ms())
  if phase == 'RUNNING' then redis.call('HSETNX', run_key(id), 'started', now_ms()) end
  count(batch, before, -1)
  count(batch, phase, 1)
  note(id, phase)
end

-- Whether a run may have a task that the reconciler has to know of.
local function has_task(phase) return IN_FLIGHT[phase or ''] and phase ~= 'SUBMITTING' end

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
