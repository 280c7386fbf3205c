-- Count the slots in use anew, from the runs that use them. ARGV: clusters that may have counts though nothing runs there.
-- Returns {cluster, slot, what was counted, what it is} of each that was wrong.
local counted, wrong = {}, {}

local function tally(pool, slot, by)
  local key = slots_key(pool)
  counted[key] = counted[key] or {}
  counted[key][slot] = (counted[key][slot] or 0) + by
end

local function tally_run(id, index)
  local run = read_run(id, 'phase', 'leader')
  if not run[1] then
    redis.call('ZREM', index, id)
  elseif IN_FLIGHT[run[1]] and not run[2] then
    local pool, org = placed(id)
    local units = units_of(id)
    for slot, by in pairs({ tasks = 1, ['tasks:' .. org] = 1, cpu = units, ['cpu:' .. org] = units }) do
      tally(pool, slot, by)
    end
  end
end

for _, name in ipairs({ ':leases', ':tasks' }) do
  for _, id in ipairs(redis.call('ZRANGE', P .. name, 0, -1)) do tally_run(id, P .. name) end
end

local function settle(key, slot, found, is)
  local is_for_nothing = is == 0 and string.find(slot, ':', 1, true)
  if is_for_nothing then redis.call('HDEL', key, slot) end  -- or each org that ever was would keep its zeros
  if found == is then return end
  if not is_for_nothing then redis.call('HSET', key, slot, is) end
  wrong[#wrong + 1] = { string.sub(key, #P + 8), slot, found, is }
end

for _, pool in ipairs(ARGV) do counted[slots_key(pool)] = counted[slots_key(pool)] or {} end
for key, slots in pairs(counted) do
  local kept = redis.call('HGETALL', key)
  for i = 1, #kept, 2 do
    settle(key, kept[i], tonumber(kept[i + 1]), slots[kept[i]] or 0)
    slots[kept[i]] = nil
  end
  for slot, is in pairs(slots) do settle(key, slot, 0, is) end
end
if #wrong > 0 then wake() end
return wrong
