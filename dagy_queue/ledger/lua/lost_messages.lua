-- Send messages again that the broker has lost. ARGV: milliseconds that a message may be on its way, milliseconds that a
-- pass may take, how many at most of each kind. Returns {kind, id} of what was sent again. What a pass finds done
-- already, it leaves alone.
local patience, pass, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
local sent = {}

-- When the oldest message that waits in a list was sent, as far as the next ones tell. Lists are queues, so what was sent
-- before that is lost. Not the next one alone is asked: one that was sent again, and then put back by the worker that
-- had it, is younger than what is behind it. Nothing can be said where none of them tells.
local PEEKED = 50

local function oldest_of(list)
  if redis.call('LLEN', list) == 0 then return now end
  local oldest
  for _, text in ipairs(redis.call('LRANGE', list, -PEEKED, -1)) do
    local ok, message = pcall(cjson.decode, text)
    local headers = ok and type(message) == 'table' and message.headers
    local id = type(headers) == 'table' and type(headers.id) == 'string' and headers.id
    local score = id and tonumber(redis.call('ZSCORE', sent_key('resumed', list), id)
      or redis.call('ZSCORE', sent_key('published', list), id))
    -- One with a countdown says nothing of when it was sent.
    if score and score <= now then oldest = math.min(score, oldest or score) end
  end
  return oldest or 0
end

-- Messages of one list that were sent too long ago, and before what waits there: the oldest first.
local function lost_of(kind, list, oldest, limit)
  local before = math.min(now - patience, oldest - 1)
  return redis.call('ZRANGEBYSCORE', sent_key(kind, list), '-inf', before, 'LIMIT', 0, limit)
end

local function look_at(list, limit)
  local first = {}
  for _, kind in ipairs({ 'published', 'resumed' }) do
    local found = redis.call('ZRANGE', sent_key(kind, list), 0, 0, 'WITHSCORES')
    first[#first + 1] = tonumber(found[2])
  end
  if #first == 0 then
    redis.call('ZREM', P .. ':lists', list)
    return
  end
  if math.min(unpack(first)) > now - patience then return end
  local oldest = oldest_of(list)
  for _, id in ipairs(lost_of('published', list, oldest, limit)) do
    local run = read_run(id, 'phase', 'published')
    if run[1] == 'QUEUED' and run[2] then
      redis.call('LPUSH', list, fresh(run[2]))
      note_sent('published', id, list, now)
      sent[#sent + 1] = { 'run', id }
    else
      redis.call('ZREM', sent_key('published', list), id)
    end
  end
  for _, id in ipairs(lost_of('resumed', list, oldest, limit)) do
    if read_run(id, 'phase')[1] == 'STOPPED' and list_of(id) == list then
      resume(id)
      sent[#sent + 1] = { 'resume', id }
    else
      redis.call('ZREM', sent_key('resumed', list), id)
    end
  end
end

-- Some lists in turn, each with a share of its own: one that nobody consumes does not hide the others.
local LISTS = 50
local lists = redis.call('ZRANGE', P .. ':lists', 0, LISTS - 1)
for _, list in ipairs(lists) do
  redis.call('ZADD', P .. ':lists', now, list)
  look_at(list, math.max(1, math.floor(most / #lists)))
end

-- Passes whose worker died with them.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':passes', '-inf', now - pass, 'LIMIT', 0, most)) do
  if read_run(id, 'phase')[1] == 'STOPPED' and not redis.call('ZSCORE', P .. ':delayed', id) then
    resume(id)
    sent[#sent + 1] = { 'resume', id }
  else
    redis.call('ZREM', P .. ':passes', id)
  end
end

-- Messages of batches are few, and of three kinds in one list: they are lost if that is empty and none is at work. They
-- are looked at a page at a time.
local BATCH_MESSAGES = { { 'fan_out', ':published_batches', 'published' }, { 'end_batch', ':ending', 'ender' },
  { 'cancel_batch', ':cancelling', 'canceller' } }

local function page_of(index)
  local from = tonumber(redis.call('HGET', P .. ':pages', index) or '0')
  local page = redis.call('ZRANGEBYSCORE', P .. index, '-inf', now - patience, 'LIMIT', from, most)
  redis.call('HSET', P .. ':pages', index, #page == most and from + most or 0)
  return page
end

for _, each in ipairs(BATCH_MESSAGES) do
  local kind, index, field = unpack(each)
  for _, batch in ipairs(page_of(index)) do
    local found = redis.call('HMGET', batch_key(batch), field, 'fan_out_queue', 'at_work')
    if not found[1] then
      redis.call('ZREM', P .. index, batch)
    elseif (found[3] and now - tonumber(found[3]) > pass) or (not found[3] and redis.call('LLEN', found[2]) == 0) then
      redis.call('LPUSH', found[2], fresh(found[1]))
      redis.call('ZADD', P .. index, now, batch)
      sent[#sent + 1] = { kind, batch }
    end
  end
end
return sent
