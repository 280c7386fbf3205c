-- What was published, newest last, for lists: runs by themselves and batches. Shards are found by their batch.

-- An entry takes about 100 bytes, and the run or batch of the oldest may be gone: who reads takes out what is.
local MOST_PUBLICATIONS = 20000

local function note_publication(kind, id)
  redis.call('ZADD', P .. ':publications', 'NX', now_ms(), kind .. ':' .. id)
  redis.call('ZREMRANGEBYRANK', P .. ':publications', 0, -MOST_PUBLICATIONS - 1)
end
