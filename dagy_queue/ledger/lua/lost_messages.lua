-- Send messages again that the broker has lost. ARGV: milliseconds that a message may be on its way, milliseconds that a
-- pass may take, how many at most of each kind. Returns {kind, id} of what was sent again. A message is lost if the next
-- one of its list is younger: lists are queues. What a pass finds done already, it leaves alone.
local patience, pass, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
local sent = {}

-- When the next message of a list was sent: the first of some that tell. Nothing can be said where none of them does.
local PEEKED = 50
local heads = {}

local function head_of(list)
  if heads[list] then return heads[list] end
  local sent_at = redis.call('LLEN', list) == 0 and now or 0
  for _, text in ipairs(redis.call('LRANGE', list, -PEEKED, -1)) do
    local ok, message = pcall(cjson.decode, text)
    local headers = ok and type(message) == 'table' and message.headers
    local id = type(headers) == 'table' and type(headers.id) == 'string' and headers.id
    local score = id and (redis.call('ZSCORE', P .. ':resumed', id) or redis.call('ZSCORE', P .. ':published', id))
    -- One with a countdown says nothing of when it was sent.
    if score and tonumber(score) <= now then sent_at = tonumber(score) end
  end
  heads[list] = sent_at
  return sent_at
end

local function send(kind, id, index, list, message)
  redis.call('LPUSH', list, fresh(message))
  redis.call('ZADD', index, now, id)
  sent[#sent + 1] = { kind, id }
end

local function due(index, after)
  return redis.call('ZRANGEBYSCORE', index, '-inf', now - after, 'LIMIT', 0, most, 'WITHSCORES')
end

local published = due(P .. ':published', patience)
for i = 1, #published, 2 do
  local id = published[i]
  local run = redis.call('HMGET', run_key(id), 'phase', 'queue', 'published')
  if run[1] ~= 'QUEUED' or not run[3] then
    redis.call('ZREM', P .. ':published', id)
  elseif tonumber(published[i + 1]) < head_of(run[2]) then
    send('run', id, P .. ':published', run[2], run[3])
  end
end

local resumed = due(P .. ':resumed', patience)
for i = 1, #resumed, 2 do
  local id = resumed[i]
  local run = redis.call('HMGET', run_key(id), 'phase', 'queue', 'batch', 'claimed')
  local list = run[2] or (run[3] and redis.call('HGET', batch_key(run[3]), 'queue'))
  if run[1] ~= 'STOPPED' or not list then
    redis.call('ZREM', P .. ':resumed', id)
  elseif redis.call('ZSCORE', P .. ':delayed', id) then
    -- It is resumed later, on purpose.
  elseif run[4] and now - tonumber(run[4]) > pass or not run[4] and tonumber(resumed[i + 1]) < head_of(list) then
    resume(id)
    sent[#sent + 1] = { 'resume', id }
  end
end

-- Messages of batches are few, and of three kinds in one list: they are lost if that is empty and none is at work.
local BATCH_MESSAGES = { { 'fan_out', ':published_batches', 'published' }, { 'end_batch', ':ending', 'ender' },
  { 'cancel_batch', ':cancelling', 'canceller' } }
for _, each in ipairs(BATCH_MESSAGES) do
  local index = P .. each[2]
  for _, batch in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now - patience, 'LIMIT', 0, most)) do
    local found = redis.call('HMGET', batch_key(batch), each[3], 'fan_out_queue', 'at_work')
    if not found[1] then
      redis.call('ZREM', index, batch)
    elseif (found[3] and now - tonumber(found[3]) > pass) or (not found[3] and redis.call('LLEN', found[2]) == 0) then
      send(each[1], batch, index, found[2], found[1])
    end
  end
end
return sent
