-- Cancel shards of a batch that wait for their launch, without a message for each: nothing but their result hangs on
-- them. ARGV: reason, completion, seconds to keep an entry, the keys of their results in Celery's backend ('' = kept in
-- another Redis) as prefix, Celery's result with a blank for the id, seconds to keep it, then run ids.
-- Returns the ids that do not wait.
local reason, completion, ttl, prefix, meta, meta_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local others = {}
for i = 7, #ARGV do
  local id = ARGV[i]
  local key = run_key(id)
  local found = redis.call('HMGET', key, 'phase', 'batch', 'shard')
  if not WAITING[found[1] or ''] or prefix == '' then
    others[#others + 1] = id
  else
    look_for_task(id)
    redis.call('HSET', key, 'cancel', reason, 'completion', completion, 'ended', now_ms())
    leave_queues(id)
    leave_window(id)
    set_phase(id, 'CANCELLED')
    redis.call('HDEL', key, 'crew', 'leader')
    redis.call('EXPIRE', key, ttl)
    local result = fill(meta, 'id', '"' .. id .. '"')
    redis.call('SET', prefix .. id, result, 'EX', meta_ttl)
    redis.call('PUBLISH', prefix .. id, result)
    batch_progress(found[2], found[3], 'CANCELLED')
  end
end
if #others < #ARGV - 6 then wake() end  -- what was kept for them, or stood behind them, may go
return others
